// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/extents.hpp"

#include <limits>

DAXSIM_BEGIN
namespace extent_fs {

Extent* ExtentTree::make(std::uint64_t logical, std::uint64_t physical, std::uint64_t pages,
                         BlockState state) noexcept {
  auto* const extent = arena_.create<Extent>(logical, physical, static_cast<std::uint32_t>(pages), state);
  if (extent != nullptr) {
    ++count_;
    mapped_pages_ += pages;
  }
  return extent;
}

void ExtentTree::drop(Extent& extent) noexcept {
  --count_;
  mapped_pages_ -= extent.pages;
  arena_.destroy(&extent);
}

ExtentTree::Tree::iterator ExtentTree::covering_or_after(std::uint64_t page) noexcept {
  auto at = extents_.upper_bound(page);
  if (at != extents_.begin()) {
    auto previous = at;
    --previous;
    if (previous->end() > page) {
      return previous;
    }
  }
  return at;
}

const Extent* ExtentTree::find(std::uint64_t page) noexcept {
  if (cached_ != nullptr && page >= cached_->logical && page < cached_->end()) {
    return cached_;
  }
  const auto at = covering_or_after(page);
  if (at == extents_.end() || at->logical > page) {
    return nullptr;
  }
  cached_ = &*at;
  return cached_;
}

const Extent* ExtentTree::at_or_after(std::uint64_t page) noexcept {
  const auto at = covering_or_after(page);
  return at == extents_.end() ? nullptr : &*at;
}

const Extent* ExtentTree::before(std::uint64_t page) noexcept {
  auto at = extents_.lower_bound(page);
  return at == extents_.begin() ? nullptr : &*--at;
}

PageRange ExtentTree::hole_around(std::uint64_t page, std::uint64_t limit) noexcept {
  const Extent* const previous = before(page);
  const Extent* const next = at_or_after(page);
  const std::uint64_t first = previous == nullptr ? 0 : previous->end();
  const std::uint64_t end = next == nullptr ? limit : next->logical;
  return {{first}, end - first};
}

bool ExtentTree::is_hole(PageRange pages) noexcept {
  const Extent* const next = at_or_after(pages.first.value);
  return next == nullptr || next->logical >= pages.end().value;
}

Result<void> ExtentTree::split_at(std::uint64_t page) noexcept {
  const auto at = covering_or_after(page);
  if (at == extents_.end() || at->logical >= page) {
    return {};
  }
  const std::uint64_t tail_pages = at->end() - page;
  Extent* const tail = make(page, at->at(page), tail_pages, at->state);
  if (tail == nullptr) {
    return Errno::enomem;
  }
  at->pages -= static_cast<std::uint32_t>(tail_pages);
  mapped_pages_ -= tail_pages;
  extents_.insert(*tail);
  return {};
}

Result<void> ExtentTree::split_around(PageRange pages) noexcept {
  DAXSIM_TRY_VOID(split_at(pages.first.value));
  if (auto split = split_at(pages.end().value); !split.ok()) {
    join_at(pages.first.value);
    return split;
  }
  return {};
}

void ExtentTree::join_at(std::uint64_t page) noexcept {
  const auto right = extents_.find(page);
  if (right == extents_.end() || right == extents_.begin()) {
    return;
  }
  auto left = right;
  --left;
  if (left->end() != right->logical || left->physical + left->pages != right->physical || left->state != right->state ||
      std::uint64_t{left->pages} + right->pages > std::numeric_limits<std::uint32_t>::max()) {
    return;
  }
  cached_ = nullptr;
  left->pages += right->pages;
  mapped_pages_ += right->pages;
  Extent& joined = *right;
  extents_.erase(right);
  drop(joined);
}

Result<void> ExtentTree::insert(PageRange pages, std::uint64_t physical, BlockState state) noexcept {
  Extent* const extent = make(pages.first.value, physical, pages.pages, state);
  if (extent == nullptr) {
    return Errno::enomem;
  }
  extents_.insert(*extent);
  join_at(pages.end().value);
  join_at(pages.first.value);
  return {};
}

Result<void> ExtentTree::set_state(PageRange pages, BlockState state) noexcept {
  DAXSIM_TRY_VOID(split_around(pages));
  for (auto at = extents_.lower_bound(pages.first.value); at != extents_.end() && at->logical < pages.end().value;
       ++at) {
    at->state = state;
  }
  // Joining erases the right one, so go by page.
  for (const Extent* at = at_or_after(pages.first.value); at != nullptr && at->logical <= pages.end().value;) {
    const std::uint64_t end = at->end();
    join_at(at->logical);
    at = at_or_after(end);
  }
  return {};
}

Result<void> ExtentTree::move(PageRange pages, std::uint64_t physical) noexcept {
  DAXSIM_TRY_VOID(split_around(pages));
  cached_ = nullptr;
  extents_.find(pages.first.value)->physical = physical;
  join_at(pages.end().value);
  join_at(pages.first.value);
  return {};
}

Result<void> ExtentTree::shift_up(std::uint64_t from, std::uint64_t pages) noexcept {
  DAXSIM_TRY_VOID(split_at(from));
  cached_ = nullptr;
  for (auto at = extents_.lower_bound(from); at != extents_.end(); ++at) {
    at->logical += pages;
  }
  return {};
}

void ExtentTree::shift_down(std::uint64_t from, std::uint64_t pages) noexcept {
  cached_ = nullptr;
  for (auto at = extents_.lower_bound(from); at != extents_.end(); ++at) {
    at->logical -= pages;
  }
  join_at(from - pages);
}

void ExtentTree::clear() noexcept {
  cached_ = nullptr;
  extents_.clear_and_dispose([this](Extent* extent) { drop(*extent); });
}

}  // namespace extent_fs
DAXSIM_END
