// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/result.hpp"

#include <gtest/gtest.h>

#include <memory>
#include <utility>

namespace daxsim {
namespace {

Result<int> half(int number) {
  if (number % 2 != 0) {
    return Errno::einval;
  }
  return number / 2;
}
Result<void> even(int number) {
  DAXSIM_TRY([[maybe_unused]] const int ignored, half(number));
  return {};
}
Result<int> quarter(int number) {
  DAXSIM_TRY(const int once, half(number));
  DAXSIM_TRY(const int twice, half(once));
  return twice;
}
Result<int> seven_if_even(int number) {
  DAXSIM_TRY_VOID(even(number));
  return 7;
}
Result<std::unique_ptr<int>> boxed(int number) {
  DAXSIM_TRY(const int value, half(number));
  return std::make_unique<int>(value);
}
Result<int> unboxed(int number) {
  DAXSIM_TRY(const auto box, boxed(number));
  return *box;
}

// A result is a value or an errno, and says which.
TEST(Result, HoldsAValueOrAnErrno) {
  EXPECT_TRUE(half(8).ok());
  EXPECT_EQ(*half(8), 4);
  EXPECT_FALSE(half(7).ok());
  EXPECT_EQ(half(7).error(), Errno::einval);
  EXPECT_TRUE(Result<void>().ok());
  EXPECT_EQ(Result<void>(Errno::eio).error(), Errno::eio);
}

// DAXSIM_TRY goes on with the value and leaves with the first error, also for values that only move.
TEST(Result, TryPassesTheFirstErrorOn) {
  EXPECT_EQ(*quarter(12), 3);
  EXPECT_EQ(quarter(10).error(), Errno::einval);
  EXPECT_EQ(quarter(7).error(), Errno::einval);
  EXPECT_EQ(*unboxed(6), 3);
  EXPECT_EQ(unboxed(5).error(), Errno::einval);
  EXPECT_EQ(*seven_if_even(2), 7);
  EXPECT_EQ(seven_if_even(3).error(), Errno::einval);
}

}  // namespace
}  // namespace daxsim
