// SPDX-License-Identifier: BSD-3-Clause
// What is in an image: docs/xip-format.md tells it in words. Little-endian.
//
//   byte 0   SuperRecord
//            metadata: `files` times {FileRecord, name padded to 8 bytes, for each page of the file a PageRecord},
//            ascending by name
//   bytes of pages, wherever the PageRecords say; to the end
#pragma once

#include <cstdint>
#include <string_view>

#include "base/records.hpp"
#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace xip {

inline constexpr std::uint64_t kMagic = 0x3153465049585844;  // "DXXIPFS1"
inline constexpr std::uint32_t kVersion = 1;

struct SuperRecord {
  Le64 magic;
  Le32 version;
  Le32 crc;  // of the record, with this field zero
  Le64 image_bytes;
  Le64 metadata_bytes;
  Le32 files;
  Le32 metadata_crc;
};
static_assert(sizeof(SuperRecord) == 40);

struct FileRecord {
  Le64 size;
  Le16 name_length;
  Le16 zero[3];
};
static_assert(sizeof(FileRecord) == 16);

// Bit 15 of PageRecord::length.
inline constexpr std::uint16_t kCompressed = 0x8000;

struct PageRecord {
  Le48 offset;  // byte of the image
  Le16 length;  // bits 0..12: bytes there, 0: none, the page is zeros; bit 15: they are a frame of zstd
};
static_assert(sizeof(PageRecord) == 8);

// A name as the format has it.
bool is_valid_name(std::string_view name) noexcept;

}  // namespace xip
DAXSIM_END
