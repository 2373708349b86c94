// SPDX-License-Identifier: BSD-3-Clause
// EntryLayout: the bits of an index entry in one era of Linux (F2.1). The index itself stores every entry in the layout of
// 4.20 (index/entry.hpp); this says how the same entry looked then, and how large a payload there was room for.
#pragma once

#include <cstdint>
#include <string_view>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/index/entry.hpp"

DAXSIM_BEGIN

struct EntryLayout {
  static constexpr unsigned kNone = 64;  // the layout has no such bit

  std::string_view name;
  unsigned word_bits = 64;  // 64 or 32
  unsigned payload_shift = 0;
  unsigned kept_on_top = 0;  // bits above the payload
  // Bit numbers.
  unsigned is_entry = 1;  // tells entries from pointers: "exceptional", later "value"
  unsigned lock = kNone;
  unsigned pte = kNone;
  unsigned pmd = kNone;
  unsigned zero = kNone;
  unsigned empty = kNone;

  // What a fault can store at most. Larger payloads end it as Errno::eoverflow.
  [[nodiscard]] constexpr std::uint64_t max_payload() const noexcept {
    const unsigned bits = word_bits - payload_shift - kept_on_top;
    return ~std::uint64_t{0} >> (64 - bits);
  }
  // The same layout in words of `bits`.
  [[nodiscard]] constexpr EntryLayout with_words_of(unsigned bits) const noexcept {
    EntryLayout changed = *this;
    changed.word_bits = bits;
    return changed;
  }
  // The word of that era for an entry that it could have had; `entry` is a value with a payload that fits.
  [[nodiscard]] constexpr std::uint64_t word(Entry entry) const noexcept {
    const auto bit = [](unsigned number, bool set) {
      return set && number != kNone ? std::uint64_t{1} << number : std::uint64_t{0};
    };
    const bool is_huge = entry.order() == kPmdOrder;
    return entry.payload() << payload_shift | bit(is_entry, true) | bit(lock, entry.locked()) |
           bit(pte, !is_huge && !entry.is_empty()) | bit(pmd, is_huge) | bit(zero, entry.is_zero()) |
           bit(empty, entry.is_empty());
  }

  friend constexpr bool operator==(const EntryLayout&, const EntryLayout&) = default;
};

namespace layouts {
// The address of a page ends in twelve zeros; the tags take the lowest four of them.
inline constexpr EntryLayout kaddr_2015{.name = "kaddr patches, 2015", .payload_shift = 12, .pte = 2, .pmd = 3};
inline constexpr EntryLayout pfn_draft_2016{.name = "pfn draft, 2016", .payload_shift = 4, .kept_on_top = 2};
inline constexpr EntryLayout v4_5{.name = "4.5", .payload_shift = 4, .pte = 2, .pmd = 3};
inline constexpr EntryLayout v4_7{.name = "4.7", .payload_shift = 5, .lock = 2, .pte = 3, .pmd = 4};
// No PTE bit any more; 4.17 stores page frame numbers in the same bits.
inline constexpr EntryLayout v4_10{.name = "4.10", .payload_shift = 6, .lock = 2, .pmd = 3, .zero = 4, .empty = 5};
inline constexpr EntryLayout v4_20{
    .name = "4.20", .payload_shift = 5, .is_entry = 0, .lock = 1, .pmd = 2, .zero = 3, .empty = 4};
}  // namespace layouts

DAXSIM_END
