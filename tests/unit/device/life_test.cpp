// SPDX-License-Identifier: BSD-3-Clause
// The life of an attachment: its edges, what each state still allows, and that an
// edge waits for who is inside the gate.
#include <gtest/gtest.h>

#include <atomic>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "fake_device.hpp"
#include "support/blocked_thread.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using support::error_of;
using test::BlockedThread;
using enum LifeState;

constexpr LifeState kStates[] = {alive, pre_remove, dax_dead, disk_gone, unmapped};

TEST(LifeTest, NamesItsStates) {
  // The spelling of reports and traces.
  EXPECT_STREQ(life_state_name(alive), "ALIVE");
  EXPECT_STREQ(life_state_name(pre_remove), "PRE_REMOVE");
  EXPECT_STREQ(life_state_name(dax_dead), "DAX_DEAD");
  EXPECT_STREQ(life_state_name(disk_gone), "DISK_GONE");
  EXPECT_STREQ(life_state_name(unmapped), "UNMAPPED");
}

TEST(LifeTest, HasTheseEdgesAndNoOthers) {
  // Every pair of states, legal or not.
  for (const LifeState from : kStates) {
    for (const LifeState to : kStates) {
      AttachedFake fake;
      fake.live_until(from);
      const bool legal = static_cast<int>(to) == static_cast<int>(from) + 1 || (from == alive && to == dax_dead);
      const std::uint64_t events = fake.all_events();

      const auto result = fake.attachment->advance(to);

      SCOPED_TRACE(std::string(life_state_name(from)) + " -> " + life_state_name(to));
      EXPECT_EQ(error_of(result), legal ? std::nullopt : std::optional(Errno::einval));
      EXPECT_EQ(fake.attachment->state(), legal ? to : from);
      EXPECT_EQ(fake.all_events() - events, legal && to != pre_remove ? 1U : 0U);
      EXPECT_EQ(fake.view->unmaps, from == unmapped || (legal && to == unmapped) ? 1 : 0);
    }
  }
}

TEST(LifeTest, AnnouncesItsEdges) {
  // Kernel names, the attachment as object, and the pins that were left at the end.
  AttachedFake fake;
  ASSERT_TRUE(fake.attachment->pin({3}).ok());
  fake.live_until(unmapped);
  EXPECT_EQ(fake.only(EventType::kill_dax).object, fake.attachment.get());
  EXPECT_EQ(fake.only(EventType::disk_gone).object, fake.attachment.get());
  EXPECT_EQ(fake.only(EventType::memunmap_pages).object, fake.attachment.get());
  EXPECT_EQ(fake.only(EventType::memunmap_pages).ret, 1);
  EXPECT_EQ(fake.only(EventType::memunmap_pages).dev, AttachedFake::kDev);
  EXPECT_LT(fake.only(EventType::kill_dax).id, fake.only(EventType::disk_gone).id);
  EXPECT_LT(fake.only(EventType::disk_gone).id, fake.only(EventType::memunmap_pages).id);
}

TEST(LifeTest, AllowsWhatTheStateAllows) {
  // The table of the header: translations and pins end at dax_dead, flushes and fences at disk_gone.
  for (const LifeState state : kStates) {
    AttachedFake fake;
    fake.live_until(state);
    Attachment& attachment = *fake.attachment;
    SCOPED_TRACE(life_state_name(state));
    const auto until = [state](LifeState end, Errno error) {
      return state < end ? std::nullopt : std::optional<Errno>(error);
    };
    std::byte byte{};
    {
      const Gate::Reader reader(attachment.gate());
      EXPECT_EQ(error_of(attachment.direct_access({0}, 1)), until(dax_dead, Errno::enxio));
    }
    EXPECT_EQ(error_of(attachment.pin({0})), until(dax_dead, Errno::enxio));
    EXPECT_EQ(error_of(attachment.read(0, {&byte, 1})), until(dax_dead, Errno::enxio));
    EXPECT_EQ(error_of(attachment.write(0, {&byte, 1})), until(dax_dead, Errno::enxio));
    EXPECT_EQ(error_of(attachment.zero({0, 1})), until(dax_dead, Errno::enxio));
    EXPECT_EQ(error_of(attachment.flush({0, 64})), until(disk_gone, Errno::eio));
    EXPECT_EQ(error_of(attachment.fence()), until(disk_gone, Errno::eio));
  }
}

TEST(LifeTest, EdgesWaitForReadersOfTheGate) {
  // A thread that has its memory from an alive device may use it until it leaves the gate, however the device dies (I1).
  for (const LifeState from : {alive, dax_dead, disk_gone}) {
    const LifeState to = from == alive ? dax_dead : static_cast<LifeState>(static_cast<int>(from) + 1);
    SCOPED_TRACE(life_state_name(to));
    AttachedFake fake;
    fake.live_until(from);
    auto reader = std::make_unique<Gate::Reader>(fake.attachment->gate());

    BlockedThread remover([&] { EXPECT_TRUE(fake.attachment->advance(to).ok()); });

    EXPECT_TRUE(remover.blocks());
    EXPECT_EQ(fake.attachment->state(), to) << "the state changes first";
    EXPECT_EQ(fake.view->unmaps, 0);
    reader.reset();
    remover.join();
    EXPECT_EQ(fake.view->unmaps, to == unmapped ? 1 : 0);
  }
}

TEST(LifeTest, NoticeWaitsForNobody) {
  // pre_remove changes nothing for who is inside.
  AttachedFake fake;
  const Gate::Reader reader(fake.attachment->gate());
  EXPECT_TRUE(fake.attachment->advance(pre_remove).ok());
  EXPECT_TRUE(fake.attachment->direct_access({0}, 1).ok());
}

TEST(LifeTest, ReadersMayEnterAndNestWhileItDies) {
  // A waiting remover keeps nobody out: who is inside may call what enters the gate again.
  AttachedFake fake;
  auto reader = std::make_unique<Gate::Reader>(fake.attachment->gate());
  BlockedThread remover([&] { EXPECT_TRUE(fake.attachment->advance(dax_dead).ok()); });
  EXPECT_TRUE(remover.blocks());

  EXPECT_EQ(error_of(fake.attachment->direct_access({0}, 1)), Errno::enxio);
  EXPECT_TRUE(fake.attachment->flush({0, 64}).ok());
  EXPECT_TRUE(fake.attachment->fence().ok());

  EXPECT_TRUE(remover.blocks()) << "nested readers have come and gone, the first is still inside";
  reader.reset();
  remover.join();
}

TEST(LifeTest, OneOfTwoRemoversMakesTheEdge) {
  // Each edge once, also when two threads try.
  for (int round = 0; round < 100; ++round) {
    AttachedFake fake;
    std::atomic<int> made{0};
    const auto remove = [&] { made += fake.attachment->advance(dax_dead).ok() ? 1 : 0; };
    std::thread other(remove);
    remove();
    other.join();
    ASSERT_EQ(made, 1);
    ASSERT_EQ(fake.events.count(EventType::kill_dax), 1U);
  }
}

}  // namespace
}  // namespace daxsim
