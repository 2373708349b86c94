// SPDX-License-Identifier: BSD-3-Clause
#include "dax/direct_access.hpp"

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {

namespace {

// In place: an extent is large, and a fault passes one up through several calls. Not for an error.
void look_up_memory(Result<FileExtent>& extent) noexcept {
  if (extent->kind != FileExtent::Kind::memory) {
    return;
  }
  const Gate::Reader inside(extent->device->gate());
  const Result<Memory> memory = extent->device->direct_access(extent->device_page, extent->pages.pages);
  if (!memory.ok()) {
    extent = memory.error();
    return;
  }
  extent->memory = *memory;
  extent->pages.pages = memory->pages;
}

}  // namespace

Result<FileExtent> generic_direct_access(const FileExtent& extent) noexcept {
  Result<FileExtent> answer = extent;
  look_up_memory(answer);
  return answer;
}

Result<FileExtent> locate(Inode& inode, PageRange pages, Access access) noexcept {
  Result<FileExtent> extent = inode.direct_access(pages, access);
  if (!extent.ok()) {
    return extent;
  }
  if (extent->pages.first != pages.first || extent->pages.empty()) {
    extent = Errno::eio;
  } else if (extent->memory.pages == 0 && !(extent->shared && access == Access::write)) {
    look_up_memory(extent);
  }
  return extent;
}

}  // namespace dax
DAXSIM_END
