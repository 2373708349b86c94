// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/device.hpp"

#include <cassert>

DAXSIM_BEGIN

Result<std::unique_ptr<DaxDevice>> Device::make_view(Arena& /*arena*/) {
  assert(!capabilities().direct && "a direct device has a view");
  return Errno::eopnotsupp;
}

Result<std::unique_ptr<BlockDevice>> Device::make_block_view(Arena& /*arena*/) {
  assert(capabilities().direct && "a device that is not direct has a block view");
  return Errno::eopnotsupp;
}

DAXSIM_END
