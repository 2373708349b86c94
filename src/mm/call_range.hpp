// SPDX-License-Identifier: BSD-3-Clause
// The pages that a system call on a process's addresses is about.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace soft_mmu {

struct CallRange {
  std::uint64_t from;
  std::uint64_t to;
};

// Of calls that want a page's address. Errors: Errno::einval (misaligned), `overflow`.
inline Result<CallRange> page_range(std::uint64_t address, std::uint64_t length, Errno overflow) noexcept {
  if (address % kPageSize != 0) {
    return Errno::einval;
  }
  const std::uint64_t to = round_up(address + length, kPageSize);
  if (to < address || address + length < address) {
    return overflow;
  }
  return CallRange{address, to};
}

// Of calls that take any address. Errors: Errno::einval (address + length overflows).
inline Result<CallRange> touched_range(std::uint64_t address, std::uint64_t length) noexcept {
  const std::uint64_t from = round_down(address, kPageSize);
  const std::uint64_t with_head = length + (address - from);
  return with_head < length ? Errno::einval : page_range(from, with_head, Errno::einval);
}

}  // namespace soft_mmu
DAXSIM_END
