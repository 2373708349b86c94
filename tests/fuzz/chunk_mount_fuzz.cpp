// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of ChunkFs (support/mount_fuzz.hpp). The second device says what the first says of it, and the chunk map
// has the right checksum.
#include "support/chunk_world.hpp"
#include "support/mount_fuzz.hpp"

using namespace daxsim;

namespace {

using World = test::ChunkWorldOf<ChunkProfile::single>;

constexpr std::uint64_t kPages = 64;

void fix_records(test::Image& image) {
  auto super = test::load<extent_fs::SuperRecord>(image, 0);
  super.volumes = 2;
  super.crc = crc_of(super);
  test::store(image, 0, super);

  test::fix_volume_records(image, kPages);

  auto header = test::load<extent_fs::ChunkMapHeader>(image, kPageSize);
  const std::uint64_t chunks = std::min<std::uint64_t>(header.chunks, extent_fs::kMaxChunks);
  header.crc = 0;
  Crc32c crc;
  crc.add(bytes_of(header));
  crc.add(std::span(image).subspan(kPageSize + sizeof(header), chunks * sizeof(extent_fs::ChunkRecord)));
  header.crc = crc.value();
  test::store(image, kPageSize, header);
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const test::FuzzBase base = test::make_fuzz_base<World>(
      must(extent_fs::Geometry::make({kPages, World::kSecondBytes >> kPageShift}, 0, extent_fs::MapOfChunks::stored)));
  test::fuzz_mount<World>(base, {data, size}, fix_records);
  return 0;
}
