// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/open_file.hpp"

#include <algorithm>
#include <limits>

#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

OpenFile::OpenFile(std::shared_ptr<SuperBlock> super_block, std::shared_ptr<Inode> inode, OpenMode mode) noexcept
    : super_block_(std::move(super_block)),
      inode_(std::move(inode)),
      mode_(super_block_->is_read_only() ? OpenMode::read_only : mode),
      errors_seen_(inode_->mapping().errors().sample()) {}

OpenFile::~OpenFile() = default;

Statx OpenFile::statx() const noexcept {
  return {.attributes = inode_->is_dax() ? kStatxAttrDax : 0,
          .attributes_mask = kStatxAttrDax,
          .ino = inode_->number(),
          .size = inode_->size(),
          .blocks = inode_->blocks()};
}

Result<void> OpenFile::may_modify() const noexcept {
  DAXSIM_TRY_VOID(super_block_->check_alive());
  if (mode_ == OpenMode::read_only) {
    return Errno::ebadf;
  }
  return {};
}

Result<std::uint64_t> OpenFile::pread(std::uint64_t offset, std::span<std::byte> to) {
  DAXSIM_TRY_VOID(super_block_->check_alive());
  return inode_->read(offset, to);
}

Result<std::uint64_t> OpenFile::pwrite(std::uint64_t offset, std::span<const std::byte> from) {
  DAXSIM_TRY_VOID(may_modify());
  return inode_->write(offset, from);
}

Result<void> OpenFile::truncate(std::uint64_t size) {
  DAXSIM_TRY_VOID(may_modify());
  return inode_->truncate(size);
}

Result<void> OpenFile::fallocate(Fallocate mode, ByteRange bytes) {
  DAXSIM_TRY_VOID(may_modify());
  return inode_->fallocate(mode, bytes);
}

Result<void> OpenFile::reflink(const OpenFile& source, ByteRange bytes, std::uint64_t offset) {
  DAXSIM_TRY_VOID(may_modify());
  if (source.super_block_ != super_block_) {
    return Errno::exdev;
  }
  return inode_->reflink(*source.inode_, bytes, offset);
}

Result<void> OpenFile::fsync_range(ByteRange bytes, Datasync datasync) {
  Event event{
      .type = EventType::fsync_start,
      .dev = super_block_->dev(),
      .ino = inode_->number(),
      .pgoff = page_of(bytes.offset),
      .last = page_of(last_byte(bytes)).value,
  };
  EventStream& events = super_block_->system().events;
  events.emit(event);

  Result<void> result = super_block_->check_alive();
  if (result.ok()) {
    result = inode_->fsync_range(bytes, datasync);
    // What this call met is in the sequence as well; looking at it here keeps the next fsync from reporting it again.
    const MutexLock guard(errors_lock_);
    const Result<void> earlier = inode_->mapping().errors().check_and_advance(errors_seen_);
    if (result.ok()) {
      result = earlier;
    }
  }

  event.type = EventType::fsync_done;
  event.ret = result.ok() ? 0 : -static_cast<std::int64_t>(result.error());
  events.emit(event);
  return result;
}

DAXSIM_END
