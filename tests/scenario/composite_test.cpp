// SPDX-License-Identifier: BSD-3-Clause
// A file system on a composite: it sees one device, and the page tables show the parts (F13/50).
#include <gtest/gtest.h>

#include <optional>
#include <set>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/composite.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

// A machine with a LinearFs on a composite of two pmems.
template <class Config>
struct CompositeWorld {
  explicit CompositeWorld(Config config = {}) {
    for (const support::TempFile& file : media) {
      config.parts.push_back(must(sim::open(sim::Pmem{.path = file.path(), .size = 8_MiB})));
    }
    device.emplace(must(machine.attach(config)));
    fs.emplace(must(machine.mkfs<LinearFs>(*device)));
  }
  // Memory of the file's page: which part's it is.
  [[nodiscard]] int part_of(Inode& inode, std::uint64_t page) {
    return must(inode.direct_access({{page}, 1}, Access::read)).memory.fd;
  }

  support::TempFile media[2];
  Machine machine;
  std::optional<DeviceHandle> device;
  std::optional<FileSystem> fs;
};

TEST(CompositeScenario, Scenario50_AStripeHasNoPmds) {
  // PMD faults fall back; PTEs alternate devices every 16 pages; what was synced survives on both.
  CompositeWorld<sim::StripeComposite> world;
  File file = must(world.fs->create("/file", 4_MiB));
  Process& process = world.machine.spawn();
  const std::uint64_t at = must(process.mmap(file.open_file(), {}));
  for (std::uint64_t page = 0; page < 64; ++page) {
    ASSERT_TRUE(process.store<std::uint64_t>(at + page * kPageSize, page + 1).ok());
  }
  EXPECT_EQ(process.fault_counts(at), (FaultCounts{.pte = 64}));
  Inode& inode = file.open_file()->inode();
  int changes = 0;
  std::set<int> parts{world.part_of(inode, 0)};
  for (std::uint64_t page = 1; page < 64; ++page) {
    changes += world.part_of(inode, page) != world.part_of(inode, page - 1) ? 1 : 0;
    parts.insert(world.part_of(inode, page));
  }
  EXPECT_EQ(parts.size(), 2U);
  EXPECT_GE(changes, 3);
  EXPECT_LE(changes, 4);
  must(file.fsync());
  EXPECT_EQ(must(world.machine.power_cut({})).lost_lines, 0U);
  Machine next = must(world.machine.reboot());
  FileSystem again = must(next.mount<LinearFs>(next.devices()[0]));
  File reopened = must(again.open("/file"));
  Mapping map = must(reopened.map());
  for (std::uint64_t page = 0; page < 64; ++page) {
    EXPECT_EQ(reinterpret_cast<const std::uint64_t*>(map.data() + page * kPageSize)[0], page + 1);
  }
  EXPECT_TRUE(next.findings().empty());
}

TEST(CompositeScenario, ALinearCompositeHasPmds) {
  // Inside a part a PMD fits as on the part alone; over the border it does not.
  CompositeWorld<sim::LinearComposite> world;
  File file = must(world.fs->create("/file", 12_MiB));
  Process& process = world.machine.spawn();
  const std::uint64_t at = must(process.mmap(file.open_file(), {}));
  for (std::uint64_t offset = 0; offset < 12_MiB; offset += 2_MiB) {
    ASSERT_TRUE(process.store<std::uint64_t>(at + offset, offset + 1).ok());
  }
  EXPECT_GE(process.fault_counts(at).pmd, 4U);
  Inode& inode = file.open_file()->inode();
  EXPECT_NE(world.part_of(inode, 0), world.part_of(inode, 12_MiB / kPageSize - 1));
  must(file.fsync());
  EXPECT_EQ(must(world.machine.power_cut({})).lost_lines, 0U);
  EXPECT_TRUE(world.machine.findings().empty());
}

}  // namespace
}  // namespace daxsim::test
