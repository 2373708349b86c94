// SPDX-License-Identifier: BSD-3-Clause
// Races of live mappings: faults against each other, and against whatever takes pages away. First with threads parked at
// the place that matters, then at random.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <csignal>
#include <latch>
#include <random>
#include <thread>
#include <vector>

#include "daxsim/mm/live.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "unit/mm/live_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kPages = 1024;

// Gives a thread that ought to be waiting every chance to show that it is not.
void let_others_run() {
  for (int i = 0; i < 100; ++i) {
    std::this_thread::yield();
  }
}

class LiveRace : public ::testing::TestWithParam<LiveBackend> {
 protected:
  [[nodiscard]] Mapping map(const MapOptions& options = {}) { return must(world.map(GetParam(), options)); }
  LiveMmuWorld world{4 * kPages};
  LiveInode& inode = *world.inode;
};

INSTANTIATE_TEST_SUITE_P(, LiveRace, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// One word of a live page. Atomic, and not instrumented: ThreadSanitizer holds a lock of its own during an atomic access,
// and would wait for itself when the access faults and the handler synchronizes.
#if defined(__clang__)
#define DAXSIM_TEST_NOT_INSTRUMENTED __attribute__((disable_sanitizer_instrumentation))
#else
#define DAXSIM_TEST_NOT_INSTRUMENTED
#endif
class Word {
 public:
  Word(const Mapping& map, std::uint64_t page, std::size_t slot)
      : at_(reinterpret_cast<std::uint64_t*>(map.data() + page * kPageSize) + slot) {}
  DAXSIM_TEST_NOT_INSTRUMENTED void store(std::uint64_t value) const { __atomic_store_n(at_, value, __ATOMIC_RELAXED); }
  DAXSIM_TEST_NOT_INSTRUMENTED void add_one() const { __atomic_fetch_add(at_, 1, __ATOMIC_RELAXED); }
  DAXSIM_TEST_NOT_INSTRUMENTED std::uint64_t load() const { return __atomic_load_n(at_, __ATOMIC_RELAXED); }

 private:
  std::uint64_t* at_;
};
Word word(const Mapping& map, std::uint64_t page, std::size_t slot = 0) { return {map, page, slot}; }

std::uint64_t device_word(const LiveInode& inode, std::uint64_t page, std::size_t slot = 0) {
  return __atomic_load_n(reinterpret_cast<std::uint64_t*>(inode.block(page)) + slot, __ATOMIC_RELAXED);
}

// Parks the first PTE fault of page 0 until let_go().
class ParkedFault {
 public:
  explicit ParkedFault(LiveInode& inode) {
    inode.on_fault = [this](FaultRequest& request) {
      if (request.order == 0 && request.pgoff.value == 0 && !parked_.exchange(true)) {
        reached_.count_down();
        go_on_.wait();
      }
    };
  }
  void wait_until_parked() { reached_.wait(); }
  void let_go() { go_on_.count_down(); }

 private:
  std::atomic<bool> parked_{false};
  std::latch reached_{1};
  std::latch go_on_{1};
};

// --- parked ---------------------------------------------------------------------------------------------------------

// A fault that waits in the file system holds up no other mapping: neither its faults nor its making and its end.
TEST_P(LiveRace, ParkedFaultHoldsUpNoOtherMapping) {
  inode.allocate(0, 8);
  const Mapping slow = map();
  ParkedFault parked(inode);
  std::thread faulting([&] { word(slow, 0).store(1); });
  parked.wait_until_parked();

  {
    const Mapping other = map();
    word(other, 3).store(2);
  }
  word(slow, 4).store(3);
  parked.let_go();
  faulting.join();

  EXPECT_EQ(device_word(inode, 0), 1U);
  EXPECT_EQ(device_word(inode, 3), 2U);
  EXPECT_EQ(device_word(inode, 4), 3U);
}

// The end of a mapping waits for a fault under way in it.
TEST_P(LiveRace, UnmapWaitsForAFaultUnderWay) {
  inode.allocate(0, 8);
  Mapping mapping = map();
  ParkedFault parked(inode);
  std::atomic<bool> over{false};
  std::atomic<bool> over_before_end{false};
  std::byte* const data = mapping.data();
  std::thread faulting([&] {
    const auto signal = SignalProbe::run([&] { store(data, 1); });
    EXPECT_TRUE(!signal.has_value() || signal->number == SIGSEGV);  // its access may run again too late
  });
  parked.wait_until_parked();

  std::thread ending([&] {
    mapping.unmap();
    over_before_end.store(over.load());
  });
  let_others_run();
  over.store(true);
  parked.let_go();
  faulting.join();
  ending.join();

  EXPECT_TRUE(over_before_end.load());
}

// Who comes late to a page that another thread brings waits for the entry, and takes no second fault.
TEST_P(LiveRace, SecondThreadFindsThePage) {
  inode.allocate(0, 8);
  const Mapping mapping = map();
  ParkedFault parked(inode);
  std::thread first([&] { word(mapping, 0).store(1); });
  parked.wait_until_parked();
  std::thread second([&] { word(mapping, 0, 1).store(2); });
  second.join();
  parked.let_go();
  first.join();

  EXPECT_EQ(device_word(inode, 0, 0), 1U);
  EXPECT_EQ(device_word(inode, 0, 1), 2U);
  EXPECT_FAULTS(mapping, pte = 1);
}

// --- random ---------------------------------------------------------------------------------------------------------

// Threads that fault at once on the pages of one extent lose no store, and each page is installed once.
TEST_P(LiveRace, FaultsInOneExtentAtOnce) {
  inode.allocate(0, kPages);
  for (int round = 0; round < 20; ++round) {
    const Mapping mapping = map({.length = 64 * kPageSize});
    constexpr std::size_t kThreads = 4;
    std::latch start(kThreads);
    std::vector<std::thread> threads;
    for (std::size_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        start.arrive_and_wait();
        for (std::uint64_t page = 0; page < 64; ++page) {
          word(mapping, page, thread).store(100 * page + thread + static_cast<std::uint64_t>(round));
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    for (std::uint64_t page = 0; page < 64; ++page) {
      for (std::size_t thread = 0; thread < kThreads; ++thread) {
        ASSERT_EQ(device_word(inode, page, thread), 100 * page + thread + static_cast<std::uint64_t>(round));
      }
    }
    EXPECT_FAULTS(mapping, pte = 64);
  }
}

// Two threads store while pages are moved to other blocks, write-protected and dropped: no store is lost, none lands in a
// block after it was taken away, and none after write-protection without a new fault.
TEST_P(LiveRace, StoresSurviveMovesAndWriteProtection) {
  constexpr std::uint64_t kUsed = 24;
  inode.allocate(0, kUsed);
  const Mapping mapping = map({.length = kUsed * kPageSize});
  std::atomic<bool> stop{false};
  std::array<std::array<std::uint64_t, kUsed>, 2> added{};
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 2; ++thread) {
    threads.emplace_back([&, thread] {
      std::minstd_rand random(static_cast<unsigned>(thread + 1));
      while (!stop.load(std::memory_order_relaxed)) {
        const std::uint64_t page = random() % kUsed;
        word(mapping, page).add_one();
        ++added[thread][page];
      }
    });
  }

  std::minstd_rand random(7);
  std::uint64_t free = kPages;
  for (int round = 0; round < 120; ++round) {
    const std::uint64_t page = random() % kUsed;
    const std::uint64_t count = std::min<std::uint64_t>(1 + random() % 8, kUsed - page);
    switch (random() % 3) {
      case 0: {
        // The old blocks are poisoned, and must stay so.
        std::array<std::byte*, kUsed> old{};
        for (std::uint64_t i = 0; i < count; ++i) {
          old[i] = inode.block(page + i);
        }
        inode.relocate(page, count, free);
        free = free + count + 8 < 4 * kPages ? free + count : kPages;
        for (std::uint64_t i = 0; i < count; ++i) {
          const std::atomic_ref<std::uint64_t> first(*reinterpret_cast<std::uint64_t*>(old[i]));
          first.store(0xdead);
          std::this_thread::yield();
          ASSERT_EQ(first.load(), 0xdeadU) << "a store to a block that was taken away";
        }
        break;
      }
      case 1:
        inode.write_back(page, count, [&](std::uint64_t clean) {
          const std::uint64_t before = device_word(inode, clean);
          std::this_thread::yield();
          ASSERT_EQ(device_word(inode, clean), before) << "a store to a write-protected page";
        });
        break;
      default:
        inode.mapping().unmap_pages({{page}, count}, EvenCows::no);
        break;
    }
  }
  stop.store(true);
  for (std::thread& thread : threads) {
    thread.join();
  }

  for (std::uint64_t page = 0; page < kUsed; ++page) {
    EXPECT_EQ(device_word(inode, page), added[0][page] + added[1][page]) << "page " << page;
  }
}

// Private copies, made by several threads while the file under them is punched, keep their bytes.
TEST_P(LiveRace, PrivateCopiesWhileTheFileIsPunched) {
  inode.allocate(0, 64);
  const Mapping mapping = map({.sharing = Sharing::private_copy, .length = 64 * kPageSize});
  std::vector<std::thread> threads;
  for (std::size_t thread = 0; thread < 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (std::uint64_t page = 0; page < 64; ++page) {
        static_cast<void>(word(mapping, 63 - page).load());
        word(mapping, page, thread).store(page + 1);
      }
    });
  }
  for (int round = 0; round < 50; ++round) {
    inode.punch(static_cast<std::uint64_t>(round), 8);
    std::this_thread::yield();
  }
  for (std::thread& thread : threads) {
    thread.join();
  }

  for (std::uint64_t page = 0; page < 64; ++page) {
    for (std::size_t thread = 0; thread < 3; ++thread) {
      EXPECT_EQ(word(mapping, page, thread).load(), page + 1);
    }
  }
}

// Mappings come and go while others fault and the file's pages are write-protected through all of them.
TEST_P(LiveRace, MappingsComeAndGo) {
  inode.allocate(0, 64);
  const Mapping steady = map({.length = 64 * kPageSize});
  std::atomic<bool> stop{false};
  std::uint64_t added = 0;
  std::thread storing([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      word(steady, added % 64).add_one();
      ++added;
    }
  });
  std::thread cleaning([&] {
    while (!stop.load(std::memory_order_relaxed)) {
      inode.write_back(0, 64);
      std::this_thread::yield();
    }
  });
  for (std::uint64_t round = 0; round < 100; ++round) {
    const Mapping mapping = map({.offset = (round % 5) * kPageSize, .length = 8 * kPageSize});
    word(mapping, round % 8, 1).store(round);
    flush(mapping.data(), 64);
  }
  stop.store(true);
  storing.join();
  cleaning.join();

  std::uint64_t found = 0;
  for (std::uint64_t page = 0; page < 64; ++page) {
    found += device_word(inode, page);
  }
  EXPECT_EQ(found, added);
}

// Bus errors in several threads at once: each gets its own, and can go on.
TEST_P(LiveRace, BusErrorsInSeveralThreads) {
  inode.resize(kPageSize);
  inode.allocate(0, 1);
  const Mapping mapping = map({.length = 16 * kPageSize});
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 1; thread <= 3; ++thread) {
    threads.emplace_back([&, thread] {
      for (int i = 0; i < 200; ++i) {
        std::byte* const at = mapping.data() + thread * kPageSize + static_cast<std::size_t>(i);
        const auto signal = SignalProbe::run([&] { store(at, 1); });
        ASSERT_TRUE(signal.has_value());
        ASSERT_EQ(signal->address, reinterpret_cast<std::uintptr_t>(at));
        word(mapping, 0).add_one();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }

  EXPECT_EQ(device_word(inode, 0), 600U);
  EXPECT_FAULTS(mapping, pte = 1, sigbus = 600);
}

}  // namespace
}  // namespace daxsim::test
