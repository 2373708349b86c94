// SPDX-License-Identifier: BSD-3-Clause
#include "mm/live_segments.hpp"

#include <cassert>
#include <iterator>

DAXSIM_BEGIN
namespace live {

Segments::~Segments() {
  map_.clear_and_dispose([this](Segment* segment) { arena_.destroy(segment); });
  for (Segment* const spare : spares_) {
    arena_.destroy(spare);
  }
}

const Segment* Segments::find_from(Pgoff page) const noexcept {
  auto after = map_.upper_bound(page);
  if (after != map_.begin()) {
    if (const Segment& before = *std::prev(after); before.pages.contains(page)) {
      return &before;
    }
  }
  return after == map_.end() ? nullptr : &*after;
}

const Segment* Segments::find(Pgoff page) const noexcept {
  const Segment* const segment = find_from(page);
  return segment != nullptr && segment->pages.contains(page) ? segment : nullptr;
}

bool Segments::prepare() noexcept {
  for (Segment*& spare : spares_) {
    if (spare == nullptr) {
      spare = arena_.create<Segment>();
      if (spare == nullptr) {
        return false;
      }
    }
  }
  return true;
}

void Segments::insert(PageRange pages, const Backing& backing) noexcept {
  Segment*& spare = spares_[0] != nullptr ? spares_[0] : spares_[1];
  assert(spare != nullptr && "prepare() was not called");
  spare->pages = pages;
  spare->backing = backing;
  map_.insert(*spare);
  spare = nullptr;
}

void Segments::retire(Segment& segment) noexcept {
  map_.erase(map_.iterator_to(segment));
  for (Segment*& spare : spares_) {
    if (spare == nullptr) {
      spare = &segment;
      return;
    }
  }
  arena_.destroy(&segment);
}

void Segments::set(PageRange pages, const Backing& backing) noexcept {
  PageRange merged = pages;
  // Beginning with a neighbour that only touches on the left, up to one that only touches on the right.
  auto at = map_.upper_bound(pages.first);
  if (at != map_.begin() && std::prev(at)->pages.end() >= pages.first) {
    --at;
  }
  while (at != map_.end() && at->pages.first <= pages.end()) {
    Segment& segment = *at++;
    const PageRange old = segment.pages;
    const Backing old_backing = segment.backing;
    if (backing.kind != Backing::Kind::none && old_backing == backing) {
      const Pgoff first = std::min(merged.first, old.first);
      merged = {first, std::max(merged.end(), old.end()) - first};
      retire(segment);
      continue;
    }
    if (!old.overlaps(pages)) {
      continue;
    }
    const bool left = old.first < pages.first;
    const bool right = old.end() > pages.end();
    if (left) {
      segment.pages.pages = pages.first - old.first;
    }
    if (right && left) {
      insert({pages.end(), old.end() - pages.end()}, old_backing);
    } else if (right) {
      // Its key changes, but not its place in the order.
      segment.pages = {pages.end(), old.end() - pages.end()};
    } else if (!left) {
      retire(segment);
    }
  }
  if (backing.kind != Backing::Kind::none) {
    insert(merged, backing);
  }
}

}  // namespace live
DAXSIM_END
