// SPDX-License-Identifier: BSD-3-Clause
// The steps of docs/getting-started.md, in one program.
#include <gtest/gtest.h>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

using namespace daxsim;
using namespace daxsim::literals;

TEST(GettingStarted, StepByStep) {
  const test::TemporaryFile media;

  // 1. A machine, a device, a file system
  Machine machine;
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = 64_MiB}));
  FileSystem fs = must(machine.mkfs<LinearFs>(device));
  File file = must(fs.create("/log", 1_MiB));

  // 2. Real loads and stores
  Mapping map = must(file.map());
  map.data()[0] = std::byte{1};
  EXPECT_FAULTS(map, pte = 1);

  // 3. Make it durable, or not
  must(file.fsync());
  map.data()[64] = std::byte{2};
  persist(&map.data()[64], 1);
  map.data()[128] = std::byte{3};

  // 4. Cut the power
  must(machine.power_cut());
  machine = must(machine.reboot());
  FileSystem after = must(machine.mount<LinearFs>(machine.devices().front()));
  File again = must(after.open("/log"));
  std::byte bytes[129] = {};
  EXPECT_EQ(must(again.pread(0, bytes)), sizeof bytes);
  EXPECT_EQ(bytes[0], std::byte{1});
  EXPECT_EQ(bytes[64], std::byte{2});
  EXPECT_EQ(bytes[128], std::byte{0});

  // 5. Simulated processes
  Process& process = machine.spawn();
  const std::uint64_t address = must(process.mmap(again.open_file(), {}));
  EXPECT_TRUE(process.store<int>(address, 7).ok());
  EXPECT_EQ(process.load<int>(address).value(), 7);

  // 6. Pull the device out
  Mapping mapped_again = must(again.map());
  must(machine.remove(machine.devices().front(), Removal::surprise));
  EXPECT_SIGBUS_LOAD(mapped_again.data(), BUS_ADRERR);
  EXPECT_EQ(process.load<int>(address).error().number, SIGBUS);
  EXPECT_ERRNO(again.fsync(), Errno::eio);
}
