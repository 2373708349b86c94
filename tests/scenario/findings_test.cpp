// SPDX-License-Identifier: BSD-3-Clause
// Each detector is tripped by what it is for, and stays quiet at the nearest thing that is right.
#include <gtest/gtest.h>

#include <algorithm>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/wrong_designs.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

std::size_t count(const Machine& machine, FindingKind kind) {
  return static_cast<std::size_t>(std::ranges::count(machine.findings(), kind, &Finding::kind));
}
MachineOptions with(const Policy& policy) { return {.era = eras::v6_12.with(policy)}; }

struct SoftFile : FileWorld {
  explicit SoftFile(std::uint64_t size, const MachineOptions& options = {}) : SoftFile(with_file(size, options)) {}
  explicit SoftFile(FileWorld world)
      : FileWorld(std::move(world)), process(machine.spawn()), address(must(process.mmap(file.open_file(), {}))) {}
  void store(std::uint64_t offset) { ASSERT_TRUE(process.store<int>(address + offset, 7).ok()); }

  Process& process;
  std::uint64_t address;
};

// Write-back that leaves pages writable is caught at the entry it cleans.
TEST(Findings, CleanEntryWithWritablePte) {
  SoftFile broken(1_MiB, with({.write_protect = WriteProtect::none}));
  broken.store(4096);
  must(broken.file.fsync());
  ASSERT_EQ(broken.machine.findings().size(), 1U);
  const Finding finding = broken.machine.findings().front();
  EXPECT_EQ(finding.kind, FindingKind::clean_entry_with_writable_pte);
  EXPECT_EQ(finding.page, Pgoff{1});
  EXPECT_EQ(finding.ino, broken.file.open_file()->inode().number());

  SoftFile right(1_MiB);
  right.store(4096);
  must(right.file.fsync());
  right.store(4096);
  EXPECT_TRUE(right.machine.findings().empty());
}

// Linux 4.10 took write access from PTEs and forgot PMDs (B2).
TEST(Findings, CleanEntryWithWritablePmd) {
  SoftFile broken(4_MiB, with({.write_protect = WriteProtect::pte}));
  broken.store(0);
  ASSERT_EQ(broken.process.pte(broken.address).order, kPmdOrder);
  must(broken.file.fsync());
  EXPECT_EQ(count(broken.machine, FindingKind::clean_entry_with_writable_pte), 1U);

  SoftFile right(4_MiB);
  right.store(0);
  must(right.file.fsync());
  EXPECT_TRUE(right.machine.findings().empty());
}

// DIRTY that is never cleared keeps a writable page honest (4.5).
TEST(Findings, StickyDirtyMarkNeedsNoWriteProtection) {
  SoftFile sticky(1_MiB, with({.write_protect = WriteProtect::none, .clear_dirty = ClearDirty::never}));
  sticky.store(0);
  must(sticky.file.fsync());
  EXPECT_TRUE(sticky.machine.findings().empty());
}

// An fsync that flushes and forgets the fence.
TEST(Findings, MissingFence) {
  SoftFile broken(1_MiB, with(Policy{}.without(Step::fence)));
  broken.store(0);
  must(broken.file.fsync());  // commits metadata, with fences of its own
  broken.store(0);
  must(broken.file.fsync());
  EXPECT_EQ(count(broken.machine, FindingKind::missing_fence), 1U);

  SoftFile right(1_MiB);
  right.store(0);
  must(right.file.fsync());
  right.store(0);
  must(right.file.fsync());
  EXPECT_EQ(count(right.machine, FindingKind::missing_fence), 0U);
}

// A store that fsync claimed and never flushed is seen when the power goes; one that nobody claimed is no finding.
TEST(Findings, LostStore) {
  SoftFile broken(1_MiB, with(Policy{}.without(Step::flush)));
  broken.store(8192);
  must(broken.file.fsync());
  must(broken.machine.power_cut());
  ASSERT_EQ(count(broken.machine, FindingKind::lost_store), 1U);
  EXPECT_EQ(broken.machine.findings().back().page, Pgoff{2});

  SoftFile right(1_MiB);
  right.store(8192);
  must(right.machine.power_cut());
  EXPECT_TRUE(right.machine.findings().empty());
}

// A hole's entry that claims to be dirty.
TEST(Findings, DirtyEntryWithoutStorage) {
  FileWorld world = with_file(1_MiB);
  XArray& index = world.file.open_file()->inode().mapping().pages();
  must(index.store(Pgoff{3}, Entry::zero(kZeroPfn.value, 0)));
  index.set_mark(Pgoff{3}, Mark::dirty);
  must(index.store(Pgoff{4}, Entry::zero(kZeroPfn.value, 0)));
  must(world.machine.power_cut());
  ASSERT_EQ(world.machine.findings().size(), 1U);
  EXPECT_EQ(world.machine.findings().front().kind, FindingKind::dirty_entry_without_storage);
  EXPECT_EQ(world.machine.findings().front().page, Pgoff{3});
}

// Somebody kept the place of a page and flushes it after the disk is gone.
TEST(Findings, FlushOfDeadMemory) {
  FileWorld world = with_file(1_MiB);
  must(world.device.attachment().flush({0, 64}));
  EXPECT_TRUE(world.machine.findings().empty());
  must(world.machine.remove(world.device, Removal::surprise));
  EXPECT_ERRNO(world.device.attachment().flush({0, 64}), Errno::eio);
  EXPECT_EQ(count(world.machine, FindingKind::flush_of_dead_memory), 1U);
}

// A device whose holder was never told: its pages are still mapped when its memory goes. A process that lives on with
// them would read freed memory.
TEST(Findings, StaleMapping) {
  SoftFile broken(1_MiB);
  broken.store(4096);
  must(broken.device.attachment().advance(LifeState::dax_dead));
  must(broken.device.attachment().advance(LifeState::disk_gone));
  must(broken.device.attachment().advance(LifeState::unmapped));
  ASSERT_EQ(count(broken.machine, FindingKind::stale_mapping), 1U);
  EXPECT_EQ(broken.machine.findings().front().page, Pgoff{1});

  SoftFile right(1_MiB);
  right.store(4096);
  must(right.machine.remove(right.device, Removal::surprise));
  EXPECT_TRUE(right.machine.findings().empty());
}

// The sector of a page on the realtime device, looked for on the other one.
TEST(Findings, WrongDeviceFlush) {
  SoftFile broken(with_realtime_file(1_MiB, {.design = &designs::sector_of_super_block()}));
  broken.store(4096);
  must(broken.file.fsync());
  ASSERT_EQ(broken.machine.findings().size(), 1U);
  const Finding finding = broken.machine.findings().front();
  EXPECT_EQ(finding.kind, FindingKind::wrong_device_flush);
  EXPECT_EQ(finding.page, Pgoff{1});
  EXPECT_EQ(finding.ino, broken.file.open_file()->inode().number());

  // The device that the file system names for the file; and the wrong one, for a file that is there.
  SoftFile right(with_realtime_file(1_MiB, {.design = &designs::sector_of_inode()}));
  right.store(4096);
  must(right.file.fsync());
  EXPECT_TRUE(right.machine.findings().empty());
  SoftFile one_device(1_MiB, {.design = &designs::sector_of_super_block()});
  one_device.store(4096);
  must(one_device.file.fsync());
  EXPECT_TRUE(one_device.machine.findings().empty());
}

// The same when nobody maps the page any more: then the file system knows where it is. And in a huge page.
TEST(Findings, WrongDeviceFlushOfWhatIsNotMappedOrHuge) {
  for (const bool is_right : {false, true}) {
    const MachineOptions options{.design = is_right ? &designs::sector_of_inode() : &designs::sector_of_super_block()};
    SoftFile unmapped(with_realtime_file(1_MiB, options));
    unmapped.store(4096);
    must(unmapped.process.munmap(unmapped.address, 1_MiB));
    must(unmapped.file.fsync());
    EXPECT_EQ(count(unmapped.machine, FindingKind::wrong_device_flush), is_right ? 0U : 1U);

    SoftFile huge(with_realtime_file(4_MiB, options));
    huge.store(8192);
    ASSERT_EQ(huge.process.pte(huge.address).order, kPmdOrder);
    must(huge.file.fsync());
    EXPECT_EQ(count(huge.machine, FindingKind::wrong_device_flush), is_right ? 0U : 1U);
    if (!is_right) {
      EXPECT_EQ(huge.machine.findings().front().page, Pgoff{0});
    }
  }
}

// The right device, and pages beside those that were stored to.
TEST(Findings, FlushOfOtherPagesOfTheDevice) {
  const auto findings = [](const IndexDesign& design, std::uint64_t size) {
    SoftFile world(size, {.design = &design});
    world.store(4096);
    must(world.file.fsync());
    return count(world.machine, FindingKind::wrong_device_flush);
  };
  for (const std::uint64_t size : {1_MiB, 4_MiB}) {
    EXPECT_EQ(findings(NextPage(), size), 1U) << size;
    EXPECT_EQ(findings(WrongDesign(), size), 0U) << size;
  }
}

// Flushed on one device, fenced on the other: the line is not ordered yet.
TEST(Findings, MissingFenceOfOneOfTwoDevices) {
  SoftFile broken(with_realtime_file(1_MiB, with(Policy{}.without(Step::fence))));
  broken.store(0);
  must(broken.file.fsync());  // commits metadata, with fences of its own
  broken.store(0);
  broken.machine.events().emit({.type = EventType::fsync_start});
  const Pgoff page = must(broken.file.open_file()->inode().direct_access({{0}, 1}, Access::read)).device_page;
  must(broken.realtime->attachment().flush({byte_of(page), kPageSize}));
  must(broken.device.attachment().fence());
  broken.machine.events().emit({.type = EventType::fsync_done});
  EXPECT_EQ(count(broken.machine, FindingKind::missing_fence), 1U);
  must(broken.realtime->attachment().fence());
  broken.machine.events().emit({.type = EventType::fsync_done});
  EXPECT_EQ(count(broken.machine, FindingKind::missing_fence), 1U);
}

// A walk of write-back, as the events tell of it: how many entries were dirty, and which it visits.
std::size_t unbounded_syncs(std::uint64_t dirty, std::initializer_list<PageRange> visits) {
  const Machine machine;
  machine.events().emit({.type = EventType::dax_writeback_range, .length = dirty});
  for (const PageRange& run : visits) {
    for (Pgoff page = run.first; page < run.end(); page = page + 1) {
      machine.events().emit({.type = EventType::dax_writeback_one, .pgoff = page, .last = 1});
    }
  }
  return count(machine, FindingKind::unbounded_sync);
}

// Write-back that comes back to what it has passed, for longer than there was anything to do. One that comes back for a
// few, or that others give more and more to do ahead of it, has an end.
TEST(Findings, UnboundedSync) {
  EXPECT_EQ(unbounded_syncs(20, {{{0}, 20}, {{0}, 20}, {{0}, 20}}), 1U);
  EXPECT_EQ(unbounded_syncs(20, {{{0}, 20}, {{0}, 16}}), 1U);
  EXPECT_EQ(unbounded_syncs(20, {{{0}, 500}, {{0}, 1}}), 1U);

  EXPECT_EQ(unbounded_syncs(20, {{{0}, 20}, {{0}, 15}}), 0U);
  EXPECT_EQ(unbounded_syncs(20, {{{0}, 500}}), 0U);
}

// The next call is a walk of its own.
TEST(Findings, UnboundedSyncIsOfOneCall) {
  const Machine machine;
  for (int call = 0; call < 100; ++call) {
    machine.events().emit({.type = EventType::dax_writeback_range, .length = 1});
    machine.events().emit({.type = EventType::dax_writeback_one, .pgoff = {7}, .last = 1});
  }
  EXPECT_TRUE(machine.findings().empty());
}

// A block that went to another file while its first one still maps it; and one that was taken back before.
TEST(Findings, FrameOfTwoFiles) {
  for (const bool is_right : {false, true}) {
    SoftFile world(1_MiB, with(is_right ? Policy{} : Policy{}.without(Step::unmap_before_free)));
    world.store(0);
    must(world.file.truncate(0));
    const File other = must(world.fs.create("/other", must(world.fs.space()).free_pages << kPageShift));
    const std::uint64_t there = must(world.process.mmap(other.open_file(), {}));
    for (std::uint64_t offset = 0; offset < other.size(); offset += kPageSize) {
      ASSERT_TRUE(world.process.store<int>(there + offset, 5).ok());
    }
    must(world.machine.power_cut());
    ASSERT_EQ(count(world.machine, FindingKind::frame_of_two_files), is_right ? 0U : 1U);
    if (!is_right) {
      EXPECT_EQ(world.machine.findings().front().ino, other.open_file()->inode().number());
    }
  }
}

// Two files in huge pages side by side, and the pages of one in two areas, are in order.
TEST(Findings, FramesOfTheirOwn) {
  SoftFile world(8_MiB);
  const File other = must(world.fs.create("/other", 4_MiB));
  const std::uint64_t there = must(world.process.mmap(other.open_file(), {}));
  const std::uint64_t again = must(world.process.mmap(world.file.open_file(), {.length = 1_MiB}));
  for (std::uint64_t offset = 0; offset < 4_MiB; offset += kPageSize) {
    world.store(offset);
    ASSERT_TRUE(world.process.store<int>(there + offset, 5).ok());
  }
  ASSERT_TRUE(world.process.store<int>(again, 5).ok());
  ASSERT_EQ(world.process.pte(there).order, kPmdOrder);
  must(world.machine.power_cut());
  EXPECT_TRUE(world.machine.findings().empty());
}

// A thread sleeps for an entry that nobody owns. While one that was woken has yet to look, it will pass the wake-up on.
TEST(Findings, LostWakeUp) {
  for (const bool is_right : {false, true}) {
    FileWorld world = with_file(1_MiB);
    const WaitKey key{&world.file.open_file()->inode().mapping(), 3};
    Waiter first(key, WaitMode::exclusive);
    Waiter second(key, WaitMode::exclusive);
    if (is_right) {
      first.enqueue();
    }
    second.enqueue();
    if (is_right) {
      wake_waiters(key, Wake::next);
    }

    must(world.machine.power_cut());

    ASSERT_EQ(count(world.machine, FindingKind::lost_wake_up), is_right ? 0U : 1U);
    if (!is_right) {
      EXPECT_EQ(world.machine.findings().front().page, Pgoff{3});
    }
  }
}

// The owner of a huge entry wakes those who wait at its first page, and nobody at another.
TEST(Findings, LostWakeUpBehindAnOwner) {
  for (const std::uint64_t page : {0U, 3U}) {
    FileWorld world = with_file(4_MiB);
    AddressSpace& mapping = world.file.open_file()->inode().mapping();
    must(mapping.pages().store(Pgoff{0}, Entry::empty(kPmdOrder).with_lock()));
    Waiter waiter({&mapping, page}, WaitMode::exclusive);
    waiter.enqueue();
    const auto found = [&] {
      Detectors detectors(world.machine.events());
      must(detectors.watch(*world.file.open_file()->super_block()));
      detectors.audit();
      return detectors.count(FindingKind::lost_wake_up);
    };
    EXPECT_EQ(found(), page == 0 ? 0U : 1U);
    must(mapping.pages().store(Pgoff{0}, Entry::empty(kPmdOrder)));
    EXPECT_EQ(found(), 1U);
  }
}

// Detectors look around without a trace: fsync of pages that nobody maps asks no device where they are (oracle, d).
TEST(Findings, LookingAroundIsNoEvent) {
  SoftFile world(1_MiB);
  world.store(4096);
  must(world.process.munmap(world.address, 1_MiB));
  const std::uint64_t before = world.machine.events().count(EventType::dax_direct_access);

  must(world.file.fsync());

  EXPECT_EQ(world.machine.events().count(EventType::dax_direct_access), before);
}

// The list is bounded, the counts are not; each finding is an event of its own.
TEST(Findings, AreCountedBeyondWhatIsKept) {
  FileWorld world = with_file(1_MiB);
  must(world.machine.remove(world.device, Removal::surprise));
  for (std::size_t n = 0; n < Detectors::kMostFindings + 10; ++n) {
    EXPECT_ERRNO(world.device.attachment().flush({0, 64}), Errno::eio);
  }
  EXPECT_EQ(world.machine.findings().size(), Detectors::kMostFindings);
  EXPECT_EQ(world.machine.events().count(EventType::finding), Detectors::kMostFindings + 10);
}

}  // namespace
}  // namespace daxsim::test
