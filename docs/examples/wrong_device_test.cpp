// SPDX-License-Identifier: BSD-3-Clause
#include <daxsim/test_support/builders.hpp>
#include <daxsim/test_support/expect.hpp>

using namespace daxsim;
using namespace daxsim::literals;

TEST(RealtimeFile, WhichDesignLosesItsStore) {
  for (const IndexDesign* design : designs::all()) {
    auto world = test::live_realtime_file(1_MiB, {}, {.design = design});  // two devices, the file is on the second
    world.map.data()[5] = std::byte{42};                                   // a real store
    must(world.file.fsync());                                              // and fsync says that it is safe
    must(world.machine.power_cut());
    const std::vector<Finding> findings = world.machine.findings();
    world.reboot();
    std::byte byte{};
    must(must(world.fs.open("/file")).pread(5, {&byte, 1}));
    const bool lost = design == &designs::sector_of_super_block();  // Linux 4.5-rc1
    EXPECT_EQ(byte, lost ? std::byte{0} : std::byte{42}) << design->name();
    ASSERT_EQ(findings.size(), lost ? 2U : 0U) << design->name();
    EXPECT_TRUE(!lost || findings[0].kind == FindingKind::wrong_device_flush);
    EXPECT_TRUE(!lost || findings[1].kind == FindingKind::lost_store);
  }
}
