// SPDX-License-Identifier: BSD-3-Clause
// FileSystem and File: the user's handles on a mounted file system and an open file.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/mm/live.hpp"
#include "daxsim/mm/map_options.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

class MachineCore;

// An open file. Move-only; closing is destruction. Mappings keep the file, and the machine, on their own.
class File {
 public:
  File(File&&) noexcept = default;
  // What it was dies whole: the file before the machine that it may have been the last handle of.
  File& operator=(File&& other) noexcept {
    File whole(std::move(other));
    std::swap(core_, whole.core_);
    std::swap(file_, whole.file_);
    return *this;
  }

  // A live mapping: real loads and stores of this process. Errors: those of Mapping::map.
  Result<Mapping> map(const MapOptions& options = {}, LiveBackend backend = LiveBackend::automatic);

  // As OpenFile's. Errors: those of the OpenFile call of the same name.
  Result<std::uint64_t> pread(std::uint64_t offset, std::span<std::byte> to) { return file_->pread(offset, to); }
  Result<std::uint64_t> pwrite(std::uint64_t offset, std::span<const std::byte> from) {
    return file_->pwrite(offset, from);
  }
  Result<void> truncate(std::uint64_t size) { return file_->truncate(size); }
  Result<void> fallocate(Fallocate mode, ByteRange bytes) { return file_->fallocate(mode, bytes); }
  Result<void> reflink(const File& source, ByteRange bytes, std::uint64_t offset) {
    return file_->reflink(*source.file_, bytes, offset);
  }
  Result<void> fsync() { return file_->fsync(); }
  Result<void> fdatasync() { return file_->fdatasync(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return file_->inode().size(); }

  // For Process::mmap and for tools.
  [[nodiscard]] const std::shared_ptr<OpenFile>& open_file() const noexcept { return file_; }

 private:
  friend class FileSystem;
  File(std::shared_ptr<MachineCore> core, std::shared_ptr<OpenFile> file) noexcept
      : core_(std::move(core)), file_(std::move(file)) {}
  std::shared_ptr<MachineCore> core_;  // before file_: outlives it
  std::shared_ptr<OpenFile> file_;
};

// A mounted file system. Copyable. Errors of all: those of the SuperBlock call of the same name.
class FileSystem {
 public:
  FileSystem(const FileSystem&) noexcept = default;
  FileSystem(FileSystem&&) noexcept = default;
  // As File's.
  FileSystem& operator=(FileSystem other) noexcept {
    std::swap(core_, other.core_);
    std::swap(super_block_, other.super_block_);
    return *this;
  }

  // A new file of `size` bytes with its blocks allocated (fallocate); 0: empty.
  // Errors: Errno::efbig (`size` is beyond the format), Errno::enospc, Errno::enomem.
  Result<File> create(std::string_view name, std::uint64_t size = 0);

  // Errors: Errno::erofs (for writing, on a read-only file system).
  Result<File> open(std::string_view name, OpenMode mode = OpenMode::read_write);

  Result<void> unlink(std::string_view name) { return super_block_->unlink(name); }
  Result<void> rename(std::string_view from, std::string_view to) { return super_block_->rename(from, to); }
  Result<std::vector<DirectoryEntry>> list() { return super_block_->list(); }
  Result<SpaceUsage> space() { return super_block_->space(); }
  Result<void> sync() { return super_block_->sync(); }
  // The handle is of no use after success.
  Result<void> unmount();

  [[nodiscard]] const std::shared_ptr<SuperBlock>& super_block() const noexcept { return super_block_; }

 private:
  friend class Machine;
  FileSystem(std::shared_ptr<MachineCore> core, std::shared_ptr<SuperBlock> super_block) noexcept
      : core_(std::move(core)), super_block_(std::move(super_block)) {}
  std::shared_ptr<MachineCore> core_;  // before super_block_: outlives it
  std::shared_ptr<SuperBlock> super_block_;
};

DAXSIM_END
