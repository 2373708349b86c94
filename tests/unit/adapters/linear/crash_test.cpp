// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include "unit/adapters/linear/model.hpp"

namespace daxsim {
namespace {

using Kind = test::Operation::Kind;
using test::CrashRun;
using test::Operation;

constexpr std::uint64_t kPage = kPageSize;

TEST(LinearCrash, EveryPointOfAWorkloadThatUsesEverything) {
  // Whatever was synced is there, and nothing is half there, wherever the power goes.
  const std::vector<Operation> program{
      {.kind = Kind::create, .file = 0},
      {.kind = Kind::write, .file = 0, .offset = 0, .length = 3 * kPage + 100},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::write, .file = 0, .offset = 50, .length = kPage},
      {.kind = Kind::create, .file = 1},
      {.kind = Kind::write, .file = 1, .offset = 5 * kPage, .length = 10},
      {.kind = Kind::fsync, .file = 1},
      {.kind = Kind::truncate, .file = 0, .offset = kPage + 17},
      {.kind = Kind::write, .file = 0, .offset = 4 * kPage, .length = 2 * kPage},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::punch, .file = 0, .offset = 100, .length = 5 * kPage},
      {.kind = Kind::rename, .file = 1, .other = 2},
      {.kind = Kind::sync},
      {.kind = Kind::allocate, .file = 2, .offset = 0, .length = 4 * kPage},
      {.kind = Kind::write, .file = 2, .offset = kPage, .length = kPage},
      {.kind = Kind::insert, .file = 2, .offset = kPage, .length = 2 * kPage},
      {.kind = Kind::fsync, .file = 2},
      {.kind = Kind::collapse, .file = 2, .offset = 0, .length = 3 * kPage},
      {.kind = Kind::write, .file = 2, .offset = 0, .length = kPage},
      {.kind = Kind::zero, .file = 2, .offset = 10, .length = 2 * kPage},
      {.kind = Kind::rename, .file = 2, .other = 0},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::store_sync, .file = 0, .offset = kPage + 200},
      {.kind = Kind::store, .file = 0, .offset = 300},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::store, .file = 0, .offset = 310},
      {.kind = Kind::unlink, .file = 0},
      {.kind = Kind::create, .file = 3},
      {.kind = Kind::write, .file = 3, .offset = 0, .length = 6 * kPage},
      {.kind = Kind::sync},
      {.kind = Kind::sync},
  };
  CrashRun run(1, 1);

  for (const Operation& op : program) {
    ASSERT_EQ(run.run(op), "");
    ASSERT_EQ(run.differs(), "");
  }

  EXPECT_GT(run.cuts(), 100U);
  EXPECT_EQ(run.check_cuts(), "");
}

rc::Gen<Operation> any_operation() {
  using namespace rc;
  const auto kind = gen::weightedElement<Kind>({{4, Kind::create},
                                                {8, Kind::write},
                                                {3, Kind::store},
                                                {2, Kind::store_sync},
                                                {3, Kind::truncate},
                                                {3, Kind::punch},
                                                {2, Kind::zero},
                                                {2, Kind::collapse},
                                                {2, Kind::insert},
                                                {2, Kind::allocate},
                                                {2, Kind::rename},
                                                {2, Kind::unlink},
                                                {3, Kind::fsync},
                                                {1, Kind::sync}});
  // Most ranges begin or end in the middle of a page; collapse and insert want whole ones.
  return gen::exec([kind] {
    Operation op;
    op.kind = *kind;
    op.file = *gen::inRange(0U, 3U);
    op.other = *gen::inRange(0U, 3U);
    op.offset = *gen::inRange<std::uint64_t>(0, 6) * kPage;
    op.length = *gen::inRange<std::uint64_t>(0, 4) * kPage;
    if (op.kind != Kind::collapse && op.kind != Kind::insert && *gen::inRange(0, 4) != 0) {
      op.offset += *gen::inRange<std::uint64_t>(0, kPage);
      op.length += *gen::inRange<std::uint64_t>(0, kPage);
    }
    return op;
  });
}

RC_GTEST_PROP(LinearCrash, RandomProgramsSurviveCutsAndGoOn, ()) {
  // The same for programs nobody thought of; after a cut the next program runs on what it left.
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  auto run = std::make_unique<CrashRun>(seed, 5);
  for (int life = 0; life < 3; ++life) {
    const auto program = *rc::gen::container<std::vector<Operation>>(any_operation());
    for (const Operation& op : program) {
      RC_ASSERT(run->run(op) == "");
    }
    RC_ASSERT(run->differs() == "");
    RC_ASSERT(run->check_cuts() == "");
    if (run->cuts() == 0) {
      return;
    }
    run = std::make_unique<CrashRun>(seed + 1, 5, run->some_cut());
  }
}

}  // namespace
}  // namespace daxsim
