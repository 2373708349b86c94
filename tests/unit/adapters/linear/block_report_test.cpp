// SPDX-License-Identifier: BSD-3-Clause
// What a file says of its blocks: stat, fiemap and lseek, against what ext4 and XFS said (oracle, workloads a to c, f, g, m).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <string>
#include <vector>

#include "daxsim/mm/process.hpp"
#include "support/error_of.hpp"
#include "support/fiemap_text.hpp"
#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;

constexpr std::uint64_t kPage = kPageSize;

class BlockReport : public ::testing::Test {
 protected:
  BlockReport() {
    world.make();
    file = world.create("f");
    must(file->truncate(16 * kPage));
    mapped = must(process.mmap(file, {}));
  }
  // As FS_IOC_FIEMAP tells it, in pages: "0+4 8+4uL" has an unwritten extent that is the last.
  std::string fiemap(ByteRange range = {0, 16 * kPage}) { return test::fiemap_text(must(file->fiemap(range))); }
  Result<std::uint64_t> seek_data(std::uint64_t offset) { return file->seek(offset, Seek::data); }
  Result<std::uint64_t> seek_hole(std::uint64_t offset) { return file->seek(offset, Seek::hole); }
  void fill(std::uint64_t pages) { must(file->pwrite(0, bytes(std::string(pages * kPage, 'x')))); }
  void load(std::uint64_t page) { EXPECT_TRUE(process.load<char>(mapped + page * kPage).ok()); }
  void store(std::uint64_t page) { EXPECT_TRUE(process.store(mapped + page * kPage, 'y').ok()); }

  LinearWorld world{16_MiB};
  Process process{world.system, 1};
  std::shared_ptr<OpenFile> file;
  std::uint64_t mapped = 0;
};

TEST_F(BlockReport, StatCountsAllocatedBlocks) {
  // In units of 512 bytes: a hole that was read has none, unwritten blocks count, and so do those behind the end.
  load(0);
  EXPECT_EQ(file->statx().blocks, 0U);
  fill(1);
  EXPECT_EQ(file->statx().blocks, 8U);
  store(3);
  EXPECT_EQ(file->statx().blocks, 16U);
  must(file->fallocate(Fallocate::allocate_keep_size, {16 * kPage, 4 * kPage}));
  EXPECT_EQ(file->statx().blocks, 48U);
  must(file->truncate(3 * kPage + kPage / 2));
  EXPECT_EQ(file->statx().blocks, 16U);
  must(file->fallocate(Fallocate::punch_hole, {0, kPage}));
  EXPECT_EQ(file->statx().blocks, 8U);
}

TEST_F(BlockReport, FiemapJoinsWhatFollowsEachOther) {
  // b8, b10: two blocks from two faults are one extent, before and after the fsync.
  store(1);
  load(3);
  store(2);
  EXPECT_EQ(fiemap(), "1+2L");
  must(file->fsync());
  EXPECT_EQ(fiemap(), "1+2L");
}

TEST_F(BlockReport, FiemapTellsWhatIsUnwritten) {
  // c0, c10 as XFS: each store converts its page.
  fill(4);
  must(file->fallocate(Fallocate::allocate, {8 * kPage, 4 * kPage}));
  EXPECT_EQ(fiemap(), "0+4 8+4uL");
  load(8);
  EXPECT_EQ(fiemap(), "0+4 8+4uL");
  store(8);
  store(9);
  EXPECT_EQ(fiemap(), "0+4 8+2 10+2uL");
}

TEST_F(BlockReport, FiemapAnswersForTheRange) {
  // m16: whole pages of the range and no others, and the last of them is called the last.
  fill(16);
  must(file->fallocate(Fallocate::punch_hole, {5 * kPage, kPage}));
  must(file->fallocate(Fallocate::allocate, {5 * kPage, kPage}));
  EXPECT_EQ(fiemap({4 * kPage, 3 * kPage}), "4+1 5+1u 6+1L");
  EXPECT_EQ(fiemap({4 * kPage + 1, 1}), "4+1L");
  // Behind the end of the file, and behind all files.
  must(file->fallocate(Fallocate::allocate_keep_size, {20 * kPage, kPage}));
  EXPECT_EQ(fiemap({16 * kPage, ~std::uint64_t{0}}), "20+1uL");
  EXPECT_EQ(fiemap({kLastFileByte - 1, 1}), "");
  EXPECT_EQ(support::errno_of(file->fiemap({0, 0})), Errno::einval);
}

TEST_F(BlockReport, FiemapNamesThePlaceOnTheDevice) {
  store(7);
  const FileExtent here = must(file->inode().direct_access({{7}, 1}, Access::read));
  const std::vector<FiemapExtent> extents = must(file->fiemap({0, 16 * kPage}));
  EXPECT_THAT(extents, ::testing::ElementsAre(FiemapExtent{.logical = 7 * kPage,
                                                           .physical = byte_of(here.device_page),
                                                           .length = kPage,
                                                           .flags = kFiemapExtentLast,
                                                           .device = world.device.get()}));
}

TEST_F(BlockReport, FiemapAsksNoDevice) {
  // g0: nothing is emitted but what the calls before have emitted.
  store(0);
  const std::uint64_t before = world.events.next_id();
  EXPECT_EQ(fiemap(), "0+1L");
  EXPECT_EQ(must(seek_data(0)), 0U);
  EXPECT_EQ(world.events.next_id(), before);
}

TEST_F(BlockReport, SeekFindsDataAndHoles) {
  // a6, b8: a mapped hole is a hole; the end of the file is one, too.
  load(0);
  EXPECT_EQ(support::errno_of(seek_data(0)), Errno::enxio);
  EXPECT_EQ(must(seek_hole(0)), 0U);
  store(1);
  store(2);
  EXPECT_EQ(must(seek_data(0)), kPage);
  EXPECT_EQ(must(seek_data(kPage + 5)), kPage + 5);
  EXPECT_EQ(must(seek_hole(kPage)), 3 * kPage);
  EXPECT_EQ(must(seek_hole(3 * kPage + 7)), 3 * kPage + 7);
  must(file->truncate(3 * kPage - 10));
  EXPECT_EQ(must(seek_hole(kPage)), 3 * kPage - 10);
  EXPECT_EQ(support::errno_of(seek_hole(3 * kPage - 10)), Errno::enxio);
}

TEST_F(BlockReport, SeekTakesUnwrittenBlocksForHoles) {
  // Also where one was read, and where they lie behind the end.
  must(file->fallocate(Fallocate::allocate, {8 * kPage, 4 * kPage}));
  load(8);
  EXPECT_EQ(support::errno_of(seek_data(0)), Errno::enxio);
  EXPECT_EQ(must(seek_hole(8 * kPage)), 8 * kPage);
  store(9);
  EXPECT_EQ(must(seek_data(0)), 9 * kPage);
}

TEST_F(BlockReport, AnswersNothingWhenShutDown) {
  fill(1);
  world.fs->shutdown(Errno::eio);
  EXPECT_EQ(support::errno_of(file->fiemap({0, 1})), Errno::eio);
  EXPECT_EQ(support::errno_of(seek_data(0)), Errno::eio);
}

TEST_F(BlockReport, AnUnlinkedFileLivesUnderItsMapping) {
  // f27 to f31: closed and without a name, it is loaded from and stored to until munmap, and then its blocks are free.
  const std::uint64_t free = must(world.fs->space()).free_pages;
  fill(2);
  store(2);
  must(world.fs->unlink("f"));
  Inode& inode = file->inode();
  file.reset();
  EXPECT_EQ(process.load<char>(mapped + kPage).value(), 'x');
  EXPECT_EQ(process.load<char>(mapped + 2 * kPage).value(), 'y');
  store(3);
  must(inode.truncate(0));
  EXPECT_EQ(process.load<char>(mapped).error().code, BUS_ADRERR);
  must(process.munmap(mapped, 16 * kPage));
  must(world.fs->sync());
  EXPECT_EQ(must(world.fs->space()).free_pages, free);
}

}  // namespace
}  // namespace daxsim
