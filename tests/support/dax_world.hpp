// SPDX-License-Identifier: BSD-3-Clause
// A small world for tests of the DAX core, in which every neighbour is a fake that can be stopped and told to fail:
//
//   FakeView     a device: memory as the CPU sees it, and media that flush() copies lines to
//   FakeInode    a file: page n is device page n (or nowhere yet), one call of dax per file operation
//   FakeVma      an area with a map for page tables; load() and store() fault as a CPU does
//   World        one of each, and the machine around them
//   Parking      where a thread stops until the test lets it go
#pragma once

#include <sys/mman.h>

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <expected>
#include <functional>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/index/xarray.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "daxsim/vfs/system.hpp"
#include "daxsim/vfs/vma.hpp"
#include "support/fsync_in_core.hpp"
#include "support/parking.hpp"

namespace daxsim::test {

// Copies whole words atomically, since stores and flushes meet on the same lines.
inline void copy_words(std::byte* to, const std::byte* from, std::uint64_t length) {
  for (std::uint64_t at = 0; at < length; at += 8) {
    const auto word = __atomic_load_n(reinterpret_cast<const std::uint64_t*>(from + at), __ATOMIC_RELAXED);
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(to + at), word, __ATOMIC_RELAXED);
  }
}

class FakeView final : public DaxDevice {
 public:
  explicit FakeView(std::uint64_t pages)
      : bytes_(pages << kPageShift),
        map_(::mmap(nullptr, bytes_ + kPmdSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1,
                    0)),
        memory_(reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(map_), kPmdSize))),
        media_map_(
            ::mmap(nullptr, bytes_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)) {}
  ~FakeView() override {
    ::munmap(map_, bytes_ + kPmdSize);
    ::munmap(media_map_, bytes_);
  }

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept override {
    if (mode == DaxMode::access && on_direct_access) {
      if (const Result<std::uint64_t> answer = on_direct_access(page, pages); !answer.ok()) {
        return answer.error();
      } else {
        pages = *answer;
      }
    }
    return Memory{.kaddr = memory_ + byte_of(page), .pfn = {}, .pages = pages};
  }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {memory_, bytes_}; }
  Result<void> flush(ByteRange bytes) noexcept override {
    ++flushes;
    if (on_flush) {
      if (Result<void> result = on_flush(bytes); !result.ok()) {
        return result;
      }
    }
    const std::uint64_t first = round_down(bytes.offset, kCacheLine);
    copy_words(media() + first, memory_ + first, round_up(bytes.end(), kCacheLine) - first);
    return {};
  }
  void fence() noexcept override { ++fences; }
  std::vector<LineHistory> pending_lines() override { return {}; }
  std::uint64_t dirty_lines(ByteRange) noexcept override { return 0; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return PowerCutReport{}; }
  void unmap() noexcept override {}

  [[nodiscard]] std::byte* media() { return static_cast<std::byte*>(media_map_); }
  [[nodiscard]] std::byte* memory() { return memory_; }

  // How many pages to answer, or an error. Set before threads start.
  std::function<Result<std::uint64_t>(Pgoff page, std::uint64_t pages)> on_direct_access;
  // Before the lines are copied. Set before threads start.
  std::function<Result<void>(ByteRange)> on_flush;
  std::atomic<std::uint64_t> flushes{0};
  std::atomic<std::uint64_t> fences{0};

 private:
  const std::uint64_t bytes_;
  void* const map_;
  std::byte* const memory_;
  void* const media_map_;
};

class FakeDevice final : public Device {
 public:
  FakeDevice(std::uint64_t pages, Capabilities capabilities) : pages_(pages), capabilities_(capabilities) {}
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return pages_ << kPageShift; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override {
    return std::unique_ptr<DaxDevice>(std::make_unique<FakeView>(pages_));
  }

 private:
  const std::uint64_t pages_;
  const Capabilities capabilities_;
  const std::string name_ = "fake";
};

class FakeInode;

class FakeSuperBlock final : public SuperBlock {
 public:
  explicit FakeSuperBlock(System& system) : SuperBlock(system, (259U << 20) | 0U) {}
  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eopnotsupp; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return Errno::enoent; }
  Result<void> unlink(std::string_view) override { return Errno::enoent; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::enoent; }
  Result<std::vector<DirectoryEntry>> list() override { return std::vector<DirectoryEntry>{}; }
  Result<void> sync() override { return fsync_in_core(*this); }
  Result<void> unmount() override { return {}; }
  Result<SpaceUsage> space() override { return SpaceUsage{}; }
  [[nodiscard]] Attachment* bdev() const noexcept override { return block_device; }
  Attachment* block_device = nullptr;

  using SuperBlock::find_in_core;
  using SuperBlock::forget_in_core;
  using SuperBlock::insert_in_core;
};

// Page n of the file lives at page `base + n` of the device, once it has a block, until it is moved.
class FakeInode final : public Inode {
 public:
  enum class Block : std::uint8_t { hole, unwritten, written, not_direct };

  FakeInode(SuperBlock& super_block, std::uint64_t number, Arena& arena, const dax::Context& context,
            Attachment& device, Pgoff base, std::uint64_t pages)
      : Inode(super_block, number, arena), context_(context), device_(device), base_(base), blocks_(pages) {}
  ~FakeInode() override { dax::evict(context_, *this); }

  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override {
    ++lookups;
    if (on_direct_access) {
      if (const Result<void> result = on_direct_access(pages, access); !result.ok()) {
        return result.error();
      }
    }
    FileExtent extent;
    {
      const MutexLock guard(allocation_);
      if (pages.first.value >= blocks_.size()) {
        return Errno::efbig;
      }
      pages.pages = std::min({pages.pages, blocks_.size() - pages.first.value, longest});
      DAXSIM_TRY(extent, allocate_locked(pages, access));
    }
    Result<FileExtent> answer = extent;
    if (extent.kind == FileExtent::Kind::memory && !(extent.is_new && leaves_translation)) {
      answer = dax::generic_direct_access(extent);
    }
    if (after_direct_access) {
      after_direct_access(access);
    }
    return answer;
  }

  // Page n is copied to page `copies + n` of the device.
  Result<FileExtent> begin_copy(PageRange pages) noexcept override {
    if (on_begin_copy) {
      DAXSIM_TRY_VOID(on_begin_copy());
    }
    FileExtent copy;
    copy.kind = FileExtent::Kind::memory;
    copy.pages = pages;
    copy.extent = pages;
    copy.device = &device_;
    copy.device_page = copies + pages.first.value;
    copy.cookie = pages.first.value + 1;
    ++copying;
    return dax::generic_direct_access(copy);
  }
  Result<void> end_copy(const FileExtent& copy, Copied copied) noexcept override {
    --copying;
    if (copied == Copied::no) {
      return {};
    }
    if (on_end_copy) {
      DAXSIM_TRY_VOID(on_end_copy());
    }
    move(copy.pages, copy.device_page);
    const MutexLock guard(allocation_);
    for (Pgoff page = copy.pages.first; page < copy.pages.end(); page = page + 1) {
      shared_.erase(page.value);
    }
    return {};
  }
  // What is written there is in blocks that other files have, too.
  void share(PageRange pages) {
    const MutexLock guard(allocation_);
    for (Pgoff page = pages.first; page < pages.end(); page = page + 1) {
      shared_.insert(page.value);
    }
  }

  FaultOutcome fault(FaultRequest& request) noexcept override { return dax::fault(context_, *this, request); }
  Result<FileExtent> find_by_cookie(std::uint64_t cookie, std::uint64_t behind, PageRange pages) noexcept override {
    DAXSIM_TRY_VOID(super_block().check_alive());
    return cookie - 1 + behind == pages.first.value ? direct_access(pages, Access::read) : Errno::estale;
  }

  Result<void> fsync_range(ByteRange bytes, Datasync) noexcept override {
    DAXSIM_TRY_VOID(super_block().check_alive());
    DAXSIM_TRY_VOID(dax::writeback_range(context_, mapping(), bytes));
    if (on_commit) {
      DAXSIM_TRY_VOID(on_commit());
    }
    uncommitted = false;
    ++commits;
    return device_.fence();
  }

  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override {
    const SharedLock guard(i_rwsem());
    return dax::read(context_, *this, offset, to);
  }
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override {
    const ExclusiveLock guard(i_rwsem());
    DAXSIM_TRY(const std::uint64_t written, dax::write(context_, *this, offset, from));
    if (offset + written > size()) {
      set_size(offset + written);
    }
    return written;
  }
  Result<void> truncate(std::uint64_t bytes) override {
    const ExclusiveLock guard(i_rwsem());
    const ExclusiveLock invalidate(mapping().invalidate_lock());
    const Pgoff first{pages_for(bytes)};
    const PageRange gone{first, kAllPages.end() - first};
    DAXSIM_TRY_VOID(dax::break_layouts(context_, *this));
    if (bytes < size()) {
      DAXSIM_TRY_VOID(zero_tail(bytes));
    } else {
      DAXSIM_TRY_VOID(zero_tail(size()));
    }
    set_size(bytes);
    DAXSIM_TRY_VOID(dax::truncate_pages(context_, *this, gone));
    free_blocks(gone);
    return {};
  }
  // Punches whole pages.
  Result<void> fallocate(Fallocate mode, ByteRange bytes) override {
    const PageRange pages = pages_of(bytes);
    const ExclusiveLock guard(i_rwsem());
    const ExclusiveLock invalidate(mapping().invalidate_lock());
    if (mode == Fallocate::allocate) {
      set_blocks(pages, Block::unwritten);
      return {};
    }
    DAXSIM_TRY_VOID(dax::break_layouts(context_, *this));
    DAXSIM_TRY_VOID(dax::truncate_pages(context_, *this, pages, EvenCows::no));
    free_blocks(pages);
    return {};
  }

  void resize(std::uint64_t bytes) { set_size(bytes); }
  void set_blocks(PageRange pages, Block block) {
    const MutexLock guard(allocation_);
    for (Pgoff page = pages.first; page < pages.end(); page = page + 1) {
      blocks_[page.value] = block;
    }
  }
  [[nodiscard]] Block block(Pgoff page) {
    const MutexLock guard(allocation_);
    return blocks_[page.value];
  }
  [[nodiscard]] Pgoff device_page(Pgoff page) const {
    const auto moved = moved_.find(page.value);
    return moved == moved_.end() ? base_ + page.value : moved->second;
  }
  // From now on these pages are at `to` and behind it. No fault is under way.
  void move(PageRange pages, Pgoff to) {
    const MutexLock guard(allocation_);
    for (std::uint64_t behind = 0; behind < pages.pages; ++behind) {
      moved_[pages.first.value + behind] = to + behind;
    }
  }

  // Set before threads start.
  std::function<Result<void>(PageRange, Access)> on_direct_access;
  std::function<void(Access)> after_direct_access;  // the answer is made, and nobody has used it yet
  std::function<Result<void>()> on_commit;
  std::function<Result<void>()> on_begin_copy;
  std::function<Result<void>()> on_end_copy;
  Pgoff copies{2 * kPagesPerPmd};
  std::atomic<int> copying{0};                // begun and not ended
  std::uint64_t longest = ~std::uint64_t{0};  // pages in one answer
  bool leaves_translation = true;             // of new blocks, to dax
  std::atomic<bool> uncommitted{false};       // a crash now would lose the newest blocks
  std::atomic<std::uint64_t> commits{0};
  std::atomic<std::uint64_t> lookups{0};
  std::atomic<std::uint64_t> zeroed{0};  // blocks

 private:
  Result<FileExtent> allocate_locked(PageRange pages, Access access) noexcept DAXSIM_REQUIRES(allocation_) {
    const auto kind_of = [](Block block) {
      switch (block) {
        case Block::hole:
          return FileExtent::Kind::hole;
        case Block::unwritten:
          return FileExtent::Kind::unwritten;
        case Block::written:
          return FileExtent::Kind::memory;
        case Block::not_direct:
          break;
      }
      return FileExtent::Kind::not_direct;
    };
    const Block first = blocks_[pages.first.value];
    FileExtent extent;
    extent.kind = kind_of(first);
    extent.pages.first = pages.first;
    const bool allocates = access == Access::write && (first == Block::hole || first == Block::unwritten);
    while (extent.pages.pages < pages.pages && blocks_[pages.first.value + extent.pages.pages] == first &&
           device_page(pages.first + extent.pages.pages) == device_page(pages.first) + extent.pages.pages) {
      ++extent.pages.pages;
    }
    extent.device = &device_;
    extent.device_page = device_page(pages.first);
    extent.cookie = pages.first.value + 1;
    if (extent.kind == FileExtent::Kind::memory && !shared_.empty()) {
      extent.shared = shared_.contains(pages.first.value);
      std::uint64_t same = 1;
      while (same < extent.pages.pages && shared_.contains(pages.first.value + same) == extent.shared) {
        ++same;
      }
      extent.pages.pages = same;
    }
    if (allocates) {
      DAXSIM_TRY_VOID(device_.zero({byte_of(extent.device_page), extent.pages.pages << kPageShift}));
      zeroed += extent.pages.pages;
      for (std::uint64_t n = 0; n < extent.pages.pages; ++n) {
        blocks_[pages.first.value + n] = Block::written;
      }
      extent.kind = FileExtent::Kind::memory;
      extent.is_new = true;
      uncommitted = true;
    }
    extent.extent = extent.pages;
    extent.metadata_dirty = uncommitted;
    return extent;
  }
  Result<void> zero_tail(std::uint64_t bytes) {
    const std::uint64_t rest = round_up(bytes, kPageSize) - bytes;
    return rest == 0 ? Result<void>{} : dax::zero_range(context_, *this, {bytes, rest});
  }
  void free_blocks(PageRange pages) { set_blocks(pages.clip({{0}, blocks_.size()}), Block::hole); }

  const dax::Context& context_;
  Attachment& device_;
  const Pgoff base_;
  Mutex allocation_{LockRank::allocation};
  std::vector<Block> blocks_;
  std::set<std::uint64_t> shared_ DAXSIM_GUARDED_BY(allocation_);
  std::map<std::uint64_t, Pgoff> moved_;  // changed under allocation_, while no fault looks
};

// What a load or store came to: the byte, or the outcome of the fault that it ended in.
using Loaded = std::expected<std::uint8_t, FaultOutcome>;
using Stored = std::expected<void, FaultOutcome>;

class FakeVma final : public Vma {
 public:
  FakeVma(Inode& inode, VmFlags flags, std::uint64_t start, PageRange pages, std::uint32_t task = 0)
      : Vma(inode.mapping(), flags, start, pages), inode_(inode), task_(task) {
    mapping().insert(*this);
  }
  ~FakeVma() { mapping().remove(*this); }

  FaultOutcome install(const Installation& what) noexcept override {
    if (before_install) {
      before_install(what);
    }
    if (install_fails) {
      return *install_fails;
    }
    const std::lock_guard guard(lock_);
    const Pte page{.state = {.kind = what.zero_page ? PteState::Kind::zero_page : PteState::Kind::memory,
                             .writable = what.writable == Writable::yes,
                             .order = what.order,
                             .pfn = what.memory.pfn},
                   .memory = what.memory.kaddr};
    if (what.order != 0) {
      if (any_pte(what.pgoff)) {
        return FaultOutcome::fallback;
      }
      pmds_[what.pgoff.value] = page;
      return FaultOutcome::nopage;
    }
    pmds_.erase(pmd_start(what.pgoff).value);
    Pte& old = ptes_[what.pgoff.value];
    if (old.state.kind == PteState::Kind::private_copy) {
      return FaultOutcome::nopage;
    }
    const bool other_page = old.state.kind == PteState::Kind::memory && old.state.pfn != page.state.pfn;
    if (!other_page) {
      const bool was_writable = old.state.writable;
      old = page;
      old.state.writable = page.state.writable || was_writable;
    }
    return FaultOutcome::nopage;
  }
  FaultOutcome install_private(Pgoff page, const std::byte* source) noexcept override {
    if (install_fails) {
      return *install_fails;
    }
    const std::lock_guard guard(lock_);
    pmds_.erase(pmd_start(page).value);
    Pte& pte = ptes_[page.value];
    if (pte.state.kind == PteState::Kind::private_copy) {
      return FaultOutcome::nopage;
    }
    pte.copy = std::make_shared<std::byte[]>(kPageSize);
    if (source != nullptr) {
      std::memcpy(pte.copy.get(), source, kPageSize);
    }
    pte.memory = pte.copy.get();
    pte.state = {.kind = PteState::Kind::private_copy, .writable = true, .order = 0, .pfn = {}};
    return FaultOutcome::done_cow;
  }
  std::uint64_t write_protect(PageRange pages) noexcept override {
    const std::lock_guard guard(lock_);
    std::uint64_t writable = 0;
    for_each_pte(pages, [&writable](Pte& pte) {
      if (pte.state.kind == PteState::Kind::memory && pte.state.writable) {
        pte.state.writable = false;
        ++writable;
      }
      return false;
    });
    return writable;
  }
  void unmap(PageRange pages, EvenCows even_cows) noexcept override {
    const std::lock_guard guard(lock_);
    for_each_pte(pages, [even_cows](const Pte& pte) {
      return pte.state.kind != PteState::Kind::private_copy || even_cows == EvenCows::yes;
    });
  }
  [[nodiscard]] PteState pte(Pgoff page) noexcept override {
    PteState state;
    {
      const std::lock_guard guard(lock_);
      if (const Pte* const found = find(page); found != nullptr) {
        state = found->state;
        if (state.order == kPmdOrder) {
          state.pfn = state.pfn + page.value % kPagesPerPmd;
        }
      }
    }
    if (after_pte) {
      after_pte(page);
    }
    return state;
  }
  [[nodiscard]] bool has_page_table(Pgoff page) noexcept override {
    const std::lock_guard guard(lock_);
    return pmds_.contains(pmd_start(page).value) || any_pte(pmd_start(page));
  }
  [[nodiscard]] FaultCounts fault_counts() noexcept override { return {}; }

  // --- the CPU's side ---

  [[nodiscard]] Loaded load(Pgoff page, std::uint64_t offset = 0) {
    for (;;) {
      {
        const std::lock_guard guard(lock_);
        if (const Pte* const pte = find(page); pte != nullptr) {
          const std::byte* const memory = memory_of(*pte, page);
          return memory == nullptr
                     ? std::uint8_t{0}
                     : __atomic_load_n(reinterpret_cast<const std::uint8_t*>(memory + offset), __ATOMIC_RELAXED);
        }
      }
      if (const FaultOutcome outcome = fault(page, Access::read); !outcome.resolved()) {
        return std::unexpected(outcome);
      }
    }
  }
  [[nodiscard]] Stored store(Pgoff page, std::uint8_t value, std::uint64_t offset = 0) {
    for (;;) {
      {
        const std::lock_guard guard(lock_);
        if (const Pte* const pte = find(page); pte != nullptr && pte->state.writable) {
          std::byte* const memory = memory_of(*pte, page);
          __atomic_store_n(reinterpret_cast<std::uint8_t*>(memory + offset), value, __ATOMIC_RELAXED);
          return {};
        }
      }
      if (const FaultOutcome outcome = fault(page, Access::write); !outcome.resolved()) {
        return std::unexpected(outcome);
      }
    }
  }
  // A 2 MiB attempt first where the area allows it and nothing small is mapped there, then one page.
  FaultOutcome fault(Pgoff page, Access access) {
    const PageRange pmd{pmd_start(page), kPagesPerPmd};
    const PteState old = pte(page);
    const bool empty_or_huge = !has_page_table(page) || old.order == kPmdOrder;
    if (tries_pmd && empty_or_huge && pages().clip(pmd) == pmd) {
      const FaultOutcome outcome = fault(page, access, kPmdOrder);
      if (!outcome.has(FaultOutcome::fallback)) {
        return outcome;
      }
    }
    return fault(page, access, 0);
  }
  FaultOutcome fault(Pgoff page, Access access, unsigned order) {
    ++faults;
    FaultRequest request{.vma = *this,
                         .pgoff = page,
                         .address = address_of(page),
                         .order = order,
                         .flags = fault_flag::kUserFault | (access == Access::write ? fault_flag::kWrite : 0U),
                         .task = task_};
    return inode_.fault(request);
  }

  // Set before threads start.
  std::function<void(const Installation&)> before_install;
  std::function<void(Pgoff)> after_pte;
  std::optional<FaultOutcome> install_fails;
  bool tries_pmd = true;
  std::atomic<std::uint64_t> faults{0};

 private:
  struct Pte {
    PteState state;
    std::byte* memory = nullptr;
    std::shared_ptr<std::byte[]> copy{};
  };
  Pte* find(Pgoff page) {
    if (const auto pmd = pmds_.find(pmd_start(page).value); pmd != pmds_.end()) {
      return &pmd->second;
    }
    const auto pte = ptes_.find(page.value);
    return pte == ptes_.end() || pte->second.state.kind == PteState::Kind::none ? nullptr : &pte->second;
  }
  static std::byte* memory_of(const Pte& pte, Pgoff page) {
    return pte.memory == nullptr || pte.state.order == 0 ? pte.memory : pte.memory + byte_of({page - pmd_start(page)});
  }
  bool any_pte(Pgoff first) {
    const auto found = ptes_.lower_bound(first.value);
    return found != ptes_.end() && found->first < first.value + kPagesPerPmd;
  }
  // `visit` says whether the page-table entry goes.
  template <class Visit>
  void for_each_pte(PageRange range, Visit visit) {
    for (auto item = ptes_.lower_bound(range.first.value); item != ptes_.end() && range.contains({item->first});) {
      item = visit(item->second) ? ptes_.erase(item) : std::next(item);
    }
    for (auto item = pmds_.begin(); item != pmds_.end();) {
      const bool goes = range.overlaps({{item->first}, kPagesPerPmd}) && visit(item->second);
      item = goes ? pmds_.erase(item) : std::next(item);
    }
  }

  Inode& inode_;
  const std::uint32_t task_;
  std::mutex lock_;
  std::map<std::uint64_t, Pte> ptes_;
  std::map<std::uint64_t, Pte> pmds_;
};

inline constexpr std::uint64_t kArea = 0x200000000000;
inline constexpr ByteRange kWholeFile{0, ~std::uint64_t{0}};

struct WorldOptions {
  std::uint64_t device_pages = 4 * kPagesPerPmd;
  std::uint64_t file_pages = 2 * kPagesPerPmd;
  Capabilities capabilities{};
  Policy policy{};
  Pgoff base{0};  // device page of the file's page 0
};

// A machine with one device, one file system, one file of holes.
class World {
 public:
  explicit World(const WorldOptions& options = {})
      : context{.system = system, .design = designs::pfn(), .policy = options.policy} {
    auto medium = std::make_shared<FakeDevice>(options.device_pages, options.capabilities);
    const Pfn first = must(memory.reserve(options.device_pages));
    device = std::make_unique<Attachment>(medium, must(medium->make_view({arena, clock})), first, 259U << 20, events);
    memory.bind(first, *device);
    super_block = std::make_shared<FakeSuperBlock>(system);
    file = add_file(15, options.file_pages, options.base);
  }
  ~World() {
    super_block->forget_in_core(file->number());
    file.reset();
  }

  std::shared_ptr<FakeInode> add_file(std::uint64_t number, std::uint64_t pages, Pgoff base) {
    auto inode = std::make_shared<FakeInode>(*super_block, number, arena, context, *device, base, pages);
    inode->resize(pages << kPageShift);
    super_block->insert_in_core(inode);
    return inode;
  }
  [[nodiscard]] FakeView& view() { return static_cast<FakeView&>(device->view()); }
  [[nodiscard]] std::uint8_t on_media(Pgoff page, std::uint64_t offset = 0) {
    return static_cast<std::uint8_t>(view().media()[byte_of(file->device_page(page)) + offset]);
  }
  [[nodiscard]] Pfn pfn(Pgoff page) const { return device->first_pfn() + file->device_page(page).value; }

  // --- the index ---
  [[nodiscard]] Entry entry(Pgoff page) { return file->mapping().pages().load(page); }
  [[nodiscard]] bool marked(Pgoff page, Mark mark) { return file->mapping().pages().marked(page, mark); }
  [[nodiscard]] bool dirty(Pgoff page) { return marked(page, Mark::dirty); }

  struct Slot {
    Pgoff first;
    Entry entry;
    bool dirty = false;
    bool towrite = false;
    bool writeback = false;
  };
  [[nodiscard]] std::vector<Slot> slots() {
    std::vector<Slot> found;
    XCursor cursor(file->mapping().pages(), {0});
    const MutexLock guard(cursor.lock());
    for (Entry entry = cursor.find(kAllPages.end()); !entry.is_null(); entry = cursor.find(kAllPages.end())) {
      found.push_back({.first = cursor.found_index(),
                       .entry = entry,
                       .dirty = cursor.marked(Mark::dirty),
                       .towrite = cursor.marked(Mark::towrite),
                       .writeback = cursor.marked(Mark::writeback)});
    }
    return found;
  }

  // What must hold while nobody is inside (kernel facts, I1 to I7); empty, or what does not.
  [[nodiscard]] std::string broken_invariant(const std::vector<FakeVma*>& areas) {
    if (!file->mapping().pages().consistent()) {
      return "the index is not consistent";
    }
    for (const Slot& slot : slots()) {
      const std::string at = " at page " + std::to_string(slot.first.value);
      const bool is_read_hole = slot.entry.is_zero() && context.policy.read_fault == ReadFaultEntry::dirty;
      if ((slot.dirty || slot.towrite) && !slot.entry.is_real() && !is_read_hole) {
        return "I1: a mark without storage" + at;
      }
      if (slot.entry.locked() || slot.writeback) {
        return "I6: something was left behind" + at;
      }
      if (slot.entry.order() != 0 && (slot.first.value % kPagesPerPmd != 0 ||
                                      (slot.entry.is_real() && slot.entry.payload() % kPagesPerPmd != 0))) {
        return "I7: a misaligned PMD" + at;
      }
    }
    for (FakeVma* const area : areas) {
      for (Pgoff page = area->pages().first; page < area->pages().end(); page = page + 1) {
        const std::string at = " at page " + std::to_string(page.value);
        const PteState pte = area->pte(page);
        const Entry covering = entry(page);
        if (pte.kind == PteState::Kind::zero_page && !covering.is_zero()) {
          return "a zero page without its entry" + at;
        }
        if (pte.kind != PteState::Kind::memory) {
          continue;
        }
        if (!covering.is_real()) {
          return "I2: a page without its entry" + at;
        }
        const std::uint64_t inside_entry = covering.order() == 0 ? 0 : page - pmd_start(page);
        if (covering.payload() + inside_entry != pte.pfn.value) {
          return "I2: another page than the entry's" + at;
        }
        if (pte.writable && !dirty(page)) {
          return "I3: writable but clean" + at;
        }
      }
    }
    return {};
  }

  // Names of the events since `first_id`, in order.
  [[nodiscard]] std::vector<std::string> names_since(std::uint64_t first_id) {
    std::vector<std::string> names;
    for (const Event& event : events.since(first_id)) {
      names.emplace_back(event_name(event.type));
    }
    return names;
  }

  VirtualClock clock;
  EventStream events{clock, 1 << 12};
  Arena arena;
  MemoryMap memory;
  System system{.clock = clock, .events = events, .arena = arena, .memory = memory};
  dax::Context context;
  std::unique_ptr<Attachment> device;
  std::shared_ptr<FakeSuperBlock> super_block;
  std::shared_ptr<FakeInode> file;
};

}  // namespace daxsim::test
