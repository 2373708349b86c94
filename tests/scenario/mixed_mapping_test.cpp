// SPDX-License-Identifier: BSD-3-Clause
// One file, one mapping, two kinds of storage: DAX entries in its first half, pages of the page cache in its second.
#include <gtest/gtest.h>

#include <array>
#include <optional>
#include <span>

#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/error_of.hpp"
#include "support/mixed_fs.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

using support::error_of;

constexpr std::uint64_t kBorder = MixedInode::kBorder;

// A machine with a pmem and a RAM disk, the file system on both, and the file mapped.
struct MixedWorld {
  MixedWorld()
      : pmem(must(machine.attach(sim::Pmem{.path = media.path(), .size = 2_MiB}))),
        disk(must(machine.attach(sim::RamDisk{.size = 2_MiB}))) {
    open();
  }
  void open() {
    fs.emplace(must(machine.mount<MixedFs>(pmem, disk)));
    file.emplace(must(fs->open("file")));
    map.emplace(must(file->map()));
  }
  // The power goes; the next machine mounts what the devices have.
  PowerCutReport power_cycle(const PowerCut& choice = {}) {
    const PowerCutReport report = must(machine.power_cut(choice));
    map.reset();
    file.reset();
    fs.reset();
    machine = must(machine.reboot());
    pmem = machine.devices()[0];
    disk = machine.devices()[1];
    open();
    return report;
  }
  [[nodiscard]] volatile std::uint8_t& byte(std::uint64_t offset) {
    return reinterpret_cast<volatile std::uint8_t*>(map->data())[offset];
  }
  [[nodiscard]] MixedInode& inode() { return static_cast<MixedInode&>(file->open_file()->inode()); }

  support::TempFile media;
  Machine machine;
  DeviceHandle pmem;
  DeviceHandle disk;
  std::optional<FileSystem> fs;
  std::optional<File> file;
  std::optional<Mapping> map;
};

TEST(MixedMapping, BothHalvesSurviveFsync) {
  // Stored on both sides of the border, synced, cut, read back on both sides, by loads and by read(2).
  MixedWorld world;
  world.byte(kBorder - 1) = 1;
  world.byte(kBorder) = 2;
  world.byte(3 * kPageSize) = 3;
  world.byte(kBorder + 3 * kPageSize) = 4;
  must(world.file->fsync());
  EXPECT_EQ(world.power_cycle().lost_lines, 0U);
  EXPECT_EQ(world.byte(kBorder - 1), 1);
  EXPECT_EQ(world.byte(kBorder), 2);
  EXPECT_EQ(world.byte(3 * kPageSize), 3);
  EXPECT_EQ(world.byte(kBorder + 3 * kPageSize), 4);
  std::array<std::byte, 2> both{};
  EXPECT_EQ(must(world.file->pread(kBorder - 1, both)), 2U);
  EXPECT_EQ(both, (std::array{std::byte{1}, std::byte{2}}));
  EXPECT_TRUE(world.machine.findings().empty());
}

TEST(MixedMapping, WithoutFsyncEachHalfLosesInItsOwnWay) {
  // The pmem's lines may survive by luck, the cached page never.
  MixedWorld world;
  world.byte(kBorder - 1) = 1;
  world.byte(kBorder) = 2;
  world.power_cycle({.kind = PowerCut::Kind::all});
  EXPECT_EQ(world.byte(kBorder - 1), 1);
  EXPECT_EQ(world.byte(kBorder), 0);
}

TEST(MixedMapping, EachHalfIsInAnIndexOfItsOwn) {
  // dax sees its entries only, a PMD among them; the page cache has the rest; fsync cleans both.
  MixedWorld world;
  Process& process = world.machine.spawn();
  const std::uint64_t at = must(process.mmap(world.file->open_file(), {}));
  ASSERT_TRUE(process.store<std::uint8_t>(at, 1).ok());
  ASSERT_TRUE(process.store<std::uint8_t>(at + kBorder, 2).ok());
  XArray& index = world.inode().mapping().pages();
  EXPECT_EQ(index.pages(), kPagesPerPmd);
  EXPECT_TRUE(index.marked({0}, Mark::dirty));
  EXPECT_EQ(process.pte(at).order, kPmdOrder);
  EXPECT_TRUE(world.inode().cached.is_dirty({MixedInode::kHalf}));
  EXPECT_FALSE(world.inode().cached.is_cached({0}));
  EXPECT_EQ(process.pte(at + kBorder).order, 0U);
  must(world.file->fsync());
  EXPECT_FALSE(index.marked(Mark::dirty));
  EXPECT_FALSE(world.inode().cached.is_dirty({MixedInode::kHalf}));
  EXPECT_FALSE(process.pte(at).writable);
  EXPECT_FALSE(process.pte(at + kBorder).writable);
}

TEST(MixedMapping, SystemCallsCrossTheBorder) {
  // One write(2) over it, from a buffer that is mapped from the very file, and one read(2) into one.
  MixedWorld world;
  for (std::uint64_t at = 0; at < 4; ++at) {
    world.byte(kBorder + kPageSize + at) = static_cast<std::uint8_t>(at + 1);
  }
  const std::span mapped(reinterpret_cast<std::byte*>(world.map->data()), world.map->size());
  EXPECT_EQ(must(world.file->pwrite(kBorder - 2, mapped.subspan(kBorder + kPageSize, 4))), 4U);
  EXPECT_EQ(must(world.file->pread(kBorder - 2, mapped.subspan(100, 4))), 4U);
  for (std::uint64_t at = 0; at < 4; ++at) {
    EXPECT_EQ(world.byte(kBorder - 2 + at), at + 1);
    EXPECT_EQ(world.byte(100 + at), at + 1);
  }
}

TEST(MixedMapping, TruncatesAcrossTheBorder) {
  // Both sides go: loads raise SIGBUS; and both come back as zeros.
  MixedWorld world;
  world.byte(kBorder - kPageSize) = 1;
  world.byte(kBorder) = 2;
  world.byte(0) = 3;
  must(world.file->truncate(kBorder - kPageSize));
  EXPECT_SIGBUS_LOAD(world.map->data() + kBorder - kPageSize, BUS_ADRERR);
  EXPECT_SIGBUS_LOAD(world.map->data() + kBorder, BUS_ADRERR);
  EXPECT_FALSE(world.inode().cached.is_cached({MixedInode::kHalf}));
  must(world.file->truncate(2 * kBorder));
  EXPECT_EQ(world.byte(kBorder - kPageSize), 0);
  EXPECT_EQ(world.byte(kBorder), 0);
  EXPECT_EQ(world.byte(0), 3);
  must(world.file->fsync());
  world.power_cycle();
  EXPECT_EQ(world.byte(kBorder), 0);
}

TEST(MixedMapping, OneHalfLosesItsDisk) {
  // The disk is pulled out: what is not cached raises SIGBUS, fsync is Errno::eio, and the other half goes on.
  MixedWorld world;
  world.byte(0) = 1;
  world.byte(kBorder) = 2;
  must(world.machine.remove(world.disk, Removal::surprise));
  EXPECT_SIGBUS_LOAD(world.map->data() + kBorder + kPageSize, BUS_ADRERR);
  EXPECT_EQ(world.byte(kBorder), 2);
  world.byte(kPageSize) = 3;
  EXPECT_EQ(error_of(world.file->fsync()), Errno::eio);
  EXPECT_EQ(world.byte(0), 1);
}

TEST(MixedMapping, AnOrderlyEndLosesNothing) {
  // A machine that is shut down writes both halves back.
  MixedWorld world;
  world.byte(0) = 1;
  world.byte(kBorder) = 2;
  world.map.reset();
  world.file.reset();
  world.fs.reset();
  world.machine = must(world.machine.reboot());
  world.pmem = world.machine.devices()[0];
  world.disk = world.machine.devices()[1];
  world.open();
  EXPECT_EQ(world.byte(0), 1);
  EXPECT_EQ(world.byte(kBorder), 2);
}

}  // namespace
}  // namespace daxsim::test
