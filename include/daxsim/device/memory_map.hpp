// SPDX-License-Identifier: BSD-3-Clause
// MemoryMap: which attachment a page frame number belongs to. PFNs are handed out upwards and never reused unless asked
// for by number, so a stale PFN stays recognisable. Threads: any; lookups are allowed in the fault path.
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
  static constexpr Pfn kFirst{0x48000};  // 2 MiB aligned, above the zero pages

  // Reserves `pages` frames, PMD aligned, or exactly at `at`. Errors: Errno::ebusy (`at` overlaps a live range),
  // Errno::einval (`at` is not PMD aligned), Errno::enospc (kMaxRanges).
  Result<Pfn> reserve(std::uint64_t pages, std::optional<Pfn> at = {}) noexcept;
  // Makes the range resolvable / not resolvable any more (its frames stay reserved).
  void bind(Pfn first, Attachment& attachment) noexcept;
  void unbind(Pfn first) noexcept;

  struct Place {
    Attachment* attachment = nullptr;  // null: no such memory
    Pgoff page;                        // device page
  };
  [[nodiscard]] Place find(Pfn pfn) noexcept;

 private:
  struct Range {
    Pfn first;
    std::uint64_t pages = 0;
    Attachment* attachment = nullptr;
  };
  Mutex lock_{LockRank::media};
  std::array<Range, kMaxRanges> ranges_ DAXSIM_GUARDED_BY(lock_) = {};
  unsigned used_ DAXSIM_GUARDED_BY(lock_) = 0;
  Pfn next_ DAXSIM_GUARDED_BY(lock_) = kFirst;
};

DAXSIM_END
