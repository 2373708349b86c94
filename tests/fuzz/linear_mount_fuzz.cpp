// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of LinearFs (support/mount_fuzz.hpp).
#include "support/mount_fuzz.hpp"

using namespace daxsim;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<test::LinearWorld>(must(extent_fs::Geometry::make({64}, 0)));
  test::fuzz_mount<test::LinearWorld>(base, {data, size}, [](test::Image&) {});
  return 0;
}
