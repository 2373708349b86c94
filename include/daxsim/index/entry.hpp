// SPDX-License-Identifier: BSD-3-Clause
// Entry: the one word that the index of an inode stores per page or PMD, in the layout of Linux 4.20 (F2.1, F2.2).
// This class owns every shift and mask; nobody else takes the word apart. What the payload means (page frame number,
// sector, address, ...) is the index design's business.
//
//   | bits  | name    | meaning                                                                     |
//   |-------|---------|-----------------------------------------------------------------------------|
//   | 0     | value   | 1 for every entry that can be stored; 0 for null and for retry              |
//   | 1     | lock    | somebody owns the entry; others wait for it                                 |
//   | 2     | pmd     | covers 512 pages (order 9) instead of one (order 0)                         |
//   | 3     | zero    | a hole: the payload names the shared zero page, the entry owns no storage   |
//   | 4     | empty   | placeholder that exists to be locked, or was left by a failed fault         |
//   | 5..63 | payload | 59 bits                                                                     |
//
// Two words are not entries: null (0, nothing is stored) and retry (the kernel's internal entry 256), the answer "there
// is something smaller than you asked for", which DAX calls a conflict. Retry is never stored.
//
// A plain value: any thread, allowed in the fault path.
//
// I1 at most one of zero and empty is set; both clear is real storage.
// I2 the payload of an empty entry is 0.
// I3 the order is 0 or kPmdOrder.
#pragma once

#include <cassert>
#include <cstdint>
#include <type_traits>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Entry {
 public:
  static constexpr unsigned kPayloadBits = 59;
  static constexpr std::uint64_t kMaxPayload = (std::uint64_t{1} << kPayloadBits) - 1;

  // Null: nothing is stored.
  constexpr Entry() noexcept = default;

  // Storage. `payload` at most kMaxPayload; `order` 0 or kPmdOrder. Unlocked.
  static constexpr Entry real(std::uint64_t payload, unsigned order) noexcept { return make(payload, order, 0); }
  // A hole, `payload` names the zero page. Unlocked.
  static constexpr Entry zero(std::uint64_t payload, unsigned order) noexcept { return make(payload, order, kZero); }
  // A placeholder. Unlocked; use with_lock().
  static constexpr Entry empty(unsigned order) noexcept { return make(0, order, kEmpty); }
  // "Something smaller is there" (the kernel's XA_RETRY_ENTRY).
  static constexpr Entry retry() noexcept { return Entry(kRetry); }

  [[nodiscard]] constexpr std::uint64_t word() const noexcept { return word_; }
  // A word that word() gave, or, for those who use an index for other things, any word with bit 0 set.
  static constexpr Entry from_word(std::uint64_t word) noexcept { return Entry(word); }

  friend constexpr bool operator==(Entry, Entry) noexcept = default;

  [[nodiscard]] constexpr bool is_null() const noexcept { return word_ == 0; }
  [[nodiscard]] constexpr bool is_value() const noexcept { return (word_ & kValue) != 0; }
  [[nodiscard]] constexpr bool is_retry() const noexcept { return word_ == kRetry; }
  // DAX's name for the same: a smaller entry stands in the way of a PMD.
  [[nodiscard]] constexpr bool is_conflict() const noexcept { return is_retry(); }

  // From here on: of values only.
  [[nodiscard]] constexpr bool locked() const noexcept { return (word_ & kLock) != 0; }
  [[nodiscard]] constexpr Entry with_lock() const noexcept { return Entry(word_ | kLock); }
  [[nodiscard]] constexpr Entry without_lock() const noexcept { return Entry(word_ & ~kLock); }

  // 0 or kPmdOrder.
  [[nodiscard]] constexpr unsigned order() const noexcept { return (word_ & kPmd) != 0 ? kPmdOrder : 0; }
  // Pages covered: 1 or kPagesPerPmd.
  [[nodiscard]] constexpr std::uint64_t pages() const noexcept { return std::uint64_t{1} << order(); }

  [[nodiscard]] constexpr bool is_zero() const noexcept { return is_value() && (word_ & kZero) != 0; }
  [[nodiscard]] constexpr bool is_empty() const noexcept { return is_value() && (word_ & kEmpty) != 0; }
  [[nodiscard]] constexpr bool is_real() const noexcept { return is_value() && (word_ & (kZero | kEmpty)) == 0; }

  [[nodiscard]] constexpr std::uint64_t payload() const noexcept { return word_ >> kPayloadShift; }

 private:
  static constexpr std::uint64_t kValue = 1U << 0;
  static constexpr std::uint64_t kLock = 1U << 1;
  static constexpr std::uint64_t kPmd = 1U << 2;
  static constexpr std::uint64_t kZero = 1U << 3;
  static constexpr std::uint64_t kEmpty = 1U << 4;
  static constexpr unsigned kPayloadShift = 5;
  static constexpr std::uint64_t kRetry = (256U << 2) | 2U;
  static_assert(kPayloadShift + kPayloadBits == 64);

  explicit constexpr Entry(std::uint64_t word) noexcept : word_(word) {}
  static constexpr Entry make(std::uint64_t payload, unsigned order, std::uint64_t kind) noexcept {
    assert(payload <= kMaxPayload && "the payload fits its bits");
    assert((order == 0 || order == kPmdOrder) && "I3");
    return Entry((payload << kPayloadShift) | kind | (order == kPmdOrder ? kPmd : 0) | kValue);
  }

  std::uint64_t word_ = 0;
};
static_assert(sizeof(Entry) == 8 && std::is_trivially_copyable_v<Entry>);

DAXSIM_END
