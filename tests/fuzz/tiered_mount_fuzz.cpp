// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of TieredFs (support/mount_fuzz.hpp). The disk says what the direct device says of it.
#include "support/mount_fuzz.hpp"
#include "support/tiered_world.hpp"

using namespace daxsim;

namespace {

constexpr std::uint64_t kDirectPages = 64;

void fix_volume_records(test::Image& image) {
  constexpr std::uint64_t kOffset = extent_fs::kVolumesOffset + sizeof(extent_fs::VolumeRecord);
  auto record = test::load<extent_fs::VolumeRecord>(image, kOffset);
  record.crc = crc_of(record);
  test::store(image, kOffset, record);
  test::store(image, kDirectPages << kPageShift, record);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<test::TieredWorld>(
      must(extent_fs::Geometry::make({kDirectPages, test::TieredWorld::kDiskBytes >> kPageShift}, 0)));
  test::fuzz_mount<test::TieredWorld>(base, {data, size}, fix_volume_records);
  return 0;
}
