// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/inode.hpp"

#include <algorithm>

#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

Attachment* Inode::bdev() const noexcept { return super_block_.bdev(); }

Result<Inode::ReadFolio> Inode::read_folio(Pgoff page, std::span<std::byte> to) noexcept {
  DAXSIM_TRY(const FileExtent here, direct_access({page, 1}, Access::read));
  if (here.kind != FileExtent::Kind::not_direct || here.pages.first != page || here.pages.empty()) {
    return Errno::eio;
  }
  if (here.device == nullptr) {
    std::ranges::fill(to, std::byte{0});
    return ReadFolio::zeros;
  }
  DAXSIM_TRY_VOID(here.device->read(byte_of(here.device_page), to));
  return ReadFolio::from_device;
}

std::uint64_t Inode::blocks() const noexcept { return (size() + kSectorSize - 1) / kSectorSize; }

// Not in the header: g++ -O2 then warns of the Result's bytes that nobody reads.
Result<void> Inode::written_back(PageRange /*pages*/) noexcept { return {}; }
Result<FileExtent> Inode::report_blocks(PageRange /*pages*/) noexcept { return Errno::eopnotsupp; }
Result<XflagDax> Inode::xflag_dax() { return Errno::eopnotsupp; }
Result<void> Inode::set_xflag_dax(XflagDax /*flag*/) { return Errno::eopnotsupp; }

DAXSIM_END
