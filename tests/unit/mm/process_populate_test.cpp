// SPDX-License-Identifier: BSD-3-Clause
// System calls and devices that fault pages in themselves: populate, mlock, mincore, pin.
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

constexpr std::uint64_t kP = kPageSize;
constexpr std::uint64_t kHuge = ~std::uint64_t{0} - kP + 1;
constexpr std::uint32_t kPte = fault_flag::kKernelFault;
constexpr std::uint32_t kPmd = fault_flag::kKernelFault | SoftInode::kPmd;

class ProcessPopulate : public testing::Test {
 protected:
  std::uint64_t map(const MapOptions& options = {}) { return must(process.mmap(world.open(), options)); }
  void touch(std::uint64_t address) { ASSERT_TRUE(process.load<std::uint8_t>(address).ok()); }
  // Flags of the faults since the last call.
  std::vector<std::uint32_t> flags() { return std::exchange(inode.flags_seen, {}); }

  SoftWorld world{2048};
  SoftInode& inode = *world.inode;
  Process process{world.system, 7};
};

TEST_F(ProcessPopulate, NoUserFaults) {
  // a14, a15: one fault for each page, as the mm lock's holder, in a table that is there, and no page_fault_user.
  const std::uint64_t at = map({.length = 16 * kP});
  touch(at);
  world.events_since_last();
  flags();

  EXPECT_TRUE(process.populate(at + 5 * kP, 2 * kP, Access::read).ok());
  EXPECT_TRUE(process.populate(at + 7 * kP, 2 * kP, Access::write).ok());

  EXPECT_THAT(flags(), ElementsAre(kPte | fault_flag::kOrigPteValid, kPte | fault_flag::kOrigPteValid,
                                   kPte | fault_flag::kWrite | fault_flag::kOrigPteValid,
                                   kPte | fault_flag::kWrite | fault_flag::kOrigPteValid));
  EXPECT_THAT(world.events_since_last(),
              ElementsAre("vmf_insert_mixed", "vmf_insert_mixed", "unmap_mapping_pages", "vmf_insert_mixed_mkwrite",
                          "unmap_mapping_pages", "vmf_insert_mixed_mkwrite"));
  EXPECT_EQ(process.pte(at + 6 * kP).kind, PteState::Kind::zero_page);
  EXPECT_TRUE(process.pte(at + 8 * kP).writable);
}

TEST_F(ProcessPopulate, WhatIsThereDoesNotFault) {
  // Unless the page is read-only and the access is a store (k5: MKWRITE).
  const std::uint64_t at = map({.length = 2 * kP});
  inode.allocate(0, 2);
  touch(at);
  flags();
  EXPECT_TRUE(process.populate(at, kP, Access::read).ok());
  EXPECT_THAT(flags(), IsEmpty());
  EXPECT_TRUE(process.populate(at, kP, Access::write).ok());
  EXPECT_THAT(flags(), ElementsAre(kPte | fault_flag::kWrite | fault_flag::kMkwrite | fault_flag::kOrigPteValid));
  EXPECT_TRUE(process.populate(at, kP, Access::write).ok());
  EXPECT_THAT(flags(), IsEmpty());
}

TEST_F(ProcessPopulate, EachSizeIsTriedOnce) {
  // k1: no second try without the area's lock, since the mm lock is held.
  const std::uint64_t at = map({.length = 4_MiB});
  EXPECT_TRUE(process.populate(at, kP, Access::read).ok());
  EXPECT_THAT(flags(), ElementsAre(kPmd, kPte));

  inode.use_pmds = true;
  EXPECT_TRUE(process.populate(at + 2_MiB, 2_MiB, Access::read).ok());
  EXPECT_THAT(flags(), ElementsAre(kPmd));
  inode.use_pmds = false;
  EXPECT_TRUE(process.populate(at + 2_MiB, kP, Access::write).ok());
  EXPECT_THAT(flags(), ElementsAre(kPmd | fault_flag::kWrite, kPte | fault_flag::kWrite));

  const std::uint64_t copied = map({.sharing = Sharing::private_copy, .offset = 2_MiB, .length = 2_MiB});
  inode.punch(512, 512);
  inode.use_pmds = true;
  touch(copied);
  flags();
  EXPECT_TRUE(process.populate(copied, kP, Access::write).ok());
  EXPECT_THAT(flags(), ElementsAre(kPte | fault_flag::kWrite));
  EXPECT_EQ(process.pte(copied).kind, PteState::Kind::private_copy);
}

TEST_F(ProcessPopulate, PopulateNamesItsErrors) {
  // m4, and Linux' own answers; what lies before the page that an error is about has been done.
  const std::uint64_t at = map({.length = 4 * kP});
  const std::uint64_t read_only = map({.prot = Prot::read, .length = kP});
  EXPECT_ERRNO(process.populate(at + 1, kP, Access::read), Errno::einval);
  EXPECT_ERRNO(process.populate(at, kHuge, Access::read), Errno::einval);
  EXPECT_ERRNO(process.populate(read_only, kP, Access::write), Errno::einval);
  EXPECT_ERRNO(process.populate(at + 2 * kP, 4 * kP, Access::read), Errno::enomem);
  EXPECT_EQ(process.pte(at + 3 * kP).kind, PteState::Kind::zero_page);
  EXPECT_TRUE(process.populate(at, 0, Access::read).ok());

  inode.forced[0] = FaultOutcome::sigbus;
  EXPECT_ERRNO(process.populate(at, kP, Access::read), Errno::efault);
  EXPECT_EQ(process.fault_counts(at).sigbus, 1U);
  inode.forced[0] = FaultOutcome::hwpoison;
  EXPECT_ERRNO(process.populate(at, kP, Access::read), Errno::ehwpoison);
  inode.forced[0] = FaultOutcome::oom;
  EXPECT_ERRNO(process.populate(at, kP, Access::read), Errno::enomem);
  EXPECT_EQ(world.events.count(EventType::signal_generate), 0U);
}

TEST_F(ProcessPopulate, RetryIsTriedAgain) {
  const std::uint64_t at = map({.length = kP});
  inode.on_fault = [this](FaultRequest&) {
    inode.forced[0] = inode.forced[0] ? std::optional<FaultOutcome>() : FaultOutcome(FaultOutcome::retry);
  };
  inode.forced[1] = FaultOutcome::fallback;
  EXPECT_TRUE(process.populate(at, kP, Access::read).ok());
  EXPECT_EQ(process.pte(at).kind, PteState::Kind::zero_page);
}

// --- mlock ---

TEST_F(ProcessPopulate, MlockFaultsInWhatIsNotThere) {
  // k7: loads, as many as there are pages missing; k8 is the same. A private writable area gets its copies.
  const std::uint64_t at = map({.length = 4 * kP});
  touch(at);
  touch(at + kP);
  flags();
  EXPECT_TRUE(process.mlock(at + 100, 4 * kP - 100).ok());
  EXPECT_THAT(flags(), ElementsAre(kPte | fault_flag::kOrigPteValid, kPte | fault_flag::kOrigPteValid));
  EXPECT_TRUE(process.munlock(at, 4 * kP).ok());
  EXPECT_EQ(process.pte(at + 2 * kP).kind, PteState::Kind::zero_page);

  const std::uint64_t copied = map({.sharing = Sharing::private_copy, .length = kP});
  EXPECT_TRUE(process.mlock(copied, 1).ok());
  EXPECT_EQ(process.pte(copied).kind, PteState::Kind::private_copy);
}

TEST_F(ProcessPopulate, MlockNamesItsErrors) {
  // A gap is seen before anything is faulted in; a bus error is ENOMEM, whatever its reason (m4).
  const std::uint64_t at = map({.length = 4 * kP});
  EXPECT_ERRNO(process.mlock(at + 2 * kP, 4 * kP), Errno::enomem);
  EXPECT_THAT(flags(), IsEmpty());
  EXPECT_ERRNO(process.mlock(at + 1, kHuge), Errno::einval);
  EXPECT_ERRNO(process.mlock(at + 1, ~std::uint64_t{0}), Errno::einval);
  EXPECT_TRUE(process.mlock(at, 0).ok());
  for (const FaultOutcome outcome : {FaultOutcome(FaultOutcome::sigbus), FaultOutcome(FaultOutcome::hwpoison)}) {
    inode.forced[0] = outcome;
    EXPECT_ERRNO(process.mlock(at, kP), Errno::enomem);
  }
  inode.forced[0] = FaultOutcome::oom;
  EXPECT_ERRNO(process.mlock(at, kP), Errno::eagain);
  EXPECT_ERRNO(process.munlock(at - kP, kP), Errno::enomem);
  EXPECT_ERRNO(process.munlock(at, kHuge), Errno::einval);
}

// --- mincore ---

TEST_F(ProcessPopulate, MincoreTellsWhatThePageTablesHave) {
  // a5: also of zero pages; a huge page is all of its pages.
  inode.use_pmds = true;
  const std::uint64_t at = map({.length = 4_MiB});
  inode.allocate(5);
  touch(at);
  touch(at + 3 * kP);
  touch(at + 2_MiB);
  world.events_since_last();

  EXPECT_THAT(must(process.mincore(at, 4 * kP + 1)), ElementsAre(true, false, false, true, false));
  const std::vector<bool> huge = must(process.mincore(at + 2_MiB - kP, 2_MiB + kP));
  EXPECT_FALSE(huge.front());
  EXPECT_EQ(std::ranges::count(huge, true), 512);
  EXPECT_THAT(world.events_since_last(), IsEmpty());

  EXPECT_THAT(must(process.mincore(at, 0)), IsEmpty());
  EXPECT_ERRNO(process.mincore(at + 1, kP), Errno::einval);
  EXPECT_ERRNO(process.mincore(at + 2_MiB, 2_MiB + kP), Errno::enomem);
  EXPECT_ERRNO(process.mincore(at, kHuge), Errno::enomem);
}

// --- pin (what it does to truncation: unit/adapters/linear/pin_test.cpp) ---

TEST_F(ProcessPopulate, PinFaultsThePageIn) {
  // k1, k2, k11: as populate, from any byte of the page, for the access.
  const std::uint64_t at = map({.length = 4 * kP});
  inode.allocate(0, 4);
  must(process.pin(at + 8, Access::read));
  EXPECT_THAT(flags(), ElementsAre(kPmd, kPte));
  EXPECT_FALSE(process.pte(at).writable);
  must(process.pin(at + 8, Access::write));
  EXPECT_THAT(flags(), ElementsAre(kPte | fault_flag::kWrite | fault_flag::kMkwrite | fault_flag::kOrigPteValid));
  must(process.pin(at, Access::write));
  EXPECT_THAT(flags(), IsEmpty());
  EXPECT_EQ(world.events.count(EventType::page_fault_user), 0U);
}

TEST_F(ProcessPopulate, PinHoldsOnToPagesOfDevicesOnly) {
  // The zero page, private copies, and frames that are no device's.
  const std::uint64_t at = map({.length = 2 * kP});
  const std::uint64_t copied = map({.sharing = Sharing::private_copy, .length = kP});
  inode.allocate(1);
  for (const Pin& pin : {must(process.pin(at, Access::read)), must(process.pin(at + kP, Access::read)),
                         must(process.pin(copied, Access::write))}) {
    EXPECT_EQ(pin.device, nullptr);
    Process::unpin(pin);
  }
}

TEST_F(ProcessPopulate, PinNamesItsErrors) {
  // k10: FOLL_LONGTERM is refused before anything is faulted in.
  const std::uint64_t at = map({.length = kP});
  const std::uint64_t read_only = map({.prot = Prot::read, .length = kP});
  EXPECT_ERRNO(process.pin(at, Access::read, Longterm::yes), Errno::eopnotsupp);
  EXPECT_THAT(flags(), IsEmpty());
  EXPECT_ERRNO(process.pin(at - 1, Access::read), Errno::efault);
  EXPECT_ERRNO(process.pin(at - 1, Access::read, Longterm::yes), Errno::efault);
  EXPECT_ERRNO(process.pin(read_only, Access::write), Errno::efault);
  for (const FaultOutcome outcome : {FaultOutcome(FaultOutcome::sigbus), FaultOutcome(FaultOutcome::hwpoison)}) {
    inode.forced[0] = outcome;
    EXPECT_ERRNO(process.pin(at, Access::read), Errno::efault);
  }
  inode.forced[0] = FaultOutcome::oom;
  EXPECT_ERRNO(process.pin(at, Access::read), Errno::enomem);
}

}  // namespace
}  // namespace daxsim::test
