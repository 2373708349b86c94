// SPDX-License-Identifier: BSD-3-Clause
// Faults: what they find, what they leave, what they say. Numbers are those of kernel facts, section 13.
#include <gtest/gtest.h>

#include <thread>

#include "dax/costs.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

using Names = std::vector<std::string>;
using Block = FakeInode::Block;
constexpr VmFlags kShared{};
constexpr VmFlags kPrivate{.shared = false};
constexpr VmFlags kSync{.shared = true, .write = true, .sync = true};
constexpr PageRange kFirstPmd{{0}, kPagesPerPmd};

bool ended_in(const Stored& stored, FaultOutcome outcome) { return !stored.has_value() && stored.error() == outcome; }
bool ended_in(const Loaded& loaded, FaultOutcome outcome) { return !loaded.has_value() && loaded.error() == outcome; }

// --- one page ---

// A hole reads as zero and allocates nothing; the events are those of the recordings (workload a).
TEST(PteFault, Scenario01_ReadOfAHole) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  const std::uint64_t first = world.events.next_id();

  EXPECT_EQ(area.load({0}), Loaded(0));

  EXPECT_TRUE(world.entry({0}).is_zero());
  EXPECT_FALSE(world.dirty({0}));
  EXPECT_EQ(world.file->block({0}), Block::hole);
  EXPECT_EQ(area.pte({0}).kind, PteState::Kind::zero_page);
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pte_fault", "dax_insert_entry", "dax_load_hole", "dax_pte_fault_done"}));
}

// A store into a hole that others read takes their zero page away, and they read the new bytes (workload b).
TEST(PteFault, Scenario02_StoreOverAMappedHole) {
  World world;
  FakeVma reader(*world.file, kShared, kArea, {{0}, 16});
  FakeVma writer(*world.file, kShared, kArea + kPmdSize, {{0}, 16});
  ASSERT_EQ(reader.load({2}), Loaded(0));
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(writer.store({2}, 7).has_value());

  EXPECT_EQ(world.names_since(first), (Names{"dax_pte_fault", "dax_direct_access", "dax_insert_entry",
                                             "unmap_mapping_pages", "dax_pte_fault_done"}));
  EXPECT_EQ(world.events.since(first).back().result, FaultOutcome::major | FaultOutcome::nopage);
  EXPECT_EQ(reader.load({2}), Loaded(7));
  EXPECT_TRUE(world.dirty({2}));
  EXPECT_EQ(world.broken_invariant({&reader, &writer}), "");
}

// A load then a store of the same page cost one fault each, and the second makes the entry dirty (workload c).
TEST(PteFault, Scenario03_LoadThenStore) {
  World world;
  world.file->set_blocks(kFirstPmd, Block::written);
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_EQ(area.load({0}), Loaded(0));
  EXPECT_FALSE(world.dirty({0}));
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(area.store({0}, 1).has_value());

  EXPECT_EQ(area.faults, 2U);
  EXPECT_TRUE(world.dirty({0}));
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pte_fault", "dax_direct_access", "dax_insert_entry", "dax_pte_fault_done"}));
  EXPECT_EQ(world.events.since(first).back().result, FaultOutcome::nopage);
  ASSERT_TRUE(area.store({0}, 2).has_value());
  EXPECT_EQ(area.faults, 2U);
}

// Beyond the end of the file there is nothing, and the index does not change. The page that the end cuts exists.
TEST(PteFault, Scenario04_05_EndOfFile) {
  World world;
  world.file->resize(5000);
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});

  EXPECT_TRUE(area.store({1}, 1).has_value());
  EXPECT_TRUE(ended_in(area.load({2}), FaultOutcome::sigbus));
  EXPECT_TRUE(ended_in(area.store({2}, 1), FaultOutcome::sigbus));

  EXPECT_EQ(world.file->mapping().pages().pages(), 1U);
}

// A private store copies and leaves file, entry and marks alone; what others store later is not seen.
TEST(PteFault, Scenario08_PrivateStore) {
  World world;
  FakeVma shared(*world.file, kShared, kArea, {{0}, 16});
  FakeVma area(*world.file, kPrivate, kArea + kPmdSize, {{0}, 16});
  ASSERT_TRUE(shared.store({1}, 5).has_value());
  must(world.file->fsync_range(kWholeFile, Datasync::no));
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(area.store({1}, 6, 8).has_value());

  EXPECT_EQ(area.load({1}), Loaded(5));
  EXPECT_EQ(world.events.since(first).back().result, FaultOutcome(FaultOutcome::done_cow).bits());
  EXPECT_TRUE(world.events.since(first).back().is_private);
  EXPECT_EQ(shared.load({1}, 8), Loaded(0));
  EXPECT_FALSE(world.dirty({1}));
  ASSERT_TRUE(shared.store({1}, 9).has_value());
  EXPECT_EQ(area.load({1}), Loaded(5));
}

// A private store into a hole allocates nothing and leaves an entry that has nothing (oracle, j16).
TEST(PteFault, PrivateStoreIntoAHole) {
  World world;
  FakeVma area(*world.file, kPrivate, kArea, {{0}, 16});

  ASSERT_TRUE(area.store({1}, 6).has_value());

  EXPECT_EQ(world.file->block({1}), Block::hole);
  EXPECT_TRUE(world.entry({1}).is_empty());
}

// Known bad memory ends a fault as HWPOISON, also as the source of a private copy.
TEST(PteFault, Scenario09_Poison) {
  World world;
  world.file->set_blocks(kFirstPmd, Block::written);
  world.view().on_direct_access = [](Pgoff page, std::uint64_t pages) -> Result<std::uint64_t> {
    if (page.value == 3) {
      return Errno::ehwpoison;
    }
    return pages;
  };
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  FakeVma copy(*world.file, kPrivate, kArea + kPmdSize, {{0}, 16});

  EXPECT_TRUE(ended_in(area.load({3}), FaultOutcome::hwpoison));
  EXPECT_TRUE(ended_in(copy.store({3}, 1), FaultOutcome::hwpoison));
  EXPECT_EQ(area.load({2}), Loaded(0));

  EXPECT_EQ(copy.pte({3}).kind, PteState::Kind::none);
  EXPECT_TRUE(world.entry({3}).is_null());
}

// Without memory for a node the fault is out of memory, at whichever allocation it happens, and leaves no trace.
TEST(PteFault, Scenario10_OutOfMemoryAtEveryAllocation) {
  for (std::uint64_t nth = 1;; ++nth) {
    World world;
    FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
    const std::uint64_t in_use = world.arena.usage().in_use;
    world.arena.fail_from(nth);

    const FaultOutcome outcome = area.fault({kPagesPerPmd + 70}, Access::write, 0);

    world.arena.fail_from(0);
    if (outcome.has(FaultOutcome::nopage)) {
      EXPECT_GT(nth, 1U);
      break;
    }
    EXPECT_EQ(outcome, FaultOutcome::oom);
    EXPECT_TRUE(world.file->mapping().pages().empty());
    EXPECT_EQ(world.arena.usage().in_use, in_use);
    EXPECT_EQ(world.file->block({kPagesPerPmd + 70}), Block::hole);
  }
}

// The same for a huge page: the fault does not fall back, since a small one would need the same memory.
TEST(PmdFault, OutOfMemory) {
  World world;
  FakeVma area(*world.file, kShared, kArea, kFirstPmd);
  world.arena.fail_from(1);
  EXPECT_EQ(area.fault({0}, Access::write, kPmdOrder), FaultOutcome::oom);
  world.arena.fail_from(0);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// An answer that is not for the page asked is an error of the file system.
TEST(PteFault, Scenario11_AnswerTooShort) {
  World world;
  world.file->longest = 0;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  EXPECT_TRUE(ended_in(area.load({0}), FaultOutcome::sigbus));
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// A dead device ends the fault in a bus error and leaves no entry.
TEST(PteFault, Scenario12_DeadDevice) {
  World world;
  world.file->set_blocks(kFirstPmd, Block::written);
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(world.device->advance(LifeState::dax_dead).ok());
  const std::uint64_t first = world.events.next_id();

  EXPECT_TRUE(ended_in(area.load({0}), FaultOutcome::sigbus));

  EXPECT_EQ(world.names_since(first), (Names{"dax_pte_fault", "dax_direct_access", "dax_pte_fault_done"}));
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// A file system that is shut down ends every fault, whatever is mapped, in a bus error; the device is not asked.
TEST(PteFault, ShutDown) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 2 * kPagesPerPmd});
  world.super_block->shutdown(Errno::eio);
  const std::uint64_t first = world.events.next_id();

  EXPECT_EQ(area.fault({0}, Access::read, kPmdOrder), FaultOutcome::sigbus);
  EXPECT_EQ(area.fault({0}, Access::write, 0), FaultOutcome::sigbus);

  EXPECT_EQ(world.file->lookups, 0U);
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pmd_fault", "dax_pmd_fault_done", "dax_pte_fault", "dax_pte_fault_done"}));
}

// Each kind of error of the file system has its outcome, and leaves the index as it was.
TEST(PteFault, ErrorsOfTheFileSystem) {
  const std::pair<Errno, FaultOutcome> kTable[] = {{Errno::enomem, FaultOutcome::oom},
                                                   {Errno::ehwpoison, FaultOutcome::hwpoison},
                                                   {Errno::enospc, FaultOutcome::sigbus},
                                                   {Errno::eio, FaultOutcome::sigbus}};
  for (const auto& [error, outcome] : kTable) {
    World world;
    world.file->on_direct_access = [failure = error](PageRange, Access) { return Result<void>(failure); };
    FakeVma shared(*world.file, kShared, kArea, {{0}, 16});
    FakeVma copy(*world.file, kPrivate, kArea + kPmdSize, {{0}, 16});
    EXPECT_TRUE(ended_in(shared.load({0}), outcome));
    EXPECT_TRUE(ended_in(shared.store({0}, 1), outcome));
    EXPECT_TRUE(ended_in(copy.store({0}, 1), outcome));
    EXPECT_TRUE(world.file->mapping().pages().empty());
  }
}

// What is not memory cannot be mapped here.
TEST(PteFault, NotDirect) {
  World world;
  world.file->set_blocks(kFirstPmd, Block::not_direct);
  FakeVma shared(*world.file, kShared, kArea, kFirstPmd);
  FakeVma copy(*world.file, kPrivate, kArea + 2 * kPmdSize, {{0}, 16});
  EXPECT_TRUE(ended_in(shared.load({0}), FaultOutcome::sigbus));
  EXPECT_TRUE(ended_in(shared.store({0}, 1), FaultOutcome::sigbus));
  EXPECT_TRUE(ended_in(copy.store({0}, 1), FaultOutcome::sigbus));
}

// A page table that cannot be made is the fault's outcome, for private copies and holes as well.
TEST(PteFault, InstallFails) {
  World world;
  FakeVma shared(*world.file, kShared, kArea, {{0}, 16});
  FakeVma copy(*world.file, kPrivate, kArea + kPmdSize, {{0}, 16});
  shared.install_fails = FaultOutcome(FaultOutcome::oom);
  copy.install_fails = FaultOutcome(FaultOutcome::oom);
  EXPECT_TRUE(ended_in(shared.load({0}), FaultOutcome::oom));
  EXPECT_TRUE(ended_in(copy.store({0}, 1), FaultOutcome::oom));
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// A design whose payload does not fit refuses the fault.
TEST(PteFault, PayloadThatDoesNotFit) {
  class Wide final : public IndexDesign {
   public:
    [[nodiscard]] std::string_view name() const noexcept override { return "wide"; }
    [[nodiscard]] Result<std::uint64_t> encode(const FileExtent&) const noexcept override { return Errno::eoverflow; }
    [[nodiscard]] Result<FlushTarget> resolve(System&, Inode&, const StoredEntry&, PageRange) const noexcept override {
      return Errno::enxio;
    }
  } wide;
  World world;
  const dax::Context context{.system = world.system, .design = wide, .policy = {}};
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  FaultRequest request{
      .vma = area, .pgoff = {0}, .address = kArea, .flags = fault_flag::kUserFault | fault_flag::kWrite};

  EXPECT_EQ(dax::fault(context, *world.file, request), FaultOutcome::sigbus);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

// What a design stores has to fit the word of the era, too.
TEST(PteFault, PayloadThatDoesNotFitTheWord) {
  World world;
  EntryLayout narrow = layouts::v4_20;
  narrow.word_bits = narrow.payload_shift + 18;  // MemoryMap::kFirst has 19 bits
  for (const bool fits : {false, true}) {
    narrow.word_bits += fits ? 1U : 0U;
    const dax::Context context{.system = world.system, .design = designs::pfn(), .layout = narrow};
    FakeVma area(*world.file, kShared, kArea, {{0}, 16});
    FaultRequest request{
        .vma = area, .pgoff = {0}, .address = kArea, .flags = fault_flag::kUserFault | fault_flag::kWrite};

    EXPECT_EQ(dax::fault(context, *world.file, request), fits ? FaultOutcome::nopage : FaultOutcome::sigbus);
    EXPECT_EQ(world.file->mapping().pages().empty(), !fits);
  }
}

// A fault costs virtual time, whatever its outcome.
TEST(PteFault, AdvancesTheClock) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  const auto before = world.clock.now();
  area.fault({0}, Access::read, 0);
  EXPECT_EQ(world.clock.now() - before, dax::costs::kFault);
}

// 6.1 marked what was only read dirty, holes too; fsync flushes the zero page then (workload a7).
TEST(PteFault, ReadFaultMarksDirtyInThatPolicy) {
  World world({.policy = {.read_fault = ReadFaultEntry::dirty}});
  world.file->set_blocks({{0}, 1}, Block::written);
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.load({0}).has_value());
  ASSERT_TRUE(area.load({1}).has_value());
  EXPECT_TRUE(world.dirty({0}));
  EXPECT_TRUE(world.dirty({1}));
  const std::uint64_t first = world.events.next_id();
  must(dax::writeback_range(world.context, world.file->mapping(), {0, ~std::uint64_t{0}}));
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_writeback_range", "pfn_mkclean_range", "dax_flush", "dax_writeback_one", "pfn_mkclean_range",
                   "dax_flush", "dax_writeback_one", "dax_writeback_range_done"}));
  EXPECT_FALSE(world.dirty({1}));
}

// Without the step, a reader of the former hole keeps its zero page: the bug can be shown.
TEST(PteFault, SkippedUnmapOfZeroPages) {
  World world({.policy = Policy{}.without(Step::unmap_zero_page_on_write)});
  FakeVma reader(*world.file, kShared, kArea, {{0}, 16});
  FakeVma writer(*world.file, kShared, kArea + kPmdSize, {{0}, 16});
  ASSERT_EQ(reader.load({0}), Loaded(0));
  ASSERT_TRUE(writer.store({0}, 7).has_value());
  EXPECT_EQ(reader.load({0}), Loaded(0));
}

// --- 2 MiB ---

struct PmdWorld : World {
  explicit PmdWorld(const WorldOptions& options = {}) : World(options) {}
  FakeVma area{*file, kShared, kArea, {{0}, 2 * kPagesPerPmd}};
};

// A store makes one huge entry and mapping where everything is aligned (workload g).
TEST(PmdFault, Store) {
  PmdWorld world;
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(world.area.store({5}, 1).has_value());

  EXPECT_EQ(world.entry({0}).order(), kPmdOrder);
  EXPECT_TRUE(world.dirty({511}));
  EXPECT_EQ(world.area.pte({9}).order, kPmdOrder);
  const std::vector<Event> events = world.events.since(first);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(events[1].ret, 512);
  EXPECT_EQ(fs_dax_text(events[3]),
            "dax_pmd_fault_done: dev 259:0 ino 0xf shared WRITE|ALLOW_RETRY|KILLABLE|USER|INTERRUPTIBLE address "
            "0x200000005000 vm_start 0x200000000000 vm_end 0x200000400000 pgoff 0x5 max_pgoff 0x400 NOPAGE");
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pmd_fault", "dax_direct_access", "dax_insert_entry", "dax_pmd_fault_done"}));
  EXPECT_EQ(world.broken_invariant({&world.area}), "");
}

// A hole of 2 MiB is read through the huge zero page.
TEST(PmdFault, LoadOfAHole) {
  PmdWorld world;
  const std::uint64_t first = world.events.next_id();

  EXPECT_EQ(world.area.load({5}), Loaded(0));

  EXPECT_TRUE(world.entry({0}).is_zero());
  EXPECT_EQ(world.entry({0}).order(), kPmdOrder);
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pmd_fault", "dax_insert_entry", "dax_pmd_load_hole", "dax_pmd_fault_done"}));
}

// A store over the huge zero page takes it away everywhere and puts 2 MiB of storage in its place.
TEST(PmdFault, StoreOverAHugeHole) {
  PmdWorld world;
  FakeVma reader(*world.file, kShared, kArea + 4 * kPmdSize, {{0}, kPagesPerPmd});
  ASSERT_EQ(reader.load({100}), Loaded(0));
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(world.area.store({100}, 3).has_value());

  EXPECT_EQ(world.names_since(first), (Names{"dax_pmd_fault", "dax_direct_access", "dax_insert_entry",
                                             "unmap_mapping_pages", "dax_pmd_fault_done"}));
  EXPECT_EQ(reader.load({100}), Loaded(3));
}

// Every condition under which a huge page is not possible: the fault falls back and leaves the index alone.
TEST(PmdFault, Scenario13_Colour) {
  World world;
  FakeVma area(*world.file, kShared, kArea + kPageSize, {{0}, 2 * kPagesPerPmd});
  EXPECT_EQ(area.fault({kPagesPerPmd - 1}, Access::write, kPmdOrder), FaultOutcome::fallback);
  ASSERT_TRUE(area.store({3}, 1).has_value());
  EXPECT_EQ(world.entry({3}).order(), 0U);
}

TEST(PmdFault, AreaTooSmall) {
  World world;
  FakeVma late(*world.file, kShared, kArea + kPageSize, {{1}, kPagesPerPmd - 1});
  FakeVma early(*world.file, kShared, kArea + 4 * kPmdSize, {{0}, kPagesPerPmd - 1});
  EXPECT_EQ(late.fault({3}, Access::write, kPmdOrder), FaultOutcome::fallback);
  EXPECT_EQ(early.fault({3}, Access::write, kPmdOrder), FaultOutcome::fallback);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

TEST(PmdFault, Scenario14_EndOfFileInside) {
  PmdWorld world;
  world.file->resize(kPmdSize + kPmdSize / 2);
  ASSERT_TRUE(world.area.store({0}, 1).has_value());
  ASSERT_TRUE(world.area.store({kPagesPerPmd}, 1).has_value());
  EXPECT_EQ(world.entry({0}).order(), kPmdOrder);
  EXPECT_EQ(world.entry({kPagesPerPmd}).order(), 0U);
}

TEST(PmdFault, BeyondEndOfFile) {
  PmdWorld world;
  world.file->resize(kPmdSize);
  EXPECT_EQ(world.area.fault({kPagesPerPmd + 1}, Access::read, kPmdOrder), FaultOutcome::sigbus);
}

TEST(PmdFault, Scenario15_SmallEntryInRange) {
  PmdWorld world;
  FakeVma small(*world.file, kShared, kArea + 4 * kPmdSize, {{0}, 16});
  ASSERT_TRUE(small.store({7}, 1).has_value());
  const Entry before = world.entry({7});

  EXPECT_EQ(world.area.fault({0}, Access::read, kPmdOrder), FaultOutcome::fallback);

  EXPECT_EQ(world.entry({7}), before);
  EXPECT_EQ(world.file->mapping().pages().pages(), 1U);
}

TEST(PmdFault, PageTableInTheWay) {
  PmdWorld world;
  world.area.tries_pmd = false;
  ASSERT_TRUE(world.area.load({7}).has_value());
  dax::evict(world.context, *world.file);  // entries may go while page tables stay
  const std::uint64_t lookups = world.file->lookups;
  EXPECT_EQ(world.area.fault({0}, Access::read, kPmdOrder), FaultOutcome::nopage);
  EXPECT_EQ(world.file->lookups, lookups);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

TEST(PmdFault, PageTableAppearsMeanwhile) {
  PmdWorld world;
  world.area.install_fails = FaultOutcome(FaultOutcome::fallback);
  EXPECT_EQ(world.area.fault({0}, Access::write, kPmdOrder), FaultOutcome::fallback);
  EXPECT_EQ(world.area.fault({0}, Access::read, kPmdOrder), FaultOutcome::fallback);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

TEST(PmdFault, Scenario16_DowngradeOfAHugeHole) {
  World world;
  FakeVma one(*world.file, kShared, kArea, kFirstPmd);
  FakeVma two(*world.file, kShared, kArea + 4 * kPmdSize, kFirstPmd);
  FakeVma three(*world.file, kShared, kArea + 8 * kPmdSize + kPageSize, {{1}, 16});
  ASSERT_TRUE(one.load({0}).has_value());
  ASSERT_TRUE(two.load({0}).has_value());
  ASSERT_EQ(one.pte({0}).order, kPmdOrder);

  ASSERT_TRUE(three.store({1}, 4).has_value());

  EXPECT_EQ(one.pte({0}).kind, PteState::Kind::none);
  EXPECT_EQ(two.pte({5}).kind, PteState::Kind::none);
  EXPECT_EQ(world.file->mapping().pages().pages(), 1U);
  EXPECT_TRUE(world.dirty({1}));
  EXPECT_EQ(one.load({1}), Loaded(4));
}

TEST(PmdFault, Scenario17_SmallFaultOnAHugeEntry) {
  PmdWorld world;
  FakeVma small(*world.file, kShared, kArea + 8 * kPmdSize + kPageSize, {{1}, 16});
  world.file->set_blocks(kFirstPmd, Block::written);
  ASSERT_TRUE(world.area.load({0}).has_value());
  const Entry before = world.entry({0});
  EXPECT_FALSE(world.dirty({0}));

  ASSERT_TRUE(small.store({3}, 1).has_value());

  EXPECT_EQ(world.entry({3}), before);
  EXPECT_EQ(world.entry({3}).order(), kPmdOrder);
  EXPECT_TRUE(world.dirty({0}));
  EXPECT_EQ(small.pte({3}).order, 0U);
  EXPECT_EQ(world.area.load({3}), Loaded(1));
  must(world.file->fsync_range(kWholeFile, Datasync::no));
  EXPECT_EQ(world.events.since(1)[world.events.next_id() - 5].length, kPmdSize);
}

TEST(PmdFault, Scenario18_ShortAnswerOfTheDevice) {
  PmdWorld world;
  world.view().on_direct_access = [](Pgoff, std::uint64_t pages) -> Result<std::uint64_t> {
    return std::min<std::uint64_t>(pages, 256);
  };
  ASSERT_TRUE(world.area.store({0}, 1).has_value());
  EXPECT_EQ(world.entry({0}).order(), 0U);
}

TEST(PmdFault, ShortAnswerOfTheFileSystem) {
  PmdWorld world;
  world.file->longest = 256;
  ASSERT_TRUE(world.area.store({0}, 1).has_value());
  ASSERT_TRUE(world.area.load({1}).has_value());
  EXPECT_EQ(world.entry({0}).order(), 0U);
}

TEST(PmdFault, Scenario19_MisalignedMemory) {
  PmdWorld world({.base = {1}});
  ASSERT_TRUE(world.area.store({0}, 1).has_value());
  EXPECT_EQ(world.entry({0}).order(), 0U);
  EXPECT_EQ(world.entry({0}).payload(), world.pfn({0}).value);
}

TEST(PmdFault, ErrorsAreLeftToTheSmallFault) {
  PmdWorld world;
  world.file->on_direct_access = [](PageRange, Access) { return Result<void>(Errno::enospc); };
  EXPECT_EQ(world.area.fault({0}, Access::write, kPmdOrder), FaultOutcome::fallback);
  EXPECT_TRUE(world.file->mapping().pages().empty());
}

TEST(PmdFault, NotDirect) {
  PmdWorld world;
  world.file->set_blocks(kFirstPmd, Block::not_direct);
  EXPECT_EQ(world.area.fault({0}, Access::read, kPmdOrder), FaultOutcome::fallback);
}

// A private store falls back; the huge page that was read before leaves the page table, the copy is one page.
TEST(PmdFault, PrivateStoreSplits) {
  World world;
  FakeVma area(*world.file, kPrivate, kArea, kFirstPmd);
  ASSERT_EQ(area.load({3}), Loaded(0));
  ASSERT_EQ(area.pte({3}).order, kPmdOrder);
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(area.store({3}, 1).has_value());

  EXPECT_EQ(area.pte({3}).kind, PteState::Kind::private_copy);
  EXPECT_EQ(area.pte({4}).kind, PteState::Kind::none);
  EXPECT_EQ(world.names_since(first), (Names{"dax_pmd_fault", "__split_huge_pmd", "dax_pmd_fault_done", "dax_pte_fault",
                                             "unmap_mapping_pages", "dax_pte_fault_done"}));
}

// --- MAP_SYNC ---

// A store to a new block commits before the page is writable; the page is dirty after (workload e).
TEST(SyncFault, CommitsBeforeItInstalls) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  bool writable_before_commit = false;
  world.file->on_commit = [&] {
    writable_before_commit = area.pte({4}).kind != PteState::Kind::none || world.dirty({4});
    return Result<void>{};
  };
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(area.store({4}, 1).has_value());

  EXPECT_FALSE(writable_before_commit);
  EXPECT_EQ(world.file->commits, 1U);
  EXPECT_TRUE(world.dirty({4}));
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pte_fault", "dax_direct_access", "dax_insert_entry", "dax_pte_fault_done",
                   "dax_finish_sync_fault", "blkdev_issue_flush", "dax_insert_pfn_mkwrite"}));
  EXPECT_EQ(world.events.since(first)[3].result, FaultOutcome::major | FaultOutcome::needdsync);
  EXPECT_EQ(world.broken_invariant({&area}), "");
}

// Nothing to commit, no commit. (e1)
TEST(SyncFault, CommittedBlocksNeedNone) {
  World world;
  world.file->set_blocks(kFirstPmd, Block::written);
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({4}, 1).has_value());
  EXPECT_EQ(world.file->commits, 0U);
}

// A commit that fails ends the fault in a bus error; nothing is installed.
TEST(SyncFault, Scenario22_CommitFails) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  world.file->on_commit = [] { return Result<void>(Errno::enospc); };
  EXPECT_TRUE(ended_in(area.store({4}, 1), FaultOutcome::sigbus));
  EXPECT_EQ(area.pte({4}).kind, PteState::Kind::none);
  EXPECT_FALSE(world.dirty({4}));
}

// Huge pages commit too, once.
TEST(SyncFault, Pmd) {
  World world;
  FakeVma area(*world.file, kSync, kArea, kFirstPmd);
  ASSERT_TRUE(area.store({4}, 1).has_value());
  EXPECT_EQ(area.pte({4}).order, kPmdOrder);
  EXPECT_EQ(world.file->commits, 1U);
  EXPECT_TRUE(world.dirty({0}));
}

// When the page changed between commit and finish, the CPU tries again: truncated (23), or of another size (31).
TEST(SyncFault, Scenario23_TruncatedBeforeTheFinish) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  world.file->on_commit = [&] {
    std::thread([&] { must(world.file->truncate(0)); }).join();
    return Result<void>{};
  };
  EXPECT_EQ(area.fault({4}, Access::write, 0), FaultOutcome::nopage);
  EXPECT_EQ(world.events.count(EventType::dax_insert_pfn_mkwrite_no_entry), 1U);
  EXPECT_EQ(area.pte({4}).kind, PteState::Kind::none);
  world.file->on_commit = nullptr;
  EXPECT_TRUE(ended_in(area.store({4}, 1), FaultOutcome::sigbus));
}

TEST(SyncFault, HoleAgainBeforeTheFinish) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  FakeVma reader(*world.file, kShared, kArea + kPmdSize, {{0}, 16});
  world.file->on_commit = [&] {
    std::thread([&] {
      must(world.file->fallocate(Fallocate::punch_hole, {byte_of({4}), kPageSize}));
      EXPECT_TRUE(reader.load({4}).has_value());
    }).join();
    return Result<void>{};
  };
  EXPECT_EQ(area.fault({4}, Access::write, 0), FaultOutcome::nopage);
  EXPECT_EQ(area.pte({4}).kind, PteState::Kind::none);
  EXPECT_TRUE(world.entry({4}).is_zero());
}

TEST(SyncFault, ShutDownBeforeTheFinish) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  world.file->on_commit = [&] {
    world.super_block->shutdown(Errno::eio);
    return Result<void>{};
  };
  EXPECT_EQ(area.fault({4}, Access::write, 0), FaultOutcome::sigbus);
  EXPECT_EQ(area.pte({4}).kind, PteState::Kind::none);
}

// A page table that cannot be made at the finish leaves the entry clean.
TEST(SyncFault, InstallFailsAtTheFinish) {
  World world;
  FakeVma area(*world.file, kSync, kArea, {{0}, 16});
  area.install_fails = FaultOutcome(FaultOutcome::oom);
  EXPECT_TRUE(ended_in(area.store({4}, 1), FaultOutcome::oom));
  EXPECT_TRUE(world.entry({4}).is_real());
  EXPECT_FALSE(world.dirty({4}));
}

}  // namespace
}  // namespace daxsim::test
