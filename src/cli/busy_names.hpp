// SPDX-License-Identifier: BSD-3-Clause
// The ways of sim::Busy as the commands print them.
#pragma once

#include <array>
#include <string_view>

#include "daxsim/sim_devices/nor_flash.hpp"

namespace daxsim::cli {

// In the order in which they are shown.
inline constexpr std::array kBusyWays{sim::Busy::exclude, sim::Busy::suspend, sim::Busy::refault, sim::Busy::raw};

constexpr std::string_view busy_name(sim::Busy busy) noexcept {
  constexpr std::array<std::string_view, kBusyWays.size()> kNames{"exclude", "suspend", "refault", "raw"};
  return kNames[static_cast<unsigned>(busy)];
}

}  // namespace daxsim::cli
