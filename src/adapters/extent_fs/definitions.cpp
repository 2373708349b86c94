// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/definitions.hpp"

#include <algorithm>
#include <numeric>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

constexpr std::uint64_t kLeastData = 16;
constexpr std::uint64_t kBlocksPerFile = 16;
constexpr std::uint32_t kLeastFiles = 16;
constexpr std::uint32_t kMostDefaultFiles = 65536;
constexpr std::uint64_t kBlocksPerLogPage = 128;
constexpr std::uint64_t kLeastLog = 1;
constexpr std::uint64_t kMostLog = 256;

}  // namespace

Result<Geometry> Geometry::make(const Blocks& blocks, std::uint32_t files, MapOfChunks map, Reflink reflink) noexcept {
  const auto is_too_large = [](std::uint64_t pages) { return pages > kMaxBlocks; };
  const auto is_too_small = [](std::uint64_t pages) { return pages != 0 && pages < 1 + kLeastData; };
  if (std::ranges::any_of(blocks, is_too_large) || std::ranges::any_of(blocks, is_too_small) || files > kMaxFiles) {
    return Errno::einval;
  }
  Geometry geometry;
  geometry.blocks = blocks;
  geometry.reflink = reflink;
  geometry.map_pages = map == MapOfChunks::stored ? 1 : 0;
  geometry.files = files != 0 ? files
                              : static_cast<std::uint32_t>(std::clamp<std::uint64_t>(blocks[0] / kBlocksPerFile,
                                                                                     kLeastFiles, kMostDefaultFiles));
  const std::uint64_t all_blocks = std::accumulate(blocks.begin(), blocks.end(), std::uint64_t{0});
  const std::uint64_t most_extents = reflink == Reflink::yes ? 2 * all_blocks : all_blocks;
  geometry.checkpoint_pages =
      pages_for(sizeof(CheckpointHeader) + geometry.files * (sizeof(FileRecord) + kMaxName + 1) +
                most_extents * sizeof(ExtentRecord));
  geometry.log_pages = std::clamp(blocks[0] / kBlocksPerLogPage, kLeastLog, kMostLog);
  geometry.first_data = 1 + geometry.map_pages + kSlots * (geometry.checkpoint_pages + geometry.log_pages);
  if (geometry.first_data + kLeastData > blocks[0]) {
    return Errno::einval;
  }
  return geometry;
}

bool is_valid_name(std::string_view name) noexcept {
  return !name.empty() && name.size() <= kMaxName && name != "." && name != ".." &&
         std::ranges::none_of(name, [](char c) { return c == '/' || c == '\0'; });
}

Result<std::string_view> parse_name(std::string_view path) noexcept {
  if (path.starts_with('/')) {
    path.remove_prefix(1);
  }
  if (path.size() > kMaxName) {
    return Errno::enametoolong;
  }
  if (!is_valid_name(path)) {
    return Errno::einval;
  }
  return path;
}

}  // namespace extent_fs
DAXSIM_END
