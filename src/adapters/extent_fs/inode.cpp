// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/inode.hpp"

#include <algorithm>
#include <array>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

// The pages from the one that begins at or after `byte` to the last that a file can have.
constexpr PageRange pages_behind(std::uint64_t byte) noexcept {
  const std::uint64_t first = pages_for(byte);
  return {{first}, kMaxFilePages - first};
}
// What the page cache is told of a page that it serves.
FileExtent as_cached(FileExtent here) noexcept {
  if (here.kind != FileExtent::Kind::memory) {
    here.device = nullptr;
  }
  here.kind = FileExtent::Kind::not_direct;
  here.cookie = 0;
  return here;
}
// And all behind it that a file could have: "to the end", as unmap_mapping_range has it.
constexpr PageRange to_the_end(Pgoff first) noexcept { return {first, kAllPages.end() - first}; }
constexpr ByteRange to_the_last_byte(std::uint64_t offset) noexcept { return {offset, ~std::uint64_t{0} - offset}; }
// Those that lie in `bytes` altogether.
constexpr PageRange whole_pages(ByteRange bytes) noexcept {
  const std::uint64_t first = round_up(bytes.offset, kPageSize);
  const std::uint64_t last = round_down(bytes.end(), kPageSize);
  return {page_of(first), first < last ? page_of(last) - page_of(first) : 0};
}
constexpr bool is_page_aligned(ByteRange bytes) noexcept {
  return bytes.offset % kPageSize == 0 && bytes.length % kPageSize == 0;
}

}  // namespace

Result<void> as_io_error(Result<void> result) noexcept {
  constexpr std::array kOfTheDevice{Errno::enxio, Errno::ehwpoison, Errno::efault, Errno::estale};
  if (!result.ok() && std::ranges::find(kOfTheDevice, result.error()) != kOfTheDevice.end()) {
    return Errno::eio;
  }
  return result;
}

ExtentInode::ExtentInode(FileSystem& file_system, File& file, std::uint64_t size, Dax dax) noexcept
    : Inode(file_system, file.ino, file_system.system().arena), file_system_(file_system), file_(file), dax_(dax) {
  set_size(size);
  if (pagecache::Pool* const pool = file_system.page_pool(); pool != nullptr) {
    cached_.emplace(*pool, *this);
  }
}

ExtentInode::~ExtentInode() {
  dax::evict(file_system_.context(), *this);
  cached_.reset();
  if (!is_evicted_) {
    file_system_.closed(file_.ino);
  }
}

bool ExtentInode::makes_changes_as_xfs() const noexcept {
  return file_system_.traits().layout_changes == LayoutChanges::xfs;
}

// --- where pages are ---

FileExtent ExtentInode::look_up_locked(Pgoff page, std::uint64_t most) noexcept {
  FileExtent answer;
  const Extent* const extent = file_.extents.find(page.value);
  if (extent == nullptr) {
    answer.kind = FileExtent::Kind::hole;
    answer.extent = file_.extents.hole_around(page.value, kMaxFilePages);
  } else {
    const std::uint64_t address = file_system_.journal().metadata().base(file_) + extent->at(page.value);
    const Place place = file_system_.chunks().place(address);
    const std::uint64_t before = std::min(place.before, page.value - extent->logical);
    answer.kind = extent->state == BlockState::written ? FileExtent::Kind::memory : FileExtent::Kind::unwritten;
    answer.extent = {{page.value - before}, before + std::min(place.pages, extent->end() - page.value)};
    answer.device = file_system_.volumes()[place.first.volume];
    answer.device_page = {place.first.page};
    answer.cookie = cookie_of(address);
    if (place.second && answer.kind == FileExtent::Kind::memory) {
      answer.copy_device = file_system_.volumes()[place.second->volume];
      answer.copy_page = {place.second->page};
    }
  }
  answer.pages = {page, std::min(most, answer.extent.end() - page)};
  if (answer.kind == FileExtent::Kind::memory) {
    const Space::Sharing sharing =
        file_system_.journal().metadata().sharing(address_of(answer.cookie), answer.pages.pages);
    answer.pages.pages = sharing.pages;
    answer.shared = sharing.shared;
    answer.written_elsewhere = file_system_.kind().writes_elsewhere;
    answer.may_be_mapped_as_hole = has_zeroed_beside_;
  }
  answer.metadata_dirty = file_system_.journal().is_dirty(file_);
  return answer;
}

// What of an unwritten extent becomes written with `pages` of it, in one piece on each volume (recorded: workloads c, e).
PageRange ExtentInode::with_zeroed_beside(const Extent& extent, PageRange pages) const noexcept {
  if (file_system_.traits().conversion == Conversion::pages) {
    return pages;
  }
  const std::uint64_t before = pages.first.value - extent.logical;
  const std::uint64_t behind = extent.end() - pages.end().value;
  const bool is_short = before + pages.pages + behind <= kZeroedBeside;
  if (is_short || behind <= kZeroedBeside) {
    pages.pages += behind;
  }
  if (is_short || before + pages.pages < kZeroedBeside) {
    pages = {pages.first - before, pages.pages + before};
  }
  return pages;
}

Result<void> ExtentInode::make_written_locked(PageRange pages) noexcept {
  Journal& journal = file_system_.journal();
  Metadata& metadata = journal.metadata();
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  if (const Extent* const extent = file_.extents.find(pages.first.value); extent != nullptr) {
    const PageRange written = with_zeroed_beside(*extent, pages);
    DAXSIM_TRY_VOID(
        file_system_.zero_blocks({{metadata.base(file_) + extent->at(written.first.value)}, written.pages}));
    has_zeroed_beside_ |= written != pages;
    return journal.change({.type = RecordType::set_state, .ino = file_.ino, .pages = written});
  }
  DAXSIM_TRY(PageRange run, file_system_.take_blocks_locked(file_, pages));
  // Taken for good by the record; what fails before it leaves them free.
  metadata.untake(run);
  // No more than the caller will hear of: what is not new to it the next time would not be invalidated.
  run.pages = std::min(run.pages, file_system_.chunks().place(run.first.value).pages);
  DAXSIM_TRY_VOID(file_system_.zero_blocks(run));
  return journal.change({.type = RecordType::map,
                         .ino = file_.ino,
                         .pages = {pages.first, run.pages},
                         .physical = run.first.value - metadata.base(file_)});
}

Result<FileExtent> ExtentInode::direct_access(PageRange pages, Access access) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (pages.first.value >= kMaxFilePages) {
    return Errno::efbig;
  }
  FileExtent answer;
  {
    const MutexLock guard(file_system_.allocation_lock());
    answer = look_up_locked(pages.first, pages.pages);
    if (access == Access::write && changes_hands_locked(answer)) {
      return as_cached(answer);  // fill_holes() comes first
    }
    if (access == Access::write && answer.kind != FileExtent::Kind::memory) {
      DAXSIM_TRY_VOID(make_written_locked(answer.pages));
      const std::uint64_t most = answer.pages.pages;
      answer = look_up_locked(pages.first, most);
      answer.is_new = true;
      answer.written_elsewhere = false;  // nothing is there yet
    }
  }
  if (is_direct(answer)) {
    const bool is_asked_later = answer.is_new || (answer.shared && access == Access::write);
    return is_asked_later ? answer : dax::generic_direct_access(answer);
  }
  if (access == Access::write && answer.shared) {
    DAXSIM_TRY(answer, copy_for_cache(answer));
  }
  return as_cached(answer);
}

Result<FileExtent> ExtentInode::report_blocks(PageRange pages) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (pages.first.value >= kMaxFilePages) {
    FileExtent nothing;
    nothing.pages = pages;
    nothing.extent = pages;
    return nothing;
  }
  return look_up(pages);
}

Result<FileExtent> ExtentInode::find_by_cookie(std::uint64_t cookie, std::uint64_t behind, PageRange pages) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const FileExtent answer = look_up(pages);
  if (answer.kind != FileExtent::Kind::memory || !is_direct(answer) || answer.cookie != cookie + behind ||
      answer.device->state() >= LifeState::disk_gone) {
    return Errno::estale;
  }
  return answer;
}

Attachment* ExtentInode::bdev() const noexcept {
  const ChunkMap& chunks = file_system_.chunks();
  const std::uint64_t first = chunks.addresses(file_.group).first.value;
  return file_system_.volumes()[chunks[chunks.find(first)].stripes[0].volume];
}

std::uint64_t ExtentInode::blocks() const noexcept {
  const MutexLock guard(file_system_.allocation_lock());
  return file_.extents.mapped_pages() * (kPageSize / kSectorSize);
}

bool ExtentInode::is_synchronous() const noexcept {
  if (!is_dax()) {
    return false;
  }
  const Volumes volumes = file_system_.volumes();
  for (std::uint32_t volume = 0; volume < volumes.size(); ++volume) {
    if (file_system_.chunks().uses(file_.group, volume) && !volumes[volume]->capabilities().synchronous) {
      return false;
    }
  }
  return true;
}

FaultOutcome ExtentInode::fault(FaultRequest& request) noexcept {
  return cached_ ? fault_piece(request) : dax::fault(file_system_.context(), *this, request);
}

Result<void> ExtentInode::fsync_range(ByteRange bytes, Datasync) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  DAXSIM_TRY_VOID(as_io_error(write_back(bytes)));
  const MutexLock guard(file_system_.allocation_lock());
  if (file_system_.journal().is_dirty(file_)) {
    return file_system_.commit_locked();
  }
  if (!file_system_.context().policy.takes(Step::fence)) {
    return {};
  }
  return fence();
}

// The data, and what of the metadata an earlier call has written.
Result<void> ExtentInode::fence() const noexcept {
  const Volumes volumes = file_system_.volumes();
  for (auto volume = static_cast<std::uint32_t>(volumes.size()); volume-- != 0;) {
    if (volume == 0 || file_system_.chunks().uses(file_.group, volume)) {
      DAXSIM_TRY_VOID(volumes[volume]->fence());
    }
  }
  return {};
}

Result<void> ExtentInode::set_group(std::uint32_t group) {
  const ExclusiveLock writing(i_rwsem());
  const SharedLock thawed(file_system_.freeze_lock());
  const MutexLock guard(file_system_.allocation_lock());
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  if (file_.group == group) {
    return {};
  }
  const ChunkMap& chunks = file_system_.chunks();
  if (file_.extents.count() != 0 && chunks.addresses(group) != chunks.addresses(file_.group)) {
    return Errno::einval;
  }
  return file_system_.journal().change({.type = RecordType::group, .ino = file_.ino, .group = group});
}

Result<XflagDax> ExtentInode::xflag_dax() {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const MutexLock guard(file_system_.allocation_lock());
  return (file_.flags & kFlagDax) != 0 ? XflagDax::set : XflagDax::clear;
}

Result<void> ExtentInode::set_xflag_dax(XflagDax flag) {
  const std::uint8_t flags = flag == XflagDax::set ? kFlagDax : 0;
  const SharedLock thawed(file_system_.freeze_lock());
  const MutexLock guard(file_system_.allocation_lock());
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  if (file_.flags == flags) {
    return {};
  }
  DAXSIM_TRY_VOID(file_system_.journal().change({.type = RecordType::flags, .ino = file_.ino, .flags = flags}));
  if (file_system_.options().dax == DaxOption::inode) {
    dont_cache_.store(true, std::memory_order_release);
  }
  return {};
}

Result<void> ExtentInode::change(std::span<const Record> records) noexcept {
  const MutexLock guard(file_system_.allocation_lock());
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  for (const Record& record : records) {
    DAXSIM_TRY_VOID(file_system_.journal().change(record));
  }
  return {};
}

// --- read and write ---

Result<std::uint64_t> ExtentInode::read(std::uint64_t offset, std::span<std::byte> to) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const SharedLock reading(i_rwsem());
  return cached_ ? read_pieces(offset, to) : dax::read(file_system_.context(), *this, offset, to);
}

Result<std::uint64_t> ExtentInode::write(std::uint64_t offset, std::span<const std::byte> from) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (from.empty()) {
    return std::uint64_t{0};
  }
  if (offset >= kMaxFileSize) {
    return Errno::efbig;
  }
  from = from.first(std::min<std::uint64_t>(from.size(), kMaxFileSize - offset));
  const ExclusiveLock writing(i_rwsem());
  if (offset > size()) {
    DAXSIM_TRY_VOID(zero_gap(offset));
  }
  DAXSIM_TRY(const std::uint64_t written,
             cached_ ? write_pieces(offset, from) : dax::write(file_system_.context(), *this, offset, from));
  if (is_dax()) {  // else write-back makes them
    DAXSIM_TRY_VOID(as_io_error(copy_to_second({offset, written})));
  }
  if (offset + written > size()) {
    DAXSIM_TRY_VOID(extend(offset + written));
  }
  return written;
}

Result<void> ExtentInode::zero_in_place(ByteRange bytes) {
  if (bytes.length == 0) {
    return {};
  }
  DAXSIM_TRY_VOID(cached_ ? zero_pieces(bytes) : dax::zero_range(file_system_.context(), *this, bytes));
  return is_dax() ? copy_to_second(bytes) : Result<void>();  // else write-back has made them
}

Result<void> ExtentInode::zero_gap(std::uint64_t offset) {
  const SharedLock thawed(file_system_.freeze_lock());
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  return zero_behind_end(offset);
}

Result<void> ExtentInode::zero_behind_end(std::uint64_t offset) {
  if (makes_changes_as_xfs() && !cached_) {
    return zero_in_place({size(), offset - size()});
  }
  const std::uint64_t last_page_end = round_up(size(), kPageSize);
  DAXSIM_TRY_VOID(zero_in_place({size(), std::min(offset, last_page_end) - size()}));
  // What a write that failed has left behind the last page.
  if (last_page_end < offset && page_of(last_page_end).value < end_of_blocks()) {
    return zero_in_place({last_page_end, offset - last_page_end});
  }
  return {};
}

Result<void> ExtentInode::extend(std::uint64_t bytes) {
  const SharedLock thawed(file_system_.freeze_lock());
  const std::array records{Record{.type = RecordType::size, .ino = file_.ino, .bytes = bytes}};
  DAXSIM_TRY_VOID(change(records));
  set_size(bytes);
  return {};
}

// --- truncate and fallocate ---

Result<void> ExtentInode::truncate(std::uint64_t bytes) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (bytes > kMaxFileSize) {
    return Errno::efbig;
  }
  const ExclusiveLock writing(i_rwsem());
  // The same size: blocks behind the end go.
  return as_io_error(bytes > size() ? grow(bytes) : shrink(bytes));
}

// As recorded (oracle, workload f): the file is unmapped; nothing is behind its new end, but the page tables are asked.
Result<void> ExtentInode::grow(std::uint64_t bytes) {
  const dax::Context& context = file_system_.context();
  {
    const SharedLock thawed(file_system_.freeze_lock());
    const ExclusiveLock no_faults(mapping().invalidate_lock());
    DAXSIM_TRY_VOID(dax::break_layouts(context, *this));
    if (makes_changes_as_xfs() || context.policy.behind_end == BehindEnd::zeroed) {
      DAXSIM_TRY_VOID(zero_behind_end(bytes));
    }
    DAXSIM_TRY_VOID(unmap_behind_end(bytes));
  }
  return extend(bytes);
}

// Of a file that will have this size. XFS writes back what it has zeroed.
Result<void> ExtentInode::unmap_behind_end(std::uint64_t bytes) {
  DAXSIM_TRY_VOID(forget_pages(to_the_end({pages_for(bytes)})));
  const bool has_zeroed = makes_changes_as_xfs() && size() % kPageSize != 0;
  return has_zeroed ? write_back({size(), bytes - size()}) : Result<void>();
}

// As recorded (oracle, workloads f, m, m2): the whole file is unmapped and the pins are waited for, the pages behind the
// new end go, and the rest of its last page is zeroed in place; XFS zeroes first.
Result<void> ExtentInode::shrink(std::uint64_t bytes) {
  const dax::Context& context = file_system_.context();
  const PageRange gone = pages_behind(bytes);
  const SharedLock thawed(file_system_.freeze_lock());
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  DAXSIM_TRY_VOID(dax::break_layouts(context, *this));
  const bool as_xfs = makes_changes_as_xfs();
  if (as_xfs) {
    if (context.policy.before_shrink == BeforeShrink::write_back) {
      DAXSIM_TRY_VOID(write_back({bytes, 1}));
    }
    if (!cached_) {
      DAXSIM_TRY_VOID(dax::truncate_page(context, *this, bytes));
    }
  }
  DAXSIM_TRY_VOID(forget_pages(to_the_end(gone.first)));
  if (!as_xfs || cached_) {
    DAXSIM_TRY_VOID(zero_in_place({bytes, byte_of(gone.first) - bytes}));
  }
  const std::array records{
      Record{.type = RecordType::unmap, .ino = file_.ino, .pages = gone},
      Record{.type = RecordType::size, .ino = file_.ino, .bytes = bytes},
  };
  DAXSIM_TRY_VOID(change(gone.empty() ? std::span(records).subspan(1) : std::span(records)));
  set_size(bytes);
  return {};
}

Result<void> ExtentInode::fallocate(Fallocate mode, ByteRange bytes) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const bool moves = mode == Fallocate::collapse_range || mode == Fallocate::insert_range;
  if (bytes.length == 0 || (moves && !is_page_aligned(bytes))) {
    return Errno::einval;
  }
  if (bytes.offset > kMaxFileSize || bytes.length > kMaxFileSize - bytes.offset) {
    return Errno::efbig;
  }
  const ExclusiveLock writing(i_rwsem());
  switch (mode) {
    case Fallocate::allocate:
    case Fallocate::allocate_keep_size:
      if (makes_changes_as_xfs()) {
        DAXSIM_TRY_VOID(change_layout(mode, bytes));
      }
      DAXSIM_TRY_VOID(allocate_unwritten(pages_of(bytes)));
      break;
    case Fallocate::unshare_range:
      if (file_system_.reflink() == Reflink::no) {
        return Errno::eopnotsupp;
      }
      DAXSIM_TRY_VOID(as_io_error(change_layout(mode, bytes)));
      DAXSIM_TRY_VOID(allocate_unwritten(pages_of(bytes)));
      break;
    case Fallocate::zero_range:
      DAXSIM_TRY_VOID(allocate_unwritten(pages_of(bytes)));
      DAXSIM_TRY_VOID(as_io_error(change_layout(mode, bytes)));
      // What was shared is holes now.
      DAXSIM_TRY_VOID(allocate_unwritten(pages_of(bytes)));
      break;
    default:
      DAXSIM_TRY_VOID(as_io_error(change_layout(mode, bytes)));
  }
  const bool extends = mode == Fallocate::allocate || mode == Fallocate::zero_range || mode == Fallocate::unshare_range;
  if (!extends || bytes.end() <= size()) {
    return {};
  }
  DAXSIM_TRY_VOID(as_io_error(zero_gap(bytes.end())));
  if (makes_changes_as_xfs()) {
    const SharedLock thawed(file_system_.freeze_lock());
    const ExclusiveLock no_faults(mapping().invalidate_lock());
    DAXSIM_TRY_VOID(as_io_error(unmap_behind_end(bytes.end())));
  }
  return extend(bytes.end());
}

Result<void> ExtentInode::change_layout(Fallocate mode, ByteRange bytes) {
  const SharedLock thawed(file_system_.freeze_lock());
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  switch (mode) {
    case Fallocate::allocate:
    case Fallocate::allocate_keep_size:
      return dax::break_layouts(file_system_.context(), *this);
    case Fallocate::punch_hole:
      return punch(bytes);
    case Fallocate::zero_range:
      // Holes have got unwritten blocks before.
      return clear_range(bytes, Clearing::make_unwritten);
    case Fallocate::collapse_range:
      return collapse(bytes);
    case Fallocate::insert_range:
      return insert(bytes);
    case Fallocate::unshare_range:
      return is_dax() ? dax::unshare_range(file_system_.context(), *this, pages_of(bytes))
                      : unshare_cached(pages_of(bytes));
    default:
      return Errno::eopnotsupp;
  }
}

Result<void> ExtentInode::allocate_unwritten(PageRange pages) {
  if (cached_) {
    return fill_holes(pages);
  }
  while (!pages.empty()) {
    const SharedLock thawed(file_system_.freeze_lock());
    const MutexLock guard(file_system_.allocation_lock());
    const FileExtent here = look_up_locked(pages.first, pages.pages);
    std::uint64_t done = here.pages.pages;
    if (here.kind == FileExtent::Kind::hole) {
      DAXSIM_TRY(done, map_unwritten_locked(here.pages));
    }
    pages = {pages.first + done, pages.pages - done};
  }
  return {};
}

Result<std::uint64_t> ExtentInode::map_unwritten_locked(PageRange hole) noexcept {
  Journal& journal = file_system_.journal();
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  DAXSIM_TRY(const PageRange run, file_system_.take_blocks_locked(file_, hole));
  journal.metadata().untake(run);
  DAXSIM_TRY_VOID(journal.change({.type = RecordType::map,
                                  .state = BlockState::unwritten,
                                  .ino = file_.ino,
                                  .pages = {hole.first, run.pages},
                                  .physical = run.first.value - journal.metadata().base(file_)}));
  return run.pages;
}

Result<void> ExtentInode::zero_edges(ByteRange bytes) {
  const std::uint64_t head_end = std::min(bytes.end(), round_up(bytes.offset, kPageSize));
  DAXSIM_TRY_VOID(zero_in_place({bytes.offset, head_end - bytes.offset}));
  const std::uint64_t tail = std::max(head_end, round_down(bytes.end(), kPageSize));
  return zero_in_place({tail, bytes.end() - tail});
}

// Of these bytes whole pages get another state, and the others read as zeros. XFS writes back and forgets the pages at the
// edges as well, and zeroes last.
Result<void> ExtentInode::clear_range(ByteRange bytes, Clearing clearing) {
  DAXSIM_TRY_VOID(dax::break_layouts(file_system_.context(), *this));
  if (makes_changes_as_xfs()) {
    const PageRange touched = pages_of(bytes);
    DAXSIM_TRY_VOID(write_back(bytes_of(touched)));
    DAXSIM_TRY_VOID(forget_pages(touched, EvenCows::no));
    DAXSIM_TRY_VOID(change_blocks(whole_pages(bytes), clearing));
    const std::uint64_t end = std::min(bytes.end(), size());
    if (cached_) {
      return zero_edges(bytes);
    }
    return bytes.offset < end ? zero_in_place({bytes.offset, end - bytes.offset}) : Result<void>();
  }
  const PageRange whole = whole_pages(bytes);
  DAXSIM_TRY_VOID(zero_edges(bytes));
  if (whole.empty()) {
    return {};
  }
  DAXSIM_TRY_VOID(forget_pages(whole, EvenCows::no));
  return change_blocks(whole, clearing);
}

Result<void> ExtentInode::change_blocks(PageRange pages, Clearing clearing) {
  if (pages.empty()) {
    return {};
  }
  if (clearing == Clearing::unmap) {
    const std::array records{Record{.type = RecordType::unmap, .ino = file_.ino, .pages = pages}};
    return change(records);
  }
  DAXSIM_TRY_VOID(leave_shared_blocks(pages));
  const std::array records{
      Record{.type = RecordType::set_state, .state = BlockState::unwritten, .ino = file_.ino, .pages = pages}};
  return change(records);
}

Result<void> ExtentInode::punch(ByteRange bytes) {
  if (!makes_changes_as_xfs() && file_system_.context().policy.before_punch == BeforePunch::write_back) {
    DAXSIM_TRY_VOID(write_back(bytes));
  }
  return clear_range(bytes, Clearing::unmap);
}

std::uint64_t ExtentInode::end_of_blocks() noexcept {
  const MutexLock guard(file_system_.allocation_lock());
  return file_.extents.end();
}

Result<void> ExtentInode::collapse(ByteRange bytes) {
  if (bytes.end() >= size()) {
    return Errno::einval;
  }
  const PageRange pages = pages_of(bytes);
  DAXSIM_TRY_VOID(dax::break_layouts(file_system_.context(), *this));
  if (makes_changes_as_xfs()) {
    DAXSIM_TRY_VOID(write_back(bytes));
    DAXSIM_TRY_VOID(forget_pages(pages, EvenCows::no));
    const std::array records{Record{.type = RecordType::unmap, .ino = file_.ino, .pages = pages}};
    DAXSIM_TRY_VOID(change(records));
    if (!cached_) {
      DAXSIM_TRY_VOID(zero_in_place(bytes));  // nothing is there any more
    }
    DAXSIM_TRY_VOID(detach_as_xfs(pages.first, size()));
  } else {
    // (oracle, f22: of the range that goes, the first page is written back)
    DAXSIM_TRY_VOID(write_back({bytes.offset, 1}));
    DAXSIM_TRY_VOID(write_back(to_the_last_byte(bytes.end())));
    DAXSIM_TRY_VOID(forget_pages(to_the_end(pages.first)));
  }
  const std::uint64_t smaller = size() - bytes.length;
  const std::array records{
      Record{.type = RecordType::unmap, .ino = file_.ino, .pages = pages},
      Record{.type = RecordType::shift_down, .ino = file_.ino, .pages = pages},
      Record{.type = RecordType::size, .ino = file_.ino, .bytes = smaller},
  };
  DAXSIM_TRY_VOID(change(records));
  set_size(smaller);
  if (!makes_changes_as_xfs() || cached_) {
    return {};
  }
  // A truncate of its own.
  DAXSIM_TRY_VOID(dax::truncate_page(file_system_.context(), *this, smaller));
  return forget_pages(to_the_end({pages_for(smaller)}));
}

// Before blocks are shifted: from the page before them on, as many bytes as the file has.
Result<void> ExtentInode::detach_as_xfs(Pgoff first, std::uint64_t file_size) {
  const Pgoff from = first.value == 0 ? first : first - 1;
  const ByteRange bytes{byte_of(from), round_up(file_size, kPageSize)};
  DAXSIM_TRY_VOID(write_back(bytes));
  return forget_pages(pages_of(bytes), EvenCows::no);
}

Result<void> ExtentInode::insert(ByteRange bytes) {
  if (bytes.offset >= size()) {
    return Errno::einval;
  }
  const PageRange pages = pages_of(bytes);
  if (bytes.length > kMaxFileSize - size() || pages.pages > kMaxFilePages - end_of_blocks()) {
    return Errno::efbig;
  }
  DAXSIM_TRY_VOID(dax::break_layouts(file_system_.context(), *this));
  const std::uint64_t larger = size() + bytes.length;
  if (makes_changes_as_xfs()) {
    DAXSIM_TRY_VOID(zero_behind_end(larger));
    DAXSIM_TRY_VOID(unmap_behind_end(larger));
    DAXSIM_TRY_VOID(detach_as_xfs(pages.first, larger));
  } else {
    DAXSIM_TRY_VOID(write_back(to_the_last_byte(bytes.offset)));
    DAXSIM_TRY_VOID(forget_pages(to_the_end(pages.first)));
  }
  const std::array records{
      Record{.type = RecordType::shift_up, .ino = file_.ino, .pages = pages},
      Record{.type = RecordType::size, .ino = file_.ino, .bytes = larger},
  };
  DAXSIM_TRY_VOID(change(records));
  set_size(larger);
  return {};
}

}  // namespace extent_fs
DAXSIM_END
