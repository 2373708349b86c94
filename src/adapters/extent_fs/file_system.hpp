// SPDX-License-Identifier: BSD-3-Clause
// FileSystem: the super block. Its devices are the volumes, and a map of chunks says where on them its addresses are;
// kinds of file systems differ in that map (chunks.hpp) and in the magic of their super record, and in nothing else.
// Inodes of named files stay in core until unmount or unlink, so that what a closed file has dirty is still known; an
// unlinked file goes when its last user does. One whose FS_XFLAG_DAX was changed leaves core when it is opened and nobody
// else uses it: then it comes back as the flag says.
//
// Locks: name_space_ (names, the inodes kept in core), then allocation_lock (metadata and journal). Memory from the
// heap is never taken under the second.
#pragma once

#include <atomic>
#include <bitset>
#include <cstdint>
#include <map>
#include <memory>
#include <optional>
#include <string_view>
#include <vector>

#include "adapters/extent_fs/journal.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/holder.hpp"
#include "daxsim/pagecache/pool.hpp"
#include "daxsim/vfs/mount_options.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace extent_fs {

class ExtentInode;

// Of a page cache: 16 MiB.
inline constexpr std::uint64_t kMostPoolPages = 4096;

struct ScrubReport {
  std::uint64_t pages = 0;     // compared
  std::uint64_t repaired = 0;  // of them differed
};
struct BalanceReport {
  std::uint64_t files = 0;  // that had blocks there
  std::uint64_t pages = 0;  // moved
};

class FileSystem final : public SuperBlock, private Holder {
 public:
  struct MakeOptions {
    std::uint32_t files = 0;
    Reflink reflink = Reflink::no;
    // Where the map is stored.
    Profile profile = Profile::single;
    std::uint64_t stripe_pages = 0;
  };
  // The whole of an adapter's mkfs and mount. Errors: those of LinearFs::mkfs.
  static Result<void> make(Volumes volumes, const Kind& kind, const MakeOptions& options);
  // Errors: those of LinearFs::mount, Errno::enodev (a volume belongs to another file system).
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Volumes volumes, const Kind& kind,
                                                   const MountOptions& options = {});

  FileSystem(const dax::Context& context, Volumes volumes, const Kind& kind, const MountOptions& options);
  ~FileSystem() override;

  Result<std::shared_ptr<Inode>> create(std::string_view path) override;
  Result<std::shared_ptr<Inode>> open(std::string_view path) override;
  Result<void> unlink(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<std::vector<DirectoryEntry>> list() override;
  Result<void> sync() override;
  Result<void> unmount() override;
  Result<SpaceUsage> space() override;
  Result<XflagDax> xflag_dax() override;
  Result<void> set_xflag_dax(XflagDax flag) override;

  // For inodes.
  // Alive, and not unmounted. Errors: Errno::eio, Errno::eshutdown.
  [[nodiscard]] Result<void> check_mounted() const noexcept;
  [[nodiscard]] const dax::Context& context() const noexcept { return context_; }
  [[nodiscard]] Volumes volumes() const noexcept { return volumes_; }
  [[nodiscard]] const Kind& kind() const noexcept { return kind_; }
  [[nodiscard]] const MountOptions& options() const noexcept { return options_; }
  [[nodiscard]] const ChunkMap& chunks() const noexcept { return *chunks_; }
  [[nodiscard]] Reflink reflink() const noexcept { return reflink_; }
  [[nodiscard]] Attachment* bdev() const noexcept override { return volumes_[0]; }
  // Where pages of the files' other part are cached; null: no file has one.
  [[nodiscard]] pagecache::Pool* page_pool() const noexcept { return page_pool_.get(); }
  [[nodiscard]] Mutex& allocation_lock() noexcept DAXSIM_RETURN_CAPABILITY(allocation_lock_) {
    return allocation_lock_;
  }
  [[nodiscard]] Journal& journal() noexcept DAXSIM_REQUIRES(allocation_lock_) { return *journal_; }

  // Begins a change: room for its records, or the reason why there can be none. Errors: Errno::eio, Errno::eshutdown.
  Result<void> begin_change_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Takes free addresses for a hole of `file`: contiguous, and placed so that huge pages can map large files; fewer than
  // asked when there is no run so long. Errors: Errno::enospc, Errno::eio.
  Result<PageRange> take_blocks_locked(File& file, PageRange hole) noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Of the chunks of this group only.
  Result<PageRange> take_blocks_locked(File& file, PageRange hole, std::uint32_t group) noexcept
      DAXSIM_REQUIRES(allocation_lock_);
  // Where take_blocks_locked would take them: the file's group, or another when that is full and the file may.
  [[nodiscard]] std::uint32_t group_with_room_locked(const File& file) noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Makes what has changed durable and fences. Errors: Errno::eio (and the file system is shut down).
  Result<void> commit_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);
  // No file gets blocks there while a balance empties it.
  [[nodiscard]] bool is_closed_locked(std::size_t chunk) const noexcept DAXSIM_REQUIRES(allocation_lock_) {
    return closed_[chunk];
  }
  // Zeroes all copies of these addresses. Errors: those of Attachment::zero.
  Result<void> zero_blocks(PageRange addresses) const noexcept;

  // Moves all blocks out of these chunks, file by file, to chunks that are not among them, and commits. Errors: those of
  // ExtentInode::leave_closed_chunks, Errno::ebusy (another balance is under way).
  Result<BalanceReport> balance(const std::bitset<kMaxChunks>& chunks);
  // Every file. Errors: those of ExtentInode::scrub.
  Result<ScrubReport> scrub();
  // Addresses of a chunk that files have. Context: takes the allocation lock.
  [[nodiscard]] std::uint64_t used_pages(std::size_t chunk) noexcept;

  // The last user of an inode has gone.
  void closed(std::uint32_t ino) noexcept;

 private:
  Result<void> load();
  void release_devices() noexcept;
  Result<void> pre_remove(Attachment& device) override;
  Result<void> failure(Attachment& device, ByteRange bytes) override;
  void revoke(Attachment& device, ByteRange bytes) override;
  // Calls `visit(Inode&, PageRange)` for the pages of files in core that are on these pages of the device: the reverse
  // map, made when it is asked for.
  template <class Visit>
  void for_each_owner(const Attachment& device, PageRange device_pages, Visit visit);
  void revoke_files_on(const Attachment& device);
  [[nodiscard]] bool is_metadata(const Attachment& device, PageRange pages) const noexcept;

  enum class InCore : std::uint8_t { no, yes };
  std::shared_ptr<Inode> keep_in_core(std::uint32_t ino) DAXSIM_REQUIRES(name_space_);
  // Whether an inode that is not to be cached was evicted: nobody uses it. What is dirty is written back before; an inode
  // for which that fails stays.
  bool evict(std::shared_ptr<Inode>& inode) DAXSIM_REQUIRES(name_space_);
  [[nodiscard]] InCore in_core(std::uint32_t ino) const noexcept DAXSIM_REQUIRES(name_space_);
  std::shared_ptr<Inode> drop_from_core(std::uint32_t ino) DAXSIM_REQUIRES(name_space_);
  // Errors: Errno::enoent.
  Result<std::uint32_t> find_locked(std::string_view name) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> remove_name_locked(std::uint32_t ino, InCore in_core) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> checked_locked(Result<void> result) noexcept DAXSIM_REQUIRES(allocation_lock_);
  Result<void> checkpoint_locked() noexcept DAXSIM_REQUIRES(allocation_lock_);
  // Where free pages are looked for: anywhere in a chunk, or only where they go well with the file.
  enum class Placing : std::uint8_t { well, anywhere };
  // Of the chunk's space.
  PageRange find_blocks_locked(File& file, PageRange hole, std::size_t chunk, Placing placing) noexcept
      DAXSIM_REQUIRES(allocation_lock_);
  PageRange find_well_locked(File& file, PageRange hole, std::size_t chunk) noexcept DAXSIM_REQUIRES(allocation_lock_);
  std::uint64_t goal_locked(File& file, std::size_t chunk, Pgoff first) noexcept DAXSIM_REQUIRES(allocation_lock_);
  // The page of the chunk's space where `page` of a file would continue the extent; none when it is in another chunk.
  [[nodiscard]] std::optional<std::uint64_t> continuing_locked(const File& file, const Extent* extent,
                                                               std::size_t chunk, std::uint64_t page) noexcept
      DAXSIM_REQUIRES(allocation_lock_);
  // Whether it has pages that are free, or will be after two checkpoints.
  [[nodiscard]] bool has_room_locked(std::uint32_t group) noexcept DAXSIM_REQUIRES(allocation_lock_);
  [[nodiscard]] bool may_use_locked(std::uint32_t group, std::size_t chunk) const noexcept
      DAXSIM_REQUIRES(allocation_lock_);
  // The first file with this number or a greater one, in core; null: there is none.
  std::shared_ptr<ExtentInode> next_inode(std::uint64_t ino);
  Result<void> write_back_all();

  const dax::Context& context_;
  const std::vector<Attachment*> volumes_;
  const Kind kind_;
  const MountOptions options_;
  const ChunkMap* chunks_ = nullptr;  // the journal's, from load() on
  std::unique_ptr<pagecache::Pool> page_pool_;
  Reflink reflink_ = Reflink::no;  // of this file system
  std::atomic<bool> unmounted_{false};
  Mutex name_space_{LockRank::name_space};
  std::map<std::uint32_t, std::shared_ptr<Inode>> in_core_ DAXSIM_GUARDED_BY(name_space_);
  Mutex allocation_lock_{LockRank::allocation};
  std::unique_ptr<Journal> journal_ DAXSIM_GUARDED_BY(allocation_lock_);
  std::bitset<kMaxChunks> closed_ DAXSIM_GUARDED_BY(allocation_lock_);
  std::uint64_t open_orphans_ DAXSIM_GUARDED_BY(allocation_lock_) = 0;
};

}  // namespace extent_fs
DAXSIM_END
