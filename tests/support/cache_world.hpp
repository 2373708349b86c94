// SPDX-License-Identifier: BSD-3-Clause
// A small world for tests of the page cache: a RAM disk, a file system of one file on it, a pool, a simulated process.
//
//   HookedDisk    a block device that stops or fails where a test says so
//   CachedInode   a file: page n is device page n, or a hole; one call of FilePages per file operation
//   CacheWorld    all of it, and the machine around; power_cycle() goes on with what the disk has
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <memory>
#include <semaphore>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/block_device.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "daxsim/vfs/system.hpp"

namespace daxsim::test {

// What happens before a read or write of sectors reaches the disk. Set before threads start.
struct Hooks {
  std::function<Result<void>(std::uint64_t sector)> on_read;
  std::function<Result<void>(std::uint64_t sector)> on_write;
};

class HookedView final : public BlockDevice {
 public:
  HookedView(std::unique_ptr<DeviceView> real, Hooks& hooks) : real_(std::move(real)), hooks_(hooks) {}
  Result<void> read_sectors(std::uint64_t sector, std::span<std::byte> to) noexcept override {
    DAXSIM_TRY_VOID(hooks_.on_read ? hooks_.on_read(sector) : Result<void>());
    return real_->read(sector * kSectorSize, to);
  }
  Result<void> write_sectors(std::uint64_t sector, std::span<const std::byte> from) noexcept override {
    DAXSIM_TRY_VOID(hooks_.on_write ? hooks_.on_write(sector) : Result<void>());
    return real_->write(sector * kSectorSize, from);
  }
  void fence() noexcept override { real_->fence(); }
  std::vector<LineHistory> pending_lines() override { return real_->pending_lines(); }
  Result<PowerCutReport> power_cut(const PowerCut& choice) override { return real_->power_cut(choice); }
  void unmap() noexcept override { real_->unmap(); }

 private:
  const std::unique_ptr<DeviceView> real_;
  Hooks& hooks_;
};

class HookedDisk final : public Device {
 public:
  explicit HookedDisk(std::shared_ptr<Device> real) : real_(std::move(real)) {}
  [[nodiscard]] const std::string& name() const noexcept override { return real_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept override { return real_->size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return real_->capabilities(); }
  Result<std::unique_ptr<DeviceView>> make_block_view(const ViewContext& context) override {
    DAXSIM_TRY(std::unique_ptr<DeviceView> view, real_->make_block_view(context));
    return std::unique_ptr<DeviceView>(std::make_unique<HookedView>(std::move(view), hooks));
  }

  Hooks hooks;

 private:
  const std::shared_ptr<Device> real_;
};

class CachedFs final : public SuperBlock {
 public:
  explicit CachedFs(System& system) : SuperBlock(system, (8U << 20) | 1U) {}
  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eopnotsupp; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return Errno::enoent; }
  Result<void> unlink(std::string_view) override { return Errno::enoent; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::enoent; }
  Result<std::vector<DirectoryEntry>> list() override { return std::vector<DirectoryEntry>{}; }
  Result<void> sync() override { return {}; }
  Result<void> unmount() override { return {}; }
  Result<SpaceUsage> space() override { return SpaceUsage{}; }
};

class CachedInode final : public Inode {
 public:
  CachedInode(SuperBlock& super_block, std::uint64_t number, pagecache::Pool& pool, Attachment& disk, Pgoff base,
              std::uint64_t pages)
      : Inode(super_block, number, super_block.system().arena),
        cached(pool, *this),
        disk_(disk),
        base_(base),
        written_(pages, true) {
    set_size(pages << kPageShift);
  }
  ~CachedInode() override { static_cast<void>(cached.writeback_range({0, ~std::uint64_t{0}}).ok()); }

  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override {
    DAXSIM_TRY_VOID(super_block().check_alive());
    const MutexLock guard(allocation_);
    if (pages.first.value >= written_.size()) {
      return Errno::efbig;
    }
    FileExtent extent;
    extent.kind = FileExtent::Kind::not_direct;
    extent.pages = extent.extent = {pages.first, 1};
    const Pgoff device_page = base_ + pages.first.value;
    if (!written_[pages.first.value] && access == Access::write) {
      if (full) {
        return Errno::enospc;
      }
      DAXSIM_TRY_VOID(disk_.zero({byte_of(device_page), kPageSize}));
      written_[pages.first.value] = true;
      extent.is_new = true;
    }
    if (written_[pages.first.value]) {
      extent.device = &disk_;
      extent.device_page = device_page;
    }
    return extent;
  }
  FaultOutcome fault(FaultRequest& request) noexcept override { return cached.fault(request); }
  Result<void> fsync_range(ByteRange bytes, Datasync) noexcept override {
    DAXSIM_TRY_VOID(cached.writeback_range(bytes));
    return disk_.fence();
  }
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override {
    const SharedLock reading(i_rwsem());
    return cached.read(offset, to);
  }
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override {
    const ExclusiveLock writing(i_rwsem());
    DAXSIM_TRY(const std::uint64_t written, cached.write(offset, from));
    set_size(std::max(size(), offset + written));
    return written;
  }
  Result<void> truncate(std::uint64_t bytes) override {
    const ExclusiveLock writing(i_rwsem());
    const ExclusiveLock no_faults(mapping().invalidate_lock());
    const std::uint64_t end = std::min(bytes, size());
    DAXSIM_TRY_VOID(cached.zero_range({end, round_up(end, kPageSize) - end}));
    set_size(bytes);
    const PageRange gone{{pages_for(bytes)}, kAllPages.end() - Pgoff{pages_for(bytes)}};
    cached.truncate_pages(gone);
    free_blocks(gone);
    return {};
  }
  // Punches whole pages.
  Result<void> fallocate(Fallocate, ByteRange bytes) override {
    const ExclusiveLock writing(i_rwsem());
    const ExclusiveLock no_faults(mapping().invalidate_lock());
    cached.truncate_pages(pages_of(bytes), EvenCows::no);
    free_blocks(pages_of(bytes));
    return {};
  }

  void free_blocks(PageRange pages) {
    const MutexLock guard(allocation_);
    for (Pgoff page = pages.first; pages.contains(page) && page.value < written_.size(); page = page + 1) {
      written_[page.value] = false;
    }
  }

  pagecache::FilePages cached;
  std::atomic<bool> full{false};  // no more blocks

 private:
  Attachment& disk_;
  const Pgoff base_;
  Mutex allocation_{LockRank::allocation};
  std::vector<bool> written_;
};

struct CacheOptions {
  std::uint64_t file_pages = 16;
  std::uint64_t pool_pages = 64;
};

class CacheWorld {
 public:
  static constexpr std::uint64_t kDiskSize = std::uint64_t{2} << 20;

  explicit CacheWorld(const CacheOptions& options = {}) : options_(options) { power_on(); }
  ~CacheWorld() { power_off(); }

  void power_on() {
    attachment = std::make_unique<Attachment>(disk, must(disk->make_block_view({arena, clock})), 1, events);
    fs = std::make_shared<CachedFs>(system);
    pool = must(pagecache::Pool::create(system, options_.pool_pages));
    file = add_file(11, {0});
    handle = std::make_shared<OpenFile>(fs, file, OpenMode::read_write);
    process = std::make_unique<Process>(system, 100);
    area = must(process->mmap(handle, {}));
  }
  // Everything that is not on the disk is gone.
  PowerCutReport power_cycle(const PowerCut& choice = {}) {
    fs->shutdown(Errno::eshutdown);  // so that nobody writes any more
    const PowerCutReport report = must(attachment->device_view().power_cut(choice));
    power_off();
    power_on();
    return report;
  }
  std::shared_ptr<CachedInode> add_file(std::uint64_t number, Pgoff base) {
    return std::make_shared<CachedInode>(*fs, number, *pool, *attachment, base, options_.file_pages);
  }

  // --- the process, at a page of the file ---
  [[nodiscard]] AccessResult<void> store(std::uint64_t page, std::uint8_t value) {
    return process->store(area + page * kPageSize, value);
  }
  [[nodiscard]] AccessResult<std::uint8_t> load(std::uint64_t page) {
    return process->load<std::uint8_t>(area + page * kPageSize);
  }
  [[nodiscard]] PteState pte(std::uint64_t page) { return process->pte(area + page * kPageSize); }
  // The first byte of the page on the disk, as it is now.
  [[nodiscard]] std::uint8_t on_disk(std::uint64_t page) {
    std::array<std::byte, kSectorSize> sector{};
    must(attachment->read(page * kPageSize, sector));
    return static_cast<std::uint8_t>(sector[0]);
  }

  VirtualClock clock;
  EventStream events{clock, 1 << 12};
  Arena arena;
  MemoryMap memory;
  System system{.clock = clock, .events = events, .arena = arena, .memory = memory};
  std::shared_ptr<HookedDisk> disk = std::make_shared<HookedDisk>(must(sim::open(sim::RamDisk{.size = kDiskSize})));
  std::unique_ptr<Attachment> attachment;
  std::shared_ptr<CachedFs> fs;
  std::unique_ptr<pagecache::Pool> pool;
  std::shared_ptr<CachedInode> file;
  std::shared_ptr<OpenFile> handle;
  std::unique_ptr<Process> process;
  std::uint64_t area = 0;  // of all of the file, shared

 private:
  void power_off() {
    fs->shutdown(Errno::eshutdown);
    process.reset();
    handle.reset();
    file.reset();
    pool.reset();
    fs.reset();
    attachment.reset();
  }

  const CacheOptions options_;
};

}  // namespace daxsim::test
