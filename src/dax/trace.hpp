// SPDX-License-Identifier: BSD-3-Clause
// The events of the DAX core, with the fields that the kernel's trace events of the same name have.
#pragma once

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN
namespace dax {

// About a file.
[[nodiscard]] inline Event event_of(EventType type, const Inode& inode) noexcept {
  return {.type = type, .dev = inode.super_block().dev(), .ino = inode.number()};
}

// About a fault on it.
[[nodiscard]] inline Event event_of(EventType type, const Inode& inode, const FaultRequest& request) noexcept {
  return {
      .type = type,
      .is_private = !request.vma.flags().shared,
      .dev = inode.super_block().dev(),
      .task = request.task,
      .fault_flags = request.flags,
      .ino = inode.number(),
      .address = request.address,
      .pgoff = request.pgoff,
  };
}

inline void emit(const Inode& inode, const Event& event) noexcept { inode.super_block().system().events.emit(event); }

}  // namespace dax
DAXSIM_END
