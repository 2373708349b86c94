// SPDX-License-Identifier: BSD-3-Clause
// FS_XFLAG_DAX and the mount option dax=: which files are direct, when that changes, and that nothing is lost by it.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <memory>
#include <optional>
#include <string>
#include <utility>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/chunk_world.hpp"
#include "support/linear_image.hpp"
#include "support/parking.hpp"
#include "support/realtime_world.hpp"
#include "unit/adapters/linear/crash_run.hpp"

namespace {

// Every call ends with this errno, unless it is 0.
int refusals = 0;

}  // namespace

extern "C" int memfd_create(const char* name, unsigned flags) noexcept {
  errno = refusals;
  return refusals != 0 ? -1 : static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

constexpr std::uint64_t kPage = kPageSize;

// Mounted with an option. New files want DAX when their name ends in an odd character (by its code: a, c, ..., 1, 3, ...).
template <DaxOption kOption>
class OptionWorld final : public LinearWorld {
 public:
  using LinearWorld::LinearWorld;
  Result<void> try_mount() override { return adopt(LinearFs::mount(context, *device, {.dax = kOption})); }
  Result<std::shared_ptr<Inode>> try_create(std::string_view name) override {
    {
      DAXSIM_TRY(const std::shared_ptr<Inode> inode, fs->create(name));
      DAXSIM_TRY_VOID(inode->set_xflag_dax(name.back() % 2 != 0 ? XflagDax::set : XflagDax::clear));
    }
    return fs->open(name);
  }
};
using InodeWorld = OptionWorld<DaxOption::inode>;
using NeverWorld = OptionWorld<DaxOption::never>;
using AlwaysWorld = OptionWorld<DaxOption::always>;

template <class World>
std::unique_ptr<World> made() {
  auto world = std::make_unique<World>(1_MiB);
  world->make();
  return world;
}

bool is_dax(const std::shared_ptr<OpenFile>& file) { return file->statx().attributes == kStatxAttrDax; }

struct Area {
  Area(LinearWorld& world, const std::shared_ptr<OpenFile>& file, const MapOptions& options = {})
      : process(world.system, 1), address(must(process.mmap(file, options))) {}
  void store(std::uint64_t offset, char value) { ASSERT_TRUE(process.store<char>(address + offset, value).ok()); }
  char load(std::uint64_t offset) { return process.load<char>(address + offset).value(); }

  Process process;
  std::uint64_t address;
};

// --- which files are direct ---

// S_DAX of a file that wants it and of one that does not.
template <class World>
std::array<bool, 2> direct_files() {
  const auto world = made<World>();
  const std::array created{is_dax(world->create("a")), is_dax(world->create("b"))};
  must(world->fs->sync());
  world->remount();
  EXPECT_EQ(is_dax(world->open("a")), created[0]);
  EXPECT_EQ(is_dax(world->open("b")), created[1]);
  return created;
}

TEST(DaxFlag, TheMountOptionDecides) {
  EXPECT_EQ(direct_files<AlwaysWorld>(), (std::array{true, true}));
  EXPECT_EQ(direct_files<InodeWorld>(), (std::array{true, false}));
  EXPECT_EQ(direct_files<NeverWorld>(), (std::array{false, false}));
}

// Without an option all is as it was before there was one, whatever the files want.
TEST(DaxFlag, IsIgnoredByDefault) {
  LinearWorld world(1_MiB);
  world.make();
  const auto file = world.create("a");
  EXPECT_EQ(must(file->inode().xflag_dax()), XflagDax::clear);
  EXPECT_TRUE(is_dax(file));
  EXPECT_EQ(file->statx().attributes_mask, kStatxAttrDax);
}

// The flag is on the device, whether the mount goes by it or not.
TEST(DaxFlag, IsKept) {
  const auto world = made<NeverWorld>();
  world->create("a");
  world->create("b");
  must(world->fs->sync());
  for (int checkpoint = 0; checkpoint < 3; ++checkpoint) {  // first from the log
    world->remount();
    EXPECT_EQ(must(world->open("a")->inode().xflag_dax()), XflagDax::set);
    EXPECT_EQ(must(world->open("b")->inode().xflag_dax()), XflagDax::clear);
  }
}

// New files get the directory's flag; those that are there keep theirs.
TEST(DaxFlag, IsInheritedFromTheDirectory) {
  const auto world = made<InodeWorld>();
  must(world->fs->create("before"));
  must(world->fs->set_xflag_dax(XflagDax::set));
  must(world->fs->create("after"));
  must(world->fs->sync());
  for (int checkpoint = 0; checkpoint < 3; ++checkpoint) {
    world->remount();
    EXPECT_EQ(must(world->fs->xflag_dax()), XflagDax::set);
    EXPECT_FALSE(is_dax(world->open("before")));
    EXPECT_TRUE(is_dax(world->open("after")));
  }
  EXPECT_TRUE(must(world->fs->create("later"))->is_dax());
}

// A directory or a file with a flag that nobody knows, and a record that sets one, or of a file that is not there.
TEST(DaxFlag, HostileFlagsAreRefused) {
  const auto mounts = [](const ImageMaker& maker) {
    LinearWorld world(maker.image);
    return world.try_mount().ok();
  };
  const auto with_directory_flags = [&](std::uint32_t flags) {
    ImageMaker maker(1_MiB);
    extent_fs::CheckpointHeader header = maker.header();
    header.directory_flags = flags;
    maker.put_header(header);
    return mounts(maker);
  };
  EXPECT_TRUE(with_directory_flags(1));
  EXPECT_FALSE(with_directory_flags(2));
  EXPECT_FALSE(with_directory_flags(256));
  const auto with_file_flags = [&](std::uint8_t flags) {
    ImageMaker maker(1_MiB);
    maker.put_files({{.flags = flags}});
    return mounts(maker);
  };
  EXPECT_TRUE(with_file_flags(1));
  EXPECT_FALSE(with_file_flags(2));
  // A record that does not fit damages its checkpoint.
  const auto with_record = [&](std::uint32_t ino, std::uint64_t flags) {
    ImageMaker maker(1_MiB);
    maker.put_files({{}});
    maker.put_commit({{.type = extent_fs::RecordType::flags, .ino = ino, .flags = flags}});
    return mounts(maker);
  };
  EXPECT_TRUE(with_record(0, 1));
  EXPECT_TRUE(with_record(1, 1));
  EXPECT_FALSE(with_record(1, 3));
  EXPECT_FALSE(with_record(2, 1));
}

// The page cache has memory of its own, which the host may refuse; nobody who mounts with dax=always hears of that.
TEST(DaxFlag, MountNamesTheHostsLimits) {
  LinearWorld linear(1_MiB);
  linear.make();
  must(linear.fs->unmount());
  RealtimeWorld realtime(1_MiB);
  realtime.mkfs();
  ChunkWorld chunk(ChunkProfile::single, 512_KiB);
  chunk.mkfs();
  MountedWorld machine = mounted(8_MiB);
  must(machine.fs.unmount());
  const auto mount_all = [&](DaxOption dax) {
    const MountOptions options{.dax = dax};
    return std::array{
        error_of(LinearFs::mount(linear.context, *linear.device, options)),
        error_of(RealtimeFs::mount(realtime.context, *realtime.device, *realtime.realtime, options)),
        error_of(ChunkFs::mount(chunk.context, chunk.devices, options)),
        error_of(machine.machine.mount<LinearFs>(machine.device, options)),
    };
  };
  for (const auto& [host, ours] : {std::pair(EMFILE, Errno::emfile), {ENFILE, Errno::enfile}}) {
    refusals = host;
    for (const std::optional<Errno>& answer : mount_all(DaxOption::never)) {
      EXPECT_EQ(answer, ours);
    }
  }
  for (const std::optional<Errno>& answer : mount_all(DaxOption::always)) {
    EXPECT_EQ(answer, std::nullopt);
  }
  refusals = 0;
}

// --- when it changes ---

// As recorded (oracle, workload r): set on an open file it changes nothing; the next to open it, when nobody has it open
// any more, finds it changed.
TEST(DaxFlag, ChangesAtEvictionOnly) {
  const auto world = made<InodeWorld>();
  auto file = world->create("b");
  must(file->inode().set_xflag_dax(XflagDax::set));
  EXPECT_EQ(must(file->inode().xflag_dax()), XflagDax::set);
  EXPECT_FALSE(is_dax(file));
  auto other = world->open("b");
  EXPECT_FALSE(is_dax(other));

  file.reset();
  file = world->open("b");
  EXPECT_FALSE(is_dax(file)) << "one has it open still";
  file.reset();
  other.reset();
  EXPECT_TRUE(is_dax(world->open("b")));
}

// A mapping keeps the file in core like an open handle.
TEST(DaxFlag, DoesNotChangeUnderAMapping) {
  const auto world = made<InodeWorld>();
  auto file = world->create("b");
  must(file->truncate(kPage));
  {
    Area area(*world, file);
    area.store(0, 'm');
    must(file->inode().set_xflag_dax(XflagDax::set));
    file.reset();
    EXPECT_FALSE(is_dax(world->open("b")));
    EXPECT_EQ(area.load(0), 'm');
  }
  EXPECT_TRUE(is_dax(world->open("b")));
  EXPECT_EQ(world->content("b")[0], 'm');
}

// Whoever walks through all files in core, as sync does, uses them meanwhile.
TEST(DaxFlag, AVisitorKeepsAFileInCore) {
  const auto world = made<InodeWorld>();
  auto file = world->create("b");
  must(file->pwrite(0, bytes("dirty")));
  must(file->inode().set_xflag_dax(XflagDax::set));
  file.reset();
  {
    const auto visited = world->fs->inodes_in_core();
    EXPECT_FALSE(is_dax(world->open("b")));
  }
  EXPECT_TRUE(is_dax(world->open("b")));
  EXPECT_EQ(world->fs->inodes_in_core().size(), 1U);
  EXPECT_EQ(world->content("b"), "dirty");
}

// Where the mount decides alone, the inode stays in core, and as it is.
TEST(DaxFlag, EvictsNothingWhereTheMountDecides) {
  const auto world = made<NeverWorld>();
  auto file = world->create("b");
  const Inode* const inode = &file->inode();
  must(file->inode().set_xflag_dax(XflagDax::set));
  file.reset();
  EXPECT_EQ(&world->open("b")->inode(), inode);
}

// --- nothing is lost ---

// What is dirty in the page cache when a file becomes direct, and what is dirty in the index when it stops to be.
TEST(DaxFlag, DirtyPagesComeAlong) {
  const auto world = made<InodeWorld>();
  for (const char name : {'a', 'b'}) {
    const std::string file_name(1, name);
    for (int times = 0; times < 4; ++times) {
      auto file = times == 0 ? world->create(file_name) : world->open(file_name);
      const bool before = is_dax(file);
      const char value = static_cast<char>('A' + times);
      must(file->pwrite(0, bytes(std::string(2 * kPage, value))));
      {
        Area area(*world, file);
        area.store(kPage + 7, '!');
      }
      must(file->inode().set_xflag_dax(before ? XflagDax::clear : XflagDax::set));
      file.reset();

      file = world->open(file_name);
      EXPECT_EQ(is_dax(file), !before);
      std::string expected(2 * kPage, value);
      expected[kPage + 7] = '!';
      EXPECT_EQ(world->content(file_name), expected);
      Area area(*world, file);
      EXPECT_EQ(area.load(kPage + 7), '!');
    }
  }
}

// A file that cannot be written back stays in core as it is, and becomes what it shall be when it can.
TEST(DaxFlag, WhatCannotBeWrittenBackIsNotEvicted) {
  const auto world = made<InodeWorld>();
  auto file = world->create("b");
  must(file->pwrite(0, bytes("dirty")));
  must(file->inode().set_xflag_dax(XflagDax::set));
  file.reset();
  world->view->fails_from = 1;
  file = world->open("b");
  EXPECT_FALSE(is_dax(file));
  EXPECT_EQ(world->content("b"), "dirty");
  world->view->fails_from = 0;
  file.reset();

  EXPECT_TRUE(is_dax(world->open("b")));
  EXPECT_EQ(world->content("b"), "dirty");
}

// A file without a name goes for good, also one that was to leave core.
TEST(DaxFlag, AnUnlinkedFileIsGone) {
  const auto world = made<InodeWorld>();
  const std::uint64_t free_before = must(world->fs->space()).free_pages;
  auto file = world->create("b");
  must(file->pwrite(0, bytes(std::string(3 * kPage, 'b'))));
  must(file->inode().set_xflag_dax(XflagDax::set));
  file.reset();
  file = world->open("b");
  must(world->fs->unlink("b"));
  EXPECT_EQ(world->fs->open("b").error(), Errno::enoent);
  file.reset();
  EXPECT_EQ(must(world->fs->space()).free_pages, free_before);
}

// --- a file that is not direct ---

// It goes through the page cache: no entry, no page of the device is mapped, and the medium sees a store at fsync.
TEST(DaxFlag, AFileWithoutSDaxIsCached) {
  const auto world = made<NeverWorld>();
  const auto file = world->create("b");
  must(file->truncate(2 * kPage));
  Area area(*world, file);
  area.store(kPage, 's');
  EXPECT_TRUE(file->inode().mapping().pages().empty());
  EXPECT_EQ(world->memory.find(area.process.pte(area.address + kPage).pfn).attachment, nullptr);
  must(file->fsync());
  const FileExtent extent = must(file->inode().direct_access({{1}, 1}, Access::read));
  EXPECT_EQ(extent.kind, FileExtent::Kind::not_direct);
  EXPECT_EQ(world->medium->image()[byte_of(extent.device_page)], std::byte{'s'});
}

// MAP_SYNC is for direct files.
TEST(DaxFlag, MapSyncIsRefusedWithoutSDax) {
  const auto world = made<InodeWorld>();
  Process process(world->system, 1);
  for (const char* const name : {"a", "b"}) {
    const auto file = world->create(name);
    must(file->truncate(kPage));
    const auto mapped = process.mmap(file, {.sync = MapSync::yes});
    EXPECT_EQ(mapped.ok(), is_dax(file));
    if (!mapped.ok()) {
      EXPECT_EQ(mapped.error(), Errno::eopnotsupp);
    }
  }
}

// Both copies of a file that is kept twice, also when the page cache writes it back; and its blocks move.
TEST(DaxFlag, CopiesAndBalanceOfACachedFile) {
  ChunkWorld world(ChunkProfile::dup, 512_KiB);
  world.mkfs();
  must(world.adopt(ChunkFs::mount(world.context, world.devices, {.dax = DaxOption::never})));
  const auto file = world.create("b");
  must(file->pwrite(0, bytes(std::string(3 * kPage, 'w'))));
  Area area(world, file);
  area.store(kPage, 's');
  must(file->fsync());
  EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 0U);

  area.store(kPage + 1, 't');
  must(ChunkFs::balance(*world.fs, world.chunk_of(file, {0})));
  EXPECT_EQ(area.load(kPage), 's');
  EXPECT_EQ(area.load(kPage + 1), 't');
  area.store(2 * kPage, 'u');
  must(file->fsync());
  EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 0U);
  Random random(1);
  ChunkWorld after(ChunkProfile::dup, world.image_after_cut(RamView::Outcome::nothing, random));
  after.mount();
  std::string expected(3 * kPage, 'w');
  expected.replace(kPage, 2, "st");
  expected[2 * kPage] = 'u';
  EXPECT_EQ(after.content("b"), expected);
}

// The blocks of a page move while it is being written back: the move waits, or what is written would be left behind.
TEST(DaxFlag, ABalanceWaitsForTheWriteBackOfACachedPage) {
  ChunkWorld world(ChunkProfile::single, 512_KiB);
  world.mkfs();
  must(world.adopt(ChunkFs::mount(world.context, world.devices, {.dax = DaxOption::never})));
  const auto file = world.create("b");
  must(file->pwrite(0, bytes(std::string(kPage, 'w'))));
  Parking parking;
  std::atomic<bool> armed{true};
  world.before_each_step([&] {
    if (armed.exchange(false)) {
      parking.stop_here();
    }
  });
  {
    BlockedThread fsync([&] { must(file->fsync()); });
    parking.wait_until_parked();
    BlockedThread balance([&] { must(ChunkFs::balance(*world.fs, world.chunk_of(file, {0}))); });
    EXPECT_TRUE(balance.blocks());
    parking.let_go();
  }
  world.before_each_step({});
  world.fs->shutdown(Errno::eio);  // nothing of the page cache reaches the device any more
  ChunkWorld after(ChunkProfile::single, world.image());
  after.mount();
  EXPECT_EQ(after.content("b"), std::string(kPage, 'w'));
}

// --- power cuts ---

TEST(DaxFlagCrash, EveryPointOfAWorkloadOfCachedFiles) { cut_varied_program_everywhere<NeverWorld>(); }
TEST(DaxFlagCrash, EveryPointOfAWorkloadOfFilesThatChange) { cut_varied_program_everywhere<InodeWorld>(); }
RC_GTEST_PROP(DaxFlagCrash, RandomProgramsOfCachedFiles, ()) { cut_random_programs<NeverWorld>(); }
RC_GTEST_PROP(DaxFlagCrash, RandomProgramsOfFilesThatChange, ()) { cut_random_programs<InodeWorld>(); }

// Files that share blocks, some direct and some not: a dirty page of the page cache goes to a block of its file's own.
class SharingWorld final : public ReflinkWorld {
 public:
  using ReflinkWorld::ReflinkWorld;
  Result<void> try_mount() override {
    return adopt(RealtimeFs::mount(context, *device, *realtime, {.dax = DaxOption::inode}));
  }
  Result<std::shared_ptr<Inode>> try_create(std::string_view name) override {
    {
      DAXSIM_TRY(const std::shared_ptr<Inode> inode, ReflinkWorld::try_create(name));
      DAXSIM_TRY_VOID(inode->set_xflag_dax(name.back() % 2 != 0 ? XflagDax::set : XflagDax::clear));
    }
    return fs->open(name);
  }
};

TEST(DaxFlagCrash, EveryPointOfAWorkloadOfFilesThatShareBlocks) { cut_varied_program_everywhere<SharingWorld>(); }
RC_GTEST_PROP(DaxFlagCrash, RandomProgramsOfFilesThatShareBlocks, ()) { cut_random_programs<SharingWorld>(); }

// A clone sees what its source had, and nothing that is stored to the source afterwards, through a page that was writable
// before; and the other way round.
TEST(DaxFlag, CachedFilesShareBlocks) {
  const auto world = made<SharingWorld>();
  {
    const auto source = world->create("b");
    const auto clone = world->create("d");
    must(source->truncate(2 * kPage));
    Area area(*world, source);
    area.store(0, 's');
    area.store(kPage, 's');
    must(clone->reflink(*source, {0, 0}, 0));
    area.store(0, '!');
    must(clone->pwrite(kPage, bytes("?")));
    must(world->fs->sync());
  }
  world->remount();
  EXPECT_EQ(world->content("b")[0], '!');
  EXPECT_EQ(world->content("b")[kPage], 's');
  EXPECT_EQ(world->content("d")[0], 's');
  EXPECT_EQ(world->content("d")[kPage], '?');
}

}  // namespace
}  // namespace daxsim::test
