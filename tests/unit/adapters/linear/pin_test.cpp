// SPDX-License-Identifier: BSD-3-Clause
// Pages that a process has pinned for a device: who waits for them, and who does not (oracle, workload k).
#include <gtest/gtest.h>

#include <atomic>
#include <string>
#include <thread>

#include "daxsim/mm/process.hpp"
#include "support/blocked_thread.hpp"
#include "support/error_of.hpp"
#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using support::errno_of;
using test::BlockedThread;
using test::bytes;
using test::LinearWorld;

constexpr std::uint64_t kPage = kPageSize;

class PinnedPages : public ::testing::Test {
 protected:
  PinnedPages() {
    world.make();
    file = world.create("f");
    must(file->pwrite(0, bytes(std::string(8 * kPage, 'x'))));
    mapped = must(process.mmap(file, {}));
  }
  Pgoff place(std::uint64_t page) { return must(file->inode().direct_access({{page}, 1}, Access::read)).device_page; }
  char load(std::uint64_t page) { return process.load<char>(mapped + page * kPage).value(); }
  void punch(std::uint64_t page) { must(file->fallocate(Fallocate::punch_hole, {page * kPage, kPage})); }

  LinearWorld world{16_MiB};
  Process process{world.system, 1};
  std::shared_ptr<OpenFile> file;
  std::uint64_t mapped = 0;
};

TEST_F(PinnedPages, StayUntilTheLastPinHasGone) {
  // k12 to k17: the punch waits, the page is mapped by nobody meanwhile, and others fault as always.
  EXPECT_TRUE(process.store(mapped + 6 * kPage, 'y').ok());
  const std::uint64_t faults = world.events.count(EventType::dax_pte_fault);
  const Pin first = must(process.pin(mapped + 6 * kPage, Access::read));
  const Pin second = must(process.pin(mapped + 6 * kPage + 5, Access::write));
  EXPECT_EQ(world.events.count(EventType::dax_pte_fault), faults);
  EXPECT_EQ(first.device, world.device.get());
  EXPECT_EQ(first.page, place(6));

  BlockedThread punching([this] { punch(6); });
  EXPECT_TRUE(punching.blocks());
  EXPECT_EQ(process.pte(mapped + 6 * kPage).kind, PteState::Kind::none);
  EXPECT_EQ(load(5), 'x');
  Process::unpin(first);
  EXPECT_TRUE(punching.blocks());
  Process::unpin(second);
  punching.join();
  EXPECT_EQ(load(6), '\0');
  EXPECT_EQ(world.device->pins(), 0U);
}

TEST_F(PinnedPages, OutliveTheirMapping) {
  // k18 to k22: munmap changes nothing, and who is interrupted while he waits leaves the file as it was.
  const Pin pin = must(process.pin(mapped + 5 * kPage, Access::read));
  must(process.munmap(mapped, 8 * kPage));
  Interruption interruption;
  const InterruptScope scope(interruption);
  interruption.raise();
  EXPECT_EQ(errno_of(file->truncate(0)), Errno::eintr);
  EXPECT_EQ(file->statx().blocks, 64U);
  Process::unpin(pin);
  must(file->truncate(0));
}

TEST_F(PinnedPages, OfAHugePage) {
  // Of the one page that was asked for.
  const auto large = world.create("large");
  must(large->fallocate(Fallocate::allocate, {0, 4_MiB}));
  const std::uint64_t at = must(process.mmap(large, {}));
  EXPECT_TRUE(process.store(at + 2_MiB, 'y').ok());
  ASSERT_EQ(process.pte(at + 2_MiB).order, kPmdOrder);
  const Pin pin = must(process.pin(at + 2_MiB + 7 * kPage, Access::write));
  EXPECT_EQ(pin.page, must(large->inode().direct_access({{512 + 7}, 1}, Access::read)).device_page);
  Process::unpin(pin);
}

// Names of the events of `call`, as the recordings have them.
template <class Call>
std::string events_of(LinearWorld& world, Call call) {
  const std::uint64_t first = world.events.next_id();
  call();
  std::string names;
  for (const Event& event : world.events.since(first)) {
    names += (names.empty() ? "" : " > ") + std::string(event_name(event.type));
  }
  return names;
}

TEST_F(PinnedPages, ComeAsTheKernelsOwnFaultsDo) {
  // k1, k2, k5, k7, a14, a15: no page_fault_user, one PMD try where there is no page table, and then as any fault.
  const std::string read =
      "dax_pte_fault > dax_direct_access > dax_insert_entry > vmf_insert_mixed > dax_pte_fault_done";
  const std::string write =
      "dax_pte_fault > dax_direct_access > dax_insert_entry > vmf_insert_mixed_mkwrite > dax_pte_fault_done";
  const auto pin = [this](std::uint64_t page, Access access) {
    Process::unpin(must(process.pin(mapped + page * kPage, access)));
  };
  EXPECT_EQ(events_of(world, [&] { pin(0, Access::read); }), "dax_pmd_fault > dax_pmd_fault_done > " + read);
  EXPECT_EQ(events_of(world, [&] { pin(1, Access::write); }), write);
  must(file->fsync());
  EXPECT_EQ(events_of(world, [&] { pin(1, Access::write); }), write);
  EXPECT_EQ(events_of(world, [&] { must(process.mlock(mapped, 4 * kPage)); }), read + " > " + read);
  must(file->truncate(16 * kPage));
  const std::uint64_t holes = must(process.mmap(file, {.offset = 8 * kPage}));
  EXPECT_TRUE(process.load<char>(holes).ok());
  const std::string hole = "dax_pte_fault > dax_insert_entry > vmf_insert_mixed > dax_load_hole > dax_pte_fault_done";
  EXPECT_EQ(events_of(world, [&] { must(process.populate(holes + kPage, 2 * kPage, Access::read)); }),
            hole + " > " + hole);
  EXPECT_EQ(events_of(world, [&] { must(process.populate(holes + 3 * kPage, kPage, Access::write)); }), write);
}

TEST_F(PinnedPages, OfADeadDeviceAreNone) {
  // The page is still mapped, as after an unbind in Linux 6.1; a new fault ends in SIGBUS.
  EXPECT_EQ(load(0), 'x');
  must(world.device->advance(LifeState::dax_dead));
  EXPECT_EQ(errno_of(process.pin(mapped, Access::read)), Errno::efault);
  EXPECT_EQ(errno_of(process.pin(mapped + kPage, Access::read)), Errno::efault);
  EXPECT_EQ(world.device->pins(), 0U);
}

TEST_F(PinnedPages, NeverLeaveTheFileWhilePinned) {
  // One thread pins and looks where the page is; another punches it and stores to it again, each time to a new block.
  constexpr int kRounds = 5000;
  std::atomic<bool> done{false};
  std::thread punching([&] {
    for (int round = 0; round < kRounds; ++round) {
      punch(3);
      EXPECT_TRUE(process.store(mapped + 3 * kPage, 'y').ok());
    }
    done = true;
  });
  while (!done) {
    const Pin pin = must(process.pin(mapped + 3 * kPage, Access::read));
    for (int look = 0; look < 3 && pin.device != nullptr; ++look) {
      const FileExtent here = must(file->inode().direct_access({{3}, 1}, Access::read));
      EXPECT_EQ(here.kind, FileExtent::Kind::memory);
      EXPECT_EQ(here.device_page, pin.page);
    }
    Process::unpin(pin);
  }
  punching.join();
}

}  // namespace
}  // namespace daxsim
