// SPDX-License-Identifier: BSD-3-Clause
#include "pmem_view.hpp"

#include <fcntl.h>
#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <bit>
#include <cassert>
#include <span>
#include <utility>

#include "base/atomic_copy.hpp"
#include "outcomes.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

using Page = std::array<std::uint64_t, kPageSize / sizeof(std::uint64_t)>;
constexpr Page kZeros{};

constexpr std::uint64_t kLinesPerPage = kPageSize / kCacheLine;
static_assert(kLinesPerPage == 64, "the lines of a page are the bits of a word");

// The most pages of one answer, so that who asks for "all" does not make the whole device exist.
constexpr std::uint64_t kMaxPages = 4096;

#if !defined(MADV_POPULATE_WRITE)
constexpr int MADV_POPULATE_WRITE = 23;
#endif

constexpr std::uint64_t chunk_of(std::uint64_t page) noexcept { return page / kPagesPerChunk; }

std::uint64_t load(const std::uint64_t* word) noexcept { return __atomic_load_n(word, __ATOMIC_RELAXED); }

UnfencedLog::Line load_line(const std::uint64_t* from) noexcept {
  UnfencedLog::Line line;
  for (std::size_t i = 0; i < line.size(); ++i) {
    line[i] = load(from + i);
  }
  return line;
}

// Each word whole, so that neither a killed process nor a reader of the file sees less than 8 bytes torn.
void store_line(std::uint64_t* to, const UnfencedLog::Line& line) noexcept {
  for (std::size_t i = 0; i < line.size(); ++i) {
    std::atomic_ref(to[i]).store(line[i], std::memory_order_relaxed);
  }
}

// Of the lines `wanted`, one run of bits, those in which two pages differ.
std::uint64_t differing_lines(const std::uint64_t* left, const std::uint64_t* right, std::uint64_t wanted) noexcept {
  const auto first = static_cast<unsigned>(std::countr_zero(wanted));
  const auto last = static_cast<unsigned>(kLinesPerPage - 1) - static_cast<unsigned>(std::countl_zero(wanted));
  std::uint64_t lines = 0;
  for (std::uint64_t line = first; line <= last; ++line) {
    std::uint64_t difference = 0;
    for (std::uint64_t i = line * kWordsPerLine; i < (line + 1) * kWordsPerLine; ++i) {
      difference |= load(left + i) ^ load(right + i);
    }
    lines |= std::uint64_t{difference != 0} << line;
  }
  return lines;
}

// The lines of `page` that have a byte in `bytes`, as bits.
std::uint64_t lines_in(std::uint64_t page, ByteRange bytes) noexcept {
  const std::uint64_t start = page * kPageSize;
  const std::uint64_t first = bytes.offset > start ? (bytes.offset - start) / kCacheLine : 0;
  const std::uint64_t last = std::min(bytes.end() - start - 1, kPageSize - 1) / kCacheLine;
  return (~std::uint64_t{0} << first) & (~std::uint64_t{0} >> (kLinesPerPage - 1 - last));
}

}  // namespace

PmemView::PmemView(std::shared_ptr<PmemMedia> media, PersistenceDomain domain, Arena& arena) noexcept
    : media_(std::move(media)), domain_(domain), log_(arena) {}

Result<std::unique_ptr<DaxDevice>> PmemView::create(std::shared_ptr<PmemMedia> media, PersistenceDomain domain,
                                                    Arena& arena) {
  DAXSIM_TRY_VOID(media->take_view());
  // From here on the view's destructor gives it back.
  std::unique_ptr<PmemView> view(new PmemView(std::move(media), domain, arena));
  const std::uint64_t size = view->media_->size();
  DAXSIM_TRY(view->touched_, PageSet::create(pages_for(size)));
  {
    const MutexLock guard(view->fill_lock_);
    DAXSIM_TRY(view->loaded_, PageSet::create(chunk_of(pages_for(size))));
    DAXSIM_TRY(view->holes_, PageSet::create(chunk_of(pages_for(size))));
  }
  view->memory_file_ = Descriptor(::memfd_create("daxsim-pmem", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (!view->memory_file_.is_open()) {
    return from_host_errno(errno);
  }
  DAXSIM_TRY_VOID(grow(view->memory_file_, size));
  // The descriptor is handed out: nobody can take the pages away from under our mapping by it.
  if (::fcntl(view->memory_file_.number(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return from_host_errno(errno);
  }
  DAXSIM_TRY(view->memory_, Region::shared(size, view->memory_file_));
  return view;
}

PmemView::~PmemView() {
  if (!gone_ && memory_.data() != nullptr) {
    for_each_touched({0, media_->size()}, [this](std::uint64_t page, std::uint64_t lines) {
      lines = changed_lines(page, lines).value_or(0);
      if (lines != 0 && media_->reserve(chunk_of(page)).ok()) {
        for (; lines != 0; lines &= lines - 1) {
          const std::uint64_t offset = page * kPageSize + kCacheLine * static_cast<unsigned>(std::countr_zero(lines));
          store_line(media_->line(offset), load_line(line_of_view(offset)));
        }
      }
    });
  }
  if (!gone_) {
    media_->return_view();
  }
}

std::uint64_t* PmemView::line_of_view(std::uint64_t offset) const noexcept {
  return reinterpret_cast<std::uint64_t*>(memory_.data() + offset);
}

Result<Memory> PmemView::direct_access(Pgoff page, std::uint64_t pages, DaxMode) noexcept {
  assert(page.value < touched_.bound() && pages != 0);
  pages = std::min({pages, kMaxPages, touched_.bound() - page.value});
  DAXSIM_TRY_VOID(touch_all({byte_of(page), pages * kPageSize}));
  return Memory{
      .kaddr = memory_.data() + byte_of(page), .pages = pages, .fd = memory_file_.number(), .fd_offset = byte_of(page)};
}

// The first part of `bytes` that is alike: whole pages that nobody has touched, in chunks of which the media has nothing, so
// that they are zeros in memory and on the media; or what is not known to be so.
Result<PmemView::Part> PmemView::first_part(ByteRange bytes) noexcept {
  Part part;
  for (std::uint64_t at = bytes.offset; at < bytes.end(); at = round_down(at, kPageSize) + kPageSize) {
    const std::uint64_t page = at / kPageSize;
    bool is_zero = at % kPageSize == 0 && bytes.end() - at >= kPageSize && !touched_.test(page);
    if (is_zero) {
      const MutexLock guard(fill_lock_);
      DAXSIM_TRY_VOID(load_locked(chunk_of(page)));
      is_zero = holes_.test(chunk_of(page));
    }
    if (part.length == 0) {
      part.is_zero = is_zero;
    } else if (part.is_zero != is_zero) {
      break;
    }
    part.length = std::min(round_down(at, kPageSize) + kPageSize, bytes.end()) - bytes.offset;
  }
  return part;
}

Result<void> PmemView::read(std::uint64_t offset, std::span<std::byte> to) noexcept {
  while (!to.empty()) {
    DAXSIM_TRY(const Part part, first_part({offset, to.size()}));
    if (part.is_zero) {
      std::ranges::fill(to.first(part.length), std::byte{});
    } else {
      DAXSIM_TRY_VOID(touch_all({offset, part.length}));
      copy_from_mapped(to.first(part.length), memory_.data() + offset);
    }
    offset += part.length;
    to = to.subspan(part.length);
  }
  return {};
}

Result<void> PmemView::zero(ByteRange bytes) noexcept {
  while (bytes.length != 0) {
    DAXSIM_TRY(const Part part, first_part(bytes));
    if (!part.is_zero) {
      DAXSIM_TRY_VOID(touch_all({bytes.offset, part.length}));
      for (std::uint64_t at = 0; at < part.length; at += kPageSize) {
        copy_to_mapped(memory_.data() + bytes.offset + at,
                       std::as_bytes(std::span(kZeros)).first(std::min(part.length - at, kPageSize)));
      }
      DAXSIM_TRY_VOID(flush({bytes.offset, part.length}));
    }
    bytes = {bytes.offset + part.length, bytes.length - part.length};
  }
  return {};
}

Result<void> PmemView::touch_all(ByteRange bytes) noexcept {
  const PageRange pages = pages_of(bytes);
  return touched_.test_all(pages.first.value, pages.pages) ? Result<void>() : touch(pages.first, pages.pages);
}

Result<void> PmemView::load_locked(std::uint64_t chunk) noexcept {
  if (!loaded_.test(chunk)) {
    DAXSIM_TRY(const bool has_data, media_->load(chunk, memory_.data() + chunk * kChunkSize));
    loaded_.insert(chunk);
    if (!has_data) {
      holes_.insert(chunk);
    }
  }
  return {};
}

Result<void> PmemView::touch(Pgoff page, std::uint64_t pages) noexcept {
  const MutexLock guard(fill_lock_);
  for (std::uint64_t chunk = chunk_of(page.value); chunk <= chunk_of(page.value + pages - 1); ++chunk) {
    DAXSIM_TRY_VOID(load_locked(chunk));
  }
  DAXSIM_TRY_VOID(populate(page, pages));
  for (std::uint64_t i = 0; i < pages; ++i) {
    touched_.insert(page.value + i);
  }
  return {};
}

// Makes the pages exist, also those that are holes. Errors: Errno::enomem.
Result<void> PmemView::populate(Pgoff page, std::uint64_t pages) noexcept {
  // Into our page table at once: our own first accesses would fault one by one. Either way a host without memory says
  // so, where a plain store would end in SIGBUS.
  while (::madvise(memory_.data() + byte_of(page), pages * kPageSize, MADV_POPULATE_WRITE) != 0) {
    if (errno == EINVAL) {  // a host older than Linux 5.14
      const int done = ::fallocate(memory_file_.number(), 0, static_cast<off_t>(byte_of(page)),
                                   static_cast<off_t>(pages * kPageSize));
      return done == 0 ? Result<void>() : Result<void>(Errno::enomem);
    }
    if (errno != EINTR && errno != EAGAIN) {
      return Errno::enomem;
    }
  }
  return {};
}

// Of the lines `wanted` of a touched page those that differ from the media. Errors: Errno::eio (it cannot be read).
Result<std::uint64_t> PmemView::changed_lines(std::uint64_t page, std::uint64_t wanted) const noexcept {
  const std::uint64_t* const view = line_of_view(page * kPageSize);
  if (media_->reserved(chunk_of(page))) {
    return differing_lines(view, media_->line(page * kPageSize), wanted);
  }
  if (holes_.test(chunk_of(page))) {
    return differing_lines(view, kZeros.data(), wanted);
  }
  Page media;
  DAXSIM_TRY_VOID(media_->read(page * kPageSize, std::as_writable_bytes(std::span(media))));
  return differing_lines(view, media.data(), wanted);
}

// Calls visit(page, lines) for the touched pages of `bytes`, ascending; the lines of the page that `bytes` has, as
// bits.
template <class Visit>
void PmemView::for_each_touched(ByteRange bytes, Visit visit) const {
  if (bytes.length == 0) {
    return;
  }
  assert(bytes.offset < media_->size() && bytes.length <= media_->size() - bytes.offset);
  const PageRange pages = pages_of(bytes);
  for (std::uint64_t page = touched_.next(pages.first.value); page < pages.end().value;
       page = touched_.next(page + 1)) {
    visit(page, lines_in(page, bytes));
  }
}

Result<void> PmemView::flush(ByteRange bytes) noexcept {
  // All blocks before the first line, so that a full disk leaves everything as it was.
  Result<void> result;
  for_each_touched(bytes, [this, &result](std::uint64_t page, std::uint64_t lines) {
    if (!result.ok() || media_->reserved(chunk_of(page))) {
      return;
    }
    const Result<std::uint64_t> changed = changed_lines(page, lines);
    if (!changed.ok()) {
      result = changed.error();
    } else if (*changed != 0) {
      result = media_->reserve(chunk_of(page));
    }
  });
  DAXSIM_TRY_VOID(result);
  for_each_touched(bytes, [this, &result](std::uint64_t page, std::uint64_t lines) {
    // Without blocks still: it was clean, and what was stored since is not for this flush to move.
    if (!result.ok() || !media_->reserved(chunk_of(page))) {
      return;
    }
    const std::uint64_t* const media = media_->line(page * kPageSize);
    const std::uint64_t changed = differing_lines(line_of_view(page * kPageSize), media, lines);
    if (changed != 0) {
      result = move_lines(page, changed);
    }
  });
  return result;
}

Result<void> PmemView::move_lines(std::uint64_t page, std::uint64_t lines) noexcept {
  const MutexLock guard(log_lock_);
  for (; lines != 0; lines &= lines - 1) {
    const std::uint64_t line = page * kLinesPerPage + static_cast<unsigned>(std::countr_zero(lines));
    std::uint64_t* const media = media_->line(line * kCacheLine);
    const Line now = load_line(line_of_view(line * kCacheLine));
    const Line old = load_line(media);
    if (now == old) {
      continue;  // another flush was faster
    }
    // With the caches inside the persistence domain there is nothing to choose from at a power cut.
    if (domain_ == PersistenceDomain::adr && !log_.append({line, old})) {
      return Errno::enomem;
    }
    store_line(media, now);
  }
  return {};
}

void PmemView::fence() noexcept {
  const MutexLock guard(log_lock_);
  log_.clear();
}

std::uint64_t PmemView::dirty_lines(ByteRange bytes) noexcept {
  std::uint64_t count = 0;
  for_each_touched(bytes, [this, &count](std::uint64_t page, std::uint64_t lines) {
    count += static_cast<unsigned>(std::popcount(changed_lines(page, lines).value_or(lines)));
  });
  return count;
}

// The log, by line, oldest first. Memory is allocated outside the lock: the program's allocator may itself live on a
// mapping of this device.
PmemView::Records PmemView::copy_log() {
  Records records;
  for (bool complete = false; !complete;) {
    std::uint64_t needed = 0;
    {
      const MutexLock guard(log_lock_);
      needed = log_.size();
      complete = needed <= records.capacity();
      if (complete) {
        log_.for_each([&records](const UnfencedLog::Record& record) { records.push_back({record, records.size()}); });
      }
    }
    records.reserve(needed);
  }
  std::sort(records.begin(), records.end(), [](const Logged& left, const Logged& right) {
    return left.line != right.line ? left.line < right.line : left.order < right.order;
  });
  return records;
}

// The lines with a choice, ascending: those of the log merged with those that differ.
std::vector<PmemView::Pending> PmemView::histories(const Records& records) const {
  std::vector<Pending> pending;
  std::uint64_t next = 0;  // record
  const auto take_flushed_until = [&](std::uint64_t line) {
    while (next < records.size() && records[next].line <= line) {
      if (pending.empty() || pending.back().line != records[next].line) {
        pending.push_back({.line = records[next].line, .first = next});
      }
      ++pending.back().flushes;
      ++next;
    }
  };
  for_each_touched({0, media_->size()}, [&](std::uint64_t page, std::uint64_t lines) {
    // What is unknown, because the media cannot be read, counts as different.
    for (lines = changed_lines(page, lines).value_or(lines); lines != 0; lines &= lines - 1) {
      const std::uint64_t line = page * kLinesPerPage + static_cast<unsigned>(std::countr_zero(lines));
      take_flushed_until(line);
      if (pending.empty() || pending.back().line != line) {
        pending.push_back({.line = line, .first = next});
      }
      pending.back().dirty = true;
    }
  });
  take_flushed_until(~std::uint64_t{0});
  return pending;
}

std::vector<LineHistory> PmemView::lines_of(const std::vector<Pending>& pending) {
  std::vector<LineHistory> lines;
  lines.reserve(pending.size());
  for (const Pending& line : pending) {
    lines.push_back({.offset = line.line * kCacheLine, .outcomes = line.outcomes()});
  }
  return lines;
}

std::vector<LineHistory> PmemView::pending_lines() {
  if (domain_ == PersistenceDomain::eadr) {
    return {};
  }
  return lines_of(histories(copy_log()));
}

Result<PowerCutReport> PmemView::power_cut(const PowerCut& choice) {
  assert(!gone_);
  const Records records = copy_log();
  const std::vector<Pending> pending = histories(records);
  std::vector<std::uint32_t> chosen;
  if (domain_ == PersistenceDomain::eadr) {
    // The caches are written back by what power is left; nobody has a choice.
    if (choice.kind == PowerCut::Kind::listed && !choice.lines.empty()) {
      return Errno::einval;
    }
    DAXSIM_TRY(chosen, choose_outcomes(lines_of(pending), {.kind = PowerCut::Kind::all}));
  } else {
    DAXSIM_TRY(chosen, choose_outcomes(lines_of(pending), choice));
  }
  for (std::size_t i = 0; i < pending.size(); ++i) {
    if (chosen[i] > pending[i].flushes) {
      DAXSIM_TRY_VOID(media_->reserve(pending[i].line / kLinesPerPage / kPagesPerChunk));
    }
  }

  PowerCutReport report;
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const Pending& line = pending[i];
    const std::uint64_t offset = line.line * kCacheLine;
    report.unfenced_lines += line.flushes != 0 ? 1 : 0;
    report.dirty_lines += line.dirty ? 1 : 0;
    if (chosen[i] == line.flushes) {
      report.lost_lines += line.dirty ? 1 : 0;  // the media stays as it is
      continue;
    }
    const Line view = load_line(line_of_view(offset));
    const Line& value = chosen[i] < line.flushes ? records[line.first + chosen[i]].old : view;
    report.lost_lines += value != view ? 1 : 0;
    store_line(media_->line(offset), value);
  }
  lose_memory();
  return report;
}

void PmemView::unmap() noexcept {
  if (!gone_) {
    lose_memory();
  }
}

void PmemView::lose_memory() noexcept {
  gone_ = true;
  memory_.forbid();
  // The descriptor stays ours, so that a late user of its number does not find another file; its pages go back now.
  ::fallocate(memory_file_.number(), FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE, 0, static_cast<off_t>(media_->size()));
  {
    const MutexLock guard(log_lock_);
    log_.clear();
  }
  media_->return_view();
}

}  // namespace sim
DAXSIM_END
