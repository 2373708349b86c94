// SPDX-License-Identifier: BSD-3-Clause
// What a power cut leaves of the operations in flight (docs/nor-flash.md, "A power cut").
#include <algorithm>
#include <cassert>
#include <cstring>

#include "nor_chip.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

// The outcomes of a program that changes something: nothing, six torn ones, all.
constexpr std::uint32_t kProgramOutcomes = 8;

// Of the bits that a program has yet to clear in byte `i` of `count`, those that it has cleared.
constexpr std::uint8_t torn_mask(std::uint32_t outcome, std::uint64_t i, std::uint64_t count,
                                 std::uint64_t random) noexcept {
  switch (outcome) {
    case 1:
      return i < count / 2 ? 0xff : 0;
    case 2:
      return i < count / 2 ? 0 : 0xff;
    case 3:
      return 0x0f;
    case 4:
      return 0xf0;
    default:
      return static_cast<std::uint8_t>(random);
  }
}

}  // namespace

void NorChip::pending_operations(std::uint64_t base, std::vector<LineHistory>& operations) {
  settle();
  const auto begin = static_cast<std::ptrdiff_t>(operations.size());
  if (program_.phase != Phase::idle) {
    bool changes_bits = false;
    for (std::uint64_t address = program_.bytes.offset; address < program_.bytes.end(); ++address) {
      changes_bits |= (cells_.bytes[address] & ~program_.data[address & (program_.data.size() - 1)]) != std::byte{0};
    }
    if (changes_bits) {
      operations.push_back({.offset = base + program_.bytes.offset, .outcomes = kProgramOutcomes});
    }
  }
  if (erase_.phase != Phase::idle) {
    operations.push_back({.offset = base + erase_.bytes.offset, .outcomes = kEraseOutcomes});
  }
  std::ranges::sort(operations.begin() + begin, operations.end(), {}, &LineHistory::offset);
}

void NorChip::cut_program(std::uint32_t outcome, NorCells cells) const {
  for (std::uint64_t i = 0; i < program_.bytes.length && outcome != 0; ++i) {
    const std::uint64_t address = program_.bytes.offset + i;
    const std::byte old = cells.bytes[address];
    const std::byte pending = old & ~program_.data[address & (program_.data.size() - 1)];
    const std::uint8_t mask =
        outcome == kProgramOutcomes - 1 ? 0xff : torn_mask(outcome, i, program_.bytes.length, noise(address, outcome));
    store(cells, address, old & ~(pending & std::byte{mask}));
  }
}

void NorChip::cut_erase(EraseOutcome outcome, NorCells cells) const {
  if (outcome == EraseOutcome::nothing) {
    return;
  }
  const ByteRange bytes = erase_.bytes;
  const std::span block = cells.bytes.subspan(bytes.offset, bytes.length);
  NorMark& mark = cells.marks[nor_block_index(part_, bytes.offset)];
  if (outcome == EraseOutcome::random) {
    for (std::size_t i = 0; i < block.size(); i += sizeof(std::uint64_t)) {
      const std::uint64_t random = noise(mark.erases, bytes.offset + i);
      std::memcpy(&block[i], &random, std::min(sizeof random, block.size() - i));
    }
  } else {
    const std::size_t count = outcome == EraseOutcome::half ? block.size() / 2 : block.size();
    std::ranges::fill(block.first(count), outcome == EraseOutcome::all_zeroes ? std::byte{0} : kErased);
  }
  for (const StuckBit& stuck : defects_.faults.stuck) {
    if (contains(bytes, stuck.offset)) {
      store(cells, stuck.offset, cells.bytes[stuck.offset]);
    }
  }
  if (outcome == EraseOutcome::random || outcome == EraseOutcome::looks_erased) {
    mark.is_unstable = 1;
  } else if (outcome == EraseOutcome::erased) {
    mark.is_unstable = 0;
  }
}

void NorChip::cut(std::uint64_t address, std::uint32_t outcome, NorCells cells) const {
  if (program_.phase != Phase::idle && program_.bytes.offset == address) {
    cut_program(outcome, cells);
  } else {
    assert(erase_.phase != Phase::idle && erase_.bytes.offset == address);
    cut_erase(static_cast<EraseOutcome>(outcome), cells);
  }
}

}  // namespace sim
DAXSIM_END
