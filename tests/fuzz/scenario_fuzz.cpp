// SPDX-License-Identifier: BSD-3-Clause
// Any bytes are a scenario, or an error that names a line: never a crash, and never more lines than a scenario may have.
#include <cstddef>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "daxsim/lab/scenario.hpp"
#include "lab/scenario_steps.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace daxsim;
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto scenario = lab::parse_scenario(text, "fuzz.scn", "/nowhere");
  if (!scenario) {
    if (scenario.error().line == 0 || scenario.error().message.empty()) {
      std::abort();
    }
    return 0;
  }
  static_cast<void>(lab::machines_for(*scenario));
  const auto steps = lab::steps_of(*scenario, {});
  if (steps ? steps->size() > lab::kMostSteps : steps.error().line == 0) {
    std::abort();
  }
  return 0;
}
