// SPDX-License-Identifier: BSD-3-Clause
// Faults that meet: one thread is parked where it holds the entry, the others come by.
#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr VmFlags kShared{};
constexpr PageRange kPages{{0}, 16};

struct TwoAreas : World {
  explicit TwoAreas(const WorldOptions& options = {}) : World(options) {}
  FakeVma one{*file, kShared, kArea, kPages};
  FakeVma two{*file, kShared, kArea + kPmdSize, kPages};
};

// Where a fault can be stopped while it owns the entry.
enum class Stop : std::uint8_t { in_the_file_system, before_install };

void park(TwoAreas& world, FakeVma& area, Stop where, Parking& parking) {
  auto armed = std::make_shared<std::atomic<bool>>(true);
  const auto stop = [armed, &parking] {
    if (armed->exchange(false)) {
      parking.stop_here();
    }
  };
  if (where == Stop::in_the_file_system) {
    world.file->on_direct_access = [stop](PageRange, Access) {
      stop();
      return Result<void>{};
    };
  } else {
    area.before_install = [stop](const Installation&) { stop(); };
  }
}

// A read fault and a write fault on one hole, either first, stopped at either place: no error, the data is seen.
TEST(FaultRace, Scenario06_ReadAndWriteOnAHole) {
  for (const Stop where : {Stop::in_the_file_system, Stop::before_install}) {
    for (const bool reader_first : {true, false}) {
      TwoAreas world;
      Parking parking;
      std::optional<Loaded> loaded;
      std::optional<Stored> stored;
      const auto read = [&] { loaded = world.one.load({3}); };
      const auto write = [&] { stored = world.two.store({3}, 7); };
      park(world, reader_first ? world.one : world.two, where, parking);
      {
        BlockedThread first(reader_first ? std::function<void()>(read) : write);
        parking.wait_until_parked();
        BlockedThread second(reader_first ? std::function<void()>(write) : read);
        EXPECT_TRUE(second.blocks());
        parking.let_go();
      }
      EXPECT_TRUE(stored->has_value());
      EXPECT_TRUE(loaded->has_value());
      EXPECT_EQ(world.one.load({3}), Loaded(7));
      EXPECT_TRUE(world.dirty({3}));
      EXPECT_EQ(world.broken_invariant({&world.one, &world.two}), "");
    }
  }
}

// Two write faults on one unwritten block: it is zeroed once, before the first store, and that store survives.
TEST(FaultRace, Scenario07_TwoWritesOnAnUnwrittenBlock) {
  for (const Stop where : {Stop::in_the_file_system, Stop::before_install}) {
    TwoAreas world;
    world.file->set_blocks(kPages, FakeInode::Block::unwritten);
    Parking parking;
    park(world, world.one, where, parking);
    {
      BlockedThread first([&] { EXPECT_TRUE(world.one.store({3}, 7, 0).has_value()); });
      parking.wait_until_parked();
      BlockedThread second([&] { EXPECT_TRUE(world.two.store({3}, 8, 8).has_value()); });
      EXPECT_TRUE(second.blocks());
      parking.let_go();
    }
    EXPECT_EQ(world.file->zeroed, 1U);
    EXPECT_EQ(world.two.load({3}, 0), Loaded(7));
    EXPECT_EQ(world.one.load({3}, 8), Loaded(8));
  }
}

// A huge fault and a small one on the same 2 MiB: whoever is second waits or falls back, and both sizes never coexist.
TEST(FaultRace, HugeAndSmall) {
  for (const bool huge_first : {true, false}) {
    World world;
    FakeVma huge(*world.file, kShared, kArea, {{0}, kPagesPerPmd});
    FakeVma small(*world.file, kShared, kArea + 4 * kPmdSize + kPageSize, {{1}, 16});
    Parking parking;
    FakeVma& first_area = huge_first ? huge : small;
    auto armed = std::make_shared<std::atomic<bool>>(true);
    first_area.before_install = [armed, &parking](const Installation&) {
      if (armed->exchange(false)) {
        parking.stop_here();
      }
    };
    {
      BlockedThread first([&] { EXPECT_TRUE(first_area.store({3}, 7).has_value()); });
      parking.wait_until_parked();
      BlockedThread second([&] { EXPECT_TRUE((huge_first ? small : huge).store({3}, 8, 8).has_value()); });
      EXPECT_TRUE(second.blocks());
      parking.let_go();
    }
    EXPECT_EQ(world.entry({3}).order(), huge_first ? kPmdOrder : 0U);
    EXPECT_EQ(huge.load({3}), Loaded(7));
    EXPECT_EQ(small.load({3}, 8), Loaded(8));
    EXPECT_EQ(world.broken_invariant({&huge, &small}), "");
  }
}

// Three wait for an entry, its owner's fault fails and deletes it: all three go on.
TEST(FaultRace, Scenario24_DeletionWakesAll) {
  TwoAreas world;
  Parking parking;
  world.one.before_install = [&](const Installation&) { parking.stop_here(); };
  world.one.install_fails = FaultOutcome(FaultOutcome::oom);
  std::atomic<int> went_on{0};
  {
    BlockedThread owner([&] { EXPECT_EQ(world.one.fault({3}, Access::read, 0), FaultOutcome::oom); });
    parking.wait_until_parked();
    std::array<std::optional<BlockedThread>, 3> waiters;
    for (auto& waiter : waiters) {
      waiter.emplace([&] {
        EXPECT_TRUE(world.two.load({3}).has_value());
        ++went_on;
      });
      EXPECT_TRUE(waiter->blocks());
    }
    parking.let_go();
  }
  EXPECT_EQ(went_on, 3);
}

// Who was woken and does not take the entry wakes the next.
TEST(FaultRace, Scenario25_WaiterThatDeclines) {
  TwoAreas world;
  ASSERT_TRUE(world.one.load({3}).has_value());
  Parking parking;
  park(world, world.one, Stop::in_the_file_system, parking);
  BlockedThread owner([&] { EXPECT_TRUE(world.one.store({3}, 7).has_value()); });
  parking.wait_until_parked();
  // Waits for the hole that it saw; storage is what it will find.
  BlockedThread declines(
      [&] { EXPECT_ERRNO(dax::pin_page(world.context, world.file->mapping(), {3}), Errno::eagain); });
  EXPECT_TRUE(declines.blocks());
  BlockedThread next([&] { EXPECT_TRUE(world.two.load({3}).has_value()); });
  EXPECT_TRUE(next.blocks());
  parking.let_go();
}

// The device goes while a fault has the memory in hand and the page is not installed yet: the removal waits for the fault
// and takes its page away.
TEST(FaultRace, RemovalBetweenTranslationAndInstall) {
  for (const Access access : {Access::read, Access::write}) {
    TwoAreas world;
    world.file->set_blocks(kPages, FakeInode::Block::written);
    Parking parking;
    auto armed = std::make_shared<std::atomic<bool>>(true);
    world.one.before_install = [armed, &parking](const Installation&) {
      if (armed->exchange(false)) {
        parking.stop_here();
      }
    };
    {
      BlockedThread faulting([&] { EXPECT_EQ(world.one.fault({3}, access, 0), FaultOutcome::nopage); });
      parking.wait_until_parked();
      BlockedThread killer([&] {
        must(world.device->advance(LifeState::dax_dead));
        dax::surprise_teardown(world.context, *world.super_block, Errno::eio);
      });
      EXPECT_TRUE(killer.blocks());
      parking.let_go();
    }
    EXPECT_EQ(world.one.pte({3}).kind, PteState::Kind::none);
    EXPECT_TRUE(world.file->mapping().pages().empty());
    EXPECT_FALSE(world.one.load({3}).has_value());
  }
}

// A store that comes while the file system is frozen for removal waits, and then ends in a bus error; nothing is lost
// that was stored before.
TEST(FaultRace, StoreDuringOrderlyTeardown) {
  TwoAreas world;
  ASSERT_TRUE(world.one.store({3}, 7).has_value());
  Parking parking;
  auto armed = std::make_shared<std::atomic<bool>>(true);
  world.view().on_flush = [armed, &parking](ByteRange) {
    if (armed->exchange(false)) {
      parking.stop_here();
    }
    return Result<void>{};
  };
  BlockedThread removal([&] { EXPECT_TRUE(dax::orderly_teardown(world.context, *world.super_block).ok()); });
  parking.wait_until_parked();
  BlockedThread writer([&] { EXPECT_FALSE(world.two.store({3}, 8).has_value()); });
  EXPECT_TRUE(writer.blocks());
  parking.let_go();
  removal.join();
  writer.join();
  EXPECT_EQ(world.on_media({3}), 7);
  EXPECT_EQ(world.two.pte({3}).kind, PteState::Kind::none);
}

}  // namespace
}  // namespace daxsim::test
