// SPDX-License-Identifier: BSD-3-Clause
// A device that asks for its mappings back (Holder::revoke), under a file system that was not made for flash.
#include <gtest/gtest.h>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

Pgoff place_of(const File& file, Pgoff page) {
  Inode& inode = file.open_file()->inode();
  const SharedLock faulting(inode.mapping().invalidate_lock());
  return must(inode.direct_access({page, 1}, Access::read)).device_page;
}

TEST(Revoke, TakesThesePagesAwayAndLosesNothing) {
  // The page faults again and shows what was stored, another page does not; what was dirty is so still, and is synced.
  LiveWorld world = live_file(4_MiB);
  auto* const bytes = reinterpret_cast<volatile unsigned char*>(world.map.data());
  bytes[0] = 1;
  must(world.file.fsync());
  for (const std::uint64_t page : {0U, 700U}) {  // small pages from here on
    must(world.file.fallocate(Fallocate::punch_hole, {page * kPageSize, kPageSize}));
  }
  bytes[0] = 2;
  bytes[700 * kPageSize] = 2;
  const FaultCounts before = world.map.faults();

  must(world.device.attachment().revoke({byte_of(place_of(world.file, {700})), kPageSize}));

  EXPECT_EQ(bytes[0], 2U);
  EXPECT_EQ(world.map.faults(), before);
  EXPECT_EQ(bytes[700 * kPageSize], 2U);
  EXPECT_EQ(world.map.faults().pte, before.pte + 1);
  must(world.file.fsync());
  world.power_cycle({.kind = PowerCut::Kind::none});
  std::byte value{};
  must(must(world.fs.open("/file")).pread(700 * kPageSize, std::span(&value, 1)));
  EXPECT_EQ(value, std::byte{2});
}

TEST(Revoke, LeavesTheFileSystemAlive) {
  // All of the device at once: stores go on, files can be made.
  LiveWorld world = live_file(4_MiB);
  world.map.data()[0] = std::byte{1};
  must(world.device.attachment().revoke({0, world.device.size()}));
  world.map.data()[1] = std::byte{2};
  EXPECT_EQ(world.map.data()[0], std::byte{1});
  must(world.fs.create("/another", 64_KiB));
  EXPECT_TRUE(world.machine.findings().empty());
}

}  // namespace
}  // namespace daxsim::test
