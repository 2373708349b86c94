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

TEST(ReflinkCrash, EveryPointOfAWorkloadThatUsesEverything) {
  // Files that share blocks: a cut leaves the old block or the new one, and nobody sees what another file has stored.
  test::cut_varied_program_everywhere<test::ReflinkWorld>();
}

RC_GTEST_PROP(ReflinkCrash, RandomProgramsSurviveCutsAndGoOn, ()) { test::cut_random_programs<test::ReflinkWorld>(); }

}  // namespace
}  // namespace daxsim
