// SPDX-License-Identifier: BSD-3-Clause
// Loads, stores, taking pages away and bus errors in live mappings, over each backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>
#include <cstring>
#include <fstream>
#include <string>

#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"

namespace daxsim::test {
namespace {

using ::testing::ElementsAre;

class LiveAccess : public ::testing::TestWithParam<LiveBackend> {
 protected:
  LiveMmuWorld world{2048};
};

INSTANTIATE_TEST_SUITE_P(, LiveAccess, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// A load of an allocated page sees the device's bytes, once through the file system and then without it.
TEST_P(LiveAccess, LoadFaultsOnce) {
  world.inode->allocate(0, 16);
  world.inode->block(3)[5] = std::byte{0x42};
  const Mapping map = must(world.map(GetParam()));

  EXPECT_EQ(load(map.data() + 3 * kPageSize + 5), std::byte{0x42});
  EXPECT_EQ(load(map.data() + 3 * kPageSize + 6), std::byte{0});

  EXPECT_FAULTS(map, pte = 1);
  EXPECT_EQ(map.vma().pte({3}).kind, PteState::Kind::memory);
  EXPECT_FALSE(map.vma().pte({3}).writable);
}

// A store reaches the device's memory, and marks the page before it happens.
TEST_P(LiveAccess, StoreReachesTheDevice) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));

  store(map.data() + kPageSize, 7);

  EXPECT_EQ(world.inode->block(1)[0], std::byte{7});
  EXPECT_TRUE(world.inode->dirty(1));
  EXPECT_FAULTS(map, pte = 1);
  EXPECT_TRUE(map.vma().pte({1}).writable);
}

// After write-protection a store faults again, a load does not.
TEST_P(LiveAccess, WriteProtectedPageFaultsOnStore) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  ASSERT_EQ(world.inode->write_back(0, 16), 1U);

  EXPECT_EQ(load(map.data()), std::byte{1});
  EXPECT_FAULTS(map, pte = 1);
  store(map.data(), 2);

  EXPECT_FAULTS(map, pte = 2);
  EXPECT_TRUE(world.inode->dirty(0));
  EXPECT_EQ(world.inode->block(0)[0], std::byte{2});
}

// Unmapped pages fault again, whatever they were.
TEST_P(LiveAccess, UnmappedPageFaultsAgain) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  load(map.data() + kPageSize);

  map.vma().unmap({{0}, 16}, EvenCows::no);

  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::none);
  EXPECT_EQ(load(map.data()), std::byte{1});
  EXPECT_EQ(load(map.data() + kPageSize), std::byte{0});
  EXPECT_FAULTS(map, pte = 4);
}

// A fault that the file system refuses is a bus error with the address of the access, and nothing is mapped.
TEST_P(LiveAccess, BusErrorBeyondTheEndOfTheFile) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  world.inode->resize(2 * kPageSize);

  EXPECT_SIGBUS_LOAD(map.data() + 2 * kPageSize + 17, BUS_ADRERR);
  EXPECT_SIGBUS_STORE(map.data() + 5 * kPageSize, BUS_ADRERR);

  EXPECT_FAULTS(map, sigbus = 2);
}

// A hole reads as zeros from the shared zero page, and costs the device nothing.
TEST_P(LiveAccess, HoleReadsAsZeros) {
  const Mapping map = must(world.map(GetParam()));

  EXPECT_EQ(load(map.data() + 9 * kPageSize), std::byte{0});

  EXPECT_EQ(map.vma().pte({9}).kind, PteState::Kind::zero_page);
  EXPECT_EQ(map.vma().pte({9}).pfn, kZeroPfn);
  EXPECT_FALSE(world.inode->allocated(9));
}

// A store to a page that shows the zero page allocates, and only that page changes.
TEST_P(LiveAccess, StoreReplacesZeroPage) {
  const Mapping map = must(world.map(GetParam()));
  load(map.data() + 8 * kPageSize);
  load(map.data() + 9 * kPageSize);
  load(map.data() + 10 * kPageSize);

  store(map.data() + 9 * kPageSize, 3);

  EXPECT_EQ(world.inode->block(9)[0], std::byte{3});
  EXPECT_EQ(map.vma().pte({9}).kind, PteState::Kind::memory);
  EXPECT_EQ(map.vma().pte({8}).kind, PteState::Kind::zero_page);
  EXPECT_EQ(load(map.data() + 10 * kPageSize), std::byte{0});
  EXPECT_FAULTS(map, pte = 4);
}

// The first fault in an empty slot asks for a PMD twice and then for a PTE; later ones ask for a PTE only. Flags as
// Linux 6.12 was recorded with.
TEST_P(LiveAccess, FaultFlagsAreThoseOfLinux) {
  using namespace fault_flag;
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));

  load(map.data());
  EXPECT_THAT(world.inode->flags_seen(),
              ElementsAre(kUserFault | kVmaLock | LiveInode::kPmd, kUserFault | LiveInode::kPmd, kUserFault));
  store(map.data(), 1);
  EXPECT_THAT(world.inode->flags_seen(), ElementsAre(kUserFault | kWrite | kMkwrite | kOrigPteValid));
  store(map.data() + kPageSize, 1);
  EXPECT_THAT(world.inode->flags_seen(), ElementsAre(kUserFault | kWrite | kOrigPteValid));
}

// Events are the kernel's: the hardware fault, what was mapped, the signal.
TEST_P(LiveAccess, EmitsTheKernelsEvents) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));

  load(map.data());
  EXPECT_THAT(world.events_since_last(), ElementsAre("page_fault_user", "vmf_insert_mixed"));
  EXPECT_EQ(world.last(EventType::page_fault_user).flags, 4U);
  EXPECT_EQ(world.last(EventType::vmf_insert_mixed).pfn, LiveInode::kFirstPfn);
  store(map.data() + 5, 1);
  EXPECT_THAT(world.events_since_last(), ElementsAre("page_fault_user", "vmf_insert_mixed_mkwrite"));
  EXPECT_EQ(world.last(EventType::page_fault_user).flags, 7U);
  EXPECT_EQ(world.last(EventType::page_fault_user).address, reinterpret_cast<std::uintptr_t>(map.data() + 5));
  world.inode->resize(0);
  EXPECT_SIGBUS_STORE(map.data() + 2 * kPageSize, BUS_ADRERR);
  EXPECT_THAT(world.events_since_last(), ElementsAre("page_fault_user", "signal_generate"));
  EXPECT_EQ(world.last(EventType::page_fault_user).flags, 6U);
  EXPECT_EQ(world.last(EventType::signal_generate).flags, unsigned{SIGBUS});
  EXPECT_EQ(world.last(EventType::signal_generate).ret, BUS_ADRERR);
}

// A known media error is delivered as the kernel would: BUS_MCEERR_AR and the size of what is bad.
TEST_P(LiveAccess, MediaErrorIsMachineCheck) {
  const Mapping map = must(world.map(GetParam()));
  world.inode->forced = FaultOutcome::hwpoison;

  const std::optional<FaultSignal> signal = SignalProbe::run([&] { load(map.data() + 4 * kPageSize + 3); });

  ASSERT_TRUE(signal.has_value());
  EXPECT_EQ(*signal, (FaultSignal{.number = SIGBUS,
                                  .code = BUS_MCEERR_AR,
                                  .address = reinterpret_cast<std::uintptr_t>(map.data()) + 4 * kPageSize + 3,
                                  .address_lsb = 12}));
}

// A store to a mapping without write permission is a segmentation fault that the file never hears of.
TEST_P(LiveAccess, StoreToReadOnlyMapping) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam(), {.prot = Prot::read}));
  load(map.data());
  world.inode->flags_seen();

  for (const std::uint64_t page : {0U, 1U}) {
    std::byte* const at = map.data() + page * kPageSize;
    const std::optional<FaultSignal> signal = SignalProbe::run([&] { store(at, 1); });
    ASSERT_TRUE(signal.has_value());
    EXPECT_EQ(*signal,
              (FaultSignal{.number = SIGSEGV, .code = SEGV_ACCERR, .address = reinterpret_cast<std::uintptr_t>(at)}));
  }
  EXPECT_TRUE(world.inode->flags_seen().empty());
  EXPECT_FAULTS(map, pte = 1);
}

// A mapping that begins inside the file and is longer than it shows the right pages, and nothing beyond the end.
TEST_P(LiveAccess, PartOfTheFile) {
  world.inode->allocate(0, 2048);
  world.inode->block(515)[0] = std::byte{9};
  const Mapping map = must(world.map(GetParam(), {.offset = 515 * kPageSize, .length = 2000 * kPageSize + 1}));

  EXPECT_EQ(map.size(), 2001 * kPageSize);
  EXPECT_EQ((reinterpret_cast<std::uintptr_t>(map.data()) >> kPageShift) % 512, 515U % 512);
  EXPECT_EQ(load(map.data()), std::byte{9});
  EXPECT_EQ(load(map.data() + (2047 - 515) * kPageSize), std::byte{0});
  EXPECT_SIGBUS_LOAD(map.data() + (2048 - 515) * kPageSize, BUS_ADRERR);
  EXPECT_SIGBUS_LOAD(map.data() + map.size() - 1, BUS_ADRERR);
}

// --- PMD ------------------------------------------------------------------------------------------------------------

// 512 pages come with one fault.
TEST_P(LiveAccess, PmdMapsTwoMebibytes) {
  world.inode->use_pmds = true;
  world.inode->allocate(0, 1024);
  const Mapping map = must(world.map(GetParam()));

  store(map.data() + kPmdSize + 17 * kPageSize, 1);
  for (std::uint64_t page = 512; page < 1024; ++page) {
    store(map.data() + page * kPageSize, 2);
  }

  EXPECT_FAULTS(map, pmd = 1);
  EXPECT_EQ(map.vma().pte({700}).order, kPmdOrder);
  EXPECT_TRUE(map.vma().has_page_table({512}));
  EXPECT_FALSE(map.vma().has_page_table({511}));
  EXPECT_EQ(world.inode->block(1023)[0], std::byte{2});
}

// Write-protecting one page of a PMD protects all of it, and counts as one entry; the next store upgrades all of it.
TEST_P(LiveAccess, PmdIsWriteProtectedWhole) {
  using namespace fault_flag;
  world.inode->use_pmds = true;
  world.inode->allocate(0, 512);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  world.inode->flags_seen();

  EXPECT_EQ(map.vma().write_protect({{100}, 1}), 1U);

  EXPECT_FALSE(map.vma().pte({511}).writable);
  store(map.data() + 511 * kPageSize, 1);
  EXPECT_THAT(world.inode->flags_seen(), ElementsAre(kUserFault | kWrite | kVmaLock | LiveInode::kPmd));
  EXPECT_TRUE(map.vma().pte({0}).writable);
  EXPECT_FAULTS(map, pmd = 2);
}

// Unmapping one page of a PMD drops all of it; the slot is empty again, so the next fault may bring a PMD.
TEST_P(LiveAccess, PmdIsUnmappedWhole) {
  world.inode->use_pmds = true;
  world.inode->allocate(0, 512);
  const Mapping map = must(world.map(GetParam()));
  load(map.data());

  map.vma().unmap({{5}, 1}, EvenCows::no);

  EXPECT_EQ(map.vma().pte({300}).kind, PteState::Kind::none);
  load(map.data() + 300 * kPageSize);
  EXPECT_FAULTS(map, pmd = 2);
}

// Where a page table is, no PMD goes: the fault falls back.
TEST_P(LiveAccess, NoPmdOverAPageTable) {
  world.inode->allocate(0, 512);
  const Mapping map = must(world.map(GetParam()));
  load(map.data());
  world.inode->use_pmds = true;
  load(map.data() + kPageSize);
  map.vma().unmap({{0}, 512}, EvenCows::no);

  load(map.data() + kPageSize);

  EXPECT_FAULTS(map, pte = 3);
}

// A hole of 2 MiB shows the huge zero page; a store brings memory for all of it.
TEST_P(LiveAccess, HugeZeroPage) {
  world.inode->use_pmds = true;
  const Mapping map = must(world.map(GetParam()));

  EXPECT_EQ(load(map.data() + 77 * kPageSize), std::byte{0});
  EXPECT_EQ(load(map.data() + 78 * kPageSize), std::byte{0});
  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::zero_page);
  EXPECT_EQ(map.vma().pte({0}).pfn, kHugeZeroPfn);
  store(map.data() + 78 * kPageSize, 4);

  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::memory);
  EXPECT_EQ(world.inode->block(78)[0], std::byte{4});
  EXPECT_FAULTS(map, pmd = 2);
}

// --- private mappings -----------------------------------------------------------------------------------------------

class LivePrivate : public LiveAccess {
 protected:
  [[nodiscard]] Mapping map_private() { return must(world.map(GetParam(), {.sharing = Sharing::private_copy})); }
};

INSTANTIATE_TEST_SUITE_P(, LivePrivate, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// Reads see the file as it changes; a store makes a copy that the file never sees.
TEST_P(LivePrivate, StoreCopies) {
  world.inode->allocate(0, 16);
  const Mapping map = map_private();
  EXPECT_EQ(load(map.data() + 1), std::byte{0});
  world.inode->block(0)[1] = std::byte{5};
  EXPECT_EQ(load(map.data() + 1), std::byte{5});

  store(map.data(), 1);

  EXPECT_EQ(load(map.data() + 1), std::byte{5});
  EXPECT_EQ(world.inode->block(0)[0], std::byte{0});
  world.inode->block(0)[1] = std::byte{6};
  EXPECT_EQ(load(map.data() + 1), std::byte{5});
  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::private_copy);
  EXPECT_FAULTS(map, pte = 1, cow = 1);
}

// As in Linux, a store to a page that is mapped already is copied without asking the file.
TEST_P(LivePrivate, StoreAfterLoadDoesNotAskTheFile) {
  world.inode->allocate(0, 16);
  const Mapping map = map_private();
  load(map.data());
  world.inode->flags_seen();

  store(map.data(), 1);

  EXPECT_TRUE(world.inode->flags_seen().empty());
}

// A store to a page that was never read copies the file's bytes, and one to a hole copies zeros and allocates nothing.
TEST_P(LivePrivate, StoreFirst) {
  world.inode->allocate(0, 16);
  world.inode->block(3)[1] = std::byte{5};
  const Mapping map = map_private();

  store(map.data() + 3 * kPageSize, 1);
  store(map.data() + 30 * kPageSize, 1);

  EXPECT_EQ(load(map.data() + 3 * kPageSize + 1), std::byte{5});
  EXPECT_EQ(load(map.data() + 30 * kPageSize + 1), std::byte{0});
  EXPECT_FALSE(world.inode->allocated(30));
  EXPECT_FAULTS(map, cow = 2);
}

// Copies survive what takes shared pages away, and the laying of extents and holes around them; truncation takes them too.
TEST_P(LivePrivate, CopiesSurvivePunchAndNeighbours) {
  world.inode->allocate(0, 64);
  const Mapping map = map_private();
  store(map.data() + 10 * kPageSize, 1);  // before anything is laid
  load(map.data());
  store(map.data() + 20 * kPageSize, 2);  // in laid memory
  load(map.data() + 11 * kPageSize);
  store(map.data() + 70 * kPageSize, 3);  // in a hole
  load(map.data() + 71 * kPageSize);
  store(map.data() + 71 * kPageSize, 4);  // over a zero page
  load(map.data() + 72 * kPageSize);

  world.inode->punch(0, 2048);
  map.vma().write_protect(kAllPages);

  EXPECT_EQ(load(map.data() + 11 * kPageSize), std::byte{0});
  EXPECT_EQ(load(map.data() + 10 * kPageSize), std::byte{1});
  EXPECT_EQ(load(map.data() + 20 * kPageSize), std::byte{2});
  EXPECT_EQ(load(map.data() + 70 * kPageSize), std::byte{3});
  EXPECT_EQ(load(map.data() + 71 * kPageSize), std::byte{4});
  store(map.data() + 70 * kPageSize, 5);
  world.inode->punch(0, 2048, EvenCows::yes);
  EXPECT_EQ(load(map.data() + 10 * kPageSize), std::byte{0});
  EXPECT_EQ(load(map.data() + 70 * kPageSize), std::byte{0});
  EXPECT_EQ(map.vma().pte({20}).kind, PteState::Kind::none);
}

// A private mapping may show a PMD to be read; a store drops it and copies one page.
TEST_P(LivePrivate, StoreToPmdCopiesOnePage) {
  world.inode->use_pmds = true;
  world.inode->allocate(0, 512);
  const Mapping map = map_private();
  load(map.data());
  ASSERT_EQ(map.vma().pte({7}).order, kPmdOrder);

  store(map.data() + 7 * kPageSize, 1);

  EXPECT_EQ(map.vma().pte({7}).kind, PteState::Kind::private_copy);
  EXPECT_EQ(load(map.data() + 8 * kPageSize), std::byte{0});
  EXPECT_EQ(map.vma().pte({8}).order, 0U);
  EXPECT_EQ(world.inode->block(7)[0], std::byte{0});
}

// --- extents --------------------------------------------------------------------------------------------------------

std::size_t host_mappings(const Mapping& map) {
  std::ifstream maps("/proc/self/maps");
  const auto first = reinterpret_cast<std::uintptr_t>(map.data());
  std::size_t count = 0;
  for (std::string line; std::getline(maps, line);) {
    const std::uint64_t start = std::stoull(line, nullptr, 16);
    count += start >= first && start < first + map.size() ? 1 : 0;
  }
  return count;
}

// An extent is laid in one piece by its first fault: later faults in it change no host mapping.
TEST_P(LiveAccess, ExtentIsOneHostMapping) {
  if (GetParam() == LiveBackend::sigsegv) {
    world.inode->use_pmds = true;  // presence is protection there: only whole runs look alike
  }
  world.inode->allocate(0, 2048);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  const std::size_t before = host_mappings(map);

  for (std::uint64_t page = 0; page < 2048; page += GetParam() == LiveBackend::sigsegv ? 512 : 97) {
    store(map.data() + page * kPageSize, 1);
  }

  EXPECT_EQ(before, GetParam() == LiveBackend::sigsegv ? 2U : 1U);
  EXPECT_EQ(host_mappings(map), 1U);
}

// Pages whose blocks were moved show the new place, and only they are laid anew.
TEST_P(LiveAccess, MovedBlocks) {
  world.inode->place(0, 64, 0);
  const Mapping map = must(world.map(GetParam()));
  for (std::uint64_t page = 0; page < 64; ++page) {
    store(map.data() + page * kPageSize, static_cast<int>(page));
  }

  world.inode->relocate(20, 10, 1000);
  std::memset(world.inode->device_page(20), 0xee, 10 * kPageSize);

  for (std::uint64_t page = 0; page < 64; ++page) {
    EXPECT_EQ(load(map.data() + page * kPageSize), static_cast<std::byte>(page));
  }
  EXPECT_EQ(map.vma().pte({25}).pfn, LiveInode::kFirstPfn + 1005);
  EXPECT_FAULTS(map, pte = 74);
}

// Scattered blocks: every page is its own extent.
TEST_P(LiveAccess, ScatteredBlocks) {
  for (std::uint64_t page = 0; page < 200; ++page) {
    world.inode->place(page, 1, 1999 - 3 * page);
  }
  const Mapping map = must(world.map(GetParam()));

  for (std::uint64_t page = 0; page < 200; ++page) {
    store(map.data() + page * kPageSize, static_cast<int>(page));
  }

  for (std::uint64_t page = 0; page < 200; ++page) {
    EXPECT_EQ(world.inode->device_page(1999 - 3 * page)[0], static_cast<std::byte>(page));
  }
}

// The arena is given back when a mapping goes.
TEST_P(LiveAccess, GivesMemoryBack) {
  for (std::uint64_t page = 0; page < 100; ++page) {
    world.inode->place(page, 1, 1999 - 3 * page);
  }
  {
    const Mapping map = must(world.map(GetParam()));
    for (std::uint64_t page = 0; page < 100; ++page) {
      store(map.data() + page * kPageSize, 1);
    }
    EXPECT_GT(world.arena.usage().in_use, 0U);
  }
  EXPECT_EQ(world.arena.usage().in_use, 0U);
}

// No memory for the books: a bus error that says so, and the next try may work.
TEST_P(LiveAccess, OutOfMemory) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  world.arena.fail_from(1);

  EXPECT_SIGBUS_LOAD(map.data(), BUS_OBJERR);
  EXPECT_NE(map.refusal(), nullptr);
  world.arena.fail_from(0);

  EXPECT_EQ(load(map.data()), std::byte{0});
  EXPECT_FAULTS(map, pte = 1, sigbus = 1);
}

}  // namespace
}  // namespace daxsim::test
