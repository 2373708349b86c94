// SPDX-License-Identifier: BSD-3-Clause
#include "composite_view.hpp"

#include <algorithm>

#include "outcomes.hpp"

DAXSIM_BEGIN
namespace sim {

Targets::Place Targets::find(Pgoff page) const noexcept {
  if (chunk_ != 0) {
    const std::uint64_t number = page.value / chunk_;
    const std::uint64_t behind = page.value % chunk_;
    return {
        .part = number % starts_.size(), .page = {number / starts_.size() * chunk_ + behind}, .pages = chunk_ - behind};
  }
  const auto next = std::ranges::upper_bound(starts_, page);
  const Pgoff end = next == starts_.end() ? Pgoff{pages_} : *next;
  return {
      .part = static_cast<std::size_t>(next - starts_.begin()) - 1, .page = {page - *(next - 1)}, .pages = end - page};
}

Pgoff Targets::page_of(std::size_t part, Pgoff page) const noexcept {
  if (chunk_ != 0) {
    return {(page.value / chunk_ * starts_.size() + part) * chunk_ + page.value % chunk_};
  }
  return starts_[part] + page.value;
}

// Calls visit(view, bytes) for what of the range is on each part, in order, until one fails.
template <class Visit>
Result<void> CompositeView::for_each_piece(ByteRange bytes, Visit visit) const {
  for (std::uint64_t done = 0; done < bytes.length;) {
    const std::uint64_t offset = bytes.offset + done;
    const Targets::Place place = targets_.find(page_of(offset));
    const std::uint64_t in_page = offset % kPageSize;
    const std::uint64_t length = std::min(bytes.length - done, (place.pages << kPageShift) - in_page);
    DAXSIM_TRY_VOID(visit(*parts_[place.part], ByteRange{byte_of(place.page) + in_page, length}));
    done += length;
  }
  return {};
}

Result<Memory> CompositeView::direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept {
  const Targets::Place place = targets_.find(page);
  return parts_[place.part]->direct_access(place.page, std::min(pages, place.pages), mode);
}

std::optional<Pgoff> CompositeView::page_at(std::uintptr_t kaddr) const noexcept {
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    if (const std::optional<Pgoff> page = parts_[part]->page_at(kaddr); page.has_value()) {
      return targets_.page_of(part, *page);
    }
  }
  return std::nullopt;
}

Result<void> CompositeView::flush(ByteRange bytes) noexcept {
  return for_each_piece(bytes, [](DaxDevice& part, ByteRange piece) { return part.flush(piece); });
}

std::uint64_t CompositeView::dirty_lines(ByteRange bytes) noexcept {
  std::uint64_t lines = 0;
  [[maybe_unused]] const Result<void> counted =
      for_each_piece(bytes, [&lines](DaxDevice& part, ByteRange piece) -> Result<void> {
        lines += part.dirty_lines(piece);
        return {};
      });
  return lines;
}

void CompositeView::fence() noexcept {
  for (const auto& part : parts_) {
    part->fence();
  }
}

std::vector<LineHistory> CompositeView::pending_lines() {
  std::vector<LineHistory> lines;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    for (LineHistory line : parts_[part]->pending_lines()) {
      line.offset = byte_of(targets_.page_of(part, page_of(line.offset))) + line.offset % kPageSize;
      lines.push_back(line);
    }
  }
  std::ranges::sort(lines, {}, &LineHistory::offset);
  return lines;
}

// The outcomes are chosen over all lines, so that the same seed means the same on any composite of these bytes; each part
// is told its own.
Result<PowerCutReport> CompositeView::power_cut(const PowerCut& choice) {
  const std::vector<LineHistory> pending = pending_lines();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(pending, choice));
  std::vector<PowerCut> own(parts_.size(), PowerCut{.kind = PowerCut::Kind::listed});
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const Targets::Place place = targets_.find(page_of(pending[i].offset));
    own[place.part].lines.push_back({byte_of(place.page) + pending[i].offset % kPageSize, chosen[i]});
  }
  PowerCutReport report;
  for (std::size_t part = 0; part < parts_.size(); ++part) {
    DAXSIM_TRY(const PowerCutReport of_part, parts_[part]->power_cut(own[part]));
    report.unfenced_lines += of_part.unfenced_lines;
    report.dirty_lines += of_part.dirty_lines;
    report.lost_lines += of_part.lost_lines;
  }
  return report;
}

void CompositeView::unmap() noexcept {
  for (const auto& part : parts_) {
    part->unmap();
  }
}

}  // namespace sim
DAXSIM_END
