// SPDX-License-Identifier: BSD-3-Clause
// Which pages of the firmware are worth their room on the flash? Run an image that is all compressed, see which pages were
// touched, build another with those as they are: it runs without a page of RAM.
#include <gtest/gtest.h>

#include <vector>

#include "daxsim/adapters/xip.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/must.hpp"

using namespace daxsim;
using namespace daxsim::literals;

namespace {

// Boots: touches two of the pages. Returns which pages faulted.
XipProfile boot(const std::vector<std::byte>& image) {
  const test::TemporaryFile media;
  Machine machine;
  const DeviceHandle flash = must(machine.attach(sim::Pmem{.path = media.path(), .size = 2_MiB}));
  must(flash.attachment().write(0, image));
  FileSystem fs = must(machine.mount<XipFs>(flash));
  File firmware = must(fs.open("/boot/firmware", OpenMode::read_only));
  const Mapping code = must(firmware.map({.prot = Prot::read}));
  EXPECT_EQ(code.data()[0], std::byte{7});
  EXPECT_EQ(code.data()[40 * kPageSize], std::byte{7});
  return must(XipFs::recorded_profile(*fs.super_block()));
}

TEST(ExecuteInPlace, OnlyWhatIsTouchedIsDirect) {
  const XipFile firmware{"boot/firmware", std::vector<std::byte>(100 * kPageSize, std::byte{7})};
  const XipProfile touched = boot(must(XipFs::build({&firmware, 1})));
  EXPECT_EQ(touched.text(), "0 1 boot/firmware\n40 1 boot/firmware\n");

  const std::vector<std::byte> image = must(XipFs::build({&firmware, 1}, touched));
  const XipUsage usage = must(XipFs::inspect(image)).usage;
  EXPECT_EQ(usage.direct_pages, 2U);
  EXPECT_LT(usage.image_bytes, 20 * kPageSize);
  boot(image);
}

}  // namespace
