// SPDX-License-Identifier: BSD-3-Clause
// Files that share blocks (F3 rows 22 and 24, F9). Every block has a count of its owners (space.hpp); nobody stores to one
// that others have too. Whoever wants to gets a block of his own first: begin_copy takes it, dax copies, end_copy is one
// record of the log. So a power cut leaves the old block or the new one, and the copy is on the media before the record
// can be.
//
// A clone is, for each run of blocks, one record as well. Before, what is dirty is written back, and afterwards no page of
// the run is mapped writable anywhere: the next store faults.
#include <algorithm>
#include <array>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

// --- copy-on-write ---

Result<FileExtent> ExtentInode::begin_copy(PageRange pages) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  FileExtent copy;
  {
    const MutexLock guard(file_system_.allocation_lock());
    copy = look_up_locked(pages.first, pages.pages);
    DAXSIM_TRY(PageRange run, file_system_.take_blocks_locked(file_, copy.pages));
    const Place place = file_system_.chunks().place(run.first.value);
    if (place.pages < run.pages) {
      file_system_.journal().metadata().untake({run.first + place.pages, run.pages - place.pages});
      run.pages = place.pages;
    }
    copy.pages.pages = run.pages;
    copy.extent = copy.pages;
    copy.device = file_system_.volumes()[place.first.volume];
    copy.device_page = {place.first.page};
    copy.cookie = cookie_of(run.first.value);
    copy.metadata_dirty = true;
    copy.shared = false;
    copy.memory = {};
  }
  return copy;
}

Result<void> ExtentInode::end_copy(const FileExtent& copy, Copied copied) noexcept {
  const PageRange run{{address_of(copy.cookie)}, copy.pages.pages};
  Result<void> result;
  if (copied == Copied::yes) {
    result = as_io_error(copy_blocks_to_second(run));
  }
  const MutexLock guard(file_system_.allocation_lock());
  // Taken for good by the record.
  file_system_.journal().metadata().untake(run);
  if (copied == Copied::no || !result.ok()) {
    return result;
  }
  DAXSIM_TRY_VOID(file_system_.begin_change_locked());
  return move_blocks_locked(copy.pages, run.first.value);
}

Result<FileExtent> ExtentInode::copy_for_cache(const FileExtent& shared) noexcept {
  DAXSIM_TRY(const FileExtent copy, begin_copy({shared.pages.first, 1}));
  std::array<std::byte, kPageSize> page;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  Result<void> copied = shared.device->read(byte_of(shared.device_page), page);
  if (copied.ok()) {
    copied = copy.device->write(byte_of(copy.device_page), page);
  }
  const Result<void> ended = end_copy(copy, copied.ok() ? Copied::yes : Copied::no);
  DAXSIM_TRY_VOID(copied);
  DAXSIM_TRY_VOID(ended);
  return copy;
}

Result<void> ExtentInode::unshare_cached(PageRange pages) noexcept {
  for (Pgoff page = pages.first; page < pages.end();) {
    const FileExtent here = look_up({page, pages.end() - page});
    if (here.shared) {
      DAXSIM_TRY_VOID(copy_for_cache(here));
    }
    page = here.shared ? page + 1 : here.pages.end();
  }
  return {};
}

Result<void> ExtentInode::leave_shared_blocks(PageRange pages) noexcept {
  for (Pgoff page = pages.first; page < pages.end();) {
    const FileExtent here = look_up({page, pages.end() - page});
    if (here.shared) {
      const std::array records{Record{.type = RecordType::unmap, .ino = file_.ino, .pages = here.pages}};
      DAXSIM_TRY_VOID(change(records));
    }
    page = here.pages.end();
  }
  return {};
}

// --- FICLONERANGE ---

// The checks of Linux (remap_range): whole pages, save at the end of the source where that becomes the end of the file.
Result<ExtentInode::Clone> ExtentInode::plan_clone(ExtentInode& source, ByteRange bytes,
                                                   std::uint64_t offset) noexcept {
  const std::uint64_t end_of_source = source.size();
  if (bytes.offset % kPageSize != 0 || offset % kPageSize != 0 || bytes.offset > end_of_source) {
    return Errno::einval;
  }
  if (bytes.length == 0) {
    bytes.length = end_of_source - bytes.offset;
  }
  if (bytes.length > end_of_source - bytes.offset) {
    return Errno::einval;
  }
  if (offset > kMaxFileSize || bytes.length > kMaxFileSize - offset) {
    return Errno::efbig;
  }
  const Clone clone{
      .source = source, .from = pages_of(bytes), .to = pages_of({offset, bytes.length}), .end = offset + bytes.length};
  const bool ends_in_page = clone.end % kPageSize != 0;
  if ((ends_in_page && (bytes.end() != end_of_source || clone.end < size())) ||
      (&source == this && clone.from.overlaps(clone.to)) || source.file_.group != file_.group) {
    return Errno::einval;
  }
  return clone;
}

Result<void> ExtentInode::reflink(Inode& source, ByteRange bytes, std::uint64_t offset) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (file_system_.reflink() == Reflink::no) {
    return Errno::eopnotsupp;
  }
  auto& from = static_cast<ExtentInode&>(source);
  const ExclusiveLocks writing(i_rwsem(), from.i_rwsem());
  DAXSIM_TRY(const Clone clone, plan_clone(from, bytes, offset));
  if (clone.from.empty()) {
    return {};
  }
  if (offset > size()) {
    DAXSIM_TRY_VOID(as_io_error(zero_gap(offset)));
  }
  const SharedLock thawed(file_system_.freeze_lock());
  return as_io_error(&from == this ? clone_alone(clone) : clone_from_other(clone));
}

Result<void> ExtentInode::clone_alone(const Clone& clone) {
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  DAXSIM_TRY_VOID(dax::break_layouts(file_system_.context(), *this));
  return share_blocks(clone);
}

// Both files stand still together, if nothing of either is pinned. Pins of one are waited for with nothing of the other held
// (F9).
Result<void> ExtentInode::clone_from_other(const Clone& clone) {
  const dax::Context& context = file_system_.context();
  ExtentInode& source = clone.source;
  for (;;) {
    {
      const ExclusiveLocks no_faults(mapping().invalidate_lock(), source.mapping().invalidate_lock());
      if (dax::try_break_layouts(context, source) && dax::try_break_layouts(context, *this)) {
        return share_blocks(clone);
      }
    }
    for (ExtentInode* const file : {&source, this}) {
      const ExclusiveLock no_faults(file->mapping().invalidate_lock());
      DAXSIM_TRY_VOID(dax::break_layouts(context, *file));
    }
  }
}

Result<void> ExtentInode::share_blocks(const Clone& clone) {
  DAXSIM_TRY_VOID(clone.source.write_back(bytes_of(clone.from)));
  // Forgotten as well: a MAP_SYNC fault that has committed would else find its entry, and let the page be stored to.
  dax::forget_shared(file_system_.context(), clone.source, clone.from);
  DAXSIM_TRY_VOID(forget_pages(clone.to, EvenCows::no));
  {
    const MutexLock guard(file_system_.allocation_lock());
    Journal& journal = file_system_.journal();
    for (Pgoff page = clone.from.first; page < clone.from.end();) {
      DAXSIM_TRY_VOID(file_system_.begin_change_locked());
      const FileExtent here = look_up_in(clone.source, page, clone.from.end() - page);
      const PageRange to{clone.to.first + (page - clone.from.first), here.pages.pages};
      if (here.kind != FileExtent::Kind::memory) {
        DAXSIM_TRY_VOID(journal.change({.type = RecordType::unmap, .ino = file_.ino, .pages = to}));
      } else if (!journal.metadata().can_share(to.pages)) {
        return Errno::enospc;
      } else {
        DAXSIM_TRY_VOID(journal.change({.type = RecordType::share,
                                        .ino = file_.ino,
                                        .pages = to,
                                        .physical = address_of(here.cookie) - journal.metadata().base(file_)}));
      }
      page = here.pages.end();
    }
    if (clone.end <= size()) {
      return {};
    }
    DAXSIM_TRY_VOID(file_system_.begin_change_locked());
    DAXSIM_TRY_VOID(journal.change({.type = RecordType::size, .ino = file_.ino, .bytes = clone.end}));
  }
  set_size(clone.end);
  return {};
}

}  // namespace extent_fs
DAXSIM_END
