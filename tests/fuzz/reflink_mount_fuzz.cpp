// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of RealtimeFs whose files may share blocks (support/mount_fuzz.hpp). The realtime device says what the
// data device says of it.
#include "support/mount_fuzz.hpp"
#include "support/realtime_world.hpp"

using namespace daxsim;

namespace {

constexpr std::uint64_t kDataPages = 64;

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<test::ReflinkWorld>(
      must(extent_fs::Geometry::make({kDataPages, test::ReflinkWorld::kRealtimeBytes >> kPageShift}, 0,
                                     extent_fs::MapOfChunks::one_for_each_volume, Reflink::yes)));
  test::fuzz_mount<test::ReflinkWorld>(base, {data, size},
                                       [](test::Image& image) { test::fix_volume_records(image, kDataPages); });
  return 0;
}
