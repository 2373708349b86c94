// SPDX-License-Identifier: BSD-3-Clause
// What pmem_writer writes and pmem_sigkill_test checks: records of known content,
// in slots that are reused in turn. Each writing thread has a lane of slots of its own.
//
// The writer stores record n of a lane word by word, flushes it, fences, and then says in the shared Progress that n is
// fenced. So after a kill, with F as said: every record up to F that was not overwritten is in the file, of record F +
// 1 any words may be, and of record F + 2 none.
#pragma once

#include <atomic>
#include <cstdint>

namespace daxsim::crash {

inline constexpr std::uint64_t kDeviceSize = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kLanes = 2;
inline constexpr std::uint64_t kSlots = 16;
inline constexpr std::uint64_t kSlotSize = std::uint64_t{64} << 10;  // a chunk: most records are shorter

enum class Stage : std::uint32_t { starting, storing, flushing, fencing, saying, kCount };

struct Progress {
  struct alignas(64) Lane {
    std::atomic<std::uint64_t> fenced{0};  // record numbers start at 1
    std::atomic<Stage> stage{Stage::starting};
  };
  Lane lanes[kLanes];
};

constexpr std::uint64_t slot_offset(std::uint64_t lane, std::uint64_t record) {
  return (lane * kSlots + record % kSlots) * kSlotSize;
}
// Words of 8 bytes. Every seventh record is long, so that a flush takes its time.
constexpr std::uint64_t words_of(std::uint64_t record) { return record % 7 == 0 ? kSlotSize / 8 : 4 * 8 + record % 9; }
constexpr std::uint64_t word_of(std::uint64_t lane, std::uint64_t record, std::uint64_t index) {
  // No two records share a word, nor do the halves of a word repeat, so that a torn one shows.
  const std::uint64_t mixed = (record * kLanes + lane + 1) * 0x9e3779b97f4a7c15U + index * 0xbf58476d1ce4e5b9U;
  return mixed | 1;
}

}  // namespace daxsim::crash
