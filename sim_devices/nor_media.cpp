// SPDX-License-Identifier: BSD-3-Clause
#include "nor_media.hpp"

#include <fcntl.h>

#include <algorithm>
#include <array>
#include <bit>
#include <cerrno>
#include <cstring>

#include "daxsim/base/units.hpp"
#include "nor_view.hpp"

DAXSIM_BEGIN
namespace sim {

struct NorMediaFile::Header {
  std::uint64_t magic = 0;
  std::uint64_t chips = 0;
  std::uint64_t blocks = 0;                // of all chips
  std::uint64_t part = 0;                  // command set, manufacturer, device
  std::array<std::uint64_t, 4> regions{};  // blocks, and bytes of one
  friend bool operator==(const Header&, const Header&) = default;
};

namespace {

constexpr std::uint64_t kMagic = 0x3130'524f'4e58'4144;  // "DAXNOR01"
constexpr std::uint32_t kMaxChips = 16;
constexpr std::uint64_t kLargestChip = std::uint64_t{1} << 31;
constexpr std::uint32_t kLargestBuffer = 64 << 10;

bool is_block_start(const NorPart& part, std::uint64_t address) noexcept {
  return nor_block(part, address).offset == address;
}

bool can_be(const NorPart& part) noexcept {
  const std::uint64_t unit = std::max<std::uint64_t>(part.buffer_bytes, part.bus_bytes);
  if ((part.bus_bytes != 1 && part.bus_bytes != 2) || !std::has_single_bit(unit) || unit > kLargestBuffer ||
      !std::has_single_bit(part.page_bytes) || part.limit_shift > 20) {
    return false;
  }
  const bool blocks_fit = std::ranges::all_of(part.regions, [unit](const EraseRegion& region) {
    return region.blocks == 0 || (region.block_bytes != 0 && region.block_bytes % unit == 0);
  });
  const std::uint64_t size = part.size();
  if (!blocks_fit || size == 0 || size > kLargestChip || part.partitions == 0 || size % part.partitions != 0) {
    return false;
  }
  for (std::uint32_t i = 0; i < part.partitions; ++i) {
    if (!is_block_start(part, size / part.partitions * i)) {
      return false;
    }
  }
  return true;
}

bool can_be(const NorFlash& config) noexcept {
  if (config.chips == 0 || config.chips > kMaxChips || !can_be(config.part)) {
    return false;
  }
  const std::uint64_t blocks = std::uint64_t{config.part.blocks()} * config.chips;
  const std::uint64_t bytes = config.part.size() * config.chips;
  const NorFaults& faults = config.faults;
  return std::ranges::all_of(faults.weak, [&](const WeakBlock& weak) { return weak.block < blocks; }) &&
         std::ranges::all_of(faults.stuck,
                             [&](const StuckBit& stuck) { return stuck.offset < bytes && stuck.bit < 8; }) &&
         std::ranges::all_of(faults.hanging, [&](std::uint32_t block) { return block < blocks; });
}

Result<void> reserve(const Descriptor& file, std::uint64_t bytes) noexcept {
  int error = EINTR;
  while (error == EINTR) {
    error = ::posix_fallocate(file.number(), 0, static_cast<off_t>(bytes));
  }
  if (error == ENOSPC || error == EDQUOT) {
    return Errno::enospc;
  }
  return error == 0 ? Result<void>() : Result<void>(from_host_errno(error));
}

}  // namespace

// Words reach it whole, and nobody has to flush anything.
NorMediaFile::NorMediaFile(NorFlash config)
    : config_(std::move(config)),
      capabilities_{
          .synchronous = false, .write_cache = false, .read_only = true, .granularity = config_.part.bus_bytes} {}

Result<std::unique_ptr<DaxDevice>> NorMediaFile::make_view(const ViewContext& context) {
  if (config_.part.size() / config_.part.partitions % kPageSize != 0) {
    return Errno::einval;
  }
  return NorView::create(shared_from_this(), context);
}

std::uint64_t NorMediaFile::header_at() const noexcept { return round_up(size(), kPageSize); }

NorMediaFile::Header NorMediaFile::header() const noexcept {
  const NorPart& part = config_.part;
  Header header{.magic = kMagic,
                .chips = config_.chips,
                .blocks = std::uint64_t{part.blocks()} * config_.chips,
                .part = std::uint64_t{static_cast<std::uint16_t>(part.commands)} << 32 |
                        std::uint64_t{part.manufacturer} << 16 | part.device};
  std::ranges::transform(part.regions, header.regions.begin(), [](const EraseRegion& region) {
    return std::uint64_t{region.blocks} << 32 | region.block_bytes;
  });
  return header;
}

Result<void> NorMediaFile::open() {
  if (!can_be(config_)) {
    return Errno::einval;
  }
  const Header wanted = header();
  const std::uint64_t bytes = round_up(header_at() + sizeof(Header) + wanted.blocks * sizeof(NorMark), kPageSize);
  if (config_.media.empty()) {
    DAXSIM_TRY_VOID(file_.make_in_memory(bytes, MediaFile::Sizes::any));
    name_ = "nor";
  } else {
    DAXSIM_TRY_VOID(file_.open(config_.media, bytes, MediaFile::Sizes::any));
    name_ = file_.name();
  }
  DAXSIM_TRY_VOID(reserve(file_.file(), bytes));
  DAXSIM_TRY(region_, Region::shared(bytes, file_.file()));
  Header found;
  std::memcpy(&found, region_.data() + header_at(), sizeof found);
  if (found == Header{}) {
    std::memset(region_.data(), 0xff, size());
    std::memcpy(region_.data() + header_at(), &wanted, sizeof wanted);
    return {};
  }
  return found == wanted ? Result<void>() : Result<void>(Errno::einval);
}

NorCells NorMediaFile::cells(std::uint32_t chip, std::span<std::byte> bytes) const noexcept {
  const std::uint64_t chip_bytes = config_.part.size();
  const std::uint32_t blocks = config_.part.blocks();
  auto* const marks = reinterpret_cast<NorMark*>(bytes.data() + header_at() + sizeof(Header));
  return {.bytes = bytes.subspan(chip * chip_bytes, chip_bytes),
          .marks = std::span(marks + std::size_t{chip} * blocks, blocks)};
}

Result<NorContents> NorMediaFile::contents() {
  DAXSIM_TRY_VOID(take_view());
  const std::span all = bytes();
  NorContents contents{.bytes = {all.begin(), all.end()}};
  return_view();
  return contents;
}

Result<void> NorMediaFile::restore(const NorContents& contents) {
  if (contents.bytes.size() != region_.size() ||
      std::memcmp(contents.bytes.data() + header_at(), region_.data() + header_at(), sizeof(Header)) != 0) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(take_view());
  std::ranges::copy(contents.bytes, region_.data());
  return_view();
  return {};
}

}  // namespace sim
DAXSIM_END
