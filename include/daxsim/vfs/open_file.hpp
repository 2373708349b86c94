// SPDX-License-Identifier: BSD-3-Clause
// OpenFile: an open file description: an inode, the open mode, and which write-back errors it has reported.
// Shared by handles and areas (a mapping keeps its file open). Threads: any.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN

// statx(2), as far as it tells of DAX and space. The value is Linux'.
inline constexpr std::uint64_t kStatxAttrDax = 0x00200000;
struct Statx {
  std::uint64_t attributes = 0;
  std::uint64_t attributes_mask = 0;  // those that this kernel knows
  std::uint64_t ino = 0;
  std::uint64_t size = 0;    // bytes
  std::uint64_t blocks = 0;  // of kSectorSize bytes, allocated: also unwritten, also behind the end of the file
};

// FIEMAP_EXTENT_*: Linux' values.
inline constexpr std::uint32_t kFiemapExtentLast = 0x0001;
inline constexpr std::uint32_t kFiemapExtentUnwritten = 0x0800;
inline constexpr std::uint32_t kFiemapExtentShared = 0x2000;
// Whole pages of the file that follow each other on the device and are alike.
struct FiemapExtent {
  std::uint64_t logical = 0;   // byte of the file
  std::uint64_t physical = 0;  // byte of `device`
  std::uint64_t length = 0;    // bytes
  std::uint32_t flags = 0;     // kFiemapExtent*
  Attachment* device = nullptr;
  friend bool operator==(const FiemapExtent&, const FiemapExtent&) = default;
};

// lseek(2): SEEK_DATA, SEEK_HOLE.
enum class Seek : std::uint8_t { data, hole };

enum class OpenMode : std::uint8_t { read_only, read_write };

class OpenFile {
 public:
  // Keeps the file system alive as well, through `super_block`. On a read-only one it is for reading, whatever `mode` says.
  OpenFile(std::shared_ptr<SuperBlock> super_block, std::shared_ptr<Inode> inode, OpenMode mode) noexcept;
  ~OpenFile();
  OpenFile(const OpenFile&) = delete;
  OpenFile& operator=(const OpenFile&) = delete;

  [[nodiscard]] Inode& inode() const noexcept { return *inode_; }
  [[nodiscard]] const std::shared_ptr<SuperBlock>& super_block() const noexcept { return super_block_; }
  [[nodiscard]] OpenMode mode() const noexcept { return mode_; }

  // STATX_ATTR_DAX says whether the file is direct now (Inode::is_dax), not what its flag says. Context: no lock of rank
  // allocation or above held.
  [[nodiscard]] Statx statx() const noexcept;

  // System calls: not in the fault path, may wait.
  // Errors of all: Errno::eio or Errno::eshutdown (file system shut down, power lost).

  // Errors: those of Inode::read.
  Result<std::uint64_t> pread(std::uint64_t offset, std::span<std::byte> to);
  // FS_IOC_FIEMAP: the extents that have a page in `bytes`, of each the part whose pages do; ascending, without holes.
  // Blocks behind the end of the file are extents, too. As on Linux, the last of the answer has kFiemapExtentLast, wherever
  // the file ends; page tables and what is dirty change nothing (oracle, workloads b, c, m, n, p).
  // Errors: Errno::einval (length 0), and those of Inode::report_blocks.
  Result<std::vector<FiemapExtent>> fiemap(ByteRange bytes);
  // lseek: the first byte at or behind `offset` that is data, or a hole; the end of the file is a hole. Unwritten blocks
  // are holes, whatever is mapped there (oracle, workloads a, b). Where the file system does not tell, all is data.
  // Errors: Errno::enxio (`offset` is not in the file, or no data follows).
  Result<std::uint64_t> seek(std::uint64_t offset, Seek what);
  // Errors: Errno::ebadf (read-only handle), and those of Inode::write.
  Result<std::uint64_t> pwrite(std::uint64_t offset, std::span<const std::byte> from);
  // ftruncate(2). Errors: Errno::einval (read-only handle, as on Linux), and those of Inode::truncate.
  Result<void> truncate(std::uint64_t size);
  // Errors: Errno::ebadf (read-only handle), and those of Inode::fallocate.
  Result<void> fallocate(Fallocate mode, ByteRange bytes);
  // Errors: Errno::ebadf (read-only handle), Errno::exdev (`source` is on another file system), and those of
  // Inode::reflink.
  Result<void> reflink(const OpenFile& source, ByteRange bytes, std::uint64_t offset);
  // file_write_and_wait + errseq: besides what this write-back met, an error of an earlier one that this handle has not
  // reported yet, once. Also on read-only handles. vfs_fsync_range. Errors: those of Inode::fsync_range.
  Result<void> fsync() { return fsync_range({0, ~std::uint64_t{0}}, Datasync::no); }
  Result<void> fdatasync() { return fsync_range({0, ~std::uint64_t{0}}, Datasync::yes); }
  Result<void> fsync_range(ByteRange bytes, Datasync datasync);

 private:
  // What every modifying call asks first. Errors: Errno::eio, Errno::eshutdown, Errno::ebadf.
  [[nodiscard]] Result<void> may_modify() const noexcept;

  const std::shared_ptr<SuperBlock> super_block_;
  const std::shared_ptr<Inode> inode_;
  const OpenMode mode_;
  Mutex errors_lock_{LockRank::media};
  ErrorSequence::Sample errors_seen_ DAXSIM_GUARDED_BY(errors_lock_);
};

DAXSIM_END
