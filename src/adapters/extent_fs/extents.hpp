// SPDX-License-Identifier: BSD-3-Clause
// ExtentTree: at which addresses a file's pages are (chunks.hpp), counted from the beginning of its group. Memory comes
// from the arena, so it works in the fault path.
//
// Threads: the caller's lock. A call that fails leaves the tree as it was.
//
// I1 Extents do not overlap in the file, and none is empty.
// I2 Neighbours that continue each other in file, address and state are one extent, as far as 32 bits of length reach.
#pragma once

#include <boost/intrusive/avl_set.hpp>
#include <cstdint>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace extent_fs {

enum class BlockState : std::uint8_t {
  written,    // holds data
  unwritten,  // reads as zeros, whatever the block holds
};

struct Extent : boost::intrusive::avl_set_base_hook<boost::intrusive::optimize_size<true>> {
  Extent(std::uint64_t first, std::uint64_t address, std::uint32_t length, BlockState block_state) noexcept
      : logical(first), physical(address), pages(length), state(block_state) {}

  std::uint64_t logical;   // file page
  std::uint64_t physical;  // address
  std::uint32_t pages;
  BlockState state;

  [[nodiscard]] std::uint64_t end() const noexcept { return logical + pages; }
  [[nodiscard]] PageRange range() const noexcept { return {{logical}, pages}; }
  // The address of a file page inside.
  [[nodiscard]] std::uint64_t at(std::uint64_t page) const noexcept { return physical + (page - logical); }
};

class ExtentTree {
 public:
  explicit ExtentTree(Arena& arena) noexcept : arena_(arena) {}
  ~ExtentTree() { clear(); }
  ExtentTree(const ExtentTree&) = delete;
  ExtentTree& operator=(const ExtentTree&) = delete;

  // The extent that covers `page`; null for a hole.
  [[nodiscard]] const Extent* find(std::uint64_t page) noexcept;
  // The first extent that ends after `page`, or null.
  [[nodiscard]] const Extent* at_or_after(std::uint64_t page) noexcept;
  // The last extent that begins before `page`, or null.
  [[nodiscard]] const Extent* before(std::uint64_t page) noexcept;
  // The hole around a page that no extent covers; ends at `limit` when nothing follows.
  [[nodiscard]] PageRange hole_around(std::uint64_t page, std::uint64_t limit) noexcept;
  [[nodiscard]] bool is_hole(PageRange pages) noexcept;

  [[nodiscard]] std::uint64_t count() const noexcept { return count_; }
  [[nodiscard]] std::uint64_t mapped_pages() const noexcept { return mapped_pages_; }
  [[nodiscard]] std::uint64_t end() const noexcept { return extents_.empty() ? 0 : extents_.crbegin()->end(); }
  [[nodiscard]] auto begin_extents() const noexcept { return extents_.cbegin(); }
  [[nodiscard]] auto end_extents() const noexcept { return extents_.cend(); }

  // `pages` is a hole of fewer than 2^32 pages. Errors: Errno::enomem.
  Result<void> insert(PageRange pages, std::uint64_t physical, BlockState state) noexcept;
  // Every extent in `pages`; holes stay holes. Errors: Errno::enomem.
  Result<void> set_state(PageRange pages, BlockState state) noexcept;
  // The pages, all of one extent, are at `physical` from now on. Errors: Errno::enomem.
  Result<void> move(PageRange pages, std::uint64_t physical) noexcept;
  // Makes `pages` a hole and calls `freed(PageRange addresses)` for each piece. Errors: Errno::enomem.
  template <class Freed>
  Result<void> remove(PageRange pages, Freed&& freed) noexcept {
    DAXSIM_TRY_VOID(split_around(pages));
    cached_ = nullptr;
    auto at = extents_.lower_bound(pages.first.value);
    while (at != extents_.end() && at->logical < pages.end().value) {
      Extent& extent = *at;
      freed(PageRange{{extent.physical}, extent.pages});
      at = extents_.erase(at);
      drop(extent);
    }
    return {};
  }
  // The pages, fewer than 2^32, are at `physical` from now on, written; calls `freed(PageRange addresses)` for each piece
  // of what was there. Errors: Errno::enomem.
  template <class Freed>
  Result<void> replace(PageRange pages, std::uint64_t physical, Freed&& freed) noexcept {
    DAXSIM_TRY_VOID(split_around(pages));
    Extent* const extent = make(pages.first.value, physical, pages.pages, BlockState::written);
    if (extent == nullptr) {
      join_at(pages.end().value);
      join_at(pages.first.value);
      return Errno::enomem;
    }
    [[maybe_unused]] const Result<void> removed = remove(pages, freed);  // nothing is left to split
    extents_.insert(*extent);
    join_at(pages.end().value);
    join_at(pages.first.value);
    return {};
  }
  // Moves everything from page `from` on up by `pages`. Errors: Errno::enomem.
  Result<void> shift_up(std::uint64_t from, std::uint64_t pages) noexcept;
  // Moves everything from page `from` on down by `pages`; [from - pages, from) is a hole.
  void shift_down(std::uint64_t from, std::uint64_t pages) noexcept;
  void clear() noexcept;

 private:
  struct ByLogical {
    using type = std::uint64_t;  // NOLINT(readability-identifier-naming): Boost.Intrusive asks for it
    const type& operator()(const Extent& extent) const noexcept { return extent.logical; }
  };
  using Tree = boost::intrusive::avl_set<Extent, boost::intrusive::key_of_value<ByLogical>>;

  Extent* make(std::uint64_t logical, std::uint64_t physical, std::uint64_t pages, BlockState state) noexcept;
  void drop(Extent& extent) noexcept;
  [[nodiscard]] Tree::iterator covering_or_after(std::uint64_t page) noexcept;
  Result<void> split_at(std::uint64_t page) noexcept;
  Result<void> split_around(PageRange pages) noexcept;
  // Joins the extents that meet at `page` when they continue each other.
  void join_at(std::uint64_t page) noexcept;

  Arena& arena_;
  Tree extents_;
  Extent* cached_ = nullptr;  // the last one found: faults come in runs
  std::uint64_t count_ = 0;
  std::uint64_t mapped_pages_ = 0;
};

}  // namespace extent_fs
DAXSIM_END
