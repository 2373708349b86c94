// SPDX-License-Identifier: BSD-3-Clause
// LinearFs: a file system like ext4 with a journal, on one dax device. Format: docs/linear-format.md.
//
// What a power cut leaves (any outcome of the lines that no fence has ordered):
// I1 Mounting succeeds and shows everything that fsync, sync or a MAP_SYNC fault promised.
// I2 Of each later create, unlink, rename, truncate, punch, collapse and insert it shows all or nothing, in the order
//    in which they were called. Zeroing inside the first and last page of a range happens in place, at once, as in
//    Linux.
// I3 A block is zeros before its place in a file can become durable: no file shows what another one held.
//
// Files have no times, so fdatasync and fsync do the same. fsync of a file commits the changes of all files.
// Threads: any, after mount() has returned.
#pragma once

#include <cstdint>
#include <memory>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/mount_options.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

struct LinearFsOptions {
  // Most files that can exist at once, 1 to LinearFs::kMaxFiles; 0: one for every 64 KiB of the device, at least 16, at
  // most 65536.
  std::uint32_t files = 0;
};

struct LinearFs {
  static constexpr std::uint32_t kMaxFiles = std::uint32_t{1} << 20;
  // 16 TiB, as ext4 with 4 KiB blocks.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;

  using Options = LinearFsOptions;

  // Makes an empty file system on `device`; what was there is gone. A crash in the middle leaves a device that mount()
  // refuses with einval, or a complete file system.
  // Errors: Errno::einval (the device is too small for its metadata and 16 blocks of data, or has more than 2^32 pages;
  // options.files out of range), Errno::ebusy (something holds the device), Errno::enxio (dead device), Errno::enospc
  // (the host disk is full), Errno::ehwpoison, Errno::enomem, Errno::eio. Context: may wait for the device.
  static Result<void> mkfs(Attachment& device, const Options& options = {});

  // Claims `device`, brings the newest complete state back and frees the blocks of files that were unlinked but open.
  // Writes a checkpoint. `context` and `device` must outlive the super block, which unmounts nothing when it is
  // destroyed: that is a crash without loss of power. When the device is removed in order the file system writes
  // everything back before it shuts down (dax::orderly_teardown). With another option than dax=always there is a page cache
  // of 16 MiB.
  // Errors: Errno::einval (no such file system on the device), Errno::eopnotsupp (a version of the format that is not
  // known), Errno::euclean (the super record or both checkpoints are damaged, or the device is smaller than the file
  // system), Errno::ebusy (something holds the device), Errno::enxio (dead device), Errno::enomem, Errno::emfile,
  // Errno::enfile (the host's limits, when there is to be a page cache), Errno::enospc (the host disk is full; no page
  // frames left for the page cache), Errno::ehwpoison (a known media error in the super record, where the checkpoint goes,
  // or in the last page), Errno::eio. Context: may wait for the device.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& device,
                                                   const MountOptions& options = {}, const FsTraits& traits = {});
};

// A LinearFs that does what else ext4 was recorded doing: machine.mkfs<Ext4>(device).
struct Ext4 {
  // Errors: any that LinearFs::mkfs answers.
  static Result<void> mkfs(Attachment& device) { return LinearFs::mkfs(device); }
  // Errors: any that LinearFs::mount answers.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& device,
                                                   const MountOptions& options = {}) {
    return LinearFs::mount(context, device, options, fs_traits::ext4);
  }
};

DAXSIM_END
