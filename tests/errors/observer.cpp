// SPDX-License-Identifier: BSD-3-Clause
#include "errors/observer.hpp"

namespace daxsim::test {

void Observer::note(std::string_view call, Errno error) {
  const bool is_new_call = calls_.emplace(call).second;
  const std::string name(call);
  if (is_new_call && !documented_.calls().contains(name)) {
    violations_.push_back(name + " is no documented call: " + world_);
  }
  if (error != Errno{} && seen_.try_emplace({name, error}, world_).second && !documented_.allows(name, error)) {
    violations_.push_back(name + " answered " + std::string(errno_name(error)) +
                          ", which its comment does not name: " + world_);
  }
}

}  // namespace daxsim::test
