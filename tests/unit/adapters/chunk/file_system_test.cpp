// SPDX-License-Identifier: BSD-3-Clause
// Where the pages of a ChunkFs are, by profile; what a file on several devices answers; two copies; balance.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <map>
#include <optional>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/chunk_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::ChunkWorld;
using test::Image;
using test::kChunkPages;
using test::LinearWorld;
using test::RamView;

constexpr std::uint64_t kPage = kPageSize;
constexpr std::uint64_t kElement = 16;  // pages of a stripe element

struct World : ChunkWorld {
  explicit World(ChunkProfile profile, std::uint64_t bytes = 1_MiB) : ChunkWorld(profile, bytes) { make(); }
  // Maps a file in a process; the address of its first byte.
  std::uint64_t map(const std::shared_ptr<OpenFile>& file) { return must(process.mmap(file, {})); }
  void store(std::uint64_t address, char value) {
    ASSERT_TRUE(process.store(address, static_cast<std::byte>(value)).ok());
  }
  char load(std::uint64_t address) { return static_cast<char>(process.load<std::byte>(address).value()); }
  std::uint64_t used(std::uint32_t chunk) { return must(ChunkFs::chunks(*fs))[chunk].used_pages; }
  Process process{system, 1};
};

std::shared_ptr<OpenFile> with_pages(World& world, const char* name, std::uint64_t pages, char fill = 'x') {
  const auto file = world.create(name);
  must(file->pwrite(0, bytes(std::string(pages * kPage, fill))));
  return file;
}

TEST(ChunkSingle, FillsOneChunkAfterTheOther) {
  // A file larger than a chunk is in several; chunks go to the device with most room, so both devices get some.
  World world(ChunkProfile::single);
  const std::vector<ChunkInfo> chunks = must(ChunkFs::chunks(*world.fs));
  const auto on = [&](std::uint32_t device) {
    return std::ranges::count(chunks, std::vector<std::uint32_t>{device}, &ChunkInfo::devices);
  };
  EXPECT_GT(on(0), 3);
  EXPECT_EQ(on(1), 5);  // of 6 times 64 KiB, one begins with the label
  const std::uint64_t pages = must(world.fs->space()).free_pages;
  EXPECT_EQ(pages, chunks.size() * kChunkPages);
  const auto file = with_pages(world, "a", pages);
  EXPECT_EQ(file->pwrite(pages * kPage, bytes("x")).error(), Errno::enospc);
  std::map<Attachment*, int> seen;
  for (Pgoff page{0}; page.value < pages; page = page + 1) {
    ++seen[ChunkWorld::place(file, page).first];
  }
  EXPECT_EQ(seen[world.second.get()], 5 * static_cast<int>(kChunkPages));
  EXPECT_EQ(world.content("a"), std::string(pages * kPage, 'x'));
}

TEST(ChunkRaid0, AlternatesDevicesEvery64KiB) {
  // And no answer is longer: sixteen translations for each MiB, and never a huge page (F11).
  World world(ChunkProfile::raid0);
  const auto file = with_pages(world, "a", 4 * kElement);
  const auto [first, start] = ChunkWorld::place(file, {0});
  for (std::uint64_t element = 0; element < 4; ++element) {
    const FileExtent extent = must(file->inode().direct_access({{element * kElement}, 512}, Access::read));
    EXPECT_EQ(extent.pages.pages, kElement);
    EXPECT_EQ(extent.extent, extent.pages);
    EXPECT_EQ(extent.device,
              (element % 2 == 0) == (first == world.device.get()) ? world.device.get() : world.second.get());
    if (element >= 2) {
      const auto before = ChunkWorld::place(file, {(element - 2) * kElement});
      EXPECT_TRUE(extent.device_page == before.second + kElement || extent.device_page.value % kChunkPages == 0);
    }
  }
  EXPECT_EQ(must(file->inode().direct_access({{5}, 512}, Access::read)).pages.pages, kElement - 5);
  EXPECT_EQ(world.content("a"), std::string(4 * kElement * kPage, 'x'));
}

TEST(ChunkRaid0, AFaultAllocatesNoMoreThanItAnswers) {
  // What an answer does not name as new would not be invalidated: readers would keep their zero pages.
  World world(ChunkProfile::raid0);
  const auto file = world.create("a");
  must(file->truncate(3 * kElement * kPage));
  const std::uint64_t address = world.map(file);
  for (std::uint64_t page = 0; page < 3 * kElement; ++page) {
    EXPECT_EQ(world.load(address + page * kPage), '\0');
  }
  must(file->pwrite(0, bytes(std::string(3 * kElement * kPage, 'n'))));
  for (std::uint64_t page = 0; page < 3 * kElement; ++page) {
    EXPECT_EQ(world.load(address + page * kPage), 'n') << page;
  }
}

TEST(ChunkRaid0, StoresReachBothDevices) {
  // Through a mapping, fsynced: after a power cut every page is there.
  World world(ChunkProfile::raid0);
  const auto file = world.create("a");
  must(file->truncate(4 * kElement * kPage));
  const std::uint64_t address = world.map(file);
  for (std::uint64_t page = 0; page < 4 * kElement; ++page) {
    world.store(address + page * kPage, 's');
  }
  must(file->fsync());
  Random random(1);
  ChunkWorld after(ChunkProfile::raid0, world.image_after_cut(RamView::Outcome::nothing, random));
  after.mount();
  const std::string content = after.content("a");
  for (std::uint64_t page = 0; page < 4 * kElement; ++page) {
    EXPECT_EQ(content[page * kPage], 's') << page;
  }
}

TEST(ChunkFile, NamesTheFirstDeviceAndKnowsItsPlaces) {
  // bdev() has no better answer than the super block's; a cookie leads to its page as long as it is the file's.
  World world(ChunkProfile::raid0);
  const auto file = with_pages(world, "a", 2 * kElement);
  Inode& inode = file->inode();
  EXPECT_EQ(world.fs->bdev(), world.device.get());
  EXPECT_EQ(inode.bdev(), world.device.get());
  EXPECT_TRUE(inode.is_synchronous());
  const FileExtent there = must(inode.direct_access({{20}, 1}, Access::read));
  const FileExtent found = must(inode.find_by_cookie(there.cookie - 4, 4, {{20}, 1}));
  EXPECT_EQ(found.device, there.device);
  EXPECT_EQ(found.device_page, there.device_page);
  EXPECT_ERRNO(inode.find_by_cookie(there.cookie, 0, {{21}, 1}), Errno::estale);
  EXPECT_ERRNO(inode.find_by_cookie(~std::uint64_t{0}, 0, {{20}, 1}), Errno::estale);
  must(file->truncate(0));
  EXPECT_ERRNO(inode.find_by_cookie(there.cookie, 0, {{20}, 1}), Errno::estale);
}

// --- two copies ---

// The two copies of a page.
struct Copies {
  Copies(World& world, const std::shared_ptr<OpenFile>& file, Pgoff page) {
    const auto [device, first] = ChunkWorld::place(file, page);
    view = device == world.device.get() ? world.view : world.second_view;
    at[0] = byte_of(first);
    at[1] = at[0] + test::kChunkBytes;  // of small chunks the second stripe follows the first
  }
  char operator[](int copy) const { return static_cast<char>(view->direct_map()[at[copy]]); }
  RamView* view;
  std::uint64_t at[2] = {};
};

TEST(ChunkDup, AStoreReachesTheFirstCopyAndFsyncTheSecond) {
  // In between they differ. pwrite goes to both at once.
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 3, 'o');
  const Copies page(world, file, {1});
  EXPECT_EQ(page[0], 'o');
  EXPECT_EQ(page[1], 'o');
  const std::uint64_t address = world.map(file);
  world.store(address + kPage, 'n');
  EXPECT_EQ(page[0], 'n');
  EXPECT_EQ(page[1], 'o');
  must(file->fsync());
  EXPECT_EQ(page[1], 'n');
  world.store(address + kPage, 'm');
  EXPECT_EQ(page[1], 'n');
  must(world.fs->sync());
  EXPECT_EQ(page[1], 'm');
}

TEST(ChunkDup, ZeroingReachesBothCopies) {
  // New blocks, punched edges, the end of a truncated file.
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 3, 'o');
  const Copies page(world, file, {1});
  must(file->fallocate(Fallocate::punch_hole, {kPage, 100}));
  EXPECT_EQ(page[0], '\0');
  EXPECT_EQ(page[1], '\0');
  const auto other = with_pages(world, "b", 1, 'o');
  const Copies last(world, other, {0});
  must(other->truncate(0));
  must(other->truncate(kPage));
  EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 0U);
}

TEST(ChunkDup, ScrubFindsWhatACrashBetweenTheCopiesLeft) {
  // The power goes when the first copy is flushed and fenced by chance, and the second is not written (F13/94).
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 3, 'o');
  must(file->fsync());
  const std::uint64_t address = world.map(file);
  world.store(address + kPage, 'n');
  std::vector<Image> cuts;
  Random random(1);
  world.before_each_step([&] { cuts.push_back(world.image_after_cut(RamView::Outcome::everything, random)); });
  must(file->fsync());
  world.before_each_step({});

  std::uint64_t differed = 0;
  for (const Image& image : cuts) {
    ChunkWorld after(ChunkProfile::dup, image);
    after.mount();
    const std::string content = after.content("a");
    after.remount();  // and mounting does not make anybody forget
    const ChunkFs::ScrubReport report = must(ChunkFs::scrub(*after.fs));
    EXPECT_EQ(report.pages, 3U);
    differed += report.repaired;
    EXPECT_EQ(after.content("a"), content) << "the first copy counts";
    EXPECT_EQ(must(ChunkFs::scrub(*after.fs)).repaired, 0U);
  }
  EXPECT_GT(differed, 0U);
  EXPECT_LT(differed, cuts.size());
}

TEST(ChunkDup, ScrubOfWhatIsBeingStoredToIsNoFinding) {
  // A page that is dirty differs from its copy as it should; the scrub writes back first.
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 3, 'o');
  world.store(world.map(file), 'n');
  EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 0U);
}

TEST(ChunkDup, ACopyThatFailsLeavesThePageDirty) {
  // fsync fails, and the next one makes both copies.
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 3, 'o');
  must(file->fsync());
  const Copies page(world, file, {1});
  world.store(world.map(file) + kPage, 'n');
  for (const Errno failure : {Errno::eio, Errno::enospc, Errno::enomem}) {
    page.view->failure = failure;
    page.view->fails_from = page.view->steps + 2;  // the flush of the first copy is done
    EXPECT_ERRNO(file->fsync(), failure);
  }
  page.view->fails_from = 0;
  must(file->fsync());
  EXPECT_EQ(page[1], 'n');
}

// --- balance ---

class ChunkBalance : public ::testing::TestWithParam<ChunkProfile> {
 protected:
  World world{GetParam()};
};
INSTANTIATE_TEST_SUITE_P(All, ChunkBalance,
                         ::testing::Values(ChunkProfile::single, ChunkProfile::raid0, ChunkProfile::dup));

TEST_P(ChunkBalance, EmptiesAChunkUnderOpenFiles) {
  // Mapped, dirty, unwritten and closed files leave it; every byte is where it was, and stores go on.
  const auto mapped = with_pages(world, "a", 3, 'a');
  const auto unwritten = world.create("b");
  must(unwritten->fallocate(Fallocate::allocate, {0, 2 * kPage}));
  with_pages(world, "c", 4, 'c');
  const auto open = with_pages(world, "d", 1, 'd');
  must(world.fs->unlink("d"));
  const std::uint64_t address = world.map(mapped);
  world.store(address + kPage, 'n');
  const auto before = ChunkWorld::place(mapped, {1});
  ASSERT_EQ(world.chunk_of(mapped, {1}), 0U);

  const ChunkFs::BalanceReport report = must(ChunkFs::balance(*world.fs, 0));

  EXPECT_EQ(report.files, 4U);
  EXPECT_EQ(report.pages, 10U);
  EXPECT_EQ(world.used(0), 0U);
  EXPECT_NE(ChunkWorld::place(mapped, {1}), before);
  EXPECT_EQ(world.load(address + kPage), 'n');
  world.store(address + 2 * kPage, 'm');
  must(mapped->fsync());
  Random random(1);
  ChunkWorld after(GetParam(), world.image_after_cut(RamView::Outcome::nothing, random));
  after.mount();
  const std::string content = after.content("a");
  EXPECT_EQ(content[0], 'a');
  EXPECT_EQ(content[kPage], 'n');
  EXPECT_EQ(content[2 * kPage], 'm');
  EXPECT_EQ(after.content("b"), std::string(2 * kPage, '\0'));
  EXPECT_EQ(after.content("c"), std::string(4 * kPage, 'c'));
  EXPECT_EQ(must(ChunkFs::scrub(*after.fs)).repaired, 0U);
  std::string byte(1, '\0');
  must(open->pread(0, std::as_writable_bytes(std::span(byte))));
  EXPECT_EQ(byte, "d");
}

TEST_P(ChunkBalance, MakesOldIdentitiesStale) {
  // A cookie of the old place, and its generation.
  const auto file = with_pages(world, "a", 3);
  const FileExtent old = must(file->inode().direct_access({{1}, 1}, Access::read));
  const std::uint16_t generation = old.device->generation({old.device_page, 1});
  must(ChunkFs::balance(*world.fs, 0));
  EXPECT_ERRNO(file->inode().find_by_cookie(old.cookie, 0, {{1}, 1}), Errno::estale);
  EXPECT_NE(old.device->generation({old.device_page, 1}), generation);
}

TEST_P(ChunkBalance, IsRefusedWithoutRoom) {
  // What could move has moved, and nothing is lost.
  const std::uint64_t pages = must(world.fs->space()).free_pages;
  with_pages(world, "a", pages);
  EXPECT_ERRNO(ChunkFs::balance(*world.fs, 0), Errno::enospc);
  EXPECT_EQ(world.content("a"), std::string(pages * kPage, 'x'));
  must(world.open("a")->truncate(0));
  must(ChunkFs::balance(*world.fs, 0));
  EXPECT_EQ(must(world.fs->space()).free_pages, pages);
}

TEST_P(ChunkBalance, WaitsForAPin) {
  // A page under I/O keeps its file where it is until the I/O is done.
  const auto file = with_pages(world, "a", 3);
  world.store(world.map(file) + kPage, 'n');
  const dax::Pin pin = must(dax::pin_page(world.context, file->inode().mapping(), {1}));
  test::BlockedThread balance([&] { must(ChunkFs::balance(*world.fs, 0)); });
  EXPECT_TRUE(balance.blocks());
  EXPECT_ERRNO(ChunkFs::balance(*world.fs, 1), Errno::ebusy);
  dax::unpin_page(pin);
  balance.join();
  EXPECT_EQ(world.used(0), 0U);
}

TEST(ChunkBalanceRace, AFaultMakesBlocksWrittenBeforeTheyMove) {
  // The balance has found unwritten blocks, which need no copy, and waits to block faults; one page of them is written
  // then.
  World world(ChunkProfile::single, 512_KiB);
  const auto file = world.create("a");
  must(file->fallocate(Fallocate::allocate, {0, 3 * kPageSize}));
  const std::uint32_t chunk = world.chunk_of(file, {0});
  std::optional<SharedLock> fault(file->inode().mapping().invalidate_lock());
  test::BlockedThread balance([&] { must(ChunkFs::balance(*world.fs, chunk)); });
  EXPECT_TRUE(balance.blocks());
  const FileExtent written = must(file->inode().direct_access({{1}, 1}, Access::write));
  const std::array byte{std::byte{'s'}};
  must(written.device->write(byte_of(written.device_page), byte));
  fault.reset();
  balance.join();
  EXPECT_NE(world.chunk_of(file, {1}), chunk);
  std::array<std::byte, 1> found{};
  must(file->pread(kPageSize, found));
  EXPECT_EQ(found, byte);
}

TEST(ChunkDevice, IsEmptied) {
  // Every chunk of a device is left, and the file system goes on with the other.
  World world(ChunkProfile::single, 1_MiB);
  const std::uint64_t pages = 13 * kChunkPages;
  const auto file = with_pages(world, "a", pages);
  const auto on_second = [&] {
    std::uint64_t count = 0;
    for (Pgoff page{0}; page.value < pages; page = page + 1) {
      count += ChunkWorld::place(file, page).first == world.second.get() ? 1 : 0;
    }
    return count;
  };
  const std::uint64_t before = on_second();
  ASSERT_GT(before, 0U);
  EXPECT_EQ(must(ChunkFs::empty_device(*world.fs, 1)).pages, before);
  EXPECT_EQ(on_second(), 0U);
  EXPECT_EQ(world.content("a"), std::string(pages * kPage, 'x'));
  // A striped chunk is on all devices, so there is nowhere to go.
  World striped(ChunkProfile::raid0);
  with_pages(striped, "a", 1);
  EXPECT_ERRNO(ChunkFs::empty_device(*striped.fs, 1), Errno::enospc);
}

TEST(ChunkCalls, AnInterruptedBalanceAnswersEintr) {
  // And leaves the page where it is pinned.
  for (const auto call : {&ChunkFs::balance, &ChunkFs::empty_device}) {
    World world(ChunkProfile::single);
    const auto file = with_pages(world, "a", 3);
    world.store(world.map(file), 'n');
    const auto before = ChunkWorld::place(file, {0});
    const dax::Pin pin = must(dax::pin_page(world.context, file->inode().mapping(), {0}));
    Interruption interruption;
    test::BlockedThread balance([&] {
      const InterruptScope scope(interruption);
      EXPECT_ERRNO(call(*world.fs, 0), Errno::eintr);
    });
    EXPECT_TRUE(balance.blocks());
    EXPECT_ERRNO(call(*world.fs, 1), Errno::ebusy);
    interruption.raise();
    balance.join();
    dax::unpin_page(pin);
    EXPECT_EQ(ChunkWorld::place(file, {0}), before);
    must(call(*world.fs, 0));
    EXPECT_NE(ChunkWorld::place(file, {0}), before);
  }
}

TEST(ChunkReflink, AStoreCopiesWhileABalanceWaits) {
  // The balance has planned to move a shared block, and waits for its pin. The store takes the file to another block
  // meanwhile, and that is what moves, if it has to.
  World world(ChunkProfile::single);
  must(world.fs->unmount());
  world.fs.reset();
  must(ChunkFs::mkfs(world.devices, {.chunk_size = test::kChunkBytes, .reflink = Reflink::yes}));
  world.mount();
  const auto file = with_pages(world, "a", 3);
  const auto clone = world.create("b");
  must(clone->reflink(*file, {0, 0}, 0));
  const std::uint64_t address = world.map(file);
  ASSERT_EQ(world.load(address), 'x');
  const dax::Pin pin = must(dax::pin_page(world.context, file->inode().mapping(), {0}));
  test::BlockedThread balance([&] { must(ChunkFs::balance(*world.fs, world.chunk_of(clone, {0}))); });
  EXPECT_TRUE(balance.blocks());
  world.store(address, 'n');
  dax::unpin_page(pin);
  balance.join();
  EXPECT_EQ(world.load(address), 'n');
  EXPECT_EQ(world.content("a"), "n" + std::string(3 * kPage - 1, 'x'));
  EXPECT_EQ(world.content("b"), std::string(3 * kPage, 'x'));
}

TEST(ChunkWrites, GoToNewBlocks) {
  // As btrfs: what is written is not overwritten. A mapping sees the new block; a store goes to it.
  for (const ChunkProfile profile : {ChunkProfile::single, ChunkProfile::raid0, ChunkProfile::dup}) {
    World world(profile);
    const auto file = with_pages(world, "a", 20);
    const std::uint64_t address = world.map(file);
    world.store(address + 3 * kPage, 'n');
    const auto before = ChunkWorld::place(file, {3});
    const auto beside = ChunkWorld::place(file, {5});
    must(file->pwrite(3 * kPage + 10, bytes(std::string(2 * kPage - 10, 'w'))));
    EXPECT_NE(ChunkWorld::place(file, {3}), before);
    EXPECT_EQ(ChunkWorld::place(file, {5}), beside);
    EXPECT_EQ(world.load(address + 3 * kPage), 'n');
    EXPECT_EQ(world.load(address + 3 * kPage + 10), 'w');
    world.store(address + 3 * kPage + 1, 'm');
    must(file->fsync());
    EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 0U);
    EXPECT_EQ(world.content("a").substr(3 * kPage, 2 * kPage),
              "nm" + std::string(8, 'x') + std::string(2 * kPage - 10, 'w'));
  }
}

TEST(ChunkCalls, WithoutMemoryABalanceAnswersEnomem) {
  // An extent that begins in the chunk and ends behind it has to be split; nothing of it has moved.
  for (const auto call : {&ChunkFs::balance, &ChunkFs::empty_device}) {
    World world(ChunkProfile::single, 512_KiB);
    const auto file = with_pages(world, "a", kChunkPages + 4);
    const auto before = ChunkWorld::place(file, {0});
    ASSERT_NE(world.chunk_of(file, {0}), world.chunk_of(file, {kChunkPages}));
    world.arena.fail_from(1);
    const auto failed = call(*world.fs, 0);
    world.arena.fail_from(0);
    EXPECT_ERRNO(failed, Errno::enomem);
    EXPECT_EQ(ChunkWorld::place(file, {0}), before);
    EXPECT_EQ(world.content("a"), std::string((kChunkPages + 4) * kPage, 'x'));
    must(ChunkFs::balance(*world.fs, 0));
    EXPECT_EQ(world.content("a"), std::string((kChunkPages + 4) * kPage, 'x'));
  }
}

TEST(ChunkCalls, AScrubThatCannotWriteSaysSo) {
  World world(ChunkProfile::dup);
  const auto file = with_pages(world, "a", 1, 'o');
  const Copies page(world, file, {0});
  must(file->fsync());
  page.view->direct_map()[page.at[1]] = std::byte{'x'};
  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    page.view->failure = failure;
    page.view->fails_from = page.view->steps + 1;
    EXPECT_ERRNO(ChunkFs::scrub(*world.fs), failure);
    page.view->direct_map()[page.at[1]] = std::byte{'x'};
  }
  page.view->fails_from = 0;
  EXPECT_EQ(must(ChunkFs::scrub(*world.fs)).repaired, 1U);
  EXPECT_EQ(page[1], 'o');
}

TEST(ChunkCalls, NameTheirErrors) {
  // A super block of another kind, a chunk and a device that there are not, a file system that is no more.
  LinearWorld linear(1_MiB);
  linear.make();
  EXPECT_ERRNO(ChunkFs::chunks(*linear.fs), Errno::einval);
  EXPECT_ERRNO(ChunkFs::balance(*linear.fs, 0), Errno::einval);
  EXPECT_ERRNO(ChunkFs::empty_device(*linear.fs, 0), Errno::einval);
  EXPECT_ERRNO(ChunkFs::scrub(*linear.fs), Errno::einval);
  for (const Errno reason : {Errno::eio, Errno::eshutdown}) {
    World world(ChunkProfile::dup);
    const auto file = with_pages(world, "a", 1);
    EXPECT_ERRNO(ChunkFs::balance(*world.fs, 100), Errno::einval);
    EXPECT_ERRNO(ChunkFs::empty_device(*world.fs, 2), Errno::einval);
    world.fs->shutdown(reason);
    EXPECT_ERRNO(file->inode().written_back({{0}, 1}), reason);
    EXPECT_ERRNO(ChunkFs::chunks(*world.fs), reason);
    EXPECT_ERRNO(ChunkFs::balance(*world.fs, 0), reason);
    EXPECT_ERRNO(ChunkFs::empty_device(*world.fs, 0), reason);
    EXPECT_ERRNO(ChunkFs::scrub(*world.fs), reason);
  }
}

}  // namespace
}  // namespace daxsim
