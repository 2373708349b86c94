// SPDX-License-Identifier: BSD-3-Clause
#include "dax/direct_access.hpp"

#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {

Result<FileExtent> generic_direct_access(const FileExtent& extent) noexcept {
  Result<FileExtent> answer = extent;
  if (extent.kind != FileExtent::Kind::memory) {
    return answer;
  }
  const Gate::Reader inside(extent.device->gate());
  const Result<Memory> memory = extent.device->direct_access(extent.device_page, extent.pages.pages);
  if (!memory.ok()) {
    return memory.error();
  }
  answer->memory = *memory;
  answer->pages.pages = memory->pages;
  return answer;
}

Result<FileExtent> locate(Inode& inode, PageRange pages, Access access) noexcept {
  Result<FileExtent> extent = inode.direct_access(pages, access);
  if (!extent.ok()) {
    return extent;
  }
  if (extent->pages.first != pages.first || extent->pages.empty()) {
    return Errno::eio;
  }
  if (extent->kind == FileExtent::Kind::memory && extent->memory.pages == 0) {
    return generic_direct_access(*extent);
  }
  return extent;
}

}  // namespace dax
DAXSIM_END
