// SPDX-License-Identifier: BSD-3-Clause
#include "pmem_media.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/file_mapping.hpp>
#include <system_error>
#include <utility>

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr std::uint64_t kSmallest = std::uint64_t{1} << 20;
constexpr std::uint64_t kLargest = std::uint64_t{1} << 40;

bool valid_size(std::uint64_t bytes) noexcept {
  return bytes == kSmallest || (bytes != 0 && bytes <= kLargest && bytes % kPmdSize == 0);
}

// The media of this process. flock alone would do on a local file system; on others it may be emulated by locks that
// belong to the process and so do not keep the process from itself.
constinit Mutex media_lock{LockRank::media};
constinit PmemMedia* media_list DAXSIM_GUARDED_BY(media_lock) = nullptr;

Errno open_error(int host_errno, const Pmem& config) {
  switch (host_errno) {
    case EISDIR:
    case ENXIO:  // a socket, or a pipe
      return Errno::einval;
    case ETXTBSY:
      return Errno::ebusy;
    case ENOENT: {
      const std::filesystem::path folder = config.path.parent_path();
      std::error_code ignored;
      const bool folder_exists = folder.empty() || std::filesystem::is_directory(folder, ignored);
      return config.size == 0 && folder_exists && !config.path.empty() ? Errno::einval : Errno::enoent;
    }
    default:
      return from_host_errno(host_errno);
  }
}

}  // namespace

Result<std::shared_ptr<PmemMedia>> PmemMedia::open(const Pmem& config) {
  if (config.size != 0 && !valid_size(config.size)) {
    return Errno::einval;
  }
  std::shared_ptr<PmemMedia> media(new PmemMedia);
  media->name_ = config.path.filename().string();

  // O_NONBLOCK: a pipe or a device in the place of the file is an error and not a wait.
  const int flags = O_RDWR | O_CLOEXEC | O_NOCTTY | O_NONBLOCK | (config.size != 0 ? O_CREAT : 0);
  media->file_ = Descriptor(::open(config.path.c_str(), flags, 0666));
  if (!media->file_.is_open()) {
    return open_error(errno, config);
  }
  DAXSIM_TRY_VOID(media->enlist());
  DAXSIM_TRY_VOID(media->settle_size(config.size));
  DAXSIM_TRY_VOID(media->map(config.path));
  DAXSIM_TRY(media->reserved_, PageSet::create(pages_for(media->size_) / kPagesPerChunk));
  return media;
}

PmemMedia::~PmemMedia() {
  if (!enlisted_) {
    return;
  }
  const MutexLock guard(media_lock);
  PmemMedia** link = &media_list;
  while (*link != this) {
    link = &(*link)->next_;
  }
  *link = next_;
}

// Keeps others out: other processes by the lock, this one by the list.
Result<void> PmemMedia::enlist() noexcept {
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
  for (const PmemMedia* other = media_list; other != nullptr; other = other->next_) {
    if (other->host_device_ == host_device_ && other->inode_ == inode_) {
      return Errno::ebusy;
    }
  }
  next_ = std::exchange(media_list, this);
  enlisted_ = true;
  return {};
}

// Under the lock, so that nobody else is creating the same file.
Result<void> PmemMedia::settle_size(std::uint64_t wanted) noexcept {
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
  if (!valid_size(found) || (wanted != 0 && wanted != found)) {
    return Errno::einval;
  }
  size_ = found;
  return {};
}

Result<void> PmemMedia::map(const std::filesystem::path& path) {
  namespace ipc = boost::interprocess;
  try {
    const ipc::file_mapping mapping(path.c_str(), ipc::read_write);
    // It opens by name; the name may mean another file by now.
    struct stat status{};
    if (::fstat(mapping.get_mapping_handle().handle, &status) != 0) {
      return from_host_errno(errno);
    }
    if (status.st_dev != host_device_ || status.st_ino != inode_) {
      return Errno::ebusy;
    }
    region_ = ipc::mapped_region(mapping, ipc::read_write, 0, size_);
  } catch (const ipc::interprocess_exception& error) {
    return from_host_errno(error.get_native_error());
  }
  return {};
}

bool PmemMedia::whole() const noexcept {
  struct stat status{};
  return ::fstat(file_.number(), &status) == 0 && static_cast<std::uint64_t>(status.st_size) >= size_;
}

Result<void> PmemMedia::read(std::uint64_t offset, std::span<std::byte> to) const noexcept {
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

// Sets extent_ to the run of data or holes that has byte `at`, from there on. Errors: Errno::eio (the file was
// truncated).
Result<void> PmemMedia::ask_for_extent(std::uint64_t at) noexcept {
  const off_t data = ::lseek(file_.number(), static_cast<off_t>(at), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    if (!whole()) {
      return Errno::eio;
    }
    extent_ = {.start = at, .end = size_, .data = false};
  } else if (data < 0) {
    extent_ = {.start = at, .end = size_, .data = true};  // the file system does not know its holes
  } else if (static_cast<std::uint64_t>(data) > at) {
    extent_ = {.start = at, .end = static_cast<std::uint64_t>(data), .data = false};
  } else {
    const off_t hole = ::lseek(file_.number(), data, SEEK_HOLE);
    extent_ = {.start = at, .end = hole < 0 ? size_ : static_cast<std::uint64_t>(hole), .data = true};
  }
  return {};
}

Result<void> PmemMedia::load(std::uint64_t chunk, std::byte* to) noexcept {
  const std::uint64_t start = chunk * kChunkSize;
  const std::uint64_t end = start + kChunkSize;
  if (reserved(chunk)) {
    // Written since the file was opened: what is remembered of it, and the host's idea of a hole, may be out of date.
    return read(start, {to, kChunkSize});
  }
  for (std::uint64_t at = start; at < end;) {
    if (at < extent_.start || at >= extent_.end) {
      DAXSIM_TRY_VOID(ask_for_extent(at));
    }
    const std::uint64_t part_end = std::min(end, extent_.end);
    if (extent_.data) {
      DAXSIM_TRY_VOID(read(at, {to + (at - start), part_end - at}));
    }
    at = part_end;
  }
  return {};
}

Result<void> PmemMedia::reserve(std::uint64_t chunk) noexcept {
  const MutexLock guard(lock_);
  if (reserved(chunk)) {
    return {};
  }
  if (!whole()) {
    return Errno::eio;  // reserving would make a truncated file whole again, without its data
  }
  int error = EINTR;
  while (error == EINTR) {
    error = ::posix_fallocate(file_.number(), static_cast<off_t>(chunk * kChunkSize), kChunkSize);
  }
  if (error == ENOSPC || error == EDQUOT) {
    return Errno::enospc;
  }
  if (error != 0) {
    return from_host_errno(error);
  }
  reserved_.insert(chunk);
  return {};
}

}  // namespace sim
DAXSIM_END
