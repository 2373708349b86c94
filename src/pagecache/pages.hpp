// SPDX-License-Identifier: BSD-3-Clause
// Pages, the pool that they lie in, a file's index of them, and their locks.
//
// A page is a node of its file's index, so putting it there needs no memory. One lock, the pool's, guards all indexes and
// all flags: a page changes its file under it, and whoever finds a file's index empty knows that nobody is left inside.
//
// A page's lock is a flag too, waited for by the page's address. Who unlocks wakes all: each looks again, since the page
// may be another file's by then.
#pragma once

#include <boost/intrusive/set.hpp>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/dax_device.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/pagecache/pool.hpp"

DAXSIM_BEGIN
namespace pagecache {

struct Page : boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> {
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {memory.kaddr, kPageSize}; }

  // Constant.
  Memory memory;

  // Guarded by the pool's lock.
  FileIndex* file = nullptr;  // null: free
  Pgoff pgoff;
  bool locked = false;
  bool dirty = false;
  std::uint64_t dirty_since = 0;  // tick of the pool
  Page* next_free = nullptr;

  // Guarded by the page's lock.
  bool uptodate = false;
};

struct PoolState {
  PoolState(System& of, std::uint64_t count);
  ~PoolState();
  PoolState(const PoolState&) = delete;
  PoolState& operator=(const PoolState&) = delete;

  // The pages' memory. Errors: as Pool::create().
  Result<void> take_memory() noexcept;

  // A free page, or a clean one taken from its file; null: there is none. Drops the lock when it has to take one.
  [[nodiscard]] Page* take_page() noexcept DAXSIM_REQUIRES(lock);
  // Takes back a page that went into no file.
  void put_free(Page& page) noexcept DAXSIM_REQUIRES(lock);
  // Takes a locked page out of its file, and wakes who waits for it.
  void give_back(Page& page) noexcept DAXSIM_REQUIRES(lock);

  System& system;
  std::vector<Page> pages;  // never grows
  int fd = -1;
  std::byte* memory = nullptr;
  Pfn first{};  // frame

  Mutex lock{LockRank::index};
  Page* free DAXSIM_GUARDED_BY(lock) = nullptr;
  std::size_t hand DAXSIM_GUARDED_BY(lock) = 0;    // where the search for a clean page goes on
  std::uint64_t tick DAXSIM_GUARDED_BY(lock) = 0;  // counts pages that became dirty
  Pool::Usage usage DAXSIM_GUARDED_BY(lock);

 private:
  [[nodiscard]] Page* pop_free() noexcept DAXSIM_REQUIRES(lock);
  [[nodiscard]] Page* find_clean() noexcept DAXSIM_REQUIRES(lock);
};

struct FileIndex {
  FileIndex(PoolState& of, Inode& host) noexcept : pool(of), inode(host) {}

  // The page, when nobody has it locked; null: there is none. Drops the lock while it waits.
  [[nodiscard]] Page* find_unlocked(Pgoff pgoff) noexcept DAXSIM_REQUIRES(pool.lock);
  // The first page at or after `from`, locked or not; null: there is none.
  [[nodiscard]] Page* find_from(Pgoff from) noexcept DAXSIM_REQUIRES(pool.lock);

  PoolState& pool;
  Inode& inode;

  struct ByPgoff {
    using type = Pgoff;  // NOLINT(readability-identifier-naming): Boost.Intrusive asks for it
    Pgoff operator()(const Page& page) const noexcept { return page.pgoff; }
  };
  boost::intrusive::set<Page, boost::intrusive::key_of_value<ByPgoff>> set DAXSIM_GUARDED_BY(pool.lock);
};

// Ownership of one page. Ends with the page unlocked; one that was never read goes back to the pool.
class PageLock {
 public:
  // The page of the file, which is made when it is not there. Null inside: no memory.
  PageLock(FileIndex& index, Pgoff pgoff) noexcept;
  // The first page of [from, last] that is dirty since `tick` or before. Null inside: there is none.
  PageLock(FileIndex& index, Pgoff from, Pgoff last, std::uint64_t tick) noexcept;
  ~PageLock();
  PageLock(const PageLock&) = delete;
  PageLock& operator=(const PageLock&) = delete;

  [[nodiscard]] explicit operator bool() const noexcept { return page_ != nullptr; }
  [[nodiscard]] Page& operator*() const noexcept { return *page_; }
  [[nodiscard]] Page* operator->() const noexcept { return page_; }

  // True when it was clean before.
  bool mark_dirty() noexcept;
  void mark_clean() noexcept;

 private:
  void take(Page& page) noexcept DAXSIM_REQUIRES(index_.pool.lock);

  FileIndex& index_;
  Page* page_ = nullptr;
};

}  // namespace pagecache
DAXSIM_END
