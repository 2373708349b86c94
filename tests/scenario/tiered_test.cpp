// SPDX-License-Identifier: BSD-3-Clause
// One file on a pmem and on an ordinary disk: whatever is done to it, it is one file.
#include <gtest/gtest.h>

#include <array>
#include <atomic>
#include <optional>
#include <span>
#include <string>
#include <thread>
#include <vector>

#include "daxsim/adapters/tiered.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/error_of.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

using support::error_of;

// A machine with a pmem and a disk, and a file on both, mapped: its first half direct, the other not, four pages each.
class Tiered : public ::testing::Test {
 protected:
  static constexpr std::uint64_t kHalf = 4 * kPageSize;

  Tiered()
      : pmem(must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}))),
        disk(must(machine.attach(sim::RamDisk{.size = 8_MiB}))) {
    fs.emplace(must(machine.mkfs<TieredFs>(pmem, disk)));
    file.emplace(must(fs->create("file")));
    must(file->fallocate(Fallocate::allocate, {0, kHalf}));
    aim(Tier::block);
    must(file->fallocate(Fallocate::allocate, {kHalf, kHalf}));
    map.emplace(must(file->map()));
  }
  // Where new blocks come from.
  void aim(Tier tier) { must(TieredFs::set_foreground_target(inode(), tier)); }
  // The next machine mounts what the devices have.
  void reboot() {
    map.reset();
    file.reset();
    fs.reset();
    machine = must(machine.reboot());
    pmem = machine.devices()[0];
    disk = machine.devices()[1];
    fs.emplace(must(machine.mount<TieredFs>(pmem, disk)));
    file.emplace(must(fs->open("file")));
    map.emplace(must(file->map()));
  }
  void power_cycle(const PowerCut& choice = {}) {
    must(machine.power_cut(choice));
    reboot();
  }
  [[nodiscard]] volatile std::uint8_t& byte(std::uint64_t offset) {
    return reinterpret_cast<volatile std::uint8_t*>(map->data())[offset];
  }
  [[nodiscard]] Inode& inode() { return file->open_file()->inode(); }
  [[nodiscard]] std::string content() {
    std::string text(file->size(), '?');
    EXPECT_EQ(must(file->pread(0, std::as_writable_bytes(std::span(text)))), text.size());
    return text;
  }
  void write(std::uint64_t offset, std::string_view text) {
    EXPECT_EQ(must(file->pwrite(offset, std::as_bytes(std::span(text)))), text.size());
  }
  [[nodiscard]] FileExtent::Kind kind_of(std::uint64_t offset) {
    const SharedLock valid(inode().mapping().invalidate_lock());
    return must(inode().direct_access({page_of(offset), 1}, Access::read)).kind;
  }

  support::TempFile media;
  Machine machine;
  DeviceHandle pmem;
  DeviceHandle disk;
  std::optional<FileSystem> fs;
  std::optional<File> file;
  std::optional<Mapping> map;
};

TEST_F(Tiered, BothPartsSurviveFsync) {
  // Stored to both through one mapping, synced, cut: by loads and by read(2) it is all there.
  byte(0) = 1;
  byte(kHalf - 1) = 2;
  byte(kHalf) = 3;
  byte(2 * kHalf - 1) = 4;
  EXPECT_EQ(kind_of(0), FileExtent::Kind::memory);
  EXPECT_EQ(kind_of(kHalf), FileExtent::Kind::not_direct);
  must(file->fsync());
  power_cycle();
  EXPECT_EQ(byte(0), 1);
  EXPECT_EQ(byte(kHalf - 1), 2);
  EXPECT_EQ(byte(kHalf), 3);
  EXPECT_EQ(byte(2 * kHalf - 1), 4);
  EXPECT_EQ(content().substr(kHalf - 1, 2), "\2\3");
  EXPECT_TRUE(machine.findings().empty());
}

TEST_F(Tiered, WithoutFsyncThePageOfTheCacheIsLost) {
  // Whatever the power cut leaves of caches and disks, a page of the page cache is in neither.
  byte(0) = 1;
  byte(kHalf) = 2;
  must(file->fsync());
  byte(kHalf) = 3;
  power_cycle({.kind = PowerCut::Kind::all});
  EXPECT_EQ(byte(0), 1);
  EXPECT_EQ(byte(kHalf), 2);
}

TEST_F(Tiered, SystemCallsAndMappingSeeTheSame) {
  // write(2) across the border is seen by loads; stores are seen by read(2), from a buffer that is a mapping of the file.
  write(kHalf - 2, "abcd");
  EXPECT_EQ(byte(kHalf - 1), 'b');
  EXPECT_EQ(byte(kHalf), 'c');
  byte(kHalf - 1) = 'X';
  byte(kHalf) = 'Y';
  EXPECT_EQ(content().substr(kHalf - 2, 4), "aXYd");
  const std::span mapped(reinterpret_cast<std::byte*>(map->data()), map->size());
  EXPECT_EQ(must(file->pwrite(kHalf + 6, mapped.subspan(kHalf - 2, 4))), 4U);
  EXPECT_EQ(must(file->pread(kHalf - 2, mapped.subspan(0, 4))), 4U);
  EXPECT_EQ(content().substr(0, 4), "aXYd");
  EXPECT_EQ(content().substr(kHalf + 6, 4), "aXYd");
}

TEST_F(Tiered, AMappedHoleIsGivenUpWhenItGetsBlocksOnTheDisk) {
  // Its zero page is in two processes; the store of one and a write(2) are seen by the other.
  must(file->truncate(2 * kHalf + 8_MiB));
  Process& reader = machine.spawn();
  Process& writer = machine.spawn();
  const std::uint64_t at = must(reader.mmap(file->open_file(), {}));
  const std::uint64_t also_at = must(writer.mmap(file->open_file(), {}));
  const std::uint64_t huge = round_up(2 * kHalf, kPmdSize);
  for (const std::uint64_t offset : {2 * kHalf, huge, huge + kPageSize}) {
    EXPECT_EQ(reader.load<std::uint8_t>(at + offset).value(), 0);
    EXPECT_EQ(writer.load<std::uint8_t>(also_at + offset).value(), 0);
  }
  EXPECT_EQ(kind_of(huge), FileExtent::Kind::hole);
  ASSERT_TRUE(writer.store<std::uint8_t>(also_at + 2 * kHalf, 7).ok());
  ASSERT_TRUE(writer.store<std::uint8_t>(also_at + huge, 8).ok());
  write(huge + kPageSize, "9");
  EXPECT_EQ(kind_of(2 * kHalf), FileExtent::Kind::not_direct);
  EXPECT_EQ(reader.load<std::uint8_t>(at + 2 * kHalf).value(), 7);
  EXPECT_EQ(reader.load<std::uint8_t>(at + huge).value(), 8);
  EXPECT_EQ(reader.load<std::uint8_t>(at + huge + kPageSize).value(), '9');
  EXPECT_EQ(reader.load<std::uint8_t>(at + huge + 2 * kPageSize).value(), 0);
  // And the live mapping was never told otherwise.
  map.emplace(must(file->map()));
  EXPECT_EQ(byte(huge), 8);
}

TEST_F(Tiered, TruncationCutsBothParts) {
  // In the middle of a direct page, with everything behind; what comes back is zeros, also after a power cut.
  byte(kPageSize) = 1;
  byte(kPageSize + 100) = 2;
  byte(kHalf) = 3;
  must(file->truncate(kPageSize + 100));
  EXPECT_SIGBUS_LOAD(map->data() + kHalf, BUS_ADRERR);
  must(file->truncate(2 * kHalf));
  EXPECT_EQ(byte(kPageSize), 1);
  EXPECT_EQ(byte(kPageSize + 100), 0);
  EXPECT_EQ(byte(kHalf), 0);
  must(file->fsync());
  power_cycle();
  EXPECT_EQ(byte(kPageSize), 1);
  EXPECT_EQ(byte(kPageSize + 100), 0);
  EXPECT_EQ(byte(kHalf), 0);
}

TEST_F(Tiered, TruncationZeroesTheRestOfACachedPage) {
  // The end is in the middle of a page of the page cache.
  byte(kHalf + 99) = 1;
  byte(kHalf + 100) = 2;
  must(file->truncate(kHalf + 100));
  must(file->truncate(2 * kHalf));
  EXPECT_EQ(byte(kHalf + 99), 1);
  EXPECT_EQ(byte(kHalf + 100), 0);
  must(file->fsync());
  power_cycle();
  EXPECT_EQ(byte(kHalf + 99), 1);
  EXPECT_EQ(byte(kHalf + 100), 0);
}

TEST_F(Tiered, LayoutChangesAcrossTheBorder) {
  // Punch, zero, collapse and insert, with dirty pages on both sides.
  const auto is = [this](std::string_view pages) {
    std::string all;
    for (std::uint64_t page = 0; page < file->size() / kPageSize; ++page) {
      all += content()[page * kPageSize] == 0 ? '.' : content()[page * kPageSize];
    }
    EXPECT_EQ(all, pages);
  };
  for (std::uint64_t page = 0; page < 8; ++page) {
    byte(page * kPageSize) = static_cast<std::uint8_t>('a' + page);
  }
  is("abcdefgh");
  must(file->fallocate(Fallocate::punch_hole, {3 * kPageSize, 2 * kPageSize}));
  is("abc..fgh");
  must(file->fallocate(Fallocate::collapse_range, {kPageSize, kPageSize}));
  is("ac..fgh");
  byte(4 * kPageSize) = 'F';
  must(file->fallocate(Fallocate::insert_range, {kPageSize, kPageSize}));
  is("a.c..Fgh");
  must(file->fallocate(Fallocate::zero_range, {5 * kPageSize, 2 * kPageSize}));
  is("a.c....h");
  must(file->fsync());
  power_cycle();
  is("a.c....h");
}

TEST_F(Tiered, SpillsOverWhenTheDirectTierIsFull) {
  // A write larger than the pmem ends on the disk, and one larger than both is short.
  const File large = must(fs->create("large"));
  const std::string text(10_MiB, 'x');
  File writer = must(fs->open("large"));
  EXPECT_EQ(must(writer.pwrite(0, std::as_bytes(std::span(text)))), text.size());
  Inode& spilled = writer.open_file()->inode();
  {
    const SharedLock valid(spilled.mapping().invalidate_lock());
    EXPECT_EQ(must(spilled.direct_access({{0}, 1}, Access::read)).kind, FileExtent::Kind::memory);
    EXPECT_EQ(must(spilled.direct_access({page_of(10_MiB - 1), 1}, Access::read)).kind, FileExtent::Kind::not_direct);
  }
  must(writer.fsync());
  const std::uint64_t more = must(writer.pwrite(10_MiB, std::as_bytes(std::span(text))));
  EXPECT_LT(more, text.size());
  EXPECT_EQ(error_of(writer.pwrite(10_MiB + more, std::as_bytes(std::span(text)))), Errno::enospc);
}

TEST_F(Tiered, PagesMoveWhileTheyAreMappedAndDirty) {
  // Up and down under a mapping; every store before and after is there, and after an fsync also when the power goes.
  byte(0) = 1;
  byte(kHalf) = 2;
  EXPECT_EQ(must(TieredFs::demote(inode(), {{0}, 1})), 1U);
  EXPECT_EQ(must(TieredFs::promote(inode(), {{4}, 2})), 2U);
  EXPECT_EQ(kind_of(0), FileExtent::Kind::not_direct);
  EXPECT_EQ(kind_of(kHalf), FileExtent::Kind::memory);
  EXPECT_EQ(byte(0), 1);
  EXPECT_EQ(byte(kHalf), 2);
  byte(100) = 3;
  byte(kHalf + 100) = 4;
  must(file->fsync());
  power_cycle();
  EXPECT_EQ(content()[0], 1);
  EXPECT_EQ(content()[100], 3);
  EXPECT_EQ(content()[kHalf], 2);
  EXPECT_EQ(content()[kHalf + 100], 4);
  EXPECT_EQ(kind_of(0), FileExtent::Kind::not_direct);
  EXPECT_EQ(kind_of(kHalf), FileExtent::Kind::memory);
}

TEST_F(Tiered, WhatHasMovedIsLostWholeOrNotAtAll) {
  // The power goes before anything is synced: the old place has what was promised before.
  byte(0) = 1;
  byte(kHalf) = 2;
  must(file->fsync());
  EXPECT_EQ(must(TieredFs::demote(inode(), {{0}, 4})), 4U);
  EXPECT_EQ(must(TieredFs::promote(inode(), {{4}, 4})), 4U);
  byte(1) = 3;
  power_cycle();
  EXPECT_EQ(content()[0], 1);
  EXPECT_EQ(content()[kHalf], 2);
  EXPECT_EQ(kind_of(0), FileExtent::Kind::memory);
}

TEST_F(Tiered, APrivateCopyStaysWhenItsPageMoves) {
  // The process that has written to its copy keeps it; one that only read sees what is stored afterwards.
  Process& process = machine.spawn();
  const std::uint64_t own = must(process.mmap(file->open_file(), {.sharing = Sharing::private_copy}));
  byte(0) = 1;
  byte(kHalf) = 1;
  for (const std::uint64_t offset : {std::uint64_t{0}, kHalf}) {
    ASSERT_TRUE(process.store<std::uint8_t>(own + offset, 9).ok());
    EXPECT_EQ(process.load<std::uint8_t>(own + offset + kPageSize).value(), 0);
  }
  EXPECT_EQ(must(TieredFs::demote(inode(), {{0}, 4})), 4U);
  EXPECT_EQ(must(TieredFs::promote(inode(), {{4}, 4})), 4U);
  for (const std::uint64_t offset : {std::uint64_t{0}, kHalf}) {
    EXPECT_EQ(process.load<std::uint8_t>(own + offset).value(), 9);
    byte(offset + kPageSize) = 5;
    EXPECT_EQ(process.load<std::uint8_t>(own + offset + kPageSize).value(), 5);
    EXPECT_EQ(byte(offset), 1);
  }
}

TEST_F(Tiered, MigrationNamesItsErrors) {
  // No room above; holes and what is there already stay.
  EXPECT_EQ(must(TieredFs::promote(inode(), {{0}, 4})), 0U);
  EXPECT_EQ(must(TieredFs::demote(inode(), {{100}, 50})), 0U);
  aim(Tier::direct);
  File other = must(fs->create("other"));
  must(other.fallocate(Fallocate::allocate, {0, must(fs->space()).free_pages / 2 * kPageSize}));
  static_cast<void>(other.fallocate(Fallocate::allocate, {0, 8_MiB}).ok());
  EXPECT_EQ(error_of(TieredFs::promote(inode(), {{4}, 4})), Errno::enospc);
  EXPECT_EQ(content(), std::string(2 * kHalf, '\0'));
}

TEST_F(Tiered, NoStoreOfARunningProgramIsLost) {
  // Two threads store while the pages go up and down and are synced: nothing is lost, nothing tears, and fsync keeps
  // its word.
  constexpr std::uint64_t kPages = 2 * kHalf / kPageSize;
  constexpr std::uint64_t kThreads = 2;
  const auto word = [this](std::uint64_t page) -> volatile std::uint64_t& {
    return *reinterpret_cast<volatile std::uint64_t*>(map->data() + page * kPageSize);
  };
  std::atomic<bool> stop{false};
  std::array<std::uint64_t, kPages> stored{};
  {
    std::vector<std::thread> threads;
    for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
      threads.emplace_back([&, thread] {
        for (std::uint64_t value = 1; !stop; ++value) {
          for (std::uint64_t page = thread; page < kPages; page += kThreads) {
            EXPECT_EQ(word(page), stored[page]);
            word(page) = value;
            stored[page] = value;
          }
        }
      });
    }
    for (std::uint64_t round = 0; round < 24; ++round) {
      const PageRange pages{{round % 5}, 1 + round % 4};
      EXPECT_EQ(error_of(round % 2 == 0 ? TieredFs::demote(inode(), pages) : TieredFs::promote(inode(), pages)),
                std::nullopt);
      EXPECT_EQ(error_of(file->fsync()), std::nullopt);
    }
    stop = true;
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  must(file->fsync());
  EXPECT_TRUE(machine.findings().empty());
  power_cycle();
  for (std::uint64_t page = 0; page < kPages; ++page) {
    EXPECT_EQ(word(page), stored[page]) << page;
  }
}

TEST_F(Tiered, AnOrderlyEndWritesBothPartsBack) {
  // Nobody has synced; the machine shuts down in order, and before that the file system is unmounted and mounted.
  byte(0) = 1;
  byte(kHalf) = 2;
  reboot();
  EXPECT_EQ(byte(0), 1);
  EXPECT_EQ(byte(kHalf), 2);
  byte(kHalf) = 3;
  map.reset();
  file.reset();
  must(fs->unmount());
  fs.emplace(must(machine.mount<TieredFs>(pmem, disk)));
  file.emplace(must(fs->open("file")));
  EXPECT_EQ(content()[kHalf], 3);
}

TEST_F(Tiered, TheEndOfEitherDeviceIsTheEnd) {
  // The disk is pulled out: the mapping raises SIGBUS everywhere, and fsync fails.
  byte(0) = 1;
  byte(kHalf) = 2;
  must(machine.remove(disk, Removal::surprise));
  EXPECT_SIGBUS_LOAD(map->data(), BUS_ADRERR);
  EXPECT_SIGBUS_LOAD(map->data() + kHalf, BUS_ADRERR);
  EXPECT_EQ(error_of(file->fsync()), Errno::eio);
  EXPECT_EQ(error_of(file->truncate(0)), Errno::eio);
}

TEST_F(Tiered, AnOrderlyRemovalOfTheDiskLosesNothing) {
  // The file system is told while the disk still works.
  byte(0) = 1;
  byte(kHalf) = 2;
  const auto medium = disk.medium();
  EXPECT_FALSE(must(machine.remove(disk)).holder_error);
  map.reset();
  file.reset();
  static_cast<void>(fs->unmount().ok());
  disk = must(machine.attach(medium));
  fs.emplace(must(machine.mount<TieredFs>(pmem, disk)));
  file.emplace(must(fs->open("file")));
  EXPECT_EQ(content()[0], 1);
  EXPECT_EQ(content()[kHalf], 2);
}

TEST_F(Tiered, RefusesMapSync) {
  // The disk is not synchronous.
  EXPECT_EQ(error_of(file->map({.sync = MapSync::yes})), Errno::eopnotsupp);
}

}  // namespace
}  // namespace daxsim::test
