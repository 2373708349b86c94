// SPDX-License-Identifier: BSD-3-Clause
// FlashFs: the least file system for a flash: one file that nobody can write to, "/fw", whose page n is page n of the
// device. It holds the device and gives its mappings up when it is asked to.
#pragma once

#include <memory>
#include <string_view>
#include <vector>

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/holder.hpp"
#include "daxsim/vfs/super_block.hpp"

namespace daxsim::test {

class FlashInode final : public Inode {
 public:
  FlashInode(SuperBlock& super_block, const dax::Context& context, Attachment& device) noexcept
      : Inode(super_block, 1, context.system.arena), context_(context), device_(device) {
    set_size(device.size());
  }
  ~FlashInode() override { dax::evict(context_, *this); }
  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override {
    if (access == Access::write) {
      return Errno::eio;  // nobody asks: there is no writable handle
    }
    DAXSIM_TRY_VOID(super_block().check_alive());
    const PageRange all{{0}, device_.pages()};
    return dax::generic_direct_access({.kind = FileExtent::Kind::memory,
                                       .pages = all.clip(pages),
                                       .extent = all,
                                       .device = &device_,
                                       .device_page = pages.first});
  }
  FaultOutcome fault(FaultRequest& request) noexcept override { return dax::fault(context_, *this, request); }
  Result<void> fsync_range(ByteRange, Datasync) noexcept override { return {}; }
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override {
    return dax::read(context_, *this, offset, to);
  }
  Result<std::uint64_t> write(std::uint64_t, std::span<const std::byte>) override { return Errno::eio; }
  Result<void> truncate(std::uint64_t) override { return Errno::eio; }
  Result<void> fallocate(Fallocate, ByteRange) override { return Errno::eio; }
  [[nodiscard]] bool is_synchronous() const noexcept override { return device_.capabilities().synchronous; }

 private:
  const dax::Context& context_;
  Attachment& device_;
};

class FlashFs final : public SuperBlock, private Holder {
 public:
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& device) {
    auto mounted = std::make_shared<FlashFs>(context, device);
    DAXSIM_TRY_VOID(device.claim(*mounted));
    return std::shared_ptr<SuperBlock>(std::move(mounted));
  }
  FlashFs(const dax::Context& context, Attachment& device)
      : SuperBlock(context.system, device.dev()),
        context_(context),
        device_(device),
        file_(std::make_shared<FlashInode>(*this, context, device)) {
    insert_in_core(file_);
  }
  ~FlashFs() override { device_.release(*this); }

  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::enospc; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return file_; }
  Result<void> unlink(std::string_view) override { return Errno::enoent; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::enoent; }
  Result<std::vector<DirectoryEntry>> list() override { return std::vector<DirectoryEntry>{}; }
  Result<SpaceUsage> space() override { return SpaceUsage{.total_pages = file_->size_in_pages()}; }
  Result<void> sync() override { return {}; }
  // Whoever has the file open has the machine's last reference to it.
  Result<void> unmount() override {
    if (file_.use_count() > 1) {
      return Errno::ebusy;
    }
    shutdown(Errno::eio);
    device_.release(*this);
    return {};
  }

 private:
  Result<void> pre_remove(Attachment&) override { return dax::orderly_teardown(context_, *this); }
  Result<void> failure(Attachment&, ByteRange) override {
    dax::surprise_teardown(context_, *this, Errno::eio);
    return {};
  }
  void revoke(Attachment&, ByteRange bytes) override {
    const ExclusiveLock no_faults(file_->mapping().invalidate_lock());
    file_->mapping().unmap_pages(pages_of(bytes), EvenCows::no);
  }

  const dax::Context& context_;
  Attachment& device_;
  const std::shared_ptr<FlashInode> file_;
};

}  // namespace daxsim::test
