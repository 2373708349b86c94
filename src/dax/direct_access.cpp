// SPDX-License-Identifier: BSD-3-Clause
#include "dax/direct_access.hpp"

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {

Result<FileExtent> generic_direct_access(FileExtent extent) noexcept {
  if (extent.kind != FileExtent::Kind::memory) {
    return extent;
  }
  const Gate::Reader inside(extent.device->gate());
  DAXSIM_TRY(extent.memory, extent.device->direct_access(extent.device_page, extent.pages.pages));
  extent.pages.pages = extent.memory.pages;
  return extent;
}

Result<FileExtent> locate(Inode& inode, PageRange pages, Access access) noexcept {
  DAXSIM_TRY(FileExtent extent, inode.direct_access(pages, access));
  if (extent.pages.first != pages.first || extent.pages.empty()) {
    return Errno::eio;
  }
  if (extent.kind == FileExtent::Kind::memory && extent.memory.pages == 0) {
    return generic_direct_access(extent);
  }
  return extent;
}

}  // namespace dax
DAXSIM_END
