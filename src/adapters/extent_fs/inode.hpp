// SPDX-License-Identifier: BSD-3-Clause
// ExtentInode: one file in core. Its extents are in File, under the file system's allocation lock.
#pragma once

#include <cstdint>
#include <span>

#include "adapters/extent_fs/file_system.hpp"
#include "adapters/extent_fs/metadata.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

class ExtentInode final : public Inode {
 public:
  ExtentInode(FileSystem& file_system, File& file, std::uint64_t size) noexcept;
  ~ExtentInode() override;

  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override;
  Result<FileExtent> find_by_cookie(std::uint64_t cookie, std::uint64_t behind, PageRange pages) noexcept override;
  FaultOutcome fault(FaultRequest& request) noexcept override;
  // Where the file's group begins; a file on several devices has no better answer.
  [[nodiscard]] Attachment* bdev() const noexcept override;
  [[nodiscard]] bool is_synchronous() const noexcept override;
  Result<void> fsync_range(ByteRange bytes, Datasync datasync) noexcept override;
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override;
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override;
  Result<void> truncate(std::uint64_t bytes) override;
  Result<void> fallocate(Fallocate mode, ByteRange bytes) override;

  // Of which group of chunks the blocks to come are; the one they are of is always good.
  // Errors: Errno::einval (it has blocks of another), Errno::eio, Errno::eshutdown.
  Result<void> set_group(std::uint32_t group);
  [[nodiscard]] const FileSystem& file_system() const noexcept { return file_system_; }

 private:
  // What `page` is now; the answer's pages are [page, page + most) at most.
  FileExtent look_up_locked(Pgoff page, std::uint64_t most) noexcept DAXSIM_REQUIRES(file_system_.allocation_lock());
  // Makes a hole or unwritten pages at the front of `pages` written zeros. Errors: as direct_access.
  Result<void> make_written_locked(PageRange pages) noexcept DAXSIM_REQUIRES(file_system_.allocation_lock());

  // Makes what was written to these blocks durable. Errors: those of Attachment::fence.
  Result<void> fence() const noexcept;
  // One change of several records, in one commit or none. Errors: Errno::eio, Errno::enomem (of the first record only:
  // the others need no memory).
  Result<void> change(std::span<const Record> records) noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());

  // The calls below: i_rwsem held exclusively, and where they say so the invalidate lock too.
  Result<void> extend(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem());
  Result<void> shrink(std::uint64_t bytes) DAXSIM_REQUIRES(i_rwsem());
  // What lies between the end of the file and `offset` becomes zeros: the end of the last page may have been stored to
  // through a mapping (6.12).
  Result<void> zero_gap(std::uint64_t offset) DAXSIM_REQUIRES(i_rwsem());
  Result<void> allocate_unwritten(PageRange pages) DAXSIM_REQUIRES(i_rwsem());
  // fallocate but for allocation; takes the invalidate lock.
  Result<void> change_layout(Fallocate mode, ByteRange bytes) DAXSIM_REQUIRES(i_rwsem());
  Result<void> punch(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> zero(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> collapse(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  Result<void> insert(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // Zeroes in place; nothing for an empty range. Any way to hold the file still.
  Result<void> zero_in_place(ByteRange bytes);
  // Zeroes the bytes of `bytes` that do not fill a page, and returns the pages that it fills.
  Result<PageRange> zero_edges(ByteRange bytes) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());
  // The page behind the last one that has a block.
  std::uint64_t end_of_blocks() noexcept DAXSIM_EXCLUDES(file_system_.allocation_lock());
  // Before pages from `first` on move: nobody uses them, and what was stored there is written back.
  Result<void> detach(Pgoff first) DAXSIM_REQUIRES(i_rwsem(), mapping().invalidate_lock());

  FileSystem& file_system_;
  File& file_;
};

}  // namespace extent_fs
DAXSIM_END
