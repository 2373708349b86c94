// SPDX-License-Identifier: BSD-3-Clause
#include "lab/scenario_adapters.hpp"

#include <algorithm>
#include <array>
#include <iterator>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

using Devices = AdapterKind::Devices;

Result<void> mkfs_linear(Machine& /*machine*/, Devices devices) { return LinearFs::mkfs(devices[0].attachment()); }
Result<FileSystem> mount_linear(Machine& machine, Devices devices, const MountOptions& options) {
  return machine.mount<Ext4>(devices[0], options);
}

// On two devices.
template <class Fs>
Result<void> mkfs_on_two(Machine& /*machine*/, Devices devices) {
  return Fs::mkfs(devices[0].attachment(), devices[1].attachment());
}
template <class Fs>
Result<FileSystem> mount_on_two(Machine& machine, Devices devices, const MountOptions& options) {
  return machine.mount<Fs>(devices[0], devices[1], options);
}

template <ChunkProfile kProfile>
Result<void> mkfs_chunk(Machine& /*machine*/, Devices devices) {
  std::array<Attachment*, ChunkFs::kMaxDevices> attachments{};
  std::ranges::transform(devices, attachments.begin(), [](const DeviceHandle& device) { return &device.attachment(); });
  return ChunkFs::mkfs(std::span(attachments).first(devices.size()), {.profile = kProfile, .reflink = Reflink::yes});
}
Result<FileSystem> mount_chunk(Machine& machine, Devices devices, const MountOptions& options) {
  return machine.mount<ChunkFs>(devices, options);
}

constexpr std::array kKinds{
    AdapterKind{"ext4", "like ext4 with a journal (LinearFs), on one device", 1, 0, false, &mkfs_linear, &mount_linear},
    AdapterKind{"xfs", "like XFS with a realtime device (RealtimeFs), reflink, no reverse map, on two devices", 2, 0,
                false, &mkfs_on_two<Xfs<xfs_traits::without_rmap>>, &mount_on_two<Xfs<xfs_traits::without_rmap>>},
    AdapterKind{"xfsrmap", "the same with a reverse map", 2, 0, false, &mkfs_on_two<Xfs<xfs_traits::with_rmap>>,
                &mount_on_two<Xfs<xfs_traits::with_rmap>>},
    AdapterKind{"chunk", "like btrfs (ChunkFs), chunks on one of two devices", 2, 0, true,
                &mkfs_chunk<ChunkProfile::single>, &mount_chunk},
    AdapterKind{"chunk-raid0", "the same, chunks striped over two devices", 2, 0, true,
                &mkfs_chunk<ChunkProfile::raid0>, &mount_chunk},
    AdapterKind{"chunk-dup", "the same, two copies of everything", 2, 0, true, &mkfs_chunk<ChunkProfile::dup>,
                &mount_chunk},
    AdapterKind{"tiered", "a direct device and an ordinary disk in one file system (TieredFs)", 2, 1, false,
                &mkfs_on_two<TieredFs>, &mount_on_two<TieredFs>},
};

}  // namespace

const std::vector<const AdapterKind*>& adapter_kinds() {
  static const std::vector<const AdapterKind*> kAll = [] {
    std::vector<const AdapterKind*> all;
    std::ranges::transform(kKinds, std::back_inserter(all), [](const AdapterKind& kind) { return &kind; });
    return all;
  }();
  return kAll;
}

const AdapterKind* find_adapter_kind(std::string_view name) noexcept {
  const auto found = std::ranges::find(kKinds, name, &AdapterKind::name);
  return found == kKinds.end() ? nullptr : &*found;
}

std::string_view adapter_name(const AdapterKind& kind) noexcept { return kind.name; }
std::string_view adapter_text(const AdapterKind& kind) noexcept { return kind.text; }

}  // namespace lab
DAXSIM_END
