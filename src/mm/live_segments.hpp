// SPDX-License-Identifier: BSD-3-Clause
// Segments: which file pages of a live mapping are laid on the host, and with what. A map from page ranges to backings.
//
// Memory comes from the fault-path arena. Threads: serialised by the owner.
//
// I1 Segments do not overlap, and neighbours with the same backing are one.
#pragma once

#include <boost/intrusive/set.hpp>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace live {

// What file page p of a segment is: memory at kaddr + p * 4096, page frame pfn + p. Both origins wrap around. Addresses
// and frames of dead devices are not used again, so an equal backing is the same memory.
struct Backing {
  enum class Kind : std::uint8_t { none, memory, zeros, anonymous };
  Kind kind = Kind::none;
  std::uint64_t kaddr = 0;
  std::uint64_t pfn = 0;

  static Backing memory(Pgoff page, const std::byte* at, Pfn frame) noexcept {
    return {Kind::memory, reinterpret_cast<std::uintptr_t>(at) - byte_of(page), frame.value - page.value};
  }
  [[nodiscard]] std::byte* kaddr_of(Pgoff page) const noexcept {
    return reinterpret_cast<std::byte*>(kaddr + byte_of(page));
  }
  [[nodiscard]] Pfn pfn_of(Pgoff page) const noexcept { return {pfn + page.value}; }
  friend bool operator==(const Backing&, const Backing&) = default;
};

struct Segment : boost::intrusive::set_base_hook<boost::intrusive::link_mode<boost::intrusive::normal_link>> {
  PageRange pages;
  Backing backing;
};

class Segments {
 public:
  explicit Segments(Arena& arena) noexcept : arena_(arena) {}
  ~Segments();
  Segments(const Segments&) = delete;
  Segments& operator=(const Segments&) = delete;

  // The segment that `page` is in, or null.
  [[nodiscard]] const Segment* find(Pgoff page) const noexcept;
  // The segment that `page` is in, else the first one after it, else null.
  [[nodiscard]] const Segment* find_from(Pgoff page) const noexcept;
  // Makes sure that the next set() has the memory it may need. False: there is none.
  [[nodiscard]] bool prepare() noexcept;
  // From now on `pages` have this backing (Kind::none: none). Wants prepare() before.
  void set(PageRange pages, const Backing& backing) noexcept;

  [[nodiscard]] std::size_t size() const noexcept { return map_.size(); }

 private:
  struct ByFirst {
    using type = Pgoff;  // NOLINT(readability-identifier-naming): Boost.Intrusive asks for it
    Pgoff operator()(const Segment& segment) const noexcept { return segment.pages.first; }
  };
  using Map = boost::intrusive::set<Segment, boost::intrusive::key_of_value<ByFirst>>;
  static constexpr unsigned kSpares = 2;  // what one set() may need: the new one, and a second piece of one it cuts

  void insert(PageRange pages, const Backing& backing) noexcept;
  void retire(Segment& segment) noexcept;

  Arena& arena_;
  Map map_;
  Segment* spares_[kSpares] = {};
};

}  // namespace live
DAXSIM_END
