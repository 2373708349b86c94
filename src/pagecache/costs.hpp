// SPDX-License-Identifier: BSD-3-Clause
// What the page cache charges to the virtual clock: round numbers of a fast machine, for comparing, not for predicting
// hardware. Faults and copies cost what dax charges for them.
#pragma once

#include <chrono>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN
namespace pagecache::costs {

// A fault, whatever its outcome.
inline constexpr std::chrono::nanoseconds kFault{1000};
// Moving one cache line by read(2) or write(2).
inline constexpr std::chrono::nanoseconds kCopyLine{5};
// Reading or writing one page of what is not direct.
inline constexpr std::chrono::nanoseconds kPageIo{10'000};

constexpr std::chrono::nanoseconds copying(std::uint64_t bytes) noexcept {
  return kCopyLine * static_cast<std::int64_t>((bytes + kCacheLine - 1) / kCacheLine);
}

}  // namespace pagecache::costs
DAXSIM_END
