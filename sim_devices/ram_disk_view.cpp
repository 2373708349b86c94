// SPDX-License-Identifier: BSD-3-Clause
#include "ram_disk_view.hpp"

#include <algorithm>
#include <array>
#include <cassert>
#include <cstring>
#include <utility>

#include "daxsim/base/units.hpp"
#include "outcomes.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr std::uint64_t kSectorsAtOnce = kPageSize / kSectorSize;

constexpr std::uint64_t byte_of_sector(std::uint64_t sector) noexcept { return sector * kSectorSize; }

using Record = SectorLog::Record;
using BySector = std::vector<const Record*>;

// Ascending by sector, each oldest first, as they are in the log.
BySector by_sector(const std::vector<Record>& records) {
  BySector sorted;
  sorted.reserve(records.size());
  for (const Record& record : records) {
    sorted.push_back(&record);
  }
  std::ranges::sort(sorted, [](const Record* left, const Record* right) {
    return left->line != right->line ? left->line < right->line : left < right;
  });
  return sorted;
}

// The sectors of the log with their outcomes.
std::vector<LineHistory> histories(const BySector& records) {
  std::vector<LineHistory> lines;
  for (const Record* const record : records) {
    const std::uint64_t offset = byte_of_sector(record->line);
    if (lines.empty() || lines.back().offset != offset) {
      lines.push_back({.offset = offset, .outcomes = 1});
    }
    ++lines.back().outcomes;
  }
  return lines;
}

}  // namespace

Result<std::unique_ptr<DeviceView>> RamDiskView::create(std::shared_ptr<MediaFile> media, bool write_cache,
                                                        Arena& arena) {
  DAXSIM_TRY_VOID(media->take_view());
  return std::unique_ptr<DeviceView>(new RamDiskView(std::move(media), write_cache, arena));
}

Result<void> RamDiskView::read_sectors(std::uint64_t sector, std::span<std::byte> to) noexcept {
  const MutexLock guard(lock_);  // no sector half old, half new
  return media_->read(byte_of_sector(sector), to);
}

Result<void> RamDiskView::write_sectors(std::uint64_t sector, std::span<const std::byte> from) noexcept {
  while (!from.empty()) {
    const std::span piece = from.first(std::min<std::size_t>(from.size(), kPageSize));
    {
      const MutexLock guard(lock_);
      DAXSIM_TRY_VOID(write_locked(sector, piece));
    }
    sector += kSectorsAtOnce;
    from = from.subspan(piece.size());
  }
  return {};
}

Result<void> RamDiskView::write_locked(std::uint64_t sector, std::span<const std::byte> from) noexcept {
  if (!media_->is_whole()) {
    return Errno::eio;  // writing would make a truncated file whole again, without its data
  }
  if (write_cache_) {
    std::array<SectorLog::Line, kSectorsAtOnce> old;
    const std::span sectors = std::span(old).first(from.size() / kSectorSize);
    DAXSIM_TRY_VOID(media_->read(byte_of_sector(sector), std::as_writable_bytes(sectors)));
    for (std::size_t i = 0; i < sectors.size(); ++i) {
      // What is logged and then not written has an outcome twice.
      if (!log_.append({sector + i, sectors[i]})) {
        return Errno::enomem;
      }
    }
  }
  return media_->write(byte_of_sector(sector), from);
}

void RamDiskView::fence() noexcept {
  const MutexLock guard(lock_);
  log_.clear();
}

// Oldest first. Memory is allocated outside the lock: the program's allocator may itself live on a mapping of a file here.
std::vector<SectorLog::Record> RamDiskView::copy_log() {
  std::vector<Record> records;
  for (bool complete = false; !complete;) {
    std::uint64_t needed = 0;
    {
      const MutexLock guard(lock_);
      needed = log_.size();
      complete = needed <= records.capacity();
      if (complete) {
        log_.for_each([&records](const Record& record) { records.push_back(record); });
      }
    }
    records.reserve(needed);
  }
  return records;
}

std::vector<LineHistory> RamDiskView::pending_lines() {
  const std::vector<Record> log = copy_log();
  return histories(by_sector(log));
}

Result<PowerCutReport> RamDiskView::power_cut(const PowerCut& choice) {
  assert(!gone_);
  const std::vector<Record> log = copy_log();
  const BySector records = by_sector(log);
  const std::vector<LineHistory> pending = histories(records);
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(pending, choice));
  PowerCutReport report{.unfenced_lines = pending.size()};
  // The sectors to put back, all known before the first is changed.
  std::vector<const Record*> put_back;
  auto first = records.begin();  // of the sector
  for (std::size_t i = 0; i < pending.size(); ++i) {
    const std::uint32_t writes = pending[i].outcomes - 1;
    if (chosen[i] != writes) {
      SectorLog::Line now;
      DAXSIM_TRY_VOID(media_->read(pending[i].offset, std::as_writable_bytes(std::span(now))));
      const Record& value = **(first + chosen[i]);
      report.lost_lines += value.old != now ? 1 : 0;
      put_back.push_back(&value);
    }
    first += writes;
  }
  for (const Record* const record : put_back) {
    DAXSIM_TRY_VOID(media_->write(byte_of_sector(record->line), std::as_bytes(std::span(record->old))));
  }
  unmap();
  return report;
}

void RamDiskView::unmap() noexcept {
  if (!std::exchange(gone_, true)) {
    fence();
    media_->return_view();
  }
}

}  // namespace sim
DAXSIM_END
