// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/adapters/chunk.hpp"

#include <algorithm>
#include <bitset>

#include "adapters/extent_fs/file_system.hpp"

DAXSIM_BEGIN
namespace {

constexpr extent_fs::Kind kKind{.magic = 0x314b4e5548435844,  // "DXCHUNK1"
                                .map = extent_fs::MapOfChunks::stored,
                                .reflink = Reflink::yes,
                                .writes_elsewhere = true};
// Of the smallest device.
constexpr std::uint64_t kDefaultPart = 10;

static_assert(ChunkFs::kMaxFiles == extent_fs::kMaxFiles && ChunkFs::kMaxFileSize == extent_fs::kMaxFileSize &&
              ChunkFs::kMaxDevices == extent_fs::kMaxVolumes && ChunkFs::kMaxChunks == extent_fs::kMaxChunks);

using Chunks = std::bitset<extent_fs::kMaxChunks>;

bool are_too_many(ChunkFs::Devices devices) noexcept {
  return devices.empty() || devices.size() > ChunkFs::kMaxDevices;
}

std::uint64_t default_chunk_size(ChunkFs::Devices devices) {
  const std::uint64_t smallest = (*std::ranges::min_element(devices, {}, &Attachment::size))->size();
  return std::max(round_down(smallest / kDefaultPart, kPmdSize), kPmdSize);
}

extent_fs::Profile profile_of(ChunkProfile profile) noexcept {
  switch (profile) {
    case ChunkProfile::raid0:
      return extent_fs::Profile::raid0;
    case ChunkProfile::dup:
      return extent_fs::Profile::dup;
    case ChunkProfile::single:
      break;
  }
  return extent_fs::Profile::single;
}
ChunkProfile profile_of(extent_fs::Profile profile) noexcept {
  return profile == extent_fs::Profile::raid0 ? ChunkProfile::raid0
         : profile == extent_fs::Profile::dup ? ChunkProfile::dup
                                              : ChunkProfile::single;
}

// Null for the super block of another kind.
extent_fs::FileSystem* chunk_fs(SuperBlock& super_block) noexcept {
  auto* const fs = dynamic_cast<extent_fs::FileSystem*>(&super_block);
  return fs != nullptr && fs->kind().magic == kKind.magic ? fs : nullptr;
}

Result<ChunkFs::BalanceReport> balance_chunks(extent_fs::FileSystem& fs, const Chunks& chunks) {
  DAXSIM_TRY(const extent_fs::BalanceReport report, fs.balance(chunks));
  return ChunkFs::BalanceReport{.files = report.files, .pages = report.pages};
}

}  // namespace

Result<void> ChunkFs::mkfs(Devices devices, const Options& options) {
  if (are_too_many(devices) || options.chunk_size % kPageSize != 0) {
    return Errno::einval;
  }
  const std::uint64_t chunk_size = options.chunk_size != 0 ? options.chunk_size : default_chunk_size(devices);
  return extent_fs::FileSystem::make(devices, kKind,
                                     {.files = options.files,
                                      .reflink = options.reflink,
                                      .profile = profile_of(options.profile),
                                      .stripe_pages = chunk_size >> kPageShift});
}

Result<std::shared_ptr<SuperBlock>> ChunkFs::mount(const dax::Context& context, Devices devices,
                                                   const MountOptions& options) {
  if (are_too_many(devices)) {
    return Errno::einval;
  }
  return extent_fs::FileSystem::mount(context, devices, kKind, options);
}

Result<std::vector<ChunkInfo>> ChunkFs::chunks(SuperBlock& super_block) {
  extent_fs::FileSystem* const fs = chunk_fs(super_block);
  if (fs == nullptr) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(fs->check_mounted());
  std::vector<ChunkInfo> all;
  for (std::size_t number = 0; number < fs->chunks().count(); ++number) {
    const extent_fs::Chunk& chunk = fs->chunks()[number];
    ChunkInfo info{.profile = profile_of(chunk.profile),
                   .devices = {},
                   .pages = chunk.pages,
                   .used_pages = fs->used_pages(number)};
    for (std::uint32_t stripe = 0; stripe < chunk.stripe_count; ++stripe) {
      info.devices.push_back(chunk.stripes[stripe].volume);
    }
    all.push_back(std::move(info));
  }
  return all;
}

Result<ChunkFs::BalanceReport> ChunkFs::balance(SuperBlock& super_block, std::uint32_t chunk) {
  extent_fs::FileSystem* const fs = chunk_fs(super_block);
  if (fs == nullptr || chunk >= fs->chunks().count()) {
    return Errno::einval;
  }
  return balance_chunks(*fs, Chunks().set(chunk));
}

Result<ChunkFs::BalanceReport> ChunkFs::empty_device(SuperBlock& super_block, std::uint32_t device) {
  extent_fs::FileSystem* const fs = chunk_fs(super_block);
  if (fs == nullptr || device >= fs->volumes().size()) {
    return Errno::einval;
  }
  Chunks chunks;
  for (std::size_t number = 0; number < fs->chunks().count(); ++number) {
    chunks[number] = fs->chunks()[number].is_on(device);
  }
  return balance_chunks(*fs, chunks);
}

Result<ChunkFs::ScrubReport> ChunkFs::scrub(SuperBlock& super_block) {
  extent_fs::FileSystem* const fs = chunk_fs(super_block);
  if (fs == nullptr) {
    return Errno::einval;
  }
  DAXSIM_TRY(const extent_fs::ScrubReport report, fs->scrub());
  return ScrubReport{.pages = report.pages, .repaired = report.repaired};
}

DAXSIM_END
