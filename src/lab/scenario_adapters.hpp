// SPDX-License-Identifier: BSD-3-Clause
// The kinds of file systems that a scenario can have.
#pragma once

#include <span>
#include <string_view>

#include "daxsim/lab/scenario.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/vfs/mount_options.hpp"

DAXSIM_BEGIN
namespace lab {

struct AdapterKind {
  using Devices = std::span<const DeviceHandle>;
  using Mkfs = Result<void>(Machine& machine, Devices devices);
  using Mount = Result<FileSystem>(Machine& machine, Devices devices, const MountOptions& options);
  std::string_view name;  // "ext4"
  std::string_view text;
  std::size_t devices = 1;     // it takes
  std::size_t disks = 0;       // of them, at the end: ordinary block devices
  bool is_any_number = false;  // devices, from one on
  Mkfs* mkfs = nullptr;
  Mount* mount = nullptr;
};

}  // namespace lab
DAXSIM_END
