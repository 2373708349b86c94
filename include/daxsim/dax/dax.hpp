// SPDX-License-Identifier: BSD-3-Clause
// The DAX core: what file systems call. Players and the way of a byte: docs/way-of-a-byte.md.
//
// Rules that every function keeps:
// R1 A page is installed, write-protected for write-back, or taken away for good only under its entry's lock.
// R2 A failed fault leaves the index as it found it, save that a hole's PMD entry which had to be broken up stays so.
// R3 Nothing is clean before its flush succeeded.
// R4 Whoever changes or deletes an entry wakes its waiters: the next when the entry is unchanged, all when it is gone or
//    resized.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/entry_layout.hpp"
#include "daxsim/dax/index_design.hpp"
#include "daxsim/dax/policy.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

class Holder;

namespace dax {

// How one machine does DAX. File systems keep a reference from mount to unmount.
struct Context {
  System& system;
  const IndexDesign& design;
  Policy policy{};
  EntryLayout layout = layouts::v4_20;  // of which only the room for payloads has an effect
};

// --- fault (F4) ---

// The whole fault of a file system that needs nothing special: freeze (writes to shared mappings) and invalidate_lock
// shared, alive check, fault, and for MAP_SYNC the commit (Inode::fsync_range of exactly the faulted range, datasync)
// and the finish. Freeze is held through the commit. Context: fault path; no lock of rank freeze or above held.
FaultOutcome fault(const Context& context, Inode& inode, FaultRequest& request) noexcept;

// --- write-back (F5.3) ---

// dax_writeback_mapping_range, SYNC_ALL: flushes what is DIRTY in the range when called. Stops at the first error, which
// is also recorded in the address space. Errors: Errno::eio, Errno::enospc, Errno::enomem, and those of
// IndexDesign::resolve.
// Context: fault path; may wait for entry locks; no lock of rank entry or above held.
Result<void> writeback_range(const Context& context, AddressSpace& mapping, ByteRange bytes) noexcept;

// --- direct access ---

// For file systems on one device: fills `extent.memory`, and clips `extent.pages` to what the device answered. Wants
// kind, pages, extent, device and device_page filled in; kinds other than memory come back as they are. After an
// allocation it may be left to dax (FileExtent::memory). Errors: those of Attachment::direct_access.
Result<FileExtent> generic_direct_access(const FileExtent& extent) noexcept;

// --- read and write (dax_iomap_rw) ---

// The caller holds i_rwsem, shared for reads, exclusive for writes, and no other lock; write takes freeze itself.
// `to`/`from` may be user memory, also a mapping of the same file: bytes go through a bounce buffer, and user memory is
// touched with no other lock held.
// read: stops at EOF; returns bytes read, or an error when none was. Errors: Errno::eio (also a known media error),
// Errno::eshutdown (power lost), Errno::enxio (dead device), Errno::enomem.
Result<std::uint64_t> read(const Context& context, Inode& inode, std::uint64_t offset, std::span<std::byte> to);
// write: allocates; bytes are flushed, not fenced; the caller moves i_size to offset + result when that is larger. Newly
// allocated pages that were mapped as holes are invalidated. Where blocks must not be written to, the pages get others
// (F3 row 24), 64 KiB at a time. Returns bytes written, or an error when none was.
// Errors: as read, and Errno::enospc, Errno::efbig.
Result<std::uint64_t> write(const Context& context, Inode& inode, std::uint64_t offset,
                            std::span<const std::byte> from);
// Zeroes bytes in place where there is memory (holes and unwritten blocks are zero already) and flushes them; those in
// shared blocks in blocks of the file's own, which the others keep.
// Context: i_rwsem exclusive, invalidate_lock exclusive, the pages unmapped (break_layouts).
// Errors: as read, and those of DaxDevice::flush.
Result<void> zero_range(const Context& context, Inode& inode, ByteRange bytes);
// dax_truncate_page: zero_range of the bytes from `size` to the end of their page, if there are any. Context: as zero_range.
// Errors: as zero_range.
Result<void> truncate_page(const Context& context, Inode& inode, std::uint64_t size);

// dax_file_unshare: the file gets blocks of its own for those of `pages` that it shares, with the same contents. Call with
// invalidate_lock held exclusively. Errors: Errno::enospc, and any that the file system or its devices answer.
Result<void> unshare_range(const Context& context, Inode& inode, PageRange pages)
    DAXSIM_REQUIRES(inode.mapping().invalidate_lock());

// --- layout (F9) ---

// Before blocks of a file are freed or moved: unmaps the whole file, as Linux does, and waits until none of its pages is
// pinned, also of those that stay; BreakLayouts::deletes_entries then deletes all its entries. Call with invalidate_lock
// held exclusively and no other lock of rank mm or above; it is dropped while waiting and held again on return, error or
// not. On success every page is unmapped and unpinned, and stays so while the lock is held.
// Errors: Errno::eintr (interrupted).
Result<void> break_layouts(const Context& context, Inode& inode) DAXSIM_REQUIRES(inode.mapping().invalidate_lock());
// The same without waiting: false when a page is pinned, then only the mappings are gone. For files that are to stand still
// together. Context: as break_layouts; waits for entry locks only.
bool try_break_layouts(const Context& context, Inode& inode) noexcept;
// Deletes the entries of `pages` and tells nobody of it: what Linux leaves where it is, and daxsim does not, when other
// files come to have the blocks. Context: as truncate_pages; nobody maps them.
void forget_shared(const Context& context, Inode& inode, PageRange pages) noexcept;
// truncate_inode_pages: unmaps and deletes every entry in range; waits for entry locks. Truncation takes private copies
// too (EvenCows::yes), punching leaves them. To the end of the file is {first, kAllPages.end() - first}. A dirty PMD entry
// that reaches beyond the range is written back before it is deleted. Call with invalidate_lock held exclusively.
// Errors: those of writeback_range; then nothing was deleted.
Result<void> truncate_pages(const Context& context, Inode& inode, PageRange pages, EvenCows even_cows = EvenCows::yes)
    DAXSIM_REQUIRES(inode.mapping().invalidate_lock());
// invalidate_inode_pages2_range: unmaps and deletes clean entries. Errors: Errno::ebusy (a dirty entry stayed).
Result<void> invalidate_pages(const Context& context, Inode& inode, PageRange pages);
using daxsim::Pin;
// get_user_pages for one page that an area maps: pins the memory behind the file page against truncation and removal.
// Errors: Errno::eagain (nothing is mapped there: fault and try again), Errno::enxio (dead device).
Result<Pin> pin_page(const Context& context, AddressSpace& mapping, Pgoff page) noexcept;
void unpin_page(const Pin& pin) noexcept;

// --- relocation (F12) ---

// What only the file system can do when blocks move.
class BlockMover {
 public:
  BlockMover() = default;
  BlockMover(const BlockMover&) = delete;
  BlockMover& operator=(const BlockMover&) = delete;

  // Copies what the pages hold to where they will be. The CPU copies, so it sees what was stored and not flushed.
  // Errors: any that its devices answer; nothing has moved then. Context: as relocate(), invalidate_lock held.
  virtual Result<void> copy() noexcept = 0;
  // From now on direct_access answers the new place; ends the generation of the old one (Attachment::end_generation).
  // Errors: any that its metadata answers; nothing has moved then. Context: as relocate(), invalidate_lock held.
  virtual Result<void> switch_place() noexcept = 0;

 protected:
  ~BlockMover() = default;
};

// Moves the blocks of `pages` of an open file: (1) new faults are blocked, (2) the pages are unmapped, (3) nobody has them
// pinned any more, (4) what was stored is flushed, to the old place, (5) the file system copies and (6) switches,
// (7) the entries are deleted, (8) faults may go on. Steps 1 to 7 are `Step`s that a policy can leave out. Blocked means
// invalidate_lock held exclusively; it is dropped while pins are waited for, and then 2 and 3 start again. A huge page of
// which part moves is unmapped, flushed and forgotten whole.
// Context: i_rwsem held exclusively and freeze shared; no other lock of rank mm or above. Errors: Errno::eintr
// (interrupted while waiting for a pin), any that write-back or the mover met; then nothing has moved.
Result<void> relocate(const Context& context, Inode& inode, PageRange pages, BlockMover& mover);

// --- teardown (F7) ---

// Last use of an inode: deletes what is left in its index. Does not wait for pins: whoever pins a page keeps its file.
void evict(const Context& context, Inode& inode) noexcept;
// The clean orderly end of a file system whose device is about to go: freeze, sync, shut down, revoke all mappings and
// entries of all files, thaw. Errors: those of SuperBlock::sync; the rest is done all the same.
Result<void> orderly_teardown(const Context& context, SuperBlock& super_block);
// Some pages of one file, when the file system has been shut down: unmapped and forgotten, dirty or not. Context: takes
// invalidate_lock exclusively.
void revoke_pages(const Context& context, Inode& inode, PageRange pages) noexcept;
// The device is gone already: shut down with `reason`, revoke all mappings and entries of all files. Never waits for the
// device.
void surprise_teardown(const Context& context, SuperBlock& super_block, Errno reason);

}  // namespace dax
DAXSIM_END
