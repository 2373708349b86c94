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

// Who takes shared blocks out of page tables and makes their entries anew: faults for a store only, and write(2) not at all
// (until 6.3; the copy is dax_iomap_cow_copy then), or every fault on them and write(2).
enum class SharedMappings : std::uint8_t { taken_by_stores, taken_by_all };
// Waiting for pins: whether the file is unmapped and looked through when nobody maps it, and whether its entries are left
// there, all of them, dirty or not, when no page is pinned. (6.15: dax_break_layout. The next fsync flushes none of them.)
enum class BreakLayouts : std::uint8_t { waits, deletes_entries };
// What a file system like ext4 does before it punches: writes back what goes, or not. (6.1 was recorded writing back.)
enum class BeforePunch : std::uint8_t { nothing, write_back };
// And, when a file is extended, with what was stored behind its end in its last page. (6.1 was recorded leaving it.)
enum class BehindEnd : std::uint8_t { zeroed, left };
// What a file system like XFS does before it zeroes the rest of the last page of a file that shrinks. (6.1 was recorded
// writing that page back.)
enum class BeforeShrink : std::uint8_t { nothing, write_back };

// Steps that a correct kernel takes and a historical bug left out; a test names the one to skip.
enum class Step : std::uint8_t {
  flush,
  fence,
  wake_all_on_delete,
  unmap_zero_page_on_write,
  // The machine tells the holder of a device that is removed. Without it nobody takes the device's pages out of page
  // tables (F7.4); a simulated process that then still loads or stores through them ends the whole program.
  notify_holder,

  // Write-back.
  advance_writeback,          // its walk goes on behind the entry that it has flushed (B1)
  write_protect_small_pages,  // of a PMD entry all of them, not only the first (B3)
  lock_entry_in_writeback,    // from before the flush until DIRTY is cleared (B7)
  find_pmd_from_its_middle,   // by a range that begins inside it (B18)
  count_entries,              // a file that has no pages but entries is not empty (B29)
  sync_all_files,             // sync(2) writes back DAX entries (B12)
  make_copies,                // the file system's own, of what was flushed (F11)
  // Faults.
  lock_entry_in_fault,      // before the file system is asked for the page (B6)
  zero_with_allocation,     // and not when it has answered; matters where lock_entry_in_fault is skipped, too (B13)
  commit_before_mapping,    // a page of a MAP_SYNC area (B21)
  unmap_huge_zero_page,     // before its entry is broken up (B22)
  find_entry_after_commit,  // to install the page of a MAP_SYNC area only if it is still the file's (B31)
  // Read and write.
  invalidate_only_new_blocks,   // by write(2), not the whole file (B9)
  invalidate_after_allocation,  // and not before it (B10)
  hold_device_in_copy,          // while bytes are copied from its memory (B20)
  clear_dirty_before_copy,      // of entries whose blocks write(2) replaces, so that they can be invalidated (B23)
  // Blocks that leave a file.
  wait_for_pins,               // of their pages (B17)
  unmap_before_free,           // their pages; without it their entries stay as well (B33)
  delete_entries_before_free,  // theirs (B35)
  // Devices.
  probe_last_page,               // is there memory at the end of the device? asked at mount (B27)
  announce_removal,              // as one, not as memory that failed (B25)
  end_failure_before_next_byte,  // the byte behind the memory that failed did not (B24)
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
  SharedMappings shared_mappings = SharedMappings::taken_by_all;
  BreakLayouts break_layouts = BreakLayouts::waits;
  BeforePunch before_punch = BeforePunch::nothing;
  BehindEnd behind_end = BehindEnd::zeroed;
  BeforeShrink before_shrink = BeforeShrink::nothing;
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
