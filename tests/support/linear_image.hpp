// SPDX-License-Identifier: BSD-3-Clause
// Images with metadata of the test's own making, checksums right: what a hostile image looks like. An Image is an empty
// file system after mkfs; slot 0 has its checkpoint, number 0, and its log is empty.
#pragma once

#include <algorithm>
#include <cstring>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "adapters/extent_fs/definitions.hpp"
#include "adapters/extent_fs/records.hpp"
#include "support/linear_world.hpp"

namespace daxsim::test {

template <class Record>
Record load(const Image& image, std::uint64_t offset) {
  Record record;
  std::memcpy(&record, image.data() + offset, sizeof(record));
  return record;
}
template <class Record>
void store(Image& image, std::uint64_t offset, const Record& record) {
  std::memcpy(image.data() + offset, &record, sizeof(record));
}

// What one file of a made checkpoint says.
struct MadeFile {
  std::uint32_t ino = 1;
  std::string name = "a";
  std::uint64_t size = 0;
  std::vector<extent_fs::ExtentRecord> extents{};
  std::uint8_t flags = 0;
  std::uint64_t claimed_extents = ~std::uint64_t{0};  // ~0: as many as there are
};

inline extent_fs::ExtentRecord made_extent(std::uint64_t logical, std::uint64_t physical, std::uint32_t pages,
                                           std::uint32_t state = 0) {
  extent_fs::ExtentRecord extent;
  extent.logical = logical;
  extent.physical = physical;
  extent.pages = pages;
  extent.state = state;
  return extent;
}

class ImageMaker {
 public:
  explicit ImageMaker(std::uint64_t bytes) {
    LinearWorld world(bytes);
    world.mkfs();
    image = world.medium->image();
    geometry = must(extent_fs::Geometry::make({bytes >> kPageShift}, 0));
  }

  // Puts these files into checkpoint 0.
  void put_files(const std::vector<MadeFile>& files) {
    std::vector<std::byte> body;
    const auto append = [&body](std::span<const std::byte> part) { body.insert(body.end(), part.begin(), part.end()); };
    for (const MadeFile& file : files) {
      extent_fs::FileRecord record{};
      record.size = file.size;
      record.extents = file.claimed_extents == ~std::uint64_t{0} ? file.extents.size() : file.claimed_extents;
      record.ino = file.ino;
      record.name_length = static_cast<std::uint8_t>(file.name.size());
      record.flags = file.flags;
      append(bytes_of(record));
      append(std::as_bytes(std::span(file.name)));
      body.resize(round_up(body.size(), 8));
      for (const extent_fs::ExtentRecord& extent : file.extents) {
        append(bytes_of(extent));
      }
    }
    const std::uint64_t offset = geometry.checkpoint_offset(0);
    auto header = load<extent_fs::CheckpointHeader>(image, offset);
    header.files = static_cast<std::uint32_t>(files.size());
    header.body_bytes = body.size();
    Crc32c crc;
    crc.add(body);
    header.body_crc = crc.value();
    put_header(header);
    std::ranges::copy(body, image.begin() + static_cast<std::ptrdiff_t>(offset + sizeof(header)));
  }
  [[nodiscard]] extent_fs::CheckpointHeader header() const {
    return load<extent_fs::CheckpointHeader>(image, geometry.checkpoint_offset(0));
  }
  void put_header(extent_fs::CheckpointHeader header) {
    header.crc = crc_of(header);
    store(image, geometry.checkpoint_offset(0), header);
  }

  // Appends one commit to the log of checkpoint 0.
  void put_commit(const std::vector<extent_fs::Record>& records) {
    std::vector<std::byte> bytes;
    for (const extent_fs::Record& record : records) {
      const std::size_t at = bytes.size();
      bytes.resize(at + extent_fs::encoded_size(record));
      extent_fs::encode(record, std::span(bytes).subspan(at));
    }
    put_raw_commit(bytes);
  }
  void put_raw_commit(std::span<const std::byte> records) {
    extent_fs::CommitHeader commit{};
    commit.magic = extent_fs::kCommitMagic;
    commit.bytes = static_cast<std::uint32_t>(records.size());
    commit.checkpoint = header().number;
    commit.sequence = header().sequence + ++commits_;
    Crc32c crc;
    crc.add(bytes_of(commit));
    crc.add(records);
    commit.crc = crc.value();
    const std::uint64_t offset = geometry.log_offset(0) + log_used_;
    store(image, offset, commit);
    std::memcpy(image.data() + offset + sizeof(commit), records.data(), records.size());
    log_used_ += sizeof(commit) + records.size();
  }

  void put_super(extent_fs::SuperRecord super) {
    super.crc = crc_of(super);
    store(image, 0, super);
  }
  [[nodiscard]] extent_fs::SuperRecord super() const { return load<extent_fs::SuperRecord>(image, 0); }

  Image image;
  extent_fs::Geometry geometry;

 private:
  std::uint64_t commits_ = 0;
  std::uint64_t log_used_ = 0;
};

inline void require(bool holds, const char* what) {
  if (!holds) {
    throw std::logic_error(what);
  }
}

// Makes every checksum right again, as far as the lengths in the image allow.
inline void fix_checksums(Image& image, const extent_fs::Geometry& geometry) {
  auto super = load<extent_fs::SuperRecord>(image, 0);
  super.crc = crc_of(super);
  store(image, 0, super);
  const auto crc_of_range = [&image](std::uint64_t offset, std::uint64_t bytes, Crc32c crc = {}) {
    crc.add(std::span(image).subspan(offset, bytes));
    return crc.value();
  };
  for (std::uint64_t slot = 0; slot < extent_fs::kSlots; ++slot) {
    const std::uint64_t offset = geometry.checkpoint_offset(slot);
    auto header = load<extent_fs::CheckpointHeader>(image, offset);
    if (header.body_bytes <= geometry.checkpoint_bytes() - sizeof(header)) {
      header.body_crc = crc_of_range(offset + sizeof(header), header.body_bytes);
    }
    header.crc = crc_of(header);
    store(image, offset, header);

    std::uint64_t at = 0;
    while (at + sizeof(extent_fs::CommitHeader) <= geometry.log_bytes()) {
      auto commit = load<extent_fs::CommitHeader>(image, geometry.log_offset(slot) + at);
      const std::uint64_t bytes = commit.bytes;
      at += sizeof(commit);
      if (commit.magic != extent_fs::kCommitMagic || bytes > geometry.log_bytes() - at) {
        break;
      }
      commit.crc = 0;
      Crc32c crc;
      crc.add(bytes_of(commit));
      commit.crc = crc_of_range(geometry.log_offset(slot) + at, bytes, crc);
      store(image, geometry.log_offset(slot) + at - sizeof(commit), commit);
      at += bytes;
    }
  }
}

// Mounts an image and uses it: lists, reads everything, writes, makes, removes, unmounts. Returns how the mount ended.
// Whatever the image says, each call answers, and what mounts can be used.
template <class World = LinearWorld>
Result<void> use_image(Image image) {
  World world(std::move(image));
  DAXSIM_TRY_VOID(world.try_mount());
  for (const DirectoryEntry& entry : must(world.fs->list())) {
    const auto file = world.open(entry.name);
    std::vector<std::byte> buffer(std::min<std::uint64_t>(entry.size, 64 * kPageSize));
    must(file->pread(0, buffer));
    if (entry.size > buffer.size()) {
      must(file->pread(entry.size - buffer.size(), buffer));
    }
    static_cast<void>(file->pwrite(entry.size / 2, bytes("x")).ok());
    static_cast<void>(file->pwrite(std::min(entry.size, LinearFs::kMaxFileSize - 1), bytes("x")).ok());
    static_cast<void>(file->fallocate(Fallocate::collapse_range, {0, kPageSize}).ok());
    static_cast<void>(file->fallocate(Fallocate::insert_range, {0, kPageSize}).ok());
    static_cast<void>(file->truncate(entry.size / 2 + 1).ok());
    must(file->fsync());
  }
  static_cast<void>(world.fs->create("made").ok());
  must(world.fs->sync());
  const std::uint64_t free = must(world.fs->space()).free_pages;
  for (const DirectoryEntry& entry : must(world.fs->list())) {
    must(world.fs->unlink(entry.name));
  }
  const SpaceUsage empty = must(world.fs->space());
  require(empty.free_pages >= free && empty.free_pages == empty.total_pages, "blocks were lost");
  must(world.fs->unmount());
  return {};
}

}  // namespace daxsim::test
