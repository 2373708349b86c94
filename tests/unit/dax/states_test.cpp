// SPDX-License-Identifier: BSD-3-Clause
// The state machine of one index entry (docs/states.md): every state meets every event.
#include <gtest/gtest.h>

#include <array>
#include <string>
#include <tuple>

#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

enum class State : std::uint8_t {
  hole,        // no entry, no block
  block,       // no entry, a block
  zero_pte,    // Z
  zero_pmd,    // ZP
  clean_pte,   // C
  dirty_pte,   // D
  tagged_pte,  // DT
  clean_pmd,
  dirty_pmd,
  tagged_pmd,
};
constexpr unsigned kStates = 10;
constexpr std::array<const char*, kStates> kStateNames{"Hole",     "Block",     "ZeroPte",  "ZeroPmd",  "CleanPte",
                                                       "DirtyPte", "TaggedPte", "CleanPmd", "DirtyPmd", "TaggedPmd"};

constexpr Pgoff kPage{5};
constexpr std::uint64_t kPages = 2 * kPagesPerPmd;

// Brings page 5 into a state, by what a program would do; an area of its own keeps the page table under test empty.
class StateWorld : public World {
 public:
  explicit StateWorld(State state) {
    const bool has_block = state != State::hole && state != State::zero_pte && state != State::zero_pmd;
    if (has_block) {
      file->set_blocks({{0}, kPages}, FakeInode::Block::written);
    }
    FakeVma setup(*file, {}, kArea + (std::uint64_t{1} << 40), {{0}, kPages});
    const bool pmd = state == State::zero_pmd || state == State::clean_pmd || state == State::dirty_pmd ||
                     state == State::tagged_pmd;
    setup.tries_pmd = pmd;
    switch (state) {
      case State::hole:
      case State::block:
        break;
      case State::zero_pte:
      case State::zero_pmd:
      case State::clean_pte:
      case State::clean_pmd:
        EXPECT_TRUE(setup.load(kPage).has_value());
        break;
      case State::dirty_pte:
      case State::dirty_pmd:
        EXPECT_TRUE(setup.store(kPage, 1).has_value());
        break;
      case State::tagged_pte:
      case State::tagged_pmd:
        EXPECT_TRUE(setup.store(kPage, 1).has_value());
        file->mapping().pages().set_mark(kPage, Mark::towrite);
        break;
    }
    EXPECT_EQ(now(), state);
    setup.unmap(kAllPages, EvenCows::yes);
  }

  State now() {
    const Entry covering = entry(kPage);
    // An entry that a private store has left has nothing, and is as good as none.
    if (covering.is_null() || (covering.is_empty() && !covering.locked())) {
      return file->block(kPage) == FakeInode::Block::hole ? State::hole : State::block;
    }
    EXPECT_FALSE(covering.locked());
    const bool pmd = covering.order() != 0;
    if (covering.is_zero()) {
      return pmd ? State::zero_pmd : State::zero_pte;
    }
    if (marked(kPage, Mark::towrite)) {
      return pmd ? State::tagged_pmd : State::tagged_pte;
    }
    if (dirty(kPage)) {
      return pmd ? State::dirty_pmd : State::dirty_pte;
    }
    return pmd ? State::clean_pmd : State::clean_pte;
  }
};

// What happens, and where the entry goes from each state, in their order.
struct Story {
  const char* event;
  int row;  // of the state table, 0 when several
  void (*happens)(StateWorld&, FakeVma&);
  std::array<State, kStates> to;
};

void fault(FakeVma& area, Access access, unsigned order) { area.fault(kPage, access, order); }

using enum State;
const Story kStories[] = {
    {"ReadPte",
     6,
     [](StateWorld&, FakeVma& area) { fault(area, Access::read, 0); },
     {zero_pte, clean_pte, zero_pte, zero_pte, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"WritePte",
     8,
     [](StateWorld&, FakeVma& area) { fault(area, Access::write, 0); },
     {dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, tagged_pte, dirty_pmd, dirty_pmd, tagged_pmd}},
    {"ReadPmd",
     5,
     [](StateWorld&, FakeVma& area) { fault(area, Access::read, kPmdOrder); },
     {zero_pmd, clean_pmd, zero_pte, zero_pmd, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"WritePmd",
     9,
     [](StateWorld&, FakeVma& area) { fault(area, Access::write, kPmdOrder); },
     {dirty_pmd, dirty_pmd, zero_pte, dirty_pmd, clean_pte, dirty_pte, tagged_pte, dirty_pmd, dirty_pmd, tagged_pmd}},
    {"Mkwrite",
     13,
     [](StateWorld&, FakeVma& area) {
       fault(area, Access::read, 0);
       fault(area, Access::write, 0);
     },
     {dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, tagged_pte, dirty_pmd, dirty_pmd, tagged_pmd}},
    // A failed fault leaves the entry as it was, save that the huge hole is broken up.
    {"WritePteFails",
     0,
     [](StateWorld& world, FakeVma& area) {
       world.file->set_blocks({{0}, kPages}, FakeInode::Block::written);
       area.install_fails = FaultOutcome(FaultOutcome::oom);
       fault(area, Access::write, 0);
     },
     {block, block, zero_pte, block, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"WritePmdFails",
     0,
     [](StateWorld& world, FakeVma& area) {
       world.file->set_blocks({{0}, kPages}, FakeInode::Block::written);
       area.install_fails = FaultOutcome(FaultOutcome::fallback);
       fault(area, Access::write, kPmdOrder);
     },
     {block, block, zero_pte, zero_pmd, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"ReadPteFails",
     0,
     [](StateWorld&, FakeVma& area) {
       area.install_fails = FaultOutcome(FaultOutcome::oom);
       fault(area, Access::read, 0);
     },
     {hole, block, zero_pte, hole, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    // MAP_SYNC, stopped after the commit failed: clean, and not installed (row 11).
    {"SyncWriteBeforeCommit",
     11,
     [](StateWorld& world, FakeVma&) {
       FakeVma area(*world.file, {.shared = true, .write = true, .sync = true}, kArea + kPmdSize * 8, {{0}, kPages});
       world.file->uncommitted = true;
       world.file->on_commit = [] { return Result<void>(Errno::eio); };
       fault(area, Access::write, 0);
       EXPECT_EQ(area.pte(kPage).kind, PteState::Kind::none);
     },
     // The commit begins with a write-back of the page, which cleans what was dirty before.
     {clean_pte, clean_pte, clean_pte, clean_pte, clean_pte, clean_pte, clean_pte, clean_pmd, clean_pmd, clean_pmd}},
    {"SyncWrite",
     12,
     [](StateWorld& world, FakeVma&) {
       FakeVma area(*world.file, {.shared = true, .write = true, .sync = true}, kArea + kPmdSize * 8, {{0}, kPages});
       world.file->uncommitted = true;
       fault(area, Access::write, 0);
       if (!area.pte(kPage).writable) {
         fault(area, Access::write, 0);  // an entry of another size: the second try needs no commit
       }
       area.unmap(kAllPages, EvenCows::yes);
     },
     {dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pte, dirty_pmd, dirty_pmd, dirty_pmd}},
    {"PrivateWrite",
     14,
     [](StateWorld& world, FakeVma&) {
       FakeVma area(*world.file, {.shared = false}, kArea + kPmdSize * 8, {{0}, kPages});
       fault(area, Access::write, 0);
     },
     {hole, block, zero_pte, hole, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"PrivateWritePmd",
     0,
     [](StateWorld& world, FakeVma&) {
       FakeVma area(*world.file, {.shared = false}, kArea + kPmdSize * 8, {{0}, kPages});
       fault(area, Access::write, kPmdOrder);
     },
     {hole, block, zero_pte, zero_pmd, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"Writeback",
     17,
     [](StateWorld& world, FakeVma&) {
       EXPECT_TRUE(dax::writeback_range(world.context, world.file->mapping(), kWholeFile).ok());
     },
     {hole, block, zero_pte, zero_pmd, clean_pte, clean_pte, clean_pte, clean_pmd, clean_pmd, clean_pmd}},
    {"WritebackFails",
     0,
     [](StateWorld& world, FakeVma&) {
       world.view().on_flush = [](ByteRange) { return Result<void>(Errno::eio); };
       const bool had = world.dirty(kPage);
       const auto failed = dax::writeback_range(world.context, world.file->mapping(), kWholeFile);
       world.view().on_flush = nullptr;
       EXPECT_EQ(failed.ok(), !had);
     },
     {hole, block, zero_pte, zero_pmd, clean_pte, dirty_pte, dirty_pte, clean_pmd, dirty_pmd, dirty_pmd}},
    {"WritebackWithoutClearing",
     18,
     [](StateWorld& world, FakeVma&) {
       dax::Context old{.system = world.system, .design = designs::pfn(), .policy = {.clear_dirty = ClearDirty::never}};
       EXPECT_TRUE(dax::writeback_range(old, world.file->mapping(), kWholeFile).ok());
     },
     {hole, block, zero_pte, zero_pmd, clean_pte, dirty_pte, dirty_pte, clean_pmd, dirty_pmd, dirty_pmd}},
    {"Truncate",
     19,
     [](StateWorld& world, FakeVma&) {
       const ExclusiveLock guard(world.file->mapping().invalidate_lock());
       EXPECT_TRUE(dax::truncate_pages(world.context, *world.file, {{0}, kPages}).ok());
     },
     {hole, block, hole, hole, block, block, block, block, block, block}},
    {"Invalidate",
     20,
     [](StateWorld& world, FakeVma&) {
       const bool refused = world.dirty(kPage);
       EXPECT_EQ(dax::invalidate_pages(world.context, *world.file, {kPage, 1}).ok(), !refused);
     },
     {hole, block, hole, hole, block, dirty_pte, tagged_pte, block, dirty_pmd, tagged_pmd}},
    {"Pwrite",
     23,
     [](StateWorld& world, FakeVma&) {
       const std::array<std::byte, 8> bytes{};
       EXPECT_TRUE(world.file->write(byte_of(kPage), bytes).ok());
     },
     {block, block, block, block, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    // A huge entry makes way, and the access comes again.
    {"WritePteShared",
     22,
     [](StateWorld& world, FakeVma& area) {
       world.file->share({{0}, kPages});
       fault(area, Access::write, 0);
     },
     {dirty_pte, tagged_pte, dirty_pte, dirty_pte, tagged_pte, tagged_pte, tagged_pte, block, block, block}},
    {"WritePmdShared",
     22,
     [](StateWorld& world, FakeVma& area) {
       world.file->share({{0}, kPages});
       fault(area, Access::write, kPmdOrder);
     },
     {dirty_pmd, tagged_pmd, zero_pte, dirty_pmd, clean_pte, dirty_pte, tagged_pte, tagged_pmd, tagged_pmd,
      tagged_pmd}},
    {"WritePteSharedFails",
     0,
     [](StateWorld& world, FakeVma& area) {
       world.file->set_blocks({{0}, kPages}, FakeInode::Block::written);
       world.file->share({{0}, kPages});
       world.file->on_end_copy = [] { return Result<void>(Errno::eio); };
       fault(area, Access::write, 0);
       EXPECT_EQ(world.file->copying, 0);
     },
     {block, block, zero_pte, block, clean_pte, dirty_pte, tagged_pte, block, block, block}},
    {"PwriteShared",
     24,
     [](StateWorld& world, FakeVma&) {
       world.file->share({{0}, kPages});
       const std::array<std::byte, 8> bytes{};
       EXPECT_TRUE(world.file->write(byte_of(kPage), bytes).ok());
     },
     {block, block, block, block, block, block, block, block, block, block}},
    {"PwriteSharedFails",
     0,
     [](StateWorld& world, FakeVma&) {
       world.file->set_blocks({{0}, kPages}, FakeInode::Block::written);
       world.file->share({{0}, kPages});
       world.file->on_begin_copy = [] { return Result<void>(Errno::enospc); };
       const std::array<std::byte, 8> bytes{};
       EXPECT_EQ(world.file->write(byte_of(kPage), bytes).error(), Errno::enospc);
     },
     {block, block, zero_pte, zero_pmd, clean_pte, dirty_pte, tagged_pte, clean_pmd, dirty_pmd, tagged_pmd}},
    {"Teardown",
     25,
     [](StateWorld& world, FakeVma&) { EXPECT_TRUE(dax::orderly_teardown(world.context, *world.super_block).ok()); },
     {hole, block, hole, hole, block, block, block, block, block, block}},
    {"Evict",
     26,
     [](StateWorld& world, FakeVma&) { dax::evict(world.context, *world.file); },
     {hole, block, hole, hole, block, block, block, block, block, block}},
};

class EveryPair : public testing::TestWithParam<std::tuple<unsigned, unsigned>> {};

// In each state each event leads to the state of the table, and to no other trace in index and page table.
TEST_P(EveryPair, GoesWhereTheTableSays) {
  const Story& story = kStories[std::get<0>(GetParam())];
  const unsigned from = std::get<1>(GetParam());
  StateWorld world(static_cast<State>(from));
  FakeVma area(*world.file, {}, kArea, {{0}, kPages});
  area.tries_pmd = false;

  story.happens(world, area);

  EXPECT_STREQ(kStateNames[static_cast<unsigned>(world.now())], kStateNames[static_cast<unsigned>(story.to[from])]);
  EXPECT_EQ(world.broken_invariant({&area}), "");
}

INSTANTIATE_TEST_SUITE_P(States, EveryPair,
                         testing::Combine(testing::Range(0U, static_cast<unsigned>(std::size(kStories))),
                                          testing::Range(0U, kStates)),
                         [](const auto& tested) {
                           return std::string(kStories[std::get<0>(tested.param)].event) + "_" +
                                  kStateNames[std::get<1>(tested.param)];
                         });

}  // namespace
}  // namespace daxsim::test
