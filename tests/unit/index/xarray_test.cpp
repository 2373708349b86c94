// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/index/xarray.hpp"

#include <gtest/gtest.h>

#include <latch>
#include <limits>
#include <thread>
#include <vector>

namespace daxsim {
namespace {

constexpr Pgoff kHighest{std::numeric_limits<std::uint64_t>::max()};

class XArrayTest : public ::testing::Test {
 protected:
  // Everything is given back, whatever the test did.
  void TearDown() override {
    for (std::uint64_t index : stored_) {
      array_.erase({index});
    }
    EXPECT_TRUE(array_.empty());
    EXPECT_EQ(array_.nodes(), 0U);
    EXPECT_EQ(arena_.usage().in_use, 0U);
  }

  void put(std::uint64_t index, Entry entry) {
    ASSERT_TRUE(array_.store({index}, entry, entry.order()).ok());
    stored_.push_back(index);
  }

  Arena arena_;
  XArray array_{arena_};
  std::vector<std::uint64_t> stored_;
};

// A PMD answers for each of its 512 offsets and for none beside them, and counts 512 pages in one node.
TEST_F(XArrayTest, APmdIsFoundAtEveryOffsetItCovers) {
  const Entry pmd = Entry::real(1024, kPmdOrder);

  put(512, pmd);

  EXPECT_TRUE(array_.load({511}).is_null());
  for (std::uint64_t index = 512; index < 1024; ++index) {
    XCursor cursor(array_, {index});
    const MutexLock guard(cursor.lock());
    ASSERT_EQ(cursor.load(), pmd);
    EXPECT_EQ(cursor.found_index(), Pgoff{512});
    EXPECT_EQ(cursor.found_order(), kPmdOrder);
  }
  EXPECT_TRUE(array_.load({1024}).is_null());
  EXPECT_EQ(array_.pages(), 512U);
  EXPECT_EQ(array_.nodes(), 1U);
}

// A PMD fault over one 4 KiB entry is told to retry smaller (F3 row 5), wherever in the 2 MiB that entry lies.
TEST_F(XArrayTest, APmdLookupOverASmallEntryConflicts) {
  for (const std::uint64_t index : {512U, 513U, 767U, 1023U}) {
    const Entry small = Entry::real(7, 0);
    ASSERT_TRUE(array_.store({index}, small).ok());
    XCursor cursor(array_, {700}, kPmdOrder);
    {
      const MutexLock guard(cursor.lock());
      EXPECT_TRUE(cursor.load().is_conflict()) << index;
      EXPECT_EQ(cursor.find_conflict(), small) << index;
      EXPECT_EQ(cursor.found_index(), Pgoff{index});
      EXPECT_EQ(cursor.found_order(), 0U);
    }
    array_.erase({index});
    const MutexLock guard(cursor.lock());
    EXPECT_TRUE(cursor.load().is_null()) << index;
  }
}

// Locking a PMD through one page of it (F3 row 4) changes the whole entry and leaves its size and its marks.
TEST_F(XArrayTest, AStoreInTheMiddleOfAPmdReplacesAllOfIt) {
  const Entry pmd = Entry::real(512, kPmdOrder);
  put(0, pmd);
  array_.set_mark({3}, Mark::dirty);

  ASSERT_TRUE(array_.store({300}, pmd.with_lock()).ok());

  EXPECT_EQ(array_.load({0}), pmd.with_lock());
  EXPECT_EQ(array_.load({511}), pmd.with_lock());
  EXPECT_TRUE(array_.marked({511}, Mark::dirty));
  EXPECT_EQ(array_.pages(), 512U);
}

// A PMD put over 4 KiB entries (B8) takes their place and inherits their dirt; their nodes are freed.
TEST_F(XArrayTest, APmdOverDirtyPagesIsDirty) {
  for (const std::uint64_t index : {0U, 70U, 511U}) {
    ASSERT_TRUE(array_.store({index}, Entry::real(index, 0)).ok());
  }
  array_.set_mark({70}, Mark::dirty);
  array_.set_mark({511}, Mark::towrite);

  put(0, Entry::real(512, kPmdOrder));

  EXPECT_TRUE(array_.marked({0}, Mark::dirty));
  EXPECT_TRUE(array_.marked({0}, Mark::towrite));
  EXPECT_FALSE(array_.marked({0}, Mark::writeback));
  EXPECT_EQ(array_.pages(), 512U);
  EXPECT_EQ(array_.nodes(), 1U);
}

// A search that begins inside a PMD finds it (B18: an fsync that starts in the middle flushes all of it), once.
TEST_F(XArrayTest, ASearchFromInsideAPmdFindsItOnce) {
  put(0, Entry::real(512, kPmdOrder));
  array_.set_mark({0}, Mark::dirty);
  XCursor cursor(array_, {200});
  const MutexLock guard(cursor.lock());

  const Entry found = cursor.find_marked({400}, Mark::dirty);

  EXPECT_EQ(found, Entry::real(512, kPmdOrder));
  EXPECT_EQ(cursor.index(), Pgoff{200});
  EXPECT_EQ(cursor.found_index(), Pgoff{0});
  EXPECT_TRUE(cursor.find_marked({400}, Mark::dirty).is_null());
}

// A search that was paused goes on behind the end of the entry it was at, though that entry is gone meanwhile.
TEST_F(XArrayTest, APausedSearchGoesOnBehindTheEntryAlthoughItIsGone) {
  put(0, Entry::real(512, kPmdOrder));
  put(600, Entry::real(9, 0));
  XCursor cursor(array_, {100});
  {
    const MutexLock guard(cursor.lock());
    ASSERT_EQ(cursor.find(kHighest), Entry::real(512, kPmdOrder));
    cursor.pause();
  }
  array_.erase({0});
  put(300, Entry::real(3, 0));  // inside what has been visited

  const MutexLock guard(cursor.lock());
  EXPECT_EQ(cursor.find(kHighest), Entry::real(9, 0));
  EXPECT_TRUE(cursor.find(kHighest).is_null());
}

// A cursor that nobody paused survives that all nodes are freed and made anew while the lock is free.
TEST_F(XArrayTest, ACursorNoticesThatItsNodeIsGone) {
  put(5, Entry::real(5, 0));
  XCursor cursor(array_, {5});
  {
    const MutexLock guard(cursor.lock());
    ASSERT_EQ(cursor.load(), Entry::real(5, 0));
  }
  array_.erase({5});
  put(64, Entry::real(64, 0));

  const MutexLock guard(cursor.lock());
  EXPECT_TRUE(cursor.load().is_null());
  EXPECT_FALSE(cursor.marked(Mark::dirty));
}

// A cursor that stood in the middle of a large entry, which smaller ones replaced in the same node while the lock was
// free, stores at its own place and not where the large entry began.
TEST_F(XArrayTest, ACursorDoesNotTrustTheSlotOfAnEntryThatIsGone) {
  ASSERT_TRUE(array_.store({0}, Entry::real(1, 0), 3).ok());
  put(9, Entry::real(9, 0));
  XCursor cursor(array_, {5});
  {
    const MutexLock guard(cursor.lock());
    ASSERT_EQ(cursor.load(), Entry::real(1, 0));
  }
  array_.erase({0});
  put(0, Entry::real(2, 0));
  stored_.push_back(5);

  {
    const MutexLock guard(cursor.lock());
    EXPECT_TRUE(cursor.store(Entry::real(5, 0)).ok());
  }

  EXPECT_EQ(array_.load({0}), Entry::real(2, 0));
  EXPECT_EQ(array_.load({5}), Entry::real(5, 0));
}

// The last page offset there is can be stored and found from the first (a search that took time in proportion to the
// range, not to what it finds, would never come back), and the search after it ends.
TEST_F(XArrayTest, TheHighestPageOffsetWorks) {
  put(kHighest.value, Entry::real(1, 0));
  array_.set_mark(kHighest, Mark::dirty);
  XCursor cursor(array_, {0});
  const MutexLock guard(cursor.lock());

  EXPECT_EQ(cursor.find_marked(kHighest, Mark::dirty), Entry::real(1, 0));
  EXPECT_EQ(cursor.index(), kHighest);
  EXPECT_TRUE(cursor.find_marked(kHighest, Mark::dirty).is_null());
}

// Tagging for writeback gives the lock back after each batch, tags each entry once and nothing outside the range.
TEST_F(XArrayTest, TaggingGoesInBatches) {
  for (std::uint64_t index = 0; index < 20; ++index) {
    put(index, Entry::real(index, 0));
    array_.set_mark({index}, Mark::dirty);
  }
  std::vector<std::uint64_t> batches;
  XCursor cursor(array_, {2});

  std::uint64_t visited = 0;
  do {
    const MutexLock guard(cursor.lock());
    visited = cursor.tag_range({16}, Mark::dirty, Mark::towrite, 6);
    batches.push_back(visited);
  } while (visited == 6);

  EXPECT_EQ(batches, (std::vector<std::uint64_t>{6, 6, 3}));
  for (std::uint64_t index = 0; index < 20; ++index) {
    EXPECT_EQ(array_.marked({index}, Mark::towrite), index >= 2 && index <= 16) << index;
  }
}

// A range that keeps being dirtied behind the tagger does not keep it (B1): what was visited is not visited again.
TEST_F(XArrayTest, TaggingEndsAlthoughOthersDirtyOnBehindIt) {
  for (std::uint64_t index = 0; index < 8; ++index) {
    put(index, Entry::real(index, 0));
    array_.set_mark({index}, Mark::dirty);
  }
  XCursor cursor(array_, {0});

  unsigned batches = 0;
  for (std::uint64_t visited = 2; visited == 2; ++batches) {
    const MutexLock guard(cursor.lock());
    visited = cursor.tag_range({7}, Mark::dirty, Mark::towrite, 2);
    XCursor behind(array_, {0});
    behind.lock().assert_held();
    behind.set_mark(Mark::dirty);
    behind.clear_mark(Mark::towrite);
  }

  EXPECT_EQ(batches, 5U);
  EXPECT_FALSE(array_.marked({0}, Mark::towrite));
}

// Whether anything has a mark is known at the root, and stays right when the last one that had it loses it.
TEST_F(XArrayTest, AMarkIsKnownAtTheRoot) {
  put(3, Entry::real(3, 0));
  put(1U << 18, Entry::real(4, 0));
  EXPECT_FALSE(array_.marked(Mark::dirty));

  array_.set_mark({1U << 18}, Mark::dirty);
  EXPECT_TRUE(array_.marked(Mark::dirty));
  EXPECT_FALSE(array_.marked(Mark::writeback));

  array_.clear_mark({1U << 18}, Mark::dirty);
  EXPECT_FALSE(array_.marked(Mark::dirty));
}

// There is nothing to mark where nothing is stored.
TEST_F(XArrayTest, AFreeOffsetCannotBeMarked) {
  put(1, Entry::real(1, 0));

  array_.set_mark({2}, Mark::dirty);

  EXPECT_FALSE(array_.marked({2}, Mark::dirty));
  EXPECT_FALSE(array_.marked(Mark::dirty));
  put(2, Entry::real(2, 0));
  EXPECT_FALSE(array_.marked({2}, Mark::dirty));
}

// An entry that is erased takes its marks with it; the next one there is clean.
TEST_F(XArrayTest, MarksDieWithTheirEntry) {
  put(1, Entry::real(1, 0));
  array_.set_mark({1}, Mark::dirty);

  EXPECT_EQ(array_.erase({1}), Entry::real(1, 0));

  EXPECT_FALSE(array_.marked(Mark::dirty));
  put(1, Entry::real(1, 0));
  EXPECT_FALSE(array_.marked({1}, Mark::dirty));
}

// What is no entry cannot be stored, nor under an order that does not exist.
TEST_F(XArrayTest, RefusesWhatIsNoEntry) {
  EXPECT_EQ(array_.store({0}, Entry::retry()).error(), Errno::einval);
  EXPECT_EQ(array_.store({0}, Entry::real(1, 0), kMaxOrder + 1).error(), Errno::einval);
  XCursor cursor(array_, {0}, kMaxOrder + 1);
  EXPECT_EQ(cursor.status().error(), Errno::einval);
  EXPECT_TRUE(array_.empty());
}

// An array that dies gives back what is still in it.
TEST_F(XArrayTest, AnArrayFreesItsNodesWhenItDies) {
  {
    XArray other(arena_);
    for (std::uint64_t index = 0; index < (1U << 14); index += 37) {
      ASSERT_TRUE(other.store({index}, Entry::real(index, 0)).ok());
    }
    ASSERT_TRUE(other.store({1U << 20}, Entry::real(0, kPmdOrder), kPmdOrder).ok());
    EXPECT_GT(arena_.usage().in_use, 0U);
  }
  EXPECT_EQ(arena_.usage().in_use, 0U);
}

// Threads that store, mark, search and erase in neighbouring offsets at once leave a sound tree (for TSan as well).
TEST_F(XArrayTest, ThreadsShareAnArray) {
  constexpr unsigned kThreads = 4;
  constexpr std::uint64_t kEach = 300;
  std::latch start(kThreads);
  {
    std::vector<std::jthread> threads;
    for (unsigned me = 0; me < kThreads; ++me) {
      threads.emplace_back([this, me, &start] {
        start.arrive_and_wait();
        XCursor walker(array_, {0});
        for (std::uint64_t turn = 0; turn < kEach; ++turn) {
          const Pgoff index{turn * kThreads + me};
          EXPECT_TRUE(array_.store(index, Entry::real(index.value, 0)).ok());
          array_.set_mark(index, Mark::dirty);
          EXPECT_FALSE(array_.empty());
          {
            const MutexLock guard(walker.lock());
            if (walker.find_marked(kHighest, Mark::dirty).is_null()) {
              walker.set({0});
            }
          }
          if (turn % 2 == 0) {
            EXPECT_EQ(array_.erase(index), Entry::real(index.value, 0));
          }
        }
      });
    }
  }
  EXPECT_TRUE(array_.consistent());
  EXPECT_EQ(array_.pages(), kThreads * kEach / 2);
  for (std::uint64_t index = 0; index < kThreads * kEach; ++index) {
    stored_.push_back(index);
  }
}

}  // namespace
}  // namespace daxsim
