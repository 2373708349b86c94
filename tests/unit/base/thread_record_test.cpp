// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/thread_record.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <atomic>
#include <latch>
#include <set>
#include <thread>
#include <vector>

#include "support/sanitized.hpp"

namespace daxsim {
namespace {

// Threads that live together have numbers of their own, and each keeps its number.
TEST(ThreadRecord, LivingThreadsHaveDifferentNumbers) {
  constexpr std::size_t kThreads = 20;
  const unsigned ours = thread_record::number();  // before the others die and leave theirs
  std::vector<unsigned> numbers(kThreads, thread_record::kUnknown);
  std::latch all_there(kThreads);
  {
    std::vector<std::jthread> threads;
    for (unsigned& number : numbers) {
      threads.emplace_back([&] {
        number = thread_record::number();
        all_there.arrive_and_wait();
        EXPECT_EQ(thread_record::number(), number);
      });
    }
  }
  std::set<unsigned> different(numbers.begin(), numbers.end());
  different.insert(ours);
  EXPECT_EQ(different.size(), kThreads + 1);
  for (const unsigned number : different) {
    EXPECT_LT(number, thread_record::in_use());
  }
}

// A dead thread's record is used again: many threads one after the other need two records, with this thread's.
TEST(ThreadRecord, TheDeadGiveWay) {
  thread_record::number();
  std::set<unsigned> numbers;
  for (unsigned thread = 0; thread < 2 * thread_record::kRecords; ++thread) {
    std::jthread([&] { numbers.insert(thread_record::number()); }).join();
  }
  EXPECT_FALSE(numbers.contains(thread_record::kNone));
  // The host may take a moment to bury a thread that was joined.
  EXPECT_LT(numbers.size(), thread_record::kRecords / 4);
}

// When all records are taken a thread does without, and says so.
TEST(ThreadRecord, ThereMayBeNoneLeft) {
  constexpr std::ptrdiff_t kThreads = thread_record::kRecords + 4;
  std::latch all_there(kThreads);
  std::atomic<unsigned> without{0};
  {
    std::vector<std::jthread> threads;
    for (std::ptrdiff_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        without += thread_record::number() == thread_record::kNone ? 1U : 0U;
        all_there.arrive_and_wait();
      });
    }
  }
  EXPECT_GE(without.load(), 4U);
  EXPECT_LE(thread_record::in_use(), thread_record::kRecords);
}

// What readers and writers rely on: of a thread that publishes and then looks at a flag, and one that sets the flag, has
// the barrier and then looks at the places, at least one sees the other. Both begin at the same moment, again and again.
TEST(ThreadRecord, APublisherAndWhoHasTheBarrierDoNotMissEachOther) {
  if (test::kThreadSanitized) {
    GTEST_SKIP() << "nobody publishes under ThreadSanitizer";
  }
  constexpr unsigned kRounds = 10000;
  struct alignas(2 * kCacheLine) Word {
    std::atomic<unsigned> value{0};
  };
  Word begun;
  Word flag;
  Word ended;
  const auto wait_for = [](const Word& word, unsigned round) {
    for (unsigned spins = 0; word.value.load(std::memory_order_acquire) != round; ++spins) {
      if (spins > 10000) {
        std::this_thread::yield();
      }
    }
  };
  const std::uintptr_t mark = reinterpret_cast<std::uintptr_t>(&flag);
  std::vector<bool> saw_flag(kRounds + 1);
  std::jthread publisher([&] {
    thread_record::number();
    thread_record::Place& place = thread_record::place(0);
    for (unsigned round = 1; round <= kRounds; ++round) {
      wait_for(begun, round);
      thread_record::publish(place, mark);
      saw_flag[round] = flag.value.load(std::memory_order_relaxed) == round;
      wait_for(ended, round);
      thread_record::withdraw(place);
      begun.value.store(0, std::memory_order_release);
    }
  });
  unsigned missed = 0;
  for (unsigned round = 1; round <= kRounds; ++round) {
    wait_for(begun, 0);
    begun.value.store(round, std::memory_order_release);
    for (unsigned delay = round % 64; delay != 0; --delay) {
      static_cast<void>(ended.value.load(std::memory_order_acquire));
    }
    flag.value.exchange(round, std::memory_order_seq_cst);
    thread_record::barrier_in_all_threads();
    const bool saw_publisher = thread_record::is_published(mark, 0, 1);
    ended.value.store(round, std::memory_order_release);
    wait_for(begun, 0);
    missed += !saw_publisher && !saw_flag[round] ? 1U : 0U;
  }
  publisher.join();
  EXPECT_EQ(missed, 0U);
}

// In a child process this thread keeps its number, and the numbers of the others are free.
TEST(ThreadRecord, AChildHasItsOwnThreadOnly) {
  const unsigned mine = thread_record::number();
  std::latch there(1);
  std::latch leave(1);
  std::jthread other([&] {
    thread_record::number();
    there.count_down();
    leave.wait();
  });
  there.wait();
  const pid_t child = ::fork();
  if (child == 0) {
    unsigned next = mine == 0 ? 1 : 0;
    if (!test::kThreadSanitized) {  // which cannot follow a thread made after a fork of several
      std::jthread([&next] { next = thread_record::number(); }).join();
    }
    ::_exit(thread_record::number() == mine && next != mine && next <= 1 ? 0 : 1);
  }
  int status = -1;
  ::waitpid(child, &status, 0);
  leave.count_down();
  EXPECT_EQ(status, 0);
}

}  // namespace
}  // namespace daxsim
