// SPDX-License-Identifier: BSD-3-Clause
// FileSystem: the super block of an image. Metadata is read once and does not change. An inode stays in core from its first
// use to the unmount, and with it what it has in the page cache and which of its pages faulted.
#pragma once

#include <atomic>
#include <memory>
#include <string_view>
#include <vector>

#include "adapters/xip/image.hpp"
#include "daxsim/adapters/xip.hpp"
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
namespace xip {

class FileSystem final : public SuperBlock, private Holder {
 public:
  FileSystem(const dax::Context& context, Attachment& device, const MountOptions& options) noexcept;
  ~FileSystem() override;

  // Errors: those of XipFs::mount.
  Result<void> load();

  [[nodiscard]] bool is_read_only() const noexcept override { return true; }
  Result<std::shared_ptr<Inode>> create(std::string_view path) override;
  Result<std::shared_ptr<Inode>> open(std::string_view path) override;
  Result<void> unlink(std::string_view path) override;
  Result<void> rename(std::string_view from, std::string_view to) override;
  Result<std::vector<DirectoryEntry>> list() override;
  Result<void> sync() override;
  Result<void> unmount() override;
  Result<SpaceUsage> space() override;

  // Alive, and not unmounted. Errors: Errno::eio, Errno::eshutdown.
  [[nodiscard]] Result<void> check_mounted() const noexcept;
  [[nodiscard]] const dax::Context& context() const noexcept { return context_; }
  [[nodiscard]] Attachment& device() const noexcept { return device_; }
  [[nodiscard]] DaxOption dax_option() const noexcept { return options_.dax; }
  [[nodiscard]] pagecache::Pool& page_pool() const noexcept { return *page_pool_; }
  [[nodiscard]] XipProfile recorded_profile();

 private:
  Result<void> pre_remove(Attachment& device) override;
  Result<void> failure(Attachment& device, ByteRange bytes) override;
  void revoke(Attachment& device, ByteRange bytes) override;
  // Takes the pages there out of all mappings. The next access asks for them again.
  void unmap_device_pages(PageRange device_pages);
  // Why nothing is changed here. Errors: Errno::eio, Errno::eshutdown, Errno::erofs.
  [[nodiscard]] Result<void> refuse_change() const noexcept;

  const dax::Context& context_;
  Attachment& device_;
  const MountOptions options_;
  Image image_;                                 // constant from load() on
  std::unique_ptr<pagecache::Pool> page_pool_;  // the same
  std::atomic<bool> unmounted_{false};
  Mutex name_space_{LockRank::name_space};
  std::vector<std::shared_ptr<Inode>> in_core_ DAXSIM_GUARDED_BY(name_space_);  // by file of the image; null: not yet
};

}  // namespace xip
DAXSIM_END
