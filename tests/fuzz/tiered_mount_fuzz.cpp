// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of TieredFs (support/mount_fuzz.hpp). The disk says what the direct device says of it.
#include "support/mount_fuzz.hpp"
#include "support/tiered_world.hpp"

using namespace daxsim;

namespace {

constexpr std::uint64_t kDirectPages = 64;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<test::TieredWorld>(
      must(extent_fs::Geometry::make({kDirectPages, test::TieredWorld::kDiskBytes >> kPageShift}, 0)));
  test::fuzz_mount<test::TieredWorld>(base, {data, size},
                                      [](test::Image& image) { test::fix_volume_records(image, kDirectPages); });
  return 0;
}
