// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/composite.hpp"

#include <algorithm>
#include <bit>
#include <string>
#include <utility>

#include "composite_view.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

using Parts = std::vector<std::shared_ptr<Device>>;

// A part that nobody can store to may be one that takes its mappings away, which only its own attachment hears of.
bool all_direct(const Parts& parts) {
  return !parts.empty() && std::ranges::all_of(parts, [](const auto& part) {
    return part != nullptr && part->capabilities().direct && !part->capabilities().read_only;
  });
}

class CompositeDevice final : public Device {
 public:
  CompositeDevice(Parts parts, Targets targets) : parts_(std::move(parts)), targets_(std::move(targets)) {
    capabilities_ = parts_.front()->capabilities();
    for (const auto& part : parts_) {
      const Capabilities& of_part = part->capabilities();
      capabilities_.synchronous &= of_part.synchronous;
      capabilities_.write_cache |= of_part.write_cache;
      capabilities_.alignment = std::min(capabilities_.alignment, of_part.alignment);
      capabilities_.granularity = std::min(capabilities_.granularity, of_part.granularity);
      size_ += part->size();
      name_ += (name_.empty() ? "" : "+") + part->name();
    }
  }

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext& context) override {
    std::vector<std::unique_ptr<DaxDevice>> views;
    for (const auto& part : parts_) {
      DAXSIM_TRY(std::unique_ptr<DaxDevice> view, part->make_view(context));
      views.push_back(std::move(view));
    }
    return std::unique_ptr<DaxDevice>(std::make_unique<CompositeView>(std::move(views), targets_));
  }

 private:
  const Parts parts_;
  const Targets targets_;
  Capabilities capabilities_;
  std::uint64_t size_ = 0;
  std::string name_;
};

}  // namespace

Result<std::shared_ptr<Device>> open(const LinearComposite& config) {
  if (!all_direct(config.parts)) {
    return Errno::einval;
  }
  std::vector<Pgoff> starts;
  std::uint64_t size = 0;
  for (const auto& part : config.parts) {
    if (size % kPmdSize != 0) {
      return Errno::einval;
    }
    starts.push_back(page_of(size));
    size += part->size();
  }
  return std::make_shared<CompositeDevice>(config.parts, Targets::linear(std::move(starts), size >> kPageShift));
}

Result<std::shared_ptr<Device>> open(const StripeComposite& config) {
  if (!all_direct(config.parts) || !std::has_single_bit(config.chunk) || config.chunk < kPageSize) {
    return Errno::einval;
  }
  const std::uint64_t size = config.parts.front()->size();
  const auto fits = [&](const auto& part) { return part->size() == size && size % config.chunk == 0; };
  if (!std::ranges::all_of(config.parts, fits)) {
    return Errno::einval;
  }
  return std::make_shared<CompositeDevice>(config.parts,
                                           Targets::striped(config.parts.size(), config.chunk >> kPageShift));
}

}  // namespace sim
DAXSIM_END
