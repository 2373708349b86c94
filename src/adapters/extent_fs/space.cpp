// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/space.hpp"

#include <algorithm>
#include <bit>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

constexpr std::uint64_t kWordBits = 64;

// The bits of `pages` that lie in the word of `page`, and the first page after that word.
struct WordPart {
  std::uint64_t word;
  std::uint64_t mask;
  std::uint64_t end;
};
WordPart part_of(std::uint64_t page, std::uint64_t end) noexcept {
  const std::uint64_t word = page / kWordBits;
  const std::uint64_t from = page % kWordBits;
  const std::uint64_t count = std::min(end - page, kWordBits - from);
  const std::uint64_t ones = count == kWordBits ? ~std::uint64_t{0} : (std::uint64_t{1} << count) - 1;
  return {word, ones << from, page + count};
}

}  // namespace

Result<Space> Space::create(std::uint64_t blocks, std::uint64_t first_data) {
  Space space(blocks, first_data);
  space.groups_ = (blocks + kPagesPerPmd - 1) / kPagesPerPmd;
  const std::size_t words = space.groups_ * (kPagesPerPmd / kWordBits);
  space.used_ = make_zeroed<std::uint64_t>(words);
  space.used_in_group_ = make_zeroed<std::uint16_t>(space.groups_);
  for (Deferred& deferred : space.deferred_) {
    deferred.bits = make_zeroed<std::uint64_t>(words);
  }
  if (space.used_ == nullptr || space.used_in_group_ == nullptr || space.deferred_[0].bits == nullptr ||
      space.deferred_[1].bits == nullptr) {
    return Errno::enomem;
  }
  space.free_ = space.groups_ * kPagesPerPmd;
  space.free_groups_ = space.groups_;
  space.set({{0}, first_data});
  space.set({{blocks}, space.groups_ * kPagesPerPmd - blocks});
  return space;
}

void Space::set(PageRange pages) noexcept {
  for (std::uint64_t page = pages.first.value; page < pages.end().value;) {
    const WordPart part = part_of(page, pages.end().value);
    used_[part.word] |= part.mask;
    std::uint16_t& used = used_in_group_[page / kPagesPerPmd];
    free_groups_ -= used == 0 ? 1 : 0;
    used = static_cast<std::uint16_t>(used + (part.end - page));
    page = part.end;
  }
  free_ -= pages.pages;
}

void Space::clear(PageRange pages) noexcept {
  for (std::uint64_t page = pages.first.value; page < pages.end().value;) {
    const WordPart part = part_of(page, pages.end().value);
    used_[part.word] &= ~part.mask;
    std::uint16_t& used = used_in_group_[page / kPagesPerPmd];
    used = static_cast<std::uint16_t>(used - (part.end - page));
    free_groups_ += used == 0 ? 1 : 0;
    first_not_full_ = std::min(first_not_full_, page / kPagesPerPmd);
    page = part.end;
  }
  free_ += pages.pages;
}

std::uint64_t Space::run_length(std::uint64_t first, std::uint64_t most) const noexcept {
  const std::uint64_t end = first + std::min(most, blocks_ - first);
  std::uint64_t page = first;
  while (page < end) {
    const WordPart part = part_of(page, end);
    const std::uint64_t taken = used_[part.word] & part.mask;
    if (taken != 0) {
      page = part.word * kWordBits + static_cast<unsigned>(std::countr_zero(taken));
      break;
    }
    page = part.end;
  }
  return page - first;
}

PageRange Space::take_at(std::uint64_t first, std::uint64_t most) noexcept {
  if (first < first_data_ || first >= blocks_) {
    return {};
  }
  const PageRange run{{first}, run_length(first, most)};
  set(run);
  return run;
}

std::optional<std::uint64_t> Space::find_group() noexcept {
  if (free_groups_ == 0) {
    return {};
  }
  while (used_in_group_[next_group_] != 0) {
    next_group_ = (next_group_ + 1) % groups_;
  }
  return next_group_ * kPagesPerPmd;
}

PageRange Space::take_groups(std::uint64_t most) noexcept {
  const std::optional<std::uint64_t> first = find_group();
  if (!first || most < kPagesPerPmd) {
    return {};
  }
  std::uint64_t pages = kPagesPerPmd;
  while (pages + kPagesPerPmd <= most) {
    const std::uint64_t group = (*first + pages) / kPagesPerPmd;
    if (group == groups_ || used_in_group_[group] != 0) {
      break;
    }
    pages += kPagesPerPmd;
  }
  const PageRange run{{*first}, pages};
  set(run);
  return run;
}

std::uint64_t Space::next_free(std::uint64_t page) const noexcept {
  while (page < blocks_) {
    if (page % kPagesPerPmd == 0 && used_in_group_[page / kPagesPerPmd] == kPagesPerPmd) {
      page += kPagesPerPmd;
      continue;
    }
    const std::uint64_t free = ~used_[page / kWordBits] & (~std::uint64_t{0} << (page % kWordBits));
    if (free != 0) {
      return round_down(page, kWordBits) + static_cast<unsigned>(std::countr_zero(free));
    }
    page = round_down(page, kWordBits) + kWordBits;
  }
  return blocks_;
}

std::uint64_t Space::first_free() noexcept {
  while (first_not_full_ < groups_ && used_in_group_[first_not_full_] == kPagesPerPmd) {
    ++first_not_full_;
  }
  return next_free(first_not_full_ * kPagesPerPmd);
}

PageRange Space::take_any(std::uint64_t most) noexcept {
  PageRange best;
  for (std::uint64_t page = first_free(); page < blocks_ && best.pages < most; page = next_free(page)) {
    const std::uint64_t length = run_length(page, most);
    if (length > best.pages) {
      best = {{page}, length};
    }
    page += length;
  }
  set(best);
  return best;
}

bool Space::take(PageRange pages) noexcept {
  if (pages.empty() || pages.first.value < first_data_ || pages.first.value >= blocks_ ||
      run_length(pages.first.value, pages.pages) != pages.pages) {
    return false;
  }
  set(pages);
  return true;
}

void Space::untake(PageRange pages) noexcept { clear(pages); }

void Space::defer(PageRange pages) noexcept {
  Deferred& deferred = deferred_[0];
  for (std::uint64_t page = pages.first.value; page < pages.end().value;) {
    const WordPart part = part_of(page, pages.end().value);
    deferred.bits[part.word] |= part.mask;
    deferred.low_word = std::min(deferred.low_word, part.word);
    deferred.high_word = std::max(deferred.high_word, part.word + 1);
    page = part.end;
  }
  deferred.pages += pages.pages;
}

void Space::checkpointed() noexcept {
  Deferred& ripe = deferred_[1];
  for (std::uint64_t word = ripe.low_word; word < ripe.high_word; ++word) {
    for (std::uint64_t bits = ripe.bits[word]; bits != 0;) {
      const auto from = static_cast<unsigned>(std::countr_zero(bits));
      const auto count = static_cast<unsigned>(std::countr_one(bits >> from));
      const PageRange run{{word * kWordBits + from}, count};
      clear(run);
      bits &= ~part_of(run.first.value, run.end().value).mask;
    }
    ripe.bits[word] = 0;
  }
  ripe.pages = 0;
  ripe.low_word = ~std::uint64_t{0};
  ripe.high_word = 0;
  std::swap(deferred_[0], deferred_[1]);
}

}  // namespace extent_fs
DAXSIM_END
