// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/space.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <vector>

#include "daxsim/test_support/must.hpp"

namespace daxsim::extent_fs {
namespace {

TEST(Space, BeginsFreeBehindTheMetadata) {
  // Also when the device does not end at 2 MiB.
  Space space = must(Space::create(1000, 20));
  EXPECT_EQ(space.total_pages(), 980U);
  EXPECT_EQ(space.free_pages(), 980U);
  EXPECT_EQ(space.first_free(), 20U);
  EXPECT_EQ(space.find_group(), std::nullopt);
  EXPECT_TRUE(space.take_at(19, 1).empty());
  EXPECT_TRUE(space.take_at(1000, 1).empty());
  EXPECT_EQ(space.take_at(900, 1000), (PageRange{{900}, 100}));
  EXPECT_EQ(space.take_any(1000), (PageRange{{20}, 880}));
  EXPECT_TRUE(space.take_any(1).empty());
  EXPECT_EQ(space.free_pages(), 0U);
  EXPECT_EQ(space.first_free(), 1000U);
}

TEST(Space, TakesExactlyOrNothing) {
  // Runs that are not all free, or not all there, are refused.
  Space space = must(Space::create(1024, 20));
  EXPECT_TRUE(space.take({{100}, 50}));
  EXPECT_FALSE(space.take({{149}, 2}));
  EXPECT_FALSE(space.take({{90}, 11}));
  EXPECT_FALSE(space.take({{19}, 2}));
  EXPECT_FALSE(space.take({{1023}, 2}));
  EXPECT_FALSE(space.take({{1024}, 1}));
  EXPECT_FALSE(space.take({{~std::uint64_t{0}}, 2}));
  EXPECT_FALSE(space.take({{500}, ~std::uint64_t{0}}));
  EXPECT_FALSE(space.take({{500}, 0}));
  EXPECT_EQ(space.free_pages(), 1024U - 20 - 50);
}

TEST(Space, FindsWholeGroups) {
  // 2 MiB of the device, aligned, and as many in a row as there are.
  Space space = must(Space::create(8 * kPagesPerPmd, 20));
  EXPECT_EQ(space.take_groups(kPagesPerPmd - 1).pages, 0U);
  EXPECT_EQ(space.take_groups(2 * kPagesPerPmd + 5), (PageRange{{kPagesPerPmd}, 2 * kPagesPerPmd}));
  EXPECT_TRUE(space.take({{5 * kPagesPerPmd + 7}, 1}));
  EXPECT_EQ(space.take_groups(100 * kPagesPerPmd), (PageRange{{3 * kPagesPerPmd}, 2 * kPagesPerPmd}));
  EXPECT_EQ(space.take_groups(100 * kPagesPerPmd), (PageRange{{6 * kPagesPerPmd}, 2 * kPagesPerPmd}));
  EXPECT_TRUE(space.take_groups(kPagesPerPmd).empty());
}

TEST(Space, FreedPagesWaitForTwoCheckpoints) {
  // Neither of the two states that can be read back may find them overwritten.
  Space space = must(Space::create(100, 20));
  const PageRange all = space.take_any(80);
  space.defer({{30}, 10});
  EXPECT_EQ(space.deferred_pages(), 10U);
  EXPECT_TRUE(space.take_any(1).empty());
  space.checkpointed();
  EXPECT_EQ(space.deferred_pages(), 10U);
  EXPECT_TRUE(space.take_any(1).empty());
  space.defer({{50}, 5});
  space.checkpointed();
  EXPECT_EQ(space.free_pages(), 10U);
  EXPECT_EQ(space.deferred_pages(), 5U);
  EXPECT_EQ(space.take_any(80), (PageRange{{30}, 10}));
  space.checkpointed();
  EXPECT_EQ(space.take_any(80), (PageRange{{50}, 5}));
  EXPECT_EQ(all.pages, 80U);
}

RC_GTEST_PROP(Space, AgreesWithAMapOfPages, ()) {
  // Random calls beside one state for each page: free, used, or the number of checkpoints that it waits for.
  constexpr std::uint64_t kBlocks = 3 * kPagesPerPmd + 77;
  constexpr std::uint64_t kFirst = 20;
  constexpr int kFree = 0;
  constexpr int kUsed = -1;
  Space space = must(Space::create(kBlocks, kFirst));
  std::vector<int> model(kBlocks, kFree);
  std::fill(model.begin(), model.begin() + kFirst, kUsed);

  const auto taken = [&](PageRange run, std::uint64_t most) {
    RC_ASSERT(run.pages <= most);
    for (std::uint64_t page = run.first.value; page < run.end().value; ++page) {
      RC_ASSERT(page < kBlocks);
      RC_ASSERT(model[page] == kFree);
      model[page] = kUsed;
    }
  };
  const auto has_free = [&] { return std::count(model.begin(), model.end(), kFree) != 0; };
  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const auto page = *rc::gen::inRange<std::uint64_t>(kFirst, kBlocks);
    const auto most = *rc::gen::inRange<std::uint64_t>(1, 700);
    switch (*rc::gen::inRange(0, 6)) {
      case 0: {
        const PageRange run = space.take_at(page, most);
        RC_ASSERT(run.empty() == (model[page] != kFree));
        RC_ASSERT((run.empty() || run.first.value == page));
        taken(run, most);
        RC_ASSERT((run.empty() || run.pages == most || run.end().value == kBlocks || model[run.end().value] != kFree));
        break;
      }
      case 1: {
        const PageRange run = space.take_groups(most);
        RC_ASSERT(run.first.value % kPagesPerPmd == 0U && run.pages % kPagesPerPmd == 0U);
        taken(run, most);
        break;
      }
      case 2: {
        const bool expected = has_free();
        const PageRange run = space.take_any(most);
        RC_ASSERT(run.empty() != expected);
        taken(run, most);
        break;
      }
      case 3: {
        // A used run, given back for good or to wait.
        std::uint64_t end = page;
        while (end < kBlocks && end < page + most && model[end] == kUsed) {
          ++end;
        }
        const bool waits = *rc::gen::arbitrary<bool>();
        if (waits) {
          space.defer({{page}, end - page});
        } else {
          space.untake({{page}, end - page});
        }
        std::fill(model.begin() + static_cast<std::ptrdiff_t>(page), model.begin() + static_cast<std::ptrdiff_t>(end),
                  waits ? 2 : kFree);
        break;
      }
      default:
        space.checkpointed();
        for (int& state : model) {
          state -= state > 0 ? 1 : 0;
        }
    }
    RC_ASSERT(space.free_pages() == static_cast<std::uint64_t>(std::count(model.begin(), model.end(), kFree)));
    RC_ASSERT(space.deferred_pages() ==
              static_cast<std::uint64_t>(std::count_if(model.begin(), model.end(), [](int s) { return s > 0; })));
    const auto first = std::find(model.begin(), model.end(), kFree);
    RC_ASSERT(space.first_free() == static_cast<std::uint64_t>(first - model.begin()));
  }
}

}  // namespace
}  // namespace daxsim::extent_fs
