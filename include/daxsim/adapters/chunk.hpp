// SPDX-License-Identifier: BSD-3-Clause
// ChunkFs: a file system like btrfs on one to four devices. Its addresses are divided into chunks, and a chunk is on one
// device, striped over all of them (RAID0, 64 KiB each in turn), or twice on one (DUP). All metadata is on the first
// device. Format: docs/chunk-format.md.
//
// SuperBlock::bdev and Inode::bdev name the first device: a file on several has no one device to name, and a design that
// asks for one flushes the wrong memory (F11).
//
// A power cut leaves what LinearFs promises. The end of any device is the end of the file system.
//
// DUP: a store through a mapping reaches the first copy. The second follows when the page is written back (fsync, msync,
// sync), before that call fences; pwrite and zeroing go to both. A crash in between leaves copies that differ, where
// nothing was promised; reads see the first, and scrub() makes the second like it.
// Threads: any, after mount() has returned.
#pragma once

#include <cstdint>
#include <memory>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/mount_options.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

// What a chunk is to its devices.
enum class ChunkProfile : std::uint8_t { single, raid0, dup };

struct ChunkFsOptions {
  ChunkProfile profile = ChunkProfile::single;
  // Most files that can exist at once, 1 to ChunkFs::kMaxFiles; 0: one for every 64 KiB of the first device, at least
  // 16, at most 65536.
  std::uint32_t files = 0;
  // Bytes that a chunk takes of a device for each of its stripes or copies, a multiple of 64 KiB; huge pages want one of
  // 2 MiB. 0: a tenth of the smallest device in whole 2 MiB, at least 2 MiB.
  std::uint64_t chunk_size = 0;
  // Whether files may share blocks.
  Reflink reflink = Reflink::no;
};

struct ChunkInfo {
  ChunkProfile profile{};
  std::vector<std::uint32_t> devices;  // by their place in the call of mount
  std::uint64_t pages = 0;             // of data
  std::uint64_t used_pages = 0;
};

struct ChunkFs {
  static constexpr std::uint32_t kMaxDevices = 4;
  static constexpr std::uint32_t kMaxChunks = 80;
  static constexpr std::uint32_t kMaxFiles = std::uint32_t{1} << 20;
  // 16 TiB.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;

  using Options = ChunkFsOptions;
  using Devices = std::span<Attachment* const>;
  struct ScrubReport {
    std::uint64_t pages = 0;     // compared with their copy
    std::uint64_t repaired = 0;  // of them differed
  };
  struct BalanceReport {
    std::uint64_t files = 0;  // that had blocks there
    std::uint64_t pages = 0;  // moved
  };

  // Makes an empty file system; what was there is gone. A crash in the middle leaves devices that mount() refuses with
  // einval, or a complete file system.
  // Errors: Errno::einval (no device, or more than four; one is too small for a chunk, or the first for the metadata,
  // or one has more than 2^32 pages; options out of range; more than kMaxChunks chunks), Errno::ebusy (something holds a
  // device; two are the same), Errno::enxio (dead device), Errno::enospc (the host disk is full), Errno::ehwpoison,
  // Errno::enomem, Errno::eio. Context: may wait for the devices.
  static Result<void> mkfs(Devices devices, const Options& options = {});

  // As LinearFs::mount, with the devices in the order of mkfs; claims all, and tears down when any is removed.
  // Errors: Errno::einval (no device, or more than four; no such file system on the first), Errno::enodev (a device is
  // not the one that belongs there, or missing), Errno::eopnotsupp (a version of the format that is not known),
  // Errno::euclean (damaged, or a device is smaller than the file system), Errno::ebusy (something holds a device; two
  // are the same), Errno::enxio (dead device), Errno::enomem, Errno::emfile, Errno::enfile (the host's limits, when
  // there is to be a page cache), Errno::enospc (the host disk is full; no page frames left for the page cache),
  // Errno::ehwpoison (a known media error in the records at the front of a device, or where the checkpoint goes),
  // Errno::eio. Context: may wait for the devices.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Devices devices,
                                                   const MountOptions& options = {});

  // The calls below are for the super block of a mounted ChunkFs. Context: may wait; no locks held.
  // Errors of all: Errno::einval (it is none), Errno::eio (shut down; the device), Errno::eshutdown (power lost).

  // By number.
  static Result<std::vector<ChunkInfo>> chunks(SuperBlock& super_block);
  // Moves all blocks of a chunk to other chunks, file by file, while files are open and mapped (dax::relocate). Durable
  // when it returns. What was freed counts as free, and is handed out again after two more checkpoints.
  // Errors: Errno::einval (no such chunk), Errno::enospc (no room in other chunks), Errno::eintr (interrupted while it
  // waited for a pin), Errno::ebusy (another balance is under way), Errno::enomem; part may have moved then.
  static Result<BalanceReport> balance(SuperBlock& super_block, std::uint32_t chunk);
  // The same for all chunks that are on a device (by its place in the call of mount): afterwards no file is. New blocks
  // may go there again.
  // Errors: as balance.
  static Result<BalanceReport> empty_device(SuperBlock& super_block, std::uint32_t device);
  // Compares both copies of every block that has two, after writing back, and makes the second like the first where they
  // differ. Errors: Errno::enospc (the host disk is full), Errno::enomem.
  static Result<ScrubReport> scrub(SuperBlock& super_block);
};

DAXSIM_END
