// SPDX-License-Identifier: BSD-3-Clause
#include "media_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include <system_error>
#include <utility>

#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr std::uint64_t kSmallest = std::uint64_t{1} << 20;
constexpr std::uint64_t kLargest = std::uint64_t{1} << 40;

bool valid_size(std::uint64_t bytes, MediaFile::Sizes sizes) noexcept {
  const bool fits = sizes == MediaFile::Sizes::any || bytes == kSmallest || bytes % kPmdSize == 0;
  return fits && bytes != 0 && bytes <= kLargest;
}

// The media of this process. flock alone would do on a local file system; on others it may be emulated by locks that
// belong to the process and so do not keep the process from itself.
constinit Mutex media_lock{LockRank::media};
constinit MediaFile* media_list DAXSIM_GUARDED_BY(media_lock) = nullptr;

Errno open_error(int host_errno, const std::filesystem::path& path, std::uint64_t wanted) {
  switch (host_errno) {
    case EISDIR:
    case ENXIO:  // a socket, or a pipe
      return Errno::einval;
    case ETXTBSY:
      return Errno::ebusy;
    case ENOENT: {
      const std::filesystem::path folder = path.parent_path();
      std::error_code ignored;
      const bool folder_exists = folder.empty() || std::filesystem::is_directory(folder, ignored);
      return wanted == 0 && folder_exists && !path.empty() ? Errno::einval : Errno::enoent;
    }
    default:
      return from_host_errno(host_errno);
  }
}

}  // namespace

Result<void> MediaFile::open(const std::filesystem::path& path, std::uint64_t wanted, Sizes sizes) {
  if (wanted != 0 && !valid_size(wanted, sizes)) {
    return Errno::einval;
  }
  name_ = path.filename().string();

  // O_NONBLOCK: a pipe or a device in the place of the file is an error and not a wait.
  const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (wanted != 0 ? O_CREAT : 0);
  file_ = Descriptor(::open(path.c_str(), flags, 0666));
  if (!file_.is_open()) {
    return open_error(errno, path, wanted);
  }
  DAXSIM_TRY_VOID(enlist());
  return settle_size(wanted, sizes);
}

Result<void> MediaFile::make_in_memory(std::uint64_t bytes, Sizes sizes) noexcept {
  if (!valid_size(bytes, sizes)) {
    return Errno::einval;
  }
  file_ = Descriptor(::memfd_create("daxsim-media", MFD_CLOEXEC));
  if (!file_.is_open()) {
    return from_host_errno(errno);
  }
  size_ = bytes;
  return grow(file_, bytes);
}

MediaFile::~MediaFile() {
  if (!enlisted_) {
    return;
  }
  const MutexLock guard(media_lock);
  MediaFile** link = &media_list;
  while (*link != this) {
    link = &(*link)->next_;
  }
  *link = next_;
}

// Keeps others out: other processes by the lock, this one by the list.
Result<void> MediaFile::enlist() noexcept {
  struct stat status{};
  if (::fstat(file_.number(), &status) != 0) {
    return from_host_errno(errno);
  }
  if (!S_ISREG(status.st_mode)) {
    return Errno::einval;
  }
  if (::flock(file_.number(), LOCK_EX | LOCK_NB) != 0) {
    return errno == EWOULDBLOCK ? Errno::ebusy : from_host_errno(errno);
  }
  host_device_ = status.st_dev;
  inode_ = status.st_ino;
  const MutexLock guard(media_lock);
  for (const MediaFile* other = media_list; other != nullptr; other = other->next_) {
    if (other->host_device_ == host_device_ && other->inode_ == inode_) {
      return Errno::ebusy;
    }
  }
  next_ = std::exchange(media_list, this);
  enlisted_ = true;
  return {};
}

// Under the lock, so that nobody else is creating the same file.
Result<void> MediaFile::settle_size(std::uint64_t wanted, Sizes sizes) noexcept {
  struct stat status{};
  if (::fstat(file_.number(), &status) != 0) {
    return from_host_errno(errno);
  }
  const auto found = static_cast<std::uint64_t>(status.st_size);
  if (found == 0 && wanted != 0) {
    DAXSIM_TRY_VOID(grow(file_, wanted));
    size_ = wanted;
    return {};
  }
  if (!valid_size(found, sizes) || (wanted != 0 && wanted != found)) {
    return Errno::einval;
  }
  size_ = found;
  return {};
}

Result<void> MediaFile::check_same(int descriptor) const noexcept {
  struct stat status{};
  if (::fstat(descriptor, &status) != 0) {
    return from_host_errno(errno);
  }
  const bool same = status.st_dev == host_device_ && status.st_ino == inode_;
  return same ? Result<void>() : Result<void>(Errno::ebusy);
}

bool MediaFile::is_whole() const noexcept {
  struct stat status{};
  return ::fstat(file_.number(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) >= size_;
}

Result<void> MediaFile::read(std::uint64_t offset, std::span<std::byte> to) const noexcept {
  while (!to.empty()) {
    const ssize_t got = ::pread(file_.number(), to.data(), to.size(), static_cast<off_t>(offset));
    if (got == 0 || (got < 0 && errno != EINTR)) {
      return Errno::eio;
    }
    if (got > 0) {
      offset += static_cast<std::uint64_t>(got);
      to = to.subspan(static_cast<std::size_t>(got));
    }
  }
  return {};
}

Result<void> MediaFile::write(std::uint64_t offset, std::span<const std::byte> from) const noexcept {
  while (!from.empty()) {
    const ssize_t put = ::pwrite(file_.number(), from.data(), from.size(), static_cast<off_t>(offset));
    if (put < 0 && errno != EINTR) {
      return errno == ENOSPC || errno == EDQUOT ? Errno::enospc : Errno::eio;
    }
    if (put > 0) {
      offset += static_cast<std::uint64_t>(put);
      from = from.subspan(static_cast<std::size_t>(put));
    }
  }
  return {};
}

}  // namespace sim
DAXSIM_END
