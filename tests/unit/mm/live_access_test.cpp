// SPDX-License-Identifier: BSD-3-Clause
// Loads, stores, taking pages away and bus errors in live mappings, over each backend.
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <csignal>

#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"

namespace daxsim::test {
namespace {

using ::testing::ElementsAre;

class LiveAccess : public ::testing::TestWithParam<LiveBackend> {
 protected:
  LiveWorld world{2048};
};

INSTANTIATE_TEST_SUITE_P(, LiveAccess, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// A load of an allocated page sees the device's bytes, once through the file system and then without it.
TEST_P(LiveAccess, LoadFaultsOnce) {
  world.inode->allocate(0, 16);
  world.inode->block(3)[5] = std::byte{0x42};
  const Mapping map = must(world.map(GetParam()));

  EXPECT_EQ(load(map.data() + 3 * kPageSize + 5), std::byte{0x42});
  EXPECT_EQ(load(map.data() + 3 * kPageSize + 6), std::byte{0});

  EXPECT_FAULTS(map, pte = 1);
  EXPECT_EQ(map.vma().pte({3}).kind, PteState::Kind::memory);
  EXPECT_FALSE(map.vma().pte({3}).writable);
}

// A store reaches the device's memory, and marks the page before it happens.
TEST_P(LiveAccess, StoreReachesTheDevice) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));

  store(map.data() + kPageSize, 7);

  EXPECT_EQ(world.inode->block(1)[0], std::byte{7});
  EXPECT_TRUE(world.inode->dirty(1));
  EXPECT_FAULTS(map, pte = 1);
  EXPECT_TRUE(map.vma().pte({1}).writable);
}

// After write-protection a store faults again, a load does not.
TEST_P(LiveAccess, WriteProtectedPageFaultsOnStore) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  ASSERT_EQ(world.inode->write_back(0, 16), 1U);

  EXPECT_EQ(load(map.data()), std::byte{1});
  EXPECT_FAULTS(map, pte = 1);
  store(map.data(), 2);

  EXPECT_FAULTS(map, pte = 2);
  EXPECT_TRUE(world.inode->dirty(0));
  EXPECT_EQ(world.inode->block(0)[0], std::byte{2});
}

// Unmapped pages fault again, whatever they were.
TEST_P(LiveAccess, UnmappedPageFaultsAgain) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);
  load(map.data() + kPageSize);

  map.vma().unmap({{0}, 16}, EvenCows::no);

  EXPECT_EQ(map.vma().pte({0}).kind, PteState::Kind::none);
  EXPECT_EQ(load(map.data()), std::byte{1});
  EXPECT_EQ(load(map.data() + kPageSize), std::byte{0});
  EXPECT_FAULTS(map, pte = 4);
}

// A fault that the file system refuses is a bus error with the address of the access, and nothing is mapped.
TEST_P(LiveAccess, BusErrorBeyondTheEndOfTheFile) {
  world.inode->allocate(0, 16);
  const Mapping map = must(world.map(GetParam()));
  world.inode->resize(2 * kPageSize);

  EXPECT_SIGBUS_LOAD(map.data() + 2 * kPageSize + 17, BUS_ADRERR);
  EXPECT_SIGBUS_STORE(map.data() + 5 * kPageSize, BUS_ADRERR);

  EXPECT_FAULTS(map, sigbus = 2);
}

}  // namespace
}  // namespace daxsim::test
