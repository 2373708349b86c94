// SPDX-License-Identifier: BSD-3-Clause
// A machine with one file and no index: enough of a DAX file system to drive the soft MMU. Block n of the file is page n
// of `memory`, so every byte has one place; whether a block exists, and whether it is dirty, are flags.
//
// It keeps dax's promises: a page is installed under its entry lock (one lock here) and under invalidate_lock shared;
// punch and truncate take invalidate_lock exclusively. Hooks stop a thread at the interesting places.
#pragma once

#include <sys/mman.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "daxsim/mm/process.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/super_block.hpp"

namespace daxsim::test {

class SoftInode final : public Inode {
 public:
  static constexpr Pfn kFirstPfn{0x48000};

  SoftInode(SuperBlock& super_block, Arena& arena, std::uint64_t pages)
      : Inode(super_block, 14, arena), pages_(pages), allocated_(pages, false), dirty_(pages, false) {
    void* const raw = ::mmap(nullptr, (pages << kPageShift) + kPmdSize, PROT_READ | PROT_WRITE,
                             MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    raw_ = static_cast<std::byte*>(raw);
    memory_ = reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(raw), kPmdSize));
    set_size(pages << kPageShift);
  }
  ~SoftInode() override { ::munmap(raw_, (pages_ << kPageShift) + kPmdSize); }

  // What the next faults of this order end in instead of doing anything.
  std::array<std::optional<FaultOutcome>, 2> forced;  // [0] PTE, [1] PMD
  bool synchronous = true;
  bool use_pmds = false;                          // PMD faults work when they fit
  std::function<void(FaultRequest&)> on_fault;    // at the start of each fault, no locks of the file system held
  std::function<void(FaultRequest&)> on_install;  // under the entry lock
  std::vector<std::uint32_t> flags_seen;          // of each fault, in order; bit 31 marks a PMD fault
  std::vector<ByteRange> synced;
  Result<void> sync_result;
  static constexpr std::uint32_t kPmd = 1U << 31;

  [[nodiscard]] std::byte* block(std::uint64_t page) const noexcept { return memory_ + (page << kPageShift); }
  [[nodiscard]] Pfn pfn(std::uint64_t page) const noexcept { return kFirstPfn + page; }
  [[nodiscard]] bool allocated(std::uint64_t page) const noexcept { return allocated_[page]; }
  void allocate(std::uint64_t first, std::uint64_t count = 1) noexcept {
    for (std::uint64_t page = first; page < first + count; ++page) {
      allocated_[page] = true;
    }
  }

  [[nodiscard]] bool is_synchronous() const noexcept override { return synchronous; }
  Result<FileExtent> direct_access(PageRange, Access) noexcept override { return Errno::eopnotsupp; }

  FaultOutcome fault(FaultRequest& request) noexcept override {
    const bool is_pmd = request.order != 0;
    {
      const MutexLock guard(log_lock_);
      flags_seen.push_back(request.flags | (is_pmd ? kPmd : 0));
    }
    if (on_fault) {
      on_fault(request);
    }
    if (const auto& outcome = forced[is_pmd ? 1 : 0]; outcome.has_value()) {
      return *outcome;
    }
    const SharedLock guard(mapping().invalidate_lock());
    const MutexLock entry(entry_);
    return is_pmd ? pmd_fault(request) : pte_fault(request);
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
      allocated_[page] = false;
      dirty_[page] = false;
      std::memset(block(page), 0, kPageSize);
    }
  }
  // Write-back of what is dirty in the range; `while_clean` runs after a page was write-protected and before its flush
  // is over, under the entry lock.
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
  // While nothing else runs.
  [[nodiscard]] bool dirty(std::uint64_t page) const noexcept { return dirty_[page]; }
  void resize(std::uint64_t bytes) noexcept { set_size(bytes); }

  Result<std::uint64_t> read(std::uint64_t, std::span<std::byte>) override { return Errno::eopnotsupp; }
  Result<std::uint64_t> write(std::uint64_t, std::span<const std::byte>) override { return Errno::eopnotsupp; }
  Result<void> truncate(std::uint64_t) override { return Errno::eopnotsupp; }
  Result<void> fallocate(Fallocate, ByteRange) override { return Errno::eopnotsupp; }

 private:
  FaultOutcome pte_fault(FaultRequest& request) noexcept DAXSIM_REQUIRES(entry_) {
    const std::uint64_t page = request.pgoff.value;
    if (page >= size_in_pages()) {
      return FaultOutcome::sigbus;
    }
    if (on_install) {
      on_install(request);
    }
    if (request.is_cow()) {
      return request.vma.install_private(request.pgoff, allocated_[page] ? block(page) : nullptr);
    }
    Installation what{.pgoff = request.pgoff, .memory = {}, .extent = {request.pgoff, 1}};
    if (!allocated_[page]) {
      if (!request.is_write()) {
        what.zero_page = true;
        return request.vma.install(what);
      }
      allocated_[page] = true;
      mapping().unmap_pages({request.pgoff, 1}, EvenCows::no);
    }
    what.memory = {.kaddr = block(page), .pfn = pfn(page), .pages = 1};
    if (request.is_write()) {
      dirty_[page] = true;
      what.writable = Writable::yes;
    }
    return request.vma.install(what);
  }

  FaultOutcome pmd_fault(FaultRequest& request) noexcept DAXSIM_REQUIRES(entry_) {
    const Pgoff first = pmd_start(request.pgoff);
    const std::uint64_t address = round_down(request.address, kPmdSize);
    const bool colours = (request.pgoff.value - first.value) == ((request.address - address) >> kPageShift);
    if (!use_pmds || request.is_cow() || !colours || address < request.vma.start() ||
        address + kPmdSize > request.vma.end() || (first + kPagesPerPmd).value > size_in_pages()) {
      return FaultOutcome::fallback;
    }
    const auto begin = allocated_.begin() + static_cast<std::ptrdiff_t>(first.value);
    const auto found = std::count(begin, begin + kPagesPerPmd, true);
    if (found != 0 && found != static_cast<std::ptrdiff_t>(kPagesPerPmd)) {
      return FaultOutcome::fallback;
    }
    if (on_install) {
      on_install(request);
    }
    Installation what{.pgoff = first, .order = kPmdOrder, .memory = {}, .extent = {first, kPagesPerPmd}};
    if (found == 0) {
      if (!request.is_write()) {
        what.zero_page = true;
        return request.vma.install(what);
      }
      allocate(first.value, kPagesPerPmd);
      mapping().unmap_pages({first, kPagesPerPmd}, EvenCows::no);
    }
    what.memory = {.kaddr = block(first.value), .pfn = pfn(first.value), .pages = kPagesPerPmd};
    if (request.is_write()) {
      std::fill_n(dirty_.begin() + static_cast<std::ptrdiff_t>(first.value), kPagesPerPmd, true);
      what.writable = Writable::yes;
    }
    return request.vma.install(what);
  }

  const std::uint64_t pages_;
  std::byte* raw_;
  std::byte* memory_;
  Mutex entry_{LockRank::entry};
  Mutex log_lock_{LockRank::media};
  std::vector<bool> allocated_;
  std::vector<bool> dirty_;
};

class SoftFileSystem final : public SuperBlock {
 public:
  explicit SoftFileSystem(System& system) : SuperBlock(system, (259U << 20) | 0) {}
  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eopnotsupp; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> unlink(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::eopnotsupp; }
  Result<std::vector<DirectoryEntry>> list() override { return Errno::eopnotsupp; }
  Result<void> sync() override { return {}; }
  Result<void> unmount() override { return {}; }
  Result<SpaceUsage> space() override { return Errno::eopnotsupp; }
};

// Declare processes after it.
struct SoftWorld {
  explicit SoftWorld(std::uint64_t pages)
      : file_system(std::make_shared<SoftFileSystem>(system)),
        inode(std::make_shared<SoftInode>(*file_system, arena, pages)) {}

  [[nodiscard]] std::shared_ptr<OpenFile> open(OpenMode mode = OpenMode::read_write) const {
    return std::make_shared<OpenFile>(file_system, inode, mode);
  }
  // Names of the events since the last call, in order.
  std::vector<std::string> events_since_last() {
    std::vector<std::string> names;
    for (const Event& event : events.since(next_event)) {
      names.emplace_back(event_name(event.type));
      next_event = event.id + 1;
    }
    return names;
  }

  VirtualClock clock;
  EventStream events{clock, 1 << 12};
  Arena arena;
  MemoryMap memory;
  System system{clock, events, arena, memory};
  std::shared_ptr<SoftFileSystem> file_system;
  std::shared_ptr<SoftInode> inode;
  std::uint64_t next_event = 1;
};

}  // namespace daxsim::test
