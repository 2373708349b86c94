// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/clock.hpp"

#include <gtest/gtest.h>

#include <thread>
#include <vector>

namespace daxsim {
namespace {

using namespace std::chrono_literals;

// The clock moves when it is told to, and never backwards.
TEST(VirtualClock, MovesForwardOnly) {
  VirtualClock clock;
  EXPECT_EQ(clock.now(), 0ns);
  clock.advance(5us);
  EXPECT_EQ(clock.now(), 5us);
  clock.advance_to(3us);
  EXPECT_EQ(clock.now(), 5us);
  clock.advance_to(7us);
  EXPECT_EQ(clock.now(), 7us);
}

// No advance of any thread is lost.
TEST(VirtualClock, AddsUpTheAdvancesOfAllThreads) {
  VirtualClock clock;
  {
    std::vector<std::jthread> threads;
    for (int thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&clock] {
        for (int turn = 0; turn < 1000; ++turn) {
          clock.advance(1ns);
          clock.advance_to(10ns);
        }
      });
    }
  }
  EXPECT_GE(clock.now(), 4000ns);
  EXPECT_LE(clock.now(), 4010ns);
}

}  // namespace
}  // namespace daxsim
