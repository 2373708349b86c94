// SPDX-License-Identifier: BSD-3-Clause
// ExtentInode: one file in core. Its extents are in File, under the file system's allocation lock.
//
// Each page of the file is served by dax or by the page cache (is_direct), and stays with the one that serves it while
// anybody holds invalidate_lock: it changes hands under the exclusive lock only, and the one that it leaves has
// forgotten it by then (tiers.cpp).
#pragma once

#include <atomic>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "adapters/extent_fs/file_system.hpp"
#include "adapters/extent_fs/metadata.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

using daxsim::bytes_of;  // of a record
constexpr ByteRange bytes_of(PageRange pages) noexcept { return {byte_of(pages.first), pages.pages << kPageShift}; }

// An address, in one word that is never 0.
constexpr std::uint64_t cookie_of(std::uint64_t address) noexcept { return address + 1; }
constexpr std::uint64_t address_of(std::uint64_t cookie) noexcept { return cookie - 1; }

// A device that is gone, or memory that is bad or not what it was, is an I/O error to a system call.
Result<void> as_io_error(Result<void> result) noexcept;

class ExtentInode final : public Inode {
 public:
  // `dax`: S_DAX.
  enum class Dax : std::uint8_t { no, yes };
  ExtentInode(FileSystem& file_system, File& file, std::uint64_t size, Dax dax) noexcept;
  ~ExtentInode() override;

  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override;
  Result<FileExtent> report_blocks(PageRange pages) noexcept override;
  Result<FileExtent> begin_copy(PageRange pages) noexcept override;
  Result<void> end_copy(const FileExtent& copy, Copied copied) noexcept override;
  Result<FileExtent> find_by_cookie(std::uint64_t cookie, std::uint64_t behind, PageRange pages) noexcept override;
  FaultOutcome fault(FaultRequest& request) noexcept override;
  // Makes the second copy of what has one.
  Result<void> written_back(PageRange pages) noexcept override;
  // Where the addresses begin that the file may have; a file on several devices has no better answer.
  [[nodiscard]] Attachment* bdev() const noexcept override;
  [[nodiscard]] std::uint64_t blocks() const noexcept override;
  [[nodiscard]] bool is_synchronous() const noexcept override;
  [[nodiscard]] bool is_dax() const noexcept override { return dax_ == Dax::yes; }
  Result<XflagDax> xflag_dax() override;
  Result<void> set_xflag_dax(XflagDax flag) override;
  Result<void> fsync_range(ByteRange bytes, Datasync datasync) noexcept override;
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override;
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override;
  Result<void> truncate(std::uint64_t bytes) override;
  Result<void> fallocate(Fallocate mode, ByteRange bytes) override;
  Result<void> reflink(Inode& source, ByteRange bytes, std::uint64_t offset) override;

  // Of which group of chunks the blocks to come are; the one they are of is always good.
  // Errors: Errno::einval (it has blocks of another), Errno::eio, Errno::eshutdown.
  Result<void> set_group(std::uint32_t group);
  [[nodiscard]] FileSystem& file_system() const noexcept { return file_system_; }

  // I_DONTCACHE: whoever finds that nobody uses it may evict it. The file system says that it does so, or that it was kept
  // from it, so that the end of this object is not taken for the end of the file. Context: the name space's lock held.
  [[nodiscard]] bool may_be_evicted() const noexcept { return dont_cache_.load(std::memory_order_acquire); }
  void set_evicted(bool evicted) noexcept { is_evicted_ = evicted; }

  // Writes back what is dirty in the range when called, whoever serves it; no fence.
  // Errors: those of dax::writeback_range and of FilePages::writeback_range.
  Result<void> write_back(ByteRange bytes) noexcept;

  // Moves the blocks that are in closed chunks to others; how many pages. Errors: Errno::enospc (there is no room
  // elsewhere; what has moved has moved), Errno::eintr, Errno::eio, Errno::eshutdown, Errno::enomem.
  Result<std::uint64_t> leave_closed_chunks();
  // Moves those blocks of `pages` to the chunks of this group that are in others; how many pages. Errors: as
  // leave_closed_chunks.
  Result<std::uint64_t> move_to_group(PageRange pages, std::uint32_t group);
  // Compares the copies of what is written, and makes the second like the first where they differ.
  // Errors: Errno::eio, Errno::eshutdown, Errno::enospc, Errno::enomem.
  Result<void> scrub(ScrubReport& report);
  // Which pages are on these pages of the device.
  std::vector<PageRange> pages_on(const Attachment& device, PageRange device_pages);

 private:
  // What `page` is now, whoever serves it; the answer's pages are [page, page + most) at most.
  FileExtent look_up_locked(Pgoff page, std::uint64_t most) noexcept DAXSIM_REQUIRES(file_system_.allocation_lock());
  // The same of the first of `pages`.
  FileExtent look_up(PageRange pages) noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock()) {
    const MutexLock guard(file_system_.allocation_lock());
    return look_up_locked(pages.first, pages.pages);
  }
  // Makes a hole or unwritten pages at the front of `pages` written zeros. Errors: as direct_access.
  Result<void> make_written_locked(PageRange pages) noexcept DAXSIM_REQUIRES(file_system_.allocation_lock());

  [[nodiscard]] PageRange with_zeroed_beside(const Extent& extent, PageRange pages) const noexcept;
  [[nodiscard]] bool makes_changes_as_xfs() const noexcept;
  // Whether dax serves a page of which look_up_locked says this; if not, the page cache does.
  [[nodiscard]] bool is_direct(const FileExtent& here) const noexcept;
  // Whether a page changes hands when it gets its blocks: a hole that dax serves, and the page cache will.
  [[nodiscard]] bool changes_hands_locked(const FileExtent& here) noexcept
      DAXSIM_REQUIRES(file_system_.allocation_lock());
  // Of a hole, unwritten blocks for its front; how many pages. Errors: those of take_blocks_locked, Errno::enomem.
  Result<std::uint64_t> map_unwritten_locked(PageRange hole) noexcept DAXSIM_REQUIRES(file_system_.allocation_lock());

  // A file with both (tiers.cpp): its bytes piece by piece, each of which one of the two serves.
  struct Piece {
    bool direct = true;
    std::uint64_t length = 0;  // bytes
    PageRange hole{};          // to fill before the one who will serve it can; none: there is nothing to do
  };
  Piece piece_at(ByteRange bytes, Access access) noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());
  template <class Copy>
  Result<std::uint64_t> for_each_piece(ByteRange bytes, Access access, Copy copy);
  Result<std::uint64_t> read_pieces(std::uint64_t offset, std::span<std::byte> to);
  Result<std::uint64_t> write_pieces(std::uint64_t offset, std::span<const std::byte> from) DAXSIM_REQUIRES(i_rwsem());
  Result<void> zero_pieces(ByteRange bytes);
  FaultOutcome fault_piece(FaultRequest& request) noexcept;
  // Gives the holes among `pages` unwritten blocks, and hands over those that are the page cache's from then on.
  // Errors: Errno::enospc, Errno::enomem, Errno::eio, Errno::eshutdown. Context: fault path.
  Result<void> fill_holes(PageRange pages) noexcept;
  // Deletes what dax and the page cache have of these pages, as dax::truncate_pages.
  Result<void> forget_pages(PageRange pages, EvenCows even_cows = EvenCows::yes)
      DAXSIM_REQUIRES(mapping().invalidate_lock());

  // Makes what was written to these blocks durable. Errors: those of Attachment::fence.
  Result<void> fence() const noexcept;
  // Makes the second copy of these bytes of the file like the first, where there is one. Errors: those of
  // Attachment::read and write.
  Result<void> copy_to_second(ByteRange bytes) noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());
  // The same for whole blocks, wherever they belong.
  Result<void> copy_blocks_to_second(PageRange addresses) const noexcept;
  // Blocks on their way to others.
  class Move;
  struct Plan {
    PageRange pages;         // of the file; none: there is nothing to move
    std::uint64_t from = 0;  // address
    PageRange to;            // addresses
    BlockState state{};
  };
  // What to move next of these pages: into this group, or out of closed chunks when there is none.
  // Errors: Errno::enospc, Errno::eio, Errno::eshutdown.
  Result<Plan> plan_move(PageRange pages, std::optional<std::uint32_t> group) noexcept
      DAXSIM_EXCLUDES(file_system_.allocation_lock());
  Result<std::uint64_t> move_blocks(PageRange pages, std::optional<std::uint32_t> group);
  // Writes back what the page cache has of its pages whose blocks move, and lets go of it. Errors: those of
  // FilePages::writeback_range. Context: invalidate_lock held exclusively.
  Result<void> empty_cache(PageRange pages) noexcept;
  // The blocks of `pages`, all of one extent, are at the addresses from `to` on now; ends the generation of those that
  // nobody has any more. Errors: Errno::eio, Errno::eshutdown, Errno::enomem.
  Result<void> move_blocks_locked(PageRange pages, std::uint64_t to) noexcept
      DAXSIM_REQUIRES(file_system_.allocation_lock());

  // look_up_locked of another file of this file system: the lock is the same, which the analysis cannot see.
  static FileExtent look_up_in(ExtentInode& other, Pgoff page,
                               std::uint64_t most) noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
    return other.look_up_locked(page, most);
  }

  // What reflink() was asked for.
  struct Clone {
    ExtentInode& source;
    PageRange from;
    PageRange to;
    std::uint64_t end = 0;  // byte of this file behind the last that came over
  };
  // Errors: Errno::einval, Errno::efbig.
  Result<Clone> plan_clone(ExtentInode& source, ByteRange bytes, std::uint64_t offset) noexcept;
  // Both files: nobody maps them or has the pages pinned. Then shares the blocks. Errors: those of reflink.
  Result<void> clone_alone(const Clone& clone) DAXSIM_REQUIRES(i_rwsem());
  Result<void> clone_from_other(const Clone& clone) DAXSIM_REQUIRES(i_rwsem());
  Result<void> share_blocks(const Clone& clone) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // The first page of shared blocks, which the page cache is to write, with a block of its own. Errors: as begin_copy, and
  // those of end_copy. Context: as begin_copy; the lock of the cached page counts as the entry's.
  Result<FileExtent> copy_for_cache(const FileExtent& shared) noexcept;
  // dax::unshare_range of a file that goes through the page cache.
  Result<void> unshare_cached(PageRange pages) noexcept DAXSIM_REQUIRES(mapping().invalidate_lock());
  // Shared blocks in `pages` become holes. Errors: Errno::eio, Errno::eshutdown, Errno::enomem.
  Result<void> leave_shared_blocks(PageRange pages) noexcept DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());

  // One change of several records, in one commit or none. Errors: Errno::eio, Errno::enomem (of the first record only:
  // the others need no memory).
  Result<void> change(std::span<const Record> records) noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());

  // The calls below: i_rwsem held exclusively, and where they say so the invalidate lock too.
  Result<void> extend(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem());
  Result<void> unmap_behind_end(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> grow(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem());
  Result<void> shrink(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem());
  // What lies between the end of the file and `offset` becomes zeros: the end of the last page may have been stored to
  // through a mapping (6.12).
  Result<void> zero_gap(std::uint64_t offset) DAXSIM_REQUIRES(i_rwsem());
  Result<void> zero_behind_end(std::uint64_t offset) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> allocate_unwritten(PageRange pages) DAXSIM_REQUIRES(i_rwsem());
  // fallocate but for allocation; takes the invalidate lock.
  Result<void> change_layout(Fallocate mode, ByteRange bytes) DAXSIM_REQUIRES(i_rwsem());
  Result<void> punch(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> collapse(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> insert(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // Zeroes in place; nothing for an empty range. Any way to hold the file still.
  Result<void> zero_in_place(ByteRange bytes);
  // Of `bytes` what does not fill a page.
  Result<void> zero_edges(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // What happens to whole pages.
  enum class Clearing : std::uint8_t { unmap, make_unwritten };
  Result<void> clear_range(ByteRange bytes, Clearing clearing) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> change_blocks(PageRange pages, Clearing clearing)
      DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // The page behind the last one that has a block.
  std::uint64_t end_of_blocks() noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());
  Result<void> detach_as_xfs(Pgoff first, std::uint64_t file_size)
      DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());

  FileSystem& file_system_;
  File& file_;
  const Dax dax_;
  std::atomic<bool> dont_cache_{false};
  bool is_evicted_ = false;
  // Ever: somebody may map a page as a hole that has been written since.
  bool has_zeroed_beside_ DAXSIM_GUARDED_BY(file_system_.allocation_lock()) = false;
  std::optional<pagecache::FilePages> cached_;  // where the file system has a page cache
};

}  // namespace extent_fs
DAXSIM_END
