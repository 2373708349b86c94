// SPDX-License-Identifier: BSD-3-Clause
// FileSystem: the super block. The files of one file system are all on its one device (LinearFs), or each on one of its
// devices, the volumes (RealtimeFs); the kinds differ in the magic of their super record and in nothing else. Inodes of named files stay in core until unmount or unlink, so that what a
// closed file has dirty is still known; an unlinked file goes when its last user does.
//
// Locks: name_space_ (names, the inodes kept in core), then allocation_lock (metadata and journal). Memory from the
// heap is never taken under the second.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <memory>
#include <string_view>
#include <vector>

#include "adapters/extent_fs/journal.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/holder.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace extent_fs {

class FileSystem final : public SuperBlock, private Holder {
 public:
  // The whole of an adapter's mkfs and mount. Errors: those of LinearFs::mkfs.
  static Result<void> make(Volumes volumes, std::uint32_t files, std::uint64_t magic);
  // Errors: those of LinearFs::mount, Errno::enodev (a volume belongs to another file system).
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Volumes volumes, std::uint64_t magic);

  FileSystem(const dax::Context& context, Volumes volumes);
  ~FileSystem() override;

  Result<std::shared_ptr<Inode>> create(std::string_view path) override;
  Result<std::shared_ptr<Inode>> open(std::string_view path) override;
  Result<void> unlink(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<std::vector<DirectoryEntry>> list() override;
  Result<void> sync() override;
  Result<void> unmount() override;
  Result<SpaceUsage> space() override;

  // For inodes.
  // Alive, and not unmounted. Errors: Errno::eio, Errno::eshutdown.
  [[nodiscard]] Result<void> check_mounted() const noexcept;
  [[nodiscard]] const dax::Context& context() const noexcept { return context_; }
  [[nodiscard]] Volumes volumes() const noexcept { return volumes_; }
  // Where the extents of `file` are.
  [[nodiscard]] Attachment& device(const File& file) const noexcept { return *volumes_[file.volume]; }
  [[nodiscard]] Attachment* bdev() const noexcept override { return volumes_[0]; }
  [[nodiscard]] Mutex& allocation_lock() noexcept DAXSIM_RETURN_CAPABILITY(allocation_lock_) {
    return allocation_lock_;
  }
  [[nodiscard]] Journal& journal() noexcept DAXSIM_REQUIRES(allocation_lock_) { return *journal_; }

  // Begins a change: room for its records, or the reason why there can be none. Errors: Errno::eio, Errno::eshutdown.
  Result<void> begin_change_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Takes free pages of its device for a hole of `file`: contiguous, and placed so that huge pages can map large files; fewer
  // than asked when there is no run so long. Errors: Errno::enospc, Errno::eio.
  Result<PageRange> take_blocks_locked(File& file, PageRange hole) noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Makes what has changed durable and fences. Errors: Errno::eio (and the file system is shut down).
  Result<void> commit_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);

  // The last user of an inode has gone.
  void closed(std::uint32_t ino) noexcept;

 private:
  Result<void> load(std::uint64_t magic);
  void release_devices() noexcept;
  Result<void> pre_remove(Attachment& device) override;
  Result<void> failure(Attachment& device, ByteRange bytes) override;

  enum class InCore : std::uint8_t { no, yes };
  std::shared_ptr<Inode> keep_in_core(std::uint32_t ino) DAXSIM_REQUIRES(name_space_);
  [[nodiscard]] InCore in_core(std::uint32_t ino) const noexcept DAXSIM_REQUIRES(name_space_);
  std::shared_ptr<Inode> drop_from_core(std::uint32_t ino) DAXSIM_REQUIRES(name_space_);
  // Errors: Errno::enoent.
  Result<std::uint32_t> find_locked(std::string_view name) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> remove_name_locked(std::uint32_t ino, InCore in_core) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> checked_locked(Result<void> result) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> checkpoint_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);
  PageRange find_blocks_locked(File& file, PageRange hole) noexcept DAXSIM_REQUIRES(allocation_lock_);
  std::uint64_t goal_locked(File& file, const Extent* before, Pgoff first, Pgoff pmd) noexcept
      DAXSIM_REQUIRES(allocation_lock_);
  Result<void> write_back_all();

  const dax::Context& context_;
  const std::vector<Attachment*> volumes_;
  std::atomic<bool> unmounted_{false};
  Mutex name_space_{LockRank::name_space};
  std::map<std::uint32_t, std::shared_ptr<Inode>> in_core_ DAXSIM_GUARDED_BY(name_space_);
  Mutex allocation_lock_{LockRank::allocation};
  std::unique_ptr<Journal> journal_ DAXSIM_GUARDED_BY(allocation_lock_);
  std::uint64_t open_orphans_ DAXSIM_GUARDED_BY(allocation_lock_) = 0;
};

}  // namespace extent_fs
DAXSIM_END
