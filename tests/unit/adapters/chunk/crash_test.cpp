// SPDX-License-Identifier: BSD-3-Clause
// Power cuts at every flush and fence of a ChunkFs, of each profile; and while a balance moves blocks.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "daxsim/adapters/chunk.hpp"
#include "support/chunk_world.hpp"
#include "unit/adapters/linear/crash_run.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::ChunkWorld;
using test::ChunkWorldOf;
using test::Image;
using test::RamView;

using Single = ChunkWorldOf<ChunkProfile::single>;
using Raid0 = ChunkWorldOf<ChunkProfile::raid0>;
using Dup = ChunkWorldOf<ChunkProfile::dup>;

// Whatever was synced, on either device, is there, and nothing is half there, wherever the power goes.
TEST(ChunkCrash, EveryPointOfAWorkloadThatUsesEverythingSingle) { test::cut_varied_program_everywhere<Single>(); }
TEST(ChunkCrash, EveryPointOfAWorkloadThatUsesEverythingRaid0) { test::cut_varied_program_everywhere<Raid0>(); }
TEST(ChunkCrash, EveryPointOfAWorkloadThatUsesEverythingDup) { test::cut_varied_program_everywhere<Dup>(); }

// The same for programs nobody thought of; after a cut the next program runs on what it left.
RC_GTEST_PROP(ChunkCrash, RandomProgramsSurviveCutsAndGoOnSingle, ()) { test::cut_random_programs<Single>(); }
RC_GTEST_PROP(ChunkCrash, RandomProgramsSurviveCutsAndGoOnRaid0, ()) { test::cut_random_programs<Raid0>(); }
RC_GTEST_PROP(ChunkCrash, RandomProgramsSurviveCutsAndGoOnDup, ()) { test::cut_random_programs<Dup>(); }

// A cut at any point of a balance leaves every file as it was synced, and the next balance finishes the work.
template <class World>
void cut_balance_everywhere() {
  World made(384_KiB);
  made.make();
  const std::string first(5 * kPageSize, 'f');
  const std::string second(20 * kPageSize + 17, 's');
  must(made.create("a")->pwrite(0, bytes(first)));
  must(made.create("b")->pwrite(0, bytes(second)));
  must(made.fs->sync());
  const Image base = made.image();

  World world(base);
  world.mount();
  Random random(1);
  std::vector<test::ImageDelta> cuts;
  world.before_each_step([&] {
    for (const auto outcome : {RamView::Outcome::nothing, RamView::Outcome::everything, RamView::Outcome::random}) {
      cuts.emplace_back(base, world.image_after_cut(outcome, random));
    }
  });
  EXPECT_GT(must(ChunkFs::balance(*world.fs, 0)).pages, 10U);
  world.before_each_step({});
  EXPECT_GT(cuts.size(), 30U);
  for (const test::ImageDelta& cut : cuts) {
    World after(cut.apply_to(base));
    after.mount();
    ASSERT_EQ(after.content("a"), first);
    ASSERT_EQ(after.content("b"), second);
    must(ChunkFs::balance(*after.fs, 0));
    ASSERT_EQ(must(ChunkFs::chunks(*after.fs))[0].used_pages, 0U);
    ASSERT_EQ(after.content("b"), second);
  }
}
TEST(ChunkCrash, EveryPointOfABalanceSingle) { cut_balance_everywhere<Single>(); }
TEST(ChunkCrash, EveryPointOfABalanceRaid0) { cut_balance_everywhere<Raid0>(); }
TEST(ChunkCrash, EveryPointOfABalanceDup) { cut_balance_everywhere<Dup>(); }

}  // namespace
}  // namespace daxsim
