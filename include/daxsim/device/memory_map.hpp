// SPDX-License-Identifier: BSD-3-Clause
// MemoryMap: which attachment a page frame number belongs to. PFNs are handed out upwards and never reused unless asked
// for by number, so a stale PFN stays recognisable.
//
// I1 Live ranges (reserved and not unbound) do not overlap, and each owns whole PMDs.
// I2 reserve() without a number answers frames that no range ever had.
//
// Threads: any. Every call takes the lock of rank media, never waits, and is allowed in the fault path.
#pragma once

#include <array>
#include <cstdint>
#include <optional>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Attachment;

class MemoryMap {
 public:
  static constexpr unsigned kMaxRanges = 64;
  static constexpr Pfn kFirst{0x48000};               // 2 MiB aligned, above the zero pages
  static constexpr Pfn kEnd{std::uint64_t{1} << 40};  // 52 bits of physical address

  // Reserves `pages` frames, PMD aligned, or exactly at `at`; they resolve to nothing until bind().
  // Errors: Errno::ebusy (`at` overlaps a live range), Errno::einval (`at` is not PMD aligned or the range is not
  // between kFirst and kEnd; pages is 0 or more than that), Errno::enospc (kMaxRanges live ranges, or no frames left
  // above).
  Result<Pfn> reserve(std::uint64_t pages, std::optional<Pfn> at = {}) noexcept;
  // Makes the range that reserve() answered `first` for resolvable.
  void bind(Pfn first, Attachment& attachment) noexcept;
  // Ends the range: it resolves to nothing, and only reserve(at) hands out its frames again. Unknown ranges are fine.
  void unbind(Pfn first) noexcept;

  struct Place {
    Attachment* attachment = nullptr;  // null: no such memory
    Pgoff page{};                      // device page
  };
  [[nodiscard]] Place find(Pfn pfn) noexcept;
  // The same for a kernel address.
  [[nodiscard]] Place find_kaddr(std::uintptr_t kaddr) noexcept;
  // The device with this minor number (Attachment::dev); null: there is none, or no more.
  [[nodiscard]] Attachment* find_minor(std::uint32_t minor) noexcept;

 private:
  struct Range {
    Pfn first{};
    std::uint64_t pages = 0;  // of the device; the rest of the last PMD resolves to nothing
    Attachment* attachment = nullptr;
  };
  Mutex lock_{LockRank::media};
  std::array<Range, kMaxRanges> ranges_ DAXSIM_GUARDED_BY(lock_) = {};
  unsigned used_ DAXSIM_GUARDED_BY(lock_) = 0;
  Pfn next_ DAXSIM_GUARDED_BY(lock_) = kFirst;
};

DAXSIM_END
