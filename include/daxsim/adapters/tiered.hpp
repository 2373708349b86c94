// SPDX-License-Identifier: BSD-3-Clause
// TieredFs: a file system on a direct device and an ordinary block device, where a file may have blocks on both, by extent
// (F12: the file system answers for each range, also "not direct"). Names, log and all other metadata are on the direct
// device. Format: docs/tiered-format.md.
//
// Pages with blocks on the direct device are mapped directly (DAX), the others through the page cache, in one mapping.
// Holes are served directly until they get blocks. New blocks come from the file's foreground target, and from the other
// tier when that is full. SuperBlock::bdev and Inode::bdev name the direct device, and a design that asks for one is right:
// the index knows of no other.
//
// A power cut leaves what LinearFs promises; of what write(2) or a mapping has put into the page cache, what fsync,
// msync or sync has written back. fsync fences both devices. MAP_SYNC is refused. The end of either device is the end
// of the file system. SuperBlock::space counts both devices.
//
// The page cache has room for the whole block device, but 16 MiB at most, and writes back in fsync, msync, sync and
// promotion only: a program that dirties more between two of them is out of memory. Threads: any, after mount() has
// returned.
#pragma once

#include <cstdint>
#include <memory>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/mount_options.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

struct TieredFsOptions {
  // Most files that can exist at once, 1 to TieredFs::kMaxFiles; 0: one for every 64 KiB of the direct device, at least
  // 16, at most 65536.
  std::uint32_t files = 0;
};

enum class Tier : std::uint8_t { direct, block };

struct TieredFs {
  static constexpr std::uint32_t kMaxFiles = std::uint32_t{1} << 20;
  // 16 TiB.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;

  using Options = TieredFsOptions;

  // Makes an empty file system on the two devices; what was there is gone. A crash in the middle leaves devices that
  // mount() refuses with einval, or a complete file system.
  // Errors: Errno::einval (`direct` is not direct, or `block` is; a device is too small, for the metadata of both and 16
  // blocks of data or for 17 blocks, or has more than 2^32 pages; options.files out of range), Errno::ebusy (something
  // holds a device), Errno::enxio (dead device), Errno::enospc (the host disk is full), Errno::ehwpoison, Errno::enomem,
  // Errno::eio. Context: may wait for the devices.
  static Result<void> mkfs(Attachment& direct, Attachment& block, const Options& options = {});

  // As LinearFs::mount; claims both devices, and tears down when either is removed.
  // Errors: Errno::einval (`direct` is not direct, or `block` is; no such file system on `direct`), Errno::enodev (`block`
  // does not belong to this file system), Errno::eopnotsupp (a version of the format that is not known), Errno::euclean
  // (damaged, or a device is smaller than the file system), Errno::ebusy (something holds a device), Errno::enxio (dead
  // device), Errno::enomem, Errno::emfile, Errno::enfile (the host's limits), Errno::enospc (the host disk is full; no page
  // frames left for the page cache), Errno::ehwpoison (a known media error in the records at the front of `direct`, where
  // the checkpoint goes, or in its last page), Errno::eio. Context: may wait for the devices.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& direct, Attachment& block,
                                                   const MountOptions& options = {});

  // bcachefs' foreground_target: the tier that new blocks of a file come from as long as it has room; that of a new file is
  // the direct one. What it has stays where it is. Durable with the next fsync or sync.
  // Errors: Errno::einval (no file of a TieredFs), Errno::eio (shut down), Errno::eshutdown (power lost).
  // Context: may wait; no locks held.
  static Result<void> set_foreground_target(Inode& inode, Tier tier);

  // Migration, in dm-cache's words: moves those blocks of `pages` to the direct device that are on the block device
  // (promote), or the other way (demote), while the file is open and mapped (dax::relocate). Holes and what is there
  // already stay. Returns how many pages have moved; durable with the next fsync or sync.
  // Errors: Errno::einval (no file of a TieredFs), Errno::enospc (no room there; what has moved has moved), Errno::eintr
  // (interrupted while it waited for a pin), Errno::eio (shut down; a device), Errno::eshutdown (power lost),
  // Errno::enomem.
  // Context: may wait; no locks held.
  static Result<std::uint64_t> promote(Inode& inode, PageRange pages);
  static Result<std::uint64_t> demote(Inode& inode, PageRange pages);
};

DAXSIM_END
