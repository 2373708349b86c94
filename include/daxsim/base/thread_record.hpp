// SPDX-License-Identifier: BSD-3-Clause
// One record for each thread that uses the library, in a table that is never freed: places where a thread says of
// itself what others only sometimes want to know, so that saying it is a plain store and asking is the dear part.
//
// A record is claimed by a thread's first use, also in a signal handler: no malloc, no lock. Nobody gives it back: a
// thread that looks for one takes over those whose owner has died, which the host tells (tgkill with signal 0), so the
// table is as long as the most threads at a time. One that finds no record has number() kNone and does without.
// A child process has one thread; the fork handler forgets the others' records there.
//
// I1 A record has one owner at a time: its owner word has a generation that every claim counts up by compare-and-swap.
// I2 The records in use are below in_use(), which is raised before its owner writes to a record.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace thread_record {

inline constexpr unsigned kRecords = 256;
inline constexpr unsigned kNone = kRecords;         // there was no record left
inline constexpr unsigned kUnknown = kRecords + 1;  // has not asked yet

// Initial-exec: reading it in a signal handler never allocates.
extern thread_local constinit unsigned number_of_this_thread __attribute__((tls_model("initial-exec")));

unsigned claim() noexcept;

// Of this thread: below kRecords and no other living thread's, or kNone. Allowed in the fault path.
inline unsigned number() noexcept {
  const unsigned known = number_of_this_thread;
  return known == kUnknown ? claim() : known;
}
// One more than the highest number ever given.
unsigned in_use() noexcept;

}  // namespace thread_record
DAXSIM_END
