// SPDX-License-Identifier: BSD-3-Clause
// Bugs that Linux had (F5.5): each produces its finding, or does its harm, under the era that had it, and neither under the
// one that fixed it. docs/history.md lists them all; those that take threads parked inside dax are in
// race/history_test.cpp.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <csignal>
#include <cstring>
#include <memory>
#include <vector>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/stop_at_event.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

std::vector<FindingKind> kinds_of(const std::vector<Finding>& findings) {
  std::vector<FindingKind> kinds(findings.size());
  std::ranges::transform(findings, kinds.begin(), &Finding::kind);
  return kinds;
}

// What a story came to: what the detectors saw, and whether the byte that had been promised is there.
struct Ending {
  std::vector<FindingKind> findings;
  bool kept = false;
};

Ending end(MountedWorld& world, std::uint64_t offset, std::byte promised) {
  must(world.machine.power_cut());
  Ending ending{.findings = kinds_of(world.machine.findings())};
  world.reboot();
  std::byte found{};
  must(must(world.fs.open("/file")).pread(offset, {&found, 1}));
  ending.kept = found == promised;
  return ending;
}

// A file and a simulated process that maps it.
struct SoftWorld : FileWorld {
  SoftWorld(std::uint64_t file_size, const Era& era)
      : FileWorld(with_file(file_size, {.era = era})),
        process(machine.spawn()),
        address(must(process.mmap(file.open_file(), {}))) {}

  void store(std::uint64_t offset, int value) { EXPECT_TRUE(process.store(address + offset, value).ok()); }
  [[nodiscard]] int load(std::uint64_t offset) { return process.load<int>(address + offset).value(); }
  // A file that takes all the blocks that are left, and with them those that another one has just lost.
  [[nodiscard]] File create_with_all_blocks() {
    return must(fs.create("/other", must(fs.space()).free_pages << kPageShift));
  }

  Process& process;
  std::uint64_t address;
};

// B1: another fsync gives a walk more to do behind it, and the walk begins anew after each entry.
std::vector<FindingKind> fsync_beside_another(const Era& era) {
  constexpr std::uint64_t kPages = 100;
  constexpr std::uint64_t kMiddle = 49;
  SoftWorld world(1_MiB, era);
  const auto written_back = [](std::uint64_t page) {
    return
        [page](const Event& event) { return event.type == EventType::dax_writeback_one && event.pgoff.value == page; };
  };
  for (std::uint64_t page = 0; page < kPages; ++page) {
    world.store(page << kPageShift, 1);
  }
  StopAtEvent middle(world.machine.events(), written_back(kMiddle));
  BlockedThread one([&] { must(world.file.fsync()); });
  middle.wait_until_stopped();
  for (std::uint64_t page = 0; page < kMiddle; ++page) {
    world.store(page << kPageShift, 2);
  }
  StopAtEvent beginning(world.machine.events(), written_back(0));
  BlockedThread other([&] { must(world.file.fsync()); });
  beginning.wait_until_stopped();
  middle.let_go();
  EXPECT_TRUE(one.blocks());  // its walk is done; it waits for the flush of the other
  beginning.let_go();
  one.join();
  other.join();
  return kinds_of(world.machine.findings());
}
TEST(History, B1_TheWalkThatBeginsAnew) {
  EXPECT_THAT(fsync_beside_another(eras::v4_10), ElementsAre(FindingKind::unbounded_sync));
  EXPECT_THAT(fsync_beside_another(eras::v4_12), IsEmpty());
}

// B2: a huge page stays writable after its entry was cleaned, so the next store is not noticed by the next fsync.
Ending store_again_through_a_huge_page(const Era& era) {
  LiveWorld world = live_file(4_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.file.fsync());
  world.map.data()[5] = std::byte{2};
  must(world.file.fsync());
  return end(world, 5, std::byte{2});
}
TEST(History, B2_HugePagesAreNotWriteProtected) {
  const Ending then = store_again_through_a_huge_page(eras::v4_10);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::clean_entry_with_writable_pte,
                                         FindingKind::clean_entry_with_writable_pte, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_again_through_a_huge_page(eras::v4_12);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B3: one process maps 2 MiB by a huge page, the other some of it by small ones, of which only the first is
// write-protected.
Ending store_again_beside_a_huge_page(const Era& era) {
  SoftWorld world(4_MiB, era);
  Process& other = world.machine.spawn();
  const std::uint64_t alias = must(other.mmap(world.file.open_file(), {.length = 1_MiB}));
  world.store(0, 1);
  EXPECT_EQ(world.process.pte(world.address).order, kPmdOrder);
  EXPECT_TRUE(other.store(alias + 5 * kPageSize, std::byte{1}).ok());
  must(world.file.fsync());
  EXPECT_TRUE(other.store(alias + 5 * kPageSize, std::byte{2}).ok());
  must(world.file.fsync());
  return end(world, 5 * kPageSize, std::byte{2});
}
TEST(History, B3_SmallPagesBesideAHugeOne) {
  const Ending then = store_again_beside_a_huge_page(eras::v4_20);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::clean_entry_with_writable_pte,
                                         FindingKind::clean_entry_with_writable_pte, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_again_beside_a_huge_page(eras::v6_0);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B7: a store between the flush and the clearing of DIRTY. 4.5 and 4.6 had no lock to keep it out and never cleared DIRTY
// for this reason; the first release that did had the lock.
Ending store_after_the_flush(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  StopAtEvent flushed(world.machine.events(),
                      [](const Event& event) { return event.type == EventType::dax_writeback_one; });
  BlockedThread sync([&] { must(world.file.fsync()); });
  flushed.wait_until_stopped();
  BlockedThread store([&] { world.store(0, 2); });
  static_cast<void>(store.blocks());  // it waits for the entry, or is done
  flushed.let_go();
  sync.join();
  store.join();
  must(world.file.fsync());
  return end(world, 0, std::byte{2});
}
TEST(History, B7_DirtyIsClearedAfterTheNextStore) {
  const Ending then = store_after_the_flush(eras::v4_10.without(Step::lock_entry_in_writeback));
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::clean_entry_with_writable_pte, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_after_the_flush(eras::v4_10);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B8: one process has loaded a hole; another stores over it, through a small page or a huge one. Before 4.5 the first one
// kept its zeros; no era here is so old.
int load_after_a_store_elsewhere(std::uint64_t file_size, const Era& era) {
  SoftWorld world(file_size, era);
  Process& other = world.machine.spawn();
  const std::uint64_t there = must(other.mmap(world.file.open_file(), {}));
  EXPECT_EQ(world.load(3 * kPageSize), 0);
  EXPECT_TRUE(other.store(there + 3 * kPageSize, 7).ok());
  return world.load(3 * kPageSize);
}
TEST(History, B8_ZerosStayMapped) {
  for (const std::uint64_t file_size : {1_MiB, 4_MiB}) {
    EXPECT_EQ(load_after_a_store_elsewhere(file_size, eras::v4_5_rc1.without(Step::unmap_zero_page_on_write)), 0);
    EXPECT_EQ(load_after_a_store_elsewhere(file_size, eras::v4_5_rc1), 7);
  }
}

// B9: write(2) to one page makes the index forget what is dirty in all others. (XFS; 4.8 has the fix.)
Ending write_beside_a_store(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  const std::byte byte{9};
  must(world.file.pwrite(9 * kPageSize, {&byte, 1}));
  must(world.file.fsync());
  return end(world, 0, std::byte{1});
}
TEST(History, B9_TheWholeFileIsInvalidated) {
  EXPECT_FALSE(write_beside_a_store(eras::v4_7).kept);
  EXPECT_TRUE(write_beside_a_store(eras::v4_10).kept);
}

// B11: the sector of a file on the realtime device is flushed on the super block's device. 4.5 never calls an entry clean,
// so that the store is lost only the byte tells.
Ending store_to_a_realtime_file(const Era& era) {
  LiveWorld world = live_realtime_file(1_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.file.fsync());
  return end(world, 5, std::byte{1});
}
TEST(History, B11_TheSuperBlocksDevice) {
  const Ending then = store_to_a_realtime_file(eras::v4_5_rc1);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::wrong_device_flush));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_to_a_realtime_file(eras::v4_5);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B12: sync(2) knows nothing of DAX entries.
Ending store_and_sync(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  must(world.fs.sync());
  return end(world, 0, std::byte{1});
}
TEST(History, B12_SyncFlushesNothing) {
  EXPECT_FALSE(store_and_sync(eras::v4_5_rc1).kept);
  EXPECT_TRUE(store_and_sync(eras::v4_5).kept);
}

// B16: a kernel address outlives its device; the patches of 2015 stored one, 4.5-rc1 a sector for this reason. The file
// system is not told of the removal, as none was then.
std::vector<FindingKind> fsync_after_the_device_went(const IndexDesign& design) {
  LiveWorld world = live_file(1_MiB, {}, {.era = eras::v4_5_rc1.without(Step::notify_holder), .design = &design});
  world.map.data()[5] = std::byte{1};
  world.map.unmap();
  must(world.machine.remove(world.device, Removal::surprise));
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);
  return kinds_of(world.machine.findings());
}
TEST(History, B16_KernelAddressesOutliveTheDevice) {
  EXPECT_THAT(fsync_after_the_device_went(designs::kaddr()), ElementsAre(FindingKind::flush_of_dead_memory));
  EXPECT_THAT(fsync_after_the_device_went(designs::sector_of_super_block()), IsEmpty());
}

// B17: a file is truncated while a device still transfers into one of its pages, and the block goes to another file.
// False when that one's bytes are not its own.
bool other_file_is_safe(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  const dax::Pin pin = must(dax::pin_page(world.machine.context(), world.file.open_file()->inode().mapping(), {0}));
  const auto end_transfer = [&pin] {
    pin.device->view().direct_map()[byte_of(pin.page)] = std::byte{0xdd};
    dax::unpin_page(pin);
  };
  BlockedThread truncate([&] { must(world.file.truncate(0)); });
  const bool waits = truncate.blocks();
  if (waits) {
    end_transfer();
  }
  truncate.join();
  File other = world.create_with_all_blocks();
  std::vector<std::byte> bytes(other.size(), std::byte{5});
  must(other.pwrite(0, bytes));
  if (!waits) {
    end_transfer();
  }
  must(other.pread(0, bytes));
  return std::ranges::count(bytes, std::byte{5}) == std::ssize(bytes);
}
TEST(History, B17_ABlockIsFreedDuringATransfer) {
  EXPECT_FALSE(other_file_is_safe(eras::v4_17));
  EXPECT_TRUE(other_file_is_safe(eras::v4_20));
}

// B18: fsync of a range that begins inside a huge page. No release had the bug: 4.5 looks for the page's beginning.
Ending fsync_a_page_of_a_huge_one(const Era& era) {
  LiveWorld world = live_file(4_MiB, {}, {.era = era});
  world.map.data()[5 * kPageSize] = std::byte{1};
  must(world.file.open_file()->fsync_range({5 * kPageSize, kPageSize}, Datasync::yes));
  return end(world, 5 * kPageSize, std::byte{1});
}
TEST(History, B18_FsyncFromTheMiddleOfAHugePage) {
  EXPECT_FALSE(fsync_a_page_of_a_huge_one(eras::v4_5_rc1.without(Step::find_pmd_from_its_middle)).kept);
  EXPECT_TRUE(fsync_a_page_of_a_huge_one(eras::v4_5_rc1).kept);
}

// B21: a program flushes what it stores by itself, and the block that it stored to is not the file's yet. Before 4.15 the
// flag MAP_SYNC is not known, and ignored.
Ending store_with_map_sync(const Era& era) {
  LiveWorld world = live_file(1_MiB, {.sync = MapSync::yes}, {.era = era});
  world.map.data()[5] = std::byte{1};
  persist(world.map.data() + 5, 1);
  return end(world, 5, std::byte{1});
}
TEST(History, B21_AStoreBeforeTheCommit) {
  EXPECT_FALSE(store_with_map_sync(eras::v4_12).kept);
  EXPECT_TRUE(store_with_map_sync(eras::v4_17).kept);
}

// B22: a hole mapped by a huge page is broken up for the sake of a small one. No release had the bug: it is what 4.10, the
// first with such pages in its index, takes care of.
int load_after_a_small_store(const Era& era) {
  SoftWorld world(4_MiB, era);
  Process& other = world.machine.spawn();
  const std::uint64_t there = must(other.mmap(world.file.open_file(), {.length = 1_MiB}));
  EXPECT_EQ(world.load(3 * kPageSize), 0);
  EXPECT_EQ(world.process.pte(world.address).order, kPmdOrder);
  EXPECT_TRUE(other.store(there + 3 * kPageSize, 7).ok());
  return world.load(3 * kPageSize);
}
TEST(History, B22_AHugeZeroPageStaysMapped) {
  EXPECT_EQ(load_after_a_small_store(eras::v4_10.without(Step::unmap_huge_zero_page)), 0);
  EXPECT_EQ(load_after_a_small_store(eras::v4_10), 7);
}

// B23: write(2) to a file that never overwrites its blocks, over a page that a process has stored to. The entry is
// dirty, so it cannot be invalidated: from then on the process stores to the new block, and fsync flushes the old one.
Ending store_after_copy_on_write(const Era& era) {
  MountedWorld world = mounted(8_MiB, {.era = era});
  must(world.fs.unmount());
  const std::vector<DeviceHandle> devices{world.device};
  world.fs = must(world.machine.mkfs<ChunkFs>(devices));
  Ending ending;
  {
    File file = must(world.fs.create("/file", 1_MiB));
    Process& process = world.machine.spawn();
    const std::uint64_t address = must(process.mmap(file.open_file(), {}));
    EXPECT_TRUE(process.store(address, 1).ok());
    const std::byte byte{2};
    must(file.pwrite(100, {&byte, 1}));
    EXPECT_TRUE(process.store(address, 3).ok());
    must(file.fsync());
    must(world.machine.power_cut());
    ending.findings = kinds_of(world.machine.findings());
  }
  Machine next = must(world.machine.reboot());
  int found = 0;
  must(must(must(next.mount<ChunkFs>(next.devices())).open("/file"))
           .pread(0, std::as_writable_bytes(std::span(&found, 1))));
  ending.kept = found == 3;
  return ending;
}
TEST(History, B23_ADirtyPageKeepsItsEntryWhenItsBlockIsReplaced) {
  const Ending then = store_after_copy_on_write(eras::v6_1);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::wrong_device_flush, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_after_copy_on_write(eras::v6_8);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B24: memory of a realtime device fails, and XFS looks up whose it was. The page behind it, another file's, is taken from
// those who map it as well.
bool the_next_file_is_spared(const Era& era) {
  MountedWorld world = mounted_realtime(8_MiB, {.era = era});
  must(world.fs.unmount());
  world.fs = must(world.machine.mkfs<Xfs<xfs_traits::with_rmap>>(world.device, *world.realtime));
  Process& process = world.machine.spawn();
  std::vector<File> files;
  std::vector<FileExtent> places;
  for (const char* const name : {"/file", "/next"}) {
    File& file = files.emplace_back(must(world.fs.create(name)));
    must(RealtimeFs::set_realtime(file.open_file()->inode()));
    must(file.pwrite(0, std::vector<std::byte>(kPageSize)));
    EXPECT_TRUE(process.store(must(process.mmap(file.open_file(), {})), 1).ok());
    places.push_back(must(file.open_file()->inode().direct_access({{0}, 1}, Access::read)));
  }
  EXPECT_EQ(places[1].device_page, places[0].device_page + 1);
  const auto is_mapped = [](const File& file) {
    bool mapped = false;
    file.open_file()->inode().mapping().for_each_vma(
        {{0}, 1}, [&](Vma& vma) { mapped = vma.pte({0}).kind == PteState::Kind::memory; });
    return mapped;
  };
  must(world.realtime->attachment().notify_failure({byte_of(places[0].device_page), kPageSize}));
  EXPECT_FALSE(is_mapped(files[0]));
  return is_mapped(files[1]);
}
TEST(History, B24_TheFailingRangeEndsOneByteLate) {
  EXPECT_FALSE(the_next_file_is_spared(eras::v6_1));
  EXPECT_TRUE(the_next_file_is_spared(eras::v6_8));
}

// B25: a device is unbound in order. Its file system is told that memory failed, and ends at once; told that the device
// will go, it writes back first.
bool survives_unbinding(const Era& era) {
  LiveWorld world = live_file(1_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.machine.remove(world.device, Removal::orderly));
  Machine next;
  FileSystem fs = must(next.mount<LinearFs>(must(next.attach(world.device.medium()))));
  std::byte found{};
  must(must(fs.open("/file")).pread(5, {&found, 1}));
  return found == std::byte{1};
}
TEST(History, B25_RemovalReportedAsFailure) {
  EXPECT_FALSE(survives_unbinding(eras::v6_1));
  EXPECT_TRUE(survives_unbinding(eras::v6_8));
}

// B27: the last page of a device is no memory. Answers how many pages of a file that takes all blocks end in a bus error,
// or why the device was not mounted.
Result<int> pages_without_memory(const Era& era) {
  Machine machine({.era = era});
  DeviceHandle device = must(machine.attach(std::make_shared<FakeDevice>(1024, Capabilities{})));
  const Pgoff last{device.attachment().pages() - 1};
  static_cast<FakeView&>(device.attachment().view()).on_direct_access = [last](Pgoff page, std::uint64_t pages) {
    return page == last ? Result<std::uint64_t>(Errno::eio) : std::min(pages, last - page);
  };
  DAXSIM_TRY(FileSystem fs, machine.mkfs<LinearFs>(device));
  const File file = must(fs.create("/file", must(fs.space()).free_pages << kPageShift));
  Process& process = machine.spawn();
  const std::uint64_t address = must(process.mmap(file.open_file(), {}));
  int bus_errors = 0;
  for (std::uint64_t offset = 0; offset < file.size(); offset += kPageSize) {
    const auto stored = process.store(address + offset, 1);
    bus_errors += !stored.ok() && stored.error().number == SIGBUS ? 1 : 0;
  }
  return bus_errors;
}
TEST(History, B27_TheEndOfTheDeviceIsNoMemory) {
  EXPECT_EQ(must(pages_without_memory(eras::v4_20)), 1);
  EXPECT_ERRNO(pages_without_memory(eras::v6_0), Errno::eio);
}

// B29: a file that has entries and no pages in the page cache is taken for empty. No release had the bug: 4.5 counts both.
Ending fsync_without_page_cache(const Era& era) {
  LiveWorld world = live_file(1_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.file.fsync());
  return end(world, 5, std::byte{1});
}
TEST(History, B29_EntriesAreNotCounted) {
  EXPECT_FALSE(fsync_without_page_cache(eras::v4_5.without(Step::count_entries)).kept);
  EXPECT_TRUE(fsync_without_page_cache(eras::v4_5).kept);
}

// B33: blocks are freed while a process maps them, and go to another file, which the process then stores into. What a
// file system without a way to take pages back would do; none that used DAX did.
struct StrayStore {
  std::vector<FindingKind> findings{};
  bool went_through = false;
};
StrayStore store_after_truncation(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  must(world.file.truncate(0));
  const File other = world.create_with_all_blocks();
  Process& owner = world.machine.spawn();
  const std::uint64_t there = must(owner.mmap(other.open_file(), {}));
  for (std::uint64_t offset = 0; offset < other.size(); offset += kPageSize) {
    EXPECT_TRUE(owner.store(there + offset, 5).ok());
  }
  StrayStore seen{.went_through = world.process.store(world.address, 9).ok()};
  must(world.machine.power_cut());
  seen.findings = kinds_of(world.machine.findings());
  return seen;
}
TEST(History, B33_BlocksAreUsedAgainWhileTheyAreMapped) {
  const StrayStore then = store_after_truncation(eras::v6_12.without(Step::unmap_before_free));
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::frame_of_two_files));
  EXPECT_TRUE(then.went_through);

  const StrayStore fixed = store_after_truncation(eras::v6_12);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_FALSE(fixed.went_through);
}

// B35: the entry of a freed block stays in the index. The file gets another block there, another file the freed one, and
// fsync of the first flushes the page of the second. Linux warns when it finds such a page; no release did it.
Ending store_after_truncation_and_growth(const Era& era) {
  SoftWorld world(1_MiB, era);
  world.store(0, 1);
  must(world.file.truncate(0));
  must(world.file.fallocate(Fallocate::allocate, {0, 1_MiB}));
  File other = world.create_with_all_blocks();
  must(other.pwrite(0, std::vector<std::byte>(other.size(), std::byte{5})));
  world.store(0, 2);
  must(world.file.fsync());
  return end(world, 0, std::byte{2});
}
TEST(History, B35_TheEntryOfAFreedBlockStays) {
  const Ending then = store_after_truncation_and_growth(eras::v6_12.without(Step::delete_entries_before_free));
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::wrong_device_flush, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_after_truncation_and_growth(eras::v6_12);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

}  // namespace
}  // namespace daxsim::test
