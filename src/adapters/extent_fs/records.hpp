// SPDX-License-Identifier: BSD-3-Clause
// Record: one change of the metadata, as the log keeps it. What the running file system does to its metadata and what
// mounting does again is the same call, Metadata::apply, with the same records.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "adapters/extent_fs/definitions.hpp"
#include "adapters/extent_fs/extents.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace extent_fs {

enum class RecordType : std::uint8_t {
  create = 1,       // ino, name
  unlink = 2,       // ino loses its name
  rename = 3,       // ino, name: the new one, which is free
  release = 4,      // ino, nameless, is gone and its blocks are free
  size = 5,         // ino, bytes
  map = 6,          // ino, pages, physical, state: a hole gets blocks
  set_state = 7,    // ino, pages, state: of the blocks that are there
  unmap = 8,        // ino, pages: become a hole, their blocks are free
  shift_up = 9,     // ino, pages: everything from pages.first on moves up by pages.pages
  shift_down = 10,  // ino, pages, a hole: everything behind it moves down onto it
  group = 11,       // ino, group: where the extents to come are; with extents only if they may be there too
  move = 12,        // ino, pages, all of one extent, physical: what they hold has moved there
  share = 13,       // ino, pages, physical: they have these blocks, which others have too; what they had is free
  flags = 14,       // ino, or 0 for the directory; flags: all of them
};

struct Record {
  RecordType type{};
  BlockState state = BlockState::written;
  std::uint32_t ino = 0;
  std::string_view name{};
  std::uint64_t bytes = 0;
  PageRange pages{};
  std::uint64_t physical = 0;
  std::uint64_t group = 0;
  std::uint64_t flags = 0;
};

// Bytes in the log, a multiple of 8.
std::size_t encoded_size(const Record& record) noexcept;
inline constexpr std::size_t kMostRecordBytes = sizeof(LogRecord) + kMaxName + 1;
// `to` has at least encoded_size(record) bytes.
void encode(const Record& record, std::span<std::byte> to) noexcept;
// Takes one record from the front of `from`; its name points into `from`. Errors: Errno::euclean.
Result<Record> decode(std::span<const std::byte>& from) noexcept;

}  // namespace extent_fs
DAXSIM_END
