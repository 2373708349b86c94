// SPDX-License-Identifier: BSD-3-Clause
// The two command sets of NOR flash as tables: which bus cycles mean which command (F10.3). The chip reads the tables to
// understand, the driver to speak.
#pragma once

#include <array>
#include <cstdint>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/sim_devices/nor_part.hpp"

DAXSIM_BEGIN
namespace sim {

enum class NorCommand : std::uint8_t {
  read_array,
  read_status,
  read_identifier,
  read_cfi,
  clear_status,
  program_word,    // then one cycle: address and word
  program_buffer,  // then the number of words less one, the words, and confirm_buffer in the same block
  confirm_buffer,
  erase_block,   // the last cycle's address says which
  lock_block,    // as erase_block
  unlock_block,  // as erase_block
  suspend,
  resume,
  abort_reset,  // ends the error of a broken buffer sequence
};

// Where a cycle goes: two fixed word addresses, of which the chip sees 11 bits, or an address that means something.
enum class NorCycleAt : std::uint8_t { target, unlock_1, unlock_2 };
inline constexpr std::uint64_t kUnlock1 = 0x555;
inline constexpr std::uint64_t kUnlock2 = 0x2aa;
inline constexpr std::uint64_t kUnlockMask = 0x7ff;

struct NorCycle {
  NorCycleAt at = NorCycleAt::target;
  std::uint8_t data = 0;
};

inline constexpr unsigned kMaxCycles = 6;
struct NorSequence {
  NorCommand command;
  std::uint8_t cycles;
  std::array<NorCycle, kMaxCycles> cycle;
};

namespace nor_tables {

inline constexpr auto kTarget = NorCycleAt::target;
inline constexpr auto kFirst = NorCycleAt::unlock_1;
inline constexpr auto kSecond = NorCycleAt::unlock_2;

// The first row of a command is what the driver says; the chip understands all. confirm_buffer comes last: the chip looks
// for it only while it collects a buffer.
inline constexpr NorSequence kIntel[] = {
    {NorCommand::read_array, 1, {{{kTarget, 0xff}}}},
    {NorCommand::read_status, 1, {{{kTarget, 0x70}}}},
    {NorCommand::read_identifier, 1, {{{kTarget, 0x90}}}},
    {NorCommand::read_cfi, 1, {{{kTarget, 0x98}}}},
    {NorCommand::clear_status, 1, {{{kTarget, 0x50}}}},
    {NorCommand::program_word, 1, {{{kTarget, 0x40}}}},
    {NorCommand::program_word, 1, {{{kTarget, 0x10}}}},
    {NorCommand::program_buffer, 1, {{{kTarget, 0xe8}}}},
    {NorCommand::erase_block, 2, {{{kTarget, 0x20}, {kTarget, 0xd0}}}},
    {NorCommand::lock_block, 2, {{{kTarget, 0x60}, {kTarget, 0x01}}}},
    {NorCommand::unlock_block, 2, {{{kTarget, 0x60}, {kTarget, 0xd0}}}},
    {NorCommand::suspend, 1, {{{kTarget, 0xb0}}}},
    {NorCommand::resume, 1, {{{kTarget, 0xd0}}}},
    {NorCommand::confirm_buffer, 1, {{{kTarget, 0xd0}}}},
};

inline constexpr NorSequence kAmd[] = {
    {NorCommand::read_array, 1, {{{kTarget, 0xf0}}}},
    {NorCommand::read_identifier, 3, {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0x90}}}},
    {NorCommand::read_cfi, 1, {{{kTarget, 0x98}}}},
    {NorCommand::program_word, 3, {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0xa0}}}},
    {NorCommand::program_buffer, 3, {{{kFirst, 0xaa}, {kSecond, 0x55}, {kTarget, 0x25}}}},
    {NorCommand::erase_block,
     6,
     {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0x80}, {kFirst, 0xaa}, {kSecond, 0x55}, {kTarget, 0x30}}}},
    {NorCommand::lock_block, 5, {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0xe0}, {kTarget, 0xa0}, {kTarget, 0x00}}}},
    {NorCommand::unlock_block,
     5,
     {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0xe0}, {kTarget, 0xa0}, {kTarget, 0x01}}}},
    {NorCommand::suspend, 1, {{{kTarget, 0xb0}}}},
    {NorCommand::resume, 1, {{{kTarget, 0x30}}}},
    {NorCommand::abort_reset, 3, {{{kFirst, 0xaa}, {kSecond, 0x55}, {kFirst, 0xf0}}}},
    {NorCommand::confirm_buffer, 1, {{{kTarget, 0x29}}}},
};

}  // namespace nor_tables

constexpr std::span<const NorSequence> nor_table(NorCommandSet set) noexcept {
  return set == NorCommandSet::intel ? std::span<const NorSequence>(nor_tables::kIntel)
                                     : std::span<const NorSequence>(nor_tables::kAmd);
}

// What the driver says for a command; null: the set has none.
constexpr const NorSequence* nor_sequence(NorCommandSet set, NorCommand command) noexcept {
  for (const NorSequence& sequence : nor_table(set)) {
    if (sequence.command == command) {
      return &sequence;
    }
  }
  return nullptr;
}

// The status register of set 0001 (F10.3).
namespace intel_status {
inline constexpr std::uint16_t kReady = 0x80;
inline constexpr std::uint16_t kEraseSuspended = 0x40;
inline constexpr std::uint16_t kEraseError = 0x20;
inline constexpr std::uint16_t kProgramError = 0x10;
inline constexpr std::uint16_t kNoVpp = 0x08;
inline constexpr std::uint16_t kProgramSuspended = 0x04;
inline constexpr std::uint16_t kLocked = 0x02;
inline constexpr std::uint16_t kOtherPartition = 0x01;  // the operation is in another one
inline constexpr std::uint16_t kErrors = kEraseError | kProgramError | kNoVpp | kLocked;
}  // namespace intel_status

// What a busy chip of set 0002 shows in place of data.
namespace amd_status {
inline constexpr std::uint16_t kPolling = 0x80;      // DQ7: the inverse of the data that is programmed; 0 in an erase
inline constexpr std::uint16_t kToggle = 0x40;       // DQ6: changes with each read while busy
inline constexpr std::uint16_t kFailed = 0x20;       // DQ5: the operation did not succeed
inline constexpr std::uint16_t kEraseBegun = 0x08;   // DQ3
inline constexpr std::uint16_t kEraseToggle = 0x04;  // DQ2: changes with each read in the block that is erased
inline constexpr std::uint16_t kAborted = 0x02;      // DQ1: the buffer sequence was broken
}  // namespace amd_status

}  // namespace sim
DAXSIM_END
