// SPDX-License-Identifier: BSD-3-Clause
// What is on the devices: docs/linear-format.md, docs/realtime-format.md, docs/chunk-format.md and
// docs/tiered-format.md tell it in words.
// Little-endian, every record with a CRC-32C.
//
//   page 0     SuperRecord at byte 0, the root word at byte kRootOffset, VolumeRecords from kVolumesOffset on
//   page 1     ChunkMapHeader and ChunkRecords, where the kind of file system stores a chunk map
//   slot 0     checkpoint area, then log area
//   slot 1     checkpoint area, then log area
//   data       to the end
//
// That is volume 0. Every other volume is a VolumeRecord at byte 0 of its page 0, and data to the end.
//
// The root word names the newest checkpoint; the slot of checkpoint n is n mod 2. A checkpoint is a CheckpointHeader and
// `files` times {FileRecord, name padded to 8 bytes, `extents` times ExtentRecord}. A log is a row of commits, each a
// CommitHeader and LogRecords (with their names, padded to 8 bytes).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <span>
#include <string_view>

#include "base/records.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/fs_traits.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace extent_fs {

inline constexpr std::uint64_t kVolumeMagic = 0x314d554c4f565844;      // "DXVOLUM1"
inline constexpr std::uint64_t kCheckpointMagic = 0x544e494f504b4843;  // "CHKPOINT"
inline constexpr std::uint64_t kChunkMapMagic = 0x50414d4b4e554843;    // "CHUNKMAP"
inline constexpr std::uint32_t kCommitMagic = 0x544d4d43;              // "CMMT"
inline constexpr std::uint32_t kVersion = 1;
inline constexpr std::uint32_t kVersionReflink = 2;  // files may share blocks
inline constexpr std::uint64_t kVolumesOffset = 256;
inline constexpr std::uint64_t kRootOffset = 512;
inline constexpr std::uint32_t kSlots = 2;
inline constexpr std::uint32_t kMaxFiles = std::uint32_t{1} << 20;
inline constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;
inline constexpr std::uint64_t kMaxFilePages = kMaxFileSize >> kPageShift;
inline constexpr std::size_t kMaxName = 255;
inline constexpr std::uint32_t kMaxVolumes = 4;
inline constexpr std::uint32_t kMaxChunks = 80;
inline constexpr std::uint64_t kMaxBlocks = std::uint64_t{1} << 32;  // of a volume

// The devices of a file system, 1 to kMaxVolumes, by volume. Metadata is on volume 0.
using Volumes = std::span<Attachment* const>;

// What tells kinds of file systems apart.
enum class MapOfChunks : std::uint8_t { one_for_each_volume, stored };
// What a file's group of chunks is to it: where all its blocks are, or where new ones come from as long as there is room.
enum class Placement : std::uint8_t { bound, preferred };
struct Kind {
  std::uint64_t magic = 0;  // of the super record
  MapOfChunks map = MapOfChunks::one_for_each_volume;
  Placement placement = Placement::bound;
  Reflink reflink = Reflink::no;  // whether mkfs may be told so
  WhenRemoved when_removed = WhenRemoved::end_all;
  bool writes_elsewhere = false;  // write(2) never overwrites
  FsTraits traits{};
};

struct SuperRecord {
  Le64 magic;
  Le32 version;
  Le32 crc;  // of the record, with this field zero
  Le64 blocks;
  Le32 files;
  Le32 volumes;  // where the chunk map is stored; 0: as many as the kind has
};
static_assert(sizeof(SuperRecord) == 32);

// Names one volume of one file system: the same record is on the volume and on volume 0.
struct VolumeRecord {
  Le64 magic;
  Le64 id;  // of the file system, random
  Le64 blocks;
  Le32 volume;
  Le32 crc;  // of the record, with this field zero
};
static_assert(sizeof(VolumeRecord) == 32);
static_assert(kVolumesOffset + kMaxVolumes * sizeof(VolumeRecord) <= kRootOffset);

// Where a stripe of a chunk begins.
struct StripeRecord {
  Le32 volume;
  Le32 page;
};
struct ChunkRecord {
  Le32 profile;  // Profile
  Le32 stripes;
  Le64 stripe_pages;
  StripeRecord stripe[kMaxVolumes];
};
static_assert(sizeof(ChunkRecord) == 48);
// The chunks follow, by address.
struct ChunkMapHeader {
  Le64 magic;
  Le32 chunks;
  Le32 crc;  // of the header, with this field zero, and the chunks
};
static_assert(sizeof(ChunkMapHeader) == 16);
static_assert(sizeof(ChunkMapHeader) + kMaxChunks * sizeof(ChunkRecord) <= kPageSize);

struct CheckpointHeader {
  Le64 magic;
  Le64 number;      // 0, 1, 2, ...; decides the slot
  Le64 sequence;    // of the last commit that the checkpoint contains
  Le64 body_bytes;  // what follows the header
  Le32 files;
  Le32 body_crc;
  Le32 directory_flags;  // kFlagDax
  Le32 crc;              // of the header, with this field zero
};
static_assert(sizeof(CheckpointHeader) == 48);

// FS_XFLAG_DAX; the only flag there is.
inline constexpr std::uint8_t kFlagDax = 1;

struct FileRecord {
  Le64 size;
  Le64 extents;
  Le32 ino;
  std::uint8_t name_length;  // 0: unlinked, to be freed at mount
  std::uint8_t flags;        // kFlagDax
  Le16 group;                // of chunks (Placement)
};
static_assert(sizeof(FileRecord) == 24);

struct ExtentRecord {
  Le64 logical;
  Le64 physical;  // address, counted from the first that the file may have
  Le32 pages;
  Le32 state;  // BlockState
};
static_assert(sizeof(ExtentRecord) == 24);

struct CommitHeader {
  Le32 magic;
  Le32 bytes;  // of the records that follow, a multiple of 8
  Le64 checkpoint;
  Le64 sequence;
  Le32 zero;
  Le32 crc;  // of the header, with this field zero, and the records
};
static_assert(sizeof(CommitHeader) == 32);

struct LogRecord {
  std::uint8_t type;         // RecordType
  std::uint8_t state;        // BlockState
  std::uint8_t name_length;  // create, rename: the name follows
  std::uint8_t zero;
  Le32 ino;
  Le64 a;  // size: bytes; group: its number; flags: all of them; others: first page
  Le64 b;  // pages
  Le64 c;  // map, move: as ExtentRecord::physical
};
static_assert(sizeof(LogRecord) == 32);

// The root word: bits 0..47 checkpoint number, bits 48..63 the low half of the number's CRC. Number and check change in
// one 8-byte store.
class RootWord {
 public:
  static constexpr std::uint64_t kMaxNumber = (std::uint64_t{1} << 48) - 1;
  static std::uint64_t encode(std::uint64_t number) noexcept { return number | check(number) << 48; }
  // Errors: Errno::euclean.
  static Result<std::uint64_t> decode(std::uint64_t word) noexcept {
    const std::uint64_t number = word & kMaxNumber;
    if (encode(number) != word) {
      return Errno::euclean;
    }
    return number;
  }

 private:
  static std::uint64_t check(std::uint64_t number) noexcept {
    const Le64 stored = number;
    Crc32c crc;
    crc.add(bytes_of(stored));
    return crc.value() & 0xffff;
  }
};

// Where the metadata is; follows from the sizes of the volumes, the number of files and the kind alone.
struct Geometry {
  // Pages of each volume; 0: there is no such volume.
  using Blocks = std::array<std::uint64_t, kMaxVolumes>;

  Blocks blocks{};
  std::uint32_t files = 0;
  Reflink reflink = Reflink::no;
  std::uint64_t map_pages = 0;  // of the chunk map
  // Of each slot: every file and one extent for each block fit, with reflink two (Metadata I5).
  std::uint64_t checkpoint_pages = 0;
  std::uint64_t log_pages = 0;   // of each slot
  std::uint64_t first_data = 0;  // of volume 0; that of the others is 1

  // Errors: Errno::einval (files out of range; too few blocks on a volume for 16 of data, or too many).
  static Result<Geometry> make(const Blocks& blocks, std::uint32_t files,
                               MapOfChunks map = MapOfChunks::one_for_each_volume,
                               Reflink reflink = Reflink::no) noexcept;

  [[nodiscard]] std::uint64_t checkpoint_offset(std::uint64_t slot) const noexcept {
    return (1 + map_pages + slot * (checkpoint_pages + log_pages)) << kPageShift;
  }
  [[nodiscard]] std::uint64_t checkpoint_bytes() const noexcept { return checkpoint_pages << kPageShift; }
  [[nodiscard]] std::uint64_t log_offset(std::uint64_t slot) const noexcept {
    return checkpoint_offset(slot) + checkpoint_bytes();
  }
  [[nodiscard]] std::uint64_t log_bytes() const noexcept { return log_pages << kPageShift; }
};

// A name as the format has it: 1 to 255 bytes, not "." or "..", no '/' or NUL.
bool is_valid_name(std::string_view name) noexcept;
// Drops one leading '/'. Errors: Errno::einval (bad name), Errno::enametoolong.
Result<std::string_view> parse_name(std::string_view path) noexcept;

}  // namespace extent_fs
DAXSIM_END
