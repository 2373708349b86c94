// SPDX-License-Identifier: BSD-3-Clause
// Names, space, sync, unmount, and the files that are unlinked while open.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;
using ::testing::ElementsAre;

constexpr std::uint64_t kPage = kPageSize;

class LinearFileSystem : public ::testing::Test {
 protected:
  LinearFileSystem() { world.make(); }

  std::vector<std::string> names() {
    std::vector<std::string> found;
    for (const DirectoryEntry& entry : must(world.fs->list())) {
      found.push_back(entry.name);
    }
    return found;
  }
  std::uint64_t free_pages() { return must(world.fs->space()).free_pages; }
  void write_file(std::string_view name, std::string_view text) { must(world.create(name)->pwrite(0, bytes(text))); }

  LinearWorld world{1_MiB};
};

TEST_F(LinearFileSystem, KeepsFilesOverUnmountAndMount) {
  // What was written before an unmount is there after the next mount, without any fsync.
  write_file("/a", "hello");
  must(world.fs->unmount());
  world.remount();
  EXPECT_EQ(world.content("a"), "hello");
}

TEST_F(LinearFileSystem, FsyncSurvivesTheDeathOfTheProcess) {
  // A commit is enough: nothing was unmounted.
  const auto file = world.create("a");
  must(file->pwrite(5000, bytes("hello")));
  must(file->fsync());
  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(after.content("a"), std::string(5000, '\0') + "hello");
}

TEST_F(LinearFileSystem, DestructionWritesNothing) {
  // Destroying a mounted file system is a crash: what nobody synced is gone.
  write_file("a", "hello");
  world.remount();
  EXPECT_THAT(names(), ElementsAre());
}

TEST_F(LinearFileSystem, ListsNamesInOrderWithSizes) {
  // Ascending by name, whatever the order of creation.
  write_file("b", "22");
  write_file("a", "1");
  write_file("c", "");
  const auto entries = must(world.fs->list());
  ASSERT_EQ(entries.size(), 3U);
  EXPECT_EQ(entries[0].name + entries[1].name + entries[2].name, "abc");
  EXPECT_EQ(entries[0].size, 1U);
  EXPECT_EQ(entries[1].size, 2U);
  EXPECT_EQ(entries[1].ino, world.open("b")->inode().number());
}

TEST_F(LinearFileSystem, RefusesBadNames) {
  // In every call that takes a name.
  const std::string longest(255, 'x');
  for (const std::string& bad : {std::string(), std::string("/"), std::string("."), std::string(".."),
                                 std::string("a/b"), std::string("//a"), std::string("a\0b", 3)}) {
    EXPECT_EQ(world.fs->create(bad).error(), Errno::einval) << bad;
    EXPECT_EQ(world.fs->open(bad).error(), Errno::einval) << bad;
    EXPECT_EQ(world.fs->unlink(bad).error(), Errno::einval) << bad;
    EXPECT_EQ(world.fs->rename(bad, "a").error(), Errno::einval) << bad;
    EXPECT_EQ(world.fs->rename("a", bad).error(), Errno::einval) << bad;
  }
  EXPECT_EQ(world.fs->create(longest + "x").error(), Errno::enametoolong);
  EXPECT_EQ(world.fs->open(longest + "x").error(), Errno::enametoolong);
  EXPECT_EQ(world.fs->unlink(longest + "x").error(), Errno::enametoolong);
  EXPECT_EQ(world.fs->rename("a", longest + "x").error(), Errno::enametoolong);
  EXPECT_TRUE(world.fs->create("/" + longest).ok());
  must(world.fs->unmount());
  world.remount();
  EXPECT_THAT(names(), ElementsAre(longest));
}

TEST_F(LinearFileSystem, NamesExistOnce) {
  // eexist and enoent, and a file opened twice is one inode.
  write_file("a", "1");
  EXPECT_EQ(world.fs->create("/a").error(), Errno::eexist);
  EXPECT_EQ(world.fs->open("b").error(), Errno::enoent);
  EXPECT_EQ(world.fs->unlink("b").error(), Errno::enoent);
  EXPECT_EQ(world.fs->rename("b", "c").error(), Errno::enoent);
  EXPECT_EQ(must(world.fs->open("a")), must(world.fs->open("/a")));
}

TEST_F(LinearFileSystem, RenameReplacesAndKeepsTheInode) {
  // The old target is gone, also after a crash; renaming to itself does nothing.
  write_file("a", "new");
  write_file("b", "old");
  const std::uint64_t ino = world.open("a")->inode().number();
  must(world.fs->rename("a", "a"));
  must(world.fs->rename("a", "b"));
  must(world.fs->sync());
  world.remount();
  EXPECT_THAT(names(), ElementsAre("b"));
  EXPECT_EQ(world.content("b"), "new");
  EXPECT_EQ(world.open("b")->inode().number(), ino);
}

TEST_F(LinearFileSystem, RunsOutOfFiles) {
  // The number of files is fixed by mkfs; one that goes makes room for one.
  LinearWorld small(1_MiB);
  small.mkfs({.files = 2});
  small.mount();
  small.create("a");
  small.create("b");
  EXPECT_EQ(small.fs->create("c").error(), Errno::enospc);
  must(small.fs->unlink("a"));
  EXPECT_TRUE(small.fs->create("c").ok());
}

TEST_F(LinearFileSystem, CreateWithoutMemoryChangesNothing) {
  // The n-th allocation fails, for each n until it works.
  unsigned failures = 0;
  for (std::uint64_t nth = 1;; ++nth) {
    world.arena.fail_from(nth);
    const auto made = world.fs->create("a");
    world.arena.fail_from(0);
    if (made.ok()) {
      break;
    }
    ++failures;
    ASSERT_EQ(made.error(), Errno::enomem);
    ASSERT_EQ(world.fs->open("a").error(), Errno::enoent);
  }
  EXPECT_GT(failures, 0U);
}

TEST_F(LinearFileSystem, UnlinkedFileLivesUntilItsLastUse) {
  // It can be read and written, has no name, and its blocks come back when it is closed.
  const std::uint64_t free = free_pages();
  auto file = world.create("a");
  must(file->pwrite(0, bytes("hello")));
  must(world.fs->unlink("a"));
  EXPECT_EQ(free_pages(), free - 1);
  write_file("a", "another");

  std::string text(5, ' ');
  must(file->pread(0, std::as_writable_bytes(std::span(text))));
  EXPECT_EQ(text, "hello");
  must(file->pwrite(kPage, bytes("more")));

  file.reset();
  EXPECT_EQ(free_pages(), free - 1);
  EXPECT_EQ(world.content("a"), "another");
}

TEST_F(LinearFileSystem, UnlinkedFileIsFreedByTheNextMount) {
  // A crash between unlink and close leaks nothing.
  const std::uint64_t free = free_pages();
  const auto file = world.create("a");
  must(file->pwrite(0, bytes("hello")));
  must(world.fs->unlink("a"));
  must(file->fsync());

  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(must(after.fs->space()).free_pages, free);
  EXPECT_TRUE(must(after.fs->list()).empty());
}

TEST_F(LinearFileSystem, UnmountWaitsForNobody) {
  // It refuses while a file is open, named or not, and nothing works after it.
  auto file = world.create("a");
  EXPECT_EQ(world.fs->unmount().error(), Errno::ebusy);
  must(world.fs->unlink("a"));
  EXPECT_EQ(world.fs->unmount().error(), Errno::ebusy);
  auto inode = file->inode().shared_from_this();
  file.reset();
  EXPECT_EQ(world.fs->unmount().error(), Errno::ebusy);
  inode.reset();
  must(world.fs->unmount());

  EXPECT_EQ(world.fs->unmount().error(), Errno::eio);
  EXPECT_EQ(world.fs->create("b").error(), Errno::eio);
  EXPECT_EQ(world.fs->open("b").error(), Errno::eio);
  EXPECT_EQ(world.fs->unlink("b").error(), Errno::eio);
  EXPECT_EQ(world.fs->rename("b", "c").error(), Errno::eio);
  EXPECT_EQ(world.fs->list().error(), Errno::eio);
  EXPECT_EQ(world.fs->sync().error(), Errno::eio);
  EXPECT_EQ(world.fs->space().error(), Errno::eio);
}

TEST_F(LinearFileSystem, UnmountLetsGoOfTheDevice) {
  // The next holder may come, also when the file system was shut down.
  must(world.fs->unmount());
  world.remount();
  world.fs->shutdown(Errno::eio);
  must(world.fs->unmount());
  world.remount();
}

TEST_F(LinearFileSystem, ShutDownRefusesEverything) {
  // With the reason that it was shut down for.
  const auto file = world.create("a");
  world.fs->shutdown(Errno::eshutdown);
  const std::uint64_t steps = world.view->steps;
  EXPECT_EQ(world.fs->create("b").error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->open("a").error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->unlink("a").error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->rename("a", "b").error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->list().error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->sync().error(), Errno::eshutdown);
  EXPECT_EQ(world.fs->space().error(), Errno::eshutdown);
  Inode& inode = file->inode();
  std::string text(1, ' ');
  EXPECT_EQ(inode.read(0, std::as_writable_bytes(std::span(text))).error(), Errno::eshutdown);
  EXPECT_EQ(inode.write(0, bytes("x")).error(), Errno::eshutdown);
  EXPECT_EQ(inode.truncate(1).error(), Errno::eshutdown);
  EXPECT_EQ(inode.fallocate(Fallocate::allocate, {0, 1}).error(), Errno::eshutdown);
  EXPECT_EQ(inode.fsync_range({0, 1}, Datasync::no).error(), Errno::eshutdown);
  EXPECT_EQ(inode.direct_access({{0}, 1}, Access::read).error(), Errno::eshutdown);
  EXPECT_EQ(world.view->steps, steps);
}

TEST_F(LinearFileSystem, FsyncCommitsOnceAndThenFlushesTheDeviceOnly) {
  // As recorded: the first fsync commits, each further one is one cache flush.
  const auto file = world.create("a");
  must(file->pwrite(0, bytes("hello")));
  const std::uint64_t commits = world.count(EventType::journal_commit);
  must(file->fsync());
  EXPECT_EQ(world.count(EventType::journal_commit), commits + 1);

  const std::uint64_t fences = world.count(EventType::blkdev_issue_flush);
  must(file->fsync());
  must(file->fdatasync());
  EXPECT_EQ(world.count(EventType::journal_commit), commits + 1);
  EXPECT_EQ(world.count(EventType::blkdev_issue_flush), fences + 2);
}

TEST_F(LinearFileSystem, SkippedFenceIsSkipped) {
  // The step that a test of forgotten fences leaves out (Step::fence).
  LinearWorld careless(world.medium->image(), Policy{}.without(Step::fence));
  careless.mount();
  const auto file = careless.create("a");
  must(file->fsync());
  const std::uint64_t fences = careless.count(EventType::blkdev_issue_flush);
  must(file->fsync());
  EXPECT_EQ(careless.count(EventType::blkdev_issue_flush), fences);
}

TEST_F(LinearFileSystem, FsyncOfACleanFileLeavesOthersAlone) {
  // It flushes, but commits nothing.
  const auto clean = world.create("clean");
  must(clean->fsync());
  write_file("other", "x");
  const std::uint64_t commits = world.count(EventType::journal_commit);
  must(clean->fsync());
  EXPECT_EQ(world.count(EventType::journal_commit), commits);
}

TEST_F(LinearFileSystem, FailedCommitShutsDownAndKeepsTheOldState) {
  // The host disk is full when the log is written.
  write_file("a", "old");
  must(world.fs->sync());
  write_file("b", "new");
  world.view->fails_from = world.view->steps + 1;
  EXPECT_EQ(world.fs->sync().error(), Errno::eio);
  EXPECT_EQ(world.fs->list().error(), Errno::eio);
  EXPECT_EQ(world.count(EventType::fs_shutdown), 1U);

  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(must(after.fs->list()).size(), 1U);
  EXPECT_EQ(after.content("a"), "old");
}

TEST_F(LinearFileSystem, FullDeviceLosesNothing) {
  // pwrite is short and then enospc; what fits is there; removing a file makes room at once.
  const std::string page(kPage, 'x');
  std::uint64_t written = 0;
  {
    const auto big = world.create("big");
    for (;; written += kPage) {
      const auto result = big->pwrite(written, bytes(page));
      if (!result.ok()) {
        EXPECT_EQ(result.error(), Errno::enospc);
        break;
      }
      EXPECT_EQ(*result, kPage);
    }
    EXPECT_EQ(free_pages(), 0U);
    EXPECT_EQ(big->inode().size(), written);
    EXPECT_EQ(big->truncate(written + 10).ok(), true);
    EXPECT_EQ(big->fallocate(Fallocate::allocate, {0, written + kPage}).error(), Errno::enospc);
  }
  EXPECT_EQ(world.fs->create("empty").ok(), true);
  must(world.fs->sync());
  world.remount();
  EXPECT_EQ(world.content("big"), std::string(written, 'x') + std::string(10, '\0'));

  must(world.fs->unlink("big"));
  const std::string longer(3 * kPage, 'y');
  EXPECT_EQ(must(world.open("empty")->pwrite(0, bytes(longer))), longer.size());
  EXPECT_EQ(world.content("empty"), longer);
}

TEST_F(LinearFileSystem, PwriteIsShortWhenSpaceRunsOut) {
  // What was written is counted, and the file ends there.
  const std::uint64_t free = free_pages();
  const std::string too_long((free + 3) * kPage, 'z');
  const auto file = world.create("a");
  EXPECT_EQ(must(file->pwrite(0, bytes(too_long))), free * kPage);
  EXPECT_EQ(file->inode().size(), free * kPage);
}

TEST_F(LinearFileSystem, SpaceComesBack) {
  // Whatever is made and removed, nothing leaks, over many checkpoints.
  const std::uint64_t free = free_pages();
  for (int round = 0; round < 200; ++round) {
    const auto file = world.create("a");
    must(file->pwrite(0, bytes(std::string(20 * kPage, 'x'))));
    must(file->fallocate(Fallocate::punch_hole, {3 * kPage, 5 * kPage}));
    must(file->truncate(10 * kPage));
    must(file->fsync());
    must(world.fs->unlink("a"));
  }
  EXPECT_EQ(free_pages(), free);
  must(world.fs->unmount());
  world.remount();
  EXPECT_EQ(free_pages(), free);
  EXPECT_EQ(must(world.fs->space()).total_pages, free);
}

TEST_F(LinearFileSystem, LogFillsManyTimes) {
  // More commits than the log holds: checkpoints come in between and nothing is lost.
  const auto file = world.create("a");
  std::string expected;
  for (int i = 0; i < 2000; ++i) {
    const std::string piece(1 + static_cast<std::size_t>(i % 7), static_cast<char>('a' + i % 26));
    must(file->pwrite(expected.size(), bytes(piece)));
    must(file->fsync());
    expected += piece;
  }
  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(after.content("a"), expected);
}

TEST_F(LinearFileSystem, EndsWithAnEmptyArena) {
  // Every extent, file and entry goes with the file system.
  write_file("a", std::string(10 * kPage, 'x'));
  auto file = world.create("b");
  must(world.fs->unlink("b"));
  file.reset();
  must(world.fs->unmount());
  world.fs.reset();
  EXPECT_EQ(world.arena.usage().in_use, 0U);
}

}  // namespace
}  // namespace daxsim
