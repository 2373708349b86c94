// SPDX-License-Identifier: BSD-3-Clause
// A file that dax and the page cache serve: faults that meet pages which change hands.
#include <gtest/gtest.h>

#include <atomic>
#include <functional>
#include <memory>

#include "daxsim/mm/process.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"
#include "support/stop_at_event.hpp"
#include "support/tiered_world.hpp"

namespace daxsim::test {
namespace {

using namespace literals;

// A file of four pages in two processes.
struct World {
  explicit World(const char* name) {
    tiered.make();
    file = tiered.create(name);
    must(file->truncate(4 * kPageSize));
    at = must(first.mmap(file, {}));
    also_at = must(second.mmap(file, {}));
  }
  // The first step of a device from now on stops.
  std::function<void()> park() {
    auto armed = std::make_shared<std::atomic<bool>>(true);
    return [this, armed] {
      if (armed->exchange(false)) {
        parking.stop_here();
      }
    };
  }

  TieredWorld tiered{1_MiB};
  Parking parking;
  Process first{tiered.system, 1};
  Process second{tiered.system, 2};
  std::shared_ptr<OpenFile> file;
  std::uint64_t at = 0;
  std::uint64_t also_at = 0;
};

// A load is about to map a hole's zero page when a store gives the hole a block on the disk: the store waits, and then
// takes the zero page away.
TEST(TieredRace, AHoleIsShownWhileItGetsABlockOnTheDisk) {
  World world("a");
  StopAtEvent stop(world.tiered.events, [](const Event& event) { return event.type == EventType::dax_insert_entry; });
  {
    // What it loads may be from before the store or after.
    BlockedThread load([&] { EXPECT_TRUE(world.first.load<char>(world.at).ok()); });
    stop.wait_until_stopped();
    BlockedThread store([&] { EXPECT_TRUE(world.second.store<char>(world.also_at, 'x').ok()); });
    EXPECT_TRUE(store.blocks());
    stop.let_go();
  }
  EXPECT_EQ(world.first.load<char>(world.at).value(), 'x');
}

// A page is copied down when a load and a store come: they have found it direct, wait, and find it on the disk.
TEST(TieredRace, AFaultMeetsADemotion) {
  World world("b");
  ASSERT_TRUE(world.first.store<char>(world.at, 'x').ok());
  world.tiered.disk_view->before_step = world.park();
  {
    BlockedThread demotion([&] { EXPECT_EQ(must(TieredFs::demote(world.file->inode(), {{0}, 1})), 1U); });
    world.parking.wait_until_parked();
    BlockedThread load([&] { EXPECT_EQ(world.first.load<char>(world.at).value(), 'x'); });
    BlockedThread store([&] { EXPECT_TRUE(world.second.store<char>(world.also_at + 1, 'y').ok()); });
    EXPECT_TRUE(load.blocks());
    EXPECT_TRUE(store.blocks());
    world.parking.let_go();
  }
  EXPECT_EQ(world.first.load<char>(world.at + 1).value(), 'y');
  must(world.file->fsync());
  EXPECT_EQ(world.tiered.content("b").substr(0, 2), "xy");
}

// The other way: they have found it in the page cache, wait for it to be copied up, and find it direct.
TEST(TieredRace, AFaultMeetsAPromotion) {
  World world("a");
  ASSERT_TRUE(world.first.store<char>(world.at, 'x').ok());
  world.tiered.disk_view->before_step = world.park();  // the write-back that comes before the copy
  {
    BlockedThread promotion([&] { EXPECT_EQ(must(TieredFs::promote(world.file->inode(), {{0}, 1})), 1U); });
    world.parking.wait_until_parked();
    BlockedThread load([&] { EXPECT_EQ(world.first.load<char>(world.at).value(), 'x'); });
    BlockedThread store([&] { EXPECT_TRUE(world.second.store<char>(world.also_at + 1, 'y').ok()); });
    EXPECT_TRUE(load.blocks());
    EXPECT_TRUE(store.blocks());
    world.parking.let_go();
  }
  EXPECT_EQ(world.first.load<char>(world.at + 1).value(), 'y');
  must(world.file->fsync());
  EXPECT_EQ(world.tiered.content("a").substr(0, 2), "xy");
}

}  // namespace
}  // namespace daxsim::test
