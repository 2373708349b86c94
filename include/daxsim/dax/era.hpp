// SPDX-License-Identifier: BSD-3-Clause
// Era: how one release of Linux did DAX, as a value (F1, F2.1, F5). 6.1, 6.12 and 7.3 were recorded; the others
// are what the timeline says.
#pragma once

#include <array>
#include <string_view>

#include "daxsim/base/config.hpp"
#include "daxsim/dax/entry_layout.hpp"
#include "daxsim/dax/index_design.hpp"
#include "daxsim/dax/policy.hpp"

DAXSIM_BEGIN

struct Era {
  std::string_view name;  // "6.12"
  const IndexDesign& (*design)() noexcept = &designs::pfn;
  EntryLayout layout = layouts::v4_20;
  Policy policy;

  // The same era, but.
  [[nodiscard]] constexpr Era with(const Policy& other) const noexcept {
    Era changed = *this;
    changed.policy = other;
    return changed;
  }
  [[nodiscard]] constexpr Era without(Step step) const noexcept { return with(policy.without(step)); }
};

namespace eras {

// 4.5: marks are never cleared again, so every fsync flushes every page that was ever stored to; nothing is
// write-protected. 4.10 cleans entries, and forgets huge pages in doing so (B2). Until 5.13 deletion wakes one waiter (B5).
inline constexpr Policy kNeverClean{.write_protect = WriteProtect::none, .clear_dirty = ClearDirty::never};
inline constexpr Policy kWakesOne = Policy{}.without(Step::wake_all_on_delete);

inline constexpr Era v4_5_rc1{"4.5-rc1", &designs::sector_of_super_block, layouts::v4_5, kNeverClean};
inline constexpr Era v4_5{"4.5", &designs::sector_of_inode, layouts::v4_5, kNeverClean};
inline constexpr Era v4_7{"4.7", &designs::sector_of_inode, layouts::v4_7,
                          kNeverClean.without(Step::wake_all_on_delete)};
inline constexpr Era v4_10{"4.10", &designs::sector_of_inode, layouts::v4_10,
                           Policy{.write_protect = WriteProtect::pte}.without(Step::wake_all_on_delete)};
inline constexpr Era v4_12{"4.12", &designs::sector_of_inode, layouts::v4_10, kWakesOne};
inline constexpr Era v4_17{"4.17", &designs::pfn, layouts::v4_10, kWakesOne};
inline constexpr Era v4_20{"4.20", &designs::pfn, layouts::v4_20, kWakesOne};
// 6.1 was recorded marking entries dirty that were only read.
inline constexpr Era v6_0{"6.0", &designs::pfn, layouts::v4_20, Policy{.read_fault = ReadFaultEntry::dirty}};
inline constexpr Era v6_1{"6.1", &designs::pfn, layouts::v4_20, Policy{.read_fault = ReadFaultEntry::dirty}};
inline constexpr Era v6_8{"6.8", &designs::pfn, layouts::v4_20, Policy{}};
inline constexpr Era v6_12{"6.12", &designs::pfn, layouts::v4_20, Policy{}};
inline constexpr Era v6_15{"6.15", &designs::pfn, layouts::v4_20, Policy{}};
inline constexpr Era v7_3{"7.3", &designs::pfn, layouts::v4_20, Policy{}};

inline constexpr std::array<Era, 13> all{v4_5_rc1, v4_5, v4_7, v4_10, v4_12, v4_17, v4_20,
                                         v6_0,     v6_1, v6_8, v6_12, v6_15, v7_3};

}  // namespace eras

DAXSIM_END
