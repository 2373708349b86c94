// SPDX-License-Identifier: BSD-3-Clause
// The calls of a mounted XipFs: what they show, what direct_access answers, and that nothing can be changed.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <string>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/xip.hpp"
#include "support/xip_world.hpp"

namespace daxsim {
namespace {

using test::Bytes;
using test::easy;
using test::errno_of;
using test::hard;
using test::joined;
using test::XipWorld;
using ::testing::ElementsAre;
using Kind = FileExtent::Kind;

constexpr std::uint64_t kPage = kPageSize;

// "bin/sh": page 0 compressed, 1 and 2 direct, 3 and 4 zeros, 5 compressed, a tail that is packed as it is.
const XipFile& shell() {
  static const XipFile file{"bin/sh", joined({easy(3 * kPage), Bytes(2 * kPage), easy(kPage, 9), hard(200)})};
  return file;
}
Bytes image_of_shell() {
  return must(XipFs::build(std::array{shell(), XipFile{"empty", {}}}, {.faults = {{"bin/sh", {{1, 1}, {2, 1}}}}}));
}

class Xip : public ::testing::Test {
 protected:
  Xip() { world.mount(); }
  FileExtent at(std::uint64_t page, std::uint64_t pages = 1) {
    return must(world.open_to_read("bin/sh")->inode().direct_access({{page}, pages}, Access::read));
  }
  XipWorld world{image_of_shell()};
};

TEST_F(Xip, ShowsItsFiles) {
  // By path, with or without a slash in front; the one that is open stays the same object.
  const auto entries = must(world.fs->list());
  ASSERT_EQ(entries.size(), 2U);
  EXPECT_EQ(entries[0].name, "bin/sh");
  EXPECT_EQ(entries[0].size, shell().bytes.size());
  EXPECT_EQ(entries[1].name, "empty");
  EXPECT_EQ(world.content_of("bin/sh"), shell().bytes);
  EXPECT_EQ(world.content_of("empty"), Bytes());
  EXPECT_EQ(must(world.fs->open("/bin/sh")), must(world.fs->open("bin/sh")));
  EXPECT_EQ(must(world.fs->open("bin/sh"))->number(), entries[0].ino);
  const SpaceUsage space = must(world.fs->space());
  EXPECT_EQ(byte_of(Pgoff{space.total_pages}), world.medium->size());
  EXPECT_EQ(space.free_pages, 0U);
}

TEST_F(Xip, OpenNamesItsErrors) {
  EXPECT_EQ(errno_of(world.fs->open("bin")), Errno::enoent);
  EXPECT_EQ(errno_of(world.fs->open("zzz")), Errno::enoent);
  EXPECT_EQ(errno_of(world.fs->open("bin//sh")), Errno::einval);
  EXPECT_EQ(errno_of(world.fs->open("")), Errno::einval);
  EXPECT_EQ(errno_of(world.fs->open(std::string(XipFs::kMaxName + 1, 'x'))), Errno::enametoolong);
}

TEST_F(Xip, DirectAccessAnswersByRange) {
  // Compressed pages one by one, direct ones and holes as a run, and nothing behind the end of the file.
  EXPECT_EQ(at(0, 9).kind, Kind::not_direct);
  EXPECT_EQ(at(0, 9).pages, (PageRange{{0}, 1}));
  EXPECT_EQ(at(0).device, world.device.get());
  const FileExtent direct = at(2, 9);
  EXPECT_EQ(direct.kind, Kind::memory);
  EXPECT_EQ(direct.pages, (PageRange{{2}, 1}));
  EXPECT_EQ(direct.extent, (PageRange{{1}, 2}));
  EXPECT_TRUE(std::equal(direct.memory.kaddr, direct.memory.kaddr + kPage, shell().bytes.begin() + 2 * kPage));
  EXPECT_EQ(at(1, 9).pages.pages, 2U);
  EXPECT_EQ(at(3, 9).kind, Kind::hole);
  EXPECT_EQ(at(4, 9).extent, (PageRange{{3}, 2}));
  EXPECT_EQ(at(6, 9).kind, Kind::not_direct);
  EXPECT_EQ(at(7, 9).kind, Kind::hole);
  EXPECT_EQ(at(7, 9).pages, (PageRange{{7}, 9}));
}

TEST_F(Xip, ReadsOfAnyLengthAreTheFile) {
  // Across all kinds of pages, from and to the middle of them.
  const auto file = world.open_to_read("bin/sh");
  for (const std::uint64_t offset :
       {std::uint64_t{0}, std::uint64_t{1}, kPage - 1, kPage, 3 * kPage + 7, 6 * kPage + 3}) {
    for (const std::uint64_t length : {std::uint64_t{1}, kPage, 2 * kPage + 1, 9 * kPage}) {
      Bytes bytes(length);
      const std::uint64_t expected = std::min(length, shell().bytes.size() - offset);
      ASSERT_EQ(must(file->pread(offset, bytes)), expected);
      ASSERT_TRUE(std::equal(bytes.begin(), bytes.begin() + static_cast<std::ptrdiff_t>(expected),
                             shell().bytes.begin() + static_cast<std::ptrdiff_t>(offset)));
    }
  }
  Bytes bytes(1);
  EXPECT_EQ(must(file->pread(shell().bytes.size(), bytes)), 0U);
  EXPECT_EQ(must(file->pread(~std::uint64_t{0}, bytes)), 0U);
}

TEST_F(Xip, WithDaxNeverAllIsCached) {
  // The same bytes, nothing direct, and no file that says it is.
  world.fs.reset();
  must(world.try_mount({.dax = DaxOption::never}));
  EXPECT_EQ(at(1).kind, Kind::not_direct);
  EXPECT_EQ(at(3).kind, Kind::not_direct);
  EXPECT_EQ(at(3).device, nullptr);
  EXPECT_EQ(world.content_of("bin/sh"), shell().bytes);
  EXPECT_EQ(world.open_to_read("bin/sh")->statx().attributes & kStatxAttrDax, 0U);
}

TEST_F(Xip, NothingCanBeChanged) {
  // Neither names nor files, not even past every handle.
  EXPECT_TRUE(world.fs->is_read_only());
  EXPECT_EQ(errno_of(world.fs->create("new")), Errno::erofs);
  EXPECT_EQ(errno_of(world.fs->unlink("bin/sh")), Errno::erofs);
  EXPECT_EQ(errno_of(world.fs->rename("bin/sh", "bin/ash")), Errno::erofs);
  EXPECT_EQ(errno_of(world.fs->create("")), Errno::einval);
  EXPECT_EQ(errno_of(world.fs->unlink("")), Errno::einval);
  EXPECT_EQ(errno_of(world.fs->rename("bin/sh", "")), Errno::einval);
  const auto file = world.open("bin/sh");
  EXPECT_EQ(errno_of(file->pwrite(0, test::bytes("x"))), Errno::ebadf);
  EXPECT_EQ(errno_of(file->inode().write(0, test::bytes("x"))), Errno::erofs);
  EXPECT_EQ(errno_of(file->inode().truncate(0)), Errno::erofs);
  EXPECT_EQ(errno_of(file->inode().fallocate(Fallocate::allocate, {0, kPage})), Errno::erofs);
  EXPECT_EQ(errno_of(file->inode().direct_access({{1}, 1}, Access::write)), Errno::erofs);
  EXPECT_EQ(errno_of(file->inode().direct_access({{3}, 1}, Access::write)), Errno::erofs);
  EXPECT_EQ(world.content_of("bin/sh"), shell().bytes);
}

TEST_F(Xip, SyncingHasNothingToDo) {
  const auto file = world.open_to_read("bin/sh");
  must(file->fsync());
  must(world.fs->sync());
  EXPECT_EQ(world.count(EventType::dax_flush), 0U);
  EXPECT_EQ(world.count(EventType::blkdev_issue_flush), 0U);
}

TEST_F(Xip, UnmountWaitsForNobody) {
  // Busy while a file is open; then the device is free, and the object of no use.
  auto file = world.open_to_read("bin/sh");
  EXPECT_EQ(errno_of(world.fs->unmount()), Errno::ebusy);
  file.reset();
  must(world.fs->unmount());
  EXPECT_EQ(errno_of(world.fs->unmount()), Errno::eio);
  EXPECT_EQ(errno_of(world.fs->open("bin/sh")), Errno::eio);
  EXPECT_EQ(errno_of(world.fs->list()), Errno::eio);
  EXPECT_EQ(errno_of(world.fs->sync()), Errno::eio);
  EXPECT_EQ(errno_of(world.fs->space()), Errno::eio);
  EXPECT_EQ(errno_of(world.fs->create("new")), Errno::eio);
  test::NobodysHolder holder;
  must(world.device->claim(holder));
  world.device->release(holder);
}

TEST_F(Xip, FilesOfADeadFileSystemAnswerEio) {
  const auto file = world.open("bin/sh");
  world.fs->shutdown(Errno::eio);
  Bytes bytes(1);
  EXPECT_EQ(errno_of(file->inode().read(0, bytes)), Errno::eio);
  EXPECT_EQ(errno_of(file->inode().write(0, bytes)), Errno::eio);
  EXPECT_EQ(errno_of(file->inode().truncate(0)), Errno::eio);
  EXPECT_EQ(errno_of(file->inode().fallocate(Fallocate::allocate, {0, 1})), Errno::eio);
  EXPECT_EQ(errno_of(file->inode().direct_access({{1}, 1}, Access::read)), Errno::eio);
  EXPECT_EQ(errno_of(file->inode().read_folio({1}, bytes)), Errno::eio);
  EXPECT_EQ(errno_of(file->fsync()), Errno::eio);
}

TEST_F(Xip, FilesOfAMachineWithoutPowerAnswerEshutdown) {
  const auto file = world.open("bin/sh");
  world.fs->shutdown(Errno::eshutdown);
  Bytes bytes(1);
  EXPECT_EQ(errno_of(file->inode().read(0, bytes)), Errno::eshutdown);
  EXPECT_EQ(errno_of(file->inode().read_folio({1}, bytes)), Errno::eshutdown);
}

TEST_F(Xip, WithoutMemoryACompressedPageIsEnomem) {
  // And nothing is left behind: with memory it can be read.
  const auto file = world.open_to_read("bin/sh");
  Bytes bytes(1);
  world.arena.fail_from(1);
  EXPECT_EQ(errno_of(file->pread(0, bytes)), Errno::enomem);
  world.arena.fail_from(0);
  EXPECT_EQ(must(file->pread(0, bytes)), 1U);
  EXPECT_EQ(bytes[0], shell().bytes[0]);
}

TEST_F(Xip, AMediaErrorIsAnIoErrorOfItsPage) {
  // Of a direct page and of a compressed one.
  const auto file = world.open_to_read("bin/sh");
  Bytes bytes(1);
  world.view->poisoned = at(1).device_page.value;
  EXPECT_EQ(errno_of(file->pread(kPage, bytes)), Errno::eio);
  EXPECT_EQ(must(file->pread(2 * kPage, bytes)), 1U);
  world.view->poisoned = at(0).device_page.value;
  EXPECT_EQ(errno_of(file->pread(0, bytes)), Errno::eio);
}

TEST_F(Xip, AProfileIsOfXipFsOnly) {
  EXPECT_TRUE(must(XipFs::recorded_profile(*world.fs)).faults.empty());
  test::LinearWorld linear(std::uint64_t{1} << 20);
  linear.make();
  EXPECT_EQ(errno_of(XipFs::recorded_profile(*linear.fs)), Errno::einval);
}

}  // namespace
}  // namespace daxsim
