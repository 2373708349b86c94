// SPDX-License-Identifier: BSD-3-Clause
// Write-back: what was dirty is on the media afterwards, no more is flushed than was dirty, and errors are not lost.
// Numbers are those of kernel facts, section 13.
#include <gtest/gtest.h>

#include <thread>
#include <utility>

#include "dax/costs.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

using Names = std::vector<std::string>;
constexpr VmFlags kShared{};

Result<void> write_back(World& world, ByteRange bytes = kWholeFile) {
  return dax::writeback_range(world.context, world.file->mapping(), bytes);
}
ByteRange bytes_of(PageRange pages) { return {byte_of(pages.first), pages.pages << kPageShift}; }

std::vector<Event> of_type(World& world, std::uint64_t first_id, EventType type) {
  std::vector<Event> found;
  for (const Event& event : world.events.since(first_id)) {
    if (event.type == type) {
      found.push_back(event);
    }
  }
  return found;
}

// Store, sync, store, sync: both stores are on the media, whatever maps the page.
TEST(Writeback, Scenario26_27_28_StoresAfterASync) {
  World world;
  FakeVma huge(*world.file, kShared, kArea, {{0}, kPagesPerPmd});
  FakeVma small(*world.file, kShared, kArea + 4 * kPmdSize + kPageSize, {{1}, 16});
  ASSERT_TRUE(huge.store({3}, 1).has_value());
  must(write_back(world));
  EXPECT_EQ(world.on_media({3}), 1);
  ASSERT_TRUE(huge.store({3}, 2).has_value());
  must(write_back(world));
  EXPECT_EQ(world.on_media({3}), 2);

  // The same entry, mapped by PMD here and by PTE there.
  ASSERT_TRUE(small.store({3}, 3).has_value());
  must(write_back(world));
  ASSERT_TRUE(small.store({3}, 4).has_value());
  EXPECT_TRUE(world.dirty({3}));
  must(write_back(world));
  EXPECT_EQ(world.on_media({3}), 4);
  EXPECT_EQ(world.broken_invariant({&huge, &small}), "");
}

// Without write-protection of PMD mappings the second store is lost: the bug can be shown (B2).
TEST(Writeback, HistoricPoliciesLoseTheSecondStore) {
  for (const WriteProtect protect : {WriteProtect::none, WriteProtect::pte}) {
    World world({.policy = {.write_protect = protect}});
    FakeVma area(*world.file, kShared, kArea, {{0}, kPagesPerPmd});
    ASSERT_TRUE(area.store({3}, 1).has_value());
    must(write_back(world));
    ASSERT_TRUE(area.store({3}, 2).has_value());
    must(write_back(world));
    EXPECT_EQ(world.on_media({3}), 1);
  }
}

// DIRTY that is never cleared is flushed by every sync; cleared DIRTY once.
TEST(Writeback, Scenario29_StickyDirty) {
  for (const ClearDirty clear : {ClearDirty::never, ClearDirty::after_flush}) {
    World world({.policy = {.clear_dirty = clear}});
    FakeVma area(*world.file, kShared, kArea, {{0}, 16});
    ASSERT_TRUE(area.store({3}, 1).has_value());
    const std::uint64_t before = world.view().flushes;
    for (int n = 0; n < 10; ++n) {
      must(write_back(world));
    }
    EXPECT_EQ(world.view().flushes - before, clear == ClearDirty::never ? 10U : 1U);
  }
}

// Events as recorded (workload d), with the kernel's text, for a file below 64 pages.
TEST(Writeback, EventsOfTheRecording) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  for (const std::uint64_t page : {0U, 7U}) {
    ASSERT_TRUE(area.store({page}, 1).has_value());
  }
  const std::uint64_t first = world.events.next_id();

  must(write_back(world));

  std::vector<std::string> text;
  for (const Event& event : world.events.since(first)) {
    text.push_back(event.type == EventType::pfn_mkclean_range ? "pfn_mkclean_range" : fs_dax_text(event));
  }
  EXPECT_EQ(text, (Names{"dax_writeback_range: dev 259:0 ino 0xf pgoff 0x0-0x7ffffffffffff", "pfn_mkclean_range",
                         "dax_flush: size=4096", "dax_writeback_one: dev 259:0 ino 0xf pgoff 0x0 pglen 0x1",
                         "pfn_mkclean_range", "dax_flush: size=4096",
                         "dax_writeback_one: dev 259:0 ino 0xf pgoff 0x7 pglen 0x1",
                         "dax_writeback_range_done: dev 259:0 ino 0xf pgoff 0x40-0x7ffffffffffff"}));
}

// Nothing dirty, nothing said; no area, no write-protection.
TEST(Writeback, QuietWithoutWork) {
  World world;
  {
    FakeVma area(*world.file, kShared, kArea, {{0}, 16});
    ASSERT_TRUE(area.load({1}).has_value());
    const std::uint64_t first = world.events.next_id();
    must(write_back(world));
    must(write_back(world, {0, 0}));
    EXPECT_EQ(world.events.next_id(), first);
    ASSERT_TRUE(area.store({0}, 1).has_value());
  }
  const std::uint64_t first = world.events.next_id();
  must(write_back(world));
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_writeback_range", "dax_flush", "dax_writeback_one", "dax_writeback_range_done"}));
}

// Where the kernel's cursor ends: beyond the last node looked at.
TEST(Writeback, WhereTheWalkEnds) {
  struct Case {
    std::vector<std::uint64_t> pages;
    PageRange range;
    std::uint64_t ends_at;
  };
  const Case kCases[] = {
      {{0}, {{0}, 600}, 1},           // a lone entry at 0 needs no node
      {{0, 3}, {{0}, 16}, 0x40},      // one leaf
      {{3}, {{4}, 1}, 0x40},          // nothing found in it
      {{0, 70}, {{0}, 16}, 0x40},     // the leaf reaches beyond the range
      {{0, 70}, {{0}, 600}, 0x1000},  // the root does
      {{70}, {{0}, 16}, 0x1000},      // nothing found below it
  };
  for (const Case& c : kCases) {
    World world;
    FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
    area.tries_pmd = false;
    for (const std::uint64_t page : c.pages) {
      ASSERT_TRUE(area.store({page}, 1).has_value());
    }
    must(write_back(world, bytes_of(c.range)));
    EXPECT_EQ(of_type(world, 1, EventType::dax_writeback_range_done).back().pgoff.value, c.ends_at);
  }
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
  ASSERT_TRUE(area.store({0}, 1).has_value());
  must(write_back(world, bytes_of({{5}, 1})));
  EXPECT_EQ(of_type(world, 1, EventType::dax_writeback_range_done).back().pgoff.value, 0x1000U);
}

// A range in the middle of a huge entry flushes all of it.
TEST(Writeback, Scenario31_MiddleOfAHugeEntry) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
  ASSERT_TRUE(area.store({kPagesPerPmd + 2}, 1).has_value());
  const std::uint64_t first = world.events.next_id();

  must(write_back(world, bytes_of({{kPagesPerPmd + 9}, 1})));

  EXPECT_EQ(of_type(world, first, EventType::dax_flush).at(0).length, kPmdSize);
  const Event one = of_type(world, first, EventType::dax_writeback_one).at(0);
  EXPECT_EQ(one.pgoff.value, kPagesPerPmd);
  EXPECT_EQ(one.last, kPagesPerPmd);
  EXPECT_FALSE(world.dirty({kPagesPerPmd}));
  EXPECT_EQ(world.on_media({kPagesPerPmd + 2}), 1);
}

// Bytes up to the end of a page do not touch the next one, and a single byte takes its whole page.
TEST(Writeback, Scenario32_RangeEnds) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  for (std::uint64_t page = 0; page < 4; ++page) {
    ASSERT_TRUE(area.store({page}, 1).has_value());
  }
  must(write_back(world, {byte_of({1}), 2 * kPageSize}));
  EXPECT_TRUE(world.dirty({0}));
  EXPECT_FALSE(world.dirty({1}));
  EXPECT_FALSE(world.dirty({2}));
  EXPECT_TRUE(world.dirty({3}));

  must(write_back(world, {byte_of({1}) - 1, 1}));
  EXPECT_FALSE(world.dirty({0}));
}

// More entries than one batch of marks.
TEST(Writeback, ManyEntries) {
  constexpr std::uint64_t kMany = 3 * kTagBatch + 5;
  World world({.device_pages = 32 * kPagesPerPmd, .file_pages = 28 * kPagesPerPmd});
  FakeVma area(*world.file, kShared, kArea, {{0}, kMany});
  area.tries_pmd = false;
  for (std::uint64_t page = 0; page < kMany; ++page) {
    ASSERT_TRUE(area.store({page}, static_cast<std::uint8_t>(page)).has_value());
  }
  const std::uint64_t before = world.view().flushes;

  must(write_back(world));

  EXPECT_EQ(world.view().flushes - before, kMany);
  EXPECT_FALSE(world.file->mapping().pages().marked(Mark::dirty));
  EXPECT_EQ(world.on_media({kMany - 1}), static_cast<std::uint8_t>(kMany - 1));
}

// Write-back after tagging skips what is gone.
TEST(Writeback, Scenario34_DeletedAfterTagging) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 1).has_value());
  ASSERT_TRUE(area.store({1}, 1).has_value());
  bool first_flush = true;
  world.view().on_flush = [&](ByteRange) {
    if (std::exchange(first_flush, false)) {
      std::thread([&] { world.file->mapping().pages().erase({1}); }).join();
    }
    return Result<void>{};
  };
  EXPECT_TRUE(write_back(world).ok());
  EXPECT_EQ(world.events.count(EventType::dax_writeback_one), 1U);
}

// A hole or placeholder that is marked dirty is damage: an error, and nothing is flushed.
TEST(Writeback, Scenario36_DirtyWithoutStorage) {
  for (const Entry damaged : {Entry::zero(kZeroPfn.value, 0), Entry::empty(0)}) {
    World world;
    ErrorSequence::Sample since = world.file->mapping().errors().sample();
    must(world.file->mapping().pages().store({3}, damaged));
    world.file->mapping().pages().set_mark({3}, Mark::dirty);
    EXPECT_ERRNO(write_back(world), Errno::eio);
    EXPECT_EQ(world.view().flushes, 0U);
    EXPECT_ERRNO(world.file->mapping().errors().check_and_advance(since), Errno::eio);
  }
}

// The third of five flushes fails: two are clean, three are still dirty, and the error is remembered. n-th for every n.
TEST(Writeback, Scenario37_FlushFails) {
  for (const Errno error : {Errno::eio, Errno::enospc, Errno::enomem}) {
    for (std::uint64_t nth = 0; nth < 5; ++nth) {
      World world;
      FakeVma area(*world.file, kShared, kArea, {{0}, 16});
      ErrorSequence::Sample since = world.file->mapping().errors().sample();
      for (std::uint64_t page = 0; page < 5; ++page) {
        ASSERT_TRUE(area.store({page}, 9).has_value());
      }
      std::uint64_t flushed = 0;
      world.view().on_flush = [&](ByteRange) { return flushed++ == nth ? Result<void>(error) : Result<void>{}; };

      EXPECT_ERRNO(write_back(world), error);

      for (std::uint64_t page = 0; page < 5; ++page) {
        EXPECT_EQ(world.dirty({page}), page >= nth);
        EXPECT_EQ(world.marked({page}, Mark::towrite), page > nth);
        EXPECT_EQ(world.on_media({page}), page < nth ? 9 : 0);
      }
      EXPECT_ERRNO(world.file->mapping().errors().check_and_advance(since), error);
      EXPECT_TRUE(world.file->mapping().errors().check_and_advance(since).ok());
      EXPECT_EQ(of_type(world, 1, EventType::dax_writeback_range_done).back().pgoff.value, nth);
      EXPECT_EQ(world.broken_invariant({&area}), "");

      world.view().on_flush = nullptr;
      must(write_back(world));
      EXPECT_EQ(world.on_media({4}), 9);
    }
  }
}

// Memory that belongs to no device any more is an error, not a flush of somebody else's.
TEST(Writeback, DeviceGone) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  world.memory.unbind(world.device->first_pfn());
  EXPECT_ERRNO(write_back(world), Errno::efault);
  EXPECT_TRUE(world.dirty({0}));
}

// A device that is dead for new translations still takes flushes (F5.3, workload l), until the disk is gone.
TEST(Writeback, DeadDeviceStillFlushes) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  ASSERT_TRUE(area.store({1}, 9).has_value());
  must(world.device->advance(LifeState::dax_dead));
  must(write_back(world, {0, kPageSize}));
  EXPECT_EQ(world.on_media({0}), 9);
  must(world.device->advance(LifeState::disk_gone));
  EXPECT_ERRNO(write_back(world), Errno::eio);
  EXPECT_TRUE(world.dirty({1}));
}

// A file that has only DAX entries is written back. (The kernel once looked at its page count; B29)
TEST(Writeback, Scenario42_OnlyDaxEntries) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  must(world.super_block->sync());
  EXPECT_EQ(world.on_media({0}), 9);
}

// Without a write cache no line is flushed, and no time passes; the marks are cleared all the same.
TEST(Writeback, Scenario44_NoWriteCache) {
  World world({.capabilities = {.synchronous = true, .write_cache = false, .alignment = kPmdSize}});
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  const std::uint64_t flushes = world.view().flushes;
  const auto before = world.clock.now();
  must(write_back(world));
  EXPECT_EQ(world.view().flushes, flushes);
  EXPECT_EQ(world.clock.now(), before);
  EXPECT_FALSE(world.dirty({0}));
}

// Flushing costs virtual time per line.
TEST(Writeback, AdvancesTheClock) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  const auto before = world.clock.now();
  must(write_back(world));
  EXPECT_EQ(world.clock.now() - before, dax::costs::kFlushLine * 64);
}

// Without the flush the page is clean and the media is not: the bug can be shown.
TEST(Writeback, SkippedFlush) {
  World world({.policy = Policy{}.without(Step::flush)});
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  must(write_back(world));
  EXPECT_FALSE(world.dirty({0}));
  EXPECT_EQ(world.on_media({0}), 0);
}

// Nothing in the path takes memory: it works when there is none.
TEST(Writeback, NeedsNoMemory) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  world.arena.fail_from(1);
  EXPECT_TRUE(write_back(world).ok());
  EXPECT_EQ(world.on_media({0}), 9);
}

}  // namespace
}  // namespace daxsim::test
