// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/error_sequence.hpp"

#include <gtest/gtest.h>

#include "daxsim/test_support/expect.hpp"

namespace daxsim {
namespace {

// Nothing recorded, nothing reported.
TEST(ErrorSequence, QuietAtFirst) {
  ErrorSequence errors;
  ErrorSequence::Sample handle = errors.sample();
  EXPECT_TRUE(errors.check_and_advance(handle).ok());
}

// Each handle hears of an error once, whoever else has heard of it.
TEST(ErrorSequence, OncePerHandle) {
  ErrorSequence errors;
  ErrorSequence::Sample one = errors.sample();
  ErrorSequence::Sample two = errors.sample();

  errors.record(Errno::eio);

  EXPECT_ERRNO(errors.check_and_advance(one), Errno::eio);
  EXPECT_TRUE(errors.check_and_advance(one).ok());
  EXPECT_ERRNO(errors.check_and_advance(two), Errno::eio);
  EXPECT_TRUE(errors.check_and_advance(two).ok());
}

// An error that nobody has seen is reported even to a handle opened after it; a seen one is history.
TEST(ErrorSequence, UnseenErrorsReachLaterHandles) {
  ErrorSequence errors;
  errors.record(Errno::enospc);

  ErrorSequence::Sample later = errors.sample();
  EXPECT_ERRNO(errors.check_and_advance(later), Errno::enospc);

  ErrorSequence::Sample too_late = errors.sample();
  EXPECT_TRUE(errors.check_and_advance(too_late).ok());
}

// The newest error is the one reported, and the same errno again is a new error.
TEST(ErrorSequence, NewestAndRepeated) {
  ErrorSequence errors;
  ErrorSequence::Sample handle = errors.sample();
  errors.record(Errno::eio);
  errors.record(Errno::enospc);
  EXPECT_ERRNO(errors.check_and_advance(handle), Errno::enospc);

  errors.record(Errno::enospc);
  EXPECT_ERRNO(errors.check_and_advance(handle), Errno::enospc);
}

// A flood of errors that nobody looks at leaves an old sample distinguishable: the counter moves only with looks.
TEST(ErrorSequence, UnseenFloodsDoNotWrapAround) {
  ErrorSequence errors;
  errors.record(Errno::eio);
  ErrorSequence::Sample handle = errors.sample();
  EXPECT_ERRNO(errors.check_and_advance(handle), Errno::eio);

  for (int n = 0; n < (1 << 19) + 1; ++n) {
    errors.record(Errno::eio);
  }

  EXPECT_ERRNO(errors.check_and_advance(handle), Errno::eio);
}

}  // namespace
}  // namespace daxsim
