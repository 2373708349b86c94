// SPDX-License-Identifier: BSD-3-Clause
// What the DAX core charges to the virtual clock: round numbers of a fast pmem machine, for comparing designs, not for
// predicting hardware. Everything that dax charges is here.
#pragma once

#include <chrono>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace dax::costs {

// A fault that dax handles, whatever its outcome: the trap, the file system's walk, the page table.
inline constexpr std::chrono::nanoseconds kFault{1000};
// Writing back one cache line, dirty or not: the instruction is issued for each.
inline constexpr std::chrono::nanoseconds kFlushLine{10};
// Moving one cache line by read(2), write(2) or zeroing.
inline constexpr std::chrono::nanoseconds kCopyLine{5};

constexpr std::chrono::nanoseconds per_line(std::chrono::nanoseconds cost, std::uint64_t bytes) noexcept {
  return cost * static_cast<std::int64_t>((bytes + kCacheLine - 1) / kCacheLine);
}

}  // namespace dax::costs
DAXSIM_END
