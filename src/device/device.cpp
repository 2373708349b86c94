// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/device/device.hpp"

#include <cassert>

DAXSIM_BEGIN

Result<std::unique_ptr<DaxDevice>> Device::make_view(const ViewContext& /*context*/) {
  assert(!capabilities().direct && "a direct device has a view");
  return Errno::eopnotsupp;
}

Result<std::unique_ptr<DeviceView>> Device::make_block_view(const ViewContext& /*context*/) {
  assert(capabilities().direct && "a device that is not direct has a block view");
  return Errno::eopnotsupp;
}

DAXSIM_END
