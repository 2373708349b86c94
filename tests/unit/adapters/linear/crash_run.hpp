// SPDX-License-Identifier: BSD-3-Clause
// Power cuts at every flush and fence of a file system, checked against the model. World is LinearWorld or one that is
// made from it.
#pragma once

#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "unit/adapters/linear/model.hpp"

namespace daxsim::test {

// Pages in which an image differs from another: a cheap copy.
class ImageDelta {
 public:
  ImageDelta(const Image& base, const Image& image) {
    for (std::size_t at = 0; at < image.size(); at += kPageSize) {
      if (std::memcmp(base.data() + at, image.data() + at, kPageSize) != 0) {
        pages_.emplace_back(at, Image(image.begin() + static_cast<std::ptrdiff_t>(at),
                                      image.begin() + static_cast<std::ptrdiff_t>(at + kPageSize)));
      }
    }
  }
  [[nodiscard]] Image apply_to(Image image) const {
    for (const auto& [at, page] : pages_) {
      std::copy(page.begin(), page.end(), image.begin() + static_cast<std::ptrdiff_t>(at));
    }
    return image;
  }

 private:
  std::vector<std::pair<std::size_t, Image>> pages_;
};

// A world with its model, that keeps the images that power cuts could leave.
template <class World>
class CrashRun {
 public:
  static constexpr std::uint64_t kBytes = std::uint64_t{384} << 10;

  // Mounts, and from then on cuts the power in thought before one of `every` flushes and fences.
  CrashRun(std::uint64_t seed, std::uint64_t every) : CrashRun(seed, every, made()) {}
  CrashRun(std::uint64_t seed, std::uint64_t every, Image image)
      : base_(image), world_(std::move(image)), random_(seed) {
    world_.before_each_step([this, every] {
      if (random_.one_in(every)) {
        keep(RamView::Outcome::nothing);
        keep(RamView::Outcome::everything);
        keep(RamView::Outcome::random);
      }
    });
    world_.mount();
    model_.adopt(world_);
  }

  std::string run(const Operation& op) { return model_.run(op, world_); }
  std::string differs() { return model_.differs(world_); }
  [[nodiscard]] std::size_t cuts() const { return cuts_.size(); }

  // Mounts each kept image; what is wrong with the first that is wrong.
  std::string check_cuts() {
    world_.before_each_step({});
    for (const auto& [operation, step, image] : cuts_) {
      World after(image.apply_to(base_));
      const Result<void> mounted = after.try_mount();
      std::string wrong = mounted.ok() ? model_.differs_after_cut(after, operation)
                                       : "mount: " + std::string(errno_name(mounted.error()));
      if (!wrong.empty()) {
        return "cut at step " + std::to_string(step) + " in operation " + std::to_string(operation) + ": " + wrong;
      }
    }
    return {};
  }
  // One of the kept images.
  Image some_cut() {
    const auto& [operation, step, image] = cuts_[random_.below(cuts_.size())];
    return image.apply_to(base_);
  }

 private:
  static Image made() {
    World world(kBytes);
    world.mkfs();
    return world.image();
  }
  void keep(RamView::Outcome outcome) {
    cuts_.push_back({model_.now(), world_.view->steps, {base_, world_.image_after_cut(outcome, random_)}});
  }

  struct Cut {
    unsigned operation;
    std::uint64_t step;
    ImageDelta image;
  };
  const Image base_;
  World world_;
  Model model_;
  Random random_;
  std::vector<Cut> cuts_;
};

// Operations that use everything there is.
inline std::vector<Operation> varied_program() {
  using Kind = Operation::Kind;
  return {
      {.kind = Kind::create, .file = 0},
      {.kind = Kind::write, .file = 0, .offset = 0, .length = 3 * kPageSize + 100},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::write, .file = 0, .offset = 50, .length = kPageSize},
      {.kind = Kind::create, .file = 1},
      {.kind = Kind::write, .file = 1, .offset = 5 * kPageSize, .length = 10},
      {.kind = Kind::fsync, .file = 1},
      {.kind = Kind::truncate, .file = 0, .offset = kPageSize + 17},
      {.kind = Kind::write, .file = 0, .offset = 4 * kPageSize, .length = 2 * kPageSize},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::punch, .file = 0, .offset = 100, .length = 5 * kPageSize},
      {.kind = Kind::rename, .file = 1, .other = 2},
      {.kind = Kind::sync},
      {.kind = Kind::allocate, .file = 2, .offset = 0, .length = 4 * kPageSize},
      {.kind = Kind::write, .file = 2, .offset = kPageSize, .length = kPageSize},
      {.kind = Kind::toggle_dax, .file = 2},
      {.kind = Kind::insert, .file = 2, .offset = kPageSize, .length = 2 * kPageSize},
      {.kind = Kind::fsync, .file = 2},
      {.kind = Kind::collapse, .file = 2, .offset = 0, .length = 3 * kPageSize},
      {.kind = Kind::write, .file = 2, .offset = 0, .length = kPageSize},
      {.kind = Kind::zero, .file = 2, .offset = 10, .length = 2 * kPageSize},
      {.kind = Kind::toggle_dax, .file = 2},
      {.kind = Kind::rename, .file = 2, .other = 0},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::store_sync, .file = 0, .offset = kPageSize + 200},
      {.kind = Kind::store, .file = 0, .offset = 300},
      {.kind = Kind::fsync, .file = 0},
      {.kind = Kind::store, .file = 0, .offset = 310},
      {.kind = Kind::create, .file = 1},
      {.kind = Kind::reflink, .file = 0, .other = 1},
      {.kind = Kind::fsync, .file = 1},
      {.kind = Kind::write, .file = 1, .offset = 100, .length = kPageSize},
      {.kind = Kind::store, .file = 0, .offset = 20},
      {.kind = Kind::store_sync, .file = 1, .offset = kPageSize + 300},
      {.kind = Kind::truncate, .file = 1, .offset = 77},
      {.kind = Kind::write, .file = 0, .offset = 0, .length = kPageSize},
      {.kind = Kind::reflink, .file = 0, .other = 1, .offset = 0, .length = kPageSize, .to = kPageSize},
      {.kind = Kind::unshare, .file = 1, .offset = 0, .length = 2 * kPageSize},
      {.kind = Kind::fsync, .file = 1},
      {.kind = Kind::unlink, .file = 0},
      {.kind = Kind::create, .file = 3},
      {.kind = Kind::write, .file = 3, .offset = 0, .length = 6 * kPageSize},
      {.kind = Kind::sync},
      {.kind = Kind::sync},
  };
}

// Cuts at each point of it.
template <class World>
void cut_varied_program_everywhere() {
  CrashRun<World> run(1, 1);
  for (const Operation& op : varied_program()) {
    ASSERT_EQ(run.run(op), "");
    ASSERT_EQ(run.differs(), "");
  }
  EXPECT_GT(run.cuts(), 100U);
  EXPECT_EQ(run.check_cuts(), "");
}

inline rc::Gen<Operation> any_operation() {
  using namespace rc;
  using Kind = Operation::Kind;
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
                                                {4, Kind::reflink},
                                                {1, Kind::unshare},
                                                {2, Kind::rename},
                                                {2, Kind::unlink},
                                                {3, Kind::fsync},
                                                {1, Kind::sync},
                                                {2, Kind::toggle_dax}});
  // Most ranges begin or end in the middle of a page; collapse, insert and reflink want whole ones.
  return gen::exec([kind] {
    Operation op;
    op.kind = *kind;
    op.file = *gen::inRange(0U, 3U);
    op.other = *gen::inRange(0U, 3U);
    op.offset = *gen::inRange<std::uint64_t>(0, 6) * kPageSize;
    op.length = *gen::inRange<std::uint64_t>(0, 4) * kPageSize;
    op.to = *gen::inRange<std::uint64_t>(0, 6) * kPageSize;
    const bool whole = op.kind == Kind::collapse || op.kind == Kind::insert || op.kind == Kind::reflink;
    if (!whole && *gen::inRange(0, 4) != 0) {
      op.offset += *gen::inRange<std::uint64_t>(0, kPageSize);
      op.length += *gen::inRange<std::uint64_t>(0, kPageSize);
    }
    return op;
  });
}

// Cuts somewhere in random programs; after a cut the next program runs on what it left.
template <class World>
void cut_random_programs() {
  const auto seed = *rc::gen::arbitrary<std::uint64_t>();
  auto run = std::make_unique<CrashRun<World>>(seed, 5);
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
    run = std::make_unique<CrashRun<World>>(seed + 1, 5, run->some_cut());
  }
}

}  // namespace daxsim::test
