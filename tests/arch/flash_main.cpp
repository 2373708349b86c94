// SPDX-License-Identifier: BSD-3-Clause
// A program of a small system without a block layer (F10.5): a machine, an attachment and a NOR flash.
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"

int main() {
  daxsim::Machine machine;
  const auto media = daxsim::sim::open(daxsim::sim::NorFlash{});
  return media.ok() && machine.devices().empty() && daxsim::sim::Mtd::power_on(*media, machine.clock()).ok() ? 0 : 1;
}
