// SPDX-License-Identifier: BSD-3-Clause
// One record for each thread that uses the library, in a table that is never freed: places where a thread says of
// itself what others only sometimes want to know, so that saying it is a plain store and asking is the dear part.
//
// A record is claimed by a thread's first use, also in a signal handler: no malloc, no lock. Nobody gives it back: a
// thread that looks for one takes over those whose owner has died, which the host tells (tgkill with signal 0), so the
// table is as long as the most threads at a time. One that finds no record has number() kNone and does without.
// A child process has one thread; the fork handler forgets the others' records there.
//
// In its record a thread publishes which locks and gates it is inside as a reader: one word in one of its places, stored
// before it looks for a writer. The writer makes itself known, calls barrier_in_all_threads(), and only then looks at the
// places: the barrier (membarrier(2)) puts every thread either behind its store, which the writer then sees, or before
// its look, which then sees the writer. So readers need no atomic read-modify-write and no fence; both orders, of entering
// and of leaving, are written down at their users (sync.hpp). Where the host refuses membarrier, and under
// ThreadSanitizer, which does not know it, no place is ever free, and readers count themselves instead.
//
// I1 A record has one owner at a time: its owner word has a generation that every claim counts up by compare-and-swap.
// I2 The records in use are below in_use(), which is raised before its owner writes to a record.
// I3 A place is written by its owner only, and is 0 again when a signal handler that used it returns.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace thread_record {

inline constexpr unsigned kRecords = 256;
inline constexpr unsigned kNone = kRecords;         // there was no record left
inline constexpr unsigned kUnknown = kRecords + 1;  // has not asked yet

// Initial-exec: reading it in a signal handler never allocates.
extern thread_local constinit unsigned number_of_this_thread __attribute__((tls_model("initial-exec")));

// One cache line. What a word means is the user's business; 0 is free.
using Place = std::atomic<std::uintptr_t>;
inline constexpr unsigned kPlaces = 8;
inline constexpr unsigned kNeverFree = kPlaces - 1;  // the place of those who do not publish
struct alignas(kCacheLine) Places {
  std::array<Place, kPlaces> at;
};
extern thread_local constinit Places* places_of_this_thread __attribute__((tls_model("initial-exec")));

unsigned claim() noexcept;

// Of this thread: below kRecords and no other living thread's, or kNone. Allowed in the fault path.
inline unsigned number() noexcept {
  const unsigned known = number_of_this_thread;
  return known == kUnknown ? claim() : known;
}
// One more than the highest number ever given.
unsigned in_use() noexcept;

inline Place& place(unsigned number) noexcept { return places_of_this_thread->at[number]; }
inline void publish(Place& place, std::uintptr_t word) noexcept {
  place.store(word, std::memory_order_relaxed);
  std::atomic_signal_fence(std::memory_order_seq_cst);  // the compiler keeps the order, the barrier does the rest
}
inline void withdraw(Place& place) noexcept {
  place.store(0, std::memory_order_release);
  std::atomic_signal_fence(std::memory_order_seq_cst);
}
// A full memory barrier in every thread of the process. Context: not for readers, it costs microseconds.
void barrier_in_all_threads() noexcept;
// True when a thread has published `word` in one of its places [first, end).
bool is_published(std::uintptr_t word, unsigned first, unsigned end) noexcept;

}  // namespace thread_record
DAXSIM_END
