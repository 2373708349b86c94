// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/chunks.hpp"

#include <algorithm>
#include <span>
#include <utility>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

constexpr std::uint64_t kMapOffset = kPageSize;

// The first page of a volume that is not metadata.
std::uint64_t first_data(const Geometry& geometry, std::uint32_t volume) noexcept {
  return volume == 0 ? geometry.first_data : 1;
}

std::uint32_t volumes_of(const Geometry& geometry) noexcept {
  return static_cast<std::uint32_t>(
      std::ranges::count_if(geometry.blocks, [](std::uint64_t blocks) { return blocks != 0; }));
}

// Gives out stripes of the volumes one behind the other.
class StripeTaker {
 public:
  // Huge pages want stripes that begin where one can.
  StripeTaker(const Geometry& geometry, std::uint64_t stripe_pages) noexcept
      : geometry_(geometry), stripe_pages_(stripe_pages) {
    const std::uint64_t alignment = stripe_pages % kPagesPerPmd == 0 ? kPagesPerPmd : kStripeElement;
    for (std::uint32_t volume = 0; volume < kMaxVolumes; ++volume) {
      next_[volume] = round_up(first_data(geometry, volume), alignment);
    }
  }
  [[nodiscard]] std::uint64_t left(std::uint32_t volume) const noexcept {
    const std::uint64_t blocks = geometry_.blocks[volume];
    return blocks <= next_[volume] ? 0 : (blocks - next_[volume]) / stripe_pages_;
  }
  DevicePage take(std::uint32_t volume) noexcept {
    const std::uint64_t page = next_[volume];
    next_[volume] += stripe_pages_;
    return {.volume = volume, .page = page};
  }

 private:
  const Geometry& geometry_;
  const std::uint64_t stripe_pages_;
  std::array<std::uint64_t, kMaxVolumes> next_{};
};

// The stripes of one more chunk; false when there is no room for it.
bool add_stripes(Chunk& chunk, StripeTaker& taker, std::uint32_t volumes) noexcept {
  const auto take = [&](std::uint32_t volume) { chunk.stripes[chunk.stripe_count++] = taker.take(volume); };
  chunk.stripe_count = 0;
  if (chunk.profile == Profile::raid0) {
    for (std::uint32_t volume = 0; volume < volumes; ++volume) {
      if (taker.left(volume) == 0) {
        return false;
      }
      take(volume);
    }
    return true;
  }
  // The volume with most room left, as btrfs does it.
  std::uint32_t emptiest = 0;
  for (std::uint32_t volume = 1; volume < volumes; ++volume) {
    emptiest = taker.left(volume) > taker.left(emptiest) ? volume : emptiest;
  }
  const std::uint64_t wanted = chunk.profile == Profile::dup ? 2 : 1;
  if (taker.left(emptiest) < wanted) {
    return false;
  }
  for (std::uint64_t copy = 0; copy < wanted; ++copy) {
    take(emptiest);
  }
  return true;
}

// Whether what a stored map says of a chunk can be.
bool is_possible(const Chunk& chunk, const Geometry& geometry) noexcept {
  const std::uint64_t pages = chunk.stripe_pages();
  const auto stripes = std::span(chunk.stripes).first(chunk.stripe_count);
  return std::ranges::all_of(stripes, [&](const DevicePage& stripe) {
    return stripe.volume < volumes_of(geometry) && stripe.page % kStripeElement == 0 &&
           stripe.page >= first_data(geometry, stripe.volume) && stripe.page <= geometry.blocks[stripe.volume] &&
           pages <= geometry.blocks[stripe.volume] - stripe.page;
  });
}

// Whether no page of a volume is in two stripes.
bool are_disjoint(const std::vector<Chunk>& chunks) {
  std::vector<std::pair<DevicePage, std::uint64_t>> all;
  for (const Chunk& chunk : chunks) {
    for (std::uint32_t stripe = 0; stripe < chunk.stripe_count; ++stripe) {
      all.emplace_back(chunk.stripes[stripe], chunk.stripe_pages());
    }
  }
  std::ranges::sort(all, {}, [](const auto& stripe) { return std::pair(stripe.first.volume, stripe.first.page); });
  return std::ranges::adjacent_find(all, [](const auto& left, const auto& right) {
           return left.first.volume == right.first.volume && left.first.page + left.second > right.first.page;
         }) == all.end();
}

std::uint32_t crc_of_map(ChunkMapHeader header, std::span<const ChunkRecord> records) noexcept {
  header.crc = 0;
  Crc32c crc;
  crc.add(bytes_of(header));
  crc.add(std::as_bytes(records));
  return crc.value();
}

// Errors: Errno::euclean.
Result<Chunk> decoded(const ChunkRecord& record, std::uint64_t first, const Geometry& geometry) noexcept {
  const std::uint32_t profile = record.profile;
  const std::uint32_t stripes = record.stripes;
  const std::uint64_t pages = record.stripe_pages;
  const bool counts = profile == static_cast<std::uint32_t>(Profile::single)  ? stripes == 1
                      : profile == static_cast<std::uint32_t>(Profile::raid0) ? stripes >= 1 && stripes <= kMaxVolumes
                      : profile == static_cast<std::uint32_t>(Profile::dup)   ? stripes == 2
                                                                              : false;
  if (!counts || pages == 0 || pages % kStripeElement != 0 || pages > kMaxBlocks) {
    return Errno::euclean;
  }
  Chunk chunk{.first = first, .profile = static_cast<Profile>(profile), .stripe_count = stripes};
  chunk.pages = chunk.profile == Profile::raid0 ? pages * stripes : pages;
  for (std::uint32_t stripe = 0; stripe < stripes; ++stripe) {
    chunk.stripes[stripe] = {.volume = record.stripe[stripe].volume, .page = record.stripe[stripe].page};
  }
  if (!is_possible(chunk, geometry)) {
    return Errno::euclean;
  }
  return chunk;
}

}  // namespace

ChunkMap::ChunkMap(std::vector<Chunk> chunks, Placement placement)
    : chunks_(std::move(chunks)), keeps_copies_(std::ranges::count(chunks_, Profile::dup, &Chunk::profile) != 0) {
  if (placement == Placement::preferred) {
    addresses_.assign(groups(), {{0}, chunks_.back().end()});
    return;
  }
  for (std::uint32_t group = 0; group < groups(); ++group) {
    const std::uint64_t first = first_of(group).first;
    const auto behind = std::ranges::upper_bound(chunks_, group, {}, &Chunk::group);
    addresses_.push_back({{first}, std::prev(behind)->end() - first});
  }
}

ChunkMap ChunkMap::of_volumes(const Geometry& geometry, Placement placement) {
  std::vector<Chunk> chunks;
  std::uint64_t first = 0;
  for (std::uint32_t volume = 0; volume < volumes_of(geometry); ++volume) {
    Chunk chunk{
        .first = first, .pages = geometry.blocks[volume], .reserved = first_data(geometry, volume), .group = volume};
    chunk.stripes[0] = {.volume = volume, .page = 0};
    first = chunk.end();
    chunks.push_back(chunk);
  }
  return ChunkMap(std::move(chunks), placement);
}

Result<ChunkMap> ChunkMap::plan(const Geometry& geometry, Profile profile, std::uint64_t stripe_pages) {
  if (stripe_pages == 0 || stripe_pages % kStripeElement != 0) {
    return Errno::einval;
  }
  StripeTaker taker(geometry, stripe_pages);
  std::vector<Chunk> chunks;
  std::uint64_t first = 0;
  for (;;) {
    Chunk chunk{.first = first, .profile = profile};
    if (!add_stripes(chunk, taker, volumes_of(geometry))) {
      break;
    }
    chunk.pages = profile == Profile::raid0 ? stripe_pages * chunk.stripe_count : stripe_pages;
    first = chunk.end();
    chunks.push_back(chunk);
    if (chunks.size() > kMaxChunks) {
      return Errno::einval;
    }
  }
  if (chunks.empty()) {
    return Errno::einval;
  }
  return ChunkMap(std::move(chunks));
}

Result<void> ChunkMap::write(Attachment& device) const {
  std::vector<ChunkRecord> records(chunks_.size());
  for (std::size_t number = 0; number < chunks_.size(); ++number) {
    const Chunk& chunk = chunks_[number];
    ChunkRecord& record = records[number];
    record.profile = static_cast<std::uint32_t>(chunk.profile);
    record.stripes = chunk.stripe_count;
    record.stripe_pages = chunk.stripe_pages();
    for (std::uint32_t stripe = 0; stripe < chunk.stripe_count; ++stripe) {
      record.stripe[stripe].volume = chunk.stripes[stripe].volume;
      record.stripe[stripe].page = static_cast<std::uint32_t>(chunk.stripes[stripe].page);
    }
  }
  ChunkMapHeader header{};
  header.magic = kChunkMapMagic;
  header.chunks = static_cast<std::uint32_t>(records.size());
  header.crc = crc_of_map(header, records);
  DAXSIM_TRY_VOID(device.write(kMapOffset, bytes_of(header)));
  return device.write(kMapOffset + sizeof(header), std::as_bytes(std::span(records)));
}

Result<ChunkMap> ChunkMap::read(Volumes volumes, const Geometry& geometry) {
  ChunkMapHeader header;
  DAXSIM_TRY_VOID(volumes[0]->read(kMapOffset, bytes_of(header)));
  if (header.magic != kChunkMapMagic || header.chunks == 0 || header.chunks > kMaxChunks) {
    return Errno::euclean;
  }
  std::vector<ChunkRecord> records(header.chunks);
  DAXSIM_TRY_VOID(volumes[0]->read(kMapOffset + sizeof(header), std::as_writable_bytes(std::span(records))));
  if (header.crc != crc_of_map(header, records)) {
    return Errno::euclean;
  }
  std::vector<Chunk> chunks;
  std::uint64_t first = 0;
  for (const ChunkRecord& record : records) {
    DAXSIM_TRY(const Chunk chunk, decoded(record, first, geometry));
    first = chunk.end();
    chunks.push_back(chunk);
  }
  if (!are_disjoint(chunks)) {
    return Errno::euclean;
  }
  return ChunkMap(std::move(chunks));
}

const Chunk& ChunkMap::first_of(std::uint32_t group) const noexcept {
  return *std::ranges::lower_bound(chunks_, group, {}, &Chunk::group);
}

std::size_t ChunkMap::find(std::uint64_t address) const noexcept {
  const auto behind = std::ranges::upper_bound(chunks_, address, {}, &Chunk::first);
  const auto at = std::prev(behind);
  return address < at->end() ? static_cast<std::size_t>(at - chunks_.begin()) : chunks_.size();
}

Place ChunkMap::place(std::uint64_t address) const noexcept {
  const Chunk& chunk = chunks_[find(address)];
  const std::uint64_t in_chunk = address - chunk.first;
  if (chunk.profile == Profile::raid0) {
    const std::uint64_t element = in_chunk / kStripeElement;
    const std::uint64_t in_element = in_chunk % kStripeElement;
    const DevicePage& stripe = chunk.stripes[element % chunk.stripe_count];
    return {.first = {.volume = stripe.volume,
                      .page = stripe.page + element / chunk.stripe_count * kStripeElement + in_element},
            .before = in_element,
            .pages = kStripeElement - in_element,
            .second = {}};
  }
  const auto in_stripe = [&](std::uint32_t number) {
    return DevicePage{.volume = chunk.stripes[number].volume, .page = chunk.stripes[number].page + in_chunk};
  };
  Place place{.first = in_stripe(0), .before = in_chunk, .pages = chunk.pages - in_chunk, .second = {}};
  if (chunk.profile == Profile::dup) {
    place.second = in_stripe(1);
  }
  return place;
}

bool ChunkMap::uses(std::uint32_t group, std::uint32_t volume) const noexcept {
  const PageRange mine = addresses(group);
  return std::ranges::any_of(chunks_,
                             [&](const Chunk& chunk) { return mine.contains({chunk.first}) && chunk.is_on(volume); });
}

}  // namespace extent_fs
DAXSIM_END
