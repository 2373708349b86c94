// SPDX-License-Identifier: BSD-3-Clause
// The RAM disk: what a write, a fence and a power cut leave on it, and how an attachment reads and writes its sectors.
#include "daxsim/sim_devices/ram_disk.hpp"

#include <gtest/gtest.h>

#include <array>
#include <cstring>
#include <filesystem>
#include <map>
#include <memory>
#include <thread>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/error_of.hpp"
#include "support/temp_file.hpp"

namespace daxsim {

// Beside its type, so that the tests' namespace finds it.
inline bool operator==(const LineHistory& left, const LineHistory& right) {
  return left.offset == right.offset && left.outcomes == right.outcomes;
}

namespace {

using namespace daxsim::literals;

using support::error_of;
using Sector = std::array<std::byte, kSectorSize>;
using Lines = std::vector<LineHistory>;

constexpr PowerCut kNone{.kind = PowerCut::Kind::none};
constexpr PowerCut kAll{.kind = PowerCut::Kind::all};

Sector sector_of(unsigned value) {
  Sector bytes;
  bytes.fill(std::byte(value));
  return bytes;
}

// A disk in memory, unless the config says otherwise, with a view.
struct Disk {
  explicit Disk(sim::RamDisk wanted = {.size = 1_MiB}) : config(std::move(wanted)), device(must(sim::open(config))) {
    power_on();
  }
  void power_on() { view = must(device->make_block_view({arena, clock})); }
  void write(std::uint64_t sector, unsigned value) { must(view->write(sector * kSectorSize, sector_of(value))); }
  // The value of a sector whose bytes are all the same; 999 for one that is torn.
  unsigned read(std::uint64_t sector) {
    Sector bytes;
    must(view->read(sector * kSectorSize, bytes));
    const auto value = static_cast<unsigned>(bytes[0]);
    return bytes == sector_of(value) ? value : 999;
  }
  PowerCutReport power_cycle(const PowerCut& choice) {
    const PowerCutReport report = must(view->power_cut(choice));
    view.reset();
    power_on();
    return report;
  }

  sim::RamDisk config;
  Arena arena;
  VirtualClock clock;
  std::shared_ptr<Device> device;
  std::unique_ptr<DeviceView> view;
};

TEST(RamDisk, SaysWhatItIs) {
  // An ordinary block device: no memory to map, sectors that reach the media whole, a cache to flush.
  const Disk disk;
  EXPECT_FALSE(disk.device->capabilities().direct);
  EXPECT_FALSE(disk.device->capabilities().synchronous);
  EXPECT_TRUE(disk.device->capabilities().write_cache);
  EXPECT_EQ(disk.device->capabilities().granularity, kSectorSize);
  EXPECT_EQ(disk.device->size(), 1_MiB);
}

TEST(RamDisk, AnUnflushedWriteIsLost) {
  // The cache is volatile: written, read back, gone with the power; flushed, it stays.
  Disk disk;
  disk.write(3, 1);
  EXPECT_EQ(disk.read(3), 1U);
  EXPECT_EQ(disk.power_cycle(kNone).lost_lines, 1U);
  EXPECT_EQ(disk.read(3), 0U);
  disk.write(3, 2);
  disk.view->fence();
  EXPECT_EQ(disk.power_cycle(kNone).lost_lines, 0U);
  EXPECT_EQ(disk.read(3), 2U);
}

TEST(RamDisk, ASectorMayHaveAnyValueSinceTheFlush) {
  // Three writes make four outcomes; the list names one for each sector.
  for (std::uint32_t outcome = 0; outcome < 4; ++outcome) {
    Disk disk;
    disk.write(5, 10);
    disk.view->fence();
    for (const unsigned value : {11U, 12U, 13U}) {
      disk.write(5, value);
    }
    disk.write(7, 1);
    EXPECT_EQ(disk.view->pending_lines(), (Lines{{5 * 512, 4}, {7 * 512, 2}}));
    const auto report = disk.power_cycle({.kind = PowerCut::Kind::listed, .lines = {{5 * 512, outcome}}});
    EXPECT_EQ(disk.read(5), 10 + outcome);
    EXPECT_EQ(disk.read(7), 0U);
    EXPECT_EQ(report.unfenced_lines, 2U);
    EXPECT_EQ(report.lost_lines, outcome == 3 ? 1U : 2U);
  }
}

TEST(RamDisk, SeedsRepeatAndDiffer) {
  // The same seed loses the same sectors, another seed others.
  const auto survivors = [](std::uint64_t seed) {
    Disk disk;
    for (std::uint64_t sector = 0; sector < 64; ++sector) {
      disk.write(sector, 1);
    }
    disk.power_cycle({.kind = PowerCut::Kind::seeded, .seed = seed});
    std::vector<unsigned> values;
    for (std::uint64_t sector = 0; sector < 64; ++sector) {
      values.push_back(disk.read(sector));
    }
    return values;
  };
  EXPECT_EQ(survivors(1), survivors(1));
  EXPECT_NE(survivors(1), survivors(2));
}

TEST(RamDisk, RefusesAnImpossiblePowerCut) {
  // A line or outcome that does not exist, or one listed twice: Errno::einval, and the power is still on.
  Disk disk;
  disk.write(1, 1);
  for (const std::vector<LineOutcome>& lines : {std::vector<LineOutcome>{{0, 0}}, {{512, 2}}, {{512, 1}, {512, 1}}}) {
    EXPECT_EQ(error_of(disk.view->power_cut({.kind = PowerCut::Kind::listed, .lines = lines})), Errno::einval);
  }
  EXPECT_EQ(disk.power_cycle(kAll).lost_lines, 0U);
  EXPECT_EQ(disk.read(1), 1U);
}

TEST(RamDisk, WithoutACacheNothingIsLost) {
  // Write-through: a write is on the media when it returns.
  Disk disk({.size = 1_MiB, .write_cache = false});
  disk.write(9, 4);
  EXPECT_EQ(disk.view->pending_lines(), Lines{});
  disk.power_cycle(kNone);
  EXPECT_EQ(disk.read(9), 4U);
}

TEST(RamDisk, AFileOutlivesTheDevice) {
  // An orderly end, and an unplugged disk, keep what was written; the file is locked meanwhile.
  const support::TempFile file;
  const sim::RamDisk config{.media = file.path(), .size = 1_MiB};
  {
    Disk disk(config);
    disk.write(2, 7);
    EXPECT_EQ(error_of(sim::open(config)), Errno::ebusy);
    EXPECT_EQ(error_of(sim::open(sim::Pmem{.path = file.path()})), Errno::ebusy);
    disk.view->unmap();
  }
  Disk again({.media = file.path()});
  EXPECT_EQ(again.read(2), 7U);
  EXPECT_EQ(again.device->name(), file.path().filename().string());
}

TEST(RamDisk, OneViewAtATime) {
  // Errno::ebusy until the view was cut, unplugged or destroyed.
  Disk disk;
  EXPECT_EQ(error_of(disk.device->make_block_view({disk.arena, disk.clock})), Errno::ebusy);
  disk.view->unmap();
  disk.power_on();
}

TEST(RamDisk, RefusesBadSizes) {
  // Errno::einval: no size, one that is no multiple, neither media nor size.
  EXPECT_EQ(error_of(sim::open(sim::RamDisk{})), Errno::einval);
  EXPECT_EQ(error_of(sim::open(sim::RamDisk{.size = 1_MiB + 512})), Errno::einval);
}

TEST(RamDisk, NoMemoryForTheLog) {
  // Errno::enomem, and the sector is as it was.
  Disk disk;
  disk.arena.fail_from(1);
  EXPECT_EQ(error_of(disk.view->write(0, sector_of(1))), Errno::enomem);
  disk.arena.fail_from(0);
  EXPECT_EQ(disk.read(0), 0U);
}

TEST(RamDisk, ATruncatedFileIsAnError) {
  // Errno::eio, and nothing is made up in place of the lost sectors.
  const support::TempFile file;
  Disk disk({.media = file.path(), .size = 2_MiB});
  disk.write(3000, 1);
  std::filesystem::resize_file(file.path(), 1_MiB);
  Sector bytes;
  EXPECT_EQ(error_of(disk.view->read(3000 * kSectorSize, bytes)), Errno::eio);
  EXPECT_EQ(error_of(disk.view->write(0, bytes)), Errno::eio);
  EXPECT_EQ(error_of(disk.view->power_cut(kNone)), Errno::eio);
}

TEST(RamDisk, SectorsAreNeverTorn) {
  // A reader sees each sector as one of its writers left it.
  Disk disk;
  std::thread writer([&disk] {
    for (unsigned round = 0; round < 400; ++round) {
      std::array<std::byte, 2 * kPageSize> bytes;
      bytes.fill(std::byte(round % 200));
      must(disk.view->write(8 * kSectorSize, bytes));
    }
  });
  for (unsigned round = 0; round < 400; ++round) {
    EXPECT_NE(disk.read(8 + round % 16), 999U);
  }
  writer.join();
}

TEST(RamDisk, RandomWritesAgainstAModel) {
  // Seeded programs of writes, flushes and power cuts: a sector is its flushed value or one written since.
  for (std::uint64_t seed = 1; seed <= 50; ++seed) {
    Random random(seed);
    Disk disk;
    std::map<std::uint64_t, std::vector<unsigned>> possible;
    for (int step = 0; step < 200; ++step) {
      const std::uint64_t sector = random.below(12);
      std::vector<unsigned>& values = possible.try_emplace(sector, std::vector<unsigned>{0}).first->second;
      switch (random.below(8)) {
        case 0:
          disk.view->fence();
          for (auto& [at, of] : possible) {
            of = {of.back()};
          }
          break;
        case 1:
          disk.power_cycle({.kind = PowerCut::Kind::seeded, .seed = random.below(1000)});
          for (auto& [at, of] : possible) {
            const unsigned survived = disk.read(at);
            ASSERT_NE(std::ranges::find(of, survived), of.end()) << "seed " << seed << ", sector " << at;
            of = {survived};
          }
          break;
        default:
          values.push_back(static_cast<unsigned>(1 + random.below(250)));
          disk.write(sector, values.back());
      }
      ASSERT_EQ(disk.read(sector), values.back()) << "seed " << seed;
    }
  }
}

// A RAM disk attached to a machine.
struct Attached {
  Attached() : attachment(disk, must(disk->make_block_view({arena, clock})), 1, events) {}

  VirtualClock clock;
  EventStream events{clock, 64};
  Arena arena;
  std::shared_ptr<Device> disk = must(sim::open(sim::RamDisk{.size = 1_MiB}));
  Attachment attachment;
};

TEST(RamDiskAttached, HasSectorsAndNoMemory) {
  // Whole sectors are read, written and zeroed; there is nothing to map, and no frame is its own.
  Attached attached;
  Attachment& disk = attached.attachment;
  EXPECT_FALSE(disk.is_direct());
  EXPECT_EQ(error_of(disk.direct_access({0}, 1)), Errno::enxio);
  must(disk.write(1024, sector_of(5)));
  must(disk.zero({1024 + 512, 12_KiB}));
  Sector bytes;
  must(disk.read(1024, bytes));
  EXPECT_EQ(bytes, sector_of(5));
  EXPECT_EQ(error_of(disk.read(1, bytes)), Errno::einval);
  EXPECT_EQ(error_of(disk.write(0, std::span(bytes).first(8))), Errno::einval);
  EXPECT_EQ(error_of(disk.zero({0, 8})), Errno::einval);
  EXPECT_EQ(error_of(disk.read(1_MiB, bytes)), Errno::erange);
}

TEST(RamDiskAttached, DiesAsOthersDo) {
  // Dead: Errno::enxio for sectors; gone: Errno::eio for the flush.
  Attached attached;
  Attachment& disk = attached.attachment;
  must(disk.advance(LifeState::dax_dead));
  Sector bytes = sector_of(1);
  EXPECT_EQ(error_of(disk.read(0, bytes)), Errno::enxio);
  EXPECT_EQ(error_of(disk.write(0, bytes)), Errno::enxio);
  EXPECT_EQ(error_of(disk.zero({0, 512})), Errno::enxio);
  must(disk.fence());
  must(disk.advance(LifeState::disk_gone));
  EXPECT_EQ(error_of(disk.fence()), Errno::eio);
  must(disk.advance(LifeState::unmapped));
}

}  // namespace
}  // namespace daxsim
