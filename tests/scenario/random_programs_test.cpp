// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include <cstdlib>
#include <string>

#include "program.hpp"
#include "support/sanitized.hpp"

namespace daxsim::test {
namespace {

// DAXSIM_PROGRAM_SEED replays one program of every test here.
void run_programs(Mmu mmu, std::uint64_t first_seed, std::uint64_t programs, const Program::Shape& shape = {}) {
  if (kSanitized) {
    programs /= 10;
  }
  const char* const only = std::getenv("DAXSIM_PROGRAM_SEED");
  if (only != nullptr) {
    first_seed = std::strtoull(only, nullptr, 10);
    programs = 1;
  }
  for (std::uint64_t seed = first_seed; seed < first_seed + programs; ++seed) {
    const std::string failure = Program(seed, mmu, shape).run();
    ASSERT_EQ(failure, "") << mmu_name(mmu) << ", replay with DAXSIM_PROGRAM_SEED=" << seed;
  }
}

// Whatever a program stored and fsynced is there after any power cut, and nothing is there that nobody wrote. Ten
// thousand seeds in four parts, which ctest runs side by side.
class SoftPrograms : public ::testing::TestWithParam<std::uint64_t> {};
TEST_P(SoftPrograms, SurviveAsTheModelSays) { run_programs(Mmu::soft, GetParam() * 2500, 2500); }
INSTANTIATE_TEST_SUITE_P(Seeds, SoftPrograms, ::testing::Range<std::uint64_t>(0, 4));

// The same with real loads and stores.
TEST(LivePrograms, SurviveUnderUserfaultfd) { run_programs(Mmu::userfaultfd, 0, 500); }
TEST(LivePrograms, SurviveUnderSigsegv) { run_programs(Mmu::sigsegv, 0, 500); }
TEST(LivePrograms, SurviveOnARealtimeDevice) { run_programs(Mmu::userfaultfd, 0, 200, {.realtime = true}); }

// The model can tell: a policy that forgets a step that data depends on is caught by one of the first programs.
struct Broken {
  const char* name;
  Policy policy;
};
class BrokenPolicies : public ::testing::TestWithParam<Broken> {};
INSTANTIATE_TEST_SUITE_P(Steps, BrokenPolicies,
                         ::testing::Values(Broken{"NoFlush", Policy{}.without(Step::flush)},
                                           Broken{"NoFence", Policy{}.without(Step::fence)},
                                           Broken{"NoWriteProtect", {.write_protect = WriteProtect::none}}),
                         [](const auto& broken) { return std::string(broken.param.name); });

TEST_P(BrokenPolicies, AreCaught) {
  const MachineOptions options{.era = eras::v6_12.with(GetParam().policy)};
  for (std::uint64_t seed = 0; seed < 100; ++seed) {
    if (!Program(seed, Mmu::soft, {}, options).run().empty()) {
      return;
    }
  }
  FAIL() << "100 programs ran as if nothing were wrong";
}

}  // namespace
}  // namespace daxsim::test
