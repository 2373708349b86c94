// SPDX-License-Identifier: BSD-3-Clause
// Version and namespace of the library. Everything public lives in `daxsim`; the inline namespace changes with
// every release that changes the ABI, so that two versions in one process fail to link instead of misbehaving.
#pragma once

#define DAXSIM_VERSION_MAJOR 0
#define DAXSIM_VERSION_MINOR 1
#define DAXSIM_VERSION_PATCH 0

#define DAXSIM_BEGIN \
  namespace daxsim { \
  inline namespace v0 {
#define DAXSIM_END \
  }                \
  }
