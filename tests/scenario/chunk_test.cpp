// SPDX-License-Identifier: BSD-3-Clause
// Real loads and stores to a file that is on several devices, and whose blocks move meanwhile.
#include <gtest/gtest.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <optional>
#include <thread>
#include <vector>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

constexpr std::uint64_t kPages = 256;

// A ChunkFs on two devices, "/file" of 1 MiB, and a live mapping of it.
struct ChunkMachine {
  // `second` says what the second device can do.
  explicit ChunkMachine(ChunkProfile profile, const MachineOptions& options = {}, const sim::Pmem& second = {})
      : machine(options),
        devices{
            must(machine.attach(sim::Pmem{.path = media[0].path(), .size = 8_MiB})),
            must(machine.attach(sim::Pmem{
                .path = media[1].path(), .size = 8_MiB, .domain = second.domain, .write_cache = second.write_cache}))},
        fs(must(machine.mkfs<ChunkFs>(devices, ChunkFsOptions{.profile = profile}))),
        file(must(fs.create("/file", kPages * kPageSize))),
        map(must(file.map())) {
    must(fs.sync());
  }
  std::uint64_t& word(std::uint64_t page) { return *reinterpret_cast<std::uint64_t*>(&map.data()[page * kPageSize]); }
  // What a reboot finds there.
  std::vector<std::uint64_t> words_after_power_cut() {
    must(machine.power_cut());
    findings = machine.findings();
    machine = must(machine.reboot());
    std::vector<std::uint64_t> words(kPages);
    File found = must(must(machine.mount<ChunkFs>(machine.devices())).open("/file"));
    for (std::uint64_t page = 0; page < kPages; ++page) {
      must(found.pread(page * kPageSize, std::as_writable_bytes(std::span(&words[page], 1))));
    }
    return words;
  }

  TemporaryFile media[2];
  Machine machine;
  std::vector<DeviceHandle> devices;
  FileSystem fs;
  File file;
  Mapping map;
  std::vector<Finding> findings;
};

bool found(const std::vector<Finding>& findings, FindingKind kind) {
  return std::ranges::find(findings, kind, &Finding::kind) != findings.end();
}

// A file striped over two devices: every flush lands on the device of its page, unless the index only has the inode's.
TEST(Striped, Scenario93_EveryFlushLandsWhereThePageIs) {
  const auto lost = [](const MachineOptions& options, bool* wrong_device) {
    ChunkMachine world(ChunkProfile::raid0, options);
    for (std::uint64_t page = 0; page < kPages; ++page) {
      world.word(page) = page + 1;
    }
    must(world.file.fsync());
    const std::vector<std::uint64_t> words = world.words_after_power_cut();
    *wrong_device = found(world.findings, FindingKind::wrong_device_flush);
    std::uint64_t count = 0;
    for (std::uint64_t page = 0; page < kPages; ++page) {
      count += words[page] == page + 1 ? 0 : 1;
    }
    return count;
  };
  bool wrong_device = true;
  EXPECT_EQ(lost({}, &wrong_device), 0U);
  EXPECT_FALSE(wrong_device);
  EXPECT_EQ(lost({.design = &designs::sector_of_inode()}, &wrong_device), kPages / 2);
  EXPECT_TRUE(wrong_device);
}

// Each device of a file has a write-cache flag of its own, and a page is flushed as the device says that it is on. One that
// says that it has no cache and has one loses its pages; the other keeps its own.
TEST(Striped, EachPageIsFlushedAsItsDeviceSays) {
  const auto kept = [](const sim::Pmem& second) {
    ChunkMachine world(ChunkProfile::raid0, {}, second);
    for (std::uint64_t page = 0; page < kPages; ++page) {
      world.word(page) = page + 1;
    }
    must(world.file.fsync());
    std::uint64_t count = 0;
    for (const std::uint64_t word : world.words_after_power_cut()) {
      count += word == 0 ? 0 : 1;
    }
    return count;
  };
  EXPECT_EQ(kept({.domain = sim::PersistenceDomain::eadr, .write_cache = false}), kPages);
  EXPECT_EQ(kept({.domain = sim::PersistenceDomain::adr, .write_cache = false}), kPages / 2);
}

// Two threads store while their file's blocks are moved to and fro: no store is lost, none tears, and fsync keeps its word.
TEST(Balance, Scenario95_NoStoreOfARunningProgramIsLost) {
  for (const ChunkProfile profile : {ChunkProfile::single, ChunkProfile::dup}) {
    ChunkMachine world(profile);
    constexpr std::uint64_t kThreads = 2;
    std::atomic<bool> stop{false};
    std::vector<std::uint64_t> stored(kPages);
    {
      std::vector<std::thread> threads;
      for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
        threads.emplace_back([&, thread] {
          for (std::uint64_t value = 1; !stop; ++value) {
            for (std::uint64_t page = thread; page < kPages; page += kThreads) {
              // No atomic: ThreadSanitizer makes those inside its own locks, where they must not fault.
              volatile std::uint64_t& word = world.word(page);
              EXPECT_EQ(word, stored[page]);
              word = value;
              stored[page] = value;
            }
          }
        });
      }
      for (std::uint32_t round = 0; round < 12; ++round) {
        EXPECT_EQ(error_of(ChunkFs::empty_device(*world.fs.super_block(), round % 2)), std::nullopt)
            << "round " << round;
      }
      stop = true;
      for (std::thread& thread : threads) {
        thread.join();
      }
    }
    must(world.file.fsync());
    EXPECT_EQ(must(ChunkFs::scrub(*world.fs.super_block())).repaired, 0U);
    EXPECT_EQ(world.words_after_power_cut(), stored);
    EXPECT_TRUE(world.findings.empty());
  }
}

// The copies of a file that is kept twice: fsync makes the second like the first, unless write-back forgets it. A page that
// is dirty may differ from its copy.
TEST(Dup, Scenario94_CopiesOfCleanPagesAreAlike) {
  const auto diverged = [](const Policy& policy, bool syncs) {
    ChunkMachine world(ChunkProfile::dup, {.era = eras::v6_12.with(policy)});
    world.word(7) = 1;
    if (syncs) {
      must(world.file.fsync());
    }
    EXPECT_EQ(world.words_after_power_cut()[7], syncs ? 1U : 0U);
    EXPECT_LE(world.findings.size(), 1U);
    return found(world.findings, FindingKind::mirror_divergence) && world.findings[0].page == Pgoff{7};
  };
  EXPECT_TRUE(diverged(Policy{}.without(Step::make_copies), true));
  EXPECT_FALSE(diverged(Policy{}.without(Step::make_copies), false));
  EXPECT_FALSE(diverged({}, true));
}

// A program flushed its store by itself, and the power went before the copy was made: that is found until a scrub.
TEST(Dup, Scenario94_CopiesThatACrashLeft) {
  for (const bool scrubs : {false, true}) {
    ChunkMachine world(ChunkProfile::dup);
    world.word(7) = 1;
    must(world.file.fsync());
    world.word(7) = 2;
    persist(&world.word(7), sizeof(std::uint64_t));
    must(world.machine.power_cut());
    world.machine = must(world.machine.reboot());
    FileSystem fs = must(world.machine.mount<ChunkFs>(world.machine.devices()));
    if (scrubs) {
      EXPECT_EQ(must(ChunkFs::scrub(*fs.super_block())).repaired, 1U);
    }
    const File file = must(fs.open("/file"));
    must(world.machine.power_cut());
    EXPECT_EQ(found(world.machine.findings(), FindingKind::mirror_divergence), !scrubs);
  }
}

// The same store and move, without a step or with all: what is missing shows, and only then.
TEST(Balance, Scenario95_WithoutItsStepsAStoreIsLost) {
  const auto survives = [](const Policy& policy) {
    ChunkMachine world(ChunkProfile::single, {.era = eras::v6_12.with(policy)});
    world.word(7) = 1;
    must(ChunkFs::balance(*world.fs.super_block(), 0));
    world.word(7) = 2;
    must(world.file.fsync());
    return world.words_after_power_cut()[7];
  };
  EXPECT_EQ(survives({}), 2U);
  EXPECT_EQ(survives(Policy{}.without(Step::relocate_unmap).without(Step::relocate_flush)), 1U);
  EXPECT_EQ(survives(Policy{}.without(Step::relocate_delete_entries)), 1U);
  // The CPU copies what its caches hold, so that a flush that is left out loses nothing here.
  EXPECT_EQ(survives(Policy{}.without(Step::relocate_flush)), 2U);
}

// Two copies of a file that goes through the page cache: fsync has made both when it returns.
TEST(Dup, FsyncOfACachedFileMakesBothCopies) {
  const TemporaryFile media;
  Machine machine;
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = 8_MiB}));
  {
    FileSystem made = must(machine.mkfs<ChunkFs>(std::array{device}, ChunkFsOptions{.profile = ChunkProfile::dup}));
    must(made.unmount());
  }
  {
    FileSystem fs = must(machine.mount<ChunkFs>(std::array{device}, MountOptions{.dax = DaxOption::never}));
    File file = must(fs.create("/file", kPages * kPageSize));
    Process& process = machine.spawn();
    const std::uint64_t address = must(process.mmap(file.open_file(), {}));
    for (std::uint64_t page = 0; page < kPages; ++page) {
      ASSERT_TRUE(process.store(address + page * kPageSize, page + 1).ok());
    }
    must(file.fsync());
    must(machine.power_cut());
  }
  machine = must(machine.reboot());
  FileSystem fs = must(machine.mount<ChunkFs>(machine.devices()));
  const ChunkFs::ScrubReport report = must(ChunkFs::scrub(*fs.super_block()));
  EXPECT_EQ(report.pages, kPages);
  EXPECT_EQ(report.repaired, 0U);
}

}  // namespace
}  // namespace daxsim::test
