// SPDX-License-Identifier: BSD-3-Clause
// Where pages are, what fallocate does to them, and what stores through a mapping meet.
#include <gtest/gtest.h>

#include "daxsim/mm/process.hpp"
#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;
using Kind = FileExtent::Kind;

constexpr std::uint64_t kPage = kPageSize;

class LinearInodeTest : public ::testing::Test {
 protected:
  LinearInodeTest() {
    world.make();
    file = world.create("f");
  }
  Inode& inode() { return file->inode(); }
  FileExtent at(std::uint64_t page, std::uint64_t pages = 1, Access access = Access::read) {
    return must(inode().direct_access({{page}, pages}, access));
  }
  Errno error_at(std::uint64_t page, Access access) {
    const auto answer = inode().direct_access({{page}, 1}, access);
    return answer.ok() ? Errno{} : answer.error();
  }
  std::string content() { return world.content("f"); }
  void fill(std::uint64_t pages) {
    std::string text;
    for (std::uint64_t page = 0; page < pages; ++page) {
      text += std::string(kPage, static_cast<char>('a' + page));
    }
    must(file->pwrite(0, bytes(text)));
  }
  // The letters of fill() that are there now, one a page; '.' for a page that begins with a zero.
  std::string letters() {
    std::string found;
    const std::string text = content();
    for (std::uint64_t page = 0; page < text.size(); page += kPage) {
      found += text[page] == '\0' ? '.' : text[page];
    }
    return found;
  }

  LinearWorld world{16_MiB};
  std::shared_ptr<OpenFile> file;
};

// --- direct_access ---

TEST_F(LinearInodeTest, ReadAccessChangesNothing) {
  // A hole is a hole, as long as nothing follows, and no block is taken.
  const std::uint64_t free = must(world.fs->space()).free_pages;
  const FileExtent hole = at(7, 3);
  EXPECT_EQ(hole.kind, Kind::hole);
  EXPECT_EQ(hole.pages, (PageRange{{7}, 3}));
  EXPECT_EQ(hole.extent.first, Pgoff{0});
  EXPECT_FALSE(hole.is_new);
  EXPECT_EQ(must(world.fs->space()).free_pages, free);
}

TEST_F(LinearInodeTest, WriteAccessAllocatesWhatWasAsked) {
  // Zeroed, new, dirty until the commit, and found again by reads. The device is dax's to ask, when the kernel would.
  const FileExtent written = at(7, 3, Access::write);
  EXPECT_EQ(written.kind, Kind::memory);
  EXPECT_TRUE(written.is_new);
  EXPECT_TRUE(written.metadata_dirty);
  EXPECT_EQ(written.pages, (PageRange{{7}, 3}));
  EXPECT_EQ(written.extent, (PageRange{{7}, 3}));
  EXPECT_EQ(written.memory.pages, 0U);
  const FileExtent located = must(dax::generic_direct_access(written));
  EXPECT_EQ(located.memory.pages, 3U);
  EXPECT_EQ(std::string(reinterpret_cast<const char*>(located.memory.kaddr), 3 * kPage), std::string(3 * kPage, '\0'));

  const FileExtent again = at(8, 10, Access::write);
  EXPECT_FALSE(again.is_new);
  EXPECT_EQ(again.pages, (PageRange{{8}, 2}));
  EXPECT_EQ(again.extent, (PageRange{{7}, 3}));
  EXPECT_EQ(again.device_page, written.device_page + 1);
  EXPECT_EQ(again.memory.pfn, world.device->first_pfn() + again.device_page.value);

  must(file->fsync());
  EXPECT_FALSE(at(7, 3, Access::write).metadata_dirty);
}

TEST_F(LinearInodeTest, HolesEndWhereBlocksBegin) {
  // On both sides.
  at(5, 1, Access::write);
  at(9, 1, Access::write);
  const FileExtent hole = at(7, 100);
  EXPECT_EQ(hole.pages, (PageRange{{7}, 2}));
  EXPECT_EQ(hole.extent, (PageRange{{6}, 3}));
  EXPECT_EQ(at(7, 100, Access::write).pages, (PageRange{{7}, 2}));
}

TEST_F(LinearInodeTest, PagesNextToEachOtherAreNextToEachOtherOnTheDevice) {
  // In whatever order a file is touched, it ends as one extent.
  for (const std::uint64_t page : {5, 6, 4, 9, 8, 7, 3}) {
    at(page, 1, Access::write);
  }
  EXPECT_EQ(at(3).extent, (PageRange{{3}, 7}));
}

TEST_F(LinearInodeTest, UnwrittenBlocksAreConvertedPageByPage) {
  // What is not asked for stays unwritten, in place.
  must(file->fallocate(Fallocate::allocate, {0, 8 * kPage}));
  const FileExtent before = at(0, 8);
  EXPECT_EQ(before.kind, Kind::unwritten);
  EXPECT_EQ(before.pages.pages, 8U);
  const FileExtent written = at(3, 2, Access::write);
  EXPECT_EQ(written.kind, Kind::memory);
  EXPECT_TRUE(written.is_new);
  EXPECT_EQ(written.extent, (PageRange{{3}, 2}));
  EXPECT_EQ(written.device_page, before.device_page + 3);
  EXPECT_EQ(at(0, 8).pages, (PageRange{{0}, 3}));
  EXPECT_EQ(at(5, 8).kind, Kind::unwritten);
}

TEST_F(LinearInodeTest, HugeAsksGetHugePages) {
  // 512 aligned pages come from one aligned 2 MiB of the device; the next ones follow it.
  const FileExtent first = at(0, kPagesPerPmd, Access::write);
  EXPECT_EQ(first.pages.pages, kPagesPerPmd);
  EXPECT_EQ(first.memory.pfn.value % kPagesPerPmd, 0U);
  const FileExtent second = at(kPagesPerPmd, kPagesPerPmd, Access::write);
  EXPECT_EQ(second.extent, (PageRange{{0}, 2 * kPagesPerPmd}));
}

TEST_F(LinearInodeTest, SmallWritesToLargeFilesCanBecomeHuge) {
  // The pages of each 2 MiB of a large file gather in an aligned 2 MiB of the device.
  must(file->truncate(4_MiB));
  for (const std::uint64_t page : {700, 3, 900}) {
    EXPECT_EQ(at(page, 1, Access::write).device_page.value % kPagesPerPmd, page % kPagesPerPmd) << page;
  }
  EXPECT_EQ(at(513, 1, Access::write).device_page.value, at(700).device_page.value - 187);
}

TEST_F(LinearInodeTest, FragmentedSpaceGivesShorterAnswers) {
  // 512 pages are asked for where no run is so long: fewer come, none is lost.
  const auto filler = world.create("filler");
  const std::uint64_t free = must(world.fs->space()).free_pages;
  for (std::uint64_t page = 0; page < free; ++page) {
    must(filler->inode().direct_access({{page}, 1}, Access::write));
  }
  for (std::uint64_t page = 0; page < free; page += 2) {
    must(filler->fallocate(Fallocate::punch_hole, {page * kPage, kPage}));
  }
  const FileExtent answer = at(0, kPagesPerPmd, Access::write);
  EXPECT_EQ(answer.kind, Kind::memory);
  EXPECT_EQ(answer.pages.pages, 1U);
}

TEST_F(LinearInodeTest, DirectAccessNamesItsErrors) {
  // Beyond the format, no space, no memory, poison, a dead device.
  EXPECT_EQ(error_at(LinearFs::kMaxFileSize >> kPageShift, Access::read), Errno::efbig);
  EXPECT_EQ(error_at(LinearFs::kMaxFileSize >> kPageShift, Access::write), Errno::efbig);

  world.arena.fail_from(1);
  EXPECT_EQ(error_at(0, Access::write), Errno::enomem);
  world.arena.fail_from(0);
  EXPECT_EQ(at(0).kind, Kind::hole);

  const std::uint64_t block = at(0, 1, Access::write).device_page.value;
  world.view->poisoned = block;
  EXPECT_EQ(error_at(0, Access::write), Errno::ehwpoison);
  world.view->poisoned = block + 1;
  EXPECT_EQ(error_at(1, Access::write), Errno::ehwpoison);
  EXPECT_EQ(at(1).kind, Kind::hole);
  world.view->poisoned.reset();

  must(file->truncate(0));
  must(file->fallocate(Fallocate::allocate_keep_size, {kPage, must(world.fs->space()).free_pages * kPage}));
  EXPECT_EQ(must(world.fs->space()).free_pages, 0U);
  EXPECT_EQ(error_at(0, Access::write), Errno::enospc);

  const FileExtent unwritten = at(1);
  EXPECT_EQ(unwritten.kind, Kind::unwritten);
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_EQ(error_at(1, Access::write), Errno::enxio);
}

TEST_F(LinearInodeTest, FailedZeroingAllocatesNothing) {
  // The host disk is full: the hole stays a hole and its blocks stay free.
  const std::uint64_t free = must(world.fs->space()).free_pages;
  world.view->fails_from = world.view->steps + 1;
  EXPECT_EQ(error_at(0, Access::write), Errno::enospc);
  world.view->fails_from = 0;
  EXPECT_EQ(at(0).kind, Kind::hole);
  EXPECT_EQ(must(world.fs->space()).free_pages, free);
  EXPECT_TRUE(world.fs->check_alive().ok());
}

TEST_F(LinearInodeTest, EveryAllocationOfADirectAccessMayFail) {
  // The n-th allocation fails, for each n until it works: splitting an extent leaves it whole.
  must(file->fallocate(Fallocate::allocate, {0, 8 * kPage}));
  for (std::uint64_t nth = 1;; ++nth) {
    world.arena.fail_from(nth);
    const auto answer = inode().direct_access({{3}, 2}, Access::write);
    world.arena.fail_from(0);
    if (answer.ok()) {
      EXPECT_GT(nth, 2U);
      break;
    }
    ASSERT_EQ(answer.error(), Errno::enomem);
    ASSERT_EQ(at(0, 8).kind, Kind::unwritten);
    ASSERT_EQ(at(0, 8).pages.pages, 8U);
  }
}

// --- read, write, truncate ---

TEST_F(LinearInodeTest, WritesBehindTheEndLeaveZeros) {
  // And reads stop at the end.
  must(file->pwrite(10, bytes("abc")));
  must(file->pwrite(2 * kPage, bytes("def")));
  EXPECT_EQ(content(), std::string(10, '\0') + "abc" + std::string(2 * kPage - 13, '\0') + "def");
  std::string text(10, ' ');
  EXPECT_EQ(must(file->pread(2 * kPage + 1, std::as_writable_bytes(std::span(text)))), 2U);
  EXPECT_EQ(must(file->pread(3 * kPage, std::as_writable_bytes(std::span(text)))), 0U);
  EXPECT_EQ(must(file->pwrite(5 * kPage, {})), 0U);
  EXPECT_EQ(inode().size(), 2 * kPage + 3);
}

TEST_F(LinearInodeTest, SizesEndWhereTheFormatEnds) {
  // 16 TiB and not a byte more.
  const std::uint64_t most = LinearFs::kMaxFileSize;
  EXPECT_EQ(file->pwrite(most, bytes("x")).error(), Errno::efbig);
  EXPECT_EQ(file->truncate(most + 1).error(), Errno::efbig);
  EXPECT_EQ(file->fallocate(Fallocate::allocate, {most, 1}).error(), Errno::efbig);
  EXPECT_EQ(file->fallocate(Fallocate::allocate, {kPage, ~std::uint64_t{0}}).error(), Errno::efbig);
  EXPECT_EQ(file->fallocate(Fallocate::punch_hole, {~std::uint64_t{0}, 1}).error(), Errno::efbig);
  must(file->truncate(most));
  EXPECT_EQ(must(file->pwrite(most - 1, bytes("xy"))), 1U);
  EXPECT_EQ(file->fallocate(Fallocate::insert_range, {0, kPage}).error(), Errno::efbig);
  must(file->fsync());
  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(after.open("f")->inode().size(), most);
}

TEST_F(LinearInodeTest, TruncateFreesAndZeroesTheRest) {
  // What was behind the new end never comes back.
  fill(4);
  const std::uint64_t free = must(world.fs->space()).free_pages;
  must(file->truncate(kPage + 100));
  EXPECT_EQ(must(world.fs->space()).free_pages, free + 2);
  must(file->truncate(4 * kPage));
  EXPECT_EQ(content(), std::string(kPage, 'a') + std::string(100, 'b') + std::string(3 * kPage - 100, '\0'));
  EXPECT_EQ(at(2).kind, Kind::hole);
}

TEST_F(LinearInodeTest, TruncateEmitsWhatLinuxDoes) {
  // Oracle, workload f: look for pins, delete, zero the partial page; nothing is mapped.
  fill(5);
  const std::uint64_t first = world.events.next_id();
  must(file->truncate(2 * kPage + 2048));
  std::vector<EventType> seen;
  for (const Event& event : world.events.since(first)) {
    seen.push_back(event.type);
  }
  const std::vector<EventType> expected{EventType::dax_layout_busy_page, EventType::unmap_mapping_range,
                                        EventType::unmap_mapping_range,  EventType::dax_zero_range,
                                        EventType::dax_direct_access,    EventType::dax_flush};
  EXPECT_EQ(seen, expected);
}

TEST_F(LinearInodeTest, FailedTruncateKeepsTheSize) {
  // Zeroing the partial page fails: by poison, or because the host disk is full.
  fill(2);
  world.view->poisoned = at(0).device_page.value;
  EXPECT_EQ(file->truncate(10).error(), Errno::eio);
  world.view->poisoned.reset();
  world.view->fails_from = world.view->steps + 1;
  EXPECT_EQ(file->truncate(10).error(), Errno::enospc);
  world.view->fails_from = 0;
  EXPECT_EQ(letters(), "ab");
}

TEST_F(LinearInodeTest, TruncateInTheMiddleOfAnExtentNeedsMemory) {
  // A split that fails changes nothing.
  fill(4);
  world.arena.fail_from(1);
  EXPECT_EQ(file->fallocate(Fallocate::punch_hole, {kPage, kPage}).error(), Errno::enomem);
  world.arena.fail_from(0);
  EXPECT_EQ(letters(), "abcd");
}

// --- fallocate ---

TEST_F(LinearInodeTest, AllocateKeepsWhatIsThere) {
  // Holes get unwritten blocks; data stays; the size follows unless told not to.
  must(file->pwrite(kPage, bytes("x")));
  must(file->fallocate(Fallocate::allocate_keep_size, {0, 4 * kPage}));
  EXPECT_EQ(inode().size(), kPage + 1);
  EXPECT_EQ(at(0).kind, Kind::unwritten);
  EXPECT_EQ(at(1).kind, Kind::memory);
  EXPECT_EQ(at(3).kind, Kind::unwritten);
  must(file->fallocate(Fallocate::allocate, {0, 3 * kPage + 1}));
  EXPECT_EQ(inode().size(), 3 * kPage + 1);
  EXPECT_EQ(content(), std::string(kPage, '\0') + "x" + std::string(2 * kPage, '\0'));
}

TEST_F(LinearInodeTest, LargeAllocationIsHuge) {
  // A whole file of 2 MiB pages in one extent.
  must(file->fallocate(Fallocate::allocate, {0, 8_MiB}));
  EXPECT_EQ(at(0, 1 << 20).extent.pages, 8_MiB >> kPageShift);
  EXPECT_EQ(at(0).device_page.value % kPagesPerPmd, 0U);
}

TEST_F(LinearInodeTest, PunchMakesHoles) {
  // Whole pages become holes, edges zeros; the size stays.
  fill(4);
  must(file->fallocate(Fallocate::punch_hole, {100, 2 * kPage}));
  EXPECT_EQ(content(), std::string(100, 'a') + std::string(2 * kPage, '\0') + std::string(kPage - 100, 'c') +
                           std::string(kPage, 'd'));
  EXPECT_EQ(at(0).kind, Kind::memory);
  EXPECT_EQ(at(1).kind, Kind::hole);
  EXPECT_EQ(at(2).kind, Kind::memory);
  must(file->fallocate(Fallocate::punch_hole, {3 * kPage + 1, 5}));
  EXPECT_EQ(content().substr(3 * kPage, 7), "d" + std::string(5, '\0') + "d");
}

TEST_F(LinearInodeTest, ZeroRangeLeavesUnwrittenBlocks) {
  // Also where there was a hole, and beyond the end, which moves.
  fill(3);
  must(file->fallocate(Fallocate::zero_range, {kPage / 2, 4 * kPage}));
  EXPECT_EQ(content(), std::string(kPage / 2, 'a') + std::string(4 * kPage, '\0'));
  EXPECT_EQ(at(1).kind, Kind::unwritten);
  EXPECT_EQ(at(3).kind, Kind::unwritten);
}

TEST_F(LinearInodeTest, CollapseAndInsertMovePages) {
  // Pages move, none is copied, and the sizes follow.
  fill(5);
  const Pgoff third = at(2).device_page;
  must(file->fallocate(Fallocate::collapse_range, {0, 2 * kPage}));
  EXPECT_EQ(letters(), "cde");
  EXPECT_EQ(at(0).device_page, third);
  must(file->fallocate(Fallocate::insert_range, {kPage, 3 * kPage}));
  EXPECT_EQ(letters(), "c...de");
  must(file->fsync());
  LinearWorld after(world.medium->image());
  after.mount();
  EXPECT_EQ(after.content("f").size(), 6 * kPage);
  EXPECT_EQ(after.content("f")[4 * kPage], 'd');
}

TEST_F(LinearInodeTest, InsertKnowsOfBlocksBehindTheEnd) {
  // They move too, and must not leave the format.
  must(file->pwrite(0, bytes("x")));
  must(file->fallocate(Fallocate::allocate_keep_size, {LinearFs::kMaxFileSize - kPage, kPage}));
  EXPECT_EQ(file->fallocate(Fallocate::insert_range, {0, kPage}).error(), Errno::efbig);
}

TEST_F(LinearInodeTest, FallocateRefusesWhatLinuxRefuses) {
  // No length; pieces of pages, or nothing behind, for those that move pages; unknown modes.
  fill(3);
  for (const Fallocate mode : {Fallocate::allocate, Fallocate::allocate_keep_size, Fallocate::punch_hole,
                               Fallocate::zero_range, Fallocate::collapse_range, Fallocate::insert_range}) {
    EXPECT_EQ(file->fallocate(mode, {0, 0}).error(), Errno::einval);
  }
  EXPECT_EQ(file->fallocate(Fallocate::collapse_range, {1, kPage}).error(), Errno::einval);
  EXPECT_EQ(file->fallocate(Fallocate::collapse_range, {0, 3 * kPage}).error(), Errno::einval);
  EXPECT_EQ(file->fallocate(Fallocate::insert_range, {0, 1}).error(), Errno::einval);
  EXPECT_EQ(file->fallocate(Fallocate::insert_range, {3 * kPage, kPage}).error(), Errno::einval);
  EXPECT_EQ(file->fallocate(static_cast<Fallocate>(99), {0, kPage}).error(), Errno::eopnotsupp);
  EXPECT_EQ(letters(), "abc");
}

TEST_F(LinearInodeTest, LayoutChangesWaitForPins) {
  // An interrupted wait changes nothing.
  fill(2);
  must(world.device->pin(at(0).device_page));
  // A pinned page that nobody has mapped is not in the index, so nothing waits for it.
  must(file->fallocate(Fallocate::punch_hole, {kPage, kPage}));

  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {}));
  ASSERT_TRUE(process.load<char>(address).ok());
  Interruption interruption;
  const InterruptScope scope(interruption);
  interruption.raise();
  EXPECT_EQ(file->truncate(0).error(), Errno::eintr);
  EXPECT_EQ(file->fallocate(Fallocate::punch_hole, {0, kPage}).error(), Errno::eintr);
  EXPECT_EQ(file->fallocate(Fallocate::collapse_range, {0, kPage}).error(), Errno::eintr);
  EXPECT_EQ(letters(), "a.");
  world.device->unpin(at(0).device_page);
  must(file->truncate(0));
}

// --- mappings ---

TEST_F(LinearInodeTest, StoresArriveByFsync) {
  // The way of a byte: a fault allocates, fsync flushes and commits.
  must(file->truncate(3 * kPage));
  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {}));
  ASSERT_TRUE(process.store<char>(address + kPage, 'x').ok());
  must(file->fsync());

  Random random(1);
  LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content("f"), std::string(kPage, '\0') + "x" + std::string(2 * kPage - 1, '\0'));
}

TEST_F(LinearInodeTest, MapSyncStoresHaveAPlaceBeforeTheyHappen) {
  // What a MAP_SYNC store writes is found after a cut once the line is flushed, without any fsync; without MAP_SYNC the
  // block is lost with the uncommitted allocation.
  must(file->truncate(3 * kPage));
  must(file->fsync());
  for (const MapSync sync : {MapSync::no, MapSync::yes}) {
    Process process(world.system, 1);
    const std::uint64_t address = must(process.mmap(file, {.sync = sync}));
    ASSERT_TRUE(process.store<char>(address + kPage, 'x').ok());
    const FileExtent extent = at(1);
    EXPECT_EQ(extent.metadata_dirty, sync == MapSync::no);
    must(world.device->flush({byte_of(extent.device_page), 64}));
    must(world.device->fence());

    Random random(1);
    LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
    after.mount();
    EXPECT_EQ(after.content("f")[kPage], sync == MapSync::yes ? 'x' : '\0');
    must(process.munmap(address, 3 * kPage));
    must(file->fallocate(Fallocate::punch_hole, {kPage, kPage}));
  }
}

TEST_F(LinearInodeTest, LargeFilesAreMappedHuge) {
  // A store into 2 MiB of hole is one PMD fault, and so is a load of allocated memory.
  must(file->truncate(4_MiB));
  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {}));
  ASSERT_TRUE(process.store<char>(address + 5 * kPage, 'x').ok());
  EXPECT_EQ(process.fault_counts(address).pmd, 1U);
  EXPECT_EQ(at(0, kPagesPerPmd).extent.pages, kPagesPerPmd);
}

TEST_F(LinearInodeTest, StoresBehindTheEndAreZeroWhenTheFileGrows) {
  // Linux 6.12 (oracle, workload f), for truncate, pwrite and fallocate.
  for (int way = 0; way < 3; ++way) {
    must(file->truncate(0));
    must(file->pwrite(0, bytes(std::string(100, 'a'))));
    Process process(world.system, 1);
    const std::uint64_t address = must(process.mmap(file, {.length = kPage}));
    ASSERT_TRUE(process.store<char>(address + 200, 'x').ok());
    switch (way) {
      case 0:
        must(file->truncate(kPage));
        break;
      case 1:
        must(file->pwrite(kPage - 1, bytes("\0")));
        break;
      default:
        must(file->fallocate(Fallocate::allocate, {0, kPage}));
    }
    must(process.munmap(address, kPage));
    EXPECT_EQ(content().find('x'), std::string::npos) << way;
  }
}

TEST_F(LinearInodeTest, CollapseKeepsWhatWasStoredAndNotYetFlushed) {
  // The moved pages are no longer dirty in the index, so they were written back before.
  fill(3);
  must(file->fsync());
  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {}));
  ASSERT_TRUE(process.store<char>(address + 2 * kPage, 'x').ok());
  must(file->fallocate(Fallocate::collapse_range, {0, kPage}));
  must(file->fsync());
  EXPECT_EQ(process.load<char>(address + kPage).value(), 'x');

  Random random(1);
  LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content("f")[kPage], 'x');
}

TEST_F(LinearInodeTest, WhatAClosedFileHasDirtyIsFlushedByALaterFsync) {
  // The inode stays in core: a new handle syncs what was stored through an old mapping.
  must(file->truncate(kPage));
  {
    Process process(world.system, 1);
    const std::uint64_t address = must(process.mmap(file, {}));
    ASSERT_TRUE(process.store<char>(address, 'x').ok());
  }
  file.reset();
  must(world.open("f")->fsync());
  Random random(1);
  LinearWorld after(world.view->image_after_cut(test::RamView::Outcome::nothing, random));
  after.mount();
  EXPECT_EQ(after.content("f")[0], 'x');
}

TEST_F(LinearInodeTest, FsyncNamesItsErrors) {
  // Flushing data fails: the file system goes on.
  must(file->truncate(kPage));
  Process process(world.system, 1);
  const std::uint64_t address = must(process.mmap(file, {}));
  ASSERT_TRUE(process.store<char>(address, 'x').ok());
  for (const Errno failure : {Errno::enospc, Errno::enomem, Errno::eio}) {
    world.view->failure = failure;
    world.view->fails_from = world.view->steps + 1;
    EXPECT_EQ(file->fsync().error(), failure);
    world.view->fails_from = 0;
    EXPECT_TRUE(world.fs->check_alive().ok());
  }
  must(file->fsync());
}

}  // namespace
}  // namespace daxsim
