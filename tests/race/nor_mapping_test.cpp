// SPDX-License-Identifier: BSD-3-Clause
// Loads and writers of a NOR flash that meet.
#include <gtest/gtest.h>

#include <atomic>
#include <thread>
#include <vector>

#include "support/blocked_thread.hpp"
#include "support/flash_world.hpp"
#include "support/stop_at_event.hpp"

namespace daxsim::test {
namespace {

using namespace std::chrono_literals;
using sim::Busy;

constexpr std::byte kValue{0x7f};

// Block 1 begins with a value.
struct World : FlashWorld {
  explicit World(Busy busy, Kind kind = Kind::soft) : FlashWorld({.part = paged_p30(), .while_busy = busy}, kind) {
    must(mtd().program(block(1), std::span(&kValue, 1)));
  }
};

// A load has got memory and is about to map it when an erase begins: the writer waits until the page is mapped, and takes
// it away. So that load, if it is not done yet, or the next one faults again, and suspends the erase.
TEST(NorMappingRace, AFaultThatGotMemoryIsWaitedFor) {
  World world(Busy::suspend);
  const auto begin = world.now();
  StopAtEvent stop(world.machine.events(),
                   [](const Event& event) { return event.type == EventType::dax_insert_entry; });
  {
    BlockedThread load([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
    stop.wait_until_stopped();
    BlockedThread writer([&] { must(world.mtd().start_erase(world.block(3))); });
    EXPECT_TRUE(writer.blocks());
    stop.let_go();
  }
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  EXPECT_GE(world.now() - begin, 20us);
  must(world.mtd().wait(0));
}

// The same for an erase that was suspended, and goes on.
TEST(NorMappingRace, AFaultThatGotMemoryOfASuspendedFlashIsWaitedFor) {
  World world(Busy::suspend);
  must(world.mtd().start_erase(world.block(3)));
  const auto begin = world.now();
  StopAtEvent stop(world.machine.events(),
                   [](const Event& event) { return event.type == EventType::dax_insert_entry; });
  {
    BlockedThread load([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); });
    stop.wait_until_stopped();
    BlockedThread writer([&] { must(world.mtd().resume(0)); });
    EXPECT_TRUE(writer.blocks());
    stop.let_go();
  }
  EXPECT_EQ(world.load(world.block(1)), 0x7fU);
  EXPECT_GE(world.now() - begin, 2 * 20us);
  must(world.mtd().wait(0));
}

// One writer has begun an erase and takes pages away, which takes a while; another one comes with a call of its own: when
// that returns, the pages are gone, whoever took them.
TEST(NorMappingRace, WhoComesSecondWaitsForThePagesToGo) {
  World world(Busy::suspend);
  world.load(world.block(1));
  StopAtEvent stop(world.machine.events(),
                   [](const Event& event) { return event.type == EventType::unmap_mapping_pages; });
  BlockedThread first([&] { must(world.mtd().start_erase(world.block(3))); });
  stop.wait_until_stopped();
  BlockedThread second([&] { EXPECT_FALSE(world.mtd().start_erase(world.block(4)).ok()); });
  EXPECT_TRUE(second.blocks());
  stop.let_go();
  first.join();
  second.join();
  EXPECT_GE(world.time_of([&] { EXPECT_EQ(world.load(world.block(1)), 0x7fU); }), 20us);
  must(world.mtd().wait(0));
}

// Real loads and soft ones while a writer erases and programs another block, at random: a load of data gets data, whatever
// it had to wait for, and the writer comes to its end.
TEST(NorMappingRace, LoadsGetDataWhileAWriterWrites) {
  for (const Busy busy : {Busy::suspend, Busy::refault}) {
    World world(busy, Kind::live);
    Process& process = world.machine.spawn();
    const std::uint64_t at = must(process.mmap(world.file->open_file(), {.prot = Prot::read}));
    std::atomic<bool> stop{false};
    std::atomic<std::uint64_t> loads{0};
    std::vector<std::thread> readers;
    readers.emplace_back([&] {
      while (!stop) {
        EXPECT_EQ(world.load(world.block(1)), 0x7fU);
        ++loads;
      }
    });
    readers.emplace_back([&] {
      while (!stop) {
        EXPECT_EQ(process.load<unsigned char>(at + world.block(1)).value(), 0x7f);
        ++loads;
      }
    });
    const ByteRange block = world.mtd().erase_block(world.block(3));
    const std::vector<std::byte> zeros(64);
    constexpr std::uint64_t kLoads = 2000;
    for (int round = 0; round < 50 || loads < kLoads; ++round) {
      must(world.mtd().erase(block));
      must(world.mtd().program(block.offset, zeros));
      must(world.mtd().start_erase(block.offset));
      must(world.mtd().wait(block.offset));
      must(world.mtd().start_program(block.offset, zeros));
      must(world.mtd().wait(block.offset));
    }
    stop = true;
    for (std::thread& reader : readers) {
      reader.join();
    }
    EXPECT_EQ(world.load(block.offset), 0U);
  }
}

}  // namespace
}  // namespace daxsim::test
