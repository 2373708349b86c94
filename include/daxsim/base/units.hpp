// SPDX-License-Identifier: BSD-3-Clause
// Units that do not mix: page offsets in a file or device (Pgoff), page frame numbers of a machine (Pfn), page ranges,
// byte ranges. All pages are 4 KiB; a PMD is 512 pages (2 MiB), as on x86-64 (F2.2).
#pragma once

#include <algorithm>
#include <compare>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

inline constexpr unsigned kPageShift = 12;
inline constexpr std::uint64_t kPageSize = std::uint64_t{1} << kPageShift;
inline constexpr unsigned kPmdOrder = 9;
inline constexpr std::uint64_t kPagesPerPmd = std::uint64_t{1} << kPmdOrder;
inline constexpr std::uint64_t kPmdSize = kPagesPerPmd * kPageSize;
inline constexpr std::uint64_t kCacheLine = 64;
inline constexpr std::uint64_t kSectorSize = 512;

// A number of one kind. Adding pages keeps the kind; the difference of two is a plain number of pages.
template <class Tag>
struct Ordinal {
  std::uint64_t value = 0;

  friend constexpr auto operator<=>(const Ordinal&, const Ordinal&) = default;
  friend constexpr Ordinal operator+(Ordinal a, std::uint64_t pages) noexcept { return {a.value + pages}; }
  friend constexpr Ordinal operator-(Ordinal a, std::uint64_t pages) noexcept { return {a.value - pages}; }
  friend constexpr std::uint64_t operator-(Ordinal a, Ordinal b) noexcept { return a.value - b.value; }
};

// Page offset within a file, a device or an address space.
using Pgoff = Ordinal<struct PgoffTag>;
// Page frame number: the physical page of one machine.
using Pfn = Ordinal<struct PfnTag>;

constexpr Pgoff page_of(std::uint64_t byte) noexcept { return {byte >> kPageShift}; }
constexpr std::uint64_t byte_of(Pgoff page) noexcept { return page.value << kPageShift; }
constexpr Pgoff pmd_start(Pgoff page) noexcept { return {page.value & ~(kPagesPerPmd - 1)}; }
constexpr std::uint64_t pages_for(std::uint64_t bytes) noexcept {
  return (bytes >> kPageShift) + ((bytes & (kPageSize - 1)) != 0 ? 1 : 0);
}
constexpr std::uint64_t round_down(std::uint64_t value, std::uint64_t power_of_two) noexcept {
  return value & ~(power_of_two - 1);
}
constexpr std::uint64_t round_up(std::uint64_t value, std::uint64_t power_of_two) noexcept {
  return (value + power_of_two - 1) & ~(power_of_two - 1);
}

// Half-open range of pages [first, first + pages).
struct PageRange {
  Pgoff first;
  std::uint64_t pages = 0;

  friend constexpr bool operator==(const PageRange&, const PageRange&) = default;
  [[nodiscard]] constexpr Pgoff end() const noexcept { return first + pages; }
  [[nodiscard]] constexpr bool empty() const noexcept { return pages == 0; }
  [[nodiscard]] constexpr bool contains(Pgoff page) const noexcept { return page >= first && page < end(); }
  [[nodiscard]] constexpr bool overlaps(PageRange other) const noexcept {
    return first < other.end() && other.first < end();
  }
  // The part of this range inside `other`; empty when they do not overlap.
  [[nodiscard]] constexpr PageRange clip(PageRange other) const noexcept {
    const Pgoff low = std::max(first, other.first);
    const Pgoff high = std::min(end(), other.end());
    return {low, high > low ? high - low : 0};
  }
};
inline constexpr PageRange kAllPages{{0}, ~std::uint64_t{0}};

// Half-open range of bytes [offset, offset + length).
struct ByteRange {
  std::uint64_t offset = 0;
  std::uint64_t length = 0;

  friend constexpr bool operator==(const ByteRange&, const ByteRange&) = default;
  [[nodiscard]] constexpr std::uint64_t end() const noexcept { return offset + length; }
};
// The pages that a byte range touches; an empty range touches none.
constexpr PageRange pages_of(ByteRange bytes) noexcept {
  const Pgoff first = page_of(bytes.offset);
  return {first, bytes.length == 0 ? 0 : page_of(bytes.end() - 1) - first + 1};
}

enum class Access : std::uint8_t { read, write };

namespace literals {
constexpr std::uint64_t operator""_KiB(unsigned long long n) noexcept { return n << 10; }
constexpr std::uint64_t operator""_MiB(unsigned long long n) noexcept { return n << 20; }
constexpr std::uint64_t operator""_GiB(unsigned long long n) noexcept { return n << 30; }
constexpr std::uint64_t operator""_TiB(unsigned long long n) noexcept { return n << 40; }
}  // namespace literals

DAXSIM_END
