// SPDX-License-Identifier: BSD-3-Clause
// Any bytes are a program of index calls; the verifier throws when the tree and its model differ.
#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <iterator>

#include "unit/index/verifier.hpp"

namespace {

using daxsim::Mark;
using daxsim::test::Action;
using daxsim::test::Step;
using daxsim::test::Verifier;

constexpr std::size_t kStepBytes = 6;
constexpr std::size_t kMaxSteps = 64;

// action and failure | order and marks | place | offset (2) | number
Step decode(const std::uint8_t* bytes) {
  static constexpr std::uint64_t kBases[] = {
      0, 0, 0, 1U << 12, std::uint64_t{1} << 24, std::uint64_t{1} << 60, ~std::uint64_t{0} - 1023};
  Step step;
  step.action = static_cast<Action>((bytes[0] & 0x1f) % daxsim::test::kActions);
  step.fail_from = bytes[0] >> 5;
  step.order = (bytes[1] & 0x0f) % (daxsim::kMaxOrder + 1);
  step.mark = static_cast<Mark>(((bytes[1] >> 4) & 3) % daxsim::kMarks);
  step.other = static_cast<Mark>((bytes[1] >> 6) % daxsim::kMarks);
  step.index = kBases[bytes[2] % std::size(kBases)] + ((bytes[3] | (bytes[4] << 8)) & 1023);
  step.number = bytes[5];
  return step;
}

template <unsigned shift>
void run(const std::uint8_t* data, std::size_t steps) {
  Verifier<shift> verifier;
  for (std::size_t step = 0; step < steps; ++step) {
    verifier.apply(decode(data + step * kStepBytes));
  }
  verifier.finish();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  if (size == 0) {
    return 0;
  }
  const std::size_t steps = std::min((size - 1) / kStepBytes, kMaxSteps);
  if ((data[0] & 1) != 0) {
    run<6>(data + 1, steps);
  } else {
    run<2>(data + 1, steps);
  }
  return 0;
}
