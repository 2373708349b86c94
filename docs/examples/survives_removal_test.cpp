// SPDX-License-Identifier: BSD-3-Clause
#include <daxsim/test_support/builders.hpp>
#include <daxsim/test_support/expect.hpp>

using namespace daxsim;
using namespace daxsim::literals;

TEST(MyCounter, SurvivesRemoval) {
  auto world = test::live_file(1_MiB);  // machine, pmem, file system, file, live mapping
  auto* counter = reinterpret_cast<std::uint64_t*>(world.map.data());
  *counter = 42;  // a real store: one page fault
  EXPECT_FAULTS(world.map, pte = 1);
  must(world.machine.remove(world.device, Removal::orderly));       // unbind the device, in order
  EXPECT_SIGBUS_LOAD(counter, BUS_ADRERR);                          // the mapping is gone
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);                     // and so is the file system
  auto device = must(world.machine.attach(world.device.medium()));  // plug it in again
  auto file = must(must(world.machine.mount<LinearFs>(device)).open("/file"));
  EXPECT_EQ(*reinterpret_cast<std::uint64_t*>(must(file.map()).data()), 42U);
}
