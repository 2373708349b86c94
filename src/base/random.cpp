// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/random.hpp"

#include <boost/random/mersenne_twister.hpp>
#include <boost/random/uniform_int_distribution.hpp>

DAXSIM_BEGIN

struct Random::Engine {
  boost::random::mt19937_64 numbers;
};

Random::Random(std::uint64_t seed) : engine_(std::make_unique<Engine>(boost::random::mt19937_64(seed))) {}
Random::~Random() = default;
Random::Random(Random&&) noexcept = default;
Random& Random::operator=(Random&&) noexcept = default;

std::uint64_t Random::next() { return engine_->numbers(); }

std::uint64_t Random::below(std::uint64_t bound) {
  return boost::random::uniform_int_distribution<std::uint64_t>(0, bound - 1)(engine_->numbers);
}

DAXSIM_END
