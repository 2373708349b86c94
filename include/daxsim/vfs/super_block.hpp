// SPDX-License-Identifier: BSD-3-Clause
// SuperBlock: one mounted file system. A flat directory of files is enough for what daxsim studies.
//
// Shut down: once shutdown() was called every operation answers its errno and faults end in SIGBUS; nothing reaches the
// devices any more. Faults test it under invalidate_lock shared; the revoker sets it first and takes the lock exclusively
// after, so no page is installed behind it.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/vfs/fs_traits.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/system.hpp"

DAXSIM_BEGIN

struct DirectoryEntry {
  std::string name;
  std::uint64_t ino = 0;
  std::uint64_t size = 0;
};
// What a file system does when a device of it is removed, or memory of the device failed (F7.3).
enum class WhenRemoved : std::uint8_t {
  end_all,     // it ends (after writing back, if the device works), and every file loses its pages
  end_owners,  // it ends, and the files on the device lose their pages; where memory failed, only those pages are lost
               // (XFS with a reverse map)
  nothing,     // what is mapped stays mapped, and nobody is told (XFS without one, ext4)
};
struct SpaceUsage {
  std::uint64_t total_pages = 0;
  std::uint64_t free_pages = 0;
};

class SuperBlock {
 public:
  virtual ~SuperBlock() = default;
  SuperBlock(const SuperBlock&) = delete;
  SuperBlock& operator=(const SuperBlock&) = delete;

  [[nodiscard]] System& system() const noexcept { return system_; }
  [[nodiscard]] const FsTraits& traits() const noexcept { return traits_; }
  // For events; the first device's.
  [[nodiscard]] std::uint32_t dev() const noexcept { return dev_; }
  // s_bdev: the block device that was mounted; null for a file system without block devices. Context: any.
  [[nodiscard]] virtual Attachment* bdev() const noexcept { return nullptr; }
  // SB_RDONLY: nothing here can be opened for writing. Context: any.
  [[nodiscard]] virtual bool is_read_only() const noexcept { return false; }
  // Write faults and modifying calls hold it shared; freezing holds it exclusively.
  [[nodiscard]] SharedMutex& freeze_lock() noexcept DAXSIM_RETURN_CAPABILITY(freeze_lock_) { return freeze_lock_; }

  // Ok, or why everything is refused. Errors: Errno::eio (shut down), Errno::eshutdown (power lost).
  [[nodiscard]] Result<void> check_alive() const noexcept {
    const int reason = shut_down_.load(std::memory_order_acquire);
    return reason == 0 ? Result<void>() : Result<void>(static_cast<Errno>(reason));
  }
  // For good; the first reason stays. Emits fs_shutdown. Context: any, fault path.
  void shutdown(Errno reason) noexcept;

  // Names: 1 to 255 bytes, not "." or "..", no '/' or NUL save one leading '/', which is dropped. A file
  // system may have paths for names, parts between '/'.
  // Errors of all: Errno::eio (shut down), Errno::eshutdown (power lost).

  // A new empty file. Errors: Errno::einval (bad name), Errno::enametoolong, Errno::eexist, Errno::enospc, Errno::enomem,
  // Errno::erofs.
  virtual Result<std::shared_ptr<Inode>> create(std::string_view name) = 0;
  // Errors: Errno::einval (bad name), Errno::enametoolong, Errno::enoent.
  virtual Result<std::shared_ptr<Inode>> open(std::string_view name) = 0;
  // Open handles and mappings keep the file until they go.
  // Errors: Errno::einval (bad name), Errno::enametoolong, Errno::enoent, Errno::erofs.
  virtual Result<void> unlink(std::string_view name) = 0;
  // Replaces `to` when it exists.
  // Errors: Errno::einval (bad name), Errno::enametoolong, Errno::enoent, Errno::erofs.
  virtual Result<void> rename(std::string_view from, std::string_view to) = 0;
  // Ascending by name.
  virtual Result<std::vector<DirectoryEntry>> list() = 0;

  [[nodiscard]] virtual Result<SpaceUsage> space() = 0;

  // The directory's FS_XFLAG_DAX, which files get when they are made. Durable with the next sync.
  // Errors: those of Inode::xflag_dax.
  virtual Result<XflagDax> xflag_dax();
  // Errors: those of Inode::set_xflag_dax.
  virtual Result<void> set_xflag_dax(XflagDax flag);

  // sync(2): SYNC_ALL write-back of all files, then metadata. Teardown calls it with freeze_lock held exclusively, so it
  // takes no lock of rank freeze or below. Errors: those of Inode::fsync_range.
  virtual Result<void> sync() = 0;

  // Errors of all: none but their own.

  // After success the object only waits for its end. One that is shut down succeeds without writing anything.
  // Errors: Errno::ebusy (a file is open or mapped), Errno::eio (unmounted already; the device failed), Errno::enospc,
  // Errno::enomem (what the write-back met).
  virtual Result<void> unmount() = 0;

  // Files in core: open or mapped. Strong references, so a visitor may wait.
  [[nodiscard]] std::vector<std::shared_ptr<Inode>> inodes_in_core();

 protected:
  SuperBlock(System& system, std::uint32_t dev, const FsTraits& traits = {}) noexcept
      : system_(system), dev_(dev), traits_(traits) {}
  // The in-core table (iget): one Inode object per file. Context: takes inodes_lock.
  void insert_in_core(const std::shared_ptr<Inode>& inode);
  [[nodiscard]] std::shared_ptr<Inode> find_in_core(std::uint64_t ino);
  void forget_in_core(std::uint64_t ino);

 private:
  System& system_;
  const std::uint32_t dev_;
  const FsTraits traits_;
  SharedMutex freeze_lock_{LockRank::freeze};
  std::atomic<int> shut_down_{0};  // an Errno, 0 while alive
  Mutex inodes_lock_{LockRank::media};
  std::map<std::uint64_t, std::weak_ptr<Inode>> inodes_ DAXSIM_GUARDED_BY(inodes_lock_);
};

DAXSIM_END
