// SPDX-License-Identifier: BSD-3-Clause
// An error cannot be dropped by accident: Result is [[nodiscard]], which std::expected is not.
// must fail: ignoring return(ed)? value.*nodiscard

#include "daxsim/base/result.hpp"

daxsim::Result<int> answer();

int use() {
#ifdef DAXSIM_MUST_FAIL
  answer();
#endif
  return answer().ok() ? 0 : 1;
}
