// SPDX-License-Identifier: BSD-3-Clause
// Before blocks leave a file: who has pages pinned, and taking entries out of the index.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/dax.hpp"

DAXSIM_BEGIN
namespace dax {

// The first page in range whose memory somebody pinned, in the file and on its device.
struct BusyPage {
  FlushTarget where;
  Pgoff page;
};
[[nodiscard]] bool find_busy(const Context& context, Inode& inode, PageRange pages, BusyPage* busy) noexcept;

// Before entries in `pages` go: writes back those that reach beyond and are dirty. Errors: those of writeback_range.
Result<void> save_straddling(const Context& context, Inode& inode, PageRange pages) noexcept;

// Waits for each entry that overlaps `pages` and takes its marks.
void clear_dirty(Inode& inode, PageRange pages) noexcept;

// Waits for each entry that overlaps `pages` and deletes it, dirty or not; tells of each, where the kernel would.
enum class Telling : std::uint8_t { no, yes };
void delete_entries(const Context& context, Inode& inode, PageRange pages, Telling telling = Telling::yes) noexcept;

}  // namespace dax
DAXSIM_END
