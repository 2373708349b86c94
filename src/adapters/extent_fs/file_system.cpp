// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/file_system.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <string>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {
namespace {

// mkfs holds a device like a file system, but has nothing to tear down.
class FormatHolder final : public Holder {
 public:
  explicit FormatHolder(Attachment& device) noexcept : device_(device) {}
  ~FormatHolder() { device_.release(*this); }
  Result<void> pre_remove(Attachment&) override { return Errno::eopnotsupp; }
  Result<void> failure(Attachment&, ByteRange) override { return Errno::eopnotsupp; }
  void revoke(Attachment&, ByteRange) override {}

 private:
  Attachment& device_;
};

// Metadata is on a direct device, and only the files of some kinds may be on others; all are stored to. Errors:
// Errno::einval.
Result<void> check_devices(Volumes volumes, const Kind& kind) noexcept {
  const auto may_be_indirect = kind.placement == Placement::preferred ? 1 : std::ssize(volumes);
  const auto is_read_only = [](const Attachment* volume) { return volume->capabilities().read_only; };
  return std::ranges::all_of(volumes.first(may_be_indirect), &Attachment::is_direct) &&
                 std::ranges::none_of(volumes, is_read_only)
             ? Result<void>()
             : Result<void>(Errno::einval);
}

}  // namespace

Result<void> FileSystem::make(Volumes volumes, const Kind& kind, const MakeOptions& options) {
  DAXSIM_TRY_VOID(check_devices(volumes, kind));
  Geometry::Blocks blocks{};
  std::ranges::transform(volumes, blocks.begin(), &Attachment::pages);
  if (std::ranges::count(blocks, 0) != kMaxVolumes - std::ssize(volumes)) {
    return Errno::einval;
  }
  DAXSIM_TRY(const Geometry geometry, Geometry::make(blocks, options.files, kind.map, options.reflink));
  DAXSIM_TRY(const ChunkMap chunks, kind.map == MapOfChunks::stored
                                        ? ChunkMap::plan(geometry, options.profile, options.stripe_pages)
                                        : Result<ChunkMap>(ChunkMap::of_volumes(geometry, kind.placement)));
  std::deque<FormatHolder> holders;
  for (Attachment* const volume : volumes) {
    DAXSIM_TRY_VOID(volume->claim(holders.emplace_back(*volume)));
  }
  return Journal::format(volumes, geometry, kind, chunks);
}

Result<std::shared_ptr<SuperBlock>> FileSystem::mount(const dax::Context& context, Volumes volumes, const Kind& kind,
                                                      const MountOptions& options) {
  DAXSIM_TRY_VOID(check_devices(volumes, kind));
  auto file_system = std::make_shared<FileSystem>(context, volumes, kind, options);
  DAXSIM_TRY_VOID(file_system->load());
  return std::shared_ptr<SuperBlock>(std::move(file_system));
}

FileSystem::FileSystem(const dax::Context& context, Volumes volumes, const Kind& kind, const MountOptions& options)
    : SuperBlock(context.system, volumes[0]->dev(), kind.traits),
      context_(context),
      volumes_(volumes.begin(), volumes.end()),
      kind_(kind),
      options_(options) {}

void FileSystem::release_devices() noexcept {
  for (Attachment* const volume : volumes_) {
    volume->release(*this);
  }
}

FileSystem::~FileSystem() {
  release_devices();
  // From here on closing a file changes nothing on the device.
  unmounted_.store(true, std::memory_order_release);
  std::map<std::uint32_t, std::shared_ptr<Inode>> last_uses;
  const MutexLock guard(name_space_);
  last_uses.swap(in_core_);
}

Result<void> FileSystem::load() {
  for (Attachment* const volume : volumes_) {
    DAXSIM_TRY_VOID(volume->claim(*this));
    if (volume->is_direct() && context_.policy.takes(Step::probe_last_page)) {
      // Its memory may have been rounded down to what the memory map can describe. (The first page is read below.)
      const Gate::Reader inside(volume->gate());
      DAXSIM_TRY_VOID(volume->direct_access({volume->pages() - 1}, 1));
    }
  }
  const MutexLock guard(allocation_lock_);
  DAXSIM_TRY(journal_, Journal::load(volumes_, kind_, context_.system.arena));
  chunks_ = &journal_->chunks();
  std::uint64_t cacheable = 0;
  for (const Attachment* const volume : volumes_) {
    cacheable += volume->is_direct() && options_.dax == DaxOption::always ? 0 : volume->pages();
  }
  if (cacheable != 0) {
    // No more pages than blocks are ever cached.
    DAXSIM_TRY(page_pool_, pagecache::Pool::create(system(), std::min(cacheable, kMostPoolPages)));
  }
  reflink_ = journal_->reflink();
  DAXSIM_TRY_VOID(journal_->release_orphans());
  // Whatever a crash left behind the end of the log is out of the way now, and both slots are good again.
  return journal_->checkpoint();
}

Result<void> FileSystem::check_mounted() const noexcept {
  DAXSIM_TRY_VOID(check_alive());
  if (unmounted_.load(std::memory_order_acquire)) {
    return Errno::eio;
  }
  return {};
}

// --- changes ---

// A commit that failed leaves the device behind what is in memory: no later one can be right.
Result<void> FileSystem::checked_locked(Result<void> result) noexcept {
  system().events.emit({
      .type = EventType::journal_commit,
      .dev = dev(),
      .ret = result.ok() ? 0 : -static_cast<std::int64_t>(result.error()),
  });
  if (result.ok()) {
    return {};
  }
  shutdown(Errno::eio);
  return Errno::eio;
}

Result<void> FileSystem::begin_change_locked() noexcept {
  DAXSIM_TRY_VOID(check_mounted());
  if (journal_->has_room()) {
    return {};
  }
  return checked_locked(journal_->commit());
}

Result<void> FileSystem::commit_locked() noexcept {
  if (!journal_->is_dirty()) {
    return journal_->fence();
  }
  return checked_locked(journal_->commit());
}

Result<void> FileSystem::checkpoint_locked() noexcept { return checked_locked(journal_->checkpoint()); }

// --- blocks ---

Result<void> FileSystem::zero_blocks(PageRange addresses) const noexcept {
  while (!addresses.empty()) {
    const Place place = chunks_->place(addresses.first.value);
    const std::uint64_t pages = std::min(addresses.pages, place.pages);
    const auto zero = [&](const DevicePage& at) {
      return volumes_[at.volume]->zero({at.page << kPageShift, pages << kPageShift});
    };
    DAXSIM_TRY_VOID(zero(place.first));
    if (place.second) {
      DAXSIM_TRY_VOID(zero(*place.second));
    }
    addresses = {addresses.first + pages, addresses.pages - pages};
  }
  return {};
}

bool FileSystem::may_use_locked(std::uint32_t group, std::size_t chunk) const noexcept {
  return (*chunks_)[chunk].group == group && !closed_[chunk];
}

bool FileSystem::has_room_locked(std::uint32_t group) noexcept {
  for (std::size_t chunk = 0; chunk < chunks_->count(); ++chunk) {
    const Space& space = journal_->metadata().spaces()[chunk];
    if (may_use_locked(group, chunk) && space.free_pages() + space.deferred_pages() != 0) {
      return true;
    }
  }
  return false;
}

std::uint32_t FileSystem::group_with_room_locked(const File& file) noexcept {
  if (kind_.placement == Placement::bound || has_room_locked(file.group)) {
    return file.group;
  }
  for (std::uint32_t group = 0; group < chunks_->groups(); ++group) {
    if (has_room_locked(group)) {
      return group;
    }
  }
  return file.group;
}

Result<PageRange> FileSystem::take_blocks_locked(File& file, PageRange hole) noexcept {
  return take_blocks_locked(file, hole, group_with_room_locked(file));
}

Result<PageRange> FileSystem::take_blocks_locked(File& file, PageRange hole, std::uint32_t group) noexcept {
  Metadata& metadata = journal_->metadata();
  const Extent* const before = file.extents.before(hole.first.value);
  const std::size_t count = chunks_->count();
  const std::size_t nearest =
      before == nullptr ? 0 : chunks_->find(metadata.base(file) + before->physical + before->pages - 1);
  for (;;) {
    std::uint64_t deferred = 0;
    for (const Placing placing : {Placing::well, Placing::anywhere}) {
      for (std::size_t tried = 0; tried < count; ++tried) {
        const std::size_t chunk = (nearest + tried) % count;
        if (!may_use_locked(group, chunk)) {
          continue;
        }
        const PageRange run = find_blocks_locked(file, hole, chunk, placing);
        if (!run.empty()) {
          return PageRange{run.first + (*chunks_)[chunk].first, run.pages};
        }
        deferred += metadata.spaces()[chunk].deferred_pages();
      }
    }
    if (deferred == 0) {
      return Errno::enospc;
    }
    DAXSIM_TRY_VOID(checkpoint_locked());
  }
}

PageRange FileSystem::find_blocks_locked(File& file, PageRange hole, std::size_t chunk, Placing placing) noexcept {
  const std::uint64_t in_pmd = hole.first.value % kPagesPerPmd;
  if (in_pmd == 0 && hole.pages >= kPagesPerPmd) {
    hole.pages = round_down(hole.pages, kPagesPerPmd);
  } else {
    // Not beyond the next 2 MiB of the file, which want a place of their own.
    hole.pages = std::min(hole.pages, kPagesPerPmd - in_pmd);
  }
  return placing == Placing::well ? find_well_locked(file, hole, chunk)
                                  : journal_->metadata().spaces()[chunk].take_any(hole.pages);
}

PageRange FileSystem::find_well_locked(File& file, PageRange hole, std::size_t chunk) noexcept {
  Space& space = journal_->metadata().spaces()[chunk];
  if (hole.pages < kPagesPerPmd) {
    // A file stays in its chunk as long as there is room: another chunk has no better place for a piece of a huge page.
    const PageRange run = space.take_at(goal_locked(file, chunk, hole.first), hole.pages);
    return run.empty() ? space.take_any(hole.pages) : run;
  }
  const Extent* const before = file.extents.before(hole.first.value);
  if (before != nullptr && before->end() == hole.first.value) {
    const auto next = continuing_locked(file, before, chunk, hole.first.value);
    if (next && *next % kPagesPerPmd == 0) {
      const PageRange run = space.take_at(*next, hole.pages);
      if (run.pages >= kPagesPerPmd) {
        return run;
      }
      space.untake(run);
    }
  }
  return space.take_groups(hole.pages);
}

std::optional<std::uint64_t> FileSystem::continuing_locked(const File& file, const Extent* extent, std::size_t chunk,
                                                           std::uint64_t page) noexcept {
  const Chunk& here = (*chunks_)[chunk];
  const std::uint64_t address = journal_->metadata().base(file) + extent->physical + page - extent->logical;
  if (address < here.first || address >= here.end()) {
    return {};
  }
  return address - here.first;
}

// Where page `first` of a file would continue its neighbours, or lie as in a huge page, or have room for its neighbours.
std::uint64_t FileSystem::goal_locked(File& file, std::size_t chunk, Pgoff first) noexcept {
  const Pgoff pmd = pmd_start(first);
  const bool fills_pmd = byte_of(pmd + kPagesPerPmd) <= file.size;
  const bool begins_pmd = fills_pmd && first == pmd;
  const Extent* const before = file.extents.before(first.value);
  if (before != nullptr && !begins_pmd && (before->end() == first.value || before->end() > pmd.value)) {
    if (const auto next = continuing_locked(file, before, chunk, first.value); next) {
      return *next;
    }
  }
  const Extent* const after = file.extents.at_or_after(first.value);
  if (after != nullptr && after->logical < (pmd + kPagesPerPmd).value) {
    if (const auto in_front = continuing_locked(file, after, chunk, first.value); in_front) {
      return *in_front;
    }
  }
  Space& space = journal_->metadata().spaces()[chunk];
  if (fills_pmd) {
    if (const auto group = space.find_group(); group) {
      return *group + (first - pmd);
    }
  }
  return space.first_free() + (first - pmd);
}

// --- names ---

Result<std::uint32_t> FileSystem::find_locked(std::string_view name) noexcept {
  const File* const file = journal_->metadata().find(name);
  if (file == nullptr) {
    return Errno::enoent;
  }
  return file->ino;
}

FileSystem::InCore FileSystem::in_core(std::uint32_t ino) const noexcept {
  return in_core_.contains(ino) ? InCore::yes : InCore::no;
}

std::shared_ptr<Inode> FileSystem::drop_from_core(std::uint32_t ino) {
  const auto found = in_core_.find(ino);
  if (found == in_core_.end()) {
    return nullptr;
  }
  std::shared_ptr<Inode> inode = std::move(found->second);
  in_core_.erase(found);
  return inode;
}

bool FileSystem::evict(std::shared_ptr<Inode>& inode) {
  auto& file = static_cast<ExtentInode&>(*inode);
  if (!file.may_be_evicted() || inode.use_count() != 1 || !file.write_back({0, ~std::uint64_t{0}}).ok()) {
    return false;
  }
  file.set_evicted(true);
  const std::weak_ptr<Inode> before = inode;
  inode.reset();
  // Somebody who walks through all files in core may have come by, and uses it then.
  inode = before.lock();
  if (inode != nullptr) {
    file.set_evicted(false);
  }
  return inode == nullptr;
}

std::shared_ptr<Inode> FileSystem::keep_in_core(std::uint32_t ino) {
  if (const auto found = in_core_.find(ino); found != in_core_.end() && !evict(found->second)) {
    return found->second;
  }
  File* file = nullptr;
  std::uint64_t size = 0;
  bool dax = options_.dax == DaxOption::always;
  {
    const MutexLock guard(allocation_lock_);
    file = journal_->metadata().find(ino);
    size = file->size;
    dax |= options_.dax == DaxOption::inode && (file->flags & kFlagDax) != 0;
  }
  const auto inode =
      std::make_shared<ExtentInode>(*this, *file, size, dax ? ExtentInode::Dax::yes : ExtentInode::Dax::no);
  in_core_.insert_or_assign(ino, inode);
  insert_in_core(inode);
  return inode;
}

Result<std::shared_ptr<Inode>> FileSystem::create(std::string_view path) {
  DAXSIM_TRY(const std::string_view name, parse_name(path));
  const MutexLock names(name_space_);
  std::uint32_t ino = 0;
  {
    const SharedLock thawed(freeze_lock());
    const MutexLock guard(allocation_lock_);
    DAXSIM_TRY_VOID(begin_change_locked());
    if (journal_->metadata().find(name) != nullptr) {
      return Errno::eexist;
    }
    DAXSIM_TRY(ino, journal_->metadata().free_ino());
    DAXSIM_TRY_VOID(journal_->change({.type = RecordType::create, .ino = ino, .name = name}));
    if (const std::uint8_t flags = journal_->metadata().directory_flags(); flags != 0) {
      DAXSIM_TRY_VOID(journal_->change({.type = RecordType::flags, .ino = ino, .flags = flags}));
    }
  }
  return keep_in_core(ino);
}

Result<std::shared_ptr<Inode>> FileSystem::open(std::string_view path) {
  DAXSIM_TRY(const std::string_view name, parse_name(path));
  const MutexLock names(name_space_);
  DAXSIM_TRY_VOID(check_mounted());
  std::uint32_t ino = 0;
  {
    const MutexLock guard(allocation_lock_);
    DAXSIM_TRY(ino, find_locked(name));
  }
  return keep_in_core(ino);
}

// Takes the name from a file; one that nobody has open is gone at once.
Result<void> FileSystem::remove_name_locked(std::uint32_t ino, InCore in_core) noexcept {
  DAXSIM_TRY_VOID(journal_->change({.type = RecordType::unlink, .ino = ino}));
  if (in_core == InCore::yes) {
    ++open_orphans_;
    return {};
  }
  return journal_->change({.type = RecordType::release, .ino = ino});
}

Result<void> FileSystem::unlink(std::string_view path) {
  DAXSIM_TRY(const std::string_view name, parse_name(path));
  // Dropped last, with no lock held: it may be the last use of the inode.
  std::shared_ptr<Inode> last_use;
  const MutexLock names(name_space_);
  std::uint32_t ino = 0;
  {
    const SharedLock thawed(freeze_lock());
    const MutexLock guard(allocation_lock_);
    DAXSIM_TRY_VOID(begin_change_locked());
    DAXSIM_TRY(ino, find_locked(name));
    DAXSIM_TRY_VOID(remove_name_locked(ino, in_core(ino)));
  }
  last_use = drop_from_core(ino);
  return {};
}

Result<void> FileSystem::rename(std::string_view from_path, std::string_view to_path) {
  DAXSIM_TRY(const std::string_view from, parse_name(from_path));
  DAXSIM_TRY(const std::string_view to, parse_name(to_path));
  std::shared_ptr<Inode> last_use;
  const MutexLock names(name_space_);
  std::uint32_t replaced = 0;
  {
    const SharedLock thawed(freeze_lock());
    const MutexLock guard(allocation_lock_);
    DAXSIM_TRY_VOID(begin_change_locked());
    DAXSIM_TRY(const std::uint32_t ino, find_locked(from));
    if (const auto there = find_locked(to); there.ok()) {
      if (*there == ino) {
        return {};
      }
      replaced = *there;
      DAXSIM_TRY_VOID(remove_name_locked(replaced, in_core(replaced)));
    }
    DAXSIM_TRY_VOID(journal_->change({.type = RecordType::rename, .ino = ino, .name = to}));
  }
  last_use = drop_from_core(replaced);
  return {};
}

Result<std::vector<DirectoryEntry>> FileSystem::list() {
  std::vector<DirectoryEntry> entries;
  const MutexLock names(name_space_);
  DAXSIM_TRY_VOID(check_mounted());
  // Names do not change under name_space_; the other lock is let go for each string that is made.
  std::array<char, kMaxName> name;
  std::size_t length = 0;
  for (;;) {
    std::uint64_t ino = 0;
    std::uint64_t size = 0;
    {
      const MutexLock guard(allocation_lock_);
      const File* const file = journal_->metadata().after({name.data(), length});
      if (file == nullptr) {
        return entries;
      }
      length = file->name().copy(name.data(), name.size());
      ino = file->ino;
      size = file->size;
    }
    entries.push_back({.name = {name.data(), length}, .ino = ino, .size = size});
  }
}

// --- the whole file system ---

Result<void> FileSystem::write_back_all() {
  Result<void> result;
  for (const std::shared_ptr<Inode>& inode : inodes_in_core()) {
    const auto written = static_cast<ExtentInode&>(*inode).write_back({0, ~std::uint64_t{0}});
    if (result.ok()) {
      result = written;
    }
  }
  return result;
}

Result<void> FileSystem::sync() {
  DAXSIM_TRY_VOID(check_mounted());
  const bool writes_back = context_.policy.takes(Step::sync_all_files);
  const Result<void> written = writes_back ? write_back_all() : Result<void>();
  const MutexLock guard(allocation_lock_);
  DAXSIM_TRY_VOID(commit_locked());
  return written;
}

Result<SpaceUsage> FileSystem::space() {
  DAXSIM_TRY_VOID(check_mounted());
  const MutexLock guard(allocation_lock_);
  SpaceUsage usage;
  for (const Space& space : journal_->metadata().spaces()) {
    usage.total_pages += space.total_pages();
    usage.free_pages += space.free_pages() + space.deferred_pages();
  }
  return usage;
}

Result<XflagDax> FileSystem::xflag_dax() {
  DAXSIM_TRY_VOID(check_mounted());
  const MutexLock guard(allocation_lock_);
  return (journal_->metadata().directory_flags() & kFlagDax) != 0 ? XflagDax::set : XflagDax::clear;
}

Result<void> FileSystem::set_xflag_dax(XflagDax flag) {
  const std::uint8_t flags = flag == XflagDax::set ? kFlagDax : 0;
  const SharedLock thawed(freeze_lock());
  const MutexLock guard(allocation_lock_);
  DAXSIM_TRY_VOID(begin_change_locked());
  return journal_->change({.type = RecordType::flags, .ino = 0, .flags = flags});
}

Result<void> FileSystem::unmount() {
  std::map<std::uint32_t, std::shared_ptr<Inode>> last_uses;
  {
    const MutexLock names(name_space_);
    if (unmounted_.load(std::memory_order_acquire)) {
      return Errno::eio;
    }
    for (const auto& [ino, inode] : in_core_) {
      if (inode.use_count() != 1) {
        return Errno::ebusy;
      }
    }
    {
      const MutexLock guard(allocation_lock_);
      if (open_orphans_ != 0) {
        return Errno::ebusy;
      }
    }
    if (check_alive().ok()) {
      DAXSIM_TRY_VOID(write_back_all());
      const MutexLock guard(allocation_lock_);
      DAXSIM_TRY_VOID(checkpoint_locked());
    }
    unmounted_.store(true, std::memory_order_release);
    last_uses.swap(in_core_);
  }
  last_uses.clear();
  release_devices();
  return {};
}

void FileSystem::closed(std::uint32_t ino) noexcept {
  forget_in_core(ino);
  const MutexLock guard(allocation_lock_);
  if (!journal_->metadata().find(ino)->name().empty()) {
    return;
  }
  --open_orphans_;
  if (begin_change_locked().ok()) {
    // Frees; needs no memory, and what is not freed now is freed at the next mount.
    [[maybe_unused]] const auto released = journal_->change({.type = RecordType::release, .ino = ino});
  }
}

}  // namespace extent_fs
DAXSIM_END
