// SPDX-License-Identifier: BSD-3-Clause
// A program of a small system without a block layer (F10.5): a machine, a NOR flash, a file system to execute from, and a
// mapping.
#include "daxsim/adapters/xip.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/mm/live.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"

int main() {
  using namespace daxsim;
  Machine machine;
  const auto nor = machine.attach(sim::NorFlash{});
  const auto image = XipFs::build(std::vector{XipFile{.name = "fw", .bytes = std::vector<std::byte>(kPageSize)}});
  if (!nor.ok() || !image.ok()) {
    return 1;
  }
  sim::Mtd& mtd = sim::mtd(nor->attachment());
  if (!mtd.unlock({0, nor->size()}).ok() || !mtd.program(0, *image).ok()) {
    return 1;
  }
  auto fs = machine.mount<XipFs>(*nor);
  if (!fs.ok()) {
    return 1;
  }
  auto file = fs->open("/fw", OpenMode::read_only);
  return file.ok() && file->map({.prot = Prot::read}).ok() ? 0 : 1;
}
