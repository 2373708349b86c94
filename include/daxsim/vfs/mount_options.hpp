// SPDX-License-Identifier: BSD-3-Clause
// MountOptions: what a file system is told when it is mounted.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

// dax=: which files are direct (S_DAX). inode: those whose FS_XFLAG_DAX says so (Inode::xflag_dax), as it is when the
// inode comes into core.
enum class DaxOption : std::uint8_t { always, inode, never };

struct MountOptions {
  DaxOption dax = DaxOption::always;
};

DAXSIM_END
