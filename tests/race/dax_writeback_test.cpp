// SPDX-License-Identifier: BSD-3-Clause
// Write-back that meets stores, other write-backs, truncation.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>

#include "dax/entry.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr VmFlags kShared{};

struct WritebackWorld : World {
  FakeVma area{*file, kShared, kArea, {{0}, 600}};
  Parking parking;

  WritebackWorld() { area.tries_pmd = false; }
  [[nodiscard]] Result<void> sync(ByteRange bytes = kWholeFile) {
    return dax::writeback_range(context, file->mapping(), bytes);
  }
  // The flush of `page` stops, the first time.
  void park_flush_of(Pgoff page) {
    auto armed = std::make_shared<std::atomic<bool>>(true);
    view().on_flush = [this, armed, page](ByteRange bytes) {
      if (bytes.offset == byte_of(file->device_page(page)) && armed->exchange(false)) {
        parking.stop_here();
      }
      return Result<void>{};
    };
  }
};

// A store during the flush faults and waits; the page ends dirty, and the next sync brings the store to the media.
TEST(WritebackRace, Scenario43_StoreDuringTheFlush) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  world.park_flush_of({3});
  {
    BlockedThread sync([&] { EXPECT_TRUE(world.sync().ok()); });
    world.parking.wait_until_parked();
    EXPECT_FALSE(world.area.pte({3}).writable);
    BlockedThread store([&] { EXPECT_TRUE(world.area.store({3}, 2).has_value()); });
    EXPECT_TRUE(store.blocks());
    world.parking.let_go();
  }
  EXPECT_TRUE(world.dirty({3}));
  EXPECT_EQ(world.broken_invariant({&world.area}), "");
  EXPECT_TRUE(world.sync().ok());
  EXPECT_EQ(world.on_media({3}), 2);
}

// A second sync does not return before the first has flushed the page that both want.
TEST(WritebackRace, Scenario33_TwoSyncs) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  world.park_flush_of({3});
  BlockedThread one([&] { EXPECT_TRUE(world.sync().ok()); });
  world.parking.wait_until_parked();
  BlockedThread two([&] {
    EXPECT_TRUE(world.sync().ok());
    EXPECT_EQ(world.on_media({3}), 1);
  });
  EXPECT_TRUE(two.blocks());
  world.parking.let_go();
}

// The same when the first has taken the page out of the second's snapshot.
TEST(WritebackRace, Scenario33_TakenOutOfTheSnapshot) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  ASSERT_TRUE(world.area.store({4}, 1).has_value());
  Parking second_flush;
  std::array<std::atomic<bool>, 2> armed{true, true};
  world.view().on_flush = [&](ByteRange bytes) {
    if (bytes.offset == byte_of({3}) && armed[0].exchange(false)) {
      world.parking.stop_here();
    } else if (bytes.offset == byte_of({4}) && armed[1].exchange(false)) {
      second_flush.stop_here();
    }
    return Result<void>{};
  };
  BlockedThread slow([&] {
    EXPECT_TRUE(world.sync().ok());
    EXPECT_EQ(world.on_media({4}), 1);
  });
  world.parking.wait_until_parked();
  BlockedThread other([&] { EXPECT_TRUE(world.sync({byte_of({4}), kPageSize}).ok()); });
  second_flush.wait_until_parked();
  world.parking.let_go();
  EXPECT_TRUE(slow.blocks());
  second_flush.let_go();
}

// When the flush that the second waits for fails, the second's handle hears of it.
TEST(WritebackRace, Scenario33_TheFirstFails) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  ErrorSequence::Sample seen = world.file->mapping().errors().sample();
  std::atomic<bool> armed{true};
  world.view().on_flush = [&](ByteRange) {
    if (armed.exchange(false)) {
      world.parking.stop_here();
      return Result<void>(Errno::eio);
    }
    return Result<void>{};
  };
  BlockedThread one([&] { EXPECT_ERRNO(world.sync(), Errno::eio); });
  world.parking.wait_until_parked();
  BlockedThread two([&] { EXPECT_TRUE(world.sync().ok()); });
  EXPECT_TRUE(two.blocks());
  world.parking.let_go();
  one.join();
  two.join();
  EXPECT_ERRNO(world.file->mapping().errors().check_and_advance(seen), Errno::eio);
  EXPECT_EQ(world.on_media({3}), 1);
}

// Truncation waits for the flush and then takes the page out.
TEST(WritebackRace, Scenario34_TruncateDuringTheFlush) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  world.park_flush_of({3});
  {
    BlockedThread sync([&] { EXPECT_TRUE(world.sync().ok()); });
    world.parking.wait_until_parked();
    BlockedThread truncate([&] { must(world.file->truncate(0)); });
    EXPECT_TRUE(truncate.blocks());
    EXPECT_FALSE(world.entry({3}).is_null());
    world.parking.let_go();
  }
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// The entry names other storage once its owner lets go: what was sampled is not flushed, and the new one stays dirty.
TEST(WritebackRace, Scenario35_ReallocatedWhileWaiting) {
  WritebackWorld world;
  ASSERT_TRUE(world.area.store({3}, 1).has_value());
  XArray& index = world.file->mapping().pages();
  const Entry before = index.load({3});
  must(index.store({3}, before.with_lock()));
  const std::uint64_t flushes = world.view().flushes;
  BlockedThread sync([&] { EXPECT_TRUE(world.sync().ok()); });
  EXPECT_TRUE(sync.blocks());

  const Entry moved = Entry::real(before.payload() + 100, 0);
  must(index.store({3}, moved));
  dax::wake_entry(world.file->mapping(), {3}, moved, Wake::all);
  sync.join();

  EXPECT_EQ(world.view().flushes, flushes);
  EXPECT_TRUE(world.dirty({3}));
}

// And when it is gone, or another call has flushed it, there is nothing to do.
TEST(WritebackRace, Scenario34_GoneOrDoneWhileWaiting) {
  for (const bool gone : {true, false}) {
    WritebackWorld world;
    ASSERT_TRUE(world.area.store({3}, 1).has_value());
    XArray& index = world.file->mapping().pages();
    const Entry before = index.load({3});
    must(index.store({3}, before.with_lock()));
    const std::uint64_t flushes = world.view().flushes;
    BlockedThread sync([&] { EXPECT_TRUE(world.sync().ok()); });
    EXPECT_TRUE(sync.blocks());
    if (gone) {
      index.erase({3});
    } else {
      index.clear_mark({3}, Mark::towrite);
      must(index.store({3}, before));
    }
    dax::wake_entry(world.file->mapping(), {3}, before, Wake::all);
    sync.join();
    EXPECT_EQ(world.view().flushes, flushes);
  }
}

// A thread that keeps dirtying ahead of the sync does not keep it busy: it flushes what was dirty at its start.
TEST(WritebackRace, Scenario30_BoundedBySnapshot) {
  constexpr std::uint64_t kDirty = 100;
  WritebackWorld world;
  for (std::uint64_t page = 0; page < kDirty; ++page) {
    ASSERT_TRUE(world.area.store({page}, 1).has_value());
  }
  std::atomic<std::uint64_t> next{kDirty};
  const std::uint64_t before = world.view().flushes;
  std::uint64_t zeroing = 0;
  std::atomic<bool> inside{false};
  world.view().on_flush = [&](ByteRange) {
    if (!inside.exchange(true)) {
      std::thread([&] { EXPECT_TRUE(world.area.store({next++}, 1).has_value()); }).join();
      ++zeroing;  // the store's new block
      inside = false;
    }
    return Result<void>{};
  };

  EXPECT_TRUE(world.sync().ok());

  EXPECT_EQ(world.view().flushes - before - zeroing, kDirty);
  EXPECT_TRUE(world.dirty({kDirty}));
  EXPECT_FALSE(world.marked({kDirty}, Mark::towrite));
}

}  // namespace
}  // namespace daxsim::test
