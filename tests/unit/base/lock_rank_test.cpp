// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/lock_rank.hpp"

#include <gtest/gtest.h>

#include <set>
#include <string>

#include "daxsim/base/sync.hpp"

namespace daxsim {
namespace {

// Every rank has a name of its own.
TEST(LockRank, NamesAreUnique) {
  std::set<std::string> names;
  for (unsigned rank = 0; rank < kLockRanks; ++rank) {
    EXPECT_TRUE(names.insert(lock_rank_name(static_cast<LockRank>(rank))).second);
  }
  EXPECT_EQ(lock_rank_name(LockRank::machine), std::string("machine"));
  EXPECT_EQ(lock_rank_name(LockRank::index), std::string("index"));
  EXPECT_EQ(lock_rank_name(LockRank::arena), std::string("arena"));
}

// A thread may enter the fault path while it holds nothing that faults need: i_rwsem and lower are no matter, mm and
// higher are, and gates count too.
TEST(LockRank, AThreadKnowsWhetherItMayFault) {
  EXPECT_TRUE(lock_order::may_fault());
  {
    Mutex low(LockRank::i_rwsem);
    const MutexLock guard(low);
    EXPECT_TRUE(lock_order::may_fault());
    SharedMutex high(LockRank::mm);
    {
      const SharedLock shared(high);
      EXPECT_FALSE(lock_order::may_fault());
    }
    EXPECT_TRUE(lock_order::may_fault());
    {
      const ExclusiveLock exclusive(high);
      EXPECT_FALSE(lock_order::may_fault());
    }
    Gate gate;
    const Gate::Reader inside(gate);
    EXPECT_FALSE(lock_order::may_fault());
  }
  EXPECT_TRUE(lock_order::may_fault());
}

#if defined(DAXSIM_DEBUG)

void take_both(LockRank first, LockRank second) {
  Mutex one(first);
  Mutex two(second);
  const MutexLock outer(one);
  const MutexLock inner(two);
}

// In debug builds a lock taken against the order aborts and names both ranks; in the order, it does not.
TEST(LockRankDeathTest, TakingLocksAgainstTheOrderAborts) {
  take_both(LockRank::mm, LockRank::index);
  EXPECT_DEATH(take_both(LockRank::index, LockRank::mm), "takes mm while holding index");
}

// Two locks of one rank have no order between them.
TEST(LockRankDeathTest, TakingTwoLocksOfOneRankAborts) {
  EXPECT_DEATH(take_both(LockRank::index, LockRank::index), "takes index while holding index");
}

// Shared or exclusive makes no difference to the order.
TEST(LockRankDeathTest, SharedLocksHaveRanksToo) {
  EXPECT_DEATH(
      {
        SharedMutex later(LockRank::i_mmap);
        SharedMutex earlier(LockRank::invalidate);
        const SharedLock outer(later);
        const SharedLock inner(earlier);
      },
      "takes invalidate while holding i_mmap");
  EXPECT_DEATH(
      {
        SharedMutex later(LockRank::i_mmap);
        SharedMutex earlier(LockRank::invalidate);
        const ExclusiveLock outer(later);
        const ExclusiveLock inner(earlier);
      },
      "takes invalidate while holding i_mmap");
}

// Readers of gates nest, in one gate and in several, but come after what is below them.
TEST(LockRankDeathTest, GateReadersNest) {
  Gate one;
  Gate two;
  {
    const Gate::Reader first(one);
    const Gate::Reader again(one);
    const Gate::Reader other(two);
  }
  EXPECT_DEATH(
      {
        Mutex media(LockRank::media);
        const MutexLock guard(media);
        const Gate::Reader inside(one);
      },
      "takes device_gate while holding media");
}

#endif

}  // namespace
}  // namespace daxsim
