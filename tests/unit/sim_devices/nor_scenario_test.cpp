// SPDX-License-Identifier: BSD-3-Clause
// The scenarios of NOR flash by their numbers (F13, 79 to 87): what a user of the device sees.
#include <gtest/gtest.h>

#include <optional>
#include <string>

#include "daxsim/base/sync.hpp"
#include "nor_test.hpp"
#include "support/blocked_thread.hpp"

namespace daxsim::nor {
namespace {

using sim::NorSource;
using test::BlockedThread;

TEST(Nor, Scenario79_ProgramClearsBitsAndSetsNone) {
  // Only an erase makes a 1 of a 0.
  for (const sim::NorPart& part : {small_p30(), small_w25q()}) {
    Flash flash(part);
    flash.program(8, {0xf0, 0xf0});
    flash.program(8, {0x0f, 0x3c});
    EXPECT_EQ(flash.read(8, 2), bytes_of({0x00, 0x30}));
    flash.erase(0);
    EXPECT_EQ(flash.read(8, 2), bytes_of({0xff, 0xff}));
  }
}

TEST(Nor, Scenario79_APartMayRefuseOnesOverZeroes) {
  // It says so, and has cleared what it could.
  Flash flash(small_s29gl());
  flash.program(8, {0xf0, 0xf0});
  EXPECT_EQ(error_of(flash.mtd->program(8, bytes_of({0x0f, 0xf0}))), Errno::eio);
  EXPECT_EQ(flash.read(8, 2), bytes_of({0x00, 0xf0}));
  flash.program(8, {0x00, 0xff});  // ones beside the byte ask for nothing
}

TEST(Nor, Scenario80_ALoadDuringAnEraseShowsTheStatus) {
  // In the partition that is erased no data is to be had; the other ones are read meanwhile.
  Flash flash(partitioned());
  flash.program(0x10, {0x12, 0x34});
  flash.program(kBig, {0x56, 0x78});
  must(flash.mtd->start_erase(1024));
  const sim::NorLoad here = flash.mtd->load(0x10);
  EXPECT_EQ(here.source, NorSource::status);
  EXPECT_EQ(here.word & 0x80, 0);
  const sim::NorLoad elsewhere = flash.mtd->load(kBig);
  EXPECT_EQ(elsewhere.source, NorSource::array);
  EXPECT_EQ(elsewhere.word, 0x7856);
  must(flash.mtd->wait(0));
  EXPECT_EQ(flash.mtd->load(0x10).word, 0x3412);
}

TEST(Nor, Scenario80_SetTwoTogglesInPlaceOfData) {
  // DQ6 changes with each load, DQ2 in the erased block only.
  Flash flash(small_s29gl());
  flash.program(kBig, {0x56, 0x78});
  must(flash.mtd->start_erase(0));
  const sim::NorLoad first = flash.mtd->load(kBig);
  const sim::NorLoad second = flash.mtd->load(kBig);
  EXPECT_EQ(first.source, NorSource::status);
  EXPECT_EQ(first.word ^ second.word, 0x40);
  EXPECT_EQ(flash.mtd->load(0).word ^ flash.mtd->load(0).word, 0x44);
  must(flash.mtd->wait(0));
  EXPECT_EQ(flash.mtd->load(kBig).word, 0x7856);
}

TEST(Nor, Scenario81_AReadSuspendsAnErase) {
  // It has its data after the suspend latency, and the erase ends later by as much.
  for (const sim::NorPart& part : {small_p30(), small_s29gl(), small_w25q()}) {
    Flash flash(part);
    flash.program(kBig, {0x56, 0x78});
    const auto erase_time = flash.time_of([&] { flash.erase(0); });
    EXPECT_EQ(erase_time, part.regions[0].erase);

    const auto begin = flash.clock.now();
    must(flash.mtd->start_erase(0));
    flash.clock.advance(10ms);
    const auto latency = flash.time_of([&] { EXPECT_EQ(flash.byte(kBig), 0x56U); });
    EXPECT_EQ(latency, part.suspend + part.read_initial);
    EXPECT_EQ(flash.mtd->load(kBig).source, NorSource::status) << "the erase goes on";
    must(flash.mtd->wait(0));
    EXPECT_EQ(flash.clock.now() - begin, erase_time + latency);
  }
}

TEST(Nor, Scenario81_WithoutSuspendAReadWaitsForTheEnd) {
  // A part that cannot suspend makes every reader wait.
  sim::NorPart part = small_p30();
  part.suspends_erase = false;
  Flash flash(part);
  flash.program(kBig, {0x56});
  must(flash.mtd->start_erase(0));
  const auto latency = flash.time_of([&] { EXPECT_EQ(flash.byte(kBig), 0x56U); });
  EXPECT_EQ(latency, part.regions[0].erase + part.read_initial);
  EXPECT_EQ(error_of(flash.mtd->suspend(0)), std::nullopt) << "nothing is left to suspend";
}

TEST(Nor, Scenario82_AReadOfTheErasedBlockWaitsForTheEnd) {
  // Nobody suspends for it: what it would read is undefined.
  Flash flash(small_p30());
  flash.program(0x10, {0x12});
  must(flash.mtd->start_erase(0));
  const auto latency = flash.time_of([&] { EXPECT_EQ(flash.byte(0x10), 0xffU); });
  EXPECT_EQ(latency, flash.mtd->part().regions[0].erase + flash.mtd->part().read_initial);
}

TEST(Nor, Scenario82_InsideASuspendedEraseALoadIsUndefined) {
  // Beside the block there is data, inside it there is none.
  Flash flash(small_p30());
  flash.program(0x10, {0x12, 0x34});
  flash.program(kBig, {0x56, 0x78});
  must(flash.mtd->start_erase(0));
  must(flash.mtd->suspend(0));
  EXPECT_EQ(flash.mtd->load(0x10).source, NorSource::undefined);
  EXPECT_EQ(flash.mtd->load(kBig).word, 0x7856);
  must(flash.mtd->resume(0));
  EXPECT_EQ(flash.mtd->load(kBig).source, NorSource::status);
}

TEST(Nor, Scenario83_AWriterSleepsWhileTheChipIsPointed) {
  // Whoever does not want to sleep is told; the writer goes on when the last point is gone.
  Flash flash(small_p30());
  const auto memory = must(flash.mtd->point({0, flash.mtd->size()}));
  EXPECT_EQ(memory.size(), flash.mtd->size());
  EXPECT_EQ(error_of(flash.mtd->start_program(0, bytes_of({0}))), Errno::eagain);
  EXPECT_EQ(error_of(flash.mtd->start_erase(0)), Errno::eagain);
  BlockedThread writer([&] { flash.program(2, {0x12, 0x34}); });
  EXPECT_TRUE(writer.blocks());
  EXPECT_EQ(memory[2], std::byte{0xff});
  must(flash.mtd->unpoint({0, flash.mtd->size()}));
  writer.join();
  EXPECT_EQ(flash.read(2, 2), bytes_of({0x12, 0x34}));
}

TEST(Nor, Scenario83_ASleepingWriterCanBeInterrupted) {
  // Erase, program, lock, unlock and wait all give up, and nothing has happened.
  Flash flash(small_p30());
  must(flash.mtd->point({0, 1}));
  const ByteRange block = flash.mtd->erase_block(0);
  const std::function<Result<void>()> calls[] = {
      [&] { return flash.mtd->program(0, bytes_of({0})); }, [&] { return flash.mtd->erase(block); },
      [&] { return flash.mtd->lock(block); }, [&] { return flash.mtd->unlock(block); },
      [&] { return flash.mtd->wait(0); }};
  for (const auto& call : calls) {
    Interruption interruption;
    std::optional<Errno> error;
    BlockedThread writer([&] {
      const InterruptScope scope(interruption);
      error = error_of(call());
    });
    EXPECT_TRUE(writer.blocks());
    interruption.raise();
    writer.join();
    EXPECT_EQ(error, Errno::eintr);
  }
  EXPECT_EQ(flash.mtd->erases(0), 0U);
  must(flash.mtd->unpoint({0, 1}));
}

TEST(Nor, Scenario84_UnpointTwiceIsAnError) {
  // A point has one unpoint.
  Flash flash(small_p30());
  must(flash.mtd->point({16, 32}));
  EXPECT_EQ(error_of(flash.mtd->unpoint({16, 32})), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->unpoint({16, 32})), Errno::einval);
}

TEST(Nor, Scenario84b_PointsNest) {
  // Two readers of one chip: writers wait for the second, too.
  Flash flash(small_p30());
  must(flash.mtd->point({0, 16}));
  must(flash.mtd->point({8, 16}));
  must(flash.mtd->unpoint({0, 16}));
  EXPECT_EQ(error_of(flash.mtd->start_erase(0)), Errno::eagain);
  must(flash.mtd->unpoint({8, 16}));
  must(flash.mtd->start_erase(0));
}

TEST(Nor, Scenario84b_AsInLinuxTheSecondPointSleeps) {
  // The counter is never above one there; a signal or the first unpoint ends the sleep.
  Flash flash(sim::NorFlash{.part = small_p30(), .nested_point = sim::NestedPoint::sleeps});
  must(flash.mtd->point({0, 16}));
  Interruption interruption;
  std::optional<Errno> error;
  BlockedThread impatient([&] {
    const InterruptScope scope(interruption);
    error = error_of(flash.mtd->point({0, 16}));
  });
  EXPECT_TRUE(impatient.blocks());
  interruption.raise();
  impatient.join();
  EXPECT_EQ(error, Errno::eintr);
  BlockedThread patient([&] { must(flash.mtd->point({0, 16})); });
  EXPECT_TRUE(patient.blocks());
  must(flash.mtd->unpoint({0, 16}));
  patient.join();
  EXPECT_EQ(error_of(flash.mtd->start_erase(0)), Errno::eagain);
  must(flash.mtd->unpoint({0, 16}));
}

TEST(Nor, Scenario85_APointEndsAtAGapBetweenChips) {
  // The caller gets what is side by side; without a gap, all.
  const std::uint64_t chip = small_p30().size();
  Flash gap(sim::NorFlash{.part = small_p30(), .chips = 2, .gap = sim::NorGap::between_chips});
  EXPECT_EQ(must(gap.mtd->point({chip - 100, 200})).size(), 100U);
  must(gap.mtd->start_erase(chip));  // the second chip was not pointed
  EXPECT_EQ(error_of(gap.mtd->start_erase(0)), Errno::eagain);
  must(gap.mtd->unpoint({chip - 100, 100}));

  Flash flat(sim::NorFlash{.part = small_p30(), .chips = 2});
  flat.program(chip - 1, {0x12, 0x34});
  const auto memory = must(flat.mtd->point({chip - 1, 2}));
  EXPECT_EQ(Bytes(memory.begin(), memory.end()), bytes_of({0x12, 0x34}));
  must(flat.mtd->unpoint({chip - 1, 2}));
}

TEST(Nor, Scenario86_ASuspendThatIsNeverAcknowledged) {
  // An error after the limit, which is shorter for code that runs from the chip; the erase goes on.
  Flash flash(sim::NorFlash{.part = small_p30(), .faults = {.acknowledges_suspend = false}});
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(flash.time_of([&] { EXPECT_EQ(error_of(flash.mtd->suspend(0, sim::SuspendLimit::xip)), Errno::eio); }),
            100ms);
  EXPECT_EQ(flash.time_of([&] { EXPECT_EQ(error_of(flash.mtd->suspend(0)), Errno::eio); }), 1s);
  Bytes byte(1);
  EXPECT_EQ(error_of(flash.mtd->read(kBig, byte)), Errno::eio);
  EXPECT_EQ(error_of(flash.mtd->point({kBig, 1})), Errno::eio);
  EXPECT_EQ(error_of(flash.mtd->start_program(kBig, byte)), Errno::eio);
  EXPECT_EQ(error_of(flash.mtd->program(kBig, byte)), Errno::eio);
  EXPECT_EQ(flash.time_of([&] { must(flash.mtd->wait(0)); }), flash.mtd->part().regions[0].erase);
}

TEST(Nor, Scenario87_ALockedBlockIsReadOnly) {
  // Set 0001 says so at the end of the operation, set 0002 is asked before.
  sim::NorPart part = small(sim::parts::p30);
  ASSERT_TRUE(part.locked_at_power_up);
  for (const bool is_intel : {true, false}) {
    Flash flash(is_intel ? part : small_w25q());
    const ByteRange block = flash.mtd->erase_block(0);
    if (!is_intel) {
      must(flash.mtd->lock(block));
    }
    EXPECT_TRUE(must(flash.mtd->is_locked(1)));
    EXPECT_EQ(error_of(flash.mtd->program(0, bytes_of({0}))), Errno::erofs);
    EXPECT_EQ(error_of(flash.mtd->erase(block)), Errno::erofs);
    if (is_intel) {
      must(flash.mtd->start_erase(0));
      EXPECT_EQ(error_of(flash.mtd->wait(0)), Errno::erofs);
    } else {
      EXPECT_EQ(error_of(flash.mtd->start_erase(0)), Errno::erofs);
      EXPECT_EQ(error_of(flash.mtd->start_program(0, bytes_of({0}))), Errno::erofs);
    }
    EXPECT_EQ(flash.byte(0), 0xffU);
    must(flash.mtd->unlock(block));
    flash.program(0, {0x12});
    EXPECT_EQ(flash.byte(0), 0x12U);
    EXPECT_EQ(must(flash.mtd->is_locked(1024)), is_intel) << "one block at a time";
  }
}

}  // namespace
}  // namespace daxsim::nor
