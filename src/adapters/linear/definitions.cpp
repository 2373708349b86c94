// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/linear/definitions.hpp"

#include <algorithm>

DAXSIM_BEGIN
namespace linear {
namespace {

constexpr std::uint64_t kMaxBlocks = std::uint64_t{1} << 32;
constexpr std::uint64_t kLeastData = 16;
constexpr std::uint64_t kBlocksPerFile = 16;
constexpr std::uint32_t kLeastFiles = 16;
constexpr std::uint32_t kMostDefaultFiles = 65536;
constexpr std::uint64_t kBlocksPerLogPage = 128;
constexpr std::uint64_t kLeastLog = 1;
constexpr std::uint64_t kMostLog = 256;

}  // namespace

Result<Geometry> Geometry::make(std::uint64_t blocks, std::uint32_t files) noexcept {
  if (blocks > kMaxBlocks || files > LinearFs::kMaxFiles) {
    return Errno::einval;
  }
  Geometry geometry;
  geometry.blocks = blocks;
  geometry.files = files != 0 ? files
                              : static_cast<std::uint32_t>(
                                    std::clamp<std::uint64_t>(blocks / kBlocksPerFile, kLeastFiles, kMostDefaultFiles));
  geometry.checkpoint_pages = pages_for(
      sizeof(CheckpointHeader) + geometry.files * (sizeof(FileRecord) + kMaxName + 1) + blocks * sizeof(ExtentRecord));
  geometry.log_pages = std::clamp(blocks / kBlocksPerLogPage, kLeastLog, kMostLog);
  geometry.first_data = 1 + kSlots * (geometry.checkpoint_pages + geometry.log_pages);
  if (geometry.first_data + kLeastData > blocks) {
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

}  // namespace linear
DAXSIM_END
