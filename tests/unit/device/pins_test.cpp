// SPDX-License-Identifier: BSD-3-Clause
// Pages that somebody else's DMA still uses (F9).
#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <atomic>
#include <latch>
#include <map>
#include <thread>
#include <vector>

#include "fake_device.hpp"
#include "support/blocked_thread.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using support::error_of;
using test::BlockedThread;

TEST(PinsTest, CountPerPage) {
  // As many unpins as pins.
  AttachedFake fake;
  Attachment& attachment = *fake.attachment;
  Pgoff busy;
  ASSERT_TRUE(attachment.pin({4}).ok());
  ASSERT_TRUE(attachment.pin({4}).ok());
  ASSERT_TRUE(attachment.pin({9}).ok());
  EXPECT_EQ(attachment.pins(), 3U);

  attachment.unpin({4});
  EXPECT_TRUE(attachment.find_pinned({{4}, 1}, &busy));
  attachment.unpin({4});
  EXPECT_FALSE(attachment.find_pinned({{4}, 1}, &busy));
  EXPECT_EQ(attachment.pins(), 1U);
}

TEST(PinsTest, FindsTheFirstOfARange) {
  // Half-open ranges; nothing outside them is seen.
  AttachedFake fake;
  Attachment& attachment = *fake.attachment;
  Pgoff busy{99};
  ASSERT_TRUE(attachment.pin({4}).ok());
  ASSERT_TRUE(attachment.pin({9}).ok());
  EXPECT_FALSE(attachment.find_pinned({{0}, 4}, &busy));
  EXPECT_FALSE(attachment.find_pinned({{5}, 4}, &busy));
  EXPECT_FALSE(attachment.find_pinned({{4}, 0}, &busy));
  EXPECT_EQ(busy, Pgoff{99});
  EXPECT_TRUE(attachment.find_pinned({{0}, 16}, &busy));
  EXPECT_EQ(busy, Pgoff{4});
  EXPECT_TRUE(attachment.find_pinned({{5}, 5}, &busy));
  EXPECT_EQ(busy, Pgoff{9});
}

TEST(PinsTest, EndWithTheDevice) {
  // Errno::erange beyond the last page.
  AttachedFake fake;
  EXPECT_TRUE(fake.attachment->pin({15}).ok());
  EXPECT_EQ(error_of(fake.attachment->pin({16})), Errno::erange);
  EXPECT_EQ(fake.attachment->pins(), 1U);
}

TEST(PinsTest, OutliveRemoval) {
  // What was pinned stays pinned when the device dies, and can be given back.
  AttachedFake fake;
  ASSERT_TRUE(fake.attachment->pin({2}).ok());
  fake.live_until(LifeState::disk_gone);
  EXPECT_EQ(fake.attachment->pins(), 1U);
  fake.attachment->unpin({2});
  EXPECT_EQ(fake.attachment->pins(), 0U);
}

TEST(PinsTest, NoneAppearsAfterDeath) {
  // I3: once advance(dax_dead) has returned the number of pins can only go down.
  for (int round = 0; round < 20; ++round) {
    AttachedFake fake;
    std::latch pinning(2);
    const auto pin_until_dead = [&] {
      pinning.count_down();
      while (fake.attachment->pin({1}).ok()) {
      }
    };
    std::thread first(pin_until_dead);
    std::thread second(pin_until_dead);
    pinning.wait();

    ASSERT_TRUE(fake.attachment->advance(LifeState::dax_dead).ok());
    const std::uint64_t pins = fake.attachment->pins();

    first.join();
    second.join();
    ASSERT_EQ(fake.attachment->pins(), pins);
  }
}

TEST(PinsTest, WaitReturnsAtTheLastUnpin) {
  // A truncate sleeps until the page is idle; other pages do not matter.
  AttachedFake fake;
  Attachment& attachment = *fake.attachment;
  ASSERT_TRUE(attachment.pin({3}).ok());
  ASSERT_TRUE(attachment.pin({3}).ok());
  ASSERT_TRUE(attachment.pin({4}).ok());
  BlockedThread waiter([&] { EXPECT_TRUE(attachment.wait_unpinned({3}).ok()); });
  EXPECT_TRUE(waiter.blocks());
  attachment.unpin({3});
  EXPECT_TRUE(waiter.blocks()) << "one pin is left";
  attachment.unpin({3});
  waiter.join();
  attachment.unpin({4});
}

TEST(PinsTest, WaitIsOverAtOnceWithoutPins) {
  // Nothing to wait for.
  AttachedFake fake;
  EXPECT_TRUE(fake.attachment->wait_unpinned({3}).ok());
}

TEST(PinsTest, WaitEndsWhenInterrupted) {
  // Errno::eintr, during the sleep and before it.
  AttachedFake fake;
  ASSERT_TRUE(fake.attachment->pin({3}).ok());
  Interruption interruption;
  BlockedThread waiter([&] {
    const InterruptScope scope(interruption);
    EXPECT_EQ(error_of(fake.attachment->wait_unpinned({3})), Errno::eintr);
    EXPECT_EQ(error_of(fake.attachment->wait_unpinned({3})), Errno::eintr);
  });
  EXPECT_TRUE(waiter.blocks());
  interruption.raise();
  waiter.join();
  fake.attachment->unpin({3});
}

TEST(PinsTest, ManyWaitersAllWake) {
  // Truncates of several files that share the page.
  AttachedFake fake;
  ASSERT_TRUE(fake.attachment->pin({0}).ok());
  const auto wait = [&] { EXPECT_TRUE(fake.attachment->wait_unpinned({0}).ok()); };
  BlockedThread first(wait);
  BlockedThread second(wait);
  BlockedThread third(wait);
  EXPECT_TRUE(first.blocks() && second.blocks() && third.blocks());
  fake.attachment->unpin({0});
}

RC_GTEST_PROP(PinsTest, AgreeWithAMap, ()) {
  // Random pins against a std::map of counts.
  AttachedFake fake;
  std::map<std::uint64_t, int> counts;
  std::uint64_t total = 0;
  for (const std::uint64_t page :
       *rc::gen::container<std::vector<std::uint64_t>>(rc::gen::inRange<std::uint64_t>(0, AttachedFake::kPages))) {
    if (counts[page] != 0 && *rc::gen::inRange(0, 2) == 0) {
      fake.attachment->unpin({page});
      --counts[page];
      --total;
    } else {
      RC_ASSERT(fake.attachment->pin({page}).ok());
      ++counts[page];
      ++total;
    }
    RC_ASSERT(fake.attachment->pins() == total);
    const auto first = *rc::gen::inRange<std::uint64_t>(0, AttachedFake::kPages);
    const auto pages = *rc::gen::inRange<std::uint64_t>(0, AttachedFake::kPages);
    auto expected = counts.lower_bound(first);
    while (expected != counts.end() && expected->second == 0) {
      ++expected;
    }
    const bool found = expected != counts.end() && expected->first < first + pages;
    Pgoff busy;
    RC_ASSERT(fake.attachment->find_pinned({{first}, pages}, &busy) == found);
    RC_ASSERT((!found || busy.value == expected->first));
  }
}

}  // namespace
}  // namespace daxsim
