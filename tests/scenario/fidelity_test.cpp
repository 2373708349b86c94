// SPDX-License-Identifier: BSD-3-Clause
// What the recorded kernels and file systems do differently (docs/fidelity.md), and what a program sees of it.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// A file of 64 KiB and a simulated process that maps it.
struct World : FileWorld {
  explicit World(const Era& era = eras::v6_12)
      : FileWorld(with_file(64_KiB, {.era = era})),
        process(&machine.spawn()),
        address(must(process->mmap(file.open_file(), {}))) {}

  void store(std::uint64_t page, int value) { EXPECT_TRUE(process->store(address + page * kPageSize, value).ok()); }
  [[nodiscard]] int load(std::uint64_t page) { return process->load<int>(address + page * kPageSize).value(); }
  [[nodiscard]] std::vector<std::string> names_of_faults_since(std::uint64_t first) {
    std::vector<std::string> names;
    for (const Event& event : machine.events().since(first)) {
      if (event.type == EventType::dax_pmd_fault || event.type == EventType::dax_pte_fault) {
        names.push_back(std::string(event_name(event.type)) + ((event.fault_flags & 0x1000) != 0 ? " VMA_LOCK" : ""));
      }
    }
    return names;
  }

  Process* process;
  std::uint64_t address;
};

// 7.3 deletes all entries of a file when it punches a part, dirty ones too: fsync does not flush them.
bool survives_a_punch_beside_it(const Era& era) {
  World world(era);
  world.store(0, 7);
  must(world.file.fallocate(Fallocate::punch_hole, {8 * kPageSize, kPageSize}));
  must(world.file.fsync());
  must(world.machine.power_cut());
  world.reboot();
  std::byte found{};
  must(must(world.fs.open("/file")).pread(0, {&found, 1}));
  return found == std::byte{7};
}
TEST(Fidelity, ALaterKernelForgetsWhatIsDirtyWhenItPunches) {
  EXPECT_TRUE(survives_a_punch_beside_it(eras::v6_12));
  EXPECT_FALSE(survives_a_punch_beside_it(eras::v7_3));
}

// Which faults come of the first store: under the area's lock first, and on a file system like ext4 once more without.
TEST(Fidelity, TheFirstFaultIsTriedUnderTheLockOfTheArea) {
  World old(eras::v6_1);
  std::uint64_t first = old.machine.events().next_id();
  old.store(0, 1);
  EXPECT_THAT(old.names_of_faults_since(first), ElementsAre("dax_pmd_fault", "dax_pte_fault"));

  World ext4(eras::v6_12);
  first = ext4.machine.events().next_id();
  ext4.store(0, 1);
  EXPECT_THAT(ext4.names_of_faults_since(first),
              ElementsAre("dax_pmd_fault VMA_LOCK", "dax_pmd_fault", "dax_pte_fault"));
  first = ext4.machine.events().next_id();
  ext4.store(1, 1);
  EXPECT_THAT(ext4.names_of_faults_since(first), ElementsAre("dax_pte_fault"));
}

// ext4 makes a short unwritten extent written as a whole. Who maps another page of it as a hole sees what write(2) puts
// there all the same.
TEST(Fidelity, APageWrittenBesideAnotherIsNoHoleAnyMore) {
  MountedWorld world = mounted(8_MiB);
  must(world.fs.unmount());
  world.fs = must(world.machine.mkfs<Ext4>(world.device));
  File file = must(world.fs.create("/file"));
  must(file.fallocate(Fallocate::allocate, {0, 4 * kPageSize}));
  Process& process = world.machine.spawn();
  const std::uint64_t address = must(process.mmap(file.open_file(), {}));
  EXPECT_EQ(process.load<char>(address + kPageSize).value(), 0);
  EXPECT_EQ(must(file.open_file()->seek(0, Seek::hole)), 0U);

  EXPECT_TRUE(process.store(address, 'a').ok());
  EXPECT_EQ(must(file.open_file()->seek(0, Seek::hole)), 4 * kPageSize);
  EXPECT_EQ(process.load<char>(address + kPageSize).value(), 0);

  const std::byte byte{7};
  must(file.pwrite(kPageSize, {&byte, 1}));
  EXPECT_EQ(process.load<char>(address + kPageSize).value(), 7);
}

// 6.1 leaves in the file what was stored behind its end, when it grows.
char behind_the_end_after_growing(const Era& era) {
  World world(era);
  must(world.file.truncate(100));
  EXPECT_TRUE(world.process->store(world.address + 200, 'x').ok());
  must(world.file.truncate(kPageSize));
  return world.process->load<char>(world.address + 200).value();
}
TEST(Fidelity, AnEarlierKernelLeavesWhatWasStoredBehindTheEnd) {
  EXPECT_EQ(behind_the_end_after_growing(eras::v6_1), 'x');
  EXPECT_EQ(behind_the_end_after_growing(eras::v6_12), 0);
}

}  // namespace
}  // namespace daxsim::test
