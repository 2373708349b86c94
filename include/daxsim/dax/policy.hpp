// SPDX-License-Identifier: BSD-3-Clause
// Policy: the decisions that Linux took differently over time, as data (F1, F5). The default is 6.12.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

DAXSIM_BEGIN

// What write-back takes write access from, so that the next store faults and is noticed.
enum class WriteProtect : std::uint8_t { none, pte, pte_and_pmd };
// When write-back clears the DIRTY mark.
enum class ClearDirty : std::uint8_t { after_flush, never };
// What a read fault on allocated memory marks its entry. (6.1 was recorded marking dirty.)
enum class ReadFaultEntry : std::uint8_t { clean, dirty };

// Steps that a correct kernel takes and a historical bug left out; a test names the one to skip.
enum class Step : std::uint8_t {
  flush,
  fence,
  wake_all_on_delete,
  unmap_zero_page_on_write,
  // The machine tells the holder of a device that is removed. Without it nobody takes the device's pages out of page
  // tables (F7.4); a simulated process that then still loads or stores through them ends the whole program.
  notify_holder,
  // Of a relocation (dax::relocate), in their order. Allowing faults again is no step to leave out: all that comes of it
  // is a program that waits for ever.
  relocate_block_faults,
  relocate_unmap,
  relocate_wait_pins,
  relocate_flush,
  relocate_copy,
  relocate_switch,
  relocate_delete_entries,
};
inline constexpr Step kLastStep = Step::relocate_delete_entries;

struct Policy {
  WriteProtect write_protect = WriteProtect::pte_and_pmd;
  ClearDirty clear_dirty = ClearDirty::after_flush;
  ReadFaultEntry read_fault = ReadFaultEntry::clean;
  std::uint64_t skipped = 0;  // bits of Step

  [[nodiscard]] constexpr bool takes(Step step) const noexcept {
    return (skipped & (std::uint64_t{1} << static_cast<unsigned>(step))) == 0;
  }
  [[nodiscard]] constexpr Policy without(Step step) const noexcept {
    Policy changed = *this;
    changed.skipped |= std::uint64_t{1} << static_cast<unsigned>(step);
    return changed;
  }
  // Errors: Errno::einval (a value outside its enum, or an unknown step).
  [[nodiscard]] Result<void> validate() const noexcept;

  friend constexpr bool operator==(const Policy&, const Policy&) = default;
};

DAXSIM_END
