// SPDX-License-Identifier: BSD-3-Clause
// Files that share blocks on a realtime device: what a program that maps them sees, and what a power cut leaves.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstring>
#include <string>
#include <vector>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/stop_at_event.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using ::testing::Each;
using ::testing::IsEmpty;

// "/file" has `size` bytes of ones, synced, and "/clone" has the same blocks. A process maps both.
struct ClonedWorld : MountedWorld {
  explicit ClonedWorld(std::uint64_t size, const MachineOptions& options = {})
      : MountedWorld(remade(mounted_realtime(std::max<std::uint64_t>(4 * size, 8_MiB), options))),
        file(make_file("/file")),
        clone(make_file("/clone")),
        process(machine.spawn()) {
    must(file.pwrite(0, std::vector<std::byte>(size, std::byte{1})));
    must(file.fsync());
    must(clone.reflink(file, {0, 0}, 0));
    must(clone.fsync());
    at_file = must(process.mmap(file.open_file(), {}));
    at_clone = must(process.mmap(clone.open_file(), {}));
  }
  static MountedWorld remade(MountedWorld world) {
    must(world.fs.unmount());
    world.fs =
        must(world.machine.mkfs<RealtimeFs>(world.device, *world.realtime, RealtimeFsOptions{.reflink = Reflink::yes}));
    return world;
  }
  File make_file(const char* name) {
    File made = must(fs.create(name));
    must(RealtimeFs::set_realtime(made.open_file()->inode()));
    return made;
  }

  void store(std::uint64_t address, int value) { ASSERT_TRUE(process.store(address, std::byte(value)).ok()); }
  int load(std::uint64_t address) { return static_cast<int>(process.load<std::byte>(address).value()); }
  static int read(File& from, std::uint64_t offset) {
    std::byte byte{};
    must(from.pread(offset, {&byte, 1}));
    return static_cast<int>(byte);
  }
  static void write(File& to, std::uint64_t offset, int value) {
    const std::byte byte{static_cast<unsigned char>(value)};
    must(to.pwrite(offset, {&byte, 1}));
  }
  std::uint64_t free_pages() { return must(fs.space()).free_pages; }
  static FileExtent place(const File& of, std::uint64_t page) {
    return must(of.open_file()->inode().direct_access({{page}, 1}, Access::read));
  }
  static bool have_same_block(const File& one, const File& other, std::uint64_t page) {
    return place(one, page).memory.pfn == place(other, page).memory.pfn;
  }

  File file;
  File clone;
  Process& process;
  std::uint64_t at_file = 0;
  std::uint64_t at_clone = 0;
};

TEST(Reflink, TakesNoSpaceAndShowsTheSame) {
  ClonedWorld world(1_MiB);
  EXPECT_TRUE(world.have_same_block(world.file, world.clone, 5));
  EXPECT_TRUE(world.place(world.file, 5).shared);
  EXPECT_EQ(world.load(world.at_clone + 5), 1);
  const std::uint64_t before = world.free_pages();
  File third = world.make_file("/third");
  must(third.reflink(world.file, {0, 0}, 0));
  EXPECT_EQ(world.free_pages(), before);
  EXPECT_EQ(third.size(), 1_MiB);
  EXPECT_THAT(world.machine.findings(), IsEmpty());
}

// F3 row 22: the store gets a block of its own, with what the page held; who shares the block keeps it.
TEST(Reflink, AStoreGetsABlockOfItsOwn) {
  ClonedWorld world(1_MiB);
  Process& other = world.machine.spawn();
  const std::uint64_t at_other = must(other.mmap(world.file.open_file(), {}));
  EXPECT_EQ(static_cast<int>(other.load<std::byte>(at_other + 7).value()), 1);
  EXPECT_EQ(world.load(world.at_clone + 7), 1);

  world.store(world.at_file + 7, 2);

  EXPECT_EQ(world.load(world.at_file + 6), 1);
  EXPECT_EQ(world.load(world.at_clone + 7), 1);
  EXPECT_EQ(static_cast<int>(other.load<std::byte>(at_other + 7).value()), 2);
  EXPECT_EQ(ClonedWorld::read(world.file, 7), 2);
  EXPECT_EQ(ClonedWorld::read(world.clone, 7), 1);
  EXPECT_FALSE(world.have_same_block(world.file, world.clone, 0));
  EXPECT_TRUE(world.have_same_block(world.file, world.clone, 1));
  XCursor cursor(world.file.open_file()->inode().mapping().pages(), {0});
  const MutexLock guard(cursor.lock());
  EXPECT_FALSE(cursor.load().is_null());
  EXPECT_TRUE(cursor.marked(Mark::dirty) && cursor.marked(Mark::towrite));
}

TEST(Reflink, AHugeStoreGetsTwoMiBOfItsOwn) {
  ClonedWorld world(4_MiB);
  world.store(world.at_file + 2_MiB + 9, 2);
  EXPECT_EQ(world.load(world.at_file + 4_MiB - 1), 1);
  EXPECT_EQ(world.load(world.at_clone + 2_MiB + 9), 1);
  EXPECT_FALSE(world.have_same_block(world.file, world.clone, 1023));
  EXPECT_TRUE(world.have_same_block(world.file, world.clone, 511));
  const PteState pte = [&] {
    PteState found;
    world.file.open_file()->inode().mapping().for_each_vma({{512}, 1}, [&](Vma& vma) { found = vma.pte({512}); });
    return found;
  }();
  EXPECT_EQ(pte.order, kPmdOrder);
  EXPECT_TRUE(pte.writable);
}

// Some pages of a huge page that is dirty are shared: a store to one of them, and a store beside them.
TEST(Reflink, AStoreToAPageThatWasPartOfAHugeOne) {
  ClonedWorld world(2_MiB);
  must(world.file.fallocate(Fallocate::unshare_range, {0, 2_MiB}));
  world.store(world.at_file, 2);
  must(world.clone.reflink(world.file, {0, 16 * kPageSize}, 0));
  world.store(world.at_file + 20 * kPageSize, 4);

  world.store(world.at_file + 3 * kPageSize, 3);

  EXPECT_EQ(world.load(world.at_file + 20 * kPageSize), 4);
  EXPECT_EQ(world.load(world.at_file + 3 * kPageSize), 3);
  EXPECT_EQ(world.load(world.at_clone + 3 * kPageSize), 1);
  EXPECT_EQ(world.load(world.at_clone), 2);
  must(world.file.fsync());
  must(world.machine.power_cut());
  const std::vector<Finding> findings = world.machine.findings();
  world.reboot();
  EXPECT_THAT(findings, IsEmpty());
  File file = must(world.fs.open("/file"));
  EXPECT_EQ(ClonedWorld::read(file, 20 * kPageSize), 4);
  EXPECT_EQ(ClonedWorld::read(file, 3 * kPageSize), 3);
}

// F13/77: whoever maps the page sees what write(2) wrote, in the new block; around it is what was there.
TEST(Reflink, AWriteGetsBlocksOfItsOwn) {
  ClonedWorld world(1_MiB);
  EXPECT_EQ(world.load(world.at_file + kPageSize), 1);
  must(world.file.pwrite(kPageSize - 3, std::vector<std::byte>(2 * kPageSize, std::byte{2})));
  for (const auto& [offset, value] : std::array<std::pair<std::uint64_t, int>, 4>{
           {{kPageSize - 4, 1}, {kPageSize - 3, 2}, {3 * kPageSize - 4, 2}, {3 * kPageSize - 3, 1}}}) {
    EXPECT_EQ(world.load(world.at_file + offset), value) << offset;
    EXPECT_EQ(ClonedWorld::read(world.file, offset), value) << offset;
    EXPECT_EQ(world.load(world.at_clone + offset), 1) << offset;
  }
}

TEST(Reflink, ZeroingSparesTheOther) {
  ClonedWorld world(1_MiB);
  must(world.file.fallocate(Fallocate::zero_range, {100, 3 * kPageSize}));
  must(world.file.truncate(20 * kPageSize + 5));
  must(world.file.truncate(1_MiB));
  for (const std::uint64_t offset : {std::uint64_t{100}, kPageSize, 3 * kPageSize + 99, 20 * kPageSize + 5}) {
    EXPECT_EQ(ClonedWorld::read(world.file, offset), 0) << offset;
    EXPECT_EQ(ClonedWorld::read(world.clone, offset), 1) << offset;
  }
  EXPECT_EQ(ClonedWorld::read(world.file, 99), 1);
  EXPECT_EQ(ClonedWorld::read(world.file, 20 * kPageSize + 4), 1);
}

TEST(Reflink, UnsharingCopies) {
  ClonedWorld world(1_MiB);
  const std::uint64_t before = world.free_pages();
  must(world.clone.fallocate(Fallocate::unshare_range, {0, 1_MiB}));
  EXPECT_EQ(world.free_pages(), before - (1_MiB >> kPageShift));
  EXPECT_FALSE(world.have_same_block(world.file, world.clone, 77));
  EXPECT_FALSE(world.place(world.clone, 77).shared);
  EXPECT_EQ(world.load(world.at_clone + 77 * kPageSize), 1);
}

TEST(Reflink, BlocksAreFreeWhenTheLastOwnerHasGone) {
  ClonedWorld world(1_MiB);
  const std::uint64_t before = world.free_pages();
  must(world.file.truncate(0));
  EXPECT_EQ(world.free_pages(), before);
  EXPECT_EQ(world.load(world.at_clone + 5), 1);
  must(world.clone.truncate(0));
  EXPECT_EQ(world.free_pages(), before + (1_MiB >> kPageShift));
}

// A clone of what is only in the caches: both files have it after a cut.
TEST(Reflink, WhatIsStoredIsFlushedBeforeItIsShared) {
  ClonedWorld world(1_MiB);
  world.store(world.at_file + 5, 2);
  must(world.clone.reflink(world.file, {0, kPageSize}, 8 * kPageSize));
  EXPECT_EQ(world.load(world.at_clone + 8 * kPageSize + 5), 2);
  must(world.clone.fsync());
  must(world.machine.power_cut());
  const std::vector<Finding> findings = world.machine.findings();
  world.reboot();
  EXPECT_THAT(findings, IsEmpty());
  for (const char* name : {"/file", "/clone"}) {
    File file = must(world.fs.open(name));
    EXPECT_EQ(ClonedWorld::read(file, name[1] == 'f' ? 5 : 8 * kPageSize + 5), 2);
  }
}

// The file has left the block, and the clone, which has it alone now, stores there. Nobody has synced: after a cut the file
// has the block again, and finds there what it had.
TEST(Reflink, ABlockThatWasLeftIsNotStoredToAtOnce) {
  ClonedWorld world(1_MiB);
  world.store(world.at_file + 5, 2);
  world.store(world.at_clone + 5, 3);
  must(world.machine.power_cut({.kind = PowerCut::Kind::all}));
  world.reboot();
  File file = must(world.fs.open("/file"));
  File clone = must(world.fs.open("/clone"));
  EXPECT_EQ(ClonedWorld::read(file, 5), 1);
  EXPECT_EQ(ClonedWorld::read(clone, 5), 1);
}

TEST(Reflink, MapSyncCommitsTheNewBlock) {
  ClonedWorld world(1_MiB);
  Mapping map = must(world.file.map({.sync = MapSync::yes}));
  map.data()[5] = std::byte{2};
  persist(&map.data()[5], 1);
  must(world.machine.power_cut());
  world.reboot();
  File file = must(world.fs.open("/file"));
  EXPECT_EQ(ClonedWorld::read(file, 5), 2);
  EXPECT_EQ(ClonedWorld::read(file, 4), 1);
}

TEST(Reflink, LiveMappingsSeeTheSame) {
  ClonedWorld world(4_MiB);
  Mapping file = must(world.file.map());
  Mapping clone = must(world.clone.map());
  const auto at = [](Mapping& map, std::uint64_t offset) {
    return static_cast<int>(*reinterpret_cast<volatile unsigned char*>(map.data() + offset));
  };
  EXPECT_EQ(at(file, 5), 1);
  EXPECT_EQ(at(clone, 5), 1);
  file.data()[5] = std::byte{2};
  clone.data()[3_MiB] = std::byte{3};
  EXPECT_EQ(at(file, 5), 2);
  EXPECT_EQ(at(file, 4), 1);
  EXPECT_EQ(at(clone, 5), 1);
  EXPECT_EQ(at(file, 3_MiB), 1);
  must(world.file.fsync());
  must(world.machine.power_cut());
  EXPECT_THAT(world.machine.findings(), IsEmpty());
}

// --- two threads ---

// write(2) has taken the page out of the page tables and begins to copy what it does not write. A store that comes now waits, and
// goes to the new block; in the old one it would be lost.
TEST(Reflink, AStoreWaitsWhileAWriteCopies) {
  ClonedWorld world(1_MiB);
  StopAtEvent unmapped(world.machine.events(), [](const Event& event) {
    return event.type == EventType::dax_iomap_copy_around && event.pgoff == Pgoff{8};
  });
  BlockedThread writer([&] { ClonedWorld::write(world.file, 8 * kPageSize + 100, 2); });
  unmapped.wait_until_stopped();
  BlockedThread storer([&] { world.store(world.at_file + 8 * kPageSize, 3); });
  EXPECT_TRUE(storer.blocks());
  unmapped.let_go();
  writer.join();
  storer.join();
  EXPECT_EQ(ClonedWorld::read(world.file, 8 * kPageSize + 100), 2);
  EXPECT_EQ(ClonedWorld::read(world.file, 8 * kPageSize), 3);
  EXPECT_EQ(ClonedWorld::read(world.clone, 8 * kPageSize), 1);
}

// --- a device goes ---

// A file on the realtime device and one on the data device, both stored to through a mapping, on an XFS of some kind.
struct XfsWorld {
  template <class Fs>
  static XfsWorld make() {
    MountedWorld world = mounted_realtime(8_MiB);
    must(world.fs.unmount());
    world.fs = must(world.machine.mkfs<Fs>(world.device, *world.realtime));
    return XfsWorld(std::move(world));
  }
  explicit XfsWorld(MountedWorld mounted) : world(std::move(mounted)), process(&world.machine.spawn()) {
    must(RealtimeFs::set_realtime(realtime.open_file()->inode()));
    for (File* const file : {&realtime, &data}) {
      must(file->pwrite(0, std::vector<std::byte>(kPageSize)));
      must(file->fsync());
      addresses.push_back(must(process->mmap(file->open_file(), {})));
      EXPECT_TRUE(process->store(addresses.back(), 7).ok());
    }
  }
  static bool is_mapped(const File& file) {
    bool mapped = false;
    file.open_file()->inode().mapping().for_each_vma(
        {{0}, 1}, [&](Vma& vma) { mapped = vma.pte({0}).kind == PteState::Kind::memory; });
    return mapped;
  }

  MountedWorld world;
  Process* process;
  File realtime = must(world.fs.create("/realtime"));
  File data = must(world.fs.create("/data"));
  std::vector<std::uint64_t> addresses;
};

// With a reverse map: what was stored is written back, the files on the device lose their pages, the other keeps its own;
// the file system is over.
TEST(XfsRemoval, WithAReverseMapReachesTheFilesOnTheDevice) {
  XfsWorld xfs = XfsWorld::make<Xfs<xfs_traits::with_rmap>>();
  const RemovalReport report = must(xfs.world.machine.remove(*xfs.world.realtime, Removal::orderly));
  EXPECT_FALSE(report.holder_error.has_value());
  EXPECT_FALSE(XfsWorld::is_mapped(xfs.realtime));
  EXPECT_TRUE(XfsWorld::is_mapped(xfs.data));
  EXPECT_EQ(xfs.process->load<int>(xfs.addresses[0]).error().code, BUS_ADRERR);
  EXPECT_EQ(xfs.process->load<int>(xfs.addresses[1]).value(), 7);
  EXPECT_ERRNO(xfs.data.fsync(), Errno::eio);
  EXPECT_THAT(xfs.world.machine.findings(), IsEmpty());

  Machine next = must(xfs.world.machine.reboot());
  const DeviceHandle data = next.devices()[0];
  const DeviceHandle realtime = must(next.attach(xfs.world.realtime->medium()));
  FileSystem fs = must(next.mount<Xfs<xfs_traits::with_rmap>>(data, realtime));
  File file = must(fs.open("/realtime"));
  EXPECT_EQ(ClonedWorld::read(file, 0), 7);
}

// Without one nobody is told of anything, and a page of the device is still mapped when its memory goes.
TEST(XfsRemoval, WithoutOneLeavesPagesMapped) {
  XfsWorld xfs = XfsWorld::make<Xfs<xfs_traits::without_rmap>>();
  must(xfs.world.machine.remove(*xfs.world.realtime, Removal::orderly));
  EXPECT_TRUE(XfsWorld::is_mapped(xfs.realtime));
  const std::vector<Finding> findings = xfs.world.machine.findings();
  ASSERT_EQ(findings.size(), 1U);
  EXPECT_EQ(findings[0].kind, FindingKind::stale_mapping);
}

// Memory of a shared block failed (F13/68): both files lose the page, and go on.
TEST(XfsFailure, OfASharedBlockReachesBothFiles) {
  XfsWorld xfs = XfsWorld::make<Xfs<xfs_traits::with_rmap>>();
  File clone = must(xfs.world.fs.create("/clone"));
  must(RealtimeFs::set_realtime(clone.open_file()->inode()));
  must(clone.reflink(xfs.realtime, {0, 0}, 0));
  const std::uint64_t at_clone = must(xfs.process->mmap(clone.open_file(), {}));
  for (const std::uint64_t address : {xfs.addresses[0], at_clone}) {
    EXPECT_EQ(xfs.process->load<int>(address).value(), 7);
  }
  const Pgoff page = ClonedWorld::place(clone, 0).device_page;
  must(xfs.world.realtime->attachment().notify_failure({byte_of(page), 1}));
  EXPECT_FALSE(XfsWorld::is_mapped(xfs.realtime));
  EXPECT_FALSE(XfsWorld::is_mapped(clone));
  EXPECT_TRUE(XfsWorld::is_mapped(xfs.data));
  EXPECT_EQ(xfs.process->load<int>(at_clone).value(), 7);
  // Of the metadata: the file system is over.
  EXPECT_ERRNO(xfs.world.device.attachment().notify_failure({0, 1}), Errno::euclean);
  EXPECT_ERRNO(clone.fsync(), Errno::eio);
}

// A MAP_SYNC store has got its block and commits. The block is shared meanwhile: the page must not become writable.
TEST(Reflink, ASyncFaultFindsItsBlockShared) {
  ClonedWorld world(1_MiB);
  const std::uint64_t address = must(world.process.mmap(world.file.open_file(), {.sync = MapSync::yes}));
  File third = world.make_file("/third");
  StopAtEvent committing(world.machine.events(),
                         [](const Event& event) { return event.type == EventType::dax_finish_sync_fault; });
  BlockedThread storer([&] { world.store(address + 5, 2); });
  committing.wait_until_stopped();
  must(third.reflink(world.file, {0, kPageSize}, 0));
  committing.let_go();
  storer.join();
  EXPECT_EQ(ClonedWorld::read(world.file, 5), 2);
  EXPECT_EQ(ClonedWorld::read(third, 5), 1);
}

// --- the frame of two files ---

std::vector<FindingKind> findings_at_a_cut(Machine& machine) {
  must(machine.power_cut());
  std::vector<FindingKind> kinds;
  for (const Finding& finding : machine.findings()) {
    kinds.push_back(finding.kind);
  }
  return kinds;
}

TEST(FrameOfTwoFiles, IsNoFindingWhenTheFilesShareIt) {
  ClonedWorld world(1_MiB);
  EXPECT_EQ(world.load(world.at_file), 1);
  EXPECT_EQ(world.load(world.at_clone), 1);
  ASSERT_TRUE(world.have_same_block(world.file, world.clone, 0));
  EXPECT_THAT(findings_at_a_cut(world.machine), IsEmpty());
}

// The clone has lost the block, and its entry stayed: that others share it is no excuse.
TEST(FrameOfTwoFiles, IsOneWhenAFileHasLostIt) {
  ClonedWorld world(1_MiB, {.era = eras::v6_12.without(Step::unmap_before_free)});
  File third = world.make_file("/third");
  must(third.reflink(world.file, {0, 0}, 0));
  const std::uint64_t at_third = must(world.process.mmap(third.open_file(), {}));
  EXPECT_EQ(world.load(world.at_file), 1);
  EXPECT_EQ(world.load(at_third), 1);
  EXPECT_EQ(world.load(world.at_clone), 1);
  must(world.clone.fallocate(Fallocate::punch_hole, {0, kPageSize}));
  EXPECT_THAT(findings_at_a_cut(world.machine), Each(FindingKind::frame_of_two_files));
  EXPECT_THAT(world.machine.findings(), ::testing::Not(IsEmpty()));
}

}  // namespace
}  // namespace daxsim::test
