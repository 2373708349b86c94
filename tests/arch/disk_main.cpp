// SPDX-License-Identifier: BSD-3-Clause
// The same with a disk, which cannot do without a block layer: the check of flash_main can fail.
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"

int main() {
  daxsim::Machine machine;
  return machine.attach(daxsim::sim::RamDisk{.size = std::uint64_t{1} << 20}).ok() ? 0 : 1;
}
