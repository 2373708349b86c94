// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of RealtimeFs (support/mount_fuzz.hpp). The realtime device says what the data device says of it.
#include "support/mount_fuzz.hpp"
#include "support/realtime_world.hpp"

using namespace daxsim;

namespace {

constexpr std::uint64_t kDataPages = 64;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<test::RealtimeWorld>(
      must(extent_fs::Geometry::make({kDataPages, test::RealtimeWorld::kRealtimeBytes >> kPageShift}, 0)));
  test::fuzz_mount<test::RealtimeWorld>(base, {data, size},
                                        [](test::Image& image) { test::fix_volume_records(image, kDataPages); });
  return 0;
}
