// SPDX-License-Identifier: BSD-3-Clause
// Pins that meet truncation; and everything at once.
#include <gtest/gtest.h>

#include <atomic>
#include <random>
#include <thread>
#include <vector>

#include "daxsim/detect/findings.hpp"
#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr VmFlags kShared{};
constexpr PageRange kPages{{0}, 16};

// Truncation waits until the page is unpinned; other pages of the file can be used meanwhile (workload k).
TEST(LayoutRace, Scenario71_TruncateWaitsForPins) {
  World world;
  FakeVma area(*world.file, kShared, kArea, kPages);
  ASSERT_TRUE(area.store({3}, 1).has_value());
  const dax::Pin pin = must(dax::pin_page(world.context, world.file->mapping(), {3}));
  BlockedThread truncate([&] { must(world.file->truncate(byte_of({2}))); });
  EXPECT_TRUE(truncate.blocks());

  EXPECT_TRUE(area.store({1}, 5).has_value());
  EXPECT_EQ(area.load({3}), Loaded(1));
  EXPECT_EQ(world.file->block({3}), FakeInode::Block::written);
  EXPECT_TRUE(truncate.blocks());

  dax::unpin_page(pin);
  truncate.join();
  EXPECT_EQ(world.file->block({3}), FakeInode::Block::hole);
  EXPECT_FALSE(area.load({3}).has_value());
  EXPECT_EQ(area.load({1}), Loaded(5));
}

// A pin that was under way when the scan came is seen by it; the scan waits for the entry.
TEST(LayoutRace, Scenario74_PinBeforeTheScan) {
  World world;
  FakeVma area(*world.file, kShared, kArea, kPages);
  ASSERT_TRUE(area.store({3}, 1).has_value());
  Parking parking;
  std::atomic<bool> armed{true};
  area.after_pte = [&](Pgoff) {
    if (armed.exchange(false)) {
      parking.stop_here();
    }
  };
  Result<dax::Pin> pin = Errno::eio;
  BlockedThread pinning([&] { pin = dax::pin_page(world.context, world.file->mapping(), {3}); });
  parking.wait_until_parked();
  BlockedThread truncate([&] { must(world.file->truncate(0)); });
  EXPECT_TRUE(truncate.blocks());
  parking.let_go();
  pinning.join();

  ASSERT_TRUE(pin.ok());
  EXPECT_TRUE(truncate.blocks());
  EXPECT_EQ(world.file->block({3}), FakeInode::Block::written);
  dax::unpin_page(*pin);
}

// A pin that comes after the scan's unmapping finds nothing mapped.
TEST(LayoutRace, Scenario74_PinAfterTheScan) {
  World world;
  FakeVma area(*world.file, kShared, kArea, kPages);
  ASSERT_TRUE(area.store({3}, 1).has_value());
  const ExclusiveLock guard(world.file->mapping().invalidate_lock());
  must(dax::break_layouts(world.context, *world.file));
  std::thread([&] { EXPECT_ERRNO(dax::pin_page(world.context, world.file->mapping(), {3}), Errno::eagain); }).join();
}

// Everything at once, at random: nothing hangs, nobody who looks sees a lost wake-up, no invariant breaks, and a final
// sync has all on the media.
TEST(LayoutRace, Everything) {
  constexpr std::uint64_t kFilePages = 2 * kPagesPerPmd;
  constexpr int kThreads = 6;
  constexpr int kSteps = 4000;
  World world;
  FakeVma huge(*world.file, kShared, kArea, {{0}, kFilePages});
  FakeVma small(*world.file, kShared, kArea + 8 * kPmdSize + kPageSize, {{1}, 40});
  FakeVma copy(*world.file, {.shared = false}, kArea + 16 * kPmdSize, {{0}, 64});
  FakeVma sync(*world.file, {.shared = true, .write = true, .sync = true}, kArea + 24 * kPmdSize, {{0}, 64});
  const std::array<FakeVma*, 4> areas{&huge, &small, &copy, &sync};
  Detectors detectors(world.events);
  must(detectors.watch(*world.super_block));
  std::atomic<int> running{kThreads};
  {
    std::vector<std::thread> threads;
    for (int t = 0; t < kThreads; ++t) {
      threads.emplace_back([&, t] {
        std::mt19937_64 random(static_cast<std::uint64_t>(t));
        const auto below = [&random](std::uint64_t bound) { return random() % bound; };
        for (int step = 0; step < kSteps; ++step) {
          FakeVma& area = *areas[below(areas.size())];
          const Pgoff page{1 + below(30)};
          switch (below(12)) {
            case 0:
              static_cast<void>(world.file->fsync_range(kWholeFile, Datasync::no).ok());
              break;
            case 1:
              static_cast<void>(world.file->fallocate(Fallocate::punch_hole, {byte_of(page), 3 * kPageSize}).ok());
              break;
            case 2:
              if (const Result<dax::Pin> pin = dax::pin_page(world.context, world.file->mapping(), page); pin.ok()) {
                dax::unpin_page(*pin);
              }
              break;
            case 3: {
              std::array<std::byte, 64> bytes;
              bytes.fill(std::byte{3});
              static_cast<void>(world.file->write(byte_of(page), bytes).ok());
              break;
            }
            case 4: {
              std::array<std::byte, 64> bytes{};
              static_cast<void>(world.file->read(byte_of(page), bytes).ok());
              break;
            }
            case 5:
              if (below(4) == 0) {
                static_cast<void>(world.file->truncate(byte_of({20 + below(8)})).ok());
                static_cast<void>(world.file->truncate(kFilePages << kPageShift).ok());
              }
              break;
            case 6:
              if (below(8) == 0) {
                static_cast<void>(world.file->fallocate(Fallocate::punch_hole, {0, kFilePages << kPageShift}).ok());
              }
              break;
            case 7:
            case 8:
            case 9:
              static_cast<void>(area.store(page, static_cast<std::uint8_t>(step), below(64)).has_value());
              break;
            default:
              static_cast<void>(area.load(page).has_value());
              break;
          }
        }
        --running;
      });
    }
    while (running != 0) {
      detectors.audit();
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
  }
  EXPECT_EQ(detectors.count(FindingKind::lost_wake_up), 0U);
  EXPECT_EQ(world.broken_invariant({&huge, &small, &sync}), "");
  must(world.file->fsync_range(kWholeFile, Datasync::no));
  EXPECT_FALSE(world.file->mapping().pages().marked(Mark::dirty));
  for (Pgoff page{0}; page.value < 64; page = page + 1) {
    if (world.file->block(page) == FakeInode::Block::written) {
      EXPECT_EQ(std::memcmp(world.view().media() + byte_of(page), world.view().memory() + byte_of(page), kPageSize), 0);
    }
  }
}

}  // namespace
}  // namespace daxsim::test
