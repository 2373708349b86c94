// SPDX-License-Identifier: BSD-3-Clause
// What follows from the numbers of a NOR part: where its blocks are, how long its operations take, its CFI tables.
//
// Addresses are bytes of one chip, inside it.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/sim_devices/nor_part.hpp"

DAXSIM_BEGIN
namespace sim {

inline constexpr std::byte kErased{0xff};

constexpr bool contains(ByteRange bytes, std::uint64_t address) noexcept {
  return address - bytes.offset < bytes.length;
}

ByteRange nor_block(const NorPart& part, std::uint64_t address) noexcept;
std::uint32_t nor_block_index(const NorPart& part, std::uint64_t address) noexcept;
// Typical time of an erase of the block at `address`.
std::chrono::nanoseconds nor_erase_time(const NorPart& part, std::uint64_t address) noexcept;
// Typical time of a program of `bytes`.
std::chrono::nanoseconds nor_program_time(const NorPart& part, std::uint64_t bytes) noexcept;

// The word at a word address of the CFI tables; 0 where they have nothing.
std::uint16_t nor_cfi(const NorPart& part, std::uint64_t word_address) noexcept;

}  // namespace sim
DAXSIM_END
