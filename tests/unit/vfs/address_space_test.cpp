// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/address_space.hpp"

#include <gtest/gtest.h>

#include <set>

#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

std::set<const Vma*> visited(AddressSpace& mapping, PageRange pages) {
  std::set<const Vma*> areas;
  mapping.for_each_vma(pages, [&areas](const Vma& vma) { areas.insert(&vma); });
  return areas;
}

// Areas are visited when they overlap the range, and not once they are removed, wherever they stood in the list.
TEST(AddressSpace, VisitsOverlappingAreas) {
  World world;
  AddressSpace& mapping = world.file->mapping();
  FakeVma low(*world.file, {}, kArea, {{0}, 4});
  auto middle = std::make_unique<FakeVma>(*world.file, VmFlags{}, kArea + (16 << kPageShift), PageRange{{4}, 4});
  FakeVma high(*world.file, {}, kArea + (32 << kPageShift), {{8}, 4});

  EXPECT_EQ(visited(mapping, {{3}, 2}), (std::set<const Vma*>{&low, middle.get()}));
  EXPECT_EQ(visited(mapping, {{8}, 1}), (std::set<const Vma*>{&high}));
  EXPECT_TRUE(visited(mapping, {{12}, 100}).empty());

  middle.reset();
  EXPECT_EQ(visited(mapping, kAllPages), (std::set<const Vma*>{&low, &high}));
}

// Unmapping reaches every area and leaves private copies unless told otherwise; the event has the kernel's fields.
TEST(AddressSpace, UnmapsEveryArea) {
  World world;
  FakeVma one(*world.file, {}, kArea, {{0}, 8});
  FakeVma two(*world.file, {.shared = false}, kArea + (64 << kPageShift), {{0}, 8});
  ASSERT_TRUE(one.store({2}, 1).has_value());
  ASSERT_TRUE(two.store({2}, 2).has_value());
  const std::uint64_t first = world.events.next_id();

  world.file->mapping().unmap_pages({{2}, 1}, EvenCows::no);
  EXPECT_EQ(one.pte({2}).kind, PteState::Kind::none);
  EXPECT_EQ(two.pte({2}).kind, PteState::Kind::private_copy);

  world.file->mapping().unmap_pages(kAllPages, EvenCows::yes);
  EXPECT_EQ(two.pte({2}).kind, PteState::Kind::none);

  const std::vector<Event> events = world.events.since(first);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(fs_dax_text(events[0]), "unmap_mapping_pages: start=2 nr=1 even_cows=0");
  EXPECT_EQ(fs_dax_text(events[1]), "unmap_mapping_pages: start=0 nr=0 even_cows=1");
}

// The same of a range of bytes: what truncation and punching call.
TEST(AddressSpace, UnmapsARange) {
  World world;
  FakeVma area(*world.file, {}, kArea, {{0}, 8});
  ASSERT_TRUE(area.store({2}, 1).has_value());
  ASSERT_TRUE(area.store({5}, 1).has_value());
  EXPECT_TRUE(world.file->mapping().is_mapped());
  const std::uint64_t first = world.events.next_id();

  world.file->mapping().unmap_range({{2}, 1}, EvenCows::no);
  EXPECT_EQ(area.pte({2}).kind, PteState::Kind::none);
  EXPECT_EQ(area.pte({5}).kind, PteState::Kind::memory);
  world.file->mapping().unmap_range({{4}, kAllPages.end() - Pgoff{4}}, EvenCows::yes);
  EXPECT_EQ(area.pte({5}).kind, PteState::Kind::none);

  const std::vector<Event> events = world.events.since(first);
  ASSERT_EQ(events.size(), 2U);
  EXPECT_EQ(fs_dax_text(events[0]), "unmap_mapping_range: begin=8192 len=4096 even_cows=0");
  EXPECT_EQ(fs_dax_text(events[1]), "unmap_mapping_range: begin=16384 len=0 even_cows=1");
}

// Write-protection counts writable entries, and leaves areas that map by PMD when told to.
TEST(AddressSpace, WriteProtectsAreas) {
  World world;
  FakeVma huge(*world.file, {}, kArea, {{0}, kPagesPerPmd});
  FakeVma small(*world.file, {}, kArea + kPmdSize * 4, {{0}, 8});
  ASSERT_TRUE(huge.store({0}, 1).has_value());
  ASSERT_TRUE(small.store({0}, 1).has_value());
  ASSERT_EQ(huge.pte({0}).order, kPmdOrder);
  AddressSpace& mapping = world.file->mapping();

  EXPECT_EQ(mapping.write_protect({{0}, kPagesPerPmd}, PmdMappings::leave), 1U);
  EXPECT_TRUE(huge.pte({0}).writable);
  EXPECT_FALSE(small.pte({0}).writable);

  EXPECT_EQ(mapping.write_protect({{0}, kPagesPerPmd}), 1U);
  EXPECT_FALSE(huge.pte({0}).writable);
  EXPECT_EQ(world.events.count(EventType::pfn_mkclean_range), 3U);
}

// Of what is mapped page by page, only the first when told to; a huge page goes as a whole all the same.
TEST(AddressSpace, WriteProtectsTheFirstOfSmallPages) {
  World world;
  FakeVma huge(*world.file, {}, kArea, {{0}, kPagesPerPmd});
  FakeVma small(*world.file, {}, kArea + kPmdSize * 4, {{0}, 8});
  ASSERT_TRUE(huge.store({0}, 1).has_value());
  ASSERT_TRUE(small.store({0}, 1).has_value());
  ASSERT_TRUE(small.store({5}, 1).has_value());

  EXPECT_EQ(world.file->mapping().write_protect({{0}, kPagesPerPmd}, PmdMappings::protect, SmallPages::first), 2U);

  EXPECT_FALSE(huge.pte({5}).writable);
  EXPECT_FALSE(small.pte({0}).writable);
  EXPECT_TRUE(small.pte({5}).writable);
}

}  // namespace
}  // namespace daxsim::test
