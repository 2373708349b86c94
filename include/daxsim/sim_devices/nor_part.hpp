// SPDX-License-Identifier: BSD-3-Clause
// What distinguishes one NOR flash part from another, as data, and three parts ready-made. docs/nor-flash.md says which of
// their numbers are from data sheets and which are estimates.
//
// A part with other numbers is a NorPart of your own: small ones make exhaustive tests fast.
#pragma once

#include <array>
#include <chrono>
#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace sim {

// How the part is spoken to, by its number in the CFI tables (F10.3).
enum class NorCommandSet : std::uint16_t {
  intel = 0x0001,  // Intel/Sharp: a status register for each partition
  amd = 0x0002,    // AMD/Fujitsu: unlock cycles; a busy part shows toggling bits in place of its data
};

// Erase blocks of one size, side by side.
struct EraseRegion {
  std::uint32_t blocks = 0;          // 0: no more regions
  std::uint32_t block_bytes = 0;     // a multiple of the write buffer and of the bus width
  std::chrono::nanoseconds erase{};  // typical time to erase one block
};

struct NorPart {
  NorCommandSet commands = NorCommandSet::intel;
  std::uint16_t manufacturer = 0;
  std::uint16_t device = 0;
  std::uint8_t bus_bytes = 2;            // 1 or 2: a word, what one bus cycle moves
  std::uint32_t buffer_bytes = 0;        // write buffer, a power of two; 0: there is none
  std::uint32_t partitions = 1;          // of equal size; each is read while another is busy
  std::array<EraseRegion, 4> regions{};  // from address 0 up

  bool locked_at_power_up = false;  // every block, until it is unlocked
  bool suspends_erase = true;
  bool suspends_program = true;
  bool program_in_erase_suspend = true;  // into other blocks
  bool refuses_ones = false;  // a program that wants a 1 where a 0 is fails; the other bits are cleared all the same

  std::chrono::nanoseconds read_initial{};  // the first word of a page
  std::chrono::nanoseconds read_page{};     // each further word of the same page
  std::uint32_t page_bytes = 8;             // a power of two
  std::chrono::nanoseconds program_word{};  // one word
  std::chrono::nanoseconds program_byte{};  // each byte through the write buffer
  std::chrono::nanoseconds suspend{};       // from the command until the array can be read
  std::uint8_t limit_shift = 3;             // an operation may take its typical time << limit_shift
  std::uint32_t endurance = 100'000;        // erases of a block before it begins to fail

  // Bytes.
  [[nodiscard]] constexpr std::uint64_t size() const noexcept {
    std::uint64_t bytes = 0;
    for (const EraseRegion& region : regions) {
      bytes += std::uint64_t{region.blocks} * region.block_bytes;
    }
    return bytes;
  }
  [[nodiscard]] constexpr std::uint32_t blocks() const noexcept {
    std::uint32_t count = 0;
    for (const EraseRegion& region : regions) {
      count += region.blocks;
    }
    return count;
  }
};

namespace parts {

// P30, 130 nm, 256 Mbit (32 MiB), bottom boot: four parameter blocks of 32 KiB, then blocks of 128 KiB. F10.4.
inline constexpr NorPart p30{
    .commands = NorCommandSet::intel,
    .manufacturer = 0x0089,
    .device = 0x891c,
    .bus_bytes = 2,
    .buffer_bytes = 64,
    .regions = {{{.blocks = 4, .block_bytes = 32 << 10, .erase = std::chrono::milliseconds(400)},
                 {.blocks = 255, .block_bytes = 128 << 10, .erase = std::chrono::milliseconds(1200)}}},
    .locked_at_power_up = true,
    .read_initial = std::chrono::nanoseconds(85),
    .read_page = std::chrono::nanoseconds(25),
    .page_bytes = 8,
    .program_word = std::chrono::microseconds(150),
    .program_byte = std::chrono::microseconds(7),
    .suspend = std::chrono::microseconds(20),
    .limit_shift = 2,
};

// Of the class of the S29GL-P, 1 Gbit (128 MiB): blocks of 128 KiB. F10.4, estimates.
inline constexpr NorPart s29gl_p{
    .commands = NorCommandSet::amd,
    .manufacturer = 0x0001,
    .device = 0x227e,
    .bus_bytes = 2,
    .buffer_bytes = 64,
    .regions = {{{.blocks = 1024, .block_bytes = 128 << 10, .erase = std::chrono::milliseconds(500)}}},
    .refuses_ones = true,
    .read_initial = std::chrono::nanoseconds(100),
    .read_page = std::chrono::nanoseconds(25),
    .page_bytes = 16,
    .program_word = std::chrono::microseconds(60),
    .program_byte = std::chrono::nanoseconds(7500),
    .suspend = std::chrono::microseconds(25),
    .limit_shift = 3,
};

// Of the class of the W25Q, 128 Mbit (16 MiB): a serial part of sectors of 4 KiB behind a controller that maps it into
// memory and speaks command set 0002 for it. F10.4, estimates.
inline constexpr NorPart w25q{
    .commands = NorCommandSet::amd,
    .manufacturer = 0x00ef,
    .device = 0x4018,
    .bus_bytes = 1,
    .buffer_bytes = 256,
    .regions = {{{.blocks = 4096, .block_bytes = 4 << 10, .erase = std::chrono::milliseconds(45)}}},
    .read_initial = std::chrono::nanoseconds(500),
    .read_page = std::chrono::nanoseconds(17),
    .page_bytes = 256,
    .program_word = std::chrono::microseconds(30),
    .program_byte = std::chrono::nanoseconds(2000),
    .suspend = std::chrono::microseconds(20),
    .limit_shift = 3,
};

}  // namespace parts
}  // namespace sim
DAXSIM_END
