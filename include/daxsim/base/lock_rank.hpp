// SPDX-License-Identifier: BSD-3-Clause
// Every lock has a rank, and a thread takes locks in rising rank only (docs/locking.md has one row per lock).
//
// What is checked, and when:
// - debug builds (DAXSIM_DEBUG): each acquisition must have a higher rank than everything the thread holds; device_gate
//   readers may nest. A violation prints both ranks and aborts.
// - all builds: a thread knows how many locks it holds that the fault path may need (rank mm and above). A fault that
//   arrives while that is not zero comes from an asynchronous signal handler and would deadlock: it aborts instead.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

enum class LockRank : std::uint8_t {
  machine,     // a machine's tables of devices, file systems, processes
  name_space,  // a file system's directory
  i_rwsem,  // an inode: read, write, truncate, fallocate. The last rank that may be held while user memory is touched
  mm,       // a process's areas, or the table of live mappings
  freeze,   // a file system: frozen by removal
  invalidate,   // an address space: shared by faults, exclusive by truncate and punch
  entry,        // an index entry's lock bit (not a mutex)
  i_mmap,       // an address space's list of areas
  page_table,   // one area's page tables
  allocation,   // a file system's extents, free space and log
  index,        // an XArray
  wait_queue,   // one hashed wait queue
  device_gate,  // "do not die under me"; readers nest
  media,        // a device's media, unfenced log, pins
  events,       // the event ring
  arena,        // the fault-path allocator
};
inline constexpr unsigned kLockRanks = 16;

// "mm", "invalidate", ... Allowed in the fault path.
const char* lock_rank_name(LockRank rank) noexcept;

namespace lock_order {

struct Held {
  std::uint8_t count[kLockRanks] = {};
  std::uint32_t needed_by_faults = 0;  // held locks of rank mm and above
};
// Initial-exec: reading it in a signal handler never allocates.
extern thread_local constinit Held held __attribute__((tls_model("initial-exec")));

void check(LockRank rank) noexcept;  // aborts on a violation

inline void acquiring([[maybe_unused]] LockRank rank) noexcept {
#if defined(DAXSIM_DEBUG)
  check(rank);
#endif
}
inline void acquired(LockRank rank) noexcept {
  if (rank >= LockRank::mm) {
    ++held.needed_by_faults;
  }
#if defined(DAXSIM_DEBUG)
  ++held.count[static_cast<unsigned>(rank)];
#endif
}
inline void released(LockRank rank) noexcept {
  if (rank >= LockRank::mm) {
    --held.needed_by_faults;
  }
#if defined(DAXSIM_DEBUG)
  --held.count[static_cast<unsigned>(rank)];
#endif
}
// True when this thread may enter the fault path.
inline bool may_fault() noexcept { return held.needed_by_faults == 0; }

}  // namespace lock_order

DAXSIM_END
