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

// Fields of an event beside who and where; those that have no meaning for it stay 0 (events.hpp).
struct Details {
  Pgoff pgoff{};
  std::uint64_t last = 0;
  Pfn pfn{};
  std::uint64_t length = 0;
  std::int64_t ret = 0;
  std::uint32_t flags = 0;
  std::uint32_t result = 0;
  std::uint64_t vm_start = 0;
  std::uint64_t vm_end = 0;
  const void* object = nullptr;
};

// The events are made where they are passed: a fault emits several, and copies of them are a good part of its cost.

// About a file.
[[gnu::always_inline]] inline void emit(EventType type, const Inode& inode, const Details& details) noexcept {
  inode.super_block().system().events.emit({
      .type = type,
      .dev = inode.super_block().dev(),
      .result = details.result,
      .flags = details.flags,
      .ino = inode.number(),
      .pgoff = details.pgoff,
      .last = details.last,
      .pfn = details.pfn,
      .length = details.length,
      .ret = details.ret,
      .object = details.object,
  });
}

// About a fault on it.
[[gnu::always_inline]] inline void emit(EventType type, const Inode& inode, const FaultRequest& request,
                                        const Details& details) noexcept {
  inode.super_block().system().events.emit({
      .type = type,
      .is_private = !request.vma.flags().shared,
      .dev = inode.super_block().dev(),
      .task = request.task,
      .fault_flags = request.flags,
      .result = details.result,
      .flags = details.flags,
      .ino = inode.number(),
      .address = request.address,
      .vm_start = details.vm_start,
      .vm_end = details.vm_end,
      .pgoff = details.pgoff,
      .last = details.last,
      .pfn = details.pfn,
      .length = details.length,
  });
}

}  // namespace dax
DAXSIM_END
