// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/sync.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <csignal>
#include <latch>
#include <optional>
#include <string>
#include <thread>
#include <vector>

#include "support/sanitized.hpp"
#include "unit/base/parked.hpp"

namespace daxsim {
namespace {

using test::Parked;

// Only one thread at a time is inside a mutex.
TEST(Mutex, ExcludesOthers) {
  Mutex mutex(LockRank::index);
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < 2000; ++turn) {
          const MutexLock guard(mutex);
          ++count;
        }
      });
    }
  }
  EXPECT_EQ(count, 8000);
}

// Of a rank whose readers count themselves, and of those whose readers publish in a place of their thread.
class SharedMutexTest : public ::testing::TestWithParam<LockRank> {};
INSTANTIATE_TEST_SUITE_P(Ranks, SharedMutexTest,
                         ::testing::Values(LockRank::i_mmap, LockRank::mm, LockRank::invalidate),
                         [](const auto& rank) { return std::string(lock_rank_name(rank.param)); });

// Readers are inside together: each waits inside for all the others.
TEST_P(SharedMutexTest, ReadersDoNotExcludeEachOther) {
  constexpr int kReaders = 3;
  SharedMutex mutex(GetParam());
  std::latch inside(kReaders);
  std::vector<std::jthread> readers;
  for (int reader = 0; reader < kReaders; ++reader) {
    readers.emplace_back([&] {
      const SharedLock guard(mutex);
      inside.arrive_and_wait();
    });
  }
}

// A writer waits for the reader that is inside, and a reader for the writer.
TEST_P(SharedMutexTest, AWriterExcludesReaders) {
  SharedMutex mutex(GetParam());
  mutex.lock_shared();
  Parked writer([&] { const ExclusiveLock guard(mutex); });
  EXPECT_TRUE(writer.sleeps());
  mutex.unlock_shared();
  writer.join();
  EXPECT_TRUE(writer.done());

  mutex.lock();
  Parked reader([&] { const SharedLock guard(mutex); });
  EXPECT_TRUE(reader.sleeps());
  mutex.unlock();
  reader.join();
  EXPECT_TRUE(reader.done());
}

// A writer that waits holds new readers back, so that it gets its turn; they come after it.
TEST_P(SharedMutexTest, AWaitingWriterHoldsBackReaders) {
  SharedMutex mutex(GetParam());
  std::vector<char> order;  // written under the exclusive lock, or by one thread after it
  mutex.lock_shared();
  Parked writer([&] {
    const ExclusiveLock guard(mutex);
    order.push_back('w');
  });
  EXPECT_TRUE(writer.sleeps());
  Parked reader([&] {
    const SharedLock guard(mutex);
    order.push_back('r');
  });
  EXPECT_TRUE(reader.sleeps());

  mutex.unlock_shared();

  writer.join();
  reader.join();
  EXPECT_EQ(order, (std::vector<char>{'w', 'r'}));
}

// Readers and writers in any mixture never see a half-done change.
TEST_P(SharedMutexTest, KeepsReadersFromHalfDoneChanges) {
  SharedMutex mutex(GetParam());
  std::array<int, 2> twins{};
  {
    std::vector<std::jthread> threads;
    for (int me = 0; me < 4; ++me) {
      threads.emplace_back([&, me] {
        for (int turn = 0; turn < 1000; ++turn) {
          if ((turn + me) % 4 == 0) {
            const ExclusiveLock guard(mutex);
            ++twins[0];
            ++twins[1];
          } else {
            const SharedLock guard(mutex);
            EXPECT_EQ(twins[0], twins[1]);
          }
        }
      });
    }
  }
  EXPECT_EQ(twins[0], 1000);
}

// Threads that come and go, some more than there are records: those readers count themselves in the same locks. Nobody
// is overlooked by a writer.
TEST_P(SharedMutexTest, ReadersWithAndWithoutARecordExcludeWriters) {
  constexpr int kThreads = static_cast<int>(thread_record::kRecords) + 8;
  SharedMutex mutex(GetParam());
  std::array<int, 2> twins{};
  std::latch all_there(kThreads);
  {
    std::vector<std::jthread> threads;
    for (int me = 0; me < kThreads; ++me) {
      threads.emplace_back([&, me] {
        thread_record::number();
        all_there.arrive_and_wait();
        for (int turn = 0; turn < 10; ++turn) {
          if ((turn + me) % 8 == 0) {
            const ExclusiveLock guard(mutex);
            ++twins[0];
            std::this_thread::yield();
            ++twins[1];
          } else {
            const SharedLock guard(mutex);
            EXPECT_EQ(twins[0], twins[1]);
            std::this_thread::yield();
          }
        }
      });
    }
  }
  const ExclusiveLock guard(mutex);
  EXPECT_EQ(twins[0], twins[1]);
}

// A reader in a signal handler that came while its thread was reading something else leaves no trace.
TEST(ReaderPlaces, ServeASignalHandler) {
  static SharedMutex* inner = nullptr;
  static Gate* gate = nullptr;
  static volatile std::sig_atomic_t handled = 0;
  SharedMutex outer(LockRank::mm);
  SharedMutex inside_handler(LockRank::invalidate);
  Gate some_gate;
  inner = &inside_handler;
  gate = &some_gate;
  struct sigaction ours{};
  struct sigaction before{};
  ours.sa_handler = [](int) {
    const SharedLock reading(*inner);
    const Gate::Reader inside(*gate);
    handled = handled + 1;
  };
  ::sigaction(SIGUSR1, &ours, &before);
  std::jthread([&] {
    ::raise(SIGUSR1);  // claims the thread's record
    const SharedLock reading(outer);
    ::raise(SIGUSR1);
  }).join();
  ::sigaction(SIGUSR1, &before, nullptr);

  some_gate.synchronize();
  const ExclusiveLock first(outer);
  const ExclusiveLock second(inside_handler);
  EXPECT_EQ(handled, 2);
}

// A child process waits for no reader that only its parent has.
TEST(ReaderPlaces, OfOtherThreadsAreForgottenInAChild) {
  Gate gate;
  std::latch there(1);
  std::latch leave(1);
  std::jthread reader([&] {
    const Gate::Reader inside(gate);
    there.count_down();
    leave.wait();
  });
  there.wait();
  const pid_t child = ::fork();
  if (child == 0) {
    ::alarm(20);  // a gate that waits for the reader would wait for ever
    if (!test::kThreadSanitized) {
      gate.synchronize();
    }
    ::_exit(0);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  leave.count_down();
  EXPECT_EQ(status, 0);
}

// A killer waits until the last reader that was inside has left, and a reader may nest even while a killer waits.
TEST(Gate, AReaderNestsWhileAKillerWaits) {
  Gate gate;
  std::optional<Gate::Reader> outer;
  outer.emplace(gate);
  Parked killer([&] { gate.synchronize(); });
  EXPECT_TRUE(killer.sleeps());
  {
    const Gate::Reader inner(gate);
    const Gate::Reader deeper(gate);
    EXPECT_TRUE(killer.sleeps());
  }
  EXPECT_TRUE(killer.sleeps());

  outer.reset();

  killer.join();
  EXPECT_TRUE(killer.done());
}

// A reader that comes after the killer is not waited for: the killer ends though that reader is still inside.
TEST(Gate, AKillerWaitsOnlyForTheReadersThatWereInside) {
  Gate gate;
  std::optional<Gate::Reader> before;
  before.emplace(gate);
  Parked killer([&] { gate.synchronize(); });
  EXPECT_TRUE(killer.sleeps());
  const Gate::Reader after(gate);

  before.reset();

  killer.join();
  EXPECT_TRUE(killer.done());
}

// With nobody inside a killer does not wait, however often it comes, and several killers may come at once.
TEST(Gate, KillersTakeTurns) {
  Gate gate;
  for (int turn = 0; turn < 5; ++turn) {
    gate.synchronize();
  }
  std::optional<Gate::Reader> inside;
  inside.emplace(gate);
  Parked first([&] { gate.synchronize(); });
  Parked second([&] { gate.synchronize(); });
  EXPECT_TRUE(first.sleeps());
  EXPECT_TRUE(second.sleeps());

  inside.reset();

  first.join();
  second.join();
}

// The promise as its users need it: after the state has changed and synchronize() has returned, nobody is inside who
// saw the old state. What the readers use is destroyed after each round, so a broken gate is a use after free (ASan) or
// a race (TSan) as well as a wrong number.
TEST(Gate, NobodyUsesTheOldStateAfterwards) {
  Gate gate;
  std::atomic<int*> state{new int(7)};
  std::atomic<bool> stop{false};
  {
    std::vector<std::jthread> readers;
    for (int thread = 0; thread < 3; ++thread) {
      readers.emplace_back([&] {
        while (!stop.load(std::memory_order_relaxed)) {
          const Gate::Reader inside(gate);
          if (const int* const value = state.load(std::memory_order_seq_cst); value != nullptr) {
            // More than a thread has places for: the last ones are counted.
            const std::array<Gate::Reader, 5> nested{Gate::Reader(gate), Gate::Reader(gate), Gate::Reader(gate),
                                                     Gate::Reader(gate), Gate::Reader(gate)};
            EXPECT_EQ(*value, 7);
          }
        }
      });
    }
    for (int round = 0; round < 500; ++round) {
      int* const old = state.exchange(nullptr, std::memory_order_seq_cst);
      gate.synchronize();
      *old = 0;
      delete old;
      state.store(new int(7), std::memory_order_seq_cst);
    }
    stop.store(true, std::memory_order_relaxed);
  }
  delete state.load();
}

}  // namespace
}  // namespace daxsim
