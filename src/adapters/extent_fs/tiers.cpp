// SPDX-License-Identifier: BSD-3-Clause
// One file, served by two: dax serves what is on direct devices, and holes; the page cache serves the rest, and all of a
// file that is not S_DAX. Both look at the answer of direct_access under invalidate_lock, and refuse what is not theirs;
// whoever was wrong looks again.
//
// A page changes hands when
//   a hole gets blocks on a device that is not direct (fill_holes): dax may have shown zeros there;
//   such blocks leave the file (forget_pages): it is a hole again;
//   blocks move between such a device and a direct one (dax::relocate).
#include <algorithm>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

bool ExtentInode::is_direct(const FileExtent& here) const noexcept {
  return is_dax() && (!cached_ || here.device == nullptr || here.device->is_direct());
}

bool ExtentInode::changes_hands_locked(const FileExtent& here) noexcept {
  if (!cached_ || here.kind != FileExtent::Kind::hole || !is_direct(here)) {
    return false;
  }
  const std::uint32_t group = file_system_.group_with_room_locked(file_);
  return !file_system_.volumes()[file_system_.chunks().first_of(group).stripes[0].volume]->is_direct();
}

ExtentInode::Piece ExtentInode::piece_at(ByteRange bytes, Access access) noexcept {
  const MutexLock guard(file_system_.allocation_lock());
  const FileExtent here = look_up_locked(page_of(bytes.offset), pages_of(bytes).pages);
  Piece piece{.direct = is_direct(here), .length = std::min(bytes.length, byte_of(here.pages.end()) - bytes.offset)};
  if (access == Access::write && changes_hands_locked(here)) {
    piece.direct = false;
    piece.hole = here.pages;
  }
  return piece;
}

// Calls `copy(bytes, direct)`, which answers how many it has done; 0: there are no more.
template <class Copy>
Result<std::uint64_t> ExtentInode::for_each_piece(ByteRange bytes, Access access, Copy copy) {
  std::uint64_t done = 0;
  while (done < bytes.length) {
    const ByteRange left{bytes.offset + done, bytes.length - done};
    const Piece piece = piece_at(left, access);
    Result<std::uint64_t> here = std::uint64_t{0};
    if (!piece.hole.empty()) {
      const Result<void> filled = fill_holes(piece.hole);
      if (filled.ok() || piece_at(left, access).hole.empty()) {
        continue;  // at least its front is filled
      }
      here = filled.error();
    } else {
      here = copy({left.offset, piece.length}, piece.direct);
    }
    if (!here.ok() && piece_at(left, access).direct != piece.direct) {
      continue;
    }
    if (!here.ok() && done == 0) {
      return here;
    }
    if (!here.ok() || *here == 0) {
      break;
    }
    done += *here;
  }
  return done;
}

Result<std::uint64_t> ExtentInode::read_pieces(std::uint64_t offset, std::span<std::byte> to) {
  const std::uint64_t wanted = offset >= size() ? 0 : std::min<std::uint64_t>(to.size(), size() - offset);
  return for_each_piece({offset, wanted}, Access::read, [&](ByteRange bytes, bool direct) {
    const std::span part = to.subspan(bytes.offset - offset, bytes.length);
    return direct ? dax::read(file_system_.context(), *this, bytes.offset, part) : cached_->read(bytes.offset, part);
  });
}

Result<std::uint64_t> ExtentInode::write_pieces(std::uint64_t offset, std::span<const std::byte> from) {
  return for_each_piece({offset, from.size()}, Access::write, [&](ByteRange bytes, bool direct) {
    const std::span part = from.subspan(bytes.offset - offset, bytes.length);
    return direct ? dax::write(file_system_.context(), *this, bytes.offset, part) : cached_->write(bytes.offset, part);
  });
}

Result<void> ExtentInode::zero_pieces(ByteRange bytes) {
  while (bytes.length != 0) {
    const Piece piece = piece_at(bytes, Access::read);
    const ByteRange here{bytes.offset, piece.length};
    if (piece.direct) {
      DAXSIM_TRY_VOID(dax::zero_range(file_system_.context(), *this, here));
    } else {
      DAXSIM_TRY_VOID(cached_->zero_range(here));
      // Before a size that shows the zeros can be durable.
      DAXSIM_TRY_VOID(cached_->writeback_range(here));
    }
    bytes = {bytes.offset + here.length, bytes.length - here.length};
  }
  return {};
}

FaultOutcome ExtentInode::fault_piece(FaultRequest& request) noexcept {
  const Access access = request.is_write() && !request.is_cow() ? Access::write : Access::read;
  const ByteRange page{byte_of(request.pgoff), kPageSize};
  for (;;) {
    const Piece piece = piece_at(page, access);
    if (!piece.hole.empty()) {
      if (const Result<void> filled = fill_holes(piece.hole.clip({{0}, size_in_pages()})); !filled.ok()) {
        return FaultOutcome::from(filled.error());
      }
    }
    const FaultOutcome outcome =
        piece.direct ? dax::fault(file_system_.context(), *this, request) : cached_->fault(request);
    if (!outcome.has(FaultOutcome::sigbus) || piece_at(page, access).direct == piece.direct) {
      return outcome;
    }
  }
}

Result<void> ExtentInode::fill_holes(PageRange pages) noexcept {
  const SharedLock thawed(file_system_.freeze_lock());
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  while (!pages.empty()) {
    const FileExtent here = look_up(pages);
    std::uint64_t done = here.pages.pages;
    if (here.kind == FileExtent::Kind::hole) {
      // What dax shows as zeros there, with the huge pages that reach into it.
      const Pgoff first = pmd_start(here.pages.first);
      const Pgoff end = pmd_start(here.pages.end() + (kPagesPerPmd - 1));
      const PageRange shown = PageRange{first, end - first}.clip(here.extent);
      static_cast<void>(dax::invalidate_pages(file_system_.context(), *this, shown).ok());  // a hole has no dirty entry
      const MutexLock guard(file_system_.allocation_lock());
      DAXSIM_TRY(done, map_unwritten_locked(here.pages));
    }
    pages = {pages.first + done, pages.pages - done};
  }
  return {};
}

Result<void> ExtentInode::forget_pages(PageRange pages, EvenCows even_cows) {
  DAXSIM_TRY_VOID(dax::truncate_pages(file_system_.context(), *this, pages, even_cows));
  if (cached_) {
    cached_->truncate_pages(pages, even_cows);
  }
  return {};
}

Result<void> ExtentInode::empty_cache(PageRange pages) noexcept {
  DAXSIM_TRY_VOID(cached_->writeback_range(bytes_of(pages)));
  cached_->truncate_pages(pages, EvenCows::no);
  return {};
}

Result<void> ExtentInode::write_back(ByteRange bytes) noexcept {
  const Result<void> flushed = dax::writeback_range(file_system_.context(), mapping(), bytes);
  if (!cached_) {
    return flushed;
  }
  const Result<void> written = cached_->writeback_range(bytes);
  DAXSIM_TRY_VOID(flushed);
  return written;
}

}  // namespace extent_fs
DAXSIM_END
