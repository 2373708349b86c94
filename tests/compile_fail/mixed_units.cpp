// SPDX-License-Identifier: BSD-3-Clause
// A page offset is no page frame number.
// must fail: (no match for|invalid operands to binary expression)

#include "daxsim/base/units.hpp"

bool use(daxsim::Pgoff page, daxsim::Pfn frame) {
#ifdef DAXSIM_MUST_FAIL
  if (page == frame) {
    return true;
  }
#endif
  return page.value == frame.value;
}
