// SPDX-License-Identifier: BSD-3-Clause
#include "pmem_media.hpp"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <boost/interprocess/exceptions.hpp>
#include <boost/interprocess/file_mapping.hpp>

DAXSIM_BEGIN
namespace sim {

Result<std::shared_ptr<PmemMedia>> PmemMedia::open(const Pmem& config) {
  std::shared_ptr<PmemMedia> media(new PmemMedia);
  DAXSIM_TRY_VOID(media->file_.open(config.path, config.size));
  DAXSIM_TRY_VOID(media->map(config.path));
  DAXSIM_TRY(media->reserved_, PageSet::create(pages_for(media->size()) / kPagesPerChunk));
  return media;
}

Result<void> PmemMedia::map(const std::filesystem::path& path) {
  namespace ipc = boost::interprocess;
  try {
    const ipc::file_mapping mapping(path.c_str(), ipc::read_write);
    // It opens by name; the name may mean another file by now.
    DAXSIM_TRY_VOID(file_.check_same(mapping.get_mapping_handle().handle));
    region_ = ipc::mapped_region(mapping, ipc::read_write, 0, size());
  } catch (const ipc::interprocess_exception& error) {
    return from_host_errno(error.get_native_error());
  }
  return {};
}

// Sets extent_ to the run of data or holes that has byte `at`, from there on. Errors: Errno::eio (the file was
// truncated).
Result<void> PmemMedia::ask_for_extent(std::uint64_t at) noexcept {
  const off_t data = ::lseek(file_.file().number(), static_cast<off_t>(at), SEEK_DATA);
  if (data < 0 && errno == ENXIO) {
    if (!file_.is_whole()) {
      return Errno::eio;
    }
    extent_ = {.start = at, .end = size(), .data = false};
  } else if (data < 0) {
    extent_ = {.start = at, .end = size(), .data = true};  // the file system does not know its holes
  } else if (static_cast<std::uint64_t>(data) > at) {
    extent_ = {.start = at, .end = static_cast<std::uint64_t>(data), .data = false};
  } else {
    const off_t hole = ::lseek(file_.file().number(), data, SEEK_HOLE);
    extent_ = {.start = at, .end = hole < 0 ? size() : static_cast<std::uint64_t>(hole), .data = true};
  }
  return {};
}

Result<bool> PmemMedia::load(std::uint64_t chunk, std::byte* to) noexcept {
  const std::uint64_t start = chunk * kChunkSize;
  const std::uint64_t end = start + kChunkSize;
  if (reserved(chunk)) {
    // Written since the file was opened: what is remembered of it, and the host's idea of a hole, may be out of date.
    DAXSIM_TRY_VOID(read(start, {to, kChunkSize}));
    return true;
  }
  bool has_data = false;
  for (std::uint64_t at = start; at < end;) {
    if (at < extent_.start || at >= extent_.end) {
      DAXSIM_TRY_VOID(ask_for_extent(at));
    }
    const std::uint64_t part_end = std::min(end, extent_.end);
    if (extent_.data) {
      DAXSIM_TRY_VOID(read(at, {to + (at - start), part_end - at}));
      has_data = true;
    }
    at = part_end;
  }
  return has_data;
}

Result<void> PmemMedia::reserve(std::uint64_t chunk) noexcept {
  const MutexLock guard(lock_);
  if (reserved(chunk)) {
    return {};
  }
  if (!file_.is_whole()) {
    return Errno::eio;  // reserving would make a truncated file whole again, without its data
  }
  int error = EINTR;
  while (error == EINTR) {
    error = ::posix_fallocate(file_.file().number(), static_cast<off_t>(chunk * kChunkSize), kChunkSize);
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
