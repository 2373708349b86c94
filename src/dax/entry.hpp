// SPDX-License-Identifier: BSD-3-Clause
// The lock of an index entry (F2.3): a bit in its word, changed only under the index's lock, and waited for in a hashed
// queue with exclusive waiters.
//
//   find_unlocked, pass_on        look at an entry that nobody owns, without taking it
//   EntryLock                     own one: a fault's way from "nothing there" to "unlocked and woken"
//   wake_entry                    after a change that is not EntryLock's
//
// A walk over many entries (write-back, deletion) keeps its own cursor and uses the functions; a fault uses EntryLock.
//
// I1 An unlocked word is never stored where a locked one was without waking: the next waiter when the entry is the same,
//    all of them when it is gone or has another size (B5).
// I2 Whoever waited and then does not take the entry wakes the next waiter instead.
// I3 Both happen before the index's lock is dropped. So whoever holds that lock and sees a sleeping waiter also sees who
//    will wake it: the entry's owner, or a waiter that was woken and has not gone yet. If there is neither, its wake-up
//    is lost.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/policy.hpp"
#include "daxsim/index/xarray.hpp"
#include "daxsim/vfs/address_space.hpp"

DAXSIM_BEGIN
namespace dax {

// All 512 offsets of a PMD entry share one queue.
[[nodiscard]] WaitKey wait_key(const AddressSpace& mapping, Pgoff page, Entry entry) noexcept;

// What covers the cursor's place, once nobody owns it: null, Entry::retry() (something smaller is in the way of a PMD),
// or an unlocked entry. Drops the index's lock while it waits, so what the caller knew of the index before may be old.
// The caller takes the entry or passes it on.
[[nodiscard]] Entry find_unlocked(XCursor& cursor, const AddressSpace& mapping) noexcept DAXSIM_REQUIRES(cursor.lock());

// Gives the chance to the next waiter: the caller has come from find_unlocked() and does not want the entry.
void pass_on(const AddressSpace& mapping, Pgoff page, Entry entry) noexcept;

// `how` to wake those who wait for an entry that has just been deleted.
[[nodiscard]] constexpr Wake deletion_wake(const Policy& policy) noexcept {
  return policy.takes(Step::wake_all_on_delete) ? Wake::all : Wake::next;
}
void wake_entry(const AddressSpace& mapping, Pgoff page, Entry entry, Wake how) noexcept;

// One fault's ownership of the entry at a page. Letting go without keep() leaves the index as grab() found it: a
// placeholder is deleted, an entry gets its old word and marks back.
//
// Two short critical sections: grab and release, and mark_dirty where it has to come late. What replace() is told reaches
// the index with the next of them; until then nobody may look behind the lock bit anyway.
//
// The DIRTY mark is set before the page can be stored to, so that an fsync that comes from then on finds it and waits for
// us. Ordinary write faults set it when they grab the entry, though it may still be a placeholder or a hole then (the
// only time when DIRTY is seen without storage, and only with the lock bit); it goes again when the fault fails.
class EntryLock {
 public:
  enum class Grabbed : std::uint8_t {
    locked,     // ours; the destructor lets go
    absent,     // lock_existing(): there is none like the one wanted
    conflict,   // an entry smaller than asked for is in the way
    no_memory,  // the arena has no node
  };

  EntryLock(const Policy& policy, AddressSpace& mapping, Pgoff page, unsigned order) noexcept
      : policy_(policy), mapping_(mapping), cursor_(mapping.pages(), page, order) {}
  ~EntryLock();
  EntryLock(const EntryLock&) = delete;
  EntryLock& operator=(const EntryLock&) = delete;

  // Waits for the entry and locks it; without one, makes a locked placeholder. A hole's PMD entry in the way of a PTE is
  // broken up: unmapped everywhere and deleted.
  enum class Marking : std::uint8_t { none, dirty };
  [[nodiscard]] Grabbed grab(Marking marking) noexcept;
  // Only if there is an entry like `wanted`, the lock aside.
  [[nodiscard]] Grabbed lock_existing(Entry wanted) noexcept;

  // The entry as it will be when released with keep(), without the lock bit.
  [[nodiscard]] Entry entry() const noexcept { return entry_; }
  // Of the same size or for a placeholder of that size.
  void replace(Entry entry) noexcept { entry_ = entry; }
  // For those who did not know when they grabbed it.
  void mark_dirty() noexcept;
  void keep() noexcept { keep_ = true; }
  // Other storage than a write-back that has just begun looks for: DIRTY and TOWRITE (F3 row 22).
  void mark_copied() noexcept;
  // Lets go by deleting it: nobody maps its pages, and what was stored to them is flushed.
  void forget() noexcept { forget_ = true; }

 private:
  void break_up(Entry huge) noexcept;
  void take(Entry found) noexcept;
  void set_dirty_mark() noexcept DAXSIM_REQUIRES(cursor_.lock());
  void release() noexcept;

  const Policy& policy_;
  AddressSpace& mapping_;
  XCursor cursor_;
  Entry found_;  // null when grab() made a placeholder
  Entry entry_;
  bool held_ = false;
  bool keep_ = false;
  bool made_dirty_ = false;
  bool forget_ = false;
};

}  // namespace dax
DAXSIM_END
