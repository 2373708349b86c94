// SPDX-License-Identifier: BSD-3-Clause
#include "../../../sim_devices/page_set.hpp"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <atomic>
#include <set>
#include <thread>
#include <vector>

#include "daxsim/test_support/must.hpp"

namespace daxsim::sim {
namespace {

std::vector<std::uint64_t> members(const PageSet& set) {
  std::vector<std::uint64_t> found;
  for (std::uint64_t at = set.next(0); at < set.bound(); at = set.next(at + 1)) {
    found.push_back(at);
  }
  return found;
}

TEST(PageSetTest, StartsEmpty) {
  // At every number of levels, and at the sizes where a level is just full.
  for (const std::uint64_t bound :
       {1UL, 16UL, 63UL, 64UL, 65UL, 4096UL, 4097UL, 1UL << 18, (1UL << 18) + 1, 1UL << 30}) {
    const PageSet set = must(PageSet::create(bound));
    EXPECT_EQ(set.next(0), bound);
    EXPECT_EQ(set.next(bound - 1), bound);
    EXPECT_EQ(set.next(bound), bound);
    EXPECT_FALSE(set.test(bound - 1));
  }
}

TEST(PageSetTest, FindsFarMembersFast) {
  // First, last, and the edges of words of every level.
  for (const std::uint64_t bound : {1UL, 64UL, 65UL, 4097UL, 1UL << 28, 1UL << 30}) {
    PageSet set = must(PageSet::create(bound));
    std::set<std::uint64_t> expected;
    for (const std::uint64_t number :
         {0UL, 1UL, 63UL, 64UL, 4095UL, 4096UL, (1UL << 18) - 1, 1UL << 18, 1UL << 24, bound / 2, bound - 1}) {
      if (number < bound) {
        set.insert(number);
        expected.insert(number);
      }
    }
    EXPECT_EQ(members(set), std::vector(expected.begin(), expected.end())) << bound;
  }
}

RC_GTEST_PROP(PageSetTest, AgreesWithASet, ()) {
  // Random members in random universes.
  const auto bound = *rc::gen::element<std::uint64_t>(1, 64, 100, 4096, 5000, 300000);
  PageSet set = must(PageSet::create(bound));
  std::set<std::uint64_t> model;
  for (const std::uint64_t number :
       *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, bound))) {
    set.insert(number);
    model.insert(number);
    const auto probe = *rc::gen::inRange<std::uint64_t>(0, bound);
    RC_ASSERT(set.test(probe) == model.contains(probe));
    const auto above = model.lower_bound(probe);
    RC_ASSERT(set.next(probe) == (above == model.end() ? bound : *above));
    const auto count = *rc::gen::inRange<std::uint64_t>(0, std::min<std::uint64_t>(bound - probe, 200) + 1);
    bool all = true;
    for (std::uint64_t i = 0; i < count; ++i) {
      all &= model.contains(probe + i);
    }
    RC_ASSERT(set.test_all(probe, count) == all);
  }
  RC_ASSERT(members(set) == std::vector(model.begin(), model.end()));
}

TEST(PageSetTest, TestsRunsAcrossWords) {
  // Every place of the one gap in a run.
  for (std::uint64_t gap = 0; gap <= 200; ++gap) {
    PageSet set = must(PageSet::create(300));
    for (std::uint64_t number = 0; number < 200; ++number) {
      if (number != gap) {
        set.insert(number);
      }
    }
    EXPECT_EQ(set.test_all(0, 200), gap == 200);
    EXPECT_TRUE(set.test_all(0, gap));
    EXPECT_TRUE(gap == 200 || set.test_all(gap + 1, 199 - gap));
  }
}

TEST(PageSetTest, WalksSeeWhatTestHasShown) {
  // I1: a member that some thread found by test() is not skipped by its walk.
  for (int round = 0; round < 200; ++round) {
    PageSet set = must(PageSet::create(1 << 20));
    std::thread writer([&set] { set.insert(777777); });
    while (!set.test(777777)) {
      std::this_thread::yield();
    }
    ASSERT_EQ(set.next(3), 777777U);
    writer.join();
  }
}

}  // namespace
}  // namespace daxsim::sim
