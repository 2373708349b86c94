// SPDX-License-Identifier: BSD-3-Clause
// The virtual clock of a machine, in nanoseconds. It moves when somebody advances it: device operations, faults and
// blocked accesses do; warm live loads do not. Any thread may read or advance it; allowed in the fault path.
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

class VirtualClock {
 public:
  [[nodiscard]] std::chrono::nanoseconds now() const noexcept {
    return std::chrono::nanoseconds{now_.load(std::memory_order_relaxed)};
  }
  void advance(std::chrono::nanoseconds by) noexcept { now_.fetch_add(by.count(), std::memory_order_relaxed); }
  // Never backwards.
  void advance_to(std::chrono::nanoseconds then) noexcept {
    std::int64_t seen = now_.load(std::memory_order_relaxed);
    while (seen < then.count() && !now_.compare_exchange_weak(seen, then.count(), std::memory_order_relaxed)) {
    }
  }

 private:
  std::atomic<std::int64_t> now_{0};
};

DAXSIM_END
