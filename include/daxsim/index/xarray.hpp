// SPDX-License-Identifier: BSD-3-Clause
// XArray: the index of an address space, page offset -> Entry, with the semantics of the kernel's XArray (F2, F3.5):
// nodes of 64 slots, three marks per entry that propagate to the ancestors, entries of order 0..9 that cover 2^order
// aligned page offsets, and cursors that walk without descending again.
//
//   XArray     the tree, its lock, its counters, and calls for one entry that take the lock themselves
//   XCursor    a place in the tree (the kernel's xa_state); lives on the stack, costs nothing to make
//   Mark       dirty, writeback, towrite
//
// One fault, as dax does it:
//   1. XCursor cursor(index, pgoff, order); MutexLock guard(cursor.lock());
//   2. cursor.load(): null, an entry that covers all that was asked for, or retry (something smaller is there)
//   3. cursor.store(locked entry): goes on from where load() stopped; only a new node asks the arena for memory
//   4. no memory: the store answers enomem, the tree is as it was, and the cursor stays failed until set()
//
// Threads: everything that says so needs lock(); a cursor belongs to one thread. A cursor that outlives the critical
// section, or a change by another cursor, notices and descends anew: it never dangles while its array lives.
// Under clang's analysis the lock is named by the cursor: `const MutexLock guard(cursor.lock())`, and for a second
// cursor on an array whose lock is held, `other.lock().assert_held()`.
//
// Context: all of it is allowed in the fault path. Nothing waits but for lock(); memory comes from the arena.
//
// I1 only values (bit 0 set) are stored; an entry covers [first, first + 2^order), first a multiple of 2^order.
// I2 entries never overlap.
// I3 every node holds something, and the tree is no taller than it has to be: the number of nodes follows from what is
//    stored, not from how it came about.
// I4 a node's mark is set exactly when one of its slots has it.
// I5 a failed call leaves the tree as it was.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/index/entry.hpp"

DAXSIM_BEGIN

// The kernel's PAGECACHE_TAG_DIRTY, _WRITEBACK and _TOWRITE.
enum class Mark : std::uint8_t { dirty, writeback, towrite };
inline constexpr unsigned kMarks = 3;

inline constexpr unsigned kMaxOrder = 9;

template <unsigned shift>
class BasicXCursor;

// `shift` is the fan-out: 2^shift slots per node. The product uses 6; tests use 2 as well, to reach depth.
template <unsigned shift>
class BasicXArray {
 public:
  // Nodes come from `arena`, which outlives the array.
  explicit BasicXArray(Arena& arena) noexcept : arena_(arena) {}
  // Drops whatever is still stored.
  ~BasicXArray();
  BasicXArray(const BasicXArray&) = delete;
  BasicXArray& operator=(const BasicXArray&) = delete;

  // The kernel's xa_lock, rank index.
  Mutex& lock() noexcept DAXSIM_RETURN_CAPABILITY(lock_) { return lock_; }

  // Without the lock these five are a snapshot that may be old when it is read.
  [[nodiscard]] bool empty() const noexcept { return pages() == 0; }
  // Page offsets covered by entries: the kernel's nrpages, 512 for a PMD.
  [[nodiscard]] std::uint64_t pages() const noexcept { return pages_.load(std::memory_order_relaxed); }
  [[nodiscard]] std::uint64_t nodes() const noexcept { return nodes_.load(std::memory_order_relaxed); }
  // Memory of the nodes, in bytes.
  [[nodiscard]] std::uint64_t bytes() const noexcept;
  // True when any entry has the mark. O(1).
  [[nodiscard]] bool marked(Mark mark) const noexcept {
    return (root_marks_.load(std::memory_order_relaxed) & (1U << static_cast<unsigned>(mark))) != 0;
  }

  // One entry at a time, taking the lock; each is XCursor's call of the same name at `index`.
  Entry load(Pgoff index) noexcept DAXSIM_EXCLUDES(lock_);
  // Errors: Errno::enomem (the arena has no node), Errno::einval (order above kMaxOrder, or neither null nor a value).
  Result<void> store(Pgoff index, Entry entry, unsigned order = 0) noexcept DAXSIM_EXCLUDES(lock_);
  // Returns what was there.
  Entry erase(Pgoff index) noexcept DAXSIM_EXCLUDES(lock_);
  void set_mark(Pgoff index, Mark mark) noexcept DAXSIM_EXCLUDES(lock_);
  void clear_mark(Pgoff index, Mark mark) noexcept DAXSIM_EXCLUDES(lock_);
  [[nodiscard]] bool marked(Pgoff index, Mark mark) noexcept DAXSIM_EXCLUDES(lock_);

  // Walks the whole tree and checks I1 to I4 and the counters: for tests and for debugging.
  [[nodiscard]] bool consistent() noexcept DAXSIM_EXCLUDES(lock_);

 private:
  friend class BasicXCursor<shift>;
  struct Node;

  Node* make_nodes(unsigned count) noexcept DAXSIM_REQUIRES(lock_);
  void free_node(Node* node) noexcept DAXSIM_REQUIRES(lock_);
  // Frees `node` and all below; returns the pages that were stored there.
  std::uint64_t free_tree(Node* node) noexcept DAXSIM_REQUIRES(lock_);
  void set_mark_up(Node* node, unsigned offset, unsigned mark) noexcept DAXSIM_REQUIRES(lock_);
  void clear_mark_up(Node* node, unsigned offset, unsigned mark) noexcept DAXSIM_REQUIRES(lock_);
  void add_pages(std::uint64_t pages) noexcept DAXSIM_REQUIRES(lock_);

  // Constant.
  Arena& arena_;

  Mutex lock_{LockRank::index};

  // Changed under lock_.
  Node* root_ DAXSIM_GUARDED_BY(lock_) = nullptr;
  std::uint64_t freed_ DAXSIM_GUARDED_BY(lock_) = 0;    // nodes ever freed: tells a cursor that its node may be gone
  Node* last_leaf_ DAXSIM_GUARDED_BY(lock_) = nullptr;  // the leaf that was used last, so that a new cursor
  std::uint64_t last_leaf_at_ DAXSIM_GUARDED_BY(lock_) = 0;  // for page offsets near this need not descend

  // Changed under lock_, read without.
  std::atomic<std::uint64_t> pages_{0};
  std::atomic<std::uint64_t> nodes_{0};
  std::atomic<std::uint8_t> root_marks_{0};
};

// A place: [index, index + 2^order). Its calls come in three kinds:
//   load, find_conflict, store, marks    about the place itself; repeating one gives the same answer
//   find, find_marked, tag_range         move the place on to the next entry; what they return has been visited
//   set, pause                           choose the place
template <unsigned shift>
class BasicXCursor {
 public:
  // `index` is rounded down to a multiple of 2^order. An order above kMaxOrder is an error of the cursor (einval).
  BasicXCursor(BasicXArray<shift>& array, Pgoff index, unsigned order = 0) noexcept : array_(&array) {
    set(index, order);
  }

  Mutex& lock() noexcept DAXSIM_RETURN_CAPABILITY(array_->lock_) { return array_->lock_; }

  // A new place; also the end of an error.
  void set(Pgoff index, unsigned order = 0) noexcept {
    const bool valid = order <= kMaxOrder;
    order_ = static_cast<std::uint8_t>(valid ? order : 0);
    index_ = index.value & ~((std::uint64_t{1} << order_) - 1);
    next_ = index_;
    exhausted_ = false;
    error_ = valid ? Errno{} : Errno::einval;
  }

  // Where the place is. After a find: inside the entry found, no lower than the search began.
  [[nodiscard]] Pgoff index() const noexcept { return {index_}; }
  [[nodiscard]] unsigned order() const noexcept { return order_; }

  // The first failure since set(); while it lasts, loads and finds return null and stores return it.
  // Errors: those of store.
  [[nodiscard]] Result<void> status() const noexcept {
    if (failed()) {
      return error_;
    }
    return {};
  }
  [[nodiscard]] bool failed() const noexcept { return error_ != Errno{}; }

  // The entry that covers the whole place: of the place's order or larger, also when the place lies in its middle.
  // Entry::retry() when there is no such entry but a smaller one inside the place. Null when the place is free.
  Entry load() noexcept DAXSIM_REQUIRES(array_->lock_);

  // The first entry that overlaps the place, whatever its order. Null when the place is free. (The kernel's
  // xas_find_conflict, except that asking again gives the same answer.)
  Entry find_conflict() noexcept DAXSIM_REQUIRES(array_->lock_);

  // The first entry not yet visited that overlaps [index(), last], ascending; null when there is none, and then the
  // place stays. Moves the place into it, with order 0, so that store() and the marks are about that entry, as large
  // as it is. The next call goes on after its end, even when it was replaced or erased. O(entries found + depth).
  Entry find(Pgoff last) noexcept DAXSIM_REQUIRES(array_->lock_);
  // The same, of those that have the mark.
  Entry find_marked(Pgoff last, Mark mark) noexcept DAXSIM_REQUIRES(array_->lock_);

  // Of the entry that load, find_conflict, find or find_marked has just returned (not null, not retry).
  [[nodiscard]] Pgoff found_index() const noexcept DAXSIM_REQUIRES(array_->lock_);
  [[nodiscard]] unsigned found_order() const noexcept DAXSIM_REQUIRES(array_->lock_);

  // Says that the lock is about to be dropped: a find after it goes on behind the last entry visited, whatever has
  // become of that one meanwhile. (A cursor would notice by itself; this saves it a look at memory that may be gone.)
  void pause() noexcept { node_ = nullptr; }

  // Stores at the place. An entry that covers the whole place is replaced as large as it is (it is not split), and
  // keeps its marks; smaller ones inside the place are replaced together, and the new entry has the marks of them all.
  // Null erases.
  // Errors: Errno::enomem (sticky: the arena has no node; cannot happen where an entry covers the place, nor for
  // null), Errno::einval (sticky: neither null nor a value).
  Result<void> store(Entry entry) noexcept DAXSIM_REQUIRES(array_->lock_);

  // Removes what covers the place or lies inside, with its marks, and frees the nodes that become empty. Cannot fail;
  // does nothing on a cursor that has failed.
  void erase() noexcept DAXSIM_REQUIRES(array_->lock_);

  // Of the entry that covers the whole place. Without one there is nothing to mark, and marked() is false.
  // set_mark answers whether it was not set before.
  bool set_mark(Mark mark) noexcept DAXSIM_REQUIRES(array_->lock_);
  void clear_mark(Mark mark) noexcept DAXSIM_REQUIRES(array_->lock_);
  [[nodiscard]] bool marked(Mark mark) noexcept DAXSIM_REQUIRES(array_->lock_);

  // Gives `to` to entries not yet visited that overlap [index(), last] and have `from`, at most `batch` of them
  // (the kernel's tag_pages_for_writeback, which uses 4096). Returns how many entries it visited: fewer than `batch`
  // means that the range is done. Otherwise drop and retake the lock if you like, and call again:
  //   while (cursor.tag_range(last, Mark::dirty, Mark::towrite, kTagBatch) == kTagBatch) { unlock; lock; }
  // batch > 0.
  std::uint64_t tag_range(Pgoff last, Mark from, Mark to, unsigned batch) noexcept DAXSIM_REQUIRES(array_->lock_);

 private:
  using Array = BasicXArray<shift>;
  using Node = typename Array::Node;

  [[nodiscard]] unsigned level_of_place() const noexcept { return order_ / shift * shift; }

  Node* start(std::uint64_t index, unsigned level) const noexcept DAXSIM_REQUIRES(array_->lock_);
  // The node where the way to the place ends, at the level of its order or above; node_, offset_ and at_ name it.
  // Returns the slot's word; 0 with node_ null when the root does not reach so far.
  std::uint64_t descend() noexcept DAXSIM_REQUIRES(array_->lock_);
  std::uint64_t come_back() noexcept DAXSIM_REQUIRES(array_->lock_);
  // What that word means for the whole place: load()'s answer.
  Entry judge(std::uint64_t word) noexcept DAXSIM_REQUIRES(array_->lock_);
  // The first entry of [from, last] whose bit is set in bitmap `which` (a mark, or presence); 0 when none.
  std::uint64_t scan(std::uint64_t from, std::uint64_t last, unsigned which) noexcept DAXSIM_REQUIRES(array_->lock_);
  Entry find_bit(std::uint64_t last, unsigned which) noexcept DAXSIM_REQUIRES(array_->lock_);
  bool make_path() noexcept DAXSIM_REQUIRES(array_->lock_);
  std::uint64_t empty_slots(unsigned count) noexcept DAXSIM_REQUIRES(array_->lock_);
  void prune() noexcept DAXSIM_REQUIRES(array_->lock_);
  Result<void> fail(Errno error) noexcept;

  Array* array_;
  std::uint64_t index_ = 0;  // the place
  std::uint64_t next_ = 0;   // where the next find begins
  std::uint8_t order_ = 0;
  bool exhausted_ = false;  // the last find ended at the highest page offset

  // Where the cursor stands; node_ is null, or was reached when the array had freed `freed_` nodes.
  std::uint8_t offset_ = 0;
  Errno error_{};
  Node* node_ = nullptr;
  std::uint64_t at_ = 0;  // some page offset below node_
  std::uint64_t freed_ = 0;
};

extern template class BasicXArray<6>;
extern template class BasicXCursor<6>;
extern template class BasicXArray<2>;
extern template class BasicXCursor<2>;

using XArray = BasicXArray<6>;
using XCursor = BasicXCursor<6>;

// What the kernel tags in one go before it lets others have the lock.
inline constexpr unsigned kTagBatch = 4096;

DAXSIM_END
