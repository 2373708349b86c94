// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/units.hpp"

#include <gtest/gtest.h>

#include <type_traits>

namespace daxsim {
namespace {

using namespace literals;

template <class A, class B>
concept Subtractable = requires(A a, B b) { a - b; };
template <class A, class B>
concept Comparable = requires(A a, B b) { a < b; };

// Offsets and frames do not mix with each other nor with plain numbers by mistake.
static_assert(Subtractable<Pgoff, Pgoff> && !Subtractable<Pgoff, Pfn>);
static_assert(Comparable<Pfn, Pfn> && !Comparable<Pgoff, Pfn>);
static_assert(!std::is_convertible_v<std::uint64_t, Pgoff> && !std::is_convertible_v<Pgoff, std::uint64_t>);
static_assert(std::is_same_v<decltype(Pgoff{7} - Pgoff{3}), std::uint64_t>);
static_assert(std::is_same_v<decltype(Pgoff{7} - 3), Pgoff>);

// Bytes and pages turn into each other at the edges of a page.
TEST(Units, PagesOfBytes) {
  EXPECT_EQ(page_of(0), Pgoff{0});
  EXPECT_EQ(page_of(4095), Pgoff{0});
  EXPECT_EQ(page_of(4096), Pgoff{1});
  EXPECT_EQ(byte_of(Pgoff{3}), 12_KiB);
  EXPECT_EQ(pages_for(0), 0U);
  EXPECT_EQ(pages_for(1), 1U);
  EXPECT_EQ(pages_for(4096), 1U);
  EXPECT_EQ(pages_for(4097), 2U);
  EXPECT_EQ(pages_for(~std::uint64_t{0}), std::uint64_t{1} << 52);
  EXPECT_EQ(pmd_start(Pgoff{511}), Pgoff{0});
  EXPECT_EQ(pmd_start(Pgoff{512}), Pgoff{512});
  EXPECT_EQ(pmd_start(Pgoff{1023}), Pgoff{512});
}

// A byte range touches each page it has a byte of, and none when it is empty, wherever it lies.
TEST(Units, PagesThatAByteRangeTouches) {
  EXPECT_EQ(pages_of({0, 0}), (PageRange{{0}, 0}));
  EXPECT_EQ(pages_of({5000, 0}), (PageRange{{1}, 0}));
  EXPECT_EQ(pages_of({0, 1}), (PageRange{{0}, 1}));
  EXPECT_EQ(pages_of({4095, 1}), (PageRange{{0}, 1}));
  EXPECT_EQ(pages_of({4095, 2}), (PageRange{{0}, 2}));
  EXPECT_EQ(pages_of({4096, 4096}), (PageRange{{1}, 1}));
  EXPECT_EQ(pages_of({1, 8191}), (PageRange{{0}, 2}));
  EXPECT_EQ(pages_of({1, 8192}), (PageRange{{0}, 3}));
}

// Rounding leaves multiples alone.
TEST(Units, Rounding) {
  EXPECT_EQ(round_up(0, 64), 0U);
  EXPECT_EQ(round_up(1, 64), 64U);
  EXPECT_EQ(round_up(64, 64), 64U);
  EXPECT_EQ(round_down(63, 64), 0U);
  EXPECT_EQ(round_down(64, 64), 64U);
  EXPECT_EQ(kPmdSize, 2_MiB);
}

// Ranges are half open: neighbours do not overlap, and an empty range holds nothing.
TEST(Units, PageRangesAreHalfOpen) {
  const PageRange range{{4}, 4};
  EXPECT_TRUE(range.contains({4}));
  EXPECT_TRUE(range.contains({7}));
  EXPECT_FALSE(range.contains({8}));
  EXPECT_FALSE(range.contains({3}));
  EXPECT_TRUE(range.overlaps({{7}, 1}));
  EXPECT_TRUE(range.overlaps({{0}, 100}));
  EXPECT_FALSE(range.overlaps({{8}, 4}));
  EXPECT_FALSE(range.overlaps({{0}, 4}));
  EXPECT_TRUE((PageRange{{4}, 0}).empty());
  EXPECT_FALSE((PageRange{{4}, 0}).contains({4}));
}

// Clipping answers the common part, and an empty range for two that have none.
TEST(Units, ClippingAnswersTheCommonPart) {
  const PageRange range{{4}, 4};
  EXPECT_EQ(range.clip({{6}, 10}), (PageRange{{6}, 2}));
  EXPECT_EQ(range.clip({{0}, 5}), (PageRange{{4}, 1}));
  EXPECT_EQ(range.clip({{5}, 1}), (PageRange{{5}, 1}));
  EXPECT_TRUE(range.clip({{8}, 4}).empty());
  EXPECT_TRUE(range.clip({{0}, 4}).empty());
  EXPECT_TRUE(range.clip({{100}, 4}).empty());
  EXPECT_EQ(range.clip(kAllPages), range);
  EXPECT_EQ(kAllPages.clip(range), range);
  EXPECT_TRUE(kAllPages.contains({std::uint64_t{1} << 52}));
}

}  // namespace
}  // namespace daxsim
