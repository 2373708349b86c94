// SPDX-License-Identifier: BSD-3-Clause
// A machine with one file on a memfd and no index: enough of a DAX file system to drive live mappings. A file page lies in
// any device page, so extents can be whole, scattered, and moved.
//
// It keeps dax's promises: a page is installed under its entry lock (one lock here) and under invalidate_lock shared;
// punch and truncate take invalidate_lock exclusively. Its fault path allocates nothing.
#pragma once

#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "daxsim/mm/live.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/super_block.hpp"

namespace daxsim::test {

// Every backend that this host has.
inline std::vector<LiveBackend> live_backends() {
  std::vector<LiveBackend> all{LiveBackend::sigsegv};
  if (probe_live_backend() == LiveBackend::userfaultfd) {
    all.push_back(LiveBackend::userfaultfd);
  }
  return all;
}

inline std::byte load(const std::byte* at) { return *const_cast<const volatile std::byte*>(at); }
inline void store(std::byte* at, int value) { *const_cast<volatile std::byte*>(at) = static_cast<std::byte>(value); }

class LiveInode final : public Inode {
 public:
  static constexpr Pfn kFirstPfn{0x48000};
  static constexpr std::int64_t kHole = -1;
  static constexpr std::size_t kLogged = 64;

  LiveInode(SuperBlock& super_block, Arena& arena, std::uint64_t pages)
      : Inode(super_block, 14, arena), pages_(pages), blocks_(pages, kHole), dirty_(pages, false) {
    fd_ = ::memfd_create("daxsim-test", MFD_CLOEXEC);
    if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(pages << kPageShift)) != 0) {
      std::abort();
    }
    memory_ = static_cast<std::byte*>(::mmap(nullptr, pages << kPageShift, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    set_size(pages << kPageShift);
  }
  ~LiveInode() override {
    ::munmap(memory_, pages_ << kPageShift);
    ::close(fd_);
  }

  std::optional<FaultOutcome> forced;  // what PTE faults end in instead of doing anything
  bool synchronous = true;
  bool use_pmds = false;                          // PMD faults work when they fit
  std::function<void(FaultRequest&)> on_fault;    // at the start of each fault, no locks of the file system held
  std::function<void(FaultRequest&)> on_install;  // under the entry lock
  std::vector<ByteRange> synced;
  Result<void> sync_result;

  // Flags of the faults since the last call, in order; bit 31 marks a PMD fault.
  static constexpr std::uint32_t kPmd = 1U << 31;
  std::vector<std::uint32_t> flags_seen() {
    const MutexLock entry(entry_);
    std::vector<std::uint32_t> seen(log_.begin(), log_.begin() + static_cast<std::ptrdiff_t>(logged_));
    logged_ = 0;
    return seen;
  }

  [[nodiscard]] std::byte* device_page(std::uint64_t page) const noexcept { return memory_ + (page << kPageShift); }
  // The library's address of a file page that has a block.
  [[nodiscard]] std::byte* block(std::uint64_t page) const noexcept {
    return device_page(static_cast<std::uint64_t>(blocks_[page]));
  }
  [[nodiscard]] bool allocated(std::uint64_t page) const noexcept { return blocks_[page] != kHole; }
  // File pages [first, first + count) lie in device pages from `device_first` on.
  void place(std::uint64_t first, std::uint64_t count, std::uint64_t device_first) noexcept {
    for (std::uint64_t i = 0; i < count; ++i) {
      blocks_[first + i] = static_cast<std::int64_t>(device_first + i);
    }
  }
  void allocate(std::uint64_t first, std::uint64_t count = 1) noexcept { place(first, count, first); }

  Result<FileExtent> direct_access(PageRange, Access) noexcept override { return Errno::eopnotsupp; }

  [[nodiscard]] bool is_synchronous() const noexcept override { return synchronous; }

  FaultOutcome fault(FaultRequest& request) noexcept override {
    if (on_fault) {
      on_fault(request);
    }
    const SharedLock guard(mapping().invalidate_lock());
    const MutexLock entry(entry_);
    if (logged_ < kLogged) {
      log_[logged_++] = request.flags | (request.order != 0 ? kPmd : 0);
    }
    if (forced.has_value()) {
      return request.order != 0 ? FaultOutcome(FaultOutcome::fallback) : *forced;
    }
    return request.order != 0 ? pmd_fault(request) : pte_fault(request);
  }

  Result<void> fsync_range(ByteRange bytes, Datasync) noexcept override {
    synced.push_back(bytes);
    return sync_result;
  }

  // fallocate(PUNCH_HOLE) of whole pages, or truncate_pages when private copies go too.
  void punch(std::uint64_t first, std::uint64_t count, EvenCows even_cows = EvenCows::no) noexcept {
    const ExclusiveLock guard(mapping().invalidate_lock());
    mapping().unmap_pages({{first}, count}, even_cows);
    const MutexLock entry(entry_);
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (blocks_[page] != kHole) {
        std::memset(block(page), 0, kPageSize);
      }
      blocks_[page] = kHole;
      dirty_[page] = false;
    }
  }
  // Moves file pages to other device pages, bytes and all; free blocks are zero, so those that they leave become it.
  void relocate(std::uint64_t first, std::uint64_t count, std::uint64_t device_first) noexcept {
    const ExclusiveLock guard(mapping().invalidate_lock());
    mapping().unmap_pages({{first}, count}, EvenCows::no);
    const MutexLock entry(entry_);
    for (std::uint64_t i = 0; i < count; ++i) {
      std::byte* const old = block(first + i);
      std::memcpy(device_page(device_first + i), old, kPageSize);
      std::memset(old, 0, kPageSize);
    }
    place(first, count, device_first);
  }
  // Write-back of what is dirty in the range; `while_clean` runs after a page was write-protected, under the entry lock.
  std::uint64_t write_back(std::uint64_t first, std::uint64_t count,
                           const std::function<void(std::uint64_t)>& while_clean = {}) {
    std::uint64_t writable = 0;
    for (std::uint64_t page = first; page < first + count; ++page) {
      const MutexLock entry(entry_);
      if (dirty_[page]) {
        writable += mapping().write_protect({{page}, 1});
        if (while_clean) {
          while_clean(page);
        }
        dirty_[page] = false;
      }
    }
    return writable;
  }
  [[nodiscard]] bool dirty(std::uint64_t page) noexcept {
    const MutexLock entry(entry_);
    return dirty_[page];
  }
  void resize(std::uint64_t bytes) noexcept { set_size(bytes); }

  Result<std::uint64_t> read(std::uint64_t, std::span<std::byte>) override { return Errno::eopnotsupp; }
  Result<std::uint64_t> write(std::uint64_t, std::span<const std::byte>) override { return Errno::eopnotsupp; }
  Result<void> truncate(std::uint64_t) override { return Errno::eopnotsupp; }
  Result<void> fallocate(Fallocate, ByteRange) override { return Errno::eopnotsupp; }

 private:
  // The run of file pages around `page` that continues on the device, or that is all hole.
  [[nodiscard]] PageRange extent_of(std::uint64_t page) const noexcept {
    const auto goes_on = [this](std::uint64_t a) {
      return blocks_[a] == kHole ? blocks_[a + 1] == kHole : blocks_[a + 1] == blocks_[a] + 1;
    };
    std::uint64_t first = page;
    std::uint64_t end = page + 1;
    while (first > 0 && goes_on(first - 1)) {
      --first;
    }
    while (end < pages_ && goes_on(end - 1)) {
      ++end;
    }
    return {{first}, end - first};
  }
  [[nodiscard]] Memory memory_of(std::uint64_t page, std::uint64_t count) const noexcept {
    const auto device = static_cast<std::uint64_t>(blocks_[page]);
    return {.kaddr = device_page(device),
            .pfn = kFirstPfn + device,
            .pages = count,
            .fd = fd_,
            .fd_offset = device << kPageShift};
  }

  FaultOutcome pte_fault(FaultRequest& request) noexcept DAXSIM_REQUIRES(entry_) {
    const std::uint64_t page = request.pgoff.value;
    if (page >= size_in_pages()) {
      return FaultOutcome::sigbus;
    }
    if (on_install) {
      on_install(request);
    }
    if (request.is_cow()) {
      return request.vma.install_private(request.pgoff, allocated(page) ? block(page) : nullptr);
    }
    Installation what{.pgoff = request.pgoff, .memory = {}, .extent = extent_of(page)};
    if (!allocated(page)) {
      if (!request.is_write()) {
        what.zero_page = true;
        return request.vma.install(what);
      }
      allocate(page);
      mapping().unmap_pages({request.pgoff, 1}, EvenCows::no);
      what.extent = extent_of(page);
    }
    what.memory = memory_of(page, 1);
    if (request.is_write()) {
      dirty_[page] = true;
      what.writable = Writable::yes;
    }
    return request.vma.install(what);
  }

  FaultOutcome pmd_fault(FaultRequest& request) noexcept DAXSIM_REQUIRES(entry_) {
    const Pgoff first = pmd_start(request.pgoff);
    const std::uint64_t address = round_down(request.address, kPmdSize);
    if (!use_pmds || request.is_cow() || address < request.vma.start() || address + kPmdSize > request.vma.end() ||
        (first + kPagesPerPmd).value > size_in_pages()) {
      return FaultOutcome::fallback;
    }
    const PageRange pmd{first, kPagesPerPmd};
    if (extent_of(first.value).clip(pmd) != pmd) {
      return FaultOutcome::fallback;
    }
    if (on_install) {
      on_install(request);
    }
    Installation what{.pgoff = first, .order = kPmdOrder, .memory = {}, .extent = extent_of(first.value)};
    if (!allocated(first.value)) {
      if (!request.is_write()) {
        what.zero_page = true;
        return request.vma.install(what);
      }
      allocate(first.value, kPagesPerPmd);
      mapping().unmap_pages(pmd, EvenCows::no);
      what.extent = extent_of(first.value);
    }
    what.memory = memory_of(first.value, kPagesPerPmd);
    if (request.is_write()) {
      for (std::uint64_t page = first.value; page < pmd.end().value; ++page) {
        dirty_[page] = true;
      }
      what.writable = Writable::yes;
    }
    return request.vma.install(what);
  }

  const std::uint64_t pages_;
  int fd_ = -1;
  std::byte* memory_ = nullptr;
  Mutex entry_{LockRank::entry};
  std::vector<std::int64_t> blocks_;
  std::vector<bool> dirty_;
  std::array<std::uint32_t, kLogged> log_{};
  std::size_t logged_ = 0;
};

class LiveFileSystem final : public SuperBlock {
 public:
  explicit LiveFileSystem(System& system) : SuperBlock(system, (259U << 20) | 0) {}
  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eopnotsupp; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> unlink(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::eopnotsupp; }
  Result<std::vector<DirectoryEntry>> list() override { return Errno::eopnotsupp; }
  Result<void> sync() override { return {}; }
  Result<void> unmount() override { return {}; }
  Result<SpaceUsage> space() override { return Errno::eopnotsupp; }
};

// Declare mappings after it.
struct LiveMmuWorld {
  explicit LiveMmuWorld(std::uint64_t pages)
      : file_system(std::make_shared<LiveFileSystem>(system)),
        inode(std::make_shared<LiveInode>(*file_system, arena, pages)) {}

  [[nodiscard]] std::shared_ptr<OpenFile> open(OpenMode mode = OpenMode::read_write) const {
    return std::make_shared<OpenFile>(file_system, inode, mode);
  }
  [[nodiscard]] Result<Mapping> map(LiveBackend backend, const MapOptions& options = {}) {
    return Mapping::map(system, open(), options, backend);
  }
  // Names of the events since the last call, in order.
  std::vector<std::string> events_since_last() {
    std::vector<std::string> names;
    for (const Event& event : events.since(next_event_)) {
      names.emplace_back(event_name(event.type));
    }
    next_event_ = events.next_id();
    return names;
  }

  // The newest event of this type.
  [[nodiscard]] Event last(EventType type) const {
    Event found;
    for (const Event& event : events.since(1)) {
      if (event.type == type) {
        found = event;
      }
    }
    return found;
  }

  VirtualClock clock;
  EventStream events{clock, 4096};
  Arena arena;
  MemoryMap memory;
  System system{clock, events, arena, memory};
  std::shared_ptr<LiveFileSystem> file_system;
  std::shared_ptr<LiveInode> inode;

 private:
  std::uint64_t next_event_ = 1;
};

}  // namespace daxsim::test
