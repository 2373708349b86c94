// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/index/entry.hpp"

#include <gtest/gtest.h>

#include <tuple>

namespace daxsim {
namespace {

// The layout is Linux 4.20's, bit for bit (F2.1): value, LOCK, PMD, ZERO, EMPTY, then the payload.
TEST(Entry, HasTheBitsOfLinux420) {
  EXPECT_EQ(Entry::real(0, 0).word(), 0x01U);
  EXPECT_EQ(Entry::real(0, 0).with_lock().word(), 0x03U);
  EXPECT_EQ(Entry::real(0, kPmdOrder).word(), 0x05U);
  EXPECT_EQ(Entry::zero(0, 0).word(), 0x09U);
  EXPECT_EQ(Entry::empty(0).word(), 0x11U);
  EXPECT_EQ(Entry::empty(kPmdOrder).with_lock().word(), 0x17U);
  EXPECT_EQ(Entry::real(0x12345, 0).word(), (0x12345U << 5) | 1U);
}

// Every combination of lock, size and kind answers every question as it was made.
TEST(Entry, EveryCombinationTellsWhatItIs) {
  enum class Kind { real, zero, empty };
  for (const bool lock : {false, true}) {
    for (const unsigned order : {0U, kPmdOrder}) {
      for (const Kind kind : {Kind::real, Kind::zero, Kind::empty}) {
        for (const std::uint64_t payload : {std::uint64_t{0}, std::uint64_t{512}, Entry::kMaxPayload}) {
          const Entry made = kind == Kind::real   ? Entry::real(payload, order)
                             : kind == Kind::zero ? Entry::zero(payload, order)
                                                  : Entry::empty(order);

          const Entry entry = lock ? made.with_lock() : made;

          EXPECT_TRUE(entry.is_value());
          EXPECT_FALSE(entry.is_null());
          EXPECT_FALSE(entry.is_retry());
          EXPECT_EQ(entry.locked(), lock);
          EXPECT_EQ(entry.without_lock(), made);
          EXPECT_EQ(entry.order(), order);
          EXPECT_EQ(entry.pages(), order == 0 ? 1U : kPagesPerPmd);
          EXPECT_EQ(std::make_tuple(entry.is_real(), entry.is_zero(), entry.is_empty()),
                    std::make_tuple(kind == Kind::real, kind == Kind::zero, kind == Kind::empty));
          EXPECT_EQ(entry.payload(), kind == Kind::empty ? 0 : payload);
          EXPECT_EQ(Entry::from_word(entry.word()), entry);
        }
      }
    }
  }
}

// Null and retry are neither values nor of any kind, and differ from each other.
TEST(Entry, NullAndRetryAreNoEntries) {
  for (const Entry none : {Entry(), Entry::retry()}) {
    EXPECT_FALSE(none.is_value());
    EXPECT_FALSE(none.is_real());
    EXPECT_FALSE(none.is_zero());
    EXPECT_FALSE(none.is_empty());
  }
  EXPECT_TRUE(Entry().is_null());
  EXPECT_FALSE(Entry().is_conflict());
  EXPECT_TRUE(Entry::retry().is_retry());
  EXPECT_TRUE(Entry::retry().is_conflict());
  EXPECT_FALSE(Entry::retry().is_null());
}

}  // namespace
}  // namespace daxsim
