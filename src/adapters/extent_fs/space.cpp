// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/space.hpp"

#include <algorithm>
#include <bit>
#include <limits>

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

Result<Space> Space::create(std::uint64_t blocks, std::uint64_t first_data, Reflink reflink) {
  Space space(blocks, first_data);
  space.groups_ = (blocks + kPagesPerPmd - 1) / kPagesPerPmd;
  const std::size_t words = space.groups_ * (kPagesPerPmd / kWordBits);
  space.used_ = make_zeroed<std::uint64_t>(words);
  space.used_in_group_ = make_zeroed<std::uint16_t>(space.groups_);
  bool complete = space.used_ != nullptr && space.used_in_group_ != nullptr;
  const auto reserve = [&](Deferred& deferred) {
    deferred.bits = make_zeroed<std::uint64_t>(words);
    complete &= deferred.bits != nullptr;
  };
  std::ranges::for_each(space.deferred_, reserve);
  if (reflink == Reflink::yes) {
    space.more_owners_ = make_zeroed<std::uint32_t>(blocks);
    complete &= space.more_owners_ != nullptr;
    std::ranges::for_each(space.parted_, reserve);
  }
  if (!complete) {
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

void Space::Deferred::add(PageRange these) noexcept {
  for (std::uint64_t page = these.first.value; page < these.end().value;) {
    const WordPart part = part_of(page, these.end().value);
    bits[part.word] |= part.mask;
    low_word = std::min(low_word, part.word);
    high_word = std::max(high_word, part.word + 1);
    page = part.end;
  }
  pages += these.pages;
}

bool Space::Deferred::contains(std::uint64_t page) const noexcept {
  return (bits[page / kWordBits] >> (page % kWordBits) & 1) != 0;
}

template <class Ripe>
void Space::Deferred::drain(Ripe ripe) noexcept {
  for (std::uint64_t word = low_word; word < high_word; ++word) {
    for (std::uint64_t left = bits[word]; left != 0;) {
      const auto from = static_cast<unsigned>(std::countr_zero(left));
      const auto count = static_cast<unsigned>(std::countr_one(left >> from));
      const PageRange run{{word * kWordBits + from}, count};
      ripe(run);
      left &= ~part_of(run.first.value, run.end().value).mask;
    }
    bits[word] = 0;
  }
  pages = 0;
  low_word = ~std::uint64_t{0};
  high_word = 0;
}

void Space::defer(PageRange pages) noexcept { deferred_[0].add(pages); }

// --- owners ---

bool Space::is_used(std::uint64_t page) const noexcept {
  return (used_[page / kWordBits] >> (page % kWordBits) & 1) != 0;
}

bool Space::is_shared(std::uint64_t page) const noexcept {
  return more_owners_[page] != 0 || parted_[0].contains(page) || parted_[1].contains(page);
}

std::optional<std::uint64_t> Space::owned_pages(PageRange pages) const noexcept {
  if (pages.empty() || pages.first.value < first_data_ || pages.first.value >= blocks_ ||
      pages.pages > blocks_ - pages.first.value) {
    return {};
  }
  if (!shares()) {
    return run_length(pages.first.value, pages.pages) == pages.pages ? std::optional<std::uint64_t>(0) : std::nullopt;
  }
  std::uint64_t owned = 0;
  for (std::uint64_t page = pages.first.value; page < pages.end().value; ++page) {
    if (!is_used(page)) {
      continue;
    }
    if (deferred_[0].contains(page) || deferred_[1].contains(page) ||
        more_owners_[page] == std::numeric_limits<std::uint32_t>::max()) {
      return {};
    }
    ++owned;
  }
  return owned;
}

void Space::add_owner(PageRange pages) noexcept {
  if (!shares()) {
    return set(pages);
  }
  for (std::uint64_t page = pages.first.value; page < pages.end().value; ++page) {
    if (is_used(page)) {
      ++more_owners_[page];
    } else {
      set({{page}, 1});
    }
  }
}

std::uint64_t Space::drop_owner(PageRange pages) noexcept {
  if (!shares()) {
    defer(pages);
    return 0;
  }
  std::uint64_t left = 0;
  for (std::uint64_t page = pages.first.value; page < pages.end().value; ++page) {
    if (more_owners_[page] == 0) {
      defer({{page}, 1});
    } else {
      --more_owners_[page];
      ++left;
      if (!parted_[0].contains(page)) {
        parted_[0].add({{page}, 1});
      }
    }
  }
  return left;
}

Space::Sharing Space::sharing(std::uint64_t first, std::uint64_t most) const noexcept {
  if (!shares()) {
    return {.pages = most};
  }
  const bool shared = is_shared(first);
  std::uint64_t pages = 1;
  while (pages < most && is_shared(first + pages) == shared) {
    ++pages;
  }
  return {.shared = shared, .pages = pages};
}

void Space::checkpointed() noexcept {
  deferred_[1].drain([this](PageRange run) { clear(run); });
  std::swap(deferred_[0], deferred_[1]);
  if (shares()) {
    parted_[1].drain([](PageRange) {});
    std::swap(parted_[0], parted_[1]);
  }
}

}  // namespace extent_fs
DAXSIM_END
