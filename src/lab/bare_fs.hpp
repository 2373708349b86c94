// SPDX-License-Identifier: BSD-3-Clause
// BareFs: the least file system without a block device (F11, famfs): one file, whose page n is page n of a dax device.
// It has no metadata, so there is nothing to make, and what fsync promises is the bytes.
#pragma once

#include <memory>
#include <utility>

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace lab {

class BareInode final : public Inode {
 public:
  BareInode(SuperBlock& super_block, const dax::Context& context, Attachment& device) noexcept
      : Inode(super_block, 1, context.system.arena), context_(context), device_(device) {
    set_size(device.size());
  }
  ~BareInode() override { dax::evict(context_, *this); }
  Result<FileExtent> direct_access(PageRange pages, Access /*access*/) noexcept override {
    const PageRange all{{0}, device_.pages()};
    return dax::generic_direct_access({.kind = FileExtent::Kind::memory,
                                       .pages = all.clip(pages),
                                       .extent = all,
                                       .device = &device_,
                                       .device_page = pages.first,
                                       .cookie = pages.first.value + 1});
  }
  Result<FileExtent> find_by_cookie(std::uint64_t cookie, std::uint64_t behind, PageRange pages) noexcept override {
    return direct_access({{cookie - 1 + behind}, pages.pages}, Access::read);
  }
  FaultOutcome fault(FaultRequest& request) noexcept override { return dax::fault(context_, *this, request); }
  Result<void> fsync_range(ByteRange bytes, Datasync /*datasync*/) noexcept override {
    DAXSIM_TRY_VOID(dax::writeback_range(context_, mapping(), bytes));
    return device_.fence();
  }
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override {
    return dax::read(context_, *this, offset, to);
  }
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override {
    return dax::write(context_, *this, offset, from);
  }
  Result<void> truncate(std::uint64_t /*size*/) override { return Errno::eopnotsupp; }
  Result<void> fallocate(Fallocate /*mode*/, ByteRange /*bytes*/) override { return {}; }  // there is a block for each

 private:
  const dax::Context& context_;
  Attachment& device_;
};

class BareFs final : public SuperBlock {
 public:
  BareFs(const dax::Context& context, Attachment& device) : SuperBlock(context.system, device.dev()) {
    file_ = std::make_shared<BareInode>(*this, context, device);
    insert_in_core(file_);
  }
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& device) {
    return std::shared_ptr<SuperBlock>(std::make_shared<BareFs>(context, device));
  }
  // Every name is the one file.
  Result<std::shared_ptr<Inode>> create(std::string_view /*name*/) override { return file_; }
  Result<std::shared_ptr<Inode>> open(std::string_view /*name*/) override { return file_; }
  Result<void> unlink(std::string_view /*name*/) override { return Errno::eopnotsupp; }
  Result<void> rename(std::string_view /*from*/, std::string_view /*to*/) override { return Errno::eopnotsupp; }
  Result<std::vector<DirectoryEntry>> list() override { return std::vector<DirectoryEntry>{}; }
  Result<SpaceUsage> space() override { return SpaceUsage{.total_pages = file_->size_in_pages()}; }
  Result<void> sync() override { return file_->fsync_range({0, file_->size()}, Datasync::no); }
  Result<void> unmount() override { return Errno::ebusy; }  // the machine tears it down instead

 private:
  std::shared_ptr<Inode> file_;
};

}  // namespace lab
DAXSIM_END
