// SPDX-License-Identifier: BSD-3-Clause
// PmemView: what the CPU of one machine sees of a pmem: its caches and the memory behind them as one, in a memfd.
//
// Players: the *media* (PmemMedia), the *view* (a memfd of the device's size, mapped once by the library at `memory_`;
// live mappings are aliases of the same pages), the *unfenced log*.
//
//   1. direct_access() of a page the first time: the page's chunk is copied from the media into the view, and the asked
//      pages are made to exist (a live mapping can only install pages that the memfd has). The page is *touched* now.
//   2. Stores change the view, at any address that shows it. Nobody is told.
//   3. flush() compares each touched page of its range with the media, line by line. Of a line that differs the old
//      bytes go to the log first and the new ones to the media then.
//   4. fence() empties the log.
//   5. power_cut() lets every line take one of the values that it can have, and the view is gone.
//
// I1 A page that is not touched is not seen by anybody, so view and media agree about it.
// I2 The media differs from its state at the last fence only in lines of the log, and the first record of a line holds
//    what it was.
// I3 Nothing is proportional to the size of the device, only to its touched pages.
//
// Stores may go on during every call except power_cut() and unmap(): the view is read in words of 8 bytes, each whole.
//
// Threads: any. Locks, both of rank media and never together: fill_lock_ while pages come to exist, log_lock_ for the
// lines of one page. The media's own lock is taken inside neither.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/dax_device.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "host.hpp"
#include "page_set.hpp"
#include "pmem_media.hpp"
#include "unfenced_log.hpp"

DAXSIM_BEGIN
namespace sim {

class PmemView final : public DaxDevice {
 public:
  // Errors: Errno::ebusy (the media has a view), Errno::enomem, Errno::emfile, Errno::enfile, Errno::efbig.
  static Result<std::unique_ptr<DaxDevice>> create(std::shared_ptr<PmemMedia> media, PersistenceDomain domain,
                                                   Arena& arena);
  // Caches are written back in the end: what differs goes to the media, unless power or memory were lost before. A line
  // that the host has no room for is lost.
  ~PmemView() override;

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept override;
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {memory_.data(), memory_.size()}; }
  Result<void> flush(ByteRange bytes) noexcept override;
  void fence() noexcept override;
  std::vector<LineHistory> pending_lines() override;
  std::uint64_t dirty_lines(ByteRange bytes) noexcept override;
  // As DaxDevice's, but that what nobody has touched, and the media has nothing of, stays so.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept override;
  Result<void> zero(ByteRange bytes) noexcept override;
  Result<PowerCutReport> power_cut(const PowerCut& choice) override;
  void unmap() noexcept override;

 private:
  using Line = UnfencedLog::Line;
  struct Logged : UnfencedLog::Record {
    std::uint64_t order;  // of the log
  };
  using Records = std::vector<Logged>;
  // A line with a choice. Its values are old of records[first, first + flushes), the media's, and when dirty the
  // view's.
  struct Pending {
    std::uint64_t line = 0;
    std::uint64_t first = 0;
    std::uint32_t flushes = 0;
    bool dirty = false;
    [[nodiscard]] std::uint32_t outcomes() const noexcept { return flushes + 1 + (dirty ? 1 : 0); }
  };

  PmemView(std::shared_ptr<PmemMedia> media, PersistenceDomain domain, Arena& arena) noexcept;

  [[nodiscard]] std::uint64_t* line_of_view(std::uint64_t offset) const noexcept;
  struct Part {
    bool is_zero = false;
    std::uint64_t length = 0;  // bytes
  };
  Result<Part> first_part(ByteRange bytes) noexcept DAXSIM_EXCLUDES(fill_lock_);
  Result<void> load_locked(std::uint64_t chunk) noexcept DAXSIM_REQUIRES(fill_lock_);
  // The pages of `bytes`, those that are not touched yet.
  Result<void> touch_all(ByteRange bytes) noexcept;
  Result<void> touch(Pgoff page, std::uint64_t pages) noexcept;
  Result<void> populate(Pgoff page, std::uint64_t pages) noexcept;
  template <class Visit>
  void for_each_touched(ByteRange bytes, Visit visit) const;
  Result<std::uint64_t> changed_lines(std::uint64_t page, std::uint64_t wanted) const noexcept;
  Result<void> move_lines(std::uint64_t page, std::uint64_t lines) noexcept;
  Records copy_log();
  std::vector<Pending> histories(const Records& records) const;
  static std::vector<LineHistory> lines_of(const std::vector<Pending>& pending);
  void lose_memory() noexcept;

  const std::shared_ptr<PmemMedia> media_;
  const PersistenceDomain domain_;

  // Set by create(), then constant.
  Descriptor memory_file_;
  Region memory_;

  PageSet touched_;  // pages; inserted to under fill_lock_

  Mutex fill_lock_{LockRank::media};
  PageSet loaded_ DAXSIM_GUARDED_BY(fill_lock_);  // chunks
  PageSet holes_;  // chunks of which the media had nothing when they were loaded; inserted to under fill_lock_

  Mutex log_lock_{LockRank::media};
  UnfencedLog log_ DAXSIM_GUARDED_BY(log_lock_);

  bool gone_ = false;  // written by power_cut() and unmap(), when nobody is inside
};

}  // namespace sim
DAXSIM_END
