// SPDX-License-Identifier: BSD-3-Clause
// Seeded random numbers that are the same on every platform and standard library (Boost.Random underneath).
// Not thread-safe; not for the fault path (construction allocates).
#pragma once

#include <cstdint>
#include <memory>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

class Random {
 public:
  explicit Random(std::uint64_t seed);
  ~Random();
  Random(Random&&) noexcept;
  Random& operator=(Random&&) noexcept;

  std::uint64_t next();
  // Uniform in [0, bound). bound > 0.
  std::uint64_t below(std::uint64_t bound);
  // True once in n on average. n > 0.
  bool one_in(std::uint64_t n) { return below(n) == 0; }

 private:
  struct Engine;
  std::unique_ptr<Engine> engine_;
};

DAXSIM_END
