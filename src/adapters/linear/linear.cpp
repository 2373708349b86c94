// SPDX-License-Identifier: BSD-3-Clause
#include <array>

#include "adapters/extent_fs/file_system.hpp"
#include "daxsim/adapters/linear.hpp"

DAXSIM_BEGIN
namespace {

constexpr extent_fs::Kind kKind{.magic = 0x3152414e494c5844};  // "DXLINAR1"

static_assert(LinearFs::kMaxFiles == extent_fs::kMaxFiles && LinearFs::kMaxFileSize == extent_fs::kMaxFileSize);

}  // namespace

Result<void> LinearFs::mkfs(Attachment& device, const Options& options) {
  return extent_fs::FileSystem::make(std::array{&device}, kKind, {.files = options.files});
}

Result<std::shared_ptr<SuperBlock>> LinearFs::mount(const dax::Context& context, Attachment& device,
                                                    const MountOptions& options, const FsTraits& traits) {
  extent_fs::Kind kind = kKind;
  kind.traits = traits;
  return extent_fs::FileSystem::mount(context, std::array{&device}, kind, options);
}

DAXSIM_END
