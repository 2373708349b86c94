// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/dax/policy.hpp"

DAXSIM_BEGIN

Result<void> Policy::validate() const noexcept {
  constexpr std::uint64_t kKnownSteps = (std::uint64_t{2} << static_cast<unsigned>(kLastStep)) - 1;
  if (write_protect > WriteProtect::pte_and_pmd || clear_dirty > ClearDirty::never ||
      read_fault > ReadFaultEntry::dirty || shared_mappings > SharedMappings::taken_by_all ||
      break_layouts > BreakLayouts::deletes_entries || before_punch > BeforePunch::write_back ||
      behind_end > BehindEnd::left || before_shrink > BeforeShrink::write_back || (skipped & ~kKnownSteps) != 0) {
    return Errno::einval;
  }
  return {};
}

DAXSIM_END
