// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/extents.hpp"

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <map>
#include <set>
#include <string>

namespace daxsim::extent_fs {
namespace {

struct Block {
  std::uint64_t physical;
  BlockState state;
  friend bool operator==(const Block&, const Block&) = default;
};
using Model = std::map<std::uint64_t, Block>;  // by file page

// A tree beside a map of single pages, which must always say the same.
class Checked {
 public:
  static constexpr std::uint64_t kPages = 48;

  // The tree must agree with the model, in every way to ask, and its extents must be as long as they can be.
  std::string wrong() {
    Model found;
    const Extent* previous = nullptr;
    std::uint64_t count = 0;
    for (auto at = tree_.begin_extents(); at != tree_.end_extents(); ++at, ++count) {
      if (previous != nullptr && (previous->end() > at->logical ||
                                  (previous->end() == at->logical && previous->at(at->logical) == at->physical &&
                                   previous->state == at->state))) {
        return "extents at " + std::to_string(previous->logical) + " and " + std::to_string(at->logical);
      }
      for (std::uint64_t page = at->logical; page < at->end(); ++page) {
        found[page] = {at->at(page), at->state};
      }
      previous = &*at;
    }
    if (found != model_ || count != tree_.count() || model_.size() != tree_.mapped_pages() ||
        tree_.end() != (model_.empty() ? 0 : model_.rbegin()->first + 1)) {
      return "contents";
    }
    for (std::uint64_t page = 0; page < 2 * kPages; ++page) {
      const Extent* const extent = tree_.find(page);
      const auto there = model_.find(page);
      if ((extent == nullptr) != (there == model_.end()) ||
          (extent != nullptr && extent->at(page) != there->second.physical)) {
        return "find " + std::to_string(page);
      }
      const auto next = model_.lower_bound(page);
      const Extent* const after = tree_.at_or_after(page);
      if ((after == nullptr) != (next == model_.end()) || (after != nullptr && after->end() <= page)) {
        return "at_or_after " + std::to_string(page);
      }
      if (extent == nullptr) {
        const PageRange hole = tree_.hole_around(page, 1000);
        const auto last = next == model_.begin() ? model_.end() : std::prev(next);
        if (hole.first.value != (last == model_.end() ? 0 : last->first + 1) ||
            hole.end().value != (next == model_.end() ? 1000 : next->first) || !tree_.is_hole(hole)) {
          return "hole at " + std::to_string(page);
        }
      }
    }
    return {};
  }

  Result<void> insert(PageRange pages, std::uint64_t physical, BlockState state) {
    DAXSIM_TRY_VOID(tree_.insert(pages, physical, state));
    for (std::uint64_t i = 0; i < pages.pages; ++i) {
      model_[pages.first.value + i] = {physical + i, state};
    }
    return {};
  }
  Result<void> set_state(PageRange pages, BlockState state) {
    DAXSIM_TRY_VOID(tree_.set_state(pages, state));
    for (auto& [page, block] : model_) {
      block.state = pages.contains({page}) ? state : block.state;
    }
    return {};
  }
  Result<void> remove(PageRange pages) {
    std::set<std::uint64_t> freed;
    DAXSIM_TRY_VOID(tree_.remove(pages, [&freed](PageRange run) {
      for (std::uint64_t i = 0; i < run.pages; ++i) {
        freed.insert(run.first.value + i);
      }
    }));
    std::set<std::uint64_t> expected;
    for (std::uint64_t page = pages.first.value; page < pages.end().value; ++page) {
      if (const auto there = model_.find(page); there != model_.end()) {
        expected.insert(there->second.physical);
        model_.erase(there);
      }
    }
    EXPECT_EQ(freed, expected);
    return {};
  }
  Result<void> shift_up(std::uint64_t from, std::uint64_t pages) {
    DAXSIM_TRY_VOID(tree_.shift_up(from, pages));
    move(from, static_cast<std::int64_t>(pages));
    return {};
  }
  void shift_down(std::uint64_t from, std::uint64_t pages) {
    tree_.shift_down(from, pages);
    move(from, -static_cast<std::int64_t>(pages));
  }
  // One of them, by numbers; what makes no sense is left out.
  Result<void> any(unsigned kind, PageRange pages, std::uint64_t physical, BlockState state) {
    switch (kind) {
      case 0:
        return tree_.is_hole(pages) ? insert(pages, physical, state) : Result<void>();
      case 1:
        return set_state(pages, state);
      case 2:
        return remove(pages);
      case 3:
        return tree_.end() > kPages ? Result<void>() : shift_up(pages.first.value, pages.pages);
      default:
        if (tree_.is_hole(pages)) {
          shift_down(pages.end().value, pages.pages);
        }
        return {};
    }
  }

  Arena& arena() { return arena_; }
  void clear() { tree_.clear(); }

 private:
  void move(std::uint64_t from, std::int64_t by) {
    Model moved;
    for (const auto& [page, block] : model_) {
      moved[page < from ? page : page + static_cast<std::uint64_t>(by)] = block;
    }
    model_ = std::move(moved);
  }

  Arena arena_;
  ExtentTree tree_{arena_};
  Model model_;
};

TEST(ExtentTree, JoinsNeighboursThatContinueEachOther) {
  // In file, device and state; nothing else is joined.
  Arena arena;
  ExtentTree tree(arena);
  ASSERT_TRUE(tree.insert({{0}, 2}, 100, BlockState::written).ok());
  ASSERT_TRUE(tree.insert({{4}, 2}, 104, BlockState::written).ok());
  ASSERT_TRUE(tree.insert({{2}, 2}, 102, BlockState::written).ok());
  EXPECT_EQ(tree.count(), 1U);
  ASSERT_TRUE(tree.insert({{6}, 2}, 200, BlockState::written).ok());
  ASSERT_TRUE(tree.insert({{8}, 2}, 202, BlockState::unwritten).ok());
  EXPECT_EQ(tree.count(), 3U);
  ASSERT_TRUE(tree.set_state({{8}, 2}, BlockState::written).ok());
  EXPECT_EQ(tree.count(), 2U);
  EXPECT_EQ(tree.find(3)->range(), (PageRange{{0}, 6}));
}

TEST(ExtentTree, HoldsFilesOfAnyLength) {
  // The end of the format, and extents whose lengths do not fit together into 32 bits.
  Arena arena;
  ExtentTree tree(arena);
  constexpr std::uint64_t kHalf = std::uint64_t{1} << 31;
  ASSERT_TRUE(tree.insert({{0}, kHalf}, 0, BlockState::written).ok());
  ASSERT_TRUE(tree.insert({{kHalf}, kHalf}, kHalf, BlockState::written).ok());
  EXPECT_EQ(tree.mapped_pages(), 2 * kHalf);
  EXPECT_EQ(tree.find(2 * kHalf - 1)->at(2 * kHalf - 1), 2 * kHalf - 1);
}

RC_GTEST_PROP(ExtentTree, AgreesWithAMapOfPages, ()) {
  // Random changes, each checked in every way to ask.
  Checked tree;
  const auto steps = *rc::gen::inRange(1, 60);
  for (int step = 0; step < steps; ++step) {
    const auto kind = *rc::gen::inRange(0U, 5U);
    const PageRange pages{{*rc::gen::inRange<std::uint64_t>(0, Checked::kPages)},
                          *rc::gen::inRange<std::uint64_t>(1, 12)};
    // Device pages near the file's, so that neighbours often continue each other.
    const std::uint64_t physical = 1000 + pages.first.value + *rc::gen::element<std::uint64_t>(0, 0, 0, 300);
    const auto state = *rc::gen::element(BlockState::written, BlockState::unwritten);
    // Before each change that works, one whose n-th allocation fails: it must change nothing.
    const auto nth = *rc::gen::inRange<std::uint64_t>(1, 3);
    tree.arena().fail_from(nth);
    const Result<void> result = tree.any(kind, pages, physical, state);
    tree.arena().fail_from(0);
    RC_ASSERT(tree.wrong() == "");
    if (!result.ok()) {
      RC_ASSERT(result.error() == Errno::enomem);
      RC_ASSERT(tree.any(kind, pages, physical, state).ok());
      RC_ASSERT(tree.wrong() == "");
    }
  }
  tree.clear();
  RC_ASSERT(tree.arena().usage().in_use == 0U);
}

}  // namespace
}  // namespace daxsim::extent_fs
