// SPDX-License-Identifier: BSD-3-Clause
// Inode: one file of one file system. Its three virtual calls direct_access, fault and fsync_range are how dax and mm
// reach the file system, which owns direct_access (docs/decisions/0001); the other calls are the file operations.
//
// Locks: i_rwsem as the kernel's inode lock: shared by reads, exclusive by writes that extend, truncate, fallocate. It is
// the only lock of an inode that may be held while user memory is touched.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/vfs/address_space.hpp"
#include "daxsim/vfs/fault.hpp"

DAXSIM_BEGIN

class Attachment;
class SuperBlock;

// What the file system knows of the place of some file pages. The answer always has a length.
struct FileExtent {
  enum class Kind : std::uint8_t {
    hole,        // no block: reads as zeros
    unwritten,   // block allocated, reads as zeros until written
    memory,      // directly accessible
    not_direct,  // goes through the page cache; without a device there is no data: reads as zeros
  };
  Kind kind = Kind::hole;
  bool is_new = false;  // blocks were allocated or converted by this call (IOMAP_F_NEW)
  // memory: pages of it were unwritten when they were mapped, and written since by calls for their neighbours.
  bool may_be_mapped_as_hole = false;
  bool metadata_dirty = false;  // a crash now would lose the mapping: MAP_SYNC must commit first (IOMAP_F_DIRTY)
  PageRange pages;   // what the answer is for: begins at the asked page; 1 or more pages, maybe fewer than asked
  PageRange extent;  // the whole run around it, contiguous on the device; contains `pages`
  Attachment* device = nullptr;  // memory, unwritten, not_direct with data: where
  Pgoff device_page;             // of pages.first there
  // memory: of pages.first, for pages.pages pages. A file system on one device may leave it empty (memory.pages 0) after
  // allocating, and of shared blocks that are to be stored to and their copies: dax then asks the device itself
  // (dax::generic_direct_access), at the moment the kernel would.
  Memory memory{};
  // memory: what the file system itself calls the place of pages.first, for Inode::find_by_cookie; 0: it has no name.
  std::uint64_t cookie = 0;
  // memory: the blocks are not this file's alone, so a store wants others first (IOMAP_F_SHARED, Inode::begin_copy).
  bool shared = false;
  // memory: write(2) wants others first, a store does not (btrfs).
  bool written_elsewhere = false;
  // memory: where the file system keeps a copy of pages.first, contiguous as the first is; null: nowhere. The copy is like
  // the page whenever that is clean (Inode::written_back).
  Attachment* copy_device = nullptr;
  Pgoff copy_page{};
};

// The highest byte offset of a file (the kernel's loff_t).
inline constexpr std::uint64_t kLastFileByte = (std::uint64_t{1} << 63) - 1;
// The last byte of a range that is not empty and may run past every file, as the whole-file range {0, 2^64 - 1} does.
constexpr std::uint64_t last_byte(ByteRange bytes) noexcept {
  return bytes.offset > kLastFileByte || bytes.length - 1 > kLastFileByte - bytes.offset
             ? kLastFileByte
             : bytes.offset + (bytes.length - 1);
}

enum class Datasync : std::uint8_t { no, yes };

// FS_XFLAG_DAX, on the device: what a file is to be; new files get their directory's. What it is, S_DAX, is
// Inode::is_dax().
enum class XflagDax : std::uint8_t { clear, set };

// fallocate(2).
enum class Fallocate : std::uint8_t {
  allocate,
  allocate_keep_size,
  punch_hole,
  zero_range,
  collapse_range,
  insert_range,
  unshare_range
};

// Whether files of a file system may share blocks (mkfs.xfs -m reflink).
enum class Reflink : std::uint8_t { no, yes };
// What becomes of the blocks that begin_copy answered.
enum class Copied : std::uint8_t { no, yes };

class Inode : public std::enable_shared_from_this<Inode> {
 public:
  virtual ~Inode() = default;
  Inode(const Inode&) = delete;
  Inode& operator=(const Inode&) = delete;

  [[nodiscard]] SuperBlock& super_block() const noexcept { return super_block_; }
  [[nodiscard]] std::uint64_t number() const noexcept { return number_; }
  [[nodiscard]] AddressSpace& mapping() noexcept { return mapping_; }
  [[nodiscard]] SharedMutex& i_rwsem() noexcept DAXSIM_RETURN_CAPABILITY(i_rwsem_) { return i_rwsem_; }
  // Bytes. Changes under i_rwsem exclusive (and invalidate_lock exclusive when it shrinks); may be read any time.
  [[nodiscard]] std::uint64_t size() const noexcept { return size_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t size_in_pages() const noexcept { return pages_for(size()); }

  // Errors of all: Errno::eio (shut down), Errno::eshutdown (power lost).

  // Where `pages` are (at most `pages.pages`, starting at pages.first). Access::write allocates: holes and unwritten
  // blocks come back as zeroed memory, or as not_direct with zeroed blocks, durable zeros before the mapping becomes
  // visible. Access::read changes nothing.
  // Errors: Errno::enospc, Errno::enomem, Errno::efbig (beyond the format), Errno::enxio (dead device),
  // Errno::ehwpoison (known media error), Errno::eio (the device), Errno::erofs. Context: fault path, not inside a
  // device's gate (enter it to use the answer's memory); invalidate_lock, i_rwsem or the lock of a cached page held.
  virtual Result<FileExtent> direct_access(PageRange pages, Access access) noexcept = 0;

  // What the file system's own records say of `pages`, or the first of them (iomap_begin, IOMAP_REPORT): where they are,
  // with no device asked, so that `memory` is empty. Nothing is allocated.
  // Errors: Errno::eopnotsupp (this file system does not tell). Context: fault path; i_rwsem or invalidate_lock held.
  virtual Result<FileExtent> report_blocks(PageRange pages) noexcept;

  // Where `pages` are, or the first of them: they begin `behind` pages after the one that `cookie` was given for, in the
  // same entry. Errors: Errno::estale (they are not there any more, or the cookie is none of this file system's).
  // Context: fault path, an entry's lock held.
  virtual Result<FileExtent> find_by_cookie(std::uint64_t /*cookie*/, std::uint64_t /*behind*/,
                                            PageRange /*pages*/) noexcept {
    return Errno::estale;
  }
  // read_folio: the file's bytes of one page, for the page cache; those behind the end of the file are zeros. Whether a
  // device was read: if not, they were all known to be zeros. Where it is not overridden they are where direct_access
  // says, as they are, and a direct page is Errno::eio. Errors: any that the file system or its devices answer.
  // Context: fault path; invalidate_lock and the lock of the cached page held.
  enum class ReadFolio : std::uint8_t { zeros, from_device };
  virtual Result<ReadFolio> read_folio(Pgoff page, std::span<std::byte> to) noexcept;
  // Copy-on-write (iomap_begin with a source, iomap_end): new blocks for `pages`, or the first of them, whose own blocks
  // must not be stored to. What the new ones hold is undefined. The file keeps its own until end_copy, which follows in
  // any case. Errors: Errno::enospc, and any that its devices answer.
  // Context: fault path; nobody else copies these pages meanwhile: their entry's lock, or invalidate_lock exclusively,
  // held.
  virtual Result<FileExtent> begin_copy(PageRange /*pages*/) noexcept { return Errno::eopnotsupp; }
  // Copied::yes: from now on the file has the new blocks, whose contents have been written past the cache, and its own are
  // free or others'. Copied::no: the new ones are free again. Errors: any that its devices or its metadata answer; the
  // file keeps its own then. Context: as begin_copy.
  virtual Result<void> end_copy(const FileExtent& /*copy*/, Copied /*copied*/) noexcept { return Errno::eopnotsupp; }
  // Write-back has flushed these pages, which are one entry's, or written this page of the page cache: nobody can store to
  // them until this returns. A file system that keeps copies makes them here.
  // Errors: Errno::eio (a copy failed), Errno::enospc, Errno::enomem. Context: fault path, the lock of the entry or of the
  // cached page held.
  virtual Result<void> written_back(PageRange pages) noexcept;
  // The one block device of the file, where that is how the file system works; null: there is none to name. The super
  // block's, if not overridden. Context: any.
  [[nodiscard]] virtual Attachment* bdev() const noexcept;

  // A fault from mm. Takes freeze (writes) and invalidate_lock shared, calls dax::fault, does the MAP_SYNC commit.
  // Context: fault path; the area's mm lock is held.
  virtual FaultOutcome fault(FaultRequest& request) noexcept = 0;

  // S_DAX: the file's memory is the device's; if not, all of it goes through the page cache. Stays as it is for as long as
  // the inode is in core. Context: any.
  [[nodiscard]] virtual bool is_dax() const noexcept { return true; }

  // FS_IOC_FSGETXATTR and FS_IOC_FSSETXATTR, of FS_XFLAG_DAX. Setting it never changes is_dax(): where the mount goes
  // by the flag, the inode is not kept in core any longer than somebody uses it, and the next one has it. Durable with
  // the next fsync or sync. Context: may wait; no locks held.
  // Errors: Errno::eopnotsupp (this file system has no such flag).
  virtual Result<XflagDax> xflag_dax();
  // Errors: those of xflag_dax.
  virtual Result<void> set_xflag_dax(XflagDax flag);

  // st_blocks: what the file has allocated, in sectors of kSectorSize; as much as its size, where it is not overridden.
  // Context: no lock of rank allocation or above held.
  [[nodiscard]] virtual std::uint64_t blocks() const noexcept;

  // MAP_SYNC means something: the file is direct and every device of the file is synchronous (F4.4). Context: any.
  [[nodiscard]] virtual bool is_synchronous() const noexcept { return true; }

  // Makes the bytes and, as far as `datasync` needs it, the metadata durable. Write-back errors are also recorded in
  // mapping().errors(). Errors: Errno::eio (dead device), Errno::enospc, Errno::enomem.
  // Context: fault path (MAP_SYNC); may wait for entry locks.
  virtual Result<void> fsync_range(ByteRange bytes, Datasync datasync) noexcept = 0;

  // The calls below are system calls: not in the fault path, may wait, no locks held. `to` and `from` may be user memory,
  // even a mapping of this file. Ranges may go beyond EOF where the kernel's do. Those that change something come to a
  // read-only file system past every OpenFile only, and are answered with Errno::erofs there.
  // pread: bytes read, short at EOF. Errors: Errno::eio, Errno::enxio (dead device), Errno::enomem.
  virtual Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) = 0;
  // pwrite: bytes written, short when space ran out after some. Errors: Errno::eio, Errno::enxio (dead device),
  // Errno::enospc, Errno::efbig, Errno::enomem.
  virtual Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) = 0;
  // Waits for pins of the removed pages. Errors: Errno::eintr, Errno::eio, Errno::efbig, Errno::enospc, Errno::enomem.
  virtual Result<void> truncate(std::uint64_t size) = 0;
  // Errors: as truncate, and Errno::einval (length 0; collapse and insert want whole pages inside the file),
  // Errno::eopnotsupp (unshare_range where no files share blocks).
  virtual Result<void> fallocate(Fallocate mode, ByteRange bytes) = 0;
  // FICLONERANGE: `bytes` of `source`, a file of the same super block, become what this file has at `offset`; both have
  // the same blocks until one of them writes. Length 0: to the end of `source`. What was there is gone; unwritten blocks
  // become holes. Waits for pins of both. Errors: Errno::einval (not whole pages, save at the end of `source` when it
  // becomes the end of this file; beyond the end of `source`; the same file, overlapping; files on different devices),
  // Errno::eopnotsupp (no files share blocks here), Errno::efbig, Errno::enospc (also: as many pages are shared as can
  // be), Errno::eintr, Errno::eio, Errno::enomem.
  virtual Result<void> reflink(Inode& /*source*/, ByteRange /*bytes*/, std::uint64_t /*offset*/) {
    return Errno::eopnotsupp;
  }

 protected:
  Inode(SuperBlock& super_block, std::uint64_t number, Arena& arena) noexcept
      : super_block_(super_block), number_(number), mapping_(*this, arena) {}
  void set_size(std::uint64_t bytes) noexcept { size_.store(bytes, std::memory_order_release); }

 private:
  SuperBlock& super_block_;
  const std::uint64_t number_;
  AddressSpace mapping_;
  SharedMutex i_rwsem_{LockRank::i_rwsem};
  std::atomic<std::uint64_t> size_{0};
};

DAXSIM_END
