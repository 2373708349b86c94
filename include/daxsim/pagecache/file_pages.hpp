// SPDX-License-Identifier: BSD-3-Clause
// FilePages: the cached pages of one file, of whatever part of it is not direct. A file system makes one for each of its
// inodes and hands on to it what Inode is asked about that part; Inode::direct_access says where a page is, by
// FileExtent::Kind::not_direct with device and device page, or without where it reads as zeros. Every other kind is dax's
// to serve, and refused here, unless the file system reads pages its own way (Inode::read_folio). dax knows nothing of these pages: its entries are in the index of the
// AddressSpace, these pages are in an index of their own, and a page of the file is in one of the two
// (docs/decisions/0009).
//
// A page, from nowhere to clean (the kernel's names in parentheses):
//   1. a fault or a system call finds it or takes one from the pool, and locks it (PG_locked);
//   2. not read yet (no PG_uptodate): its sectors are read, or it is zeroed where the file has a hole
//      (Inode::read_folio);
//   3. a read fault maps it read-only. A store to it faults (page_mkwrite): the file system allocates its block, the page
//      is dirty (PG_dirty), then writable;
//   4. write-back locks it, write-protects it everywhere, writes its sectors, and only then calls it clean. A store in
//      between faults and waits for the lock, so what is written is one state of the page (stable pages);
//   5. truncation, or the pool when it has no other page, unmaps it and gives it back.
//
// I1 A page that is mapped writable and shared is dirty.
// I2 Nothing is clean before its write succeeded. (Linux calls a page clean after a failed write, too.)
// I3 A page's memory is read and written, and the page leaves the file, under its lock only; stores of mappings are the
//    exception.
// I4 Write-back writes what was dirty when it began, so a thread that keeps dirtying pages cannot keep it busy.
//
// Who frees or moves blocks holds invalidate_lock exclusively and has truncated the pages before; the sectors of a page
// that is cached stay its own.
//
// Threads: any. Locks: freeze, invalidate_lock and a page's lock (rank entry) as dax takes freeze, invalidate_lock and an
// entry's. Out of scope: read-ahead, folios of more than a page, pins (dax::pin_page answers eagain).
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/pagecache/pool.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace pagecache {

struct FileIndex;  // private

class FilePages {
 public:
  // A member of `inode`. The pool outlives it. Not in the fault path.
  FilePages(Pool& pool, Inode& inode);
  // Gives the pages back, dirty or not. An inode that goes but whose file stays writes them back before, in its own
  // destructor.
  ~FilePages();
  FilePages(const FilePages&) = delete;
  FilePages& operator=(const FilePages&) = delete;

  // The whole fault (filemap_fault, page_mkwrite): freeze (writes to shared mappings) and invalidate_lock shared, alive
  // check, page. A PMD falls back. A page that is direct ends in sigbus: the file system asks dax, then.
  // Context: fault path; no lock of rank freeze or above held.
  FaultOutcome fault(FaultRequest& request) noexcept;

  // Writes back what is dirty in the range when called; a fence of the device then makes it durable. Goes on after an
  // error; the first is also recorded in the address space, once.
  // Errors: Errno::eio (the device failed or is dead), Errno::enospc, Errno::enomem, Errno::eshutdown (power lost).
  // Context: fault path; may wait for pages; no lock of rank entry or above held.
  Result<void> writeback_range(ByteRange bytes) noexcept;

  // The caller holds i_rwsem, shared for reads, exclusive for writes, and no other lock; all bytes are in the part that
  // is not direct. `to`/`from` may be user memory, also a mapping of the same file: it is touched with no other lock held.
  // read: stops at EOF; returns bytes read, or an error when none was. Errors: Errno::eio (also a direct page),
  // Errno::eshutdown (power lost), Errno::enospc (the disk), Errno::enomem (no clean page left).
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to);
  // write: allocates; the bytes are dirty in the cache; the caller moves i_size to offset + result when that is larger.
  // Returns bytes written, or an error when none was. Errors: as read, and Errno::enospc, Errno::efbig.
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from);
  // Zeroes bytes where the file has blocks (holes are zero already): of the last page before a truncation or extension.
  // Context: i_rwsem exclusive, invalidate_lock exclusive. Errors: as read.
  Result<void> zero_range(ByteRange bytes);

  // truncate_inode_pages: unmaps and gives back every page in range, dirty or not; waits for page locks. Truncation takes
  // private copies too (EvenCows::yes), punching leaves them. Context: invalidate_lock exclusive.
  void truncate_pages(PageRange pages, EvenCows even_cows = EvenCows::yes) noexcept;

  // For tests and tools.
  [[nodiscard]] bool is_cached(Pgoff page) noexcept;
  [[nodiscard]] bool is_dirty(Pgoff page) noexcept;

 private:
  const std::unique_ptr<FileIndex> index_;
};

}  // namespace pagecache
DAXSIM_END
