// SPDX-License-Identifier: BSD-3-Clause
#include "pagecache/pages.hpp"

DAXSIM_BEGIN
namespace pagecache {

Page* FileIndex::find_unlocked(Pgoff pgoff) noexcept {
  for (;;) {
    const auto found = set.find(pgoff);
    if (found == set.end() || !found->locked) {
      return found == set.end() ? nullptr : &*found;
    }
    // Queued under the lock that the owner clears the flag under: no wake-up is lost between test and sleep.
    Waiter waiter({&*found, 0}, WaitMode::shared);
    waiter.enqueue();
    pool.lock.unlock();
    waiter.wait();
    pool.lock.lock();
  }
}

Page* FileIndex::find_from(Pgoff from) noexcept {
  const auto found = set.lower_bound(from);
  return found == set.end() ? nullptr : &*found;
}

void PageLock::take(Page& page) noexcept {
  page.locked = true;
  page_ = &page;
}

PageLock::PageLock(FileIndex& index, Pgoff pgoff) noexcept : index_(index) {
  lock_order::acquiring(LockRank::entry);
  {
    const MutexLock guard(index_.pool.lock);
    Page* page = index_.find_unlocked(pgoff);
    while (page == nullptr) {
      Page* const taken = index_.pool.take_page();
      if (taken == nullptr) {
        return;
      }
      // The lock may have been dropped meanwhile.
      page = index_.find_unlocked(pgoff);
      if (page == nullptr) {
        taken->file = &index_;
        taken->pgoff = pgoff;
        index_.set.insert(*taken);
        page = taken;
      } else {
        index_.pool.put_free(*taken);
      }
    }
    take(*page);
  }
  lock_order::acquired(LockRank::entry);
}

PageLock::PageLock(FileIndex& index, Pgoff from, Pgoff last, std::uint64_t tick) noexcept : index_(index) {
  lock_order::acquiring(LockRank::entry);
  {
    const MutexLock guard(index_.pool.lock);
    for (Page* page = index_.find_from(from); page != nullptr && page->pgoff <= last; page = index_.find_from(from)) {
      from = page->pgoff;
      if (page->dirty && page->dirty_since <= tick && page->locked) {
        page = index_.find_unlocked(from);  // may be clean by now, or gone
      }
      if (page != nullptr && page->dirty && page->dirty_since <= tick) {
        take(*page);
        break;
      }
      from = from + 1;
    }
  }
  if (page_ != nullptr) {
    lock_order::acquired(LockRank::entry);
  }
}

PageLock::~PageLock() {
  if (page_ == nullptr) {
    return;
  }
  {
    const MutexLock guard(index_.pool.lock);
    if (page_->uptodate) {
      page_->locked = false;
      wake_waiters({page_, 0}, Wake::all);
    } else {
      index_.pool.give_back(*page_);
    }
  }
  lock_order::released(LockRank::entry);
}

bool PageLock::mark_dirty() noexcept {
  const MutexLock guard(index_.pool.lock);
  if (page_->dirty) {
    return false;
  }
  page_->dirty = true;
  page_->dirty_since = ++index_.pool.tick;
  ++index_.pool.usage.dirty;
  return true;
}

void PageLock::mark_clean() noexcept {
  const MutexLock guard(index_.pool.lock);
  page_->dirty = false;
  --index_.pool.usage.dirty;
}

}  // namespace pagecache
DAXSIM_END
