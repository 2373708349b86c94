// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/open_file.hpp"

#include <gtest/gtest.h>

#include <array>

#include "daxsim/dax/dax.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::array kBytes{std::byte{1}, std::byte{2}};

OpenFile open(World& world, OpenMode mode) { return {world.super_block, world.file, mode}; }

// A read-only handle reads and syncs, and modifies nothing.
TEST(OpenFile, ReadOnlyRefusesChanges) {
  World world;
  OpenFile file = open(world, OpenMode::read_only);
  std::array<std::byte, 2> got{};

  EXPECT_EQ(must(file.pread(0, got)), 2U);
  EXPECT_TRUE(file.fsync().ok());
  EXPECT_TRUE(file.fdatasync().ok());
  EXPECT_ERRNO(file.pwrite(0, kBytes), Errno::ebadf);
  EXPECT_ERRNO(file.truncate(0), Errno::einval);
  EXPECT_ERRNO(file.fallocate(Fallocate::punch_hole, {0, kPageSize}), Errno::ebadf);
  EXPECT_EQ(world.file->size(), (2 * kPagesPerPmd) << kPageShift);
}

// After a shutdown every call answers its reason, before it looks at the handle's mode.
TEST(OpenFile, DeadFileSystem) {
  for (const Errno reason : {Errno::eio, Errno::eshutdown}) {
    World world;
    OpenFile file = open(world, OpenMode::read_only);
    world.super_block->shutdown(reason);
    std::array<std::byte, 2> got{};

    EXPECT_ERRNO(file.pread(0, got), reason);
    EXPECT_ERRNO(file.pwrite(0, kBytes), reason);
    EXPECT_ERRNO(file.truncate(0), reason);
    EXPECT_ERRNO(file.fallocate(Fallocate::allocate, {0, 1}), reason);
    EXPECT_ERRNO(file.fsync(), reason);
    EXPECT_ERRNO(file.fsync(), reason);
  }
}

// statx(2) says that a file is direct. FS_XFLAG_DAX is not every file system's.
TEST(OpenFile, NotEveryFileSystemHasAFlag) {
  World world;
  const OpenFile file = open(world, OpenMode::read_only);
  EXPECT_EQ(file.statx().attributes, kStatxAttrDax);
  EXPECT_EQ(file.statx().size, world.file->size());
  EXPECT_EQ(file.statx().ino, world.file->number());
  EXPECT_EQ(file.statx().blocks, world.file->size() / kSectorSize);  // nor is there one who counts
  EXPECT_ERRNO(world.file->xflag_dax(), Errno::eopnotsupp);
  EXPECT_ERRNO(world.file->set_xflag_dax(XflagDax::set), Errno::eopnotsupp);
  EXPECT_ERRNO(world.super_block->xflag_dax(), Errno::eopnotsupp);
  EXPECT_ERRNO(world.super_block->set_xflag_dax(XflagDax::set), Errno::eopnotsupp);
}

// Nor do all tell where their blocks are: then there is no fiemap, and lseek takes all for data, as Linux does.
TEST(OpenFile, NotEveryFileSystemTellsOfItsBlocks) {
  World world;
  OpenFile file = open(world, OpenMode::read_only);
  EXPECT_ERRNO(file.fiemap({0, kPageSize}), Errno::eopnotsupp);
  EXPECT_EQ(must(file.seek(17, Seek::data)), 17U);
  EXPECT_EQ(must(file.seek(17, Seek::hole)), world.file->size());
  EXPECT_ERRNO(file.seek(world.file->size(), Seek::data), Errno::enxio);
}

// What a handle writes it reads back.
TEST(OpenFile, WritesAndReads) {
  World world;
  OpenFile file = open(world, OpenMode::read_write);
  std::array<std::byte, 2> got{};

  EXPECT_EQ(must(file.pwrite(kPageSize - 1, kBytes)), 2U);
  EXPECT_EQ(must(file.pread(kPageSize - 1, got)), 2U);
  EXPECT_EQ(got, kBytes);
  EXPECT_TRUE(file.fallocate(Fallocate::punch_hole, {0, kPageSize}).ok());
  EXPECT_TRUE(file.truncate(10).ok());
  EXPECT_EQ(world.file->size(), 10U);
}

// Every handle learns once of a write-back that failed, the one whose fsync met it at once.
TEST(OpenFile, WritebackErrorsAreReportedOnce) {
  World world;
  OpenFile one = open(world, OpenMode::read_write);
  OpenFile two = open(world, OpenMode::read_only);
  FakeVma area(*world.file, {}, kArea, {{0}, 1});
  ASSERT_TRUE(area.store({0}, 1).has_value());
  world.view().on_flush = [](ByteRange) { return Result<void>(Errno::enospc); };
  EXPECT_ERRNO(one.fsync(), Errno::enospc);
  world.view().on_flush = nullptr;

  EXPECT_TRUE(one.fsync().ok());
  EXPECT_ERRNO(two.fsync(), Errno::enospc);
  EXPECT_TRUE(two.fsync().ok());
  EXPECT_TRUE(open(world, OpenMode::read_only).fsync().ok());
}

// The bracket events of a sync have the kernel's inclusive pages and the result.
TEST(OpenFile, SyncEvents) {
  World world;
  OpenFile file = open(world, OpenMode::read_write);
  const std::uint64_t first = world.events.next_id();
  EXPECT_TRUE(file.fsync_range({2 << kPageShift, 2 << kPageShift}, Datasync::no).ok());
  world.super_block->shutdown(Errno::eio);
  EXPECT_ERRNO(file.fsync(), Errno::eio);

  std::vector<Event> events;
  for (const Event& event : world.events.since(first)) {
    if (event.type == EventType::fsync_start || event.type == EventType::fsync_done) {
      events.push_back(event);
    }
  }
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[0].pgoff.value, 2U);
  EXPECT_EQ(events[0].last, 3U);
  EXPECT_EQ(events[1].ret, 0);
  EXPECT_EQ(events[2].last, 0x7ffffffffffffU);
  EXPECT_EQ(events[3].ret, -EIO);
}

}  // namespace
}  // namespace daxsim::test
