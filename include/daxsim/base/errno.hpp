// SPDX-License-Identifier: BSD-3-Clause
// The errors of the library: the kernel's errno values, by their kernel names in lower case.
#pragma once

#include <cerrno>
#include <string_view>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

enum class Errno : int {
  eperm = EPERM,                // operation not permitted (e.g. sealed or immutable)
  enoent = ENOENT,              // no such file
  eintr = EINTR,                // an interruptible wait was interrupted
  eio = EIO,                    // I/O error; the file system is shut down; the machine lost power
  enxio = ENXIO,                // no such device: the device is dead
  ebadf = EBADF,                // the handle does not allow this (read-only, closed)
  eagain = EAGAIN,              // would have to wait and was told not to
  enomem = ENOMEM,              // out of memory, arena or host mappings
  eacces = EACCES,              // permission denied by the host
  efault = EFAULT,              // bad address, or a buffer that could not be reached
  ebusy = EBUSY,                // in use by somebody else
  eexist = EEXIST,              // exists already
  exdev = EXDEV,                // crosses devices
  enodev = ENODEV,              // no such device id; the device cannot do this
  enotdir = ENOTDIR,            // not a directory
  einval = EINVAL,              // argument out of its documented range
  enfile = ENFILE,              // too many open files on the host
  emfile = EMFILE,              // too many open files in the process
  efbig = EFBIG,                // offset or size beyond what the format holds
  enospc = ENOSPC,              // no free block, inode or log space; the host disk is full
  erofs = EROFS,                // read-only file, medium or file system
  erange = ERANGE,              // beyond the end of the device
  enametoolong = ENAMETOOLONG,  // file name too long
  enosys = ENOSYS,              // the host kernel lacks it
  enotempty = ENOTEMPTY,        // not empty
  eoverflow = EOVERFLOW,        // value does not fit its field
  etime = ETIME,                // the device is not done in the time that it may take
  eopnotsupp = EOPNOTSUPP,      // not supported by this device, file system or mapping
  estale = ESTALE,              // handle of an earlier life of the object
  ehwpoison = EHWPOISON,        // known media error in the range
  euclean = EUCLEAN,            // metadata is damaged (Linux: EFSCORRUPTED)
  eshutdown = ESHUTDOWN,        // the machine of this handle lost power
};

// The kernel's spelling: "EIO". Never null; "E?" for a value outside the enum. Allowed in the fault path.
std::string_view errno_name(Errno error) noexcept;

// One line in plain words: "input/output error". Allowed in the fault path.
std::string_view errno_text(Errno error) noexcept;

// What the host kernel said. Values outside the enum become eio.
Errno from_host_errno(int host_errno) noexcept;

DAXSIM_END
