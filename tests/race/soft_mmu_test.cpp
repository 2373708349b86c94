// SPDX-License-Identifier: BSD-3-Clause
// Races of the soft MMU: page-table changes against loads, stores and faults under way. First with threads parked at the
// place that matters, then at random.
#include <gtest/gtest.h>

#include <atomic>
#include <csignal>
#include <latch>
#include <memory>
#include <thread>

#include "daxsim/test_support/must.hpp"
#include "unit/mm/process_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kP = kPageSize;
constexpr int kRounds = 60;

// Gives a thread that ought to be waiting every chance to show that it is not.
void let_others_run() {
  for (int i = 0; i < 200; ++i) {
    std::this_thread::yield();
  }
}

template <class Condition>
void yield_until(Condition condition) {
  while (!condition()) {
    std::this_thread::yield();
  }
}

class SoftRace : public testing::Test {
 protected:
  SoftWorld world{1024};
  SoftInode& inode = *world.inode;
  Process process{world.system, 1};
  std::uint64_t at = must(process.mmap(world.open(), {}));
};

// --- parked ---

TEST_F(SoftRace, UnmapWaitsForAnAccessUnderWay) {
  // I2: whoever is inside keeps the page, with its bytes, until it leaves; only then is the block freed.
  ASSERT_TRUE(process.store<std::uint64_t>(at, 42).ok());
  auto guard = std::make_unique<AccessResult<BulkAccess>>(process.access(at, 8, Access::read));
  ASSERT_TRUE((*guard).ok());
  std::atomic<bool> left{false};
  std::atomic<bool> left_before_freed{false};

  std::thread punch([&] {
    inode.punch(0, 1);
    left_before_freed = left.load();
  });
  // Looked at without the library's locks, which this thread may not take now.
  std::thread watch([&] { yield_until([&] { return process.pte(at).kind == PteState::Kind::none; }); });
  watch.join();
  let_others_run();
  EXPECT_EQ((*guard)->bytes()[0], std::byte{42});
  left = true;
  guard.reset();
  punch.join();

  EXPECT_TRUE(left_before_freed);
  EXPECT_EQ(process.load<std::uint64_t>(at).value(), 0U);
}

TEST_F(SoftRace, WriteProtectWaitsForAStoreUnderWay) {
  // I1: when write-back has write-protected a page, nobody stores to it any more.
  ASSERT_TRUE(process.store<std::uint64_t>(at, 1).ok());
  auto guard = std::make_unique<AccessResult<BulkAccess>>(process.access(at, 8, Access::write));
  ASSERT_TRUE((*guard).ok());
  std::atomic<bool> left{false};
  bool left_before_flush = false;
  std::byte flushed{};

  std::thread write_back([&] {
    inode.write_back(0, 1, [&](std::uint64_t page) {
      left_before_flush = left;
      flushed = *inode.block(page);
    });
  });
  std::thread watch([&] { yield_until([&] { return !process.pte(at).writable; }); });
  watch.join();
  let_others_run();
  (*guard)->writable_bytes()[0] = std::byte{77};
  left = true;
  guard.reset();
  write_back.join();

  EXPECT_TRUE(left_before_flush);
  EXPECT_EQ(flushed, std::byte{77});
}

TEST_F(SoftRace, APrivateStoreWaitsForLoadsOfThePageItReplaces) {
  // Or a load of the old page could come after the store.
  inode.allocate(0);
  const std::uint64_t base = must(process.mmap(world.open(), {.sharing = Sharing::private_copy}));
  auto guard = std::make_unique<AccessResult<BulkAccess>>(process.access(base, 8, Access::read));
  std::atomic<bool> left{false};
  bool left_before_stored = false;

  std::thread store([&] {
    EXPECT_TRUE(process.store<std::uint8_t>(base, 5).ok());
    left_before_stored = left;
  });
  std::thread watch([&] { yield_until([&] { return process.pte(base).kind == PteState::Kind::private_copy; }); });
  watch.join();
  let_others_run();
  EXPECT_EQ((*guard)->bytes()[0], std::byte{0});
  left = true;
  guard.reset();
  store.join();

  EXPECT_TRUE(left_before_stored);
}

TEST_F(SoftRace, ReadersMayEnterWhileAnUnmapWaits) {
  // A waiting unmap holds nobody up: other pages that are there are loaded and stored meanwhile.
  ASSERT_TRUE(process.store<std::uint64_t>(at, 1).ok());
  ASSERT_TRUE(process.store<std::uint64_t>(at + kP, 2).ok());
  auto guard = std::make_unique<AccessResult<BulkAccess>>(process.access(at, 8, Access::read));
  std::thread punch([&] { inode.punch(0, 1); });

  std::thread other([&] {
    yield_until([&] { return process.pte(at).kind == PteState::Kind::none; });
    EXPECT_EQ(process.load<std::uint64_t>(at + kP).value(), 2U);
    EXPECT_TRUE(process.store<std::uint64_t>(at + kP, 3).ok());
  });
  other.join();
  guard.reset();
  punch.join();
}

TEST_F(SoftRace, APageInstalledBeforeAPunchIsGoneAfterIt) {
  // A fault that is parked before its install; the punch comes second and takes the page away again.
  std::latch parked{1};
  std::latch go{1};
  std::atomic<bool> is_first{true};
  inode.on_install = [&](FaultRequest&) {
    if (is_first.exchange(false)) {
      parked.count_down();
      go.wait();
    }
  };
  std::thread store([&] { EXPECT_TRUE(process.store<std::uint64_t>(at + 3 * kP, 9).ok()); });
  parked.wait();

  std::thread punch([&] { inode.punch(3, 1); });
  go.count_down();
  store.join();
  punch.join();

  // The store ran again after the install, so it came before the punch or faulted anew after it.
  const std::uint64_t value = process.load<std::uint64_t>(at + 3 * kP).value();
  EXPECT_TRUE(value == 0 || value == 9);
  EXPECT_EQ(inode.allocated(3), value == 9);
}

TEST_F(SoftRace, MunmapWaitsForAFaultUnderWay) {
  // The area lives as long as a fault in it; the access then finds nothing mapped.
  std::latch parked{1};
  std::latch go{1};
  inode.on_install = [&](FaultRequest&) {
    parked.count_down();
    go.wait();
  };
  std::thread load([&] {
    const AccessResult<std::uint8_t> loaded = process.load<std::uint8_t>(at);
    EXPECT_TRUE(loaded.ok() || loaded.error().code == SEGV_MAPERR);
  });
  parked.wait();

  std::thread unmap([&] { EXPECT_TRUE(process.munmap(at, 1024 * kP).ok()); });
  let_others_run();
  int areas = 0;
  inode.mapping().for_each_vma(kAllPages, [&](Vma&) { ++areas; });
  EXPECT_EQ(areas, 1);
  go.count_down();
  load.join();
  unmap.join();

  EXPECT_EQ(process.load<std::uint8_t>(at).error().code, SEGV_MAPERR);
}

// --- random ---

TEST_F(SoftRace, NoStoreIsLostBetweenWriteProtectAndFlush) {
  // Two processes store to the same pages while one thread writes back: what a page holds after it was write-protected
  // does not change until its entry is unlocked, so what is flushed is what is there.
  constexpr std::uint64_t kPages = 4;
  Process other{world.system, 2};
  const std::uint64_t there = must(other.mmap(world.open(), {}));
  std::atomic<bool> stop{false};
  const auto stores = [&](Process& actor, std::uint64_t base) {
    for (std::uint64_t n = 1; !stop; ++n) {
      EXPECT_TRUE(actor.store<std::uint64_t>(base + (n % kPages) * kP, n).ok());
    }
  };
  std::thread first([&] { stores(process, at); });
  std::thread second([&] { stores(other, there); });

  int changed = 0;
  for (int round = 0; round < kRounds; ++round) {
    inode.write_back(0, kPages, [&](std::uint64_t page) {
      const auto look = [&] {
        return std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(inode.block(page)))
            .load(std::memory_order_relaxed);
      };
      const std::uint64_t flushed = look();
      std::this_thread::yield();
      changed += look() == flushed ? 0 : 1;
    });
    std::this_thread::yield();
  }
  stop = true;
  first.join();
  second.join();

  EXPECT_EQ(changed, 0);
}

TEST_F(SoftRace, LoadsDuringPunchSeeTheOldValueOrZero) {
  // Never the bytes of a block that was freed: the fake fills freed blocks with zeros only after the unmap.
  std::atomic<bool> stop{false};
  std::thread loads([&] {
    while (!stop) {
      const std::uint64_t value = process.load<std::uint64_t>(at + kP).value();
      EXPECT_TRUE(value == 0 || value == 7) << value;
    }
  });
  for (int round = 0; round < kRounds; ++round) {
    ASSERT_TRUE(process.store<std::uint64_t>(at + kP, 7).ok());
    inode.punch(0, 4);
    // As the next owner of the block would; nobody may see it.
    std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(inode.block(1)))
        .store(0xbad, std::memory_order_relaxed);
    std::this_thread::yield();
    std::atomic_ref<std::uint64_t>(*reinterpret_cast<std::uint64_t*>(inode.block(1)))
        .store(0, std::memory_order_relaxed);
  }
  stop = true;
  loads.join();
}

TEST_F(SoftRace, TablesAreFreedUnderLoads) {
  // mmap and munmap, whole and in part, while other threads walk the same addresses.
  std::atomic<std::uint64_t> current{0};
  std::atomic<bool> stop{false};
  const auto accesses = [&](std::uint64_t seed) {
    while (!stop) {
      seed = seed * 6364136223846793005U + 1442695040888963407U;
      const std::uint64_t address = current + (seed >> 54) % 1024 * kP;
      const AccessResult<void> stored = process.store<std::uint64_t>(address, seed);
      EXPECT_TRUE(stored.ok() || stored.error().code == SEGV_MAPERR || stored.error().code == SEGV_ACCERR);
    }
  };
  std::thread first([&] { accesses(1); });
  std::thread second([&] { accesses(2); });
  const auto file = world.open();
  for (int round = 0; round < kRounds; ++round) {
    const auto sharing = round % 2 == 0 ? Sharing::shared : Sharing::private_copy;
    const std::uint64_t base = must(process.mmap(file, {.sharing = sharing}));
    current = base;
    std::this_thread::yield();
    ASSERT_TRUE(process.mprotect(base + 100 * kP, 100 * kP, Prot::read).ok());
    ASSERT_TRUE(process.munmap(base + 300 * kP, 600 * kP).ok());
    ASSERT_TRUE(process.dont_need(base, 100 * kP).ok());
    ASSERT_TRUE(process.munmap(base, 1024 * kP).ok());
  }
  stop = true;
  first.join();
  second.join();
}

TEST_F(SoftRace, ThreadsFaultingAtOnceAgree) {
  // The same page and different pages, small and huge: every counter comes out right, nothing is installed twice.
  constexpr unsigned kThreads = 4;
  for (const bool pmds : {false, true}) {
    inode.use_pmds = pmds;
    for (int round = 0; round < 20; ++round) {
      const std::uint64_t base = must(process.mmap(world.open(), {}));
      std::latch start{kThreads};
      std::vector<std::thread> threads;
      for (unsigned t = 0; t < kThreads; ++t) {
        threads.emplace_back([&, t] {
          start.arrive_and_wait();
          for (std::uint64_t page = 0; page < 600; page += 7) {
            EXPECT_TRUE(process.store<std::uint32_t>(base + page * kP + 64 * t, static_cast<std::uint32_t>(page)).ok());
          }
        });
      }
      for (std::thread& thread : threads) {
        thread.join();
      }
      for (std::uint64_t page = 0; page < 600; page += 7) {
        for (unsigned t = 0; t < kThreads; ++t) {
          ASSERT_EQ(process.load<std::uint32_t>(base + page * kP + 64 * t).value(), page);
        }
      }
      const FaultCounts counts = process.fault_counts(base);
      EXPECT_EQ(pmds ? counts.pmd : counts.pte, pmds ? 2U : 86U);
      ASSERT_TRUE(process.munmap(base, 1024 * kP).ok());
      inode.punch(0, 1024);
    }
  }
}

TEST_F(SoftRace, AnotherThreadSeesAPrivateStoreAtOnce) {
  // The store replaces a page that others have in use: after it has returned nobody loads the old one.
  inode.allocate(0);
  for (int round = 0; round < kRounds; ++round) {
    const std::uint64_t base = must(process.mmap(world.open(), {.sharing = Sharing::private_copy, .length = kP}));
    ASSERT_EQ(process.load<std::uint64_t>(base).value(), 0U);
    std::atomic<bool> stored{false};
    std::thread load([&] {
      bool last = false;
      do {
        last = stored;
        const std::uint64_t value = process.load<std::uint64_t>(base).value();
        EXPECT_TRUE(value == 5 || !last) << value;
      } while (!last);
    });
    ASSERT_TRUE(process.store<std::uint64_t>(base, 5).ok());
    stored = true;
    load.join();
    ASSERT_TRUE(process.munmap(base, kP).ok());
  }
}

}  // namespace
}  // namespace daxsim::test
