// SPDX-License-Identifier: BSD-3-Clause
// RealtimeFs: a file system like XFS with a realtime device: two devices, and each file wholly on one of them. Names,
// log and all other metadata are on the data device. Format: docs/realtime-format.md.
//
// The super block names the data device (SuperBlock::bdev), a file its own (Inode::bdev): a design that asks the first
// for the place of a page on the second flushes the wrong memory (F11).
//
// What a power cut leaves is what LinearFs promises. fsync of a file on the realtime device fences both devices. The end
// of either device is the end of the file system. SuperBlock::space counts both devices, so a file may find no space
// while there is some on the other. Threads: any, after mount() has returned.
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

struct RealtimeFsOptions {
  // Most files that can exist at once, 1 to RealtimeFs::kMaxFiles; 0: one for every 64 KiB of the data device, at least
  // 16, at most 65536.
  std::uint32_t files = 0;
  // Whether files on the same device may share blocks.
  Reflink reflink = Reflink::no;
};

enum class Realtime : std::uint8_t { no, yes };

struct RealtimeFs {
  static constexpr std::uint32_t kMaxFiles = std::uint32_t{1} << 20;
  // 16 TiB.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;

  using Options = RealtimeFsOptions;

  // Makes an empty file system on the two devices; what was there is gone. A crash in the middle leaves devices that
  // mount() refuses with einval, or a complete file system.
  // Errors: Errno::einval (a device is too small, for the metadata of both and 16 blocks of data or for 17 blocks, or
  // has more than 2^32 pages; options.files out of range), Errno::ebusy (something holds a device; both are the same),
  // Errno::enxio (dead device), Errno::enospc (the host disk is full), Errno::ehwpoison, Errno::enomem, Errno::eio.
  // Context: may wait for the devices.
  static Result<void> mkfs(Attachment& data, Attachment& realtime, const Options& options = {});

  // As LinearFs::mount; claims both devices. What comes of it when either is removed, `when_removed` says.
  // Errors: Errno::einval (no such file system on `data`), Errno::enodev (`realtime` is not the realtime device of this
  // file system), Errno::eopnotsupp (a version of the format that is not known), Errno::euclean (damaged, or a device
  // is smaller than the file system), Errno::ebusy (something holds a device; both are the same), Errno::enxio (dead
  // device), Errno::enomem, Errno::emfile, Errno::enfile (the host's limits, when there is to be a page cache),
  // Errno::enospc (the host disk is full; no page frames left for the page cache), Errno::ehwpoison (a known media
  // error in the records at the front of a device, where the checkpoint goes, or in a last page), Errno::eio. Context:
  // may wait for the devices.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& data, Attachment& realtime,
                                                   const MountOptions& options = {},
                                                   WhenRemoved when_removed = WhenRemoved::end_all);

  // FS_XFLAG_REALTIME: whether the blocks that a file gets are on the realtime device; those of a new file are not. Set
  // before the file gets its first block, or after it has lost its last. Durable with the next fsync or sync.
  // Errors: Errno::einval (the file has blocks on the other device; it is no file of a RealtimeFs), Errno::eio (shut
  // down), Errno::eshutdown (power lost). Context: may wait; no locks held.
  static Result<void> set_realtime(Inode& inode, Realtime realtime = Realtime::yes);
};

// What tells one XFS from another.
struct XfsTraits {
  Reflink reflink = Reflink::yes;
  WhenRemoved when_removed = WhenRemoved::end_all;
};
namespace xfs_traits {
inline constexpr XfsTraits without_rmap{.when_removed = WhenRemoved::nothing};
inline constexpr XfsTraits with_rmap{.when_removed = WhenRemoved::end_owners};
}  // namespace xfs_traits

// A RealtimeFs like that: machine.mkfs<Xfs<xfs_traits::with_rmap>>(data, realtime).
template <const XfsTraits& kTraits>
struct Xfs {
  // Errors: any that RealtimeFs::mkfs answers.
  static Result<void> mkfs(Attachment& data, Attachment& realtime) {
    return RealtimeFs::mkfs(data, realtime, {.reflink = kTraits.reflink});
  }
  // Errors: any that RealtimeFs::mount answers.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& data, Attachment& realtime,
                                                   const MountOptions& options = {}) {
    return RealtimeFs::mount(context, data, realtime, options, kTraits.when_removed);
  }
};

DAXSIM_END
