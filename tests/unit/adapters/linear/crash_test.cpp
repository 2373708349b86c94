// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/adapters/linear/crash_run.hpp"

namespace daxsim {
namespace {

TEST(LinearCrash, EveryPointOfAWorkloadThatUsesEverything) {
  // Whatever was synced is there, and nothing is half there, wherever the power goes.
  test::cut_varied_program_everywhere<test::LinearWorld>();
}

RC_GTEST_PROP(LinearCrash, RandomProgramsSurviveCutsAndGoOn, ()) {
  // The same for programs nobody thought of; after a cut the next program runs on what it left.
  test::cut_random_programs<test::LinearWorld>();
}

}  // namespace
}  // namespace daxsim
