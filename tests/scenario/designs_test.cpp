// SPDX-License-Identifier: BSD-3-Clause
// On a file system with one device every index design keeps its promises: there is only one place to be wrong about. With
// a second device all but one do.
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <string>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

class Designs : public ::testing::TestWithParam<const IndexDesign*> {
 protected:
  const MachineOptions options{.design = GetParam()};
};
using DesignsOnLinear = Designs;
using DesignsOnRealtime = Designs;
std::string name_of(const ::testing::TestParamInfo<const IndexDesign*>& design) {
  std::string name(design.param->name());
  std::erase_if(name, [](char letter) { return std::isalnum(static_cast<unsigned char>(letter)) == 0; });
  return name;
}
INSTANTIATE_TEST_SUITE_P(All, DesignsOnLinear, ::testing::ValuesIn(designs::all()), name_of);

std::vector<const IndexDesign*> all_but_sector_of_super_block() {
  std::vector<const IndexDesign*> right(designs::all().begin(), designs::all().end());
  std::erase(right, &designs::sector_of_super_block());
  return right;
}
INSTANTIATE_TEST_SUITE_P(Right, DesignsOnRealtime, ::testing::ValuesIn(all_but_sector_of_super_block()), name_of);

// A real store, an fsync, and the power goes: page by page, and in a huge page.
void keeps_what_was_fsynced(LiveWorld world) {
  world.map.data()[5] = std::byte{1};
  world.map.data()[2_MiB + 100 * kPageSize] = std::byte{2};
  must(world.file.fsync());

  world.power_cycle();

  const File file = must(world.fs.open("/file"));
  std::byte small{};
  std::byte huge{};
  must(file.open_file()->pread(5, {&small, 1}));
  must(file.open_file()->pread(2_MiB + 100 * kPageSize, {&huge, 1}));
  EXPECT_EQ(small, std::byte{1});
  EXPECT_EQ(huge, std::byte{2});
}

TEST_P(DesignsOnLinear, KeepWhatWasFsynced) { keeps_what_was_fsynced(live_file(4_MiB, {}, options)); }
TEST_P(DesignsOnRealtime, KeepWhatWasFsyncedThere) { keeps_what_was_fsynced(live_realtime_file(4_MiB, {}, options)); }

// Every era of Linux does, too: what they got wrong takes more than one device, a huge page, a race, or another call.
TEST(ErasOnLinear, KeepWhatWasFsynced) {
  for (const Era& era : eras::all) {
    LiveWorld world = live_file(1_MiB, {}, {.era = era});
    world.map.data()[5] = std::byte{1};
    must(world.file.fsync());
    world.map.data()[5] = std::byte{2};
    must(world.file.fsync());

    world.power_cycle();

    const File file = must(world.fs.open("/file"));
    std::byte byte{};
    must(file.open_file()->pread(5, {&byte, 1}));
    EXPECT_EQ(byte, std::byte{2}) << era.name;
  }
}

}  // namespace
}  // namespace daxsim::test
