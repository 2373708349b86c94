// SPDX-License-Identifier: BSD-3-Clause
// Relocation: its eight steps, and what each is for: left out, something is lost, and the same with it is not.
#include <gtest/gtest.h>

#include <array>
#include <functional>
#include <string>
#include <vector>

#include "daxsim/test_support/expect.hpp"
#include "support/blocked_thread.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr VmFlags kShared{};
constexpr PageRange kMapped{{0}, 16};
constexpr PageRange kMoved{{2}, 4};
constexpr Pgoff kPage{3};    // one of them
constexpr Pgoff kNew{1024};  // where they go

// Copies with the CPU, or as a device does that sees the media only.
class Mover final : public dax::BlockMover {
 public:
  enum class By : std::uint8_t { cpu, device };
  Mover(World& world, PageRange pages, By by) : world_(world), pages_(pages), by_(by) {}
  Result<void> copy() noexcept override {
    ++copies;
    if (on_copy) {
      DAXSIM_TRY_VOID(on_copy());
    }
    const std::uint64_t from = byte_of(world_.file->device_page(pages_.first));
    std::vector<std::byte> bytes(pages_.pages << kPageShift);
    if (by_ == By::cpu) {
      DAXSIM_TRY_VOID(world_.device->read(from, bytes));
    } else {
      std::memcpy(bytes.data(), world_.view().media() + from, bytes.size());
    }
    return world_.device->write(byte_of(kNew), bytes);
  }
  Result<void> switch_place() noexcept override {
    if (switch_fails) {
      return *switch_fails;
    }
    const Pgoff old = world_.file->device_page(pages_.first);
    world_.file->move(pages_, kNew);
    world_.device->end_generation({old, pages_.pages});
    return {};
  }
  std::function<Result<void>()> on_copy;
  std::optional<Errno> switch_fails;
  int copies = 0;

 private:
  World& world_;
  const PageRange pages_;
  const By by_;
};

// A file of written pages, mapped; a process has stored 1 to a page that is about to move.
struct Story {
  explicit Story(const Policy& policy = {}) : world({.policy = policy}) {
    world.file->set_blocks({{0}, 2 * kPagesPerPmd}, FakeInode::Block::written);
    EXPECT_TRUE(area.store(kPage, 1).has_value());
  }
  Result<void> relocate(PageRange pages = kMoved, Mover::By by = Mover::By::cpu) {
    Mover mover(world, pages, by);
    return relocate(pages, mover);
  }
  Result<void> relocate(PageRange pages, Mover& mover) {
    const ExclusiveLock writing(world.file->i_rwsem());
    const SharedLock thawed(world.super_block->freeze_lock());
    return dax::relocate(world.context, *world.file, pages, mover);
  }
  void fsync() { must(world.file->fsync_range(kWholeFile, Datasync::no)); }
  // What a reboot would find in the file.
  std::uint8_t survives(std::uint64_t offset = 0) { return world.on_media(kPage, offset); }

  World world;
  FakeVma area{*world.file, kShared, kArea, kMapped};
};

Policy without(Step step) { return Policy{}.without(step); }

// A store behind the relocation, fsynced.
std::uint8_t later_store_survives(const Policy& policy) {
  Story story(policy);
  must(story.relocate());
  EXPECT_TRUE(story.area.store(kPage, 2, 64).has_value());
  story.fsync();
  return story.survives(64);
}

TEST(Relocation, MovesAPageUnderAProcess) {
  // What was stored is there, later stores go to the new place, and fsync keeps its word.
  Story story;
  must(story.relocate());
  EXPECT_EQ(story.world.file->device_page(kPage), kNew + 1);
  EXPECT_EQ(story.area.load(kPage), Loaded(1));
  EXPECT_TRUE(story.area.store(kPage, 2, 64).has_value());
  EXPECT_EQ(story.area.pte(kPage).pfn, story.world.pfn(kPage));
  story.fsync();
  EXPECT_EQ(story.survives(), 1);
  EXPECT_EQ(story.survives(64), 2);
  EXPECT_EQ(story.world.broken_invariant({&story.area}), "");
}

TEST(Relocation, TakesItsStepsInOrder) {
  // Unmapped, looked for pins, flushed at the old place, copied, switched, forgotten; only what moves.
  Story story;
  EXPECT_TRUE(story.area.store({9}, 5).has_value());
  const std::uint64_t begin = story.world.events.next_id();
  Mover mover(story.world, kMoved, Mover::By::cpu);
  mover.on_copy = [&]() -> Result<void> {
    EXPECT_EQ(story.area.pte(kPage).kind, PteState::Kind::none);
    EXPECT_EQ(story.survives(), 1);
    EXPECT_FALSE(story.world.dirty(kPage));
    EXPECT_TRUE(story.world.entry(kPage).is_real());
    return {};
  };
  must(story.relocate(kMoved, mover));
  EXPECT_EQ(mover.copies, 1);
  EXPECT_TRUE(story.world.entry(kPage).is_null());
  EXPECT_TRUE(story.world.dirty({9}));
  EXPECT_TRUE(story.area.pte({9}).writable);
  EXPECT_EQ(story.world.names_since(begin),
            (std::vector<std::string>{"unmap_mapping_pages", "dax_layout_busy_page", "dax_writeback_range",
                                      "pfn_mkclean_range", "dax_flush", "dax_writeback_one", "dax_writeback_range_done",
                                      "dax_delete_mapping_entry"}));
}

TEST(Relocation, WithoutUnmapAReaderKeepsTheOldBytes) {
  // A page that stays mapped shows what the old place holds; new bytes go to the new one.
  const auto seen_after_write = [](const Policy& policy) {
    Story story(policy);
    must(story.relocate());
    const std::array byte{std::byte{7}};
    must(story.world.file->write(byte_of(kPage), byte));
    return story.area.load(kPage);
  };
  EXPECT_EQ(seen_after_write(without(Step::relocate_unmap)), Loaded(1));
  EXPECT_EQ(seen_after_write({}), Loaded(7));
}

TEST(Relocation, WithoutUnmapAndFlushAStoreIsLost) {
  // Nothing took write access away either, so the process goes on storing to the old place, and nobody flushes it there.
  EXPECT_EQ(later_store_survives(without(Step::relocate_unmap).without(Step::relocate_flush)), 0);
  EXPECT_EQ(later_store_survives(without(Step::relocate_flush)), 2);
}

TEST(Relocation, WithoutUnmapAStoreFaultsForEver) {
  // Write-back protects the page, so the next store faults. The new page is not put over the old one, which is in the
  // page table still: a fault replaces nothing but zero pages (B32).
  const auto becomes_writable = [](const Policy& policy) {
    Story story(policy);
    must(story.relocate());
    for (int fault = 0; fault < 3; ++fault) {
      EXPECT_EQ(story.area.fault(kPage, Access::write, 0), FaultOutcome::nopage);
    }
    return story.area.pte(kPage).writable;
  };
  EXPECT_FALSE(becomes_writable(without(Step::relocate_unmap)));
  EXPECT_TRUE(becomes_writable({}));
}

TEST(Relocation, WithoutWaitingForPinsTheirBytesAreLost) {
  // A device writes to a pinned page when the file is elsewhere already.
  Story story(without(Step::relocate_wait_pins));
  const dax::Pin pin = must(dax::pin_page(story.world.context, story.world.file->mapping(), kPage));
  must(story.relocate());
  const std::array byte{std::byte{9}};
  must(story.world.device->write(byte_of(pin.page), byte));
  dax::unpin_page(pin);
  EXPECT_EQ(story.area.load(kPage), Loaded(1));
}

TEST(Relocation, WaitsForPins) {
  // With the step: relocation sleeps, faults go on meanwhile, and the device's bytes move too.
  Story story;
  const dax::Pin pin = must(dax::pin_page(story.world.context, story.world.file->mapping(), kPage));
  BlockedThread relocation([&] { must(story.relocate()); });
  EXPECT_TRUE(relocation.blocks());
  EXPECT_EQ(story.area.load({4}), Loaded(0));
  const std::array byte{std::byte{9}};
  must(story.world.device->write(byte_of(pin.page), byte));
  EXPECT_TRUE(relocation.blocks());
  dax::unpin_page(pin);
  relocation.join();
  EXPECT_EQ(story.world.file->device_page(kPage), kNew + 1);
  EXPECT_EQ(story.area.load(kPage), Loaded(9));
}

TEST(Relocation, AnotherPagesPinIsNotWaitedFor) {
  // Only what moves has to be free.
  Story story;
  EXPECT_TRUE(story.area.store({9}, 5).has_value());
  const dax::Pin pin = must(dax::pin_page(story.world.context, story.world.file->mapping(), {9}));
  must(story.relocate());
  dax::unpin_page(pin);
}

TEST(Relocation, WithoutFlushACopyByTheDeviceLosesAStore) {
  // A device copies what is on the media, and what is in the CPU's caches is not.
  const auto loaded_after = [](const Policy& policy, Mover::By by) {
    Story story(policy);
    must(story.relocate(kMoved, by));
    story.fsync();
    EXPECT_EQ(story.area.load(kPage), Loaded(story.survives()));
    return story.survives();
  };
  EXPECT_EQ(loaded_after(without(Step::relocate_flush), Mover::By::device), 0);
  EXPECT_EQ(loaded_after({}, Mover::By::device), 1);
  // A CPU copies through its caches: nothing is lost without the step.
  EXPECT_EQ(loaded_after(without(Step::relocate_flush), Mover::By::cpu), 1);
}

TEST(Relocation, WithoutCopyTheBytesAreGone) {
  Story story(without(Step::relocate_copy));
  must(story.relocate());
  EXPECT_EQ(story.area.load(kPage), Loaded(0));
}

TEST(Relocation, WithoutSwitchNothingHasMoved) {
  // The one step that is only a waste to leave out.
  Story story(without(Step::relocate_switch));
  must(story.relocate());
  EXPECT_EQ(story.world.file->device_page(kPage), kPage);
  EXPECT_TRUE(story.area.store(kPage, 2, 64).has_value());
  story.fsync();
  EXPECT_EQ(story.survives(), 1);
  EXPECT_EQ(story.survives(64), 2);
}

TEST(Relocation, WithoutDeletionAFlushGoesToTheOldPlace) {
  // The entry that stays leads write-back there, whatever a later fault maps.
  EXPECT_EQ(later_store_survives(without(Step::relocate_delete_entries)), 0);
  EXPECT_EQ(later_store_survives({}), 2);
}

// A process touches the page while its blocks are being copied.
struct TouchedMeanwhile : Story {
  explicit TouchedMeanwhile(const Policy& policy) : Story(policy) {
    mover.on_copy = [this]() -> Result<void> {
      parking.stop_here();
      return {};
    };
    relocation.emplace([this] { must(relocate(kMoved, mover)); });
    parking.wait_until_parked();
    store.emplace([this] { EXPECT_TRUE(area.store(kPage, 2, 64).has_value()); });
  }
  void finish() {
    parking.let_go();
    relocation->join();
    store->join();
  }
  Parking parking;
  Mover mover{world, kMoved, Mover::By::cpu};
  std::optional<BlockedThread> relocation;
  std::optional<BlockedThread> store;
};

TEST(Relocation, AFaultWaitsWhileBlocksMove) {
  // It comes to the new place.
  TouchedMeanwhile story{Policy{}};
  EXPECT_TRUE(story.store->blocks());
  story.finish();
  EXPECT_EQ(story.area.pte(kPage).pfn, story.world.pfn(kPage));
  story.fsync();
  EXPECT_EQ(story.survives(64), 2);
}

TEST(Relocation, WithoutBlockedFaultsAStoreIsLost) {
  // It brings the old place back behind the unmapping, and the entry that would flush it is deleted afterwards.
  TouchedMeanwhile story{without(Step::relocate_block_faults)};
  EXPECT_FALSE(story.store->blocks());
  EXPECT_TRUE(story.area.store(kPage, 3, 128).has_value());
  story.finish();
  EXPECT_NE(story.area.pte(kPage).pfn, story.world.pfn(kPage));
  EXPECT_TRUE(story.area.store(kPage, 4, 192).has_value());
  story.fsync();
  EXPECT_EQ(story.survives(192), 0);
}

TEST(Relocation, AHugePageIsMovedInPart) {
  // The whole of it is unmapped, flushed and forgotten, so that pages which stay are not forgotten dirty.
  Story story;
  FakeVma huge(*story.world.file, kShared, kArea + kPmdSize, {{kPagesPerPmd}, kPagesPerPmd});
  constexpr Pgoff kFirst{kPagesPerPmd};
  EXPECT_TRUE(huge.store(kFirst + 100, 1).has_value());
  EXPECT_TRUE(huge.store(kFirst + 7, 2).has_value());
  ASSERT_EQ(huge.pte(kFirst).order, kPmdOrder);
  must(story.relocate({kFirst + 100, 4}));
  EXPECT_TRUE(story.world.entry(kFirst).is_null());
  EXPECT_EQ(story.world.on_media(kFirst + 100), 1);
  EXPECT_EQ(story.world.on_media(kFirst + 7), 2);
  EXPECT_EQ(huge.load(kFirst + 100), Loaded(1));
  EXPECT_EQ(story.world.broken_invariant({&story.area, &huge}), "");
}

TEST(Relocation, FailsBeforeTheSwitchWithNothingMoved) {
  // A flush, a copy, a switch that fails; an interrupted wait for a pin. The file goes on where it was.
  const auto check = [](Story& story, Mover& mover, Errno expected) {
    EXPECT_ERRNO(story.relocate(kMoved, mover), expected);
    EXPECT_EQ(story.world.file->device_page(kPage), kPage);
    story.world.view().on_flush = {};
    EXPECT_TRUE(story.area.store(kPage, 2, 64).has_value());
    story.fsync();
    EXPECT_EQ(story.survives(), 1);
    EXPECT_EQ(story.survives(64), 2);
  };
  {
    Story story;
    Mover mover(story.world, kMoved, Mover::By::cpu);
    story.world.view().on_flush = [](ByteRange) -> Result<void> { return Errno::enospc; };
    check(story, mover, Errno::enospc);
    EXPECT_EQ(mover.copies, 0);
  }
  {
    Story story;
    Mover mover(story.world, kMoved, Mover::By::cpu);
    mover.on_copy = [] { return Result<void>(Errno::ehwpoison); };
    check(story, mover, Errno::ehwpoison);
  }
  {
    Story story;
    Mover mover(story.world, kMoved, Mover::By::cpu);
    mover.switch_fails = Errno::eio;
    check(story, mover, Errno::eio);
  }
  {
    Story story;
    Mover mover(story.world, kMoved, Mover::By::cpu);
    const dax::Pin pin = must(dax::pin_page(story.world.context, story.world.file->mapping(), kPage));
    Interruption interruption;
    BlockedThread relocation([&] {
      const InterruptScope scope(interruption);
      EXPECT_ERRNO(story.relocate(kMoved, mover), Errno::eintr);
    });
    EXPECT_TRUE(relocation.blocks());
    interruption.raise();
    relocation.join();
    dax::unpin_page(pin);
    EXPECT_EQ(mover.copies, 0);
  }
}

}  // namespace
}  // namespace daxsim::test
