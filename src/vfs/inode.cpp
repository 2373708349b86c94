// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/inode.hpp"

#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

Attachment* Inode::bdev() const noexcept { return super_block_.bdev(); }

// Not in the header: g++ -O2 then warns of the Result's bytes that nobody reads.
Result<void> Inode::written_back(PageRange /*pages*/) noexcept { return {}; }
Result<XflagDax> Inode::xflag_dax() { return Errno::eopnotsupp; }
Result<void> Inode::set_xflag_dax(XflagDax /*flag*/) { return Errno::eopnotsupp; }

DAXSIM_END
