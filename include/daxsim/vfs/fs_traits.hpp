// SPDX-License-Identifier: BSD-3-Clause
// FsTraits: what file systems that use the same DAX code do differently, as the recordings show it, as data.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/vfs/mm_policy.hpp"

DAXSIM_BEGIN

// What becomes of unwritten blocks beside those that a store makes written.
enum class Conversion : std::uint8_t {
  short_extents,  // of an extent all, and of its ends those next to the store, up to kZeroedBeside blocks (ext4)
  pages,          // they stay unwritten (XFS)
};
// ext4's extent_max_zeroout_kb.
inline constexpr std::uint64_t kZeroedBeside = 8;
// The order in which truncate and fallocate unmap, write back, zero and forget pages.
enum class LayoutChanges : std::uint8_t { ext4, xfs };

struct FsTraits {
  VmaLock vma_lock = VmaLock::no;  // whether its faults on small pages may run under the lock of the area alone
  Conversion conversion = Conversion::pages;
  LayoutChanges layout_changes = LayoutChanges::ext4;
};

namespace fs_traits {
inline constexpr FsTraits ext4{.conversion = Conversion::short_extents};
inline constexpr FsTraits xfs{.vma_lock = VmaLock::yes, .layout_changes = LayoutChanges::xfs};
}  // namespace fs_traits

DAXSIM_END
