// SPDX-License-Identifier: BSD-3-Clause
// BlockDevice: sectors as one machine sees them. Implemented by sim_devices for devices that are not direct; nobody else
// needs to know of it, since Attachment asks for bytes.
//
// A write is in the device's cache when it returns and on the media after the next fence (REQ_PREFLUSH). Each sector of it
// reaches the media whole, in any order with the others.
//
// Threads: every call from any thread at once. Nothing here may touch user memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device_view.hpp"

DAXSIM_BEGIN

class BlockDevice : public DeviceView {
 public:
  // Both move whole sectors (kSectorSize) inside the device. Context: fault path; may wait for the host's disk.

  // Errors: Errno::eio (the host could not read the media).
  virtual Result<void> read_sectors(std::uint64_t sector, std::span<std::byte> to) noexcept = 0;
  // After an error a part of the sectors may have been written.
  // Errors: Errno::eio (the host could not write the media), Errno::enospc (the host disk is full), Errno::enomem (no
  // memory to remember the old sectors).
  virtual Result<void> write_sectors(std::uint64_t sector, std::span<const std::byte> from) noexcept = 0;

 private:
  // By whole sectors; Errno::einval if they are not.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept final;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept final;
  Result<void> zero(ByteRange bytes) noexcept final;
};

DAXSIM_END
