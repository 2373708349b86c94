// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/memory_map.hpp"

#include <algorithm>

#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace {

constexpr bool pmd_aligned(Pfn pfn) noexcept { return pfn.value % kPagesPerPmd == 0; }

// What a range takes from the frame numbers: its last PMD is its own, so that every range can start on one.
constexpr std::uint64_t frames_for(std::uint64_t pages) noexcept { return round_up(pages, kPagesPerPmd); }

}  // namespace

Result<Pfn> MemoryMap::reserve(std::uint64_t pages, std::optional<Pfn> at) noexcept {
  if (pages == 0 || pages > kEnd - kFirst) {
    return Errno::einval;
  }
  const std::uint64_t frames = frames_for(pages);
  if (at && (!pmd_aligned(*at) || *at < kFirst || *at > kEnd || frames > kEnd - *at)) {
    return Errno::einval;
  }
  const MutexLock guard(lock_);
  const Pfn first = at.value_or(next_);
  for (unsigned i = 0; i < used_; ++i) {
    const Range& other = ranges_[i];
    if (first < other.first + frames_for(other.pages) && other.first < first + frames) {
      return Errno::ebusy;
    }
  }
  if (used_ == kMaxRanges || frames > kEnd - first) {
    return Errno::enospc;
  }
  ranges_[used_++] = {.first = first, .pages = pages, .attachment = nullptr};
  next_ = std::max(next_, first + frames);
  return first;
}

void MemoryMap::bind(Pfn first, Attachment& attachment) noexcept {
  const MutexLock guard(lock_);
  for (unsigned i = 0; i < used_; ++i) {
    if (ranges_[i].first == first) {
      ranges_[i].attachment = &attachment;
    }
  }
}

void MemoryMap::unbind(Pfn first) noexcept {
  const MutexLock guard(lock_);
  for (unsigned i = 0; i < used_; ++i) {
    if (ranges_[i].first == first) {
      ranges_[i] = ranges_[--used_];
      return;
    }
  }
}

MemoryMap::Place MemoryMap::find(Pfn pfn) noexcept {
  const MutexLock guard(lock_);
  for (unsigned i = 0; i < used_; ++i) {
    const Range& range = ranges_[i];
    if (pfn >= range.first && pfn < range.first + range.pages) {
      return range.attachment == nullptr ? Place{} : Place{range.attachment, {pfn - range.first}};
    }
  }
  return {};
}

MemoryMap::Place MemoryMap::find_kaddr(std::uintptr_t kaddr) noexcept {
  const MutexLock guard(lock_);
  for (unsigned i = 0; i < used_; ++i) {
    Attachment* const attachment = ranges_[i].attachment;
    if (attachment == nullptr) {
      continue;
    }
    if (const std::optional<Pgoff> page = attachment->view().page_at(kaddr); page.has_value()) {
      return {attachment, *page};
    }
  }
  return {};
}

Attachment* MemoryMap::find_minor(std::uint32_t minor) noexcept {
  const MutexLock guard(lock_);
  for (unsigned i = 0; i < used_; ++i) {
    Attachment* const attachment = ranges_[i].attachment;
    if (attachment != nullptr && minor_of(attachment->dev()) == minor) {
      return attachment;
    }
  }
  return nullptr;
}

DAXSIM_END
