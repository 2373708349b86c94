// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "daxsim/adapters/realtime.hpp"
#include "support/realtime_world.hpp"
#include "unit/adapters/linear/crash_run.hpp"

namespace daxsim {
namespace {

TEST(RealtimeCrash, EveryPointOfAWorkloadThatUsesEverything) {
  // Whatever was synced, on either device, is there, and nothing is half there, wherever the power goes.
  test::cut_varied_program_everywhere<test::RealtimeWorld>();
}

RC_GTEST_PROP(RealtimeCrash, RandomProgramsSurviveCutsAndGoOn, ()) {
  // The same for programs nobody thought of; after a cut the next program runs on what it left.
  test::cut_random_programs<test::RealtimeWorld>();
}

}  // namespace
}  // namespace daxsim
