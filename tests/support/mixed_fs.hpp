// SPDX-License-Identifier: BSD-3-Clause
// MixedFs: a file system of one file, the first half of which is on a direct device and the second on an ordinary one, so
// that one mapping has DAX entries and pages of the page cache. All blocks are there from the start; it has no metadata.
#pragma once

#include <algorithm>
#include <array>
#include <memory>
#include <utility>

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "support/fsync_in_core.hpp"

namespace daxsim::test {

class MixedInode final : public Inode {
 public:
  static constexpr std::uint64_t kHalf = kPagesPerPmd;  // pages
  static constexpr std::uint64_t kBorder = kHalf << kPageShift;

  MixedInode(SuperBlock& super_block, const dax::Context& context, pagecache::Pool& pool, Attachment& fast,
             Attachment& slow)
      : Inode(super_block, 1, super_block.system().arena),
        cached(pool, *this),
        context_(context),
        fast_(fast),
        slow_(slow) {
    set_size(2 * kBorder);
  }
  ~MixedInode() override {
    // Nobody is left to hear of an error.
    static_cast<void>(fsync_range({0, ~std::uint64_t{0}}, Datasync::no).ok());
    dax::evict(context_, *this);
  }

  Result<FileExtent> direct_access(PageRange pages, Access) noexcept override {
    DAXSIM_TRY_VOID(super_block().check_alive());
    const bool direct = is_direct(pages.first);
    FileExtent extent;
    extent.kind = direct ? FileExtent::Kind::memory : FileExtent::Kind::not_direct;
    extent.extent = direct ? kDirect : kCached;
    extent.pages = pages.clip(extent.extent);
    extent.device = direct ? &fast_ : &slow_;
    extent.device_page = {pages.first - extent.extent.first};
    if (extent.pages.empty()) {
      return Errno::efbig;
    }
    return dax::generic_direct_access(extent);
  }
  FaultOutcome fault(FaultRequest& request) noexcept override {
    return is_direct(request.pgoff) ? dax::fault(context_, *this, request) : cached.fault(request);
  }
  Result<void> fsync_range(ByteRange bytes, Datasync) noexcept override {
    DAXSIM_TRY_VOID(dax::writeback_range(context_, mapping(), bytes));
    DAXSIM_TRY_VOID(cached.writeback_range(bytes));
    DAXSIM_TRY_VOID(fast_.fence());
    return slow_.fence();
  }
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override {
    const SharedLock reading(i_rwsem());
    const auto [direct, rest] = split(offset, to);
    DAXSIM_TRY(const std::uint64_t first, dax::read(context_, *this, offset, direct));
    DAXSIM_TRY(const std::uint64_t second, cached.read(offset + direct.size(), rest));
    return first + second;
  }
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override {
    const ExclusiveLock writing(i_rwsem());
    const auto [direct, rest] = split(offset, from);
    DAXSIM_TRY(const std::uint64_t first, dax::write(context_, *this, offset, direct));
    DAXSIM_TRY(const std::uint64_t second, cached.write(offset + direct.size(), rest));
    set_size(std::max(size(), offset + first + second));
    return first + second;
  }
  Result<void> truncate(std::uint64_t bytes) override {
    const ExclusiveLock writing(i_rwsem());
    const SharedLock thawed(super_block().freeze_lock());
    const ExclusiveLock no_faults(mapping().invalidate_lock());
    const PageRange gone{{pages_for(bytes)}, kAllPages.end() - Pgoff{pages_for(bytes)}};
    DAXSIM_TRY_VOID(dax::break_layouts(context_, *this));
    DAXSIM_TRY_VOID(dax::truncate_pages(context_, *this, gone));
    cached.truncate_pages(gone);
    // Here blocks are never freed, so what was cut off is zeroed when it comes back.
    if (bytes > size()) {
      const std::uint64_t in_direct = std::clamp(kBorder, size(), bytes) - size();
      DAXSIM_TRY_VOID(dax::zero_range(context_, *this, {size(), in_direct}));
      DAXSIM_TRY_VOID(cached.zero_range({size() + in_direct, bytes - size() - in_direct}));
    }
    set_size(bytes);
    return {};
  }
  Result<void> fallocate(Fallocate, ByteRange) override { return Errno::eopnotsupp; }
  [[nodiscard]] bool is_synchronous() const noexcept override { return false; }

  pagecache::FilePages cached;

 private:
  static constexpr PageRange kDirect{{0}, kHalf};
  static constexpr PageRange kCached{{kHalf}, kHalf};
  static bool is_direct(Pgoff page) noexcept { return kDirect.contains(page); }
  // What of a buffer for `offset` is for the direct half, and the rest.
  template <class Buffer>
  static std::pair<Buffer, Buffer> split(std::uint64_t offset, Buffer bytes) noexcept {
    const std::uint64_t direct = offset >= kBorder ? 0 : std::min<std::uint64_t>(bytes.size(), kBorder - offset);
    return {bytes.first(direct), bytes.subspan(direct)};
  }

  const dax::Context& context_;
  Attachment& fast_;
  Attachment& slow_;
};

class MixedFs final : public SuperBlock {
 public:
  // Errors: those of Pool::create.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& fast, Attachment& slow) {
    DAXSIM_TRY(std::unique_ptr<pagecache::Pool> pool, pagecache::Pool::create(context.system, 2 * kPagesPerPmd));
    return std::shared_ptr<SuperBlock>(new MixedFs(context, fast, slow, std::move(pool)));
  }
  ~MixedFs() override { forget_in_core(1); }

  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eexist; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override {
    DAXSIM_TRY_VOID(check_alive());
    std::shared_ptr<Inode> inode = find_in_core(1);
    if (inode == nullptr) {
      inode = std::make_shared<MixedInode>(*this, context_, *pool_, fast_, slow_);
      insert_in_core(inode);
    }
    return inode;
  }
  Result<void> unlink(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::eopnotsupp; }
  Result<std::vector<DirectoryEntry>> list() override { return std::vector<DirectoryEntry>{}; }
  Result<void> sync() override { return fsync_in_core(*this); }
  Result<void> unmount() override { return sync(); }
  Result<SpaceUsage> space() override { return SpaceUsage{}; }

 private:
  MixedFs(const dax::Context& context, Attachment& fast, Attachment& slow, std::unique_ptr<pagecache::Pool> pool)
      : SuperBlock(context.system, fast.dev()), context_(context), fast_(fast), slow_(slow), pool_(std::move(pool)) {}

  const dax::Context& context_;
  Attachment& fast_;
  Attachment& slow_;
  const std::unique_ptr<pagecache::Pool> pool_;
};

}  // namespace daxsim::test
