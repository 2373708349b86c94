// SPDX-License-Identifier: BSD-3-Clause
// The least a user can do: include a public header and call into the library.

#include "daxsim/base/config.hpp"
#include "daxsim/base/errno.hpp"

int main() { return daxsim::errno_name(daxsim::Errno::eio) == "EIO" ? 0 : 1; }
