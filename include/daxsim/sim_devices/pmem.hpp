// SPDX-License-Identifier: BSD-3-Clause
// A simulated persistent-memory device whose media is a file: sim::Pmem{.path = "kv.pmem", .size = 64_MiB}.
//
// The file holds exactly what a pmem would hold after a power cut. A process that is killed at any moment leaves in it
// everything that was fenced, and nothing torn below 8 bytes (adr).
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
  adr,  // a store is durable once its line is flushed and fenced
  // Caches are inside the persistence domain: nothing is lost at a power cut, so no line has a choice. A flush still
  // writes the file, to keep it up to date; a killed process may leave older lines there (the SIGKILL promise is for
  // adr only).
  eadr,
};

struct Pmem {
  std::filesystem::path path{};  // the media file; created when missing
  std::uint64_t size = 0;        // bytes, 1 MiB to 1 TiB, multiple of 2 MiB or exactly 1 MiB; 0: as the file is
  PersistenceDomain domain = PersistenceDomain::adr;
  // The device's write-cache flag: what the kernel believes. false: dax_flush does nothing. Right on eadr; on adr it is
  // the misconfiguration by which stores are lost at a power cut.
  bool write_cache = true;
  bool synchronous = true;  // false: MAP_SYNC is refused
};

// Opens the media file, or creates it sparse; an empty file counts as missing. The file stays locked (flock) until the
// last reference to the device or to a view of it is gone, also by a child process that fork() left with them. It is
// never truncated, and nothing in it changes before the first flush. Until then the file is the device's: whoever
// truncates it nevertheless gets eio out of calls that notice, and the host's SIGBUS out of those that cannot.
//
// Blocks are reserved before lines are written to them, 64 KiB at a time, so that a full disk is Errno::enospc from
// flush. Host file systems that copy on write or compress may break that promise.
//
// Errors: Errno::einval (size out of range or not a multiple; the file is no regular file; the file's size is not
// `size`; size 0 for a file that does not exist), Errno::ebusy (another process, or this one, has it open as a device;
// it is being executed, or was replaced while it was opened), Errno::eacces (permissions), Errno::eperm (the file is
// sealed or immutable), Errno::erofs (read-only file system), Errno::enoent, Errno::enotdir (no such folder),
// Errno::enametoolong, Errno::enospc (no room for the file), Errno::efbig (the process's or the file system's limit on
// the size of a file), Errno::emfile, Errno::enfile, Errno::enomem, Errno::eio (the host could not, for other reasons).
// Context: may wait for the disk.
Result<std::shared_ptr<Device>> open(const Pmem& config);

}  // namespace sim
DAXSIM_END
