// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/pmem.hpp"

#include <utility>

#include "pmem_media.hpp"
#include "pmem_view.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

class PmemDevice final : public Device {
 public:
  PmemDevice(std::shared_ptr<PmemMedia> media, const Pmem& config)
      : media_(std::move(media)),
        domain_(config.domain),
        capabilities_{.synchronous = config.synchronous, .write_cache = config.write_cache} {}

  [[nodiscard]] const std::string& name() const noexcept override { return media_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept override { return media_->size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext& context) override {
    return PmemView::create(media_, domain_, context.arena);
  }

 private:
  const std::shared_ptr<PmemMedia> media_;
  const PersistenceDomain domain_;
  const Capabilities capabilities_;
};

}  // namespace

Result<std::shared_ptr<Device>> open(const Pmem& config) {
  DAXSIM_TRY(std::shared_ptr<PmemMedia> media, PmemMedia::open(config));
  return std::make_shared<PmemDevice>(std::move(media), config);
}

}  // namespace sim
DAXSIM_END
