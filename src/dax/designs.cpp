// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/dax/index_design.hpp"
#include "daxsim/index/entry.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/system.hpp"

DAXSIM_BEGIN
namespace designs {
namespace {

// The physical page is unique in the whole machine, so no device has to be named; what it cannot tell is whether the
// device is still the same one (F12).
class PfnDesign final : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "pfn"; }

  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    if (extent.memory.pfn.value > Entry::kMaxPayload) {
      return Errno::eoverflow;
    }
    return extent.memory.pfn.value;
  }

  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& /*inode*/, Pgoff /*page*/,
                                            std::uint64_t payload) const noexcept override {
    const MemoryMap::Place place = system.memory.find(Pfn{payload});
    if (place.attachment == nullptr) {
      return Errno::enxio;
    }
    return FlushTarget{.device = place.attachment, .page = place.page};
  }

  [[nodiscard]] bool still_valid(std::uint64_t sampled, std::uint64_t now) const noexcept override {
    return sampled == now;
  }
};

constinit const PfnDesign kPfn;

}  // namespace

const IndexDesign& pfn() noexcept { return kPfn; }

}  // namespace designs
DAXSIM_END
