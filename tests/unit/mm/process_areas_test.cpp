// SPDX-License-Identifier: BSD-3-Clause
// mmap and its relatives: addresses, splits and joins of areas, errors.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "unit/mm/process_world.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using testing::ElementsAre;
using testing::IsEmpty;

constexpr std::uint64_t kBase = 0x200000000000;
constexpr std::uint64_t kP = kPageSize;

// What a load and a store of one byte would end in: 0 is nothing, else the signal's code.
template <class T>
int code_of(const AccessResult<T>& result) {
  return result.ok() ? 0 : result.error().code;
}

class ProcessAreas : public testing::Test {
 protected:
  std::uint64_t map(const MapOptions& options = {}) { return must(process.mmap(world.open(), options)); }
  std::vector<std::pair<std::uint64_t, std::uint64_t>> areas() {
    std::vector<std::pair<std::uint64_t, std::uint64_t>> found;
    inode.mapping().for_each_vma(kAllPages, [&](Vma& vma) { found.emplace_back(vma.start(), vma.end()); });
    std::ranges::sort(found);
    return found;
  }
  using Bounds = std::pair<std::uint64_t, std::uint64_t>;

  SoftWorld world{2048};
  SoftInode& inode = *world.inode;
  Process process{world.system, 7};
};

TEST_F(ProcessAreas, AddressesRiseAndHaveTheColourOfTheFile) {
  // Deterministic: 2 MiB aligned plus the offset in the file's 2 MiB, a page apart at least, never reused.
  const std::uint64_t first = map({.length = 2_MiB});
  const std::uint64_t second = map({.offset = 3 * kP, .length = kP});
  ASSERT_TRUE(process.munmap(second, kP).ok());
  const std::uint64_t third = map({.offset = 4_MiB + 5 * kP, .length = 1});

  EXPECT_EQ(first, kBase);
  EXPECT_EQ(second, kBase + 4_MiB + 3 * kP);
  EXPECT_EQ(third, kBase + 6_MiB + 5 * kP);
}

TEST_F(ProcessAreas, LengthZeroMapsToTheEndOfTheFile) {
  // And lengths are rounded up to pages.
  inode.resize(5 * kP + 1);

  map({.offset = 2 * kP});
  map({.length = kP + 1});

  EXPECT_THAT(areas(),
              ElementsAre(Bounds(kBase + 2 * kP, kBase + 6 * kP), Bounds(kBase + 2_MiB, kBase + 2_MiB + 2 * kP)));
}

TEST_F(ProcessAreas, MmapErrors) {
  // Each named errno.
  const auto file = world.open();
  const auto read_only = world.open(OpenMode::read_only);

  EXPECT_ERRNO(process.mmap(file, {.offset = 1}), Errno::einval);
  EXPECT_ERRNO(process.mmap(file, {.offset = 8_MiB}), Errno::einval);
  EXPECT_ERRNO(process.mmap(file, {.offset = ~std::uint64_t{0} << kPageShift, .length = 2 * kP}), Errno::einval);
  EXPECT_ERRNO(process.mmap(file, {.length = std::uint64_t{1} << 47}), Errno::enomem);
  EXPECT_ERRNO(process.mmap(file, {.length = ~std::uint64_t{0}}), Errno::enomem);
  EXPECT_ERRNO(process.mmap(read_only, {}), Errno::eacces);
  EXPECT_TRUE(process.mmap(read_only, {.sharing = Sharing::private_copy}).ok());
  EXPECT_TRUE(process.mmap(read_only, {.prot = Prot::read}).ok());
  for (std::uint64_t nth = 1; nth <= 3; ++nth) {
    world.arena.fail_from(nth);
    EXPECT_ERRNO(process.mmap(file, {}), Errno::enomem);
    world.arena.fail_from(0);
  }
  world.file_system->shutdown(Errno::eio);
  EXPECT_ERRNO(process.mmap(file, {}), Errno::eio);
}

TEST_F(ProcessAreas, AnAreaIsWhereItWasAskedFor) {
  // MAP_FIXED_NOREPLACE: any free pages, also those of an area that has gone, and never those of one that is there.
  const auto file = world.open();
  const std::uint64_t low = map({.length = 2 * kP, .address = kBase + kP});
  const std::uint64_t high = map({.length = kP, .address = 0x7fffffffe000});
  EXPECT_THAT(areas(), ElementsAre(Bounds(kBase + kP, kBase + 3 * kP), Bounds(high, high + kP)));

  EXPECT_ERRNO(process.mmap(file, {.length = 1, .address = low + kP}), Errno::eexist);
  EXPECT_ERRNO(process.mmap(file, {.length = 2 * kP, .address = kBase}), Errno::eexist);
  EXPECT_ERRNO(process.mmap(file, {.length = kP, .address = kBase + 1}), Errno::einval);
  EXPECT_ERRNO(process.mmap(file, {.length = 2 * kP, .address = 0x7fffffffe000}), Errno::enomem);
  EXPECT_ERRNO(process.mmap(file, {.length = kP, .address = ~std::uint64_t{0} - kP + 1}), Errno::enomem);
  map({.length = kP, .address = kBase});
  map({.length = kP, .address = kBase + 3 * kP});
  ASSERT_TRUE(process.munmap(low, 2 * kP).ok());
  EXPECT_EQ(map({.length = 2 * kP, .address = low}), low);

  // Who asks for none gets none of theirs, with a page between.
  EXPECT_EQ(map({.length = 2_MiB}), kBase + 2_MiB);
  map({.length = kP, .address = kBase + 8_MiB});
  EXPECT_EQ(map({.length = 4_MiB}), kBase + 10_MiB);
}

TEST_F(ProcessAreas, AnAreaOfAnotherColourHasSmallPagesOnly) {
  // g30: the store goes through, after a PMD fault that falls back.
  inode.use_pmds = true;
  const std::uint64_t at = map({.length = 4_MiB, .address = kBase + kP});

  ASSERT_TRUE(process.store<std::uint8_t>(at + 4_MiB - 3 * kP, 0x7b).ok());

  EXPECT_EQ(process.pte(at + 4_MiB - 3 * kP).order, 0U);
  EXPECT_EQ(inode.block(1021)[0], std::byte{0x7b});
  ASSERT_TRUE(process.populate(at, 4_MiB, Access::write).ok());
  inode.write_back(0, 1024);
  EXPECT_FALSE(process.pte(at + 2_MiB).writable);
  inode.punch(512, 1);
  EXPECT_EQ(process.pte(at + 2_MiB).kind, PteState::Kind::none);
  EXPECT_EQ(process.pte(at + 2_MiB - kP).pfn, inode.pfn(511));
}

TEST_F(ProcessAreas, TheWholeAddressSpaceCanBeMappedOnce) {
  // To the last page below the kernel's half; then there is no room for one more.
  const std::uint64_t all = 0x7ffffffff000 - kBase;

  EXPECT_EQ(map({.length = all}), kBase);
  EXPECT_ERRNO(process.mmap(world.open(), {.length = 1}), Errno::enomem);

  EXPECT_TRUE(process.load<std::uint8_t>(kBase).ok());
  EXPECT_EQ(code_of(process.load<std::uint8_t>(kBase + all - 1)), BUS_ADRERR);
  EXPECT_EQ(code_of(process.load<std::uint8_t>(kBase + all)), SEGV_MAPERR);
}

TEST_F(ProcessAreas, MapSyncIsForSharedAreas) {
  // Oracle workload e: MAP_PRIVATE | MAP_SYNC is accepted and ignored.
  map({.sync = MapSync::yes, .length = kP});
  map({.sharing = Sharing::private_copy, .sync = MapSync::yes, .length = kP});

  std::vector<bool> sync;
  inode.mapping().for_each_vma(kAllPages, [&](Vma& vma) { sync.push_back(vma.flags().sync); });
  EXPECT_THAT(sync, ElementsAre(false, true)) << "newest first";

  // F13.20.
  inode.synchronous = false;
  EXPECT_ERRNO(process.mmap(world.open(), {.sync = MapSync::yes}), Errno::eopnotsupp);
  EXPECT_TRUE(process.mmap(world.open(), {.sharing = Sharing::private_copy, .sync = MapSync::yes}).ok());
}

TEST_F(ProcessAreas, RangeErrors) {
  // Each named errno of munmap, mprotect, msync and dont_need, and what was done all the same.
  const std::uint64_t at = map({.length = 4 * kP});
  const std::uint64_t huge = ~std::uint64_t{0} - kP + 1;

  EXPECT_ERRNO(process.munmap(at + 1, kP), Errno::einval);
  EXPECT_ERRNO(process.munmap(at, 0), Errno::einval);
  EXPECT_ERRNO(process.munmap(at, huge), Errno::einval);
  EXPECT_TRUE(process.munmap(at + 1_GiB, kP).ok()) << "nothing there is fine";

  EXPECT_ERRNO(process.mprotect(at + 1, kP, Prot::read), Errno::einval);
  EXPECT_ERRNO(process.mprotect(at, huge, Prot::read), Errno::enomem);
  EXPECT_ERRNO(process.mprotect(at, 5 * kP, Prot::read), Errno::enomem);
  EXPECT_EQ(code_of(process.store<std::uint8_t>(at + 3 * kP, 1)), SEGV_ACCERR) << "the mapped part was changed";
  EXPECT_TRUE(process.mprotect(at, 0, Prot::read).ok());
  const std::uint64_t read_only = must(process.mmap(world.open(OpenMode::read_only), {.prot = Prot::read}));
  EXPECT_ERRNO(process.mprotect(read_only, kP, Prot::read_write), Errno::eacces);

  EXPECT_ERRNO(process.msync(at + 1, kP), Errno::einval);
  EXPECT_ERRNO(process.msync(at, huge), Errno::enomem);
  EXPECT_ERRNO(process.msync(at - kP, kP), Errno::enomem);
  EXPECT_TRUE(process.msync(at, 0).ok());
  EXPECT_THAT(inode.synced, IsEmpty());

  EXPECT_ERRNO(process.dont_need(at + 1, kP), Errno::einval);
  EXPECT_ERRNO(process.dont_need(at, huge), Errno::einval);
  EXPECT_ERRNO(process.dont_need(at, 5 * kP), Errno::enomem);
  EXPECT_TRUE(process.dont_need(at, 0).ok());
}

TEST_F(ProcessAreas, MsyncSyncsExactlyTheSharedFileBytes) {
  // Oracle workload h: the part that is mapped is written although the call says ENOMEM.
  const std::uint64_t at = map({.offset = 2 * kP, .length = 8 * kP});
  const std::uint64_t beside = map({.sharing = Sharing::private_copy, .length = kP});
  ASSERT_TRUE(process.munmap(at + 3 * kP, kP).ok());

  EXPECT_TRUE(process.msync(at + kP, kP + 1).ok());
  EXPECT_ERRNO(process.msync(at + 2 * kP, 3 * kP), Errno::enomem);
  EXPECT_ERRNO(process.msync(at + 6 * kP, beside - at), Errno::enomem);
  EXPECT_TRUE(process.msync(beside, kP).ok());
  inode.sync_result = Errno::eio;
  EXPECT_ERRNO(process.msync(at, kP), Errno::eio);

  EXPECT_THAT(inode.synced, ElementsAre(ByteRange{3 * kP, 2 * kP}, ByteRange{4 * kP, kP}, ByteRange{6 * kP, kP},
                                        ByteRange{8 * kP, 2 * kP}, ByteRange{2 * kP, kP}));
}

TEST_F(ProcessAreas, MsyncFlags) {
  // h5, h11: MS_ASYNC writes nothing, but looks for gaps; MS_INVALIDATE changes nothing. Linux refuses the rest.
  using namespace msync_flag;
  const std::uint64_t at = map({.length = 4 * kP});

  EXPECT_TRUE(process.msync(at, 4 * kP, kAsync).ok());
  EXPECT_TRUE(process.msync(at, 4 * kP, kInvalidate).ok());
  EXPECT_TRUE(process.msync(at, 4 * kP, 0).ok());
  EXPECT_ERRNO(process.msync(at, 5 * kP, kAsync), Errno::enomem);
  EXPECT_ERRNO(process.msync(at + 1, kP, kAsync), Errno::einval);
  EXPECT_ERRNO(process.msync(at, kP, kSync | kAsync), Errno::einval);
  EXPECT_ERRNO(process.msync(at, kP, 8), Errno::einval);
  EXPECT_THAT(inode.synced, IsEmpty());

  EXPECT_TRUE(process.msync(at, 4 * kP, kSync | kInvalidate).ok());
  EXPECT_THAT(inode.synced, ElementsAre(ByteRange{0, 4 * kP}));
}

TEST_F(ProcessAreas, DontNeedDropsPagesAndPrivateCopies) {
  // Oracle workload c: a reload sees the file's data.
  inode.allocate(0, 4);
  const std::uint64_t shared = map({.length = 4 * kP});
  const std::uint64_t copied = map({.sharing = Sharing::private_copy, .length = 4 * kP});
  ASSERT_TRUE(process.store<std::uint8_t>(shared + kP, 5).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(copied + kP, 6).ok());

  ASSERT_TRUE(process.dont_need(shared + kP, kP).ok());
  ASSERT_TRUE(process.dont_need(copied + kP, kP).ok());

  EXPECT_EQ(process.pte(shared + kP).kind, PteState::Kind::none);
  EXPECT_EQ(process.pte(copied + kP).kind, PteState::Kind::none);
  EXPECT_EQ(process.load<std::uint8_t>(copied + kP).value(), 5);
}

TEST_F(ProcessAreas, MprotectSplitsAndJoinsAgain) {
  // Read-only in the middle, then writable again: one area as before, and its fault counts.
  const std::uint64_t at = map({.length = 8 * kP});
  ASSERT_TRUE(process.store<std::uint8_t>(at + 3 * kP, 1).ok());

  ASSERT_TRUE(process.mprotect(at + 2 * kP, 3 * kP, Prot::read).ok());
  EXPECT_THAT(areas(),
              ElementsAre(Bounds(at, at + 2 * kP), Bounds(at + 2 * kP, at + 5 * kP), Bounds(at + 5 * kP, at + 8 * kP)));
  EXPECT_EQ(code_of(process.store<std::uint8_t>(at + 3 * kP, 2)), SEGV_ACCERR);
  EXPECT_EQ(process.load<std::uint8_t>(at + 3 * kP).value(), 1) << "the page is still there";
  EXPECT_EQ(world.events.count(EventType::page_fault_user), 2U);

  ASSERT_TRUE(process.mprotect(at + 2 * kP, 3 * kP, Prot::read_write).ok());
  EXPECT_THAT(areas(), ElementsAre(Bounds(at, at + 8 * kP)));
  EXPECT_FALSE(process.pte(at + 3 * kP).writable) << "the file system has to be asked again";
  EXPECT_TRUE(process.store<std::uint8_t>(at + 3 * kP, 3).ok());
  EXPECT_EQ(process.fault_counts(at), (FaultCounts{.pte = 2, .pmd = 0, .cow = 0, .sigbus = 0}));
}

TEST_F(ProcessAreas, MprotectOfPrivateCopiesNeedsNoFaultAfterwards) {
  // A copy is the process's own: writable at once when the area is.
  const std::uint64_t at = map({.sharing = Sharing::private_copy, .length = 2 * kP});
  ASSERT_TRUE(process.store<std::uint8_t>(at, 1).ok());

  ASSERT_TRUE(process.mprotect(at, 2 * kP, Prot::read).ok());
  EXPECT_EQ(code_of(process.store<std::uint8_t>(at, 2)), SEGV_ACCERR);
  ASSERT_TRUE(process.mprotect(at, 2 * kP, Prot::read_write).ok());
  const std::uint64_t faults = world.events.count(EventType::page_fault_user);
  EXPECT_TRUE(process.store<std::uint8_t>(at, 3).ok());

  EXPECT_EQ(world.events.count(EventType::page_fault_user), faults);
  EXPECT_EQ(process.load<std::uint8_t>(at).value(), 3);
  EXPECT_EQ(inode.block(0)[0], std::byte{0});
}

TEST_F(ProcessAreas, APmdThatIsCutIsDroppedAndOneThatIsNotStays) {
  // g14: mprotect of one page drops its PMD, not its neighbour; munmap of half a PMD leaves the other half to refault.
  inode.use_pmds = true;
  const std::uint64_t at = map({.length = 8_MiB});
  const auto touch_all = [&] {
    for (std::uint64_t pmd = 0; pmd < 4; ++pmd) {
      ASSERT_TRUE(process.store<std::uint8_t>(at + pmd * kPmdSize, 1).ok());
    }
  };
  touch_all();

  ASSERT_TRUE(process.mprotect(at + 4 * kP, kP, Prot::read).ok());
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
  EXPECT_EQ(process.pte(at + kPmdSize).order, kPmdOrder);
  ASSERT_TRUE(process.mprotect(at + 2_MiB, 2_MiB, Prot::read).ok());
  EXPECT_EQ(process.pte(at + 2_MiB).order, kPmdOrder) << "whole: protected in place";
  EXPECT_FALSE(process.pte(at + 2_MiB).writable);
  ASSERT_TRUE(process.munmap(at + 5_MiB, 1_MiB).ok());

  EXPECT_EQ(process.pte(at + 4_MiB).kind, PteState::Kind::none);
  EXPECT_EQ(process.load<std::uint8_t>(at + 4_MiB).value(), 1);
  EXPECT_EQ(process.pte(at + 4_MiB).order, 0U);
  EXPECT_EQ(process.pte(at + 6_MiB).order, kPmdOrder);
}

TEST_F(ProcessAreas, MunmapFreesTheTablesInTheHole) {
  // A hole in the middle of an area gives its tables back at once; the tables at its rims stay while they are used.
  const std::uint64_t at = map({.length = 8_MiB});
  const std::uint64_t empty = world.arena.usage().in_use;
  for (std::uint64_t page = 0; page < 2048; page += 512) {
    ASSERT_TRUE(process.store<std::uint8_t>(at + page * kP, 1).ok());
  }
  const std::uint64_t full = world.arena.usage().in_use;
  const std::uint64_t table = (full - empty) / 5;  // a directory and four tables

  ASSERT_TRUE(process.munmap(at + 1_MiB, 4_MiB).ok());

  const std::uint64_t one_more_area = world.arena.usage().in_use - (full - table);
  EXPECT_LE(one_more_area, 512U);
  EXPECT_EQ(process.load<std::uint8_t>(at).value(), 1);
  EXPECT_EQ(process.load<std::uint8_t>(at + 6_MiB).value(), 1);
}

TEST_F(ProcessAreas, SplitsWithoutMemoryChangeNothing) {
  // The n-th allocation fails, for every n, in munmap and mprotect of the middle of an area.
  const std::uint64_t at = map({.length = 6 * kP});
  ASSERT_TRUE(process.store<std::uint8_t>(at + 2 * kP, 1).ok());
  const std::uint64_t before = world.arena.usage().in_use;
  const auto fails = [&](std::uint64_t nth, auto call) {
    world.arena.fail_from(nth);
    const Result<void> result = call();
    world.arena.fail_from(0);
    if (!result.ok()) {
      EXPECT_EQ(result.error(), Errno::enomem);
      EXPECT_EQ(world.arena.usage().in_use, before);
      EXPECT_THAT(areas(), ElementsAre(Bounds(at, at + 6 * kP)));
      EXPECT_TRUE(process.pte(at + 2 * kP).writable);
    }
    return !result.ok();
  };
  std::uint64_t nth = 1;
  while (fails(nth, [&] { return process.munmap(at + 2 * kP, kP); })) {
    ++nth;
  }
  EXPECT_EQ(nth, 3U);
  ASSERT_TRUE(process.munmap(at, 6 * kP).ok());
}

TEST_F(ProcessAreas, MprotectWithoutMemoryChangesNothing) {
  // Three pieces, so three allocations that may fail.
  const std::uint64_t at = map({.length = 6 * kP});
  ASSERT_TRUE(process.store<std::uint8_t>(at + 2 * kP, 1).ok());
  const std::uint64_t before = world.arena.usage().in_use;
  for (std::uint64_t nth = 1; nth <= 3; ++nth) {
    world.arena.fail_from(nth);
    EXPECT_ERRNO(process.mprotect(at + 2 * kP, kP, Prot::read), Errno::enomem);
    world.arena.fail_from(0);
    EXPECT_EQ(world.arena.usage().in_use, before);
    EXPECT_THAT(areas(), ElementsAre(Bounds(at, at + 6 * kP)));
    EXPECT_TRUE(process.pte(at + 2 * kP).writable);
  }
  EXPECT_TRUE(process.mprotect(at + 2 * kP, kP, Prot::read).ok());
}

TEST_F(ProcessAreas, AMappingKeepsItsFileOpen) {
  // Until its last piece is unmapped.
  auto file = world.open();
  const std::weak_ptr<OpenFile> watch = file;
  const std::uint64_t at = must(process.mmap(std::move(file), {.length = 4 * kP}));

  ASSERT_TRUE(process.munmap(at + kP, kP).ok());
  ASSERT_TRUE(process.munmap(at, kP).ok());
  EXPECT_FALSE(watch.expired());
  ASSERT_TRUE(process.munmap(at + 2 * kP, 2 * kP).ok());
  EXPECT_TRUE(watch.expired());
  EXPECT_EQ(code_of(process.load<std::uint8_t>(at + 3 * kP)), SEGV_MAPERR);
}

// --- exhaustive: every pair of operations on every range of a small area ---

enum class Op : std::uint8_t { unmap, protect, unprotect };

class ProcessSmallWorlds : public testing::TestWithParam<Sharing> {};

TEST_P(ProcessSmallWorlds, EveryPairOfRangeOperationsDoesWhatItSaysToEachPage) {
  // Five pages, two adjacent colours of state each; after any two operations each page is mapped or not, writable or
  // not, and has its bytes.
  constexpr std::uint64_t kPages = 5;
  struct Step {
    Op op;
    std::uint64_t from;
    std::uint64_t to;
  };
  std::vector<Step> steps;
  for (const Op op : {Op::unmap, Op::protect, Op::unprotect}) {
    for (std::uint64_t from = 0; from < kPages; ++from) {
      for (std::uint64_t to = from + 1; to <= kPages; ++to) {
        steps.push_back({op, from, to});
      }
    }
  }
  SoftWorld world{16};
  const std::uint64_t before = world.arena.usage().in_use;
  {
    Process process{world.system, 1};
    const auto file = world.open();
    for (const Step& first : steps) {
      for (const Step& second : steps) {
        const std::uint64_t at = must(process.mmap(file, {.sharing = GetParam(), .length = kPages * kP}));
        for (std::uint64_t page = 0; page < kPages; ++page) {
          ASSERT_TRUE(process.store<std::uint64_t>(at + page * kP, 100 + page).ok());
        }
        std::array<bool, kPages> mapped{true, true, true, true, true};
        std::array<bool, kPages> writable = mapped;

        for (const Step& step : {first, second}) {
          const std::uint64_t address = at + step.from * kP;
          const std::uint64_t length = (step.to - step.from) * kP;
          if (step.op == Op::unmap) {
            ASSERT_TRUE(process.munmap(address, length).ok());
            std::fill(mapped.begin() + step.from, mapped.begin() + step.to, false);
            continue;
          }
          const auto hole = std::find(mapped.begin() + step.from, mapped.begin() + step.to, false);
          std::fill(writable.begin() + step.from, writable.begin() + (hole - mapped.begin()), step.op == Op::unprotect);
          const Prot prot = step.op == Op::protect ? Prot::read : Prot::read_write;
          ASSERT_EQ(process.mprotect(address, length, prot).ok(), hole == mapped.begin() + step.to);
        }

        for (std::uint64_t page = 0; page < kPages; ++page) {
          const std::uint64_t address = at + page * kP;
          const int load_code = mapped[page] ? 0 : SEGV_MAPERR;
          ASSERT_EQ(code_of(process.store<std::uint8_t>(address + 8, 1)),
                    mapped[page] && !writable[page] ? SEGV_ACCERR : load_code);
          const AccessResult<std::uint64_t> loaded = process.load<std::uint64_t>(address);
          ASSERT_EQ(code_of(loaded), load_code);
          if (loaded.ok()) {
            ASSERT_EQ(*loaded, 100 + page);
          }
        }
        // Areas are as few as can be: one for each run of pages that are alike.
        std::uint64_t runs = 0;
        for (std::uint64_t page = 0; page < kPages; ++page) {
          const bool goes_on = page != 0 && mapped[page - 1] && writable[page - 1] == writable[page];
          runs += mapped[page] && !goes_on ? 1 : 0;
        }
        std::uint64_t found = 0;
        world.inode->mapping().for_each_vma(kAllPages, [&](Vma&) { ++found; });
        ASSERT_EQ(found, runs);
        ASSERT_TRUE(process.munmap(at, kPages * kP).ok());
      }
    }
  }
  EXPECT_EQ(world.arena.usage().in_use, before);
}

INSTANTIATE_TEST_SUITE_P(Sharing, ProcessSmallWorlds, testing::Values(Sharing::shared, Sharing::private_copy),
                         [](const auto& instance) {
                           return instance.param == Sharing::shared ? "shared" : "private_copy";
                         });

}  // namespace
}  // namespace daxsim::test
