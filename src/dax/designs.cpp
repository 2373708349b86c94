// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>

#include "daxsim/dax/index_design.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/index/entry.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "daxsim/vfs/system.hpp"

DAXSIM_BEGIN
namespace designs {
namespace {

constexpr unsigned kSectorShift = 9;
constexpr unsigned kSectorsPerPageShift = kPageShift - kSectorShift;

constexpr Result<std::uint64_t> fitting(std::uint64_t payload) noexcept {
  if (payload > Entry::kMaxPayload) {
    return Errno::eoverflow;
  }
  return payload;
}

constexpr std::uint64_t sector_of(Pgoff page) noexcept { return page.value << kSectorsPerPageShift; }
constexpr Pgoff page_of_sector(std::uint64_t sector) noexcept { return {sector >> kSectorsPerPageShift}; }

// Two numbers in one payload: `low` in the lower `low_bits`, the other above.
constexpr Result<std::uint64_t> packed(std::uint64_t low, unsigned low_bits, std::uint64_t high) noexcept {
  if (low >> low_bits != 0 || high > Entry::kMaxPayload >> low_bits) {
    return Errno::eoverflow;
  }
  return low | high << low_bits;
}
constexpr std::uint64_t low_part(std::uint64_t payload, unsigned bits) noexcept {
  return payload & ((std::uint64_t{1} << bits) - 1);
}

// How far into an entry.
constexpr std::uint64_t behind(const StoredEntry& entry, PageRange asked) noexcept { return asked.first - entry.first; }

// The pages of an entry that begins at page `first` of a device, found with `lookups` searches under as many locks.
Result<FlushTarget> on_device(Attachment* device, Pgoff first, const StoredEntry& entry, PageRange asked,
                              std::uint32_t lookups) noexcept {
  const Pgoff page = first + behind(entry, asked);
  if (device == nullptr || device->state() >= LifeState::disk_gone || page.value >= device->pages()) {
    return Errno::enxio;
  }
  return FlushTarget{.device = device,
                     .page = page,
                     .pages = std::min(asked.pages, device->pages() - page.value),
                     .lookups = lookups,
                     .locks = lookups};
}

// Memory that is not found is touched all the same, and what comes of that is the kernel's end.
Result<FlushTarget> at_place(const MemoryMap::Place& place, PageRange asked) noexcept {
  if (place.attachment == nullptr) {
    return Errno::efault;
  }
  return FlushTarget{.device = place.attachment,
                     .page = place.page,
                     .pages = std::min(asked.pages, place.attachment->pages() - place.page.value)};
}

Result<FlushTarget> at_extent(const Result<FileExtent>& extent) noexcept {
  if (!extent.ok()) {
    return extent.error() == Errno::estale ? Errno::estale : Errno::eio;
  }
  if (extent->kind != FileExtent::Kind::memory) {
    return Errno::estale;
  }
  return FlushTarget{
      .device = extent->device, .page = extent->device_page, .pages = extent->pages.pages, .lookups = 1, .locks = 1};
}

// Page-aligned, so its upper 52 bits say all. A CPU needs no table to flush an address; only the simulator has to find
// out what lies there.
class KaddrDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "kaddr"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return fitting(reinterpret_cast<std::uintptr_t>(extent.memory.kaddr) >> kPageShift);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return at_place(system.memory.find_kaddr((entry.payload + behind(entry, pages)) << kPageShift), pages);
  }
};

class SectorDesign : public IndexDesign {
 public:
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept final {
    return fitting(sector_of(extent.device_page));
  }
};

class SectorOfSuperBlockDesign final : public SectorDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "sector@sb"; }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return on_device(inode.super_block().bdev(), page_of_sector(entry.payload), entry, pages, 1);
  }
};

class SectorOfInodeDesign final : public SectorDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "sector@inode"; }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return on_device(inode.bdev(), page_of_sector(entry.payload), entry, pages, 1);
  }
};

// A device's minor number. It is never used again, so it needs no generation.
constexpr unsigned kDeviceBits = 12;
Attachment* device_of(System& system, const StoredEntry& entry) noexcept {
  return system.memory.find_minor(static_cast<std::uint32_t>(low_part(entry.payload, kDeviceBits)));
}

class SectorAndDeviceDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "sector+device"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return packed(minor_of(extent.device->dev()), kDeviceBits, sector_of(extent.device_page));
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    // The device table, then the device.
    return on_device(device_of(system, entry), page_of_sector(entry.payload >> kDeviceBits), entry, pages, 2);
  }
};

class PgoffAndDeviceDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "pgoff+device"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return packed(minor_of(extent.device->dev()), kDeviceBits, extent.device_page.value);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    Attachment* const device = device_of(system, entry);
    if (device == nullptr || device->state() >= LifeState::dax_dead) {
      return Errno::enxio;  // DAXDEV_ALIVE
    }
    return on_device(device, Pgoff{entry.payload >> kDeviceBits}, entry, pages, 1);
  }
};

class PfnDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "pfn"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return fitting(extent.memory.pfn.value);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return at_place(system.memory.find(Pfn{entry.payload + behind(entry, pages)}), pages);
  }
};

class PfnAndGenerationDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "pfn+generation"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return packed(extent.device->generation({extent.device_page, extent.pages.pages}), kGenerationBits,
                  extent.memory.pfn.value);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    const MemoryMap::Place place = system.memory.find(Pfn{entry.payload >> kGenerationBits});
    if (place.attachment == nullptr) {
      return Errno::enxio;
    }
    if (place.attachment->generation({place.page, entry.pages}) != low_part(entry.payload, kGenerationBits)) {
      return Errno::estale;
    }
    return on_device(place.attachment, place.page, entry, pages, 1);
  }

 private:
  static constexpr unsigned kGenerationBits = 16;
};

class CookieDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "cookie"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    if (extent.cookie == 0) {
      return Errno::eopnotsupp;
    }
    return fitting(extent.cookie);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return at_extent(inode.find_by_cookie(entry.payload, behind(entry, pages), pages));
  }
};

class AskFileSystemDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "nothing"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& /*extent*/) const noexcept override { return 0; }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& /*entry*/,
                                            PageRange pages) const noexcept override {
    return at_extent(inode.direct_access(pages, Access::read));
  }
};

constinit const KaddrDesign kKaddr;
constinit const SectorOfSuperBlockDesign kSectorOfSuperBlock;
constinit const SectorOfInodeDesign kSectorOfInode;
constinit const SectorAndDeviceDesign kSectorAndDevice;
constinit const PgoffAndDeviceDesign kPgoffAndDevice;
constinit const PfnDesign kPfn;
constinit const PfnAndGenerationDesign kPfnAndGeneration;
constinit const CookieDesign kCookie;
constinit const AskFileSystemDesign kAskFileSystem;

constinit const std::array<const IndexDesign*, kCount> kAll{
    &kKaddr, &kSectorOfSuperBlock, &kSectorOfInode, &kSectorAndDevice, &kPgoffAndDevice,
    &kPfn,   &kPfnAndGeneration,   &kCookie,        &kAskFileSystem};

}  // namespace

const IndexDesign& kaddr() noexcept { return kKaddr; }
const IndexDesign& sector_of_super_block() noexcept { return kSectorOfSuperBlock; }
const IndexDesign& sector_of_inode() noexcept { return kSectorOfInode; }
const IndexDesign& sector_and_device() noexcept { return kSectorAndDevice; }
const IndexDesign& pgoff_and_device() noexcept { return kPgoffAndDevice; }
const IndexDesign& pfn() noexcept { return kPfn; }
const IndexDesign& pfn_and_generation() noexcept { return kPfnAndGeneration; }
const IndexDesign& cookie() noexcept { return kCookie; }
const IndexDesign& ask_file_system() noexcept { return kAskFileSystem; }

const std::array<const IndexDesign*, kCount>& all() noexcept { return kAll; }

const IndexDesign* find(std::string_view name) noexcept {
  const auto found = std::ranges::find(kAll, name, [](const IndexDesign* design) { return design->name(); });
  return found == kAll.end() ? nullptr : *found;
}

}  // namespace designs
DAXSIM_END
