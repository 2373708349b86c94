// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/open_file.hpp"

#include <algorithm>
#include <limits>

#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

namespace {

// The blocks of `here`: the last of `extents` goes on with them, or there is a new one.
void add(std::vector<FiemapExtent>& extents, const FileExtent& here) {
  const FiemapExtent next{
      .logical = byte_of(here.pages.first),
      .physical = byte_of(here.device_page),
      .length = here.pages.pages << kPageShift,
      .flags = (here.kind == FileExtent::Kind::unwritten ? kFiemapExtentUnwritten : 0) |
               (here.shared ? kFiemapExtentShared : 0),
      .device = here.device,
  };
  if (!extents.empty()) {
    FiemapExtent& last = extents.back();
    if (last.device == next.device && last.flags == next.flags && last.logical + last.length == next.logical &&
        last.physical + last.length == next.physical) {
      last.length += next.length;
      return;
    }
  }
  extents.push_back(next);
}

}  // namespace

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

Result<std::vector<FiemapExtent>> OpenFile::fiemap(ByteRange bytes) {
  DAXSIM_TRY_VOID(super_block_->check_alive());
  if (bytes.length == 0) {
    return Errno::einval;
  }
  const SharedLock still(inode_->i_rwsem());
  std::vector<FiemapExtent> extents;
  const Pgoff end = page_of(last_byte(bytes)) + 1;
  for (Pgoff page = page_of(bytes.offset); page < end;) {
    DAXSIM_TRY(const FileExtent here, inode_->report_blocks({page, end - page}));
    page = here.pages.end();
    if (here.kind != FileExtent::Kind::hole) {
      add(extents, here);
    }
  }
  if (!extents.empty()) {
    extents.back().flags |= kFiemapExtentLast;
  }
  return extents;
}

Result<std::uint64_t> OpenFile::seek(std::uint64_t offset, Seek what) {
  DAXSIM_TRY_VOID(super_block_->check_alive());
  const SharedLock still(inode_->i_rwsem());
  const std::uint64_t size = inode_->size();
  if (offset >= size) {
    return Errno::enxio;
  }
  const Pgoff end{pages_for(size)};
  for (Pgoff page = page_of(offset); page < end;) {
    const Result<FileExtent> here = inode_->report_blocks({page, end - page});
    if (!here.ok() && here.error() != Errno::eopnotsupp) {
      return here.error();
    }
    const bool is_data =
        !here.ok() || (here->kind != FileExtent::Kind::hole && here->kind != FileExtent::Kind::unwritten);
    if (is_data == (what == Seek::data)) {
      return std::max(offset, byte_of(page));
    }
    page = here.ok() ? here->pages.end() : end;
  }
  return what == Seek::hole ? Result<std::uint64_t>(size) : Errno::enxio;
}

Result<std::uint64_t> OpenFile::pwrite(std::uint64_t offset, std::span<const std::byte> from) {
  DAXSIM_TRY_VOID(may_modify());
  return inode_->write(offset, from);
}

Result<void> OpenFile::truncate(std::uint64_t size) {
  DAXSIM_TRY_VOID(super_block_->check_alive());
  if (mode_ == OpenMode::read_only) {
    return Errno::einval;
  }
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
