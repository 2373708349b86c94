// SPDX-License-Identifier: BSD-3-Clause
// A simulated block device that is not direct, with a volatile write cache: sim::RamDisk{.size = 64_MiB}. Files on it go
// through the page cache.
//
// A sector that was written is lost at a power cut unless the device was flushed since (Attachment::fence, REQ_PREFLUSH):
// it then has any of the values it had since the last flush, as PowerCut says. Sectors are never torn.
#pragma once

#include <cstdint>
#include <filesystem>
#include <memory>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device.hpp"

DAXSIM_BEGIN
namespace sim {

struct RamDisk {
  std::filesystem::path media{};  // the media file; created when missing. Empty: in memory, as long as the device lives
  std::uint64_t size = 0;         // bytes, 1 MiB to 1 TiB, multiple of 2 MiB or exactly 1 MiB; 0: as the file is
  bool write_cache = true;        // false: a write is on the media when it returns
};

// The media file is locked, created and kept as that of a Pmem. It is written when a sector is, so a killed process leaves
// everything in it that was flushed, and maybe more.
//
// Errors: Errno::einval (size out of range or not a multiple; neither media nor size), Errno::ebusy (the media file is open
// as a device); other trouble with the media file as for a Pmem. Context: may wait for the disk.
Result<std::shared_ptr<Device>> open(const RamDisk& config);

}  // namespace sim
DAXSIM_END
