// SPDX-License-Identifier: BSD-3-Clause
// ChunkMap: where the file system's addresses are on its volumes (F11; btrfs). An extent names addresses: pages of one
// space that all volumes share. It is divided into chunks without gaps, and a chunk says where its addresses are:
//
//   single  one after the other from a device page on
//   raid0   64 KiB on each of its stripes in turn
//   dup     twice on one volume; a store reaches the first copy
//
// Kinds of file systems differ in their chunks only: LinearFs has one, RealtimeFs and TieredFs one for each device, ChunkFs
// stores a map. Files of a group get blocks in the chunks of that group, or prefer to (Placement). A file's extents count
// addresses from the first that it may have, so that they are device pages wherever it is bound to a group of one device.
//
// Constant after mkfs. Threads: any.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "adapters/extent_fs/definitions.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace extent_fs {

// Pages of one stripe element: 64 KiB.
inline constexpr std::uint64_t kStripeElement = 16;

enum class Profile : std::uint32_t { single, raid0, dup };

// One device page.
struct DevicePage {
  std::uint32_t volume = 0;
  std::uint64_t page = 0;
};

struct Chunk {
  std::uint64_t first = 0;     // address
  std::uint64_t pages = 0;     // addresses
  std::uint64_t reserved = 0;  // of them at the front, for no file
  std::uint32_t group = 0;
  Profile profile = Profile::single;
  std::uint32_t stripe_count = 1;
  std::array<DevicePage, kMaxVolumes> stripes{};  // where they begin

  [[nodiscard]] std::uint64_t end() const noexcept { return first + pages; }
  [[nodiscard]] bool is_on(std::uint32_t volume) const noexcept {
    const auto end = stripes.begin() + stripe_count;
    return std::find_if(stripes.begin(), end, [volume](const DevicePage& at) { return at.volume == volume; }) != end;
  }
  [[nodiscard]] std::uint64_t stripe_pages() const noexcept {
    return profile == Profile::raid0 ? pages / stripe_count : pages;
  }
};

// Where an address is, and how far its neighbours are contiguous with it on the device.
struct Place {
  DevicePage first;
  std::uint64_t before = 0;          // pages before it
  std::uint64_t pages = 1;           // from it on
  std::optional<DevicePage> second;  // the other copy, as long
};

class ChunkMap {
 public:
  // One chunk for each volume, in a group of its own.
  static ChunkMap of_volumes(const Geometry& geometry, Placement placement = Placement::bound);
  // As many chunks of `profile` as fit, each with `stripe_pages` of every volume that it is on, all in one group.
  // Errors: Errno::einval (none fits, or more than kMaxChunks do; stripe_pages is not a multiple of kStripeElement).
  static Result<ChunkMap> plan(const Geometry& geometry, Profile profile, std::uint64_t stripe_pages);
  // As write() left it. Errors: Errno::euclean, and those of Attachment::read.
  static Result<ChunkMap> read(Volumes volumes, const Geometry& geometry);
  // Errors: those of Attachment::write.
  Result<void> write(Attachment& device) const;

  [[nodiscard]] std::size_t count() const noexcept { return chunks_.size(); }
  [[nodiscard]] const Chunk& operator[](std::size_t number) const noexcept { return chunks_[number]; }
  [[nodiscard]] std::uint32_t groups() const noexcept { return chunks_.back().group + 1; }
  [[nodiscard]] const Chunk& first_of(std::uint32_t group) const noexcept;
  // The addresses that a file of the group may have.
  [[nodiscard]] PageRange addresses(std::uint32_t group) const noexcept { return addresses_[group]; }
  // The chunk that an address is in; count() when there is none.
  [[nodiscard]] std::size_t find(std::uint64_t address) const noexcept;
  // Of an address in a chunk.
  [[nodiscard]] Place place(std::uint64_t address) const noexcept;
  // Whether any chunk has two copies.
  [[nodiscard]] bool keeps_copies() const noexcept { return keeps_copies_; }
  // Whether blocks of a file of the group may be on this volume.
  [[nodiscard]] bool uses(std::uint32_t group, std::uint32_t volume) const noexcept;

 private:
  explicit ChunkMap(std::vector<Chunk> chunks, Placement placement = Placement::bound);
  std::vector<Chunk> chunks_;         // by address; at least one
  std::vector<PageRange> addresses_;  // by group
  bool keeps_copies_ = false;
};

}  // namespace extent_fs
DAXSIM_END
