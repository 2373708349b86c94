// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/machine/file_system.hpp"

#include "machine/core.hpp"

DAXSIM_BEGIN

// The mapping may be the last handle of the machine: it keeps a File as whole as this one.
Result<Mapping> File::map(const MapOptions& options, LiveBackend backend) {
  const auto kept = std::make_shared<File>(File(core_, file_));
  return Mapping::map(core_->system, std::shared_ptr<OpenFile>(kept, file_.get()), options, backend);
}

Result<File> FileSystem::create(std::string_view name, std::uint64_t size) {
  DAXSIM_TRY(std::shared_ptr<Inode> inode, super_block_->create(name));
  File file(core_, std::make_shared<OpenFile>(super_block_, std::move(inode), OpenMode::read_write));
  if (size != 0) {
    if (const Result<void> grown = file.fallocate(Fallocate::allocate, {0, size}); !grown.ok()) {
      [[maybe_unused]] const Result<void> undone = super_block_->unlink(name);
      return grown.error();
    }
  }
  return file;
}

Result<File> FileSystem::open(std::string_view name, OpenMode mode) {
  DAXSIM_TRY(std::shared_ptr<Inode> inode, super_block_->open(name));
  if (mode == OpenMode::read_write && super_block_->is_read_only()) {
    return Errno::erofs;
  }
  return File(core_, std::make_shared<OpenFile>(super_block_, std::move(inode), mode));
}

Result<void> FileSystem::unmount() {
  DAXSIM_TRY_VOID(super_block_->unmount());
  core_->forget(*super_block_);
  return {};
}

DAXSIM_END
