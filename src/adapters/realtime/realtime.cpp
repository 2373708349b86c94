// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/adapters/realtime.hpp"

#include <array>

#include "adapters/extent_fs/file_system.hpp"
#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace {

constexpr extent_fs::Kind kKind{.magic = 0x31454d4954525844,  // "DXRTIME1"
                                .reflink = Reflink::yes,
                                .traits = fs_traits::xfs};

static_assert(RealtimeFs::kMaxFiles == extent_fs::kMaxFiles && RealtimeFs::kMaxFileSize == extent_fs::kMaxFileSize);

}  // namespace

Result<void> RealtimeFs::mkfs(Attachment& data, Attachment& realtime, const Options& options) {
  return extent_fs::FileSystem::make(std::array{&data, &realtime}, kKind,
                                     {.files = options.files, .reflink = options.reflink});
}

Result<std::shared_ptr<SuperBlock>> RealtimeFs::mount(const dax::Context& context, Attachment& data,
                                                      Attachment& realtime, const MountOptions& options,
                                                      WhenRemoved when_removed) {
  extent_fs::Kind kind = kKind;
  kind.when_removed = when_removed;
  return extent_fs::FileSystem::mount(context, std::array{&data, &realtime}, kind, options);
}

Result<void> RealtimeFs::set_realtime(Inode& inode, Realtime realtime) {
  auto* const file = dynamic_cast<extent_fs::ExtentInode*>(&inode);
  if (file == nullptr || file->file_system().chunks().groups() != 2) {
    return Errno::einval;
  }
  return file->set_group(realtime == Realtime::yes ? 1 : 0);
}

DAXSIM_END
