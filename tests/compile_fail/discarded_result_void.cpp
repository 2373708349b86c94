// SPDX-License-Identifier: BSD-3-Clause
// The same for calls that return nothing but an error.
// must fail: ignoring return(ed)? value.*nodiscard

#include "daxsim/base/result.hpp"

daxsim::Result<void> flush();

int use() {
#ifdef DAXSIM_MUST_FAIL
  flush();
#endif
  return flush().ok() ? 0 : 1;
}
