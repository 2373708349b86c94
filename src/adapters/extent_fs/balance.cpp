// SPDX-License-Identifier: BSD-3-Clause
// Blocks move while files are open and mapped, a run of pages at a time (dax::relocate); what they leave is free after two
// more checkpoints, as everything that is freed.
//
// Balance: all blocks of some chunks move to others. A chunk that is being emptied is closed: nobody gets blocks there.
// Files leave it one after the other. Promotion and demotion: some pages of one file move to the chunks of a group.
#include <algorithm>
#include <array>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

Result<void> ExtentInode::move_blocks_locked(PageRange pages, std::uint64_t to) noexcept {
  Metadata& metadata = file_system_.journal().metadata();
  const std::uint64_t base = metadata.base(file_);
  const std::uint64_t from = base + file_.extents.find(pages.first.value)->at(pages.first.value);
  DAXSIM_TRY_VOID(file_system_.journal().change(
      {.type = RecordType::move, .ino = file_.ino, .pages = pages, .physical = to - base}));
  for (std::uint64_t behind = 0; behind < pages.pages;) {
    const Place old = file_system_.chunks().place(from + behind);
    const Space::Sharing left = metadata.sharing(from + behind, std::min(old.pages, pages.pages - behind));
    if (!left.shared) {
      file_system_.volumes()[old.first.volume]->end_generation({{old.first.page}, left.pages});
    }
    behind += left.pages;
  }
  return {};
}

class ExtentInode::Move final : public dax::BlockMover {
 public:
  Move(ExtentInode& inode, const Plan& plan) noexcept : inode_(inode), plan_(plan) {}
  // Blocks that were not moved to are free again.
  ~Move() {
    if (!done_) {
      const MutexLock guard(inode_.file_system_.allocation_lock());
      inode_.file_system_.journal().metadata().untake(plan_.to);
    }
  }

  // Errors: Errno::eagain (a fault has made some of the blocks written since the plan, or copied them), and those of the
  // devices.
  Result<void> copy() noexcept override {
    FileSystem& fs = inode_.file_system_;
    // Only then: pages that are mapped directly stay mapped here, whatever the page cache forgets.
    if (!is_direct()) {
      DAXSIM_TRY_VOID(inode_.empty_cache(plan_.pages));
    }
    {
      const MutexLock guard(fs.allocation_lock());
      const Extent* const extent = inode_.file_.extents.find(plan_.pages.first.value);
      if (extent == nullptr || extent->state != plan_.state || extent->end() < plan_.pages.end().value ||
          fs.journal().metadata().base(inode_.file_) + extent->at(plan_.pages.first.value) != plan_.from) {
        return Errno::eagain;
      }
    }
    if (plan_.state == BlockState::unwritten) {
      return {};
    }
    std::array<std::byte, kPageSize> page;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
    for (std::uint64_t behind = 0; behind < plan_.pages.pages; ++behind) {
      const Place from = fs.chunks().place(plan_.from + behind);
      const Place to = fs.chunks().place(plan_.to.first.value + behind);
      const auto write = [&](const DevicePage& at) {
        return fs.volumes()[at.volume]->write(at.page << kPageShift, page);
      };
      DAXSIM_TRY_VOID(fs.volumes()[from.first.volume]->read(from.first.page << kPageShift, page));
      DAXSIM_TRY_VOID(write(to.first));
      if (to.second) {
        DAXSIM_TRY_VOID(write(*to.second));
      }
    }
    return {};
  }

  Result<void> switch_place() noexcept override {
    const MutexLock guard(inode_.file_system_.allocation_lock());
    DAXSIM_TRY_VOID(inode_.file_system_.begin_change_locked());
    // Taken for good by the record.
    inode_.file_system_.journal().metadata().untake(plan_.to);
    done_ = true;
    return inode_.move_blocks_locked(plan_.pages, plan_.to.first.value);
  }

 private:
  bool is_direct() noexcept { return inode_.is_direct(inode_.look_up({plan_.pages.first, 1})); }
  ExtentInode& inode_;
  const Plan& plan_;
  bool done_ = false;
};

Result<ExtentInode::Plan> ExtentInode::plan_move(PageRange pages, std::optional<std::uint32_t> group) noexcept {
  const MutexLock guard(file_system_.allocation_lock());
  const ChunkMap& chunks = file_system_.chunks();
  const std::uint64_t base = file_system_.journal().metadata().base(file_);
  while (const Extent* const extent = file_.extents.at_or_after(pages.first.value)) {
    const PageRange here = pages.clip(extent->range());
    if (here.empty()) {
      break;
    }
    const std::uint64_t address = base + extent->at(here.first.value);
    const std::size_t chunk = chunks.find(address);
    const PageRange run{here.first, std::min(here.pages, chunks[chunk].end() - address)};
    if (group ? chunks[chunk].group != *group : file_system_.is_closed_locked(chunk)) {
      const BlockState state = extent->state;
      DAXSIM_TRY_VOID(file_system_.check_mounted());
      DAXSIM_TRY(const PageRange to, group ? file_system_.take_blocks_locked(file_, run, *group)
                                           : file_system_.take_blocks_locked(file_, run));
      return Plan{.pages = {run.first, to.pages}, .from = address, .to = to, .state = state};
    }
    pages = {run.end(), pages.end() - run.end()};
  }
  return Plan{};
}

Result<std::uint64_t> ExtentInode::leave_closed_chunks() { return move_blocks({{0}, kMaxFilePages}, {}); }

Result<std::uint64_t> ExtentInode::move_to_group(PageRange pages, std::uint32_t group) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  return move_blocks(pages.clip({{0}, kMaxFilePages}), group);
}

Result<std::uint64_t> ExtentInode::move_blocks(PageRange pages, std::optional<std::uint32_t> group) {
  const ExclusiveLock writing(i_rwsem());
  const SharedLock thawed(file_system_.freeze_lock());
  std::uint64_t moved = 0;
  for (;;) {
    DAXSIM_TRY(const Plan plan, plan_move(pages, group));
    if (plan.pages.empty()) {
      return moved;
    }
    Move move(*this, plan);
    const Result<void> relocated = dax::relocate(file_system_.context(), *this, plan.pages, move);
    if (!relocated.ok() && relocated.error() == Errno::eagain) {
      continue;
    }
    DAXSIM_TRY_VOID(as_io_error(relocated));
    moved += plan.pages.pages;
    pages = {plan.pages.end(), pages.end() - plan.pages.end()};
  }
}

std::shared_ptr<ExtentInode> FileSystem::next_inode(std::uint64_t ino) {
  const MutexLock names(name_space_);
  for (;; ++ino) {
    bool is_named = false;
    {
      const MutexLock guard(allocation_lock_);
      const File* const file = journal_->metadata().from(ino);
      if (file == nullptr) {
        return nullptr;
      }
      ino = file->ino;
      is_named = !file->name().empty();
    }
    // One without a name is open, or about to be gone.
    const std::shared_ptr<Inode> inode = is_named ? keep_in_core(static_cast<std::uint32_t>(ino)) : find_in_core(ino);
    if (inode != nullptr) {
      return std::static_pointer_cast<ExtentInode>(inode);
    }
  }
}

Result<BalanceReport> FileSystem::balance(const std::bitset<kMaxChunks>& chunks) {
  {
    const MutexLock guard(allocation_lock_);
    if (closed_.any()) {
      return Errno::ebusy;
    }
    closed_ = chunks;
  }
  BalanceReport report;
  Result<void> result;
  std::uint64_t next = 1;
  while (const std::shared_ptr<ExtentInode> inode = next_inode(next)) {
    const Result<std::uint64_t> moved = inode->leave_closed_chunks();
    if (!moved.ok()) {
      result = moved.error();
      break;
    }
    report.files += *moved == 0 ? 0 : 1;
    report.pages += *moved;
    next = inode->number() + 1;
  }
  const MutexLock guard(allocation_lock_);
  closed_.reset();
  DAXSIM_TRY_VOID(result);
  DAXSIM_TRY_VOID(commit_locked());
  return report;
}

std::uint64_t FileSystem::used_pages(std::size_t chunk) noexcept {
  const MutexLock guard(allocation_lock_);
  const Space& space = journal_->metadata().spaces()[chunk];
  return space.total_pages() - space.free_pages() - space.deferred_pages();
}

}  // namespace extent_fs
DAXSIM_END
