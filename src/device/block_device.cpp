// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/block_device.hpp"

#include <algorithm>
#include <array>

#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace {

constexpr std::array<std::byte, kPageSize> kZeroes{};

bool are_sectors(ByteRange bytes) noexcept { return (bytes.offset | bytes.length) % kSectorSize == 0; }

}  // namespace

Result<void> BlockDevice::read(std::uint64_t offset, std::span<std::byte> to) noexcept {
  return are_sectors({offset, to.size()}) ? read_sectors(offset / kSectorSize, to) : Errno::einval;
}

Result<void> BlockDevice::write(std::uint64_t offset, std::span<const std::byte> from) noexcept {
  return are_sectors({offset, from.size()}) ? write_sectors(offset / kSectorSize, from) : Errno::einval;
}

Result<void> BlockDevice::zero(ByteRange bytes) noexcept {
  if (!are_sectors(bytes)) {
    return Errno::einval;
  }
  for (std::uint64_t done = 0; done < bytes.length; done += kZeroes.size()) {
    const std::span zeroes = std::span(kZeroes).first(std::min(bytes.length - done, kZeroes.size()));
    DAXSIM_TRY_VOID(write_sectors((bytes.offset + done) / kSectorSize, zeroes));
  }
  return {};
}

DAXSIM_END
