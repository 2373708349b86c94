// SPDX-License-Identifier: BSD-3-Clause
// Bugs that Linux had (F5.5): each produces its finding under the era that had it, and none under the one that fixed it.
// docs/history.md lists them all.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <vector>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;
using ::testing::ElementsAre;
using ::testing::IsEmpty;

// What a story came to: what the detectors saw, and whether the byte that fsync had promised is there.
struct Ending {
  std::vector<FindingKind> findings;
  bool kept = false;
};

Ending end(LiveWorld& world, std::uint64_t offset, std::byte promised) {
  must(world.machine.power_cut());
  Ending ending;
  for (const Finding& finding : world.machine.findings()) {
    ending.findings.push_back(finding.kind);
  }
  world.reboot();
  std::byte found{};
  must(must(world.fs.open("/file")).pread(offset, {&found, 1}));
  ending.kept = found == promised;
  return ending;
}

// B2: a huge page stays writable after its entry was cleaned, so the next store is not noticed by the next fsync.
Ending store_again_through_a_huge_page(const Era& era) {
  LiveWorld world = live_file(4_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.file.fsync());
  world.map.data()[5] = std::byte{2};
  must(world.file.fsync());
  return end(world, 5, std::byte{2});
}
TEST(History, B2_HugePagesAreNotWriteProtected) {
  const Ending then = store_again_through_a_huge_page(eras::v4_10);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::clean_entry_with_writable_pte,
                                         FindingKind::clean_entry_with_writable_pte, FindingKind::lost_store));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_again_through_a_huge_page(eras::v4_12);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B11: the sector of a file on the realtime device is flushed on the super block's device. 4.5 never calls an entry clean,
// so that the store is lost only the byte tells.
Ending store_to_a_realtime_file(const Era& era) {
  LiveWorld world = live_realtime_file(1_MiB, {}, {.era = era});
  world.map.data()[5] = std::byte{1};
  must(world.file.fsync());
  return end(world, 5, std::byte{1});
}
TEST(History, B11_TheSuperBlocksDevice) {
  const Ending then = store_to_a_realtime_file(eras::v4_5_rc1);
  EXPECT_THAT(then.findings, ElementsAre(FindingKind::wrong_device_flush));
  EXPECT_FALSE(then.kept);

  const Ending fixed = store_to_a_realtime_file(eras::v4_5);
  EXPECT_THAT(fixed.findings, IsEmpty());
  EXPECT_TRUE(fixed.kept);
}

// B16: a kernel address outlives its device; the patches of 2015 stored one, 4.5-rc1 a sector for this reason. The file
// system is not told of the removal, as none was then.
std::vector<FindingKind> fsync_after_the_device_went(const IndexDesign& design) {
  LiveWorld world = live_file(1_MiB, {}, {.era = eras::v4_5_rc1.without(Step::notify_holder), .design = &design});
  world.map.data()[5] = std::byte{1};
  world.map.unmap();
  must(world.machine.remove(world.device, Removal::surprise));
  EXPECT_ERRNO(world.file.fsync(), Errno::eio);
  std::vector<FindingKind> seen;
  for (const Finding& finding : world.machine.findings()) {
    seen.push_back(finding.kind);
  }
  return seen;
}
TEST(History, B16_KernelAddressesOutliveTheDevice) {
  EXPECT_THAT(fsync_after_the_device_went(designs::kaddr()), ElementsAre(FindingKind::flush_of_dead_memory));
  EXPECT_THAT(fsync_after_the_device_went(designs::sector_of_super_block()), IsEmpty());
}

}  // namespace
}  // namespace daxsim::test
