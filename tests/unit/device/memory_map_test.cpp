// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/memory_map.hpp"

#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <map>

#include "fake_device.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using support::error_of;

constexpr Pfn kFirst = MemoryMap::kFirst;

TEST(MemoryMapTest, HandsOutFramesUpwardsOnPmdBoundaries) {
  // Ranges start on a PMD each and do not touch, whatever their length.
  MemoryMap map;
  EXPECT_EQ(*map.reserve(1), kFirst);
  EXPECT_EQ(*map.reserve(kPagesPerPmd), kFirst + kPagesPerPmd);
  EXPECT_EQ(*map.reserve(kPagesPerPmd + 1), kFirst + 2 * kPagesPerPmd);
  EXPECT_EQ(*map.reserve(5), kFirst + 4 * kPagesPerPmd);
}

TEST(MemoryMapTest, ResolvesBoundRangesOnly) {
  // A frame means something from bind() to unbind(), and only inside the device.
  MemoryMap map;
  AttachedFake fake;
  const Pfn first = *map.reserve(AttachedFake::kPages);
  EXPECT_EQ(map.find(first).attachment, nullptr);

  map.bind(first, *fake.attachment);
  EXPECT_EQ(map.find(first).attachment, fake.attachment.get());
  EXPECT_EQ(map.find(first + 15).attachment, fake.attachment.get());
  EXPECT_EQ(map.find(first + 15).page, Pgoff{15});
  EXPECT_EQ(map.find(first + 16).attachment, nullptr) << "the rest of the PMD is no memory";
  EXPECT_EQ(map.find(first - 1).attachment, nullptr);

  map.unbind(first);
  EXPECT_EQ(map.find(first).attachment, nullptr);
}

TEST(MemoryMapTest, NeverReusesFramesUnasked) {
  // A stale frame number stays recognisable after its device is gone.
  MemoryMap map;
  const Pfn first = *map.reserve(1);
  map.unbind(first);
  EXPECT_EQ(*map.reserve(1), first + kPagesPerPmd);
}

TEST(MemoryMapTest, ReusesFramesWhenAsked) {
  // A scenario gets the frames of a removed device for another one, which is what a stale frame number then means.
  MemoryMap map;
  AttachedFake next;
  const Pfn first = *map.reserve(AttachedFake::kPages);
  map.unbind(first);
  ASSERT_EQ(*map.reserve(AttachedFake::kPages, first), first);
  map.bind(first, *next.attachment);
  EXPECT_EQ(map.find(first + 3).attachment, next.attachment.get());
}

TEST(MemoryMapTest, GoesOnAboveRangesThatWereAskedFor) {
  // I2 holds for frames that somebody named, too.
  MemoryMap map;
  const Pfn far = kFirst + 100 * kPagesPerPmd;
  ASSERT_EQ(*map.reserve(1, far), far);
  EXPECT_EQ(*map.reserve(1), far + kPagesPerPmd);
}

TEST(MemoryMapTest, RefusesOverlapWithLiveRanges) {
  // Errno::ebusy for each way of overlapping, also with the unused rest of a PMD; neighbours are fine.
  MemoryMap map;
  const Pfn taken = kFirst + 4 * kPagesPerPmd;
  ASSERT_TRUE(map.reserve(kPagesPerPmd + 1, taken).ok());
  EXPECT_EQ(error_of(map.reserve(1, taken)), Errno::ebusy);
  EXPECT_EQ(error_of(map.reserve(1, taken + kPagesPerPmd)), Errno::ebusy);
  EXPECT_EQ(error_of(map.reserve(kPagesPerPmd + 1, taken - kPagesPerPmd)), Errno::ebusy);
  EXPECT_EQ(error_of(map.reserve(9 * kPagesPerPmd, taken - 2 * kPagesPerPmd)), Errno::ebusy);
  EXPECT_TRUE(map.reserve(kPagesPerPmd, taken - kPagesPerPmd).ok());
  EXPECT_TRUE(map.reserve(1, taken + 2 * kPagesPerPmd).ok());
}

TEST(MemoryMapTest, RefusesWhatIsNoRange) {
  // Errno::einval: alignment, bounds, emptiness, and sums that wrap.
  MemoryMap map;
  EXPECT_EQ(error_of(map.reserve(0)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(0, kFirst)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(1, kFirst + 1)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(1, kFirst - kPagesPerPmd)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(1, MemoryMap::kEnd)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(kPagesPerPmd + 1, MemoryMap::kEnd - kPagesPerPmd)), Errno::einval);
  EXPECT_EQ(error_of(map.reserve(~std::uint64_t{0})), Errno::einval);
  EXPECT_EQ(*map.reserve(kPagesPerPmd, MemoryMap::kEnd - kPagesPerPmd), MemoryMap::kEnd - kPagesPerPmd);
  EXPECT_EQ(error_of(map.reserve(1)), Errno::enospc) << "nothing is left above";
}

TEST(MemoryMapTest, HasRoomForSixtyFourLiveRanges) {
  // Errno::enospc with the table full; a removed device makes room.
  MemoryMap map;
  for (unsigned i = 0; i < MemoryMap::kMaxRanges; ++i) {
    ASSERT_TRUE(map.reserve(1).ok()) << i;
  }
  EXPECT_EQ(error_of(map.reserve(1)), Errno::enospc);
  map.unbind(kFirst + 7 * kPagesPerPmd);
  EXPECT_TRUE(map.reserve(1).ok());
}

RC_GTEST_PROP(MemoryMapTest, AgreesWithAMap, ()) {
  // Random reserving, binding and unbinding against a std::map of live ranges.
  MemoryMap map;
  AttachedFake fake;
  struct Live {
    std::uint64_t pages;
    bool bound;
  };
  std::map<std::uint64_t, Live> live;  // by first frame
  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const std::uint64_t slot = kFirst.value + *rc::gen::inRange<std::uint64_t>(0, 12) * kPagesPerPmd;
    switch (*rc::gen::inRange(0, 3)) {
      case 0: {
        const auto pages = *rc::gen::inRange<std::uint64_t>(1, 3 * kPagesPerPmd);
        bool overlaps = false;
        for (const auto& [first, range] : live) {
          overlaps |=
              slot < first + round_up(range.pages, kPagesPerPmd) && first < slot + round_up(pages, kPagesPerPmd);
        }
        const auto reserved = map.reserve(pages, Pfn{slot});
        RC_ASSERT(reserved.ok() != overlaps);
        if (!overlaps) {
          live[slot] = {pages, false};
        }
        break;
      }
      case 1:
        map.bind(Pfn{slot}, *fake.attachment);
        if (live.contains(slot)) {
          live[slot].bound = true;
        }
        break;
      default:
        map.unbind(Pfn{slot});
        live.erase(slot);
    }
    const std::uint64_t probe = kFirst.value + *rc::gen::inRange<std::uint64_t>(0, 16 * kPagesPerPmd);
    const auto above = live.upper_bound(probe);
    bool resolves = false;
    if (above != live.begin()) {
      const auto& [first, range] = *std::prev(above);
      resolves = range.bound && probe < first + range.pages;
      if (resolves) {
        RC_ASSERT(map.find(Pfn{probe}).page.value == probe - first);
      }
    }
    RC_ASSERT((map.find(Pfn{probe}).attachment != nullptr) == resolves);
  }
}

}  // namespace
}  // namespace daxsim
