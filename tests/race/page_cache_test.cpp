// SPDX-License-Identifier: BSD-3-Clause
// The page cache's write-back that meets stores, other write-backs and truncation; faults that meet each other.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <thread>
#include <vector>

#include "daxsim/base/random.hpp"
#include "support/blocked_thread.hpp"
#include "support/cache_world.hpp"
#include "support/dax_world.hpp"
#include "support/sanitized.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kSectorsPerPage = kPageSize / kSectorSize;

struct ParkingWorld : CacheWorld {
  using CacheWorld::CacheWorld;
  Parking parking;

  // The first read or write of this page stops.
  std::function<Result<void>(std::uint64_t)> park_at(std::uint64_t page) {
    auto armed = std::make_shared<std::atomic<bool>>(true);
    return [this, armed, page](std::uint64_t sector) {
      if (sector == page * kSectorsPerPage && armed->exchange(false)) {
        parking.stop_here();
      }
      return Result<void>();
    };
  }
};

// A store during the write faults and waits: what goes to the disk is one state of the page; it ends dirty, and the next
// fsync brings the store.
TEST(PageCacheRace, StoreDuringTheWrite) {
  ParkingWorld world;
  ASSERT_TRUE(world.store(3, 1).ok());
  world.disk->hooks.on_write = world.park_at(3);
  {
    BlockedThread sync([&] { EXPECT_TRUE(world.handle->fsync().ok()); });
    world.parking.wait_until_parked();
    EXPECT_FALSE(world.pte(3).writable);
    BlockedThread store([&] { EXPECT_TRUE(world.store(3, 2).ok()); });
    EXPECT_TRUE(store.blocks());
    world.parking.let_go();
  }
  EXPECT_EQ(world.on_disk(3), 1);
  EXPECT_TRUE(world.file->cached.is_dirty({3}));
  must(world.handle->fsync());
  EXPECT_EQ(world.on_disk(3), 2);
}

// A second fsync does not return before the first has written the page that both want.
TEST(PageCacheRace, TwoSyncs) {
  ParkingWorld world;
  ASSERT_TRUE(world.store(3, 1).ok());
  world.disk->hooks.on_write = world.park_at(3);
  BlockedThread first([&] { EXPECT_TRUE(world.handle->fsync().ok()); });
  world.parking.wait_until_parked();
  BlockedThread second([&] {
    EXPECT_TRUE(world.handle->fsync().ok());
    EXPECT_EQ(world.on_disk(3), 1);
  });
  EXPECT_TRUE(second.blocks());
  world.parking.let_go();
}

// Pages that become dirty after the call began, behind or before it, are the next call's: else a thread that keeps
// storing would keep an fsync busy for ever.
TEST(PageCacheRace, SyncWritesWhatWasDirtyWhenItBegan) {
  ParkingWorld world;
  ASSERT_TRUE(world.store(1, 1).ok());
  ASSERT_TRUE(world.store(3, 1).ok());
  world.disk->hooks.on_write = world.park_at(3);
  {
    BlockedThread sync([&] { EXPECT_TRUE(world.handle->fsync().ok()); });
    world.parking.wait_until_parked();
    ASSERT_TRUE(world.store(1, 2).ok());
    ASSERT_TRUE(world.store(5, 2).ok());
    world.parking.let_go();
  }
  EXPECT_EQ(world.on_disk(1), 1);
  EXPECT_EQ(world.on_disk(5), 0);
  EXPECT_EQ(world.pool->usage().dirty, 2U);
}

// Truncation waits for the write, and frees the block after: the sectors may be another file's then.
TEST(PageCacheRace, TruncateDuringTheWrite) {
  ParkingWorld world;
  ASSERT_TRUE(world.store(3, 1).ok());
  world.disk->hooks.on_write = world.park_at(3);
  BlockedThread sync([&] { EXPECT_TRUE(world.handle->fsync().ok()); });
  world.parking.wait_until_parked();
  BlockedThread truncate([&] {
    EXPECT_TRUE(world.handle->truncate(0).ok());
    EXPECT_EQ(world.on_disk(3), 1);
    EXPECT_FALSE(world.file->cached.is_cached({3}));
  });
  EXPECT_TRUE(truncate.blocks());
  world.parking.let_go();
}

// Two faults for an absent page: one reads, the other waits and finds it.
TEST(PageCacheRace, TwoFaultsReadOnce) {
  ParkingWorld world;
  std::atomic<int> reads{0};
  world.disk->hooks.on_read = [&reads, park = world.park_at(3)](std::uint64_t sector) {
    ++reads;
    return park(sector);
  };
  {
    BlockedThread first([&] { EXPECT_TRUE(world.load(3).ok()); });
    world.parking.wait_until_parked();
    BlockedThread second([&] { EXPECT_TRUE(world.store(3, 1).ok()); });
    EXPECT_TRUE(second.blocks());
    world.parking.let_go();
  }
  EXPECT_EQ(reads, 1);
}

// A waiter whose page could not be read tries by itself, and is not left asleep.
TEST(PageCacheRace, AFailedReadWakesTheOthers) {
  ParkingWorld world;
  world.disk->hooks.on_read = [park = world.park_at(3), failed = std::make_shared<std::atomic<bool>>(false)](
                                  std::uint64_t sector) -> Result<void> {
    static_cast<void>(park(sector));
    return failed->exchange(true) ? Result<void>() : Result<void>(Errno::eio);
  };
  BlockedThread first([&] { EXPECT_FALSE(world.load(3).ok()); });
  world.parking.wait_until_parked();
  BlockedThread second([&] { EXPECT_TRUE(world.load(3).ok()); });
  EXPECT_TRUE(second.blocks());
  world.parking.let_go();
}

// A file goes while a fault of another file is taking a page from it.
TEST(PageCacheRace, FilesGoWhileTheirPagesAreTaken) {
  const int rounds = kSanitized ? 40 : 400;
  CacheWorld world({.file_pages = 8, .pool_pages = 8});
  std::atomic<bool> done{false};
  std::thread others([&] {
    for (std::uint64_t number = 20; !done; ++number) {
      const auto file = world.add_file(number, {100});
      std::array<std::byte, 8 * kPageSize> bytes;
      static_cast<void>(file->read(0, bytes));
    }
  });
  for (int round = 0; round < rounds; ++round) {
    for (std::uint64_t page = 0; page < 8; ++page) {
      static_cast<void>(world.load(page));
    }
  }
  done = true;
  others.join();
}

// Threads with a byte of each page of their own: what a thread has stored it reads, and after its fsync it is on the disk;
// the pool is smaller than the file, and somebody punches a page that nobody else uses.
TEST(PageCacheRace, StoresLoadsSyncsAndReclaim) {
  constexpr std::uint64_t kThreads = 3;
  constexpr std::uint64_t kPages = 12;
  const int rounds = kSanitized ? 100 : 1000;
  CacheWorld world({.file_pages = kPages + 1, .pool_pages = kPages - 2});
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&, thread] {
      Random random(thread);
      std::array<std::uint8_t, kPages> mine{};
      for (int round = 0; round < rounds; ++round) {
        const std::uint64_t page = random.below(kPages);
        const std::uint64_t at = world.area + page * kPageSize + thread;
        const auto value = static_cast<std::uint8_t>(random.below(256));
        // A pool full of dirty pages is no error here.
        if (world.process->store<std::uint8_t>(at, value).ok()) {
          mine[page] = value;
        } else {
          must(world.handle->fsync());
        }
        if (const auto loaded = world.process->load<std::uint8_t>(at); loaded.ok()) {
          ASSERT_EQ(*loaded, mine[page]);
        }
        if (random.below(8) == 0) {
          must(world.handle->fsync_range({page * kPageSize, kPageSize}, Datasync::yes));
          std::array<std::byte, kSectorSize> sector{};
          must(world.attachment->read(page * kPageSize, sector));
          ASSERT_EQ(static_cast<std::uint8_t>(sector[thread]), mine[page]);
        }
        if (random.below(16) == 0) {
          must(world.handle->fallocate(Fallocate::punch_hole, {kPages * kPageSize, kPageSize}));
        }
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
}

}  // namespace
}  // namespace daxsim::test
