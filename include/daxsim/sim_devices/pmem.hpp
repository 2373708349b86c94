// SPDX-License-Identifier: BSD-3-Clause
// A simulated persistent-memory device whose media is a file.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device.hpp"

DAXSIM_BEGIN
namespace sim {

enum class PersistenceDomain : std::uint8_t {
  adr,   // a store is durable once its line is flushed and fenced
  eadr,  // caches are inside the persistence domain: nothing is lost at a power cut (SIGKILL promises are for adr only)
};

struct Pmem {
  std::filesystem::path path;         // the media file; created when missing
  std::uint64_t size = 0;             // bytes, 1 MiB to 1 TiB, multiple of 2 MiB or exactly 1 MiB; 0: as the file is
  PersistenceDomain domain = PersistenceDomain::adr;
  bool write_cache = true;            // false: flush is not needed and does nothing (the device's write-cache flag)
  bool synchronous = true;            // false: MAP_SYNC is refused
};

// Opens the media file, or creates it sparse. The file stays locked (flock) until the last reference to the device is
// gone; it is never truncated, and nothing in it changes before the first flush.
// Errors: Errno::einval (size out of range or not a multiple; the file is no regular file; the file's size is not
// `size`; size 0 for a file that does not exist), Errno::ebusy (another process, or this one, has it open as a device),
// Errno::eacces (permissions), Errno::erofs (read-only file or file system), Errno::enoent (no such folder),
// Errno::enospc (no room for the file), Errno::emfile, Errno::enomem, Errno::eio. Context: may wait for the disk.
Result<std::shared_ptr<Device>> open(const Pmem& config);

}  // namespace sim
DAXSIM_END
