// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/ram_disk.hpp"

#include <string>
#include <utility>

#include "daxsim/base/units.hpp"
#include "media_file.hpp"
#include "ram_disk_view.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

class RamDiskDevice final : public Device {
 public:
  RamDiskDevice(std::shared_ptr<MediaFile> media, const RamDisk& config)
      : media_(std::move(media)),
        name_(config.media.empty() ? "ram" : media_->name()),
        capabilities_{
            .direct = false, .synchronous = false, .write_cache = config.write_cache, .granularity = kSectorSize} {}

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return media_->size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DeviceView>> make_block_view(const ViewContext& context) override {
    return RamDiskView::create(media_, capabilities_.write_cache, context.arena);
  }

 private:
  const std::shared_ptr<MediaFile> media_;
  const std::string name_;
  const Capabilities capabilities_;
};

}  // namespace

Result<std::shared_ptr<Device>> open(const RamDisk& config) {
  auto media = std::make_shared<MediaFile>();
  if (config.media.empty()) {
    DAXSIM_TRY_VOID(media->make_in_memory(config.size));
  } else {
    DAXSIM_TRY_VOID(media->open(config.media, config.size));
  }
  return std::make_shared<RamDiskDevice>(std::move(media), config);
}

}  // namespace sim
DAXSIM_END
