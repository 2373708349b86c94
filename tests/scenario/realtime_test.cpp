// SPDX-License-Identifier: BSD-3-Clause
// The question of the thread: the sector in the index means nothing without its device, and the super block names the
// wrong one for a file on the realtime device.
#include <gtest/gtest.h>

#include <algorithm>
#include <tuple>

#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

const MachineOptions kSectorOfSuperBlock{.design = &designs::sector_of_super_block()};

bool found(const std::vector<Finding>& findings, FindingKind kind) {
  return std::ranges::find(findings, kind, &Finding::kind) != findings.end();
}
std::byte byte_at(MountedWorld& world, std::uint64_t offset) {
  std::byte byte{};
  must(must(world.fs.open("/file")).pread(offset, {&byte, 1}));
  return byte;
}

// The store reaches the cache, the fsync flushes the other device, and nobody is told.
TEST(SectorOfSuperBlock, LosesAStoreInSilence) {
  LiveWorld world = live_realtime_file(4_MiB, {}, kSectorOfSuperBlock);
  world.map.data()[5] = std::byte{42};
  world.map.data()[2_MiB] = std::byte{43};
  must(world.file.fsync());

  must(world.machine.power_cut());
  const std::vector<Finding> findings = world.machine.findings();
  world.reboot();

  EXPECT_EQ(byte_at(world, 5), std::byte{0});
  EXPECT_EQ(byte_at(world, 2_MiB), std::byte{0});
  EXPECT_TRUE(found(findings, FindingKind::wrong_device_flush));
  EXPECT_TRUE(found(findings, FindingKind::lost_store));
}

// What does not go through the index is as safe as ever: pwrite, MAP_SYNC and persist, the files on the data device.
TEST(SectorOfSuperBlock, LosesNothingElse) {
  LiveWorld world = live_realtime_file(1_MiB, {.sync = MapSync::yes}, kSectorOfSuperBlock);
  const std::byte byte{42};
  must(world.file.pwrite(5, {&byte, 1}));
  must(world.file.fsync());
  world.map.data()[kPageSize] = byte;
  persist(&world.map.data()[kPageSize], 1);
  File other = must(world.fs.create("/other", 1_MiB));
  must(other.map()).data()[5] = byte;
  must(other.fsync());

  world.power_cycle();

  EXPECT_EQ(byte_at(world, 5), byte);
  EXPECT_EQ(byte_at(world, kPageSize), byte);
  std::byte there{};
  must(must(world.fs.open("/other")).pread(5, {&there, 1}));
  EXPECT_EQ(there, byte);
}

// A machine with the realtime device of another file system.
TEST(RealtimeMachine, RefusesADeviceThatIsNotItsOwn) {
  MountedWorld world = mounted_realtime(8_MiB);
  must(world.fs.unmount());
  const TemporaryFile media;
  const DeviceHandle stranger = must(world.machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}));
  EXPECT_ERRNO(world.machine.mount<RealtimeFs>(world.device, stranger), Errno::enodev);
  world.mount();
}

// Either device takes the file system with it, in order or not; unmounted and plugged in again, what was synced is there.
class RealtimeRemovals : public ::testing::TestWithParam<std::tuple<int, Removal>> {};
INSTANTIATE_TEST_SUITE_P(Devices, RealtimeRemovals,
                         ::testing::Combine(::testing::Values(0, 1),
                                            ::testing::Values(Removal::orderly, Removal::surprise)));

TEST_P(RealtimeRemovals, KeepWhatWasFsynced) {
  const auto [which, how] = GetParam();
  LiveWorld world = live_realtime_file(1_MiB);
  DeviceHandle& pulled = which == 0 ? world.device : *world.realtime;
  world.map.data()[5] = std::byte{42};
  must(world.file.fsync());

  must(world.machine.remove(pulled, how));

  EXPECT_SIGBUS_LOAD(world.map.data(), BUS_ADRERR);
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);
  {
    const Mapping closed_map = std::move(world.map);
    const File closed_file = std::move(world.file);
  }
  must(world.fs.unmount());
  pulled = must(world.machine.attach(pulled.medium()));
  world.mount();
  EXPECT_EQ(byte_at(world, 5), std::byte{42});
  EXPECT_TRUE(world.machine.findings().empty());
}

}  // namespace
}  // namespace daxsim::test
