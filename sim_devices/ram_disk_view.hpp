// SPDX-License-Identifier: BSD-3-Clause
// RamDiskView: what one machine sees of a RAM disk. A write goes to the media at once; the sectors' old contents go to the
// *unfenced log* before, until a fence makes the write last. A power cut puts some of them back.
//
// I1 The media differs from its state at the last fence only in sectors of the log, and the first record of a sector holds
//    what it was.
//
// Threads: any. Locks: lock_, of rank media, for up to a page of sectors at a time.
#pragma once

#include <memory>
#include <span>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/device/block_device.hpp"
#include "media_file.hpp"
#include "unfenced_log.hpp"

DAXSIM_BEGIN
namespace sim {

class RamDiskView final : public BlockDevice {
 public:
  // Errors: Errno::ebusy (the media has a view).
  static Result<std::unique_ptr<DeviceView>> create(std::shared_ptr<MediaFile> media, bool write_cache, Arena& arena);
  ~RamDiskView() override { unmap(); }

  Result<void> read_sectors(std::uint64_t sector, std::span<std::byte> to) noexcept override;
  Result<void> write_sectors(std::uint64_t sector, std::span<const std::byte> from) noexcept override;
  void fence() noexcept override;
  std::vector<LineHistory> pending_lines() override;
  Result<PowerCutReport> power_cut(const PowerCut& choice) override;
  void unmap() noexcept override;

 private:
  RamDiskView(std::shared_ptr<MediaFile> media, bool write_cache, Arena& arena) noexcept
      : media_(std::move(media)), write_cache_(write_cache), log_(arena) {}
  Result<void> write_locked(std::uint64_t sector, std::span<const std::byte> from) noexcept DAXSIM_REQUIRES(lock_);
  std::vector<SectorLog::Record> copy_log();

  const std::shared_ptr<MediaFile> media_;
  const bool write_cache_;
  Mutex lock_{LockRank::media};
  SectorLog log_ DAXSIM_GUARDED_BY(lock_);
  bool gone_ = false;  // written by power_cut() and unmap(), when nobody is inside
};

}  // namespace sim
DAXSIM_END
