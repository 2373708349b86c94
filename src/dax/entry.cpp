// SPDX-License-Identifier: BSD-3-Clause
#include "dax/entry.hpp"

#include <cassert>

#include "dax/trace.hpp"

DAXSIM_BEGIN
namespace dax {

WaitKey wait_key(const AddressSpace& mapping, Pgoff page, Entry entry) noexcept {
  return {&mapping, (entry.order() == 0 ? page : pmd_start(page)).value};
}

Entry find_unlocked(XCursor& cursor, const AddressSpace& mapping) noexcept {
  for (;;) {
    const Entry entry = cursor.load();
    if (!entry.is_value() || !entry.locked()) {
      return entry;
    }
    // Queued under the index's lock, where the owner will clear the bit: no wake-up is lost between test and sleep.
    Waiter waiter(wait_key(mapping, cursor.index(), entry), WaitMode::exclusive);
    waiter.enqueue();
    cursor.pause();
    cursor.lock().unlock();
    emit(EventType::dax_wait_entry, mapping.host(), {.pgoff = cursor.index()});
    waiter.wait();
    emit(EventType::dax_wait_entry_done, mapping.host(), {.pgoff = cursor.index()});
    cursor.lock().lock();
  }
}

void pass_on(const AddressSpace& mapping, Pgoff page, Entry entry) noexcept {
  if (entry.is_value()) {
    wake_entry(mapping, page, entry, Wake::next);
  }
}

void wake_entry(const AddressSpace& mapping, Pgoff page, Entry entry, Wake how) noexcept {
  wake_waiters(wait_key(mapping, page, entry), how);
}

EntryLock::~EntryLock() {
  if (held_) {
    release();
  }
}

void EntryLock::take(Entry found) noexcept {
  found_ = found;
  entry_ = found;
  held_ = true;
}

EntryLock::Grabbed EntryLock::grab(Marking marking) noexcept {
  lock_order::acquiring(LockRank::entry);
  for (;;) {
    Entry huge;
    {
      const MutexLock guard(cursor_.lock());
      const Entry found = find_unlocked(cursor_, mapping_);
      if (found.is_conflict()) {
        return Grabbed::conflict;
      }
      if (found.is_null()) {
        const Entry placeholder = Entry::empty(cursor_.order());
        if (!cursor_.store(placeholder.with_lock()).ok()) {
          return Grabbed::no_memory;
        }
        take(found);
        entry_ = placeholder;
      } else {
        [[maybe_unused]] const Result<void> locked = cursor_.store(found.with_lock());
        assert(locked.ok() && "replacing a word needs no memory");
        if (cursor_.order() == 0 && found.order() != 0 && !found.is_real()) {
          huge = found;
        } else {
          take(found);
        }
      }
      if (held_ && marking == Marking::dirty) {
        set_dirty_mark();
      }
    }
    lock_order::acquired(LockRank::entry);
    if (held_) {
      return Grabbed::locked;
    }
    break_up(huge);
    lock_order::released(LockRank::entry);
  }
}

// A hole mapped by huge zero pages has to become a page of its own: first no process maps the huge one any more, then
// the entry goes, then everybody who waited for it looks again (B22).
void EntryLock::break_up(Entry huge) noexcept {
  const Pgoff first = pmd_start(cursor_.index());
  if (huge.is_zero() && policy_.takes(Step::unmap_huge_zero_page)) {
    mapping_.unmap_pages({first, kPagesPerPmd}, EvenCows::no);
  }
  {
    const MutexLock guard(cursor_.lock());
    cursor_.erase();
    wake_entry(mapping_, first, huge, deletion_wake(policy_));
  }
}

EntryLock::Grabbed EntryLock::lock_existing(Entry wanted) noexcept {
  lock_order::acquiring(LockRank::entry);
  {
    const MutexLock guard(cursor_.lock());
    const Entry found = find_unlocked(cursor_, mapping_);
    if (found == wanted) {
      [[maybe_unused]] const Result<void> locked = cursor_.store(found.with_lock());
      assert(locked.ok() && "replacing a word needs no memory");
      take(found);
    } else {
      pass_on(mapping_, cursor_.index(), found);
    }
  }
  if (!held_) {
    return Grabbed::absent;
  }
  lock_order::acquired(LockRank::entry);
  return Grabbed::locked;
}

void EntryLock::mark_dirty() noexcept {
  const MutexLock guard(cursor_.lock());
  [[maybe_unused]] const Result<void> stored = cursor_.store(entry_.with_lock());
  assert(stored.ok() && "replacing a word needs no memory");
  set_dirty_mark();
}

void EntryLock::mark_copied() noexcept {
  const MutexLock guard(cursor_.lock());
  [[maybe_unused]] const Result<void> stored = cursor_.store(entry_.with_lock());
  assert(stored.ok() && "replacing a word needs no memory");
  set_dirty_mark();
  cursor_.set_mark(Mark::towrite);
}

void EntryLock::set_dirty_mark() noexcept { made_dirty_ |= cursor_.set_mark(Mark::dirty); }

void EntryLock::release() noexcept {
  const bool deletes = forget_ || (!keep_ && found_.is_null());
  const Entry before = entry_;
  {
    const MutexLock guard(cursor_.lock());
    assert(cursor_.load().locked() && "I6: an entry that is unlocked was locked");
    if (deletes) {
      cursor_.erase();
    } else {
      [[maybe_unused]] const Result<void> stored = cursor_.store(keep_ ? entry_ : found_);
      assert(stored.ok() && "replacing a word needs no memory");
      if (!keep_ && made_dirty_) {
        cursor_.clear_mark(Mark::dirty);
        cursor_.clear_mark(Mark::towrite);
      }
    }
    wake_entry(mapping_, cursor_.index(), before, deletes ? deletion_wake(policy_) : Wake::next);
  }
  lock_order::released(LockRank::entry);
  held_ = false;
}

}  // namespace dax
DAXSIM_END
