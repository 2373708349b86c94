// SPDX-License-Identifier: BSD-3-Clause
// Loads and stores of simulated processes: values, faults, their order and flags, and the signals they end in.
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

constexpr std::uint32_t kPte = fault_flag::kUserFault;
constexpr std::uint32_t kPmd = fault_flag::kUserFault | SoftInode::kPmd;

template <class T>
FaultSignal signal_of(const AccessResult<T>& result) {
  return result.ok() ? FaultSignal() : result.error();
}

class ProcessAccess : public testing::Test {
 protected:
  std::uint64_t map(const MapOptions& options = {}) { return must(process.mmap(world.open(), options)); }

  SoftWorld world{2048};
  SoftInode& inode = *world.inode;
  Process process{world.system, 7};
};

TEST_F(ProcessAccess, AStoredValueIsLoadedAndLiesInTheFile) {
  // A round trip through the page tables reaches the block of the file, at the right byte.
  const std::uint64_t at = map();

  ASSERT_TRUE(process.store<std::uint32_t>(at + 0x3008, 0xdecade).ok());

  EXPECT_EQ(process.load<std::uint32_t>(at + 0x3008).value(), 0xdecadeU);
  std::uint32_t in_file = 0;
  std::memcpy(&in_file, inode.block(3) + 8, 4);
  EXPECT_EQ(in_file, 0xdecadeU);
}

TEST_F(ProcessAccess, ValuesOfEveryWidthAndAlignmentSurvive) {
  // Unaligned accesses, and those that cross a page, are pieced together without touching their neighbours.
  const std::uint64_t at = map();
  struct Wide {
    std::array<std::uint8_t, 23> bytes;
  };
  Wide wide{};
  for (std::size_t i = 0; i < wide.bytes.size(); ++i) {
    wide.bytes[i] = static_cast<std::uint8_t>(i + 1);
  }
  for (std::uint64_t offset = 2 * kPageSize - 30; offset < 2 * kPageSize + 8; ++offset) {
    ASSERT_TRUE(process.store<std::uint8_t>(at + offset - 1, 0xee).ok());
    ASSERT_TRUE(process.store<std::uint8_t>(at + offset + 23, 0xdd).ok());

    ASSERT_TRUE(process.store(at + offset, wide).ok());

    EXPECT_EQ(process.load<Wide>(at + offset).value().bytes, wide.bytes) << offset;
    EXPECT_EQ(process.load<std::uint8_t>(at + offset - 1).value(), 0xee) << offset;
    EXPECT_EQ(process.load<std::uint8_t>(at + offset + 23).value(), 0xdd) << offset;
    EXPECT_EQ(process.load<std::uint16_t>(at + offset).value(), 0x0201) << offset;
    EXPECT_EQ(process.load<std::uint64_t>(at + offset).value(), 0x0807060504030201U) << offset;
  }
}

TEST_F(ProcessAccess, AStoreThatCrossesIntoAFaultingPageStoresNothing) {
  // As a real store: the fault comes before any byte is written.
  inode.resize(kPageSize);
  const std::uint64_t at = map({.length = 2 * kPageSize});

  const FaultSignal signal = signal_of(process.store<std::uint64_t>(at + kPageSize - 4, ~std::uint64_t{0}));

  EXPECT_EQ(signal, (FaultSignal{SIGBUS, BUS_ADRERR, at + kPageSize, 0}));
  EXPECT_EQ(process.load<std::uint32_t>(at + kPageSize - 4).value(), 0U);
}

TEST_F(ProcessAccess, BulkReadAndWriteCopyUpToTheFault) {
  // memcpy into a mapping that ends in SIGBUS has copied what lay before.
  inode.resize(2 * kPageSize);
  const std::uint64_t at = map({.length = 4 * kPageSize});
  std::vector<std::byte> data(3 * kPageSize, std::byte{0x5a});

  const FaultSignal signal = signal_of(process.write(at + 100, data));

  EXPECT_EQ(signal, (FaultSignal{SIGBUS, BUS_ADRERR, at + 2 * kPageSize, 0}));
  std::vector<std::byte> back(2 * kPageSize - 100);
  ASSERT_TRUE(process.read(at + 100, back).ok());
  EXPECT_EQ(std::count(back.begin(), back.end(), std::byte{0x5a}), 2 * kPageSize - 100);
}

TEST_F(ProcessAccess, FirstTouchTriesPmdTwiceThenPte) {
  // samples/6.12-ext4-c: the first touch of an empty 2 MiB, then its neighbour, then the upgrade of a read-only page.
  inode.allocate(0, 3);
  const std::uint64_t at = map({.length = 64_KiB});

  ASSERT_TRUE(process.load<std::uint8_t>(at).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(at, 1).ok());
  ASSERT_TRUE(process.load<std::uint8_t>(at + kPageSize).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(at + 2 * kPageSize, 1).ok());
  ASSERT_TRUE(process.load<std::uint8_t>(at + 2 * kPageSize).ok());

  EXPECT_THAT(inode.flags_seen,
              ElementsAre(kPmd | fault_flag::kVmaLock, kPmd, kPte,
                          kPte | fault_flag::kWrite | fault_flag::kMkwrite | fault_flag::kOrigPteValid,
                          kPte | fault_flag::kOrigPteValid, kPte | fault_flag::kWrite | fault_flag::kOrigPteValid));
  EXPECT_EQ(process.fault_counts(at), (FaultCounts{.pte = 4, .pmd = 0, .cow = 0, .sigbus = 0}));
}

TEST_F(ProcessAccess, EventsAreTheKernels) {
  // page_fault_user with the x86 error code, then the insert, in this order and with these fields.
  inode.allocate(1);
  const std::uint64_t at = map({.length = 64_KiB});

  ASSERT_TRUE(process.load<std::uint8_t>(at + 0x1234).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(at + 0x1234, 1).ok());

  const std::vector<Event> events = world.events.since(1);
  ASSERT_EQ(events.size(), 4U);
  EXPECT_EQ(fs_dax_text(events[0]), "page_fault_user: address=0x200000001234 error_code=0x4");
  EXPECT_EQ(events[1].type, EventType::vmf_insert_mixed);
  EXPECT_EQ(events[1].address, at + 0x1000);
  EXPECT_EQ(events[1].pfn, inode.pfn(1));
  EXPECT_EQ(events[1].ino, 14U);
  EXPECT_EQ(events[1].task, 7U);
  EXPECT_EQ(events[2].flags, 7U);
  EXPECT_EQ(events[3].type, EventType::vmf_insert_mixed_mkwrite);
}

TEST_F(ProcessAccess, HolesReadAsTheZeroPageUntilStoredTo) {
  // F13.1 and F13.2: no block for a load; the store of another process takes the zero page away from this one.
  Process other{world.system, 8};
  const std::uint64_t here = map();
  const std::uint64_t there = must(other.mmap(world.open(), {}));

  EXPECT_EQ(process.load<std::uint64_t>(here + 0x5000).value(), 0U);
  EXPECT_EQ(process.pte(here + 0x5000).kind, PteState::Kind::zero_page);
  EXPECT_EQ(process.pte(here + 0x5000).pfn, kZeroPfn);
  EXPECT_FALSE(inode.allocated(5));
  ASSERT_TRUE(other.store<std::uint64_t>(there + 0x5000, 7).ok());

  EXPECT_EQ(process.pte(here + 0x5000).kind, PteState::Kind::none);
  EXPECT_EQ(process.load<std::uint64_t>(here + 0x5000).value(), 7U);
  EXPECT_EQ(process.pte(here + 0x5000).pfn, inode.pfn(5));
  EXPECT_FALSE(process.pte(here + 0x5000).writable);
}

TEST_F(ProcessAccess, SignalsNameWhatWentWrong) {
  // Every way to end, with number, code, address and lsb; each is announced by signal_generate.
  inode.resize(5000);
  const std::uint64_t at = map({.length = 4 * kPageSize});
  const std::uint64_t read_only = must(process.mmap(world.open(OpenMode::read_only), {.prot = Prot::read}));
  ASSERT_TRUE(process.load<std::uint8_t>(at + kPageSize + 4000).ok()) << "the last page has bytes beyond EOF";

  EXPECT_EQ(signal_of(process.load<std::uint8_t>(at + 2 * kPageSize + 5)),
            (FaultSignal{SIGBUS, BUS_ADRERR, at + 2 * kPageSize + 5, 0}));
  EXPECT_EQ(signal_of(process.load<std::uint8_t>(at + 4 * kPageSize)),
            (FaultSignal{SIGSEGV, SEGV_MAPERR, at + 4 * kPageSize, 0}));
  EXPECT_EQ(signal_of(process.store<std::uint8_t>(0, 0)), (FaultSignal{SIGSEGV, SEGV_MAPERR, 0, 0}));
  EXPECT_EQ(signal_of(process.store<std::uint8_t>(read_only, 0)), (FaultSignal{SIGSEGV, SEGV_ACCERR, read_only, 0}));
  inode.forced[0] = FaultOutcome::hwpoison;
  EXPECT_EQ(signal_of(process.load<std::uint8_t>(at)), (FaultSignal{SIGBUS, BUS_MCEERR_AR, at, 12}));
  inode.forced[1] = FaultOutcome::hwpoison;
  const std::uint64_t fresh = map({.offset = 0, .length = 4_MiB});
  EXPECT_EQ(signal_of(process.load<std::uint8_t>(fresh)), (FaultSignal{SIGBUS, BUS_MCEERR_AR, fresh, 21}));
  inode.forced[1] = FaultOutcome::oom;
  EXPECT_EQ(signal_of(process.load<std::uint8_t>(fresh)), (FaultSignal{SIGKILL, SI_KERNEL, fresh, 0}));

  EXPECT_EQ(world.events.count(EventType::signal_generate), 7U);
  EXPECT_EQ(process.fault_counts(at).sigbus, 2U);
  EXPECT_EQ(process.fault_counts(fresh).sigbus, 1U);
}

TEST_F(ProcessAccess, ARetryFaultsAgainAndIsReportedOnce) {
  // VM_FAULT_RETRY: the handler had to wait; the fault is taken again without another page_fault_user.
  int tries = 0;
  inode.forced[0] = FaultOutcome::retry;
  inode.on_fault = [&](FaultRequest& request) {
    if (request.order == 0 && ++tries == 3) {
      inode.forced[0].reset();
    }
  };
  const std::uint64_t at = map();

  EXPECT_TRUE(process.store<std::uint8_t>(at, 1).ok());

  EXPECT_EQ(tries, 3);
  EXPECT_EQ(world.events.count(EventType::page_fault_user), 1U);
}

TEST_F(ProcessAccess, PrivateStoresCopyAndTheFileKeepsItsBytes) {
  // Oracle workload j: store first is DONE_COW through the file system, store after load is copied by mm alone.
  inode.allocate(0, 2);
  *inode.block(0) = std::byte{0x11};
  *inode.block(1) = std::byte{0x22};
  const std::uint64_t at = map({.sharing = Sharing::private_copy, .length = 64_KiB});

  ASSERT_TRUE(process.store<std::uint8_t>(at + 1, 0xaa).ok());
  EXPECT_THAT(inode.flags_seen, ElementsAre(kPmd | fault_flag::kWrite | fault_flag::kVmaLock, kPmd | fault_flag::kWrite,
                                            kPte | fault_flag::kWrite));
  ASSERT_TRUE(process.load<std::uint8_t>(at + kPageSize).ok());
  inode.flags_seen.clear();
  ASSERT_TRUE(process.store<std::uint8_t>(at + kPageSize + 1, 0xbb).ok());
  EXPECT_THAT(inode.flags_seen, IsEmpty());
  ASSERT_TRUE(process.store<std::uint8_t>(at + 5 * kPageSize, 0xcc).ok()) << "a hole";

  EXPECT_EQ(process.load<std::uint16_t>(at).value(), 0xaa11);
  EXPECT_EQ(process.load<std::uint16_t>(at + kPageSize).value(), 0xbb22);
  EXPECT_EQ(inode.block(0)[1], std::byte{0});
  EXPECT_EQ(inode.block(1)[1], std::byte{0});
  EXPECT_FALSE(inode.allocated(5));
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::private_copy);
  EXPECT_TRUE(process.pte(at).writable);
  EXPECT_EQ(process.fault_counts(at), (FaultCounts{.pte = 1, .pmd = 0, .cow = 3, .sigbus = 0}));
}

TEST_F(ProcessAccess, PrivateCopiesSurvivePunchButNotTruncate) {
  // Vma I3, and F13 workload f: truncate takes copies too.
  inode.allocate(0, 2);
  const std::uint64_t at = map({.sharing = Sharing::private_copy, .length = 64_KiB});
  ASSERT_TRUE(process.store<std::uint8_t>(at, 0xaa).ok());
  ASSERT_TRUE(process.load<std::uint8_t>(at + kPageSize).ok());

  inode.punch(0, 2);
  EXPECT_EQ(process.load<std::uint8_t>(at).value(), 0xaa);
  EXPECT_EQ(process.pte(at + kPageSize).kind, PteState::Kind::none);
  inode.write_back(0, 2);
  EXPECT_TRUE(process.pte(at).writable);

  inode.punch(0, 2, EvenCows::yes);
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
  EXPECT_EQ(process.load<std::uint8_t>(at).value(), 0);
}

TEST_F(ProcessAccess, WriteProtectMakesTheNextStoreFault) {
  // Vma I1 and the number of entries that were writable, over two processes.
  Process other{world.system, 8};
  const std::uint64_t here = map();
  const std::uint64_t there = must(other.mmap(world.open(), {}));
  ASSERT_TRUE(process.store<std::uint8_t>(here, 1).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(here + kPageSize, 1).ok());
  ASSERT_TRUE(other.store<std::uint8_t>(there, 1).ok());

  EXPECT_EQ(inode.write_back(0, 4), 3U);
  EXPECT_EQ(inode.write_back(0, 4), 0U);

  EXPECT_FALSE(process.pte(here).writable);
  ASSERT_TRUE(process.load<std::uint8_t>(here).ok());
  const std::uint64_t faults = process.fault_counts(here).pte;
  ASSERT_TRUE(process.store<std::uint8_t>(here, 2).ok());
  EXPECT_EQ(process.fault_counts(here).pte, faults + 1);
  EXPECT_TRUE(inode.dirty(0));
}

// --- PMDs ---

class ProcessPmd : public ProcessAccess {
 protected:
  ProcessPmd() { inode.use_pmds = true; }
};

TEST_F(ProcessPmd, OnePmdFaultMapsTwoMegabytes) {
  // Oracle workload g: one fault, no vmf_insert for the huge zero page, upgrade with WRITE alone.
  const std::uint64_t at = map({.length = 4_MiB});

  EXPECT_EQ(process.load<std::uint8_t>(at + 0x64000).value(), 0);
  EXPECT_THAT(world.events_since_last(), ElementsAre("page_fault_user"));
  EXPECT_EQ(process.pte(at + 0x3000).pfn, kHugeZeroPfn + 3);
  EXPECT_EQ(process.load<std::uint8_t>(at + 0x1ff000).value(), 0);
  ASSERT_TRUE(process.store<std::uint8_t>(at + 0x5007, 9).ok());
  EXPECT_THAT(world.events_since_last(), ElementsAre("page_fault_user", "unmap_mapping_pages", "vmf_insert_pfn_pmd"));

  EXPECT_THAT(inode.flags_seen,
              ElementsAre(kPmd | fault_flag::kVmaLock, kPmd | fault_flag::kWrite | fault_flag::kVmaLock));
  const PteState pte = process.pte(at + 0x5000);
  EXPECT_EQ(pte.order, kPmdOrder);
  EXPECT_TRUE(pte.writable);
  EXPECT_EQ(pte.pfn, inode.pfn(5));
  EXPECT_EQ(inode.block(5)[7], std::byte{9});
  EXPECT_EQ(process.fault_counts(at), (FaultCounts{.pte = 0, .pmd = 2, .cow = 0, .sigbus = 0}));
}

TEST_F(ProcessPmd, WritebackProtectsAPmdAsOneEntry) {
  // g5, g6: one writable entry; the next store is a PMD fault that upgrades it.
  const std::uint64_t at = map({.length = 4_MiB});
  ASSERT_TRUE(process.store<std::uint8_t>(at + kPmdSize + 5, 1).ok());

  EXPECT_EQ(inode.mapping().write_protect({{512 + 8}, 1}), 1U);

  EXPECT_FALSE(process.pte(at + kPmdSize).writable);
  inode.flags_seen.clear();
  ASSERT_TRUE(process.store<std::uint8_t>(at + kPmdSize + 5, 2).ok());
  EXPECT_THAT(inode.flags_seen, ElementsAre(kPmd | fault_flag::kWrite | fault_flag::kVmaLock));
  EXPECT_EQ(process.pte(at + kPmdSize).order, kPmdOrder);
}

TEST_F(ProcessPmd, PunchOfOnePageDropsThePmdAndRefaultsSmall) {
  // g11 to g13: the whole PMD goes; afterwards small pages only, with one PMD try while there is no table.
  inode.allocate(0, 512);
  const std::uint64_t at = map({.length = 4_MiB});
  ASSERT_TRUE(process.store<std::uint8_t>(at + 0x9000, 0x75).ok());

  inode.punch(8, 1);

  EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
  inode.flags_seen.clear();
  EXPECT_EQ(process.load<std::uint8_t>(at + 0x8000).value(), 0);
  EXPECT_EQ(process.load<std::uint8_t>(at + 0x9000).value(), 0x75);
  EXPECT_THAT(inode.flags_seen, ElementsAre(kPmd | fault_flag::kVmaLock, kPmd, kPte, kPte | fault_flag::kOrigPteValid));
}

TEST_F(ProcessPmd, PrivateStoreOverThePmdSplitsIt) {
  // g32, g33: the PMD is dropped before the file system is asked, without VMA_LOCK; only one page is copied.
  const std::uint64_t at = map({.sharing = Sharing::private_copy, .length = 4_MiB});
  ASSERT_TRUE(process.load<std::uint8_t>(at).ok());
  ASSERT_EQ(process.pte(at).order, kPmdOrder);
  inode.flags_seen.clear();

  ASSERT_TRUE(process.store<std::uint8_t>(at + 3, 1).ok());

  EXPECT_THAT(inode.flags_seen, ElementsAre(kPmd | fault_flag::kWrite, kPte | fault_flag::kWrite));
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::private_copy);
  EXPECT_EQ(process.pte(at + kPageSize).kind, PteState::Kind::none);
}

TEST_F(ProcessPmd, AReadOnlyPmdThatCannotBeUpgradedIsDropped) {
  // wp_huge_pmd: FALLBACK drops the PMD, then a PMD try without VMA_LOCK, then the PTE.
  inode.allocate(0, 512);
  const std::uint64_t at = map({.length = 4_MiB});
  ASSERT_TRUE(process.load<std::uint8_t>(at).ok());
  inode.use_pmds = false;
  inode.flags_seen.clear();

  ASSERT_TRUE(process.store<std::uint8_t>(at + 0x4000, 1).ok());

  EXPECT_THAT(inode.flags_seen, ElementsAre(kPmd | fault_flag::kWrite | fault_flag::kVmaLock, kPmd | fault_flag::kWrite,
                                            kPte | fault_flag::kWrite));
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
  EXPECT_EQ(process.pte(at + 0x4000).order, 0U);
}

TEST_F(ProcessPmd, InstallRefusesAPmdThatDoesNotFit) {
  // Vma::install: fallback beside a page table, and where the area does not hold all of the 2 MiB.
  const std::uint64_t at = map({.length = 3_MiB});
  std::vector<FaultOutcome> outcomes;
  const auto install_pmd = [&](std::uint64_t page) {
    inode.mapping().for_each_vma(kAllPages, [&](Vma& vma) {
      outcomes.push_back(vma.install({.pgoff = {page},
                                      .order = kPmdOrder,
                                      .memory = {.kaddr = inode.block(page), .pfn = inode.pfn(page), .pages = 512},
                                      .extent = {{page}, 512}}));
      EXPECT_EQ(vma.has_page_table({page}), page == 0);
    });
  };
  inode.use_pmds = false;
  ASSERT_TRUE(process.load<std::uint8_t>(at).ok());

  install_pmd(0);
  install_pmd(512);

  EXPECT_THAT(outcomes, ElementsAre(FaultOutcome(FaultOutcome::fallback), FaultOutcome(FaultOutcome::fallback)));
}

// --- bulk access in place ---

TEST_F(ProcessAccess, BulkAccessIsOneContiguousRun) {
  // Pages that follow each other in the device are one run; it ends at a zero page.
  inode.allocate(0, 3);
  *inode.block(2) = std::byte{0x33};
  const std::uint64_t at = map();

  const AccessResult<BulkAccess> guard = process.access(at + 16, 1_MiB, Access::read);

  ASSERT_TRUE(guard.ok());
  EXPECT_EQ(guard->bytes().size(), 3 * kPageSize - 16);
  EXPECT_EQ(guard->bytes()[2 * kPageSize - 16], std::byte{0x33});
  EXPECT_TRUE(guard->writable_bytes().empty());
}

TEST_F(ProcessAccess, BulkAccessForWritingAllocates) {
  // Stores in place reach the file, as far as was asked for.
  const std::uint64_t at = map();
  {
    const AccessResult<BulkAccess> guard = process.access(at, 2 * kPageSize, Access::write);
    ASSERT_TRUE(guard.ok());
    ASSERT_EQ(guard->writable_bytes().size(), 2 * kPageSize);
    std::ranges::fill(guard->writable_bytes(), std::byte{0x44});
  }
  EXPECT_EQ(process.load<std::uint8_t>(at + 2 * kPageSize - 1).value(), 0x44);
  EXPECT_TRUE(inode.dirty(1));
  EXPECT_FALSE(inode.allocated(2));
}

TEST_F(ProcessAccess, BulkAccessEndsInASignalOnlyForItsFirstPage) {
  // The run stops before a page that cannot be had.
  inode.resize(kPageSize);
  const std::uint64_t at = map({.length = 2 * kPageSize});

  EXPECT_EQ(process.access(at, 2 * kPageSize, Access::write)->bytes().size(), kPageSize);
  EXPECT_EQ(signal_of(process.access(at + kPageSize, 1, Access::read)),
            (FaultSignal{SIGBUS, BUS_ADRERR, at + kPageSize, 0}));
}

#if defined(DAXSIM_DEBUG) && defined(GTEST_HAS_DEATH_TEST)
TEST_F(ProcessAccess, CallingTheLibraryInsideABulkAccessDies) {
  // It could wait for itself; debug builds say so.
  testing::FLAGS_gtest_death_test_style = "threadsafe";
  const std::uint64_t at = map();
  EXPECT_DEATH(
      {
        const AccessResult<BulkAccess> guard = process.access(at, 8, Access::read);
        (void)process.pte(at);
      },
      "lock order violated: takes mm while holding device_gate");
}
#endif

// --- time, memory ---

TEST_F(ProcessAccess, AccessesAdvanceTheClockByTheLine) {
  // A soft access is counted, warm or not; live ones are not.
  const std::uint64_t at = map();
  ASSERT_TRUE(process.store<std::uint64_t>(at, 1).ok());
  const auto before = world.clock.now();

  ASSERT_TRUE(process.load<std::uint64_t>(at).ok());
  ASSERT_TRUE(process.load<std::uint64_t>(at + 60).ok());
  std::array<std::byte, 256> bytes{};
  ASSERT_TRUE(process.read(at, bytes).ok());

  EXPECT_EQ((world.clock.now() - before) / Process::kAccessTime, 1 + 2 + 4);
}

TEST_F(ProcessAccess, EveryFailingAllocationIsOutOfMemoryAndChangesNothing) {
  // The n-th allocation of a first store fails, for every n: SIGKILL, no page, and later all is well again.
  for (const Sharing sharing : {Sharing::shared, Sharing::private_copy}) {
    const std::uint64_t at = map({.sharing = sharing});
    const std::uint64_t before = world.arena.usage().in_use;
    std::uint64_t nth = 1;
    for (;; ++nth) {
      world.arena.fail_from(nth);
      const AccessResult<void> stored = process.store<std::uint8_t>(at, 1);
      world.arena.fail_from(0);
      if (stored.ok()) {
        break;
      }
      EXPECT_EQ(stored.error(), (FaultSignal{SIGKILL, SI_KERNEL, at, 0}));
      EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
      EXPECT_EQ(world.arena.usage().in_use, before) << nth;
      inode.mapping().for_each_vma(kAllPages, [](Vma& vma) { EXPECT_FALSE(vma.has_page_table({0})); });
    }
    EXPECT_EQ(nth, sharing == Sharing::shared ? 3U : 4U);
    ASSERT_TRUE(process.munmap(at, 8_MiB).ok());
  }
}

TEST(ProcessMemory, NothingIsLeftWhenTheProcessIsGone) {
  // Tables, directories, copies and areas come from the arena and go back to it.
  SoftWorld world{4096};
  const std::uint64_t before = world.arena.usage().in_use;
  {
    Process process{world.system, 1};
    for (const Sharing sharing : {Sharing::shared, Sharing::private_copy}) {
      const std::uint64_t at = must(process.mmap(world.open(), {.sharing = sharing}));
      for (std::uint64_t page = 0; page < 4096; page += 37) {
        ASSERT_TRUE(process.store<std::uint8_t>(at + page * kPageSize, 1).ok());
      }
    }
  }
  EXPECT_EQ(world.arena.usage().in_use, before);
}

TEST(ProcessMemory, ASparseTerabyteCostsWhatIsTouched) {
  // Tables grow with the pages touched, not with the area.
  SoftWorld world{16};
  world.inode->resize(1_TiB);
  Process process{world.system, 1};
  const std::uint64_t at = must(process.mmap(world.open(), {}));
  const std::uint64_t before = world.arena.usage().in_use;
  EXPECT_LE(before, 64_KiB);

  ASSERT_TRUE(process.store<std::uint8_t>(at, 1).ok());
  EXPECT_EQ(signal_of(process.load<std::uint8_t>(at + 1_TiB)).code, SEGV_MAPERR);

  EXPECT_LE(world.arena.usage().in_use - before, 16_KiB);
  world.inode->mapping().unmap_pages(kAllPages, EvenCows::yes);
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::none);
}

}  // namespace
}  // namespace daxsim::test
