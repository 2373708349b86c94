// SPDX-License-Identifier: BSD-3-Clause
// memfd_create, which takes the place of libc's in the program of the one source that includes this.
#pragma once

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

namespace daxsim::support {

// The next call ends with this errno, unless it is 0.
inline int refuse_memfd = 0;

}  // namespace daxsim::support

extern "C" int memfd_create(const char* name, unsigned flags) noexcept {
  errno = std::exchange(daxsim::support::refuse_memfd, 0);
  return errno != 0 ? -1 : static_cast<int>(::syscall(SYS_memfd_create, name, flags));
}
