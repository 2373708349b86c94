// SPDX-License-Identifier: BSD-3-Clause
// What a file says of its blocks: stat, fiemap and lseek, against what ext4 and XFS said (oracle, workloads a, b, c, f, g).
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "daxsim/mm/process.hpp"
#include "support/error_of.hpp"
#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;

constexpr std::uint64_t kPage = kPageSize;

class BlockReport : public ::testing::Test {
 protected:
  BlockReport() {
    world.make();
    file = world.create("f");
    must(file->truncate(16 * kPage));
    mapped = must(process.mmap(file, {}));
  }
  void fill(std::uint64_t pages) { must(file->pwrite(0, bytes(std::string(pages * kPage, 'x')))); }
  void load(std::uint64_t page) { EXPECT_TRUE(process.load<char>(mapped + page * kPage).ok()); }
  void store(std::uint64_t page) { EXPECT_TRUE(process.store(mapped + page * kPage, 'y').ok()); }

  LinearWorld world{16_MiB};
  Process process{world.system, 1};
  std::shared_ptr<OpenFile> file;
  std::uint64_t mapped = 0;
};

TEST_F(BlockReport, StatCountsAllocatedBlocks) {
  // In units of 512 bytes: a hole that was read has none, unwritten blocks count, and so do those behind the end.
  load(0);
  EXPECT_EQ(file->statx().blocks, 0U);
  fill(1);
  EXPECT_EQ(file->statx().blocks, 8U);
  store(3);
  EXPECT_EQ(file->statx().blocks, 16U);
  must(file->fallocate(Fallocate::allocate_keep_size, {16 * kPage, 4 * kPage}));
  EXPECT_EQ(file->statx().blocks, 48U);
  must(file->truncate(3 * kPage + kPage / 2));
  EXPECT_EQ(file->statx().blocks, 16U);
  must(file->fallocate(Fallocate::punch_hole, {0, kPage}));
  EXPECT_EQ(file->statx().blocks, 8U);
}

}  // namespace
}  // namespace daxsim
