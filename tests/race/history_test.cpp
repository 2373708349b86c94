// SPDX-License-Identifier: BSD-3-Clause
// Bugs that Linux had (F5.5) and that take two threads in one place: each does its harm under the era that had it, and none
// under the one that fixed it. The others, and those that a whole machine shows, are in scenario/history_test.cpp.
#include <gtest/gtest.h>

#include <atomic>
#include <cstring>
#include <memory>
#include <optional>
#include <thread>

#include "daxsim/dax/era.hpp"
#include "daxsim/detect/findings.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr PageRange kPages{{0}, 16};
constexpr Pgoff kPage{3};

struct TwoAreas : World {
  explicit TwoAreas(const Era& era) : World({.policy = era.policy}) {}
  FakeVma one{*file, VmFlags{}, kArea, kPages};
  FakeVma two{*file, VmFlags{}, kArea + kPmdSize, kPages};
};

// Runs `act` the first time only.
template <class Act>
auto once(Act act) {
  return [armed = std::make_shared<std::atomic<bool>>(true), act](auto... arguments) {
    if (armed->exchange(false)) {
      act(arguments...);
    }
  };
}

std::uint64_t lost_wake_ups(World& world) {
  Detectors detectors(world.events);
  must(detectors.watch(*world.super_block));
  detectors.audit();
  return detectors.count(FindingKind::lost_wake_up);
}

// B5: an entry is deleted while three wait for it. The first to be woken finds nothing, wants nothing, and wakes nobody.
// As long as the entry has an owner, who sleeps is no finding.
struct SleepersOfB5 {
  bool sleep_on = false;
  std::uint64_t findings = 0;
};
SleepersOfB5 others_after_deletion(const Era& era) {
  TwoAreas world(era);
  Parking parking;
  world.one.before_install = [&](const Installation&) { parking.stop_here(); };
  world.one.install_fails = FaultOutcome(FaultOutcome::oom);
  BlockedThread owner([&] { EXPECT_EQ(world.one.fault(kPage, Access::read, 0), FaultOutcome::oom); });
  parking.wait_until_parked();
  // (One that comes last finds what the others have made, dirty in 6.0.)
  BlockedThread indifferent([&] { static_cast<void>(dax::invalidate_pages(world.context, *world.file, {kPage, 1})); });
  EXPECT_TRUE(indifferent.blocks());
  BlockedThread next([&] { EXPECT_TRUE(world.two.load(kPage).has_value()); });
  EXPECT_TRUE(next.blocks());
  BlockedThread last([&] { EXPECT_TRUE(world.two.load(kPage).has_value()); });
  EXPECT_TRUE(last.blocks());
  EXPECT_EQ(lost_wake_ups(world), 0U);
  EXPECT_EQ(world.events.count(EventType::dax_wait_entry), 3U);
  EXPECT_EQ(world.events.count(EventType::dax_wait_entry_done), 0U);

  parking.let_go();
  owner.join();
  indifferent.join();

  const bool next_sleeps = next.blocks();
  const bool last_sleeps = last.blocks();
  const std::uint64_t findings = lost_wake_ups(world);
  wake_waiters({&world.file->mapping(), kPage.value}, Wake::all);
  return {.sleep_on = next_sleeps && last_sleeps, .findings = findings};
}
TEST(History, B5_LostWakeUp) {
  const SleepersOfB5 then = others_after_deletion(eras::v4_20);
  EXPECT_TRUE(then.sleep_on);
  EXPECT_EQ(then.findings, 1U);

  const SleepersOfB5 fixed = others_after_deletion(eras::v6_0);
  EXPECT_FALSE(fixed.sleep_on);
  EXPECT_EQ(fixed.findings, 0U);
}

// B6: a read fault has seen a hole; a write fault allocates the block; then the reader puts in the hole's page, and the
// writer cannot put in the block.
Stored store_while_a_reader_brings_the_hole(const Era& era) {
  TwoAreas world(era);
  Parking reading;
  Parking writing;
  world.file->after_direct_access = [read = once([&] { reading.stop_here(); }),
                                     write = once([&] { writing.stop_here(); })](Access access) {
    access == Access::read ? read() : write();
  };
  Stored stored;
  BlockedThread reader([&] { EXPECT_TRUE(world.one.load(kPage).has_value()); });
  reading.wait_until_parked();
  BlockedThread writer([&] { stored = world.two.store(kPage, 7); });
  EXPECT_TRUE(writer.blocks());
  reading.let_go();
  reader.join();
  writing.let_go();
  writer.join();
  return stored;
}
TEST(History, B6_HolePageBesideABlock) {
  EXPECT_EQ(store_while_a_reader_brings_the_hole(eras::v4_5), Stored(std::unexpect, FaultOutcome::sigbus));
  EXPECT_TRUE(store_while_a_reader_brings_the_hole(eras::v4_7).has_value());
}

// B10: write(2) takes the hole out of the page tables, a load brings it back, and only then is there a block.
Loaded load_after_a_write_over_the_hole(const Era& era) {
  TwoAreas world(era);
  Parking allocating;
  world.file->on_direct_access = [stop = once([&] { allocating.stop_here(); })](PageRange, Access access) {
    if (access == Access::write) {
      stop();
    }
    return Result<void>{};
  };
  BlockedThread writer([&] {
    std::array<std::byte, 64> sevens;
    sevens.fill(std::byte{7});
    EXPECT_TRUE(world.file->write(byte_of(kPage), sevens).ok());
  });
  allocating.wait_until_parked();
  EXPECT_EQ(world.one.load(kPage), Loaded(0));
  allocating.let_go();
  writer.join();
  return world.one.load(kPage);
}
TEST(History, B10_TheHoleComesBack) {
  EXPECT_EQ(load_after_a_write_over_the_hole(eras::v4_7), Loaded(0));
  EXPECT_EQ(load_after_a_write_over_the_hole(eras::v4_10), Loaded(7));
}

// B13: two write faults on one unwritten block. Before 4.5 (4.4 on XFS) both zeroed it, the second after the first had
// stored; no era here is so old.
Loaded first_of_two_stores(const Era& era) {
  TwoAreas world(era);
  world.file->set_blocks(kPages, FakeInode::Block::unwritten);
  Parking parking;
  world.file->after_direct_access = once([&](Access) { parking.stop_here(); });
  BlockedThread second([&] { EXPECT_TRUE(world.two.store(kPage, 8, 8).has_value()); });
  parking.wait_until_parked();
  EXPECT_TRUE(world.one.store(kPage, 7, 0).has_value());
  parking.let_go();
  second.join();
  EXPECT_EQ(world.one.load(kPage, 8), Loaded(8));
  return world.one.load(kPage, 0);
}
TEST(History, B13_ZeroedTwice) {
  EXPECT_EQ(first_of_two_stores(eras::v4_5_rc1.without(Step::zero_with_allocation)), Loaded(0));
  EXPECT_EQ(first_of_two_stores(eras::v4_5_rc1), Loaded(7));
}

// B20: the device goes between the file system's answer and the copy. Before 4.5 nobody held it meanwhile; no era here is
// so old.
Result<std::uint8_t> read_while_the_device_goes(const Era& era) {
  TwoAreas world(era);
  EXPECT_TRUE(world.one.store(kPage, 7).has_value());
  world.file->after_direct_access = once([&](Access) {
    std::thread([&] {
      for (const LifeState next : {LifeState::dax_dead, LifeState::disk_gone, LifeState::unmapped}) {
        must(world.device->advance(next));
      }
    }).join();
    constexpr int kSomebodyElses = 0xdd;
    std::memset(world.view().memory() + byte_of(world.file->device_page(kPage)), kSomebodyElses, kPageSize);
  });
  std::byte byte{};
  DAXSIM_TRY_VOID(world.file->read(byte_of(kPage), {&byte, 1}));
  return static_cast<std::uint8_t>(byte);
}
TEST(History, B20_TheDeviceGoesBeforeTheCopy) {
  EXPECT_EQ(must(read_while_the_device_goes(eras::v4_5_rc1.without(Step::hold_device_in_copy))), 0xdd);
  EXPECT_ERRNO(read_while_the_device_goes(eras::v4_5_rc1), Errno::enxio);
}

// B31: between the commit of a MAP_SYNC fault and its end somebody punches the page out of the file. No release had the
// bug: 4.15, the first with MAP_SYNC, looks for the entry again.
std::uint8_t byte_in_the_file_after_a_punch(const Era& era) {
  World world({.policy = era.policy});
  FakeVma area(*world.file, {.sync = true}, kArea, kPages);
  world.file->on_commit = [punch = once([&world] {
                             std::thread([&world] {
                               must(world.file->fallocate(Fallocate::punch_hole, {byte_of(kPage), kPageSize}));
                             }).join();
                           })] {
    punch();
    return Result<void>{};
  };
  EXPECT_TRUE(area.store(kPage, 7).has_value());
  std::byte byte{};
  must(world.file->read(byte_of(kPage), {&byte, 1}));
  return static_cast<std::uint8_t>(byte);
}
TEST(History, B31_TheEntryHasGoneDuringTheCommit) {
  EXPECT_EQ(byte_in_the_file_after_a_punch(eras::v4_17.without(Step::find_entry_after_commit)), 0);
  EXPECT_EQ(byte_in_the_file_after_a_punch(eras::v4_17), 7);
}

}  // namespace
}  // namespace daxsim::test
