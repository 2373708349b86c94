// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <vector>

#include "unit/index/verifier.hpp"

namespace rc {

// Indexes crowd around a few places, so that steps meet each other: the front, a node boundary far up, and the end.
template <>
struct Arbitrary<daxsim::test::Step> {
  static Gen<daxsim::test::Step> arbitrary() {
    using daxsim::Mark;
    using daxsim::test::Action;
    using daxsim::test::Step;
    const auto mark = [] { return gen::element(Mark::dirty, Mark::writeback, Mark::towrite); };
    const auto base = gen::weightedElement<std::uint64_t>(
        {{8, 0}, {2, 1U << 12}, {1, std::uint64_t{1} << 36}, {2, ~std::uint64_t{0} - 1023}});
    const auto action = gen::map(gen::weightedElement<int>({{6, 0},
                                                            {2, 1},
                                                            {1, 2},
                                                            {3, 3},
                                                            {1, 4},
                                                            {1, 5},
                                                            {1, 6},
                                                            {3, 7},
                                                            {2, 8},
                                                            {1, 9},
                                                            {1, 10},
                                                            {1, 11},
                                                            {1, 12}}),
                                 [](int number) { return static_cast<Action>(number); });
    const auto index = gen::mapcat(base, [](std::uint64_t from) {
      return gen::map(gen::resize(kNominalSize, gen::inRange<std::uint64_t>(0, 1024)),
                      [from](std::uint64_t offset) { return from + offset; });
    });
    const auto order = gen::weightedElement<unsigned>(
        {{8, 0}, {1, 1}, {1, 2}, {1, 3}, {1, 4}, {1, 5}, {1, 6}, {1, 7}, {1, 8}, {4, 9}});
    return gen::build<Step>(
        gen::set(&Step::action, action), gen::set(&Step::index, index), gen::set(&Step::order, order),
        gen::set(&Step::mark, mark()), gen::set(&Step::other, mark()),
        gen::set(&Step::number, gen::inRange<std::uint64_t>(1, 1000)),
        gen::set(&Step::fail_from, gen::weightedElement<unsigned>({{8, 0}, {1, 1}, {1, 2}, {1, 4}})));
  }
};

}  // namespace rc

namespace daxsim::test {
namespace {

template <unsigned shift>
void run(const std::vector<Step>& steps) {
  Verifier<shift> verifier;
  for (const Step& step : steps) {
    verifier.apply(step);
  }
  verifier.finish();
}

rc::Gen<std::vector<Step>> many_steps() { return rc::gen::scale(5, rc::gen::arbitrary<std::vector<Step>>()); }

// Any sequence of calls does to the product's tree what it does to a std::map.
RC_GTEST_PROP(XArrayModel, BehavesAsAMapWith64Slots, ()) { run<6>(*many_steps()); }

// The same with 4 slots a node, where a few entries make a deep tree.
RC_GTEST_PROP(XArrayModel, BehavesAsAMapWith4Slots, ()) { run<2>(*many_steps()); }

// Every world of three entries of every order at every place that can matter among 16 pages, then every erase.
TEST(XArrayModel, EveryWorldOfThreeSmallEntriesIsRight) {
  struct Place {
    std::uint64_t index;
    unsigned order;
  };
  std::vector<Place> places;
  for (unsigned order = 0; order <= 4; ++order) {
    for (std::uint64_t index = 0; index < 16; index += order == 0 ? 3 : std::uint64_t{1} << order) {
      places.push_back({index, order});
    }
  }

  for (const Place& first : places) {
    for (const Place& second : places) {
      for (const Place& third : places) {
        Verifier<2> verifier;
        verifier.apply({.action = Action::store, .index = first.index, .order = first.order, .number = 1});
        verifier.apply({.action = Action::set_mark, .index = first.index, .order = first.order, .mark = Mark::dirty});
        verifier.apply({.action = Action::store, .index = second.index, .order = second.order, .number = 2});
        verifier.apply({.action = Action::erase, .index = third.index, .order = third.order});
        verifier.apply({.action = Action::find_conflict, .index = third.index, .order = 4});
        verifier.finish();
      }
    }
  }
}

// Whatever already lies in 1024 pages, a store of any order that is refused memory at any point leaves no trace.
TEST(XArrayModel, RefusedMemoryAtEveryAllocationLeavesTheTreeAsItWas) {
  const std::vector<std::vector<Step>> worlds = {
      {},
      {{.action = Action::store, .index = 0, .number = 7}},
      {{.action = Action::store, .index = 5, .number = 7}, {.action = Action::set_mark, .index = 5}},
      {{.action = Action::store, .index = 512, .order = 9, .number = 7}, {.action = Action::set_mark, .index = 600}},
      {{.action = Action::store, .index = 3, .number = 7}, {.action = Action::store, .index = 900, .number = 8}},
  };
  unsigned refused = 0;
  for (const std::vector<Step>& world : worlds) {
    for (const std::uint64_t index : {std::uint64_t{0}, std::uint64_t{6}, std::uint64_t{700}, std::uint64_t{1} << 40}) {
      for (unsigned order = 0; order <= kMaxOrder; ++order) {
        Verifier<2> verifier;
        for (const Step& step : world) {
          verifier.apply(step);
        }
        for (unsigned nth = 1;; ++nth) {
          const auto before = verifier.expected();
          verifier.apply({.action = Action::store, .index = index, .order = order, .number = 9, .fail_from = nth});
          if (verifier.expected() != before) {
            break;
          }
          ++refused;
        }
        verifier.finish();
      }
    }
  }
  EXPECT_GT(refused, 500U);
}

}  // namespace
}  // namespace daxsim::test
