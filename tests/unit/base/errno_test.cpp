// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/errno.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <set>
#include <string_view>

namespace daxsim {
namespace {

constexpr int kHostErrnos = 200;

// Every error has the name that the host's C library has for its number, a text of its own, and comes back from the host.
TEST(Errno, NamesAreTheHostsAndUnique) {
  std::set<std::string_view> names;
  std::set<std::string_view> texts;
  for (int number = 1; number < kHostErrnos; ++number) {
    const auto error = static_cast<Errno>(number);
    const std::string_view name = errno_name(error);
    if (name == "E?") {
      continue;
    }
    EXPECT_EQ(name, ::strerrorname_np(number));
    EXPECT_TRUE(names.insert(name).second) << name;
    EXPECT_TRUE(texts.insert(errno_text(error)).second) << name;
    EXPECT_EQ(from_host_errno(number), error);
  }
  EXPECT_EQ(names.size(), 32U);
}

// An error that the library does not know is an input/output error, and is shown as unknown.
TEST(Errno, UnknownNumbersAreIoErrors) {
  EXPECT_EQ(from_host_errno(ELIBACC), Errno::eio);
  EXPECT_EQ(from_host_errno(0), Errno::eio);
  EXPECT_EQ(from_host_errno(-1), Errno::eio);
  EXPECT_EQ(errno_name(static_cast<Errno>(ELIBACC)), "E?");
  EXPECT_EQ(errno_text(static_cast<Errno>(ELIBACC)), "unknown error");
}

// The kernel has one number for "would block" and "again".
TEST(Errno, WouldBlockIsAgain) { EXPECT_EQ(from_host_errno(EWOULDBLOCK), Errno::eagain); }

}  // namespace
}  // namespace daxsim
