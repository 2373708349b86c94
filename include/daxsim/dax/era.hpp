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
#include "daxsim/vfs/mm_policy.hpp"

DAXSIM_BEGIN

struct Era {
  std::string_view name;  // "6.12"
  const IndexDesign& (*design)() noexcept = &designs::pfn;
  EntryLayout layout = layouts::v4_20;
  Policy policy;
  MmPolicy mm{};

  // The same era, but.
  [[nodiscard]] constexpr Era with(const Policy& other) const noexcept {
    Era changed = *this;
    changed.policy = other;
    return changed;
  }
  [[nodiscard]] constexpr Era without(Step step) const noexcept { return with(policy.without(step)); }
};

namespace eras {

// Memory managers, as they were recorded; the older ones are taken to be like 6.1's.
inline constexpr MmPolicy kMmOf6_1{.vma_lock = VmaLock::no,
                                   .insertion = Insertion::mixed_without_pmd,
                                   .private_huge_store = PrivateHugeStore::asks_first};
inline constexpr MmPolicy kMmOf7_3{.insertion = Insertion::pages_and_folios, .unmapping = RangeUnmapping::by_pages};

// Backwards in time, each without what the next release added. Of file systems that differed the eras take the worse:
// B9 was XFS's alone. (Before 6.0 nobody was told of a removal at all; no era here skips Step::notify_holder, since that
// may end the whole program.)
inline constexpr Policy kUntil6_7 = Policy{}.without(Step::announce_removal);
// 6.0 brought copy-on-write, and holders that look up who is behind the memory that failed.
inline constexpr Policy kUntil6_3 =
    kUntil6_7.without(Step::clear_dirty_before_copy).without(Step::end_failure_before_next_byte);
inline constexpr Policy kUntil5_1 = Policy{}.without(Step::write_protect_small_pages).without(Step::probe_last_page);
inline constexpr Policy kUntil4_17 = kUntil5_1.without(Step::wait_for_pins);
inline constexpr Policy kUntil4_14 = kUntil4_17.without(Step::commit_before_mapping);
inline constexpr Policy kUntil4_11 = kUntil4_14.without(Step::advance_writeback);
inline constexpr Policy kUntil4_7 =
    kUntil4_11.without(Step::invalidate_only_new_blocks).without(Step::invalidate_after_allocation);

// 4.5: marks are never cleared again, so every fsync flushes every page that was ever stored to; nothing is
// write-protected. 4.10 cleans entries, and forgets huge pages in doing so (B2).
constexpr Policy never_clean(Policy policy) {
  policy.write_protect = WriteProtect::none;
  policy.clear_dirty = ClearDirty::never;
  return policy;
}
constexpr Policy forgets_huge_pages(Policy policy) {
  policy.write_protect = WriteProtect::pte;
  return policy;
}
// 6.1 was recorded: it marks entries dirty that were only read, and its file systems write back more than 6.12's.
constexpr Policy as_6_1(Policy policy) {
  policy.read_fault = ReadFaultEntry::dirty;
  policy.shared_mappings = SharedMappings::taken_by_stores;
  policy.before_punch = BeforePunch::write_back;
  policy.behind_end = BehindEnd::left;
  policy.before_shrink = BeforeShrink::write_back;
  return policy;
}
// 7.3 was recorded; 6.15 brought dax_break_layout.
constexpr Policy as_7_3(Policy policy) {
  policy.break_layouts = BreakLayouts::deletes_entries;
  return policy;
}
// 4.7 to 5.12: deletion wakes one waiter (B5).
constexpr Policy wakes_one(const Policy& policy) { return policy.without(Step::wake_all_on_delete); }
inline constexpr Policy kPolicy4_5 = never_clean(kUntil4_7.without(Step::lock_entry_in_fault));

inline constexpr Era v4_5_rc1{"4.5-rc1", &designs::sector_of_super_block, layouts::v4_5,
                              kPolicy4_5.without(Step::sync_all_files), kMmOf6_1};
inline constexpr Era v4_5{"4.5", &designs::sector_of_inode, layouts::v4_5, kPolicy4_5, kMmOf6_1};
inline constexpr Era v4_7{"4.7", &designs::sector_of_inode, layouts::v4_7, never_clean(wakes_one(kUntil4_7)), kMmOf6_1};
inline constexpr Era v4_10{"4.10", &designs::sector_of_inode, layouts::v4_10, forgets_huge_pages(wakes_one(kUntil4_11)),
                           kMmOf6_1};
inline constexpr Era v4_12{"4.12", &designs::sector_of_inode, layouts::v4_10, wakes_one(kUntil4_14), kMmOf6_1};
inline constexpr Era v4_17{"4.17", &designs::pfn, layouts::v4_10, wakes_one(kUntil4_17), kMmOf6_1};
inline constexpr Era v4_20{"4.20", &designs::pfn, layouts::v4_20, wakes_one(kUntil5_1), kMmOf6_1};
inline constexpr Era v6_0{"6.0", &designs::pfn, layouts::v4_20, as_6_1(kUntil6_3), kMmOf6_1};
inline constexpr Era v6_1{"6.1", &designs::pfn, layouts::v4_20, as_6_1(kUntil6_3), kMmOf6_1};
inline constexpr Era v6_8{"6.8", &designs::pfn, layouts::v4_20, Policy{}};
inline constexpr Era v6_12{"6.12", &designs::pfn, layouts::v4_20, Policy{}};
inline constexpr Era v6_15{"6.15", &designs::pfn, layouts::v4_20, as_7_3(Policy{}), kMmOf7_3};
inline constexpr Era v7_3{"7.3", &designs::pfn, layouts::v4_20, as_7_3(Policy{}), kMmOf7_3};

inline constexpr std::array<Era, 13> all{v4_5_rc1, v4_5, v4_7, v4_10, v4_12, v4_17, v4_20,
                                         v6_0,     v6_1, v6_8, v6_12, v6_15, v7_3};

}  // namespace eras

DAXSIM_END
