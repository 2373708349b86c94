// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "daxsim/adapters/tiered.hpp"
#include "support/tiered_world.hpp"
#include "unit/adapters/linear/crash_run.hpp"

namespace daxsim {
namespace {

TEST(TieredCrash, EveryPointOfAWorkloadThatUsesEverything) {
  // Whatever was synced, on either device, is there, and nothing is half there, wherever the power goes and whatever moves.
  test::cut_varied_program_everywhere<test::TieredWorld>();
}

RC_GTEST_PROP(TieredCrash, RandomProgramsSurviveCutsAndGoOn, ()) {
  // The same for programs nobody thought of; after a cut the next program runs on what it left.
  test::cut_random_programs<test::TieredWorld>();
}

}  // namespace
}  // namespace daxsim
