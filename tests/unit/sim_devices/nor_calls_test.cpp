// SPDX-License-Identifier: BSD-3-Clause
// The MTD-like calls of a NOR flash beyond its scenarios: bad input, what is in flight when another call comes, wear, the
// media file, power cuts.
#include <gtest/gtest.h>

#include <cstdio>
#include <filesystem>
#include <fstream>
#include <set>

#include "nor_test.hpp"
#include "support/temp_file.hpp"

namespace daxsim::nor {
namespace {

using sim::NorSource;

// Bad input

TEST(NorCalls, RefuseWhatIsOutOfRange) {
  // Beyond the end, also by overflow, or no whole blocks: Errno::einval and nothing happens.
  Flash flash(small_p30());
  const std::uint64_t size = flash.mtd->size();
  Bytes two(2);
  for (const std::uint64_t offset : {size - 1, size + 1, ~std::uint64_t{0}}) {
    EXPECT_EQ(error_of(flash.mtd->read(offset, two)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->program(offset, two)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->start_program(offset, two)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->point({offset, 2})), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->unpoint({offset, 2})), Errno::einval);
  }
  for (const ByteRange bytes : {ByteRange{0, 1023}, {1, 1024}, {0, kBig + 1024}, {size, 1024}}) {
    EXPECT_EQ(error_of(flash.mtd->erase(bytes)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->lock(bytes)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->unlock(bytes)), Errno::einval);
  }
  for (const std::uint64_t block : {std::uint64_t{1}, size}) {
    EXPECT_EQ(error_of(flash.mtd->start_erase(block)), Errno::einval);
  }
  EXPECT_EQ(error_of(flash.mtd->is_locked(size)), Errno::einval);
  EXPECT_EQ(error_of(flash.mtd->wait(size)), Errno::einval);
  EXPECT_EQ(error_of(flash.mtd->suspend(size)), Errno::einval);
  EXPECT_EQ(error_of(flash.mtd->resume(size)), Errno::einval);
  EXPECT_EQ(flash.mtd->erases(0), 0U);
}

TEST(NorCalls, NothingIsEasy) {
  // Empty ranges succeed and do nothing; only starting nothing is refused.
  Flash flash(small_p30());
  EXPECT_EQ(error_of(flash.mtd->read(flash.mtd->size(), {})), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->program(7, {})), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->erase({0, 0})), std::nullopt);
  EXPECT_EQ(must(flash.mtd->point({5, 0})).size(), 0U);
  EXPECT_EQ(error_of(flash.mtd->unpoint({5, 0})), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->wait(0)), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->resume(0)), std::nullopt);
  EXPECT_EQ(error_of(flash.mtd->start_program(0, {})), Errno::einval);
  EXPECT_EQ(flash.clock.now(), 0ns);
}

TEST(NorCalls, AProgramIsInsideOneBuffer) {
  // start_program says so, program() goes buffer by buffer; a part without a buffer programs words.
  Flash flash(small_p30());
  EXPECT_EQ(error_of(flash.mtd->start_program(62, bytes_of({1, 2, 3}))), Errno::einval);
  flash.start_program(61, {1, 2, 3});
  must(flash.mtd->wait(0));
  flash.program(1021, {4, 5, 6, 7, 8});
  EXPECT_EQ(flash.read(60, 5), bytes_of({0xff, 1, 2, 3, 0xff}));
  EXPECT_EQ(flash.read(1020, 7), bytes_of({0xff, 4, 5, 6, 7, 8, 0xff}));

  sim::NorPart part = small_p30();
  part.buffer_bytes = 0;
  Flash words(part);
  EXPECT_EQ(error_of(words.mtd->start_program(0, bytes_of({1, 2, 3}))), Errno::einval);
  const auto time = words.time_of([&] { words.program(1, {1, 2, 3}); });
  EXPECT_EQ(time, 2 * part.program_word);
  EXPECT_EQ(words.read(0, 5), bytes_of({0xff, 1, 2, 3, 0xff}));
}

TEST(NorCalls, PartsThatCannotBeAreRefused) {
  // Errno::einval for each thing that makes no sense, at open and not later.
  using Spoil = void (*)(sim::NorFlash&);
  const Spoil spoils[] = {
      [](sim::NorFlash& flash) { flash.chips = 0; },
      [](sim::NorFlash& flash) { flash.chips = 17; },
      [](sim::NorFlash& flash) { flash.part.regions = {}; },
      [](sim::NorFlash& flash) { flash.part.regions[1].block_bytes = 0; },
      [](sim::NorFlash& flash) { flash.part.regions[1].block_bytes = 100; },
      [](sim::NorFlash& flash) { flash.part.bus_bytes = 0; },
      [](sim::NorFlash& flash) { flash.part.bus_bytes = 4; },
      [](sim::NorFlash& flash) { flash.part.buffer_bytes = 48; },
      [](sim::NorFlash& flash) { flash.part.page_bytes = 0; },
      [](sim::NorFlash& flash) { flash.part.partitions = 0; },
      [](sim::NorFlash& flash) { flash.part.partitions = 3; },
      [](sim::NorFlash& flash) { flash.part.partitions = 8; },
      [](sim::NorFlash& flash) { flash.faults.weak = {{.block = 7}}; },
      [](sim::NorFlash& flash) { flash.faults.hanging = {7}; },
      [](sim::NorFlash& flash) { flash.faults.stuck = {{.offset = 16 << 10}}; },
      [](sim::NorFlash& flash) { flash.faults.stuck = {{.offset = 0, .bit = 8}}; },
  };
  int number = 0;
  for (const Spoil spoil : spoils) {
    sim::NorFlash config{.part = small_p30()};
    spoil(config);
    EXPECT_EQ(error_of(sim::open(config)), Errno::einval) << number;
    ++number;
  }
}

TEST(NorCalls, TheReadyMadePartsAreWhatTheyAreCalled) {
  // Size, blocks, and a byte through each.
  EXPECT_EQ(sim::parts::p30.size(), 32U << 20);
  EXPECT_EQ(sim::parts::p30.blocks(), 259U);
  EXPECT_EQ(sim::parts::s29gl_p.size(), 128U << 20);
  EXPECT_EQ(sim::parts::w25q.size(), 16U << 20);
  for (const sim::NorPart& part : {sim::parts::p30, sim::parts::w25q}) {
    Flash flash(part);
    const std::uint64_t last = flash.mtd->size() - 1;
    must(flash.mtd->unlock(flash.mtd->erase_block(last)));
    flash.program(last, {0x12});
    EXPECT_EQ(flash.byte(last), 0x12U);
    EXPECT_EQ(flash.mtd->load(0).word, part.bus_bytes == 2 ? 0xffffU : 0xffU);
  }
}

// In flight

TEST(NorCalls, OneProgramAndOneEraseAreInFlight) {
  // The erase is suspended under the program and goes on after it; nothing else begins meanwhile.
  for (const sim::NorPart& part : {small_p30(), small_s29gl(), small_w25q()}) {
    Flash flash(part);
    const auto begin = flash.clock.now();
    must(flash.mtd->start_erase(0));
    flash.clock.advance(1ms);
    EXPECT_EQ(error_of(flash.mtd->start_erase(1024)), Errno::eagain);
    EXPECT_EQ(error_of(flash.mtd->start_program(0, bytes_of({0}))), Errno::eagain) << "into the erased block";
    flash.start_program(kBig, {0x12, 0x34, 0x56});
    EXPECT_EQ(error_of(flash.mtd->start_program(kBig + 64, bytes_of({0}))), Errno::eagain);
    must(flash.mtd->wait(0));
    const auto program = part.program_byte * (part.bus_bytes == 2 ? 4 : 3);
    EXPECT_EQ(flash.clock.now() - begin, part.regions[0].erase + part.suspend + program)
        << "the erase has lost what the program took";
    EXPECT_EQ(flash.read(kBig, 3), bytes_of({0x12, 0x34, 0x56}));
  }
}

TEST(NorCalls, AnEraseGoesOnAfterTheProgramOverIt) {
  // Nobody has to ask, also when the program did not come about.
  for (const bool is_locked : {false, true}) {
    for (const sim::NorPart& part : {small_p30(), small_s29gl()}) {
      Flash flash(part);
      if (is_locked) {
        must(flash.mtd->lock(flash.mtd->erase_block(kBig)));
      }
      must(flash.mtd->start_erase(0));
      EXPECT_EQ(error_of(flash.mtd->program(kBig, bytes_of({0x12}))),
                is_locked ? std::optional(Errno::erofs) : std::nullopt);
      flash.clock.advance(part.regions[0].erase);
      EXPECT_TRUE(flash.mtd->pending_operations().empty());
    }
  }
}

TEST(NorCalls, ABlockingCallWaitsForWhatCannotBeSuspended) {
  // A second erase, a program into the erased block, a lock; the clock shows the wait.
  Flash flash(small_p30());
  const auto erase = flash.mtd->part().regions[0].erase;
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(flash.time_of([&] { flash.erase(1024); }), 2 * erase);
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(flash.time_of([&] { flash.program(0, {0x12}); }), erase + flash.mtd->part().program_word);
  EXPECT_EQ(flash.byte(0), 0x12U);
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(flash.time_of([&] { must(flash.mtd->lock(flash.mtd->erase_block(0))); }), erase);
  must(flash.mtd->unlock(flash.mtd->erase_block(0)));
  flash.start_program(0, {0x12});
  EXPECT_EQ(flash.byte(kBig), 0xffU) << "a read waits for a program";
  EXPECT_EQ(flash.byte(0), 0x12U);
}

TEST(NorCalls, WithoutProgramInSuspendAProgramWaits) {
  // The erase comes to its end first.
  sim::NorPart part = small_p30();
  part.program_in_erase_suspend = false;
  Flash flash(part);
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(error_of(flash.mtd->start_program(kBig, bytes_of({0}))), Errno::eagain);
  EXPECT_EQ(flash.time_of([&] { flash.program(kBig, {0x12}); }), part.regions[0].erase + part.program_word);
}

TEST(NorCalls, AProgramCanBeSuspended) {
  // The rest of the array is readable; what is being programmed is waited for.
  for (const sim::NorPart& part : {small_p30(), small_s29gl()}) {
    Flash flash(part);
    flash.program(kBig, {0x12, 0x34});
    flash.start_program(0, {1, 2, 3, 4});
    flash.clock.advance(1us);
    must(flash.mtd->suspend(0));
    EXPECT_EQ(flash.mtd->load(kBig).word, 0x3412);
    EXPECT_EQ(flash.mtd->load(0).source, NorSource::undefined);
    EXPECT_EQ(flash.byte(kBig), 0x12U);
    EXPECT_EQ(flash.mtd->load(0).source, NorSource::undefined) << "still suspended";
    EXPECT_EQ(flash.read(0, 4), bytes_of({1, 2, 3, 4}));
    EXPECT_EQ(error_of(flash.mtd->wait(0)), std::nullopt);
  }
}

TEST(NorCalls, SuspendNeedsAPartThatCan) {
  // Errno::eopnotsupp for the kind that it cannot; an operation that ends first needs no suspending.
  sim::NorPart part = small_p30();
  part.suspends_program = false;
  Flash flash(part);
  flash.start_program(0, {1, 2});
  EXPECT_EQ(error_of(flash.mtd->suspend(0)), Errno::eopnotsupp);
  must(flash.mtd->wait(0));
  must(flash.mtd->start_erase(0));
  flash.clock.advance(part.regions[0].erase - 1us);
  must(flash.mtd->suspend(0));
  EXPECT_EQ(flash.mtd->load(0).word, 0xffff) << "it has ended instead";
}

TEST(NorCalls, AProgramOverASuspendedEraseIsToldFromIt) {
  // One that ends before it hears the suspend, one that is suspended: in both cases the erase is the other operation.
  for (const sim::NorPart& part : {small_p30(), small_s29gl(), partitioned()}) {
    for (const auto left : {part.suspend, part.suspend + 1us}) {
      Flash flash(part);
      must(flash.mtd->start_erase(0));
      const std::vector<std::byte> data(64, std::byte{0x12});
      must(flash.mtd->start_program(kBig, data));
      flash.clock.advance(64 * part.program_byte - left);
      must(flash.mtd->suspend(0));
      EXPECT_EQ(flash.read(0, 64), Bytes(64, std::byte{0xff})) << "waits for both";
      EXPECT_EQ(flash.read(kBig, 64), data);
      EXPECT_TRUE(flash.mtd->pending_operations().empty());
      must(flash.mtd->wait(0));
    }
  }
}

TEST(NorCalls, AResultWaitsForItsOwner) {
  // Other calls see the end of an operation first; wait() still has its error, once.
  Flash flash(sim::NorFlash{.part = small_p30(), .faults = {.stuck = {{.offset = 3, .bit = 0, .value = false}}}});
  must(flash.mtd->start_erase(0));
  flash.clock.advance(2s);
  EXPECT_EQ(flash.byte(kBig), 0xffU);
  flash.program(kBig, {0x12});
  EXPECT_EQ(error_of(flash.mtd->wait(0)), Errno::eio);
  EXPECT_EQ(error_of(flash.mtd->wait(0)), std::nullopt);
}

TEST(NorCalls, AnEraseStaysSuspendedWhileItsChipIsPointed) {
  // The memory is readable until unpoint, and the erase goes on then.
  Flash flash(small_p30());
  flash.program(kBig, {0x12, 0x34});
  must(flash.mtd->start_erase(0));
  const auto memory = must(flash.mtd->point({kBig, 2}));
  flash.clock.advance(10s);
  EXPECT_EQ(memory[0], std::byte{0x12});
  EXPECT_EQ(flash.byte(kBig), 0x12U);
  EXPECT_EQ(flash.mtd->load(kBig).source, NorSource::array);
  EXPECT_EQ(error_of(flash.mtd->resume(0)), Errno::eagain);
  must(flash.mtd->unpoint({kBig, 2}));
  EXPECT_EQ(flash.mtd->load(kBig).source, NorSource::status);
  must(flash.mtd->wait(0));
}

TEST(NorCalls, APointOfTheErasedBlockWaits) {
  // There is no suspending for it.
  Flash flash(small_p30());
  must(flash.mtd->start_erase(0));
  EXPECT_EQ(flash.time_of([&] { must(flash.mtd->point({0, 1})); }), flash.mtd->part().regions[0].erase);
  must(flash.mtd->unpoint({0, 1}));
}

TEST(NorCalls, AnOperationThatNeverEnds) {
  // Errno::etime after typical time << limit_shift, for whoever needs it to end; a power cycle helps.
  Flash flash(sim::NorFlash{.part = small_p30(), .faults = {.hanging = {0}}});
  const auto limit = flash.mtd->part().regions[0].erase * 4;
  const ByteRange block = flash.mtd->erase_block(0);
  EXPECT_EQ(flash.time_of([&] { EXPECT_EQ(error_of(flash.mtd->erase(block)), Errno::etime); }), limit);
  Bytes byte(1);
  EXPECT_EQ(error_of(flash.mtd->read(0, byte)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->program(0, byte)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->lock(block)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->unlock(block)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->is_locked(0)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->wait(0)), Errno::etime);
  EXPECT_EQ(error_of(flash.mtd->point({0, 1})), Errno::etime);
  flash.power_cycle(kNone);
  EXPECT_EQ(flash.byte(0), 0xffU);
}

TEST(NorCalls, WithoutVoltageNothingChanges) {
  // Errno::eio from both sets.
  for (const sim::NorPart& part : {small_p30(), small_s29gl()}) {
    Flash flash(sim::NorFlash{.part = part, .faults = {.vpp = false}});
    EXPECT_EQ(error_of(flash.mtd->program(0, bytes_of({0}))), Errno::eio);
    EXPECT_EQ(error_of(flash.mtd->erase(flash.mtd->erase_block(0))), Errno::eio);
    EXPECT_EQ(flash.byte(0), 0xffU);
  }
}

TEST(NorCalls, AStuckBitFailsAProgram) {
  // Set 0001 has Errno::einval for it, as Linux; set 0002 has Errno::eio. The other bits are programmed.
  for (const sim::NorPart& part : {small_p30(), small_w25q()}) {
    Flash flash(sim::NorFlash{.part = part, .faults = {.stuck = {{.offset = 0, .bit = 0, .value = true}}}});
    const Errno wanted = part.commands == sim::NorCommandSet::intel ? Errno::einval : Errno::eio;
    EXPECT_EQ(error_of(flash.mtd->program(0, bytes_of({0, 0}))), wanted);
    EXPECT_EQ(flash.read(0, 2), bytes_of({1, 0}));
    flash.program(2, {0});
    flash.erase(0);
  }
}

// Wear

TEST(NorWear, AWeakBlockFailsEarly) {
  // Its neighbours do not; the same seed fails the same erases, another seed others.
  const auto failures = [](std::uint64_t seed) {
    Flash flash(sim::NorFlash{.part = small_p30(), .seed = seed, .faults = {.weak = {{.block = 1, .erases = 10}}}});
    std::set<int> failed;
    for (int i = 1; i <= 60; ++i) {
      flash.erase(0);
      if (error_of(flash.mtd->erase(flash.mtd->erase_block(1024))) == Errno::eio) {
        failed.insert(i);
      }
    }
    EXPECT_EQ(flash.mtd->erases(1024), 60U);
    return failed;
  };
  const std::set<int> failed = failures(1);
  EXPECT_FALSE(failed.empty());
  EXPECT_GT(*failed.begin(), 10);
  EXPECT_LT(failed.size(), 50U);
  EXPECT_EQ(failures(1), failed);
  EXPECT_NE(failures(2), failed);
}

TEST(NorWear, EveryBlockWearsOut) {
  // After the part's endurance; a failed erase leaves a bit that is 0.
  sim::NorPart part = small_w25q();
  part.endurance = 5;
  Flash flash(part);
  int erases = 0;
  while (error_of(flash.mtd->erase(flash.mtd->erase_block(0))) == std::nullopt) {
    ++erases;
  }
  EXPECT_GE(erases, 5);
  EXPECT_NE(flash.read(0, 1024), Bytes(1024, std::byte{0xff}));
}

// The media

TEST(NorMedia, BytesAndWearSurviveTheProcess) {
  // The file begins with the bytes of the flash, 0xff when new; locks and modes are gone.
  const support::TempFile file;
  const sim::NorFlash config{.media = file.path(), .part = small_p30(), .chips = 2};
  {
    Flash flash(config);
    EXPECT_EQ(flash.media->name(), "media.pmem");
    EXPECT_EQ(flash.byte(0), 0xffU);
    flash.erase(1024);
    flash.program(kBig, {0x12, 0x34});
    must(flash.mtd->lock(flash.mtd->erase_block(0)));
  }
  EXPECT_EQ(file.read()[0], std::byte{0xff});
  EXPECT_EQ(file.read()[kBig], std::byte{0x12});
  Flash flash(config);
  EXPECT_EQ(flash.read(kBig, 2), bytes_of({0x12, 0x34}));
  EXPECT_EQ(flash.mtd->erases(1024), 1U);
  EXPECT_FALSE(must(flash.mtd->is_locked(0)));
}

TEST(NorMedia, AFileOfAnotherPartIsRefused) {
  // Wrong size, other blocks, another device, garbage where the header is: Errno::einval, the file as it was.
  const support::TempFile file;
  const sim::NorFlash config{.media = file.path(), .part = small_p30()};
  must(sim::open(config));
  const auto before = file.read();
  sim::NorFlash more = config;
  more.chips = 2;
  sim::NorFlash other_blocks = config;
  other_blocks.part.regions = {{{.blocks = 7, .block_bytes = 2 << 10}, {.blocks = 1, .block_bytes = 2 << 10}}};
  sim::NorFlash other_device = config;
  other_device.part.device = 1;
  for (const sim::NorFlash& wrong : {more, other_blocks, other_device}) {
    EXPECT_EQ(error_of(sim::open(wrong)), Errno::einval);
  }
  EXPECT_EQ(file.read(), before);
  std::fstream(file.path(), std::ios::in | std::ios::out | std::ios::binary).seekp(16 << 10).put('x');
  EXPECT_EQ(error_of(sim::open(config)), Errno::einval);
  std::filesystem::resize_file(file.path(), 4096);
  EXPECT_EQ(error_of(sim::open(config)), Errno::einval);
}

TEST(NorMedia, HasOneUserAtATime) {
  // Errno::ebusy for a second open of the file, a second power, and contents under power.
  const support::TempFile file;
  const sim::NorFlash config{.media = file.path(), .part = small_p30()};
  Flash flash(config);
  EXPECT_EQ(error_of(sim::open(config)), Errno::ebusy);
  EXPECT_EQ(error_of(sim::Mtd::power_on(flash.media, flash.clock)), Errno::ebusy);
  EXPECT_EQ(error_of(flash.media->contents()), Errno::ebusy);
  EXPECT_EQ(error_of(flash.media->restore(must(flash.mtd->contents_after(kNone)))), Errno::ebusy);
  flash.mtd.reset();
  EXPECT_EQ(error_of(flash.media->contents()), std::nullopt);
}

TEST(NorMedia, ContentsCanBePutBack) {
  // Into media of an equal part; Errno::einval for others.
  Flash flash(small_p30());
  flash.program(0, {0x12});
  const sim::NorContents saved = must(flash.mtd->contents_after(kNone));
  flash.erase(0);
  flash.mtd.reset();
  EXPECT_NE(must(flash.media->contents()), saved);
  must(flash.media->restore(saved));
  EXPECT_EQ(must(flash.media->contents()), saved);
  flash.power_on();
  EXPECT_EQ(flash.byte(0), 0x12U);
  EXPECT_EQ(flash.mtd->erases(0), 0U);
  EXPECT_EQ(error_of(must(sim::open(sim::NorFlash{.part = small_w25q()}))->restore(saved)), Errno::einval);
  EXPECT_EQ(error_of(must(sim::open(sim::NorFlash{.part = small_p30(), .chips = 2}))->restore(saved)), Errno::einval);
}

// Power cuts

TEST(NorPowerCut, ATornProgramHasEightOutcomes) {
  // Nothing, all, and six between; none sets a bit or clears one that was not asked for.
  Flash flash(small_p30());
  flash.program(0, {0xfe, 0xff, 0xff, 0xff});
  flash.start_program(0, {0x0f, 0x55, 0x00, 0xff});
  ASSERT_EQ(flash.mtd->pending_operations(), (std::vector<LineHistory>{{0, 8}}));
  std::set<Bytes> seen;
  for (std::uint32_t outcome = 0; outcome < 8; ++outcome) {
    const PowerCut choice{.kind = PowerCut::Kind::listed, .lines = {{0, outcome}}};
    const sim::NorContents after = must(flash.mtd->contents_after(choice));
    EXPECT_EQ(must(flash.mtd->contents_after(choice)), after) << "the id replays it";
    const Bytes bytes(after.bytes.begin(), after.bytes.begin() + 4);
    seen.insert(bytes);
    const unsigned old[] = {0xfe, 0xff, 0xff, 0xff};
    const unsigned wanted[] = {0x0e, 0x55, 0x00, 0xff};
    for (std::size_t i = 0; i < 4; ++i) {
      const auto byte = static_cast<unsigned>(bytes[i]);
      EXPECT_EQ(byte & ~old[i], 0U);
      EXPECT_EQ(wanted[i] & ~byte, 0U);
    }
  }
  EXPECT_EQ(seen.size(), 8U);
  EXPECT_TRUE(seen.contains(bytes_of({0xfe, 0xff, 0xff, 0xff})));
  EXPECT_TRUE(seen.contains(bytes_of({0x0e, 0x55, 0x00, 0xff})));
  must(flash.mtd->wait(0));
  EXPECT_EQ(flash.read(0, 4), bytes_of({0x0e, 0x55, 0x00, 0xff})) << "the device goes on";
}

TEST(NorPowerCut, ATornEraseHasSixOutcomes) {
  // As it was, zeroes, half, random, erased in looks only, erased. The block may read unstable until it is erased.
  const auto after = [](std::uint32_t outcome) {
    auto flash = std::make_unique<Flash>(small_p30());
    flash->program(0, {0x12, 0x34});
    flash->program(600, {0x56, 0x78});
    must(flash->mtd->start_erase(0));
    EXPECT_EQ(flash->mtd->pending_operations(), (std::vector<LineHistory>{{0, 6}}));
    const PowerCutReport report = flash->power_cycle({.kind = PowerCut::Kind::listed, .lines = {{0, outcome}}});
    EXPECT_EQ(report.unfenced_lines, 1U);
    EXPECT_EQ(report.lost_lines, outcome == 5 ? 0U : 1U);
    EXPECT_EQ(flash->mtd->erases(0), 1U);
    return flash;
  };
  EXPECT_EQ(after(0)->mtd->load(0).word, 0x3412);
  EXPECT_EQ(after(1)->mtd->load(200).word, 0);
  EXPECT_EQ(after(2)->mtd->load(0).word, 0xffff);
  EXPECT_EQ(after(2)->mtd->load(600).word, 0x7856);
  EXPECT_EQ(after(5)->mtd->load(600).word, 0xffff);
  EXPECT_EQ(after(5)->mtd->load(0).source, NorSource::array);
  for (const std::uint32_t outcome : {3U, 4U}) {
    const auto flash = after(outcome);
    EXPECT_EQ(flash->mtd->load(0).source, NorSource::unstable);
    EXPECT_EQ(flash->mtd->load(1024).source, NorSource::array);
    std::set<Bytes> readings;
    for (int i = 0; i < 20; ++i) {
      readings.insert(flash->read(0, 1024));
      flash->clock.advance(1ms);
    }
    EXPECT_GT(readings.size(), 1U);
    flash->power_cycle(kNone);
    EXPECT_EQ(flash->mtd->load(0).source, NorSource::unstable) << "it survives";
    flash->erase(0);
    EXPECT_EQ(flash->mtd->load(0).source, NorSource::array);
  }
}

TEST(NorPowerCut, BothOperationsHaveAChoice) {
  // A program inside a suspended erase, on two chips; the report counts what was lost.
  const std::uint64_t chip = small_p30().size();
  Flash flash(sim::NorFlash{.part = small_p30(), .chips = 2});
  for (const std::uint64_t base : {std::uint64_t{0}, chip}) {
    must(flash.mtd->start_erase(base + kBig));
    flash.start_program(base + 10, {0, 0});
  }
  EXPECT_EQ(flash.mtd->pending_operations(),
            (std::vector<LineHistory>{{10, 8}, {kBig, 6}, {chip + 10, 8}, {chip + kBig, 6}}));
  const PowerCutReport report =
      flash.power_cycle({.kind = PowerCut::Kind::listed, .lines = {{kBig, 1}, {chip + 10, 7}}});
  EXPECT_EQ(report.unfenced_lines, 4U);
  EXPECT_EQ(report.lost_lines, 3U);
  EXPECT_EQ(flash.byte(10), 0xffU);
  EXPECT_EQ(flash.byte(kBig), 0U);
  EXPECT_EQ(flash.byte(chip + 10), 0U);
  EXPECT_EQ(flash.byte(chip + kBig), 0xffU);
}

TEST(NorPowerCut, SeedsRepeatAndDiffer) {
  // Kind::seeded, and all and none at the two ends.
  const auto left = [](const PowerCut& choice) {
    Flash flash(sim::NorFlash{.part = small_p30(), .chips = 4});
    for (std::uint64_t i = 0; i < 4; ++i) {
      flash.start_program(i * flash.mtd->size() / 4, {0, 0, 0, 0});
    }
    must(flash.mtd->power_cut(choice));
    flash.mtd.reset();
    return must(flash.media->contents()).bytes;
  };
  const auto seeded = [&](std::uint64_t seed) { return left({.kind = PowerCut::Kind::seeded, .seed = seed}); };
  EXPECT_EQ(seeded(1), seeded(1));
  EXPECT_NE(seeded(1), seeded(2));
  EXPECT_EQ(left(kNone)[0], std::byte{0xff});
  EXPECT_EQ(left(kAll)[0], std::byte{0});
}

TEST(NorPowerCut, RefusesImpossibleChoices) {
  // An operation or outcome that does not exist, or one listed twice: Errno::einval, and the power is still on.
  Flash flash(small_p30());
  flash.start_program(8, {0});
  for (const std::vector<LineOutcome>& lines : {std::vector<LineOutcome>{{0, 0}}, {{8, 8}}, {{8, 1}, {8, 1}}}) {
    const PowerCut choice{.kind = PowerCut::Kind::listed, .lines = lines};
    EXPECT_EQ(error_of(flash.mtd->power_cut(choice)), Errno::einval);
    EXPECT_EQ(error_of(flash.mtd->contents_after(choice)), Errno::einval);
  }
  must(flash.mtd->wait(0));
  EXPECT_EQ(flash.byte(8), 0U);
  EXPECT_TRUE(flash.mtd->pending_operations().empty());
  flash.start_program(8, {0});
  EXPECT_TRUE(flash.mtd->pending_operations().empty()) << "what changes nothing has no choice";
}

TEST(NorPowerCut, AnOrderlyEndFinishesOperations) {
  // Destroying the device is no power cut.
  Flash flash(small_p30());
  flash.program(0, {0});
  must(flash.mtd->start_erase(0));
  flash.start_program(kBig, {0x12});
  flash.mtd.reset();
  flash.power_on();
  EXPECT_EQ(flash.byte(0), 0xffU);
  EXPECT_EQ(flash.byte(kBig), 0x12U);
}

}  // namespace
}  // namespace daxsim::nor
