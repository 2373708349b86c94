// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/arena.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <thread>
#include <vector>

namespace daxsim {
namespace {

struct Block {
  void* memory = nullptr;
  std::size_t bytes = 0;
};

// Blocks of all sizes are usable to the last byte, apart from each other, aligned to a cache line, and powers of two to
// themselves up to a page; what is given back is no longer in use.
TEST(Arena, BlocksAreApartAndAligned) {
  Arena arena;
  std::vector<Block> blocks;
  for (std::size_t bytes = 1; bytes <= Arena::kLargest; bytes = bytes < 9 ? bytes + 1 : bytes * 9 / 8) {
    blocks.push_back({arena.allocate(bytes), bytes});
  }
  for (std::size_t bytes = 64; bytes <= Arena::kLargest; bytes *= 2) {
    blocks.push_back({arena.allocate(bytes), bytes});
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(blocks.back().memory) % std::min<std::size_t>(bytes, 4096), 0U) << bytes;
  }

  std::uint64_t wanted = 0;
  for (const Block& block : blocks) {
    ASSERT_NE(block.memory, nullptr) << block.bytes;
    EXPECT_EQ(reinterpret_cast<std::uintptr_t>(block.memory) % 64, 0U);
    std::memset(block.memory, 0x5a, block.bytes);
    wanted += block.bytes;
  }
  EXPECT_GE(arena.usage().in_use, wanted);
  EXPECT_LE(arena.usage().in_use, wanted + wanted / 8 + blocks.size() * 64);
  EXPECT_GE(arena.usage().mapped, arena.usage().in_use);
  EXPECT_EQ(arena.usage().allocations, blocks.size());

  std::sort(blocks.begin(), blocks.end(), [](const Block& a, const Block& b) { return a.memory < b.memory; });
  for (std::size_t at = 1; at < blocks.size(); ++at) {
    EXPECT_LE(static_cast<std::byte*>(blocks[at - 1].memory) + blocks[at - 1].bytes, blocks[at].memory);
  }
  for (const Block& block : blocks) {
    arena.deallocate(block.memory, block.bytes);
  }
  EXPECT_EQ(arena.usage().in_use, 0U);
}

// An index node, nine cache lines, takes nine cache lines.
TEST(Arena, NineCacheLinesAreNotRoundedUp) {
  Arena arena;
  void* const memory = arena.allocate(576);
  EXPECT_EQ(arena.usage().in_use, 576U);
  arena.deallocate(memory, 576);
}

// Memory that was given back is handed out again before the host is asked for more.
TEST(Arena, UsesAgainWhatWasGivenBack) {
  Arena arena;
  void* const first = arena.allocate(100);
  const std::uint64_t mapped = arena.usage().mapped;
  for (int turn = 0; turn < 100000; ++turn) {
    arena.deallocate(arena.allocate(1000), 1000);
  }
  EXPECT_EQ(arena.usage().mapped, mapped);
  arena.deallocate(first, 100);
  EXPECT_EQ(arena.allocate(128), first);
  arena.deallocate(first, 128);
}

// Sizes outside the range get nothing and change nothing; giving back nothing is fine.
TEST(Arena, RefusesSizesItDoesNotHave) {
  Arena arena;
  EXPECT_EQ(arena.allocate(0), nullptr);
  EXPECT_EQ(arena.allocate(Arena::kLargest + 1), nullptr);
  arena.deallocate(nullptr, 64);
  EXPECT_EQ(arena.usage().allocations, 0U);
  EXPECT_EQ(arena.usage().mapped, 0U);
}

// An injected failure begins at the n-th allocation and lasts until it is taken back.
TEST(Arena, FailsFromTheNthAllocationOn) {
  Arena arena;
  arena.fail_from(3);
  void* const first = arena.allocate(64);
  void* const second = arena.allocate(64);
  EXPECT_NE(first, nullptr);
  EXPECT_NE(second, nullptr);
  EXPECT_EQ(arena.allocate(64), nullptr);
  EXPECT_EQ(arena.allocate(4096), nullptr);
  EXPECT_EQ(arena.create<int>(5), nullptr);
  EXPECT_EQ(arena.usage().allocations, 2U);

  arena.fail_from(0);
  void* const third = arena.allocate(64);
  EXPECT_NE(third, nullptr);
  for (void* const memory : {first, second, third}) {
    arena.deallocate(memory, 64);
  }
}

// Objects are constructed and destroyed in place.
TEST(Arena, CreatesAndDestroysObjects) {
  struct Counted {
    explicit Counted(int& alive) : count(alive) { ++count; }
    ~Counted() { --count; }
    Counted(const Counted&) = delete;
    Counted& operator=(const Counted&) = delete;
    int& count;
  };
  Arena arena;
  int alive = 0;
  Counted* const object = arena.create<Counted>(alive);
  EXPECT_EQ(alive, 1);
  arena.destroy(object);
  arena.destroy(static_cast<Counted*>(nullptr));
  EXPECT_EQ(alive, 0);
  EXPECT_EQ(arena.usage().in_use, 0U);
}

// Threads that allocate, fill and give back at once never get the same memory, and nothing is lost.
TEST(Arena, ThreadsShareAnArena) {
  Arena arena;
  {
    std::vector<std::jthread> threads;
    for (unsigned me = 0; me < 4; ++me) {
      threads.emplace_back([&arena, me] {
        std::vector<Block> mine;
        for (std::size_t turn = 0; turn < 500; ++turn) {
          const std::size_t bytes = 64 + (turn * 37 + me * 11) % 2000;
          void* const memory = arena.allocate(bytes);
          std::memset(memory, static_cast<int>(me), bytes);
          mine.push_back({memory, bytes});
          if (turn % 3 == 0) {
            const auto* const last = static_cast<const unsigned char*>(mine.front().memory) + mine.front().bytes - 1;
            EXPECT_EQ(*last, me);
            arena.deallocate(mine.front().memory, mine.front().bytes);
            mine.erase(mine.begin());
          }
        }
        for (const Block& block : mine) {
          EXPECT_EQ(*static_cast<const unsigned char*>(block.memory), me);
          arena.deallocate(block.memory, block.bytes);
        }
      });
    }
  }
  EXPECT_EQ(arena.usage().in_use, 0U);
}

#if !defined(NDEBUG)
// I2: an arena that dies with memory handed out says so.
TEST(ArenaDeathTest, DiesEmpty) {
  EXPECT_DEATH(
      {
        Arena arena;
        [[maybe_unused]] void* const lost = arena.allocate(64);
      },
      "I2");
}
#endif

}  // namespace
}  // namespace daxsim
