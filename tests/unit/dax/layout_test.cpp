// SPDX-License-Identifier: BSD-3-Clause
// Pages leave a file: unmapped, unpinned, out of the index. And the end of a file system.
#include <gtest/gtest.h>

#include <thread>

#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

using Names = std::vector<std::string>;
using Block = FakeInode::Block;
constexpr VmFlags kShared{};

// Truncation as recorded (workload f2): everything unmapped, no pin found, the entries beyond the end deleted.
TEST(Truncate, EventsOfTheRecording) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  for (std::uint64_t page = 0; page < 6; ++page) {
    ASSERT_TRUE(area.store({page}, 9).has_value());
  }
  const std::uint64_t first = world.events.next_id();

  must(world.file->truncate(2 * kPageSize + 100));

  EXPECT_EQ(world.names_since(first),
            (Names{"unmap_mapping_pages", "dax_layout_busy_page", "dax_zero_range", "dax_direct_access", "dax_flush",
                   "unmap_mapping_range", "dax_delete_mapping_entry", "dax_delete_mapping_entry",
                   "dax_delete_mapping_entry", "unmap_mapping_range"}));
  EXPECT_EQ(area.load({2}), Loaded(9));
  EXPECT_EQ(area.load({2}, 100), Loaded(0));
  EXPECT_FALSE(area.load({3}).has_value());
  EXPECT_TRUE(world.dirty({0}));
  EXPECT_EQ(world.broken_invariant({&area}), "");
}

// Truncation takes private copies, punching leaves them.
TEST(Truncate, PrivateCopies) {
  World world;
  FakeVma area(*world.file, {.shared = false}, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 9).has_value());
  ASSERT_TRUE(area.store({4}, 9).has_value());
  must(world.file->fallocate(Fallocate::punch_hole, {0, kPageSize}));
  EXPECT_EQ(area.load({0}), Loaded(9));
  must(world.file->truncate(kPageSize));
  EXPECT_EQ(area.load({0}), Loaded(9));
  EXPECT_FALSE(area.load({4}).has_value());
}

// A huge entry goes whole; what stays of it in the file was written back first.
TEST(Truncate, StraddlingHugeEntry) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
  ASSERT_TRUE(area.store({0}, 5).has_value());
  ASSERT_TRUE(area.store({100}, 6).has_value());
  ASSERT_TRUE(area.store({kPagesPerPmd + 1}, 7).has_value());

  must(world.file->fallocate(Fallocate::punch_hole, {byte_of({100}), byte_of({kPagesPerPmd + 100 - 100})}));

  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_EQ(world.on_media({0}), 5);
  EXPECT_EQ(area.load({0}), Loaded(5));
  EXPECT_EQ(area.load({100}), Loaded(0));
  EXPECT_EQ(world.events.count(EventType::dax_writeback_one), 2U);
}

// When that write-back fails, nothing is deleted.
TEST(Truncate, StraddlingWritebackFails) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, kPagesPerPmd});
  ASSERT_TRUE(area.store({0}, 5).has_value());
  world.view().on_flush = [](ByteRange) { return Result<void>(Errno::enospc); };
  EXPECT_ERRNO(world.file->fallocate(Fallocate::punch_hole, {byte_of({7}), kPageSize}), Errno::enospc);
  EXPECT_TRUE(world.dirty({0}));
  world.view().on_flush = nullptr;
}

// A range without pages changes nothing.
TEST(Truncate, EmptyRanges) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 5).has_value());
  {
    const ExclusiveLock guard(world.file->mapping().invalidate_lock());
    EXPECT_TRUE(dax::truncate_pages(world.context, *world.file, {{0}, 0}).ok());
    EXPECT_TRUE(dax::break_layouts(world.context, *world.file).ok());
  }
  EXPECT_TRUE(dax::invalidate_pages(world.context, *world.file, {{0}, 0}).ok());
  EXPECT_TRUE(world.dirty({0}));
}

// dax_break_layout, as recorded on 7.3: without pins all entries of the file are left, dirty or not, and none of it is told.
TEST(BreakLayouts, DeletesEntriesInThatPolicy) {
  World world({.policy = {.break_layouts = BreakLayouts::deletes_entries}});
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({0}, 5).has_value());
  ASSERT_TRUE(area.load({3}).has_value());
  const std::uint64_t first = world.events.next_id();
  {
    const ExclusiveLock guard(world.file->mapping().invalidate_lock());
    must(dax::break_layouts(world.context, *world.file));
  }
  EXPECT_EQ(world.names_since(first), (Names{"dax_break_layout", "unmap_mapping_pages", "dax_layout_busy_page"}));
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_EQ(area.load({0}), Loaded(5));
}

// Invalidation removes what is clean, refuses what is dirty, and unmaps both (workload i7).
TEST(Invalidate, RefusesDirtyEntries) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.load({0}).has_value());
  ASSERT_TRUE(area.store({1}, 5).has_value());

  EXPECT_ERRNO(dax::invalidate_pages(world.context, *world.file, {{0}, 16}), Errno::ebusy);

  EXPECT_TRUE(world.entry({0}).is_null());
  EXPECT_TRUE(world.dirty({1}));
  EXPECT_EQ(area.pte({0}).kind, PteState::Kind::none);
  EXPECT_EQ(area.pte({1}).kind, PteState::Kind::none);
  EXPECT_EQ(area.load({1}), Loaded(5));
}

// Pins: of mapped storage only.
TEST(Pin, WhatCanBePinned) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
  AddressSpace& mapping = world.file->mapping();
  EXPECT_ERRNO(dax::pin_page(world.context, mapping, {0}), Errno::eagain);
  ASSERT_TRUE(area.load({0}).has_value());
  EXPECT_ERRNO(dax::pin_page(world.context, mapping, {0}), Errno::eagain);
  ASSERT_TRUE(area.store({kPagesPerPmd + 9}, 1).has_value());

  const dax::Pin pin = must(dax::pin_page(world.context, mapping, {kPagesPerPmd + 8}));
  EXPECT_EQ(pin.page, world.file->device_page({kPagesPerPmd + 8}));
  EXPECT_EQ(world.device->pins(), 1U);
  dax::unpin_page(pin);
  EXPECT_EQ(world.device->pins(), 0U);

  mapping.unmap_pages(kAllPages, EvenCows::no);
  EXPECT_ERRNO(dax::pin_page(world.context, mapping, {kPagesPerPmd + 8}), Errno::eagain);

  ASSERT_TRUE(area.store({kPagesPerPmd + 9}, 1).has_value());
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_ERRNO(dax::pin_page(world.context, mapping, {kPagesPerPmd + 8}), Errno::enxio);
}

// A signal ends the wait for a pinned page; nothing was freed, and the lock is held again.
TEST(BreakLayouts, Scenario72_Interrupted) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 5).has_value());
  const dax::Pin pin = must(dax::pin_page(world.context, world.file->mapping(), {3}));
  Interruption interruption;
  interruption.raise();
  {
    const InterruptScope scope(interruption);
    EXPECT_ERRNO(world.file->truncate(0), Errno::eintr);
  }
  EXPECT_EQ(area.load({3}), Loaded(5));
  EXPECT_EQ(world.file->block({3}), Block::written);
  EXPECT_TRUE(world.dirty({3}));
  EXPECT_EQ(world.events.count(EventType::dax_break_layouts_wait), 1U);
  dax::unpin_page(pin);
}

// A pin of a page that stays holds up those that go, as on Linux (tests/oracle, 6.1: a punch beside a pinned page waits).
TEST(BreakLayouts, OfTheWholeFile) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 5).has_value());
  const dax::Pin pin = must(dax::pin_page(world.context, world.file->mapping(), {3}));
  Interruption interruption;
  interruption.raise();
  {
    const InterruptScope scope(interruption);
    EXPECT_ERRNO(world.file->truncate(8 * kPageSize), Errno::eintr);
  }
  dax::unpin_page(pin);
  EXPECT_TRUE(world.file->truncate(8 * kPageSize).ok());
}

// The orderly end: everything on the media, nothing mapped or indexed, later accesses end in a bus error.
TEST(Teardown, Orderly) {
  World world;
  std::shared_ptr<FakeInode> other = world.add_file(16, 4, {3 * kPagesPerPmd});
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  FakeVma second(*other, kShared, kArea + kPmdSize, {{0}, 4});
  FakeVma copy(*world.file, {.shared = false}, kArea + 2 * kPmdSize, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 5).has_value());
  ASSERT_TRUE(second.store({1}, 6).has_value());
  ASSERT_TRUE(copy.store({1}, 7).has_value());
  const std::uint64_t first = world.events.next_id();

  EXPECT_TRUE(dax::orderly_teardown(world.context, *world.super_block).ok());

  EXPECT_EQ(world.on_media({3}), 5);
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_TRUE(other->mapping().pages().empty());
  EXPECT_EQ(area.pte({3}).kind, PteState::Kind::none);
  EXPECT_FALSE(area.load({3}).has_value());
  EXPECT_FALSE(second.load({1}).has_value());
  EXPECT_EQ(copy.load({1}), Loaded(7));
  EXPECT_EQ(world.names_since(first).front(), "fs_freeze");
  EXPECT_EQ(world.events.count(EventType::fs_thaw), 1U);
  EXPECT_ERRNO(world.super_block->check_alive(), Errno::eio);
}

// What the sync met is told, and the rest is done all the same.
TEST(Teardown, OrderlyWithAnError) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 5).has_value());
  world.view().on_flush = [](ByteRange) { return Result<void>(Errno::enospc); };
  EXPECT_ERRNO(dax::orderly_teardown(world.context, *world.super_block), Errno::enospc);
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_FALSE(area.load({3}).has_value());
}

// The surprise: nothing is written any more, everything is revoked.
TEST(Teardown, Surprise) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 5).has_value());
  must(world.device->advance(LifeState::dax_dead));
  const std::uint64_t flushes = world.view().flushes;

  dax::surprise_teardown(world.context, *world.super_block, Errno::eshutdown);

  EXPECT_EQ(world.view().flushes, flushes);
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_FALSE(area.load({3}).has_value());
  EXPECT_ERRNO(world.super_block->check_alive(), Errno::eshutdown);
}

// The last use of a file deletes what is left.
TEST(Teardown, Evict) {
  World world;
  {
    FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
    ASSERT_TRUE(area.store({3}, 5).has_value());
    ASSERT_TRUE(area.load({kPagesPerPmd}).has_value());
  }
  dax::evict(world.context, *world.file);
  EXPECT_TRUE(world.file->mapping().pages().empty());
  EXPECT_EQ(world.events.count(EventType::dax_delete_mapping_entry), 2U);
}

// For one-device file systems: holes pass, memory is looked up and clipped, errors are the device's.
TEST(GenericDirectAccess, FillsInMemory) {
  World world;
  FileExtent extent;
  extent.pages = {{7}, 8};
  extent.device = world.device.get();
  extent.device_page = {7};
  EXPECT_EQ(must(dax::generic_direct_access(extent)).memory.pages, 0U);

  extent.kind = FileExtent::Kind::memory;
  world.view().on_direct_access = [](Pgoff, std::uint64_t) { return Result<std::uint64_t>(3); };
  const FileExtent found = must(dax::generic_direct_access(extent));
  EXPECT_EQ(found.pages, (PageRange{{7}, 3}));
  EXPECT_EQ(found.memory.pages, 3U);
  EXPECT_EQ(found.memory.pfn, world.device->first_pfn() + 7);

  extent.device_page = {1U << 30};
  EXPECT_ERRNO(dax::generic_direct_access(extent), Errno::erange);
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_ERRNO(dax::generic_direct_access(extent), Errno::enxio);
}

}  // namespace
}  // namespace daxsim::test
