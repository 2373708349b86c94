// SPDX-License-Identifier: BSD-3-Clause
// A process that is killed at any moment leaves in the media file everything that
// was fenced, and no word torn. One file lives through all kills of a test: each victim goes on where the one before
// was killed.
//
// DAXSIM_KILLS sets how often (200; a tenth of that under a sanitizer; the full run is 1000).
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <memory>
#include <string>
#include <thread>

#include "crash/pmem_records.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/sanitized.hpp"
#include "support/temp_file.hpp"
#include "support/victim.hpp"

namespace daxsim::crash {
namespace {

using support::TempFile;
using support::Victim;

std::uint64_t kills() {
  const char* const wanted = std::getenv("DAXSIM_KILLS");
  const std::uint64_t usual = test::kSanitized ? 20 : 200;
  return wanted == nullptr ? usual : std::strtoull(wanted, nullptr, 10);
}

class SigkillTest : public ::testing::Test {
 protected:
  SigkillTest() : progress_file_(::memfd_create("progress", 0)) {
    EXPECT_EQ(::pipe(bell_), 0);
    EXPECT_EQ(::ftruncate(progress_file_, sizeof(Progress)), 0);
    void* const shared = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, progress_file_, 0);
    progress_ = new (shared) Progress;
  }
  ~SigkillTest() override {
    ::munmap(progress_, sizeof(Progress));
    ::close(progress_file_);
    ::close(bell_[0]);
    ::close(bell_[1]);
  }

  Victim start(Victim::Mode mode) {
    // What the last one said after it was last heard.
    ::fcntl(bell_[0], F_SETFL, O_NONBLOCK);
    char old[256];
    while (::read(bell_[0], old, sizeof old) > 0) {
    }
    ::fcntl(bell_[0], F_SETFL, 0);
    for (Progress::Lane& lane : progress_->lanes) {
      lane.stage = Stage::starting;
    }
    return {DAXSIM_TEST_PROGRAMS "/pmem_writer",
            {file_.path().string(), std::to_string(progress_file_), std::to_string(bell_[1]),
             mode == Victim::Mode::traced ? "traced" : "free"},
            mode};
  }

  // Sleeps until the victim has fenced so many records.
  void hear(std::uint64_t records) const {
    for (char byte = 0; records > 0; --records) {
      ASSERT_EQ(::read(bell_[0], &byte, 1), 1);
    }
  }

  // Holds the file against what the victim said, through a device of our own: so it is free to be opened, too. A victim
  // that was killed before it created the file leaves none.
  void check() {
    if (!std::filesystem::exists(file_.path()) || std::filesystem::file_size(file_.path()) == 0) {
      return;
    }
    Arena arena;
    VirtualClock clock;
    const auto device = must(sim::open({.path = file_.path()}));
    const auto view = must(device->make_view({arena, clock}));
    for (std::uint64_t lane = 0; lane < kLanes; ++lane) {
      const std::uint64_t fenced = progress_->lanes[lane].fenced;
      for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
        check_slot(*view, lane, slot, fenced);
      }
    }
    must(view->power_cut({}));  // a check does not write back
  }

  TempFile file_;
  Progress* progress_ = nullptr;

 private:
  // The newest fenced record of the slot, over the older ones that were longer, with words of the next one if it is
  // here.
  void check_slot(DaxDevice& view, std::uint64_t lane, std::uint64_t slot, std::uint64_t fenced) {
    const auto memory =
        must(view.direct_access(page_of(slot_offset(lane, slot)), kSlotSize / kPageSize, DaxMode::access));
    const auto* const words = reinterpret_cast<const std::uint64_t*>(memory.kaddr);
    const std::uint64_t next = fenced + 1;
    for (std::uint64_t i = 0; i < kSlotSize / 8; ++i) {
      // The newest record up to `fenced` in this slot that has this word.
      std::uint64_t expected = 0;
      std::uint64_t record = fenced - (fenced + kSlots - slot) % kSlots;
      for (; record <= fenced && record > 0; record -= kSlots) {
        if (i < words_of(record)) {
          expected = word_of(lane, record, i);
          break;
        }
      }
      const bool may_be_next = next % kSlots == slot && i < words_of(next) && words[i] == word_of(lane, next, i);
      if (words[i] != expected && !may_be_next) {
        ADD_FAILURE() << "lane " << lane << " slot " << slot << " word " << i << ": " << std::hex << words[i]
                      << " and not " << expected << std::dec << ", fenced " << fenced;
        return;
      }
    }
  }

  const int progress_file_;
  int bell_[2] = {};
};

TEST_F(SigkillTest, AtRandomInstants) {
  // Two threads write; the kill comes after a random number of records, when one of them is in a chosen stage if it
  // gets there soon.
  Random random(20240229);
  std::array<std::uint64_t, static_cast<std::size_t>(Stage::kCount)> landed{};
  // The stages that matter may be missed by few kills on a busy machine: then there are more.
  const auto hit = [&landed](Stage stage) { return landed[static_cast<std::size_t>(stage)] != 0; };
  const auto enough = [&hit] { return hit(Stage::storing) && hit(Stage::flushing); };
  for (std::uint64_t i = 0; i < kills() || (!enough() && i < 20 * kills()); ++i) {
    Victim victim = start(Victim::Mode::free);
    hear(random.below(20));
    const Progress::Lane& lane = progress_->lanes[random.below(kLanes)];
    const auto stage = static_cast<Stage>(random.below(landed.size()));
    for (int tries = 0; tries < 3000 && lane.stage != stage; ++tries) {
    }
    ASSERT_TRUE(victim.kill()) << "the victim died by itself";
    for (const Progress::Lane& each : progress_->lanes) {
      ++landed[static_cast<std::size_t>(each.stage.load())];
    }
    check();
    ASSERT_FALSE(HasFailure()) << "kill " << i;
  }
  EXPECT_TRUE(enough()) << "the test has not tested much";
}

TEST_F(SigkillTest, AtInstructionsOfFlushAndFence) {
  // One thread, killed after an exact number of instructions between the call of flush and the return of fence. A
  // quarter of the kills, because each takes thousands of steps.
  Random random(7);
  std::uint64_t instructions = 0;
  {
    Victim victim = start(Victim::Mode::traced);
    victim.run_to_stop();
    instructions = victim.step(1'000'000);
    ASSERT_EQ(progress_->lanes[0].fenced, 1U);
  }
  for (std::uint64_t i = 0; i < kills() / 4; ++i) {
    Victim victim = start(Victim::Mode::traced);
    for (std::uint64_t skipped = random.below(4); skipped > 0; --skipped) {
      victim.run_to_stop();  // before a flush
      victim.run_to_stop();  // after its fence
    }
    victim.run_to_stop();
    const std::uint64_t steps = random.below(instructions);
    victim.step(steps);
    ASSERT_TRUE(victim.kill());
    check();
    ASSERT_FALSE(HasFailure()) << "kill " << i << " after " << steps << " instructions";
  }
}

}  // namespace
}  // namespace daxsim::crash
