// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <optional>
#include <thread>
#include <vector>

#include "daxsim/base/sync.hpp"
#include "unit/base/parked.hpp"

namespace daxsim {
namespace {

using test::Parked;

int an_object = 0;
constexpr auto kExclusive = WaitMode::exclusive;
constexpr auto kShared = WaitMode::shared;

WaitKey key(std::uint64_t index) { return {&an_object, index}; }

// Wake::next chooses one exclusive waiter, the one that came first.
TEST(WaitQueue, NextWakesTheFirstExclusiveWaiter) {
  Waiter first(key(1), kExclusive);
  Waiter second(key(1), kExclusive);
  first.enqueue();
  second.enqueue();

  wake_waiters(key(1), Wake::next);

  EXPECT_TRUE(first.woken());
  EXPECT_FALSE(second.woken());
  first.wait();
  wake_waiters(key(1), Wake::next);
  EXPECT_TRUE(second.woken());
}

// Observers see who sleeps and who was woken and is not gone yet, at their key only.
TEST(WaitQueue, WaitersAreSeen) {
  const auto seen = [](std::uint64_t index) {
    const WaitersSeen waiters = waiters_for(key(index));
    return std::pair(waiters.asleep, waiters.woken);
  };
  Waiter other(key(5), kExclusive);
  other.enqueue();
  {
    Waiter first(key(3), kExclusive);
    Waiter second(key(3), kExclusive);
    first.enqueue();
    second.enqueue();
    EXPECT_EQ(seen(3), std::pair(2U, 0U));
    EXPECT_EQ(next_asleep(&an_object, 0), 3U);
    EXPECT_EQ(next_asleep(&an_object, 4), 5U);

    wake_waiters(key(3), Wake::next);
    EXPECT_EQ(seen(3), std::pair(1U, 1U));
    wake_waiters(key(3), Wake::next);
    EXPECT_EQ(seen(3), std::pair(0U, 2U));
    EXPECT_EQ(next_asleep(&an_object, 0), 5U);
  }
  EXPECT_EQ(seen(3), std::pair(0U, 0U));
  EXPECT_EQ(seen(5), std::pair(1U, 0U));
  EXPECT_EQ(next_asleep(&an_object, 6), std::nullopt);
  EXPECT_EQ(next_asleep(&other, 0), std::nullopt);
}

// Wake::all leaves nobody asleep: what they waited for is gone (B5).
TEST(WaitQueue, AllWakesEverybody) {
  Waiter first(key(1), kExclusive);
  Waiter second(key(1), kShared);
  Waiter third(key(1), kExclusive);
  for (Waiter* waiter : {&first, &second, &third}) {
    waiter->enqueue();
  }

  wake_waiters(key(1), Wake::all);

  EXPECT_TRUE(first.woken());
  EXPECT_TRUE(second.woken());
  EXPECT_TRUE(third.woken());
}

// Shared waiters do not use up a wake-up: the exclusive one behind them is woken too, and only that one.
TEST(WaitQueue, NextWakesSharedWaitersOnTheWay) {
  Waiter first(key(1), kShared);
  Waiter second(key(1), kShared);
  Waiter third(key(1), kExclusive);
  Waiter fourth(key(1), kExclusive);
  for (Waiter* waiter : {&first, &second, &third, &fourth}) {
    waiter->enqueue();
  }

  wake_waiters(key(1), Wake::next);

  EXPECT_TRUE(first.woken());
  EXPECT_TRUE(second.woken());
  EXPECT_TRUE(third.woken());
  EXPECT_FALSE(fourth.woken());
}

// Who waits for something else is left alone, also when both share a hash bucket.
TEST(WaitQueue, OtherKeysAreLeftAlone) {
  const WaitKey here{nullptr, 0x1000};
  const WaitKey same_hash{reinterpret_cast<const void*>(std::uintptr_t{0x1000}), 0};
  Waiter other_index(key(2), kExclusive);
  Waiter other_object(same_hash, kExclusive);
  Waiter wanted(here, kExclusive);
  for (Waiter* waiter : {&other_index, &other_object, &wanted}) {
    waiter->enqueue();
  }

  wake_waiters(here, Wake::all);

  EXPECT_TRUE(wanted.woken());
  EXPECT_FALSE(other_index.woken());
  EXPECT_FALSE(other_object.woken());
}

// A wake-up without waiters is not remembered.
TEST(WaitQueue, AWakeUpIsForThoseWhoWait) {
  wake_waiters(key(1), Wake::all);
  Waiter late(key(1), kExclusive);
  late.enqueue();
  EXPECT_FALSE(late.woken());
}

// A waiter that leaves without having been chosen is forgotten; the next wake-up goes to the one behind it.
TEST(WaitQueue, AWaiterThatLeavesTakesNoWakeUpAlong) {
  std::optional<Waiter> first;
  first.emplace(key(1), kExclusive);
  Waiter second(key(1), kExclusive);
  first->enqueue();
  second.enqueue();
  first.reset();

  wake_waiters(key(1), Wake::next);

  EXPECT_TRUE(second.woken());
}

// A chosen waiter that does not take what it waited for passes the wake-up on (F2.3).
TEST(WaitQueue, AChosenWaiterPassesOn) {
  Parked giver([] {
    Waiter first(key(7), kExclusive);
    first.enqueue();
    first.wait();
    wake_waiters(key(7), Wake::next);
  });
  ASSERT_TRUE(giver.sleeps());
  Waiter second(key(7), kExclusive);
  second.enqueue();

  wake_waiters(key(7), Wake::next);

  second.wait();
  giver.join();
}

// The way entries are locked: a bit under a mutex, exclusive waiters, one wake-up per unlock. Nobody is forgotten and
// nobody is inside together with another.
TEST(WaitQueue, ABitLockBuiltOnItLosesNoWakeUp) {
  constexpr int kThreads = 4;
  constexpr int kTurns = 500;
  Mutex mutex(LockRank::index);
  bool locked = false;
  int count = 0;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&] {
        for (int turn = 0; turn < kTurns; ++turn) {
          mutex.lock();
          while (locked) {
            Waiter waiter(key(3), kExclusive);
            waiter.enqueue();
            mutex.unlock();
            waiter.wait();
            mutex.lock();
          }
          locked = true;
          mutex.unlock();

          ++count;

          mutex.lock();
          locked = false;
          mutex.unlock();
          wake_waiters(key(3), Wake::next);
        }
      });
    }
  }
  EXPECT_EQ(count, kThreads * kTurns);
}

// Without an interrupt scope an interruptible wait is an ordinary one.
TEST(Interruption, WithoutAScopeNothingInterrupts) {
  Waiter waiter(key(1), kExclusive);
  waiter.enqueue();
  wake_waiters(key(1), Wake::next);
  EXPECT_TRUE(waiter.wait_interruptible().ok());
}

// Raised while the thread sleeps, an interruption ends the wait; another waiter on the same key sleeps on.
TEST(Interruption, EndsASleepingWait) {
  Interruption interruption;
  Waiter other(key(1), kExclusive);
  Errno ended{};
  Parked thread([&] {
    const InterruptScope scope(interruption);
    Waiter waiter(key(1), kExclusive);
    waiter.enqueue();
    ended = waiter.wait_interruptible().error();
  });
  ASSERT_TRUE(thread.sleeps());
  other.enqueue();

  interruption.raise();

  thread.join();
  EXPECT_EQ(ended, Errno::eintr);
  EXPECT_TRUE(interruption.raised());
  EXPECT_FALSE(other.woken());
}

// It stays raised: every later wait in the scope ends at once.
TEST(Interruption, StaysRaised) {
  Interruption interruption;
  interruption.raise();
  const InterruptScope scope(interruption);
  for (int turn = 0; turn < 2; ++turn) {
    Waiter waiter(key(1), kExclusive);
    waiter.enqueue();
    EXPECT_EQ(waiter.wait_interruptible().error(), Errno::eintr);
  }
}

// A waiter that was chosen before the interruption has its wake-up: it goes on as if nothing had happened.
TEST(Interruption, DoesNotUndoAWakeUp) {
  Interruption interruption;
  const InterruptScope scope(interruption);
  Waiter waiter(key(1), kExclusive);
  waiter.enqueue();
  wake_waiters(key(1), Wake::next);
  interruption.raise();

  EXPECT_TRUE(waiter.wait_interruptible().ok());
}

// A waiter that was interrupted is out of the queue at once, though it still exists: no wake-up is lost on it.
TEST(Interruption, AnInterruptedWaiterSwallowsNoWakeUp) {
  Interruption interruption;
  interruption.raise();
  const InterruptScope scope(interruption);
  Waiter interrupted(key(1), kExclusive);
  Waiter behind(key(1), kExclusive);
  interrupted.enqueue();
  behind.enqueue();
  ASSERT_EQ(interrupted.wait_interruptible().error(), Errno::eintr);

  wake_waiters(key(1), Wake::next);

  EXPECT_FALSE(interrupted.woken());
  EXPECT_TRUE(behind.woken());
}

// Only the innermost scope counts, and the outer one counts again after it.
TEST(Interruption, ScopesNest) {
  Interruption outer;
  Interruption inner;
  outer.raise();
  const InterruptScope outer_scope(outer);
  {
    const InterruptScope inner_scope(inner);
    Waiter waiter(key(1), kExclusive);
    waiter.enqueue();
    wake_waiters(key(1), Wake::all);
    EXPECT_TRUE(waiter.wait_interruptible().ok());
  }
  Waiter waiter(key(1), kExclusive);
  waiter.enqueue();
  EXPECT_EQ(waiter.wait_interruptible().error(), Errno::eintr);
}

}  // namespace
}  // namespace daxsim
