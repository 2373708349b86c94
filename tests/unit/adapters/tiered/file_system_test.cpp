// SPDX-License-Identifier: BSD-3-Clause
// Where new blocks of a file come from, what moves them between its tiers, and what the calls for it answer.
#include <gtest/gtest.h>

#include <csignal>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/tiered_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;
using test::TieredWorld;

constexpr std::uint64_t kPage = kPageSize;
// Their names say where they go.
constexpr const char* kOnDirect = "b";
constexpr const char* kOnDisk = "a";

struct World {
  explicit World(std::uint64_t bytes = 1_MiB) : tiered(bytes) { tiered.make(); }

  std::shared_ptr<OpenFile> with_pages(const char* name, std::uint64_t pages) {
    const auto file = tiered.create(name);
    must(file->pwrite(0, bytes(std::string(pages * kPage, 'x'))));
    return file;
  }
  // For each page: d direct, c in the page cache, . a hole.
  static std::string tiers(const std::shared_ptr<OpenFile>& file) {
    std::string all;
    for (Pgoff page{0}; page.value < file->inode().size_in_pages(); page = page + 1) {
      const SharedLock valid(file->inode().mapping().invalidate_lock());
      const auto kind = must(file->inode().direct_access({page, 1}, Access::read)).kind;
      all += kind == FileExtent::Kind::memory ? 'd' : kind == FileExtent::Kind::not_direct ? 'c' : '.';
    }
    return all;
  }
  // Until no new block is on the direct device.
  void fill_direct() {
    const auto filler = tiered.create("filler0");
    must(TieredFs::set_foreground_target(filler->inode(), Tier::direct));
    for (std::uint64_t page = 0; tiers(filler).find('c') == std::string::npos; ++page) {
      must(filler->pwrite(page * kPage, bytes("x")));
    }
  }

  TieredWorld tiered;
};

TEST(TieredFiles, GetBlocksFromTheirForegroundTarget) {
  // Each from its own; when the target changes, what it has stays; over a crash and an unmount too.
  World world;
  {
    const auto direct = world.with_pages(kOnDirect, 2);
    const auto disk = world.with_pages(kOnDisk, 2);
    EXPECT_EQ(World::tiers(direct), "dd");
    EXPECT_EQ(World::tiers(disk), "cc");
    must(TieredFs::set_foreground_target(disk->inode(), Tier::direct));
    must(disk->pwrite(3 * kPage, bytes("x")));
    EXPECT_EQ(World::tiers(disk), "cc.d");
    must(world.tiered.fs->sync());
  }
  for (int life = 0; life < 2; ++life) {
    TieredWorld after(world.tiered.image());
    after.mount();
    const auto again = after.open(kOnDisk);
    EXPECT_EQ(World::tiers(again), "cc.d");
    must(again->pwrite(2 * kPage, bytes("x")));
    EXPECT_EQ(World::tiers(again), "ccdd");
    EXPECT_EQ(after.content(kOnDirect), std::string(2 * kPage, 'x'));
    must(world.tiered.fs->unmount());
    world.tiered.remount();
  }
}

TEST(TieredFiles, SpillOverBothWays) {
  // A full direct device, and a full disk: the other has the rest, and with both full there is no space.
  World world;
  world.fill_direct();
  EXPECT_EQ(World::tiers(world.with_pages(kOnDirect, 2)), "cc");
  const std::uint64_t left = must(world.tiered.fs->space()).free_pages;
  const auto last = world.tiered.create(kOnDisk);
  EXPECT_EQ(must(last->pwrite(0, bytes(std::string((left + 1) * kPage, 'x')))), left * kPage);
  EXPECT_ERRNO(last->pwrite(left * kPage, bytes("x")), Errno::enospc);
  must(last->truncate(kPage));
  must(world.tiered.fs->unlink("filler0"));
  must(world.tiered.fs->sync());
  must(last->fallocate(Fallocate::allocate, {0, (left + 2) * kPage}));
  EXPECT_NE(World::tiers(last).find('c'), std::string::npos);
}

TEST(TieredFiles, AStoreToAHoleSpillsOver) {
  // The direct device is full when a process stores to holes: its page comes from the disk, and others see it.
  World world;
  const auto file = world.tiered.create(kOnDirect);
  must(file->truncate(4 * kPage));
  Process process(world.tiered.system, 1);
  Process other(world.tiered.system, 2);
  const std::uint64_t at = must(process.mmap(file, {}));
  const std::uint64_t also_at = must(other.mmap(file, {}));
  EXPECT_EQ(other.load<char>(also_at + kPage).value(), 0);
  world.fill_direct();
  ASSERT_TRUE(process.store<char>(at + kPage, 'x').ok());
  EXPECT_EQ(other.load<char>(also_at + kPage).value(), 'x');
  EXPECT_EQ(World::tiers(file), ".c..");
}

TEST(TieredFiles, FsyncFencesBothDevices) {
  World world;
  const auto file = world.with_pages(kOnDisk, 1);
  must(file->fsync());
  const std::uint64_t direct = world.tiered.view->steps;
  const std::uint64_t disk = world.tiered.disk_view->steps;
  must(file->fsync());
  EXPECT_EQ(world.tiered.view->steps - direct, 1U);
  EXPECT_EQ(world.tiered.disk_view->steps - disk, 1U);
}

TEST(TieredFiles, AWriteBackThatFailsIsHeardOfAndTriedAgain) {
  // The disk refuses; the page stays dirty, and the next fsync saves it.
  World world;
  const auto file = world.with_pages(kOnDisk, 1);
  must(file->fsync());
  must(file->pwrite(0, bytes("new")));
  for (const Errno failure : {Errno::eio, Errno::enospc}) {
    world.tiered.disk_view->failure = failure;
    world.tiered.disk_view->fails_from = 1;
    EXPECT_ERRNO(file->fsync(), failure);
  }
  world.tiered.disk_view->fails_from = 0;
  must(file->fsync());
  Random random(1);
  TieredWorld after(world.tiered.image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content(kOnDisk).substr(0, 3), "new");
}

TEST(TieredMigration, MovesWhatIsAskedAndNoMore) {
  // Parts of extents, holes and unwritten blocks between them; space is given back.
  World world;
  const auto file = world.with_pages(kOnDirect, 4);
  must(file->truncate(8 * kPage));
  must(file->fallocate(Fallocate::allocate, {6 * kPage, 2 * kPage}));
  const std::string content = world.tiered.content(kOnDirect);
  const std::uint64_t free = must(world.tiered.fs->space()).free_pages;
  EXPECT_EQ(must(TieredFs::demote(file->inode(), {{1}, 2})), 2U);
  EXPECT_EQ(World::tiers(file).substr(0, 6), "dccd..");
  EXPECT_EQ(must(TieredFs::demote(file->inode(), {{0}, 100})), 4U);
  EXPECT_EQ(World::tiers(file), "cccc..cc");
  EXPECT_EQ(must(TieredFs::promote(file->inode(), kAllPages)), 6U);
  EXPECT_EQ(World::tiers(file).substr(0, 6), "dddd..");
  EXPECT_EQ(must(TieredFs::promote(file->inode(), kAllPages)), 0U);
  EXPECT_EQ(world.tiered.content(kOnDirect), content);
  EXPECT_EQ(must(world.tiered.fs->space()).free_pages, free);
}

TEST(TieredMigration, WithoutRoomMovesWhatFits) {
  World world;
  const auto file = world.with_pages(kOnDisk, 4);
  world.fill_direct();
  EXPECT_ERRNO(TieredFs::promote(file->inode(), kAllPages), Errno::enospc);
  EXPECT_EQ(World::tiers(file), "cccc");
  EXPECT_EQ(world.tiered.content(kOnDisk), std::string(4 * kPage, 'x'));
}

TEST(TieredMigration, InterruptedAnswersEintr) {
  // It waits for a pin of the page, and when it is interrupted the page stays where it is.
  World world;
  const auto file = world.with_pages(kOnDirect, 1);
  Process process(world.tiered.system, 1);
  ASSERT_TRUE(process.store<char>(must(process.mmap(file, {})), 'n').ok());
  const dax::Pin pin = must(dax::pin_page(world.tiered.context, file->inode().mapping(), {0}));
  Interruption interruption;
  test::BlockedThread demotion([&] {
    const InterruptScope scope(interruption);
    EXPECT_ERRNO(TieredFs::demote(file->inode(), {{0}, 1}), Errno::eintr);
  });
  EXPECT_TRUE(demotion.blocks());
  interruption.raise();
  demotion.join();
  dax::unpin_page(pin);
  EXPECT_EQ(World::tiers(file), "d");
  EXPECT_EQ(must(TieredFs::demote(file->inode(), {{0}, 1})), 1U);
  EXPECT_EQ(world.tiered.content(kOnDirect)[0], 'n');
}

TEST(TieredMigration, WithoutMemoryNothingMoves) {
  // An extent has to be split.
  World world;
  const auto file = world.with_pages(kOnDirect, 3);
  const auto other = world.with_pages(kOnDisk, 3);
  for (const auto& [call, moved] : {std::pair(&TieredFs::demote, file), {&TieredFs::promote, other}}) {
    const std::string before = World::tiers(moved);
    world.tiered.arena.fail_from(1);
    const auto failed = call(moved->inode(), {{1}, 1});
    world.tiered.arena.fail_from(0);
    EXPECT_ERRNO(failed, Errno::enomem);
    EXPECT_EQ(World::tiers(moved), before);
    EXPECT_EQ(must(call(moved->inode(), {{1}, 1})), 1U);
  }
  EXPECT_EQ(world.tiered.content(kOnDirect), std::string(3 * kPage, 'x'));
  EXPECT_EQ(world.tiered.content(kOnDisk), std::string(3 * kPage, 'x'));
}

TEST(TieredMigration, ADeviceThatFailsMovesNothing) {
  // Down: the disk refuses the copy. Up: it refuses the write-back of what is dirty.
  World world;
  const auto file = world.with_pages(kOnDirect, 1);
  const auto other = world.with_pages(kOnDisk, 1);
  world.tiered.disk_view->failure = Errno::eio;
  world.tiered.disk_view->fails_from = 1;
  EXPECT_ERRNO(TieredFs::demote(file->inode(), {{0}, 1}), Errno::eio);
  EXPECT_ERRNO(TieredFs::promote(other->inode(), {{0}, 1}), Errno::eio);
  EXPECT_EQ(World::tiers(file) + World::tiers(other), "dc");
  world.tiered.disk_view->fails_from = 0;
  EXPECT_EQ(must(TieredFs::promote(other->inode(), {{0}, 1})), 1U);
  EXPECT_EQ(world.tiered.content(kOnDisk), std::string(kPage, 'x'));
}

TEST(TieredCalls, NameTheirErrors) {
  // A file of another kind of file system; a file system that is no more.
  LinearWorld linear(1_MiB);
  linear.make();
  const auto stranger = linear.create("a");
  EXPECT_ERRNO(TieredFs::set_foreground_target(stranger->inode(), Tier::block), Errno::einval);
  EXPECT_ERRNO(TieredFs::promote(stranger->inode(), kAllPages), Errno::einval);
  EXPECT_ERRNO(TieredFs::demote(stranger->inode(), kAllPages), Errno::einval);
  for (const Errno end : {Errno::eio, Errno::eshutdown}) {
    World world;
    const auto file = world.with_pages(kOnDirect, 1);
    world.tiered.fs->shutdown(end);
    EXPECT_ERRNO(TieredFs::set_foreground_target(file->inode(), Tier::block), end);
    EXPECT_ERRNO(TieredFs::promote(file->inode(), kAllPages), end);
    EXPECT_ERRNO(TieredFs::demote(file->inode(), kAllPages), end);
  }
}

// --- the end of a device ---

enum class Which : std::uint8_t { direct, disk };
class TieredRemoval : public ::testing::TestWithParam<Which> {
 protected:
  TieredRemoval() {
    for (const char* name : {kOnDirect, kOnDisk}) {
      files.push_back(world.with_pages(name, 1));
      addresses.push_back(must(process.mmap(files.back(), {})));
      EXPECT_TRUE(process.store<char>(addresses.back(), 's').ok());
    }
  }
  Attachment& removed() { return GetParam() == Which::direct ? *world.tiered.device : *world.tiered.disk; }
  void expect_after_cut(char value) {
    Random random(1);
    TieredWorld after(world.tiered.image_after_cut(test::RamView::Outcome::nothing, random));
    after.mount();
    EXPECT_EQ(after.content(kOnDirect)[0], value);
    EXPECT_EQ(after.content(kOnDisk)[0], value);
  }

  World world;
  Process process{world.tiered.system, 1};
  std::vector<std::shared_ptr<OpenFile>> files;
  std::vector<std::uint64_t> addresses;
};
INSTANTIATE_TEST_SUITE_P(Devices, TieredRemoval, ::testing::Values(Which::direct, Which::disk),
                         [](const auto& which) { return which.param == Which::direct ? "Direct" : "Disk"; });

TEST_P(TieredRemoval, OrderlySavesTheFilesOfBoth) {
  // Either device tells the file system, which writes back to both and ends.
  must(removed().notify_holder());
  for (const std::uint64_t address : addresses) {
    EXPECT_EQ(process.load<char>(address).error().number, SIGBUS);
  }
  for (const auto& file : files) {
    EXPECT_ERRNO(file->fsync(), Errno::eio);
  }
  expect_after_cut('s');
}

TEST_P(TieredRemoval, SurpriseEndsTheFilesOfBoth) {
  // Nothing reaches either device any more; what was synced before is there.
  must(world.tiered.fs->sync());
  for (const std::uint64_t address : addresses) {
    ASSERT_TRUE(process.store<char>(address, 't').ok());
  }
  must(removed().advance(LifeState::dax_dead));
  const std::uint64_t steps = world.tiered.view->steps + world.tiered.disk_view->steps;
  must(removed().notify_holder());
  for (const std::uint64_t address : addresses) {
    EXPECT_EQ(process.store<char>(address, 'u').error().number, SIGBUS);
  }
  EXPECT_ERRNO(world.tiered.fs->create("c"), Errno::eio);
  EXPECT_EQ(world.tiered.view->steps + world.tiered.disk_view->steps, steps);
  expect_after_cut('s');
}

}  // namespace
}  // namespace daxsim
