// SPDX-License-Identifier: BSD-3-Clause
#include "nor_geometry.hpp"

#include <algorithm>
#include <bit>
#include <cassert>

DAXSIM_BEGIN
namespace sim {
namespace {

struct BlockAt {
  ByteRange bytes;
  std::uint32_t index = 0;
  std::chrono::nanoseconds erase{};
};

BlockAt block_at(const NorPart& part, std::uint64_t address) noexcept {
  std::uint64_t start = 0;
  std::uint32_t index = 0;
  for (const EraseRegion& region : part.regions) {
    const std::uint64_t length = std::uint64_t{region.blocks} * region.block_bytes;
    if (address - start < length) {
      const std::uint64_t i = (address - start) / region.block_bytes;
      return {.bytes = {start + i * region.block_bytes, region.block_bytes},
              .index = index + static_cast<std::uint32_t>(i),
              .erase = region.erase};
    }
    start += length;
    index += region.blocks;
  }
  assert(false && "inside the chip");
  return {};
}

}  // namespace

ByteRange nor_block(const NorPart& part, std::uint64_t address) noexcept { return block_at(part, address).bytes; }

std::uint32_t nor_block_index(const NorPart& part, std::uint64_t address) noexcept {
  return block_at(part, address).index;
}

std::chrono::nanoseconds nor_erase_time(const NorPart& part, std::uint64_t address) noexcept {
  return block_at(part, address).erase;
}

std::chrono::nanoseconds nor_program_time(const NorPart& part, std::uint64_t bytes) noexcept {
  return bytes <= part.bus_bytes ? part.program_word : part.program_byte * static_cast<std::int64_t>(bytes);
}

std::uint16_t nor_cfi(const NorPart& part, std::uint64_t word_address) noexcept {
  const auto log2 = [](std::uint64_t number) {
    return static_cast<std::uint16_t>(number <= 1 ? 0 : std::bit_width(number - 1));
  };
  const auto log2_time = [&log2](std::chrono::nanoseconds time, std::chrono::nanoseconds unit) {
    return log2(static_cast<std::uint64_t>((time + unit - std::chrono::nanoseconds(1)) / unit));
  };
  const auto set = static_cast<std::uint16_t>(part.commands);
  constexpr std::uint64_t kRegions = 0x2d;  // four words each
  switch (word_address) {
    case 0x10:
      return 'Q';
    case 0x11:
      return 'R';
    case 0x12:
      return 'Y';
    case 0x13:
      return set & 0xff;
    case 0x14:
      return set >> 8;
    case 0x1f:
      return log2_time(part.program_word, std::chrono::microseconds(1));
    case 0x20:
      return log2_time(nor_program_time(part, part.buffer_bytes), std::chrono::microseconds(1));
    case 0x21:
      return log2_time(std::ranges::max_element(part.regions, {}, &EraseRegion::erase)->erase,
                       std::chrono::milliseconds(1));
    case 0x23:
    case 0x24:
    case 0x25:
      return part.limit_shift;
    case 0x27:
      return log2(part.size());
    case 0x28:
      return part.bus_bytes - 1;
    case 0x2a:
      return log2(part.buffer_bytes);
    case 0x2c:
      return static_cast<std::uint16_t>(std::ranges::count_if(part.regions, &EraseRegion::blocks));
    default:
      break;
  }
  if (word_address < kRegions || word_address >= kRegions + 4 * part.regions.size()) {
    return 0;
  }
  const EraseRegion& region = part.regions[(word_address - kRegions) / 4];
  if (region.blocks == 0) {
    return 0;
  }
  const std::uint32_t words[] = {(region.blocks - 1) & 0xff, (region.blocks - 1) >> 8, (region.block_bytes >> 8) & 0xff,
                                 region.block_bytes >> 16};
  return static_cast<std::uint16_t>(words[(word_address - kRegions) % 4]);
}

}  // namespace sim
DAXSIM_END
