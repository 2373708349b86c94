// SPDX-License-Identifier: BSD-3-Clause
// Asking the file system where pages are, and the device when the file system left that to us.
#pragma once

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace dax {

// Inode::direct_access, with memory looked up in any case. Errors: those of Inode::direct_access and
// Attachment::direct_access, Errno::eio (an answer for other pages than asked, or for none; F4.2 step 6).
[[nodiscard]] Result<FileExtent> locate(Inode& inode, PageRange pages, Access access) noexcept;

}  // namespace dax
DAXSIM_END
