// SPDX-License-Identifier: BSD-3-Clause
// Index designs to be wrong in one way each.
#pragma once

#include <string_view>

#include "daxsim/dax/index_design.hpp"

namespace daxsim::test {

// pfn under a name that says nothing, and right as it is; what derives from it changes one thing.
class WrongDesign : public IndexDesign {
 public:
  [[nodiscard]] std::string_view name() const noexcept override { return "x"; }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return designs::pfn().encode(extent);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    return designs::pfn().resolve(system, inode, entry, pages);
  }
};

// The right device, and the page beside the one that was stored to.
class NextPage final : public WrongDesign {
 public:
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    DAXSIM_TRY(FlushTarget target, WrongDesign::resolve(system, inode, entry, pages));
    target.page = target.page + 1;
    return target;
  }
};

}  // namespace daxsim::test
