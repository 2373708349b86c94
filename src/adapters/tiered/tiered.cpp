// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/adapters/tiered.hpp"

#include <array>

#include "adapters/extent_fs/file_system.hpp"
#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace {

constexpr extent_fs::Kind kKind{.magic = 0x3144524549545844,  // "DXTIERD1"
                                .placement = extent_fs::Placement::preferred};

static_assert(TieredFs::kMaxFiles == extent_fs::kMaxFiles && TieredFs::kMaxFileSize == extent_fs::kMaxFileSize);

// Null for the inode of another kind.
extent_fs::ExtentInode* tiered_file(Inode& inode) noexcept {
  auto* const file = dynamic_cast<extent_fs::ExtentInode*>(&inode);
  return file != nullptr && file->file_system().kind().magic == kKind.magic ? file : nullptr;
}

// The group of chunks that is a tier: each device is one.
constexpr std::uint32_t group_of(Tier tier) noexcept { return tier == Tier::direct ? 0 : 1; }

Result<std::uint64_t> migrate(Inode& inode, PageRange pages, Tier to) {
  extent_fs::ExtentInode* const file = tiered_file(inode);
  return file != nullptr ? file->move_to_group(pages, group_of(to)) : Result<std::uint64_t>(Errno::einval);
}

}  // namespace

Result<void> TieredFs::mkfs(Attachment& direct, Attachment& block, const Options& options) {
  if (block.is_direct()) {
    return Errno::einval;
  }
  return extent_fs::FileSystem::make(std::array{&direct, &block}, kKind, {.files = options.files});
}

Result<std::shared_ptr<SuperBlock>> TieredFs::mount(const dax::Context& context, Attachment& direct, Attachment& block,
                                                    const MountOptions& options) {
  if (block.is_direct()) {
    return Errno::einval;
  }
  return extent_fs::FileSystem::mount(context, std::array{&direct, &block}, kKind, options);
}

Result<void> TieredFs::set_foreground_target(Inode& inode, Tier tier) {
  extent_fs::ExtentInode* const file = tiered_file(inode);
  return file != nullptr ? file->set_group(group_of(tier)) : Result<void>(Errno::einval);
}

Result<std::uint64_t> TieredFs::promote(Inode& inode, PageRange pages) { return migrate(inode, pages, Tier::direct); }

Result<std::uint64_t> TieredFs::demote(Inode& inode, PageRange pages) { return migrate(inode, pages, Tier::block); }

DAXSIM_END
