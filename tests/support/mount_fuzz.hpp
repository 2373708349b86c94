// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of a file system: the input edits the metadata of a used file system, the checksums are made right again,
// and whatever mounts is listed, read, written, emptied and unmounted. Nothing may crash, hang or lose blocks.
//
// Input: edits of 5 bytes each: where (16 bits: an offset in 8-byte words into one of the areas), how (8 bits), what (16
// bits).
#pragma once

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "support/linear_image.hpp"

namespace daxsim::test {

struct FuzzBase {
  Image image;
  extent_fs::Geometry geometry;
  std::vector<std::uint64_t> areas;  // where edits go: super record, checkpoints, logs, chunk map
};

// Both checkpoints hold files, and both logs commits, the newer one of every kind of record.
template <class World>
FuzzBase make_fuzz_base(const extent_fs::Geometry& geometry) {
  constexpr std::uint64_t kPage = kPageSize;
  World world(byte_of(Pgoff{geometry.blocks[0]}));
  world.make();
  for (const char* name : {"a", "b", "c"}) {
    must(world.create(name)->pwrite(kPage, bytes(std::string(2 * kPage, 'x'))));
  }
  must(world.fs->sync());
  must(world.fs->unmount());
  world.remount();
  {
    const auto file = world.create("d");
    must(file->fallocate(Fallocate::allocate, {0, 6 * kPage}));
    must(file->pwrite(2 * kPage, bytes("hello")));
    must(file->fsync());
    must(file->fallocate(Fallocate::insert_range, {kPage, kPage}));
    must(file->fallocate(Fallocate::collapse_range, {3 * kPage, kPage}));
    must(file->fallocate(Fallocate::punch_hole, {0, kPage}));
    must(world.fs->rename("a", "e"));
    const auto open = world.open("b");
    must(world.fs->unlink("b"));
    if (world.can_reflink()) {
      must(world.create("f")->reflink(*file, {0, 0}, 0));
      must(file->pwrite(2 * kPage, bytes("world")));
    }
    must(world.fs->sync());
  }
  must(world.fs->unlink("c"));
  must(world.fs->sync());
  FuzzBase base{.image = world.image(), .geometry = geometry, .areas = {}};
  base.areas = {0, geometry.checkpoint_offset(0), geometry.checkpoint_offset(1), geometry.log_offset(0),
                geometry.log_offset(1)};
  if (geometry.map_pages != 0) {
    base.areas.push_back(kPageSize);
  }
  return base;
}

inline void edit(Image& image, std::uint64_t offset, std::uint8_t how, std::uint16_t what) {
  if (offset + 8 > image.size()) {
    return;
  }
  std::uint64_t word = 0;
  std::memcpy(&word, image.data() + offset, sizeof(word));
  const std::uint64_t shifted = std::uint64_t{what} << (how >> 2);
  switch (how & 3) {
    case 0:
      word ^= shifted;
      break;
    case 1:
      word += shifted;
      break;
    case 2:
      word = shifted;
      break;
    default:
      word = ~shifted;
  }
  std::memcpy(image.data() + offset, &word, sizeof(word));
}

// The record of the second volume, which the first has and the second says as well: it begins `pages` pages behind.
inline void fix_volume_records(Image& image, std::uint64_t pages) {
  constexpr std::uint64_t kOffset = extent_fs::kVolumesOffset + sizeof(extent_fs::VolumeRecord);
  auto record = load<extent_fs::VolumeRecord>(image, kOffset);
  record.crc = crc_of(record);
  store(image, kOffset, record);
  store(image, pages << kPageShift, record);
}

// `fix` makes right what fix_checksums does not know.
template <class World, class Fix>
void fuzz_mount(const FuzzBase& base, std::span<const std::uint8_t> data, Fix fix) {
  Image image = base.image;
  for (; data.size() >= 5; data = data.subspan(5)) {
    const unsigned where = data[0] | static_cast<unsigned>(data[1]) << 8;
    const std::size_t areas = base.areas.size();
    edit(image, base.areas[where % areas] + where / areas % 512 * 8, data[2],
         static_cast<std::uint16_t>(data[3] | data[4] << 8));
  }
  fix_checksums(image, base.geometry);
  fix(image);
  const Result<void> mounted = use_image<World>(std::move(image));
  require(mounted.ok() || mounted.error() == Errno::einval || mounted.error() == Errno::eopnotsupp ||
              mounted.error() == Errno::euclean,
          "mount answers what it does not name");
}

}  // namespace daxsim::test
