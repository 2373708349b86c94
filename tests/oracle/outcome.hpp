// SPDX-License-Identifier: BSD-3-Clause
// What a call of the real kernel came to, as lab::Outcome has it, with the words that recordings have for it.
#pragma once

#include <cerrno>
#include <cstdint>
#include <cstring>
#include <string>
#include <utility>

#include "lab/scenario_steps.hpp"

namespace oracle {

using daxsim::lab::answered;
using daxsim::lab::cannot;
using daxsim::lab::Outcome;
using daxsim::lab::Step;

// The call of this name answered `value`; when that is negative, errno says why.
inline Outcome called(const std::string& name, std::int64_t value) {
  if (value >= 0) {
    return answered(name + " = " + std::to_string(value), value);
  }
  const int error = errno;
  const char* const error_name = strerrorname_np(error);
  Outcome outcome;
  outcome.kind = Outcome::Kind::failed;
  outcome.error = daxsim::from_host_errno(error);
  outcome.recorded = name + " = -1 " + (error_name == nullptr ? "E?" : error_name);
  return outcome;
}

}  // namespace oracle
