// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/super_block.hpp"

#include <gtest/gtest.h>

#include "daxsim/test_support/expect.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

// The first reason for a shutdown stays, and is told once.
TEST(SuperBlock, ShutsDownOnce) {
  World world;
  EXPECT_TRUE(world.super_block->check_alive().ok());

  world.super_block->shutdown(Errno::eshutdown);
  world.super_block->shutdown(Errno::eio);

  EXPECT_ERRNO(world.super_block->check_alive(), Errno::eshutdown);
  EXPECT_EQ(world.events.count(EventType::fs_shutdown), 1U);
  EXPECT_EQ(world.events.since(1).back().ret, -ESHUTDOWN);
}

// The table of files in core has those that somebody holds, and forgets on demand.
TEST(SuperBlock, FilesInCore) {
  World world;
  std::shared_ptr<FakeInode> other = world.add_file(16, 4, {kPagesPerPmd * 3});
  EXPECT_EQ(world.super_block->inodes_in_core().size(), 2U);
  EXPECT_EQ(world.super_block->find_in_core(16), other);
  EXPECT_EQ(world.super_block->find_in_core(17), nullptr);

  other.reset();
  EXPECT_EQ(world.super_block->find_in_core(16), nullptr);
  EXPECT_EQ(world.super_block->inodes_in_core().size(), 1U);
  world.super_block->forget_in_core(15);
  EXPECT_TRUE(world.super_block->inodes_in_core().empty());
}

}  // namespace
}  // namespace daxsim::test
