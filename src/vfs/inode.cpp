// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/inode.hpp"

#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

Attachment* Inode::bdev() const noexcept { return super_block_.bdev(); }

DAXSIM_END
