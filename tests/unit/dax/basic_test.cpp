// SPDX-License-Identifier: BSD-3-Clause
// The way of one store, from fault to media.
#include <gtest/gtest.h>

#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

using Names = std::vector<std::string>;
constexpr VmFlags kShared{};

// A hole reads as zero and allocates nothing.
TEST(DaxBasic, Scenario01_ReadOfAHole) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  const std::uint64_t first = world.events.next_id();

  const Loaded loaded = area.load({0});

  ASSERT_TRUE(loaded.has_value());
  EXPECT_EQ(*loaded, 0);
  EXPECT_TRUE(world.entry({0}).is_zero());
  EXPECT_FALSE(world.dirty({0}));
  EXPECT_EQ(world.file->block({0}), FakeInode::Block::hole);
  EXPECT_EQ(world.names_since(first),
            (Names{"dax_pte_fault", "dax_insert_entry", "dax_load_hole", "dax_pte_fault_done"}));
}

// A store makes a dirty entry, an fsync makes it clean and brings the byte to the media, the next store faults again.
TEST(DaxBasic, Scenario26_StoreSyncStoreSync) {
  World world;
  FakeVma area(*world.file, kShared, kArea, {{0}, 16});
  ASSERT_TRUE(area.store({3}, 7).has_value());
  EXPECT_TRUE(world.entry({3}).is_real());
  EXPECT_TRUE(world.dirty({3}));
  EXPECT_EQ(world.on_media({3}), 0);
  const std::uint64_t first = world.events.next_id();

  ASSERT_TRUE(world.file->fsync_range({0, ~std::uint64_t{0}}, Datasync::no).ok());

  EXPECT_EQ(world.names_since(first), (Names{"dax_writeback_range", "pfn_mkclean_range", "dax_flush",
                                             "dax_writeback_one", "dax_writeback_range_done", "blkdev_issue_flush"}));
  EXPECT_FALSE(world.dirty({3}));
  EXPECT_EQ(world.on_media({3}), 7);

  const std::uint64_t faults = area.faults;
  ASSERT_TRUE(area.store({3}, 8).has_value());
  EXPECT_EQ(area.faults, faults + 1);
  ASSERT_TRUE(world.file->fsync_range({0, ~std::uint64_t{0}}, Datasync::no).ok());
  EXPECT_EQ(world.on_media({3}), 8);
}

}  // namespace
}  // namespace daxsim::test
