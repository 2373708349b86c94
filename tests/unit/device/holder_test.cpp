// SPDX-License-Identifier: BSD-3-Clause
// Who is told of a removal, how, and that nobody is told after they have let go.
#include "daxsim/device/holder.hpp"

#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <latch>
#include <memory>
#include <thread>

#include "fake_device.hpp"
#include "support/blocked_thread.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using support::error_of;
using test::BlockedThread;

struct TestHolder final : Holder {
  Result<void> pre_remove(Attachment&) override {
    ++pre_removes;
    during();
    return answer;
  }
  Result<void> failure(Attachment&, ByteRange bytes) override {
    ++failures;
    failed = bytes;
    during();
    return answer;
  }
  void revoke(Attachment&, ByteRange bytes) override {
    revoked = bytes;
    during();
  }
  std::atomic<int> pre_removes{0};
  std::atomic<int> failures{0};
  ByteRange failed;
  ByteRange revoked;
  Result<void> answer;
  std::function<void()> during = [] {};
};

TEST(HolderTest, OneAtATime) {
  // The second mount gets no device until the first is gone (F7.2).
  AttachedFake fake;
  TestHolder first;
  TestHolder second;
  EXPECT_TRUE(fake.attachment->claim(first).ok());
  EXPECT_EQ(error_of(fake.attachment->claim(second)), Errno::ebusy);
  EXPECT_EQ(error_of(fake.attachment->claim(first)), Errno::ebusy);
  fake.attachment->release(second);
  EXPECT_EQ(error_of(fake.attachment->claim(second)), Errno::ebusy) << "released by somebody else";
  fake.attachment->release(first);
  EXPECT_TRUE(fake.attachment->claim(second).ok());
  fake.attachment->release(second);
}

TEST(HolderTest, ClaimsNeedAnAliveDevice) {
  // Nobody can mount what is about to go.
  for (const LifeState state :
       {LifeState::pre_remove, LifeState::dax_dead, LifeState::disk_gone, LifeState::unmapped}) {
    AttachedFake fake;
    fake.live_until(state);
    TestHolder holder;
    EXPECT_EQ(error_of(fake.attachment->claim(holder)), Errno::enxio) << life_state_name(state);
  }
}

TEST(HolderTest, IsToldByState) {
  // A notice while the device works, a failure of everything from dax_dead on.
  for (const LifeState state : {LifeState::alive, LifeState::pre_remove, LifeState::dax_dead, LifeState::disk_gone}) {
    AttachedFake fake;
    TestHolder holder;
    ASSERT_TRUE(fake.attachment->claim(holder).ok());
    fake.live_until(state);
    const bool works = state < LifeState::dax_dead;

    EXPECT_TRUE(fake.attachment->notify_holder().ok());

    EXPECT_EQ(holder.pre_removes, works ? 1 : 0) << life_state_name(state);
    EXPECT_EQ(holder.failures, works ? 0 : 1) << life_state_name(state);
    EXPECT_EQ(holder.failed, (works ? ByteRange{} : ByteRange{0, AttachedFake::kPages * kPageSize}));
    const Event event = fake.only(EventType::dax_holder_notify_failure);
    EXPECT_EQ(event.flags, works ? 0x80U : 0U);
    EXPECT_EQ(event.ret, 0);
    fake.attachment->release(holder);
  }
}

TEST(HolderTest, IsToldOfAFailureWhenThatIsTheNotice) {
  // As Linux 6.0 told of a removal, while the device works (B25).
  AttachedFake fake;
  TestHolder holder;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());

  EXPECT_TRUE(fake.attachment->notify_holder(Notice::failure).ok());

  EXPECT_EQ(holder.pre_removes, 0);
  EXPECT_EQ(holder.failures, 1);
  EXPECT_EQ(fake.only(EventType::dax_holder_notify_failure).flags, 0U);
  fake.attachment->release(holder);
}

TEST(HolderTest, ItsAnswerIsTheResult) {
  // What the write-back met reaches the remover and the trace.
  AttachedFake fake;
  TestHolder holder;
  holder.answer = Errno::euclean;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());
  EXPECT_EQ(error_of(fake.attachment->notify_holder()), Errno::euclean);
  EXPECT_EQ(fake.only(EventType::dax_holder_notify_failure).ret, -EUCLEAN);
  fake.attachment->release(holder);
}

TEST(HolderTest, IsAskedToRevokeSomeBytes) {
  // These and no others, with an event; without a holder nothing is mapped, and nothing happens.
  AttachedFake fake;
  EXPECT_TRUE(fake.attachment->revoke({kPageSize, kPageSize}).ok());
  EXPECT_EQ(fake.all_events(), 0U);
  TestHolder holder;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());

  EXPECT_TRUE(fake.attachment->revoke({3 * kPageSize, 2 * kPageSize}).ok());

  EXPECT_EQ(holder.revoked, (ByteRange{3 * kPageSize, 2 * kPageSize}));
  EXPECT_EQ(holder.failures, 0);
  const Event event = fake.only(EventType::dax_holder_revoke);
  EXPECT_EQ(event.pgoff.value, 3U);
  EXPECT_EQ(event.last, 2U);
  EXPECT_EQ(error_of(fake.attachment->revoke({AttachedFake::kPages * kPageSize, 1})), Errno::erange);
  fake.attachment->release(holder);
}

TEST(HolderTest, NobodyIsAskedBeforeReadersHaveLeft) {
  // Whoever got memory inside the gate is waited for.
  AttachedFake fake;
  TestHolder holder;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());
  std::atomic<bool> is_asked{false};
  holder.during = [&] { is_asked = true; };
  std::thread revoker;
  {
    const Gate::Reader inside(fake.attachment->gate());
    revoker = std::thread([&] { EXPECT_TRUE(fake.attachment->revoke({0, kPageSize}).ok()); });
    std::this_thread::sleep_for(std::chrono::milliseconds{50});
    EXPECT_FALSE(is_asked);
  }
  revoker.join();
  EXPECT_TRUE(is_asked);
  fake.attachment->release(holder);
}

TEST(HolderTest, NobodyToTell) {
  // ext4 registers no holder: not supported, and no event, as in the recordings.
  AttachedFake fake;
  EXPECT_EQ(error_of(fake.attachment->notify_holder()), Errno::eopnotsupp);
  TestHolder holder;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());
  fake.attachment->release(holder);
  EXPECT_EQ(error_of(fake.attachment->notify_holder()), Errno::eopnotsupp);
  EXPECT_EQ(holder.pre_removes, 0);
  EXPECT_EQ(fake.all_events(), 0U);
}

TEST(HolderTest, MayUseTheDeviceWhileItIsTold) {
  // No lock is held: the holder writes back, takes pins away, and asks for the state.
  AttachedFake fake;
  TestHolder holder;
  ASSERT_TRUE(fake.attachment->claim(holder).ok());
  ASSERT_TRUE(fake.attachment->pin({1}).ok());
  ASSERT_TRUE(fake.attachment->advance(LifeState::pre_remove).ok());
  holder.during = [&] {
    EXPECT_EQ(fake.attachment->state(), LifeState::pre_remove);
    EXPECT_TRUE(fake.attachment->flush({0, 64}).ok());
    EXPECT_TRUE(fake.attachment->fence().ok());
    fake.attachment->unpin({1});
    TestHolder other;
    EXPECT_EQ(error_of(fake.attachment->claim(other)), Errno::enxio);
  };
  EXPECT_TRUE(fake.attachment->notify_holder().ok());
  EXPECT_EQ(fake.attachment->pins(), 0U);
  fake.attachment->release(holder);
}

TEST(HolderTest, UnmountWaitsForTheNotificationUnderWay) {
  // Unmount racing a removal (F7, B26): release() returns when the call into the holder has, so the holder may die then.
  AttachedFake fake;
  auto holder = std::make_unique<TestHolder>();
  ASSERT_TRUE(fake.attachment->claim(*holder).ok());
  std::latch told(1);
  std::latch go_on(1);
  holder->during = [&] {
    told.count_down();
    go_on.wait();
  };
  std::thread remover([&] { EXPECT_TRUE(fake.attachment->notify_holder().ok()); });
  told.wait();
  BlockedThread unmount([&] {
    fake.attachment->release(*holder);
    holder.reset();
  });

  EXPECT_TRUE(unmount.blocks());
  EXPECT_EQ(error_of(fake.attachment->notify_holder()), Errno::eopnotsupp) << "told again while it is let go";

  go_on.count_down();
  unmount.join();
  remover.join();
  EXPECT_EQ(holder, nullptr);
}

TEST(HolderTest, UnmountAndRemovalRaceAtRandom) {
  // Holders that die right after release(), against a remover that tells whoever is there. Sanitizers see the rest.
  AttachedFake fake;
  std::atomic<bool> stop{false};
  std::thread remover([&] {
    while (!stop) {
      const auto told = fake.attachment->notify_holder();
      EXPECT_TRUE(told.ok() || told.error() == Errno::eopnotsupp);
      if (!told.ok()) {
        std::this_thread::yield();
      }
    }
  });
  for (int i = 0; i < 300; ++i) {
    auto holder = std::make_unique<TestHolder>();
    ASSERT_TRUE(fake.attachment->claim(*holder).ok());
    if (i % 3 == 0) {
      std::this_thread::yield();
    }
    fake.attachment->release(*holder);
  }
  stop = true;
  remover.join();
}

}  // namespace
}  // namespace daxsim
