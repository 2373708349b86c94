// SPDX-License-Identifier: BSD-3-Clause
// The command engine of a NOR flash chip, by bus cycles alone: each row of both command tables, each status bit.
#include "../../../sim_devices/nor_chip.hpp"

#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

#include "nor_test.hpp"

namespace daxsim::nor {
namespace {

using sim::NorSource;

struct Cycle {
  std::uint64_t address;
  unsigned data;
};

// A flash of one chip, reached by loads and stores only.
struct Bus : Flash {
  using Flash::Flash;
  void store(std::initializer_list<Cycle> cycles) {
    for (const Cycle& cycle : cycles) {
      mtd->store(cycle.address, static_cast<std::uint16_t>(cycle.data));
    }
  }
  sim::NorLoad load(std::uint64_t address) { return mtd->load(address); }
  unsigned word(std::uint64_t address) { return load(address).word; }
  // By set 0001. The partition shows its status afterwards.
  unsigned status(std::uint64_t address) {
    store({{address, 0x70}});
    return word(address);
  }
  // By set 0002: the bits that two loads differ in.
  unsigned toggling(std::uint64_t address) { return word(address) ^ word(address); }
  // Until nothing changes by itself.
  void settle() { clock.advance(10s); }
};

// Unlock cycles of set 0002 for a bus of two bytes.
constexpr Cycle kFirst{0x555 * 2, 0xaa};
constexpr Cycle kSecond{0x2aa * 2, 0x55};
constexpr Cycle at_first(unsigned data) { return {0x555 * 2, data}; }

// Set 0001

TEST(NorIntel, ReadModesArePerPartition) {
  // 0x70, 0x90, 0x98 and 0xff change what one partition shows, not the others.
  Bus bus(partitioned());
  bus.program(0, {0x12, 0x34});
  bus.store({{0, 0x70}});
  EXPECT_EQ(bus.load(0).source, NorSource::status);
  EXPECT_EQ(bus.load(kBig).source, NorSource::array);
  bus.store({{0, 0x90}});
  EXPECT_EQ(bus.load(0).source, NorSource::identifier);
  EXPECT_EQ(bus.word(0), 0x89U);
  EXPECT_EQ(bus.word(2), 0x891cU);
  bus.store({{0, 0x98}});
  EXPECT_EQ(bus.load(0x20).source, NorSource::cfi);
  EXPECT_EQ(bus.word(0x20), 'Q');
  bus.store({{0, 0xff}});
  EXPECT_EQ(bus.word(0), 0x3412U);
}

TEST(NorIntel, ProgramsAWord) {
  // 0x40 and its twin 0x10, then address and data; status implicitly, ready at the end.
  Bus bus(small_p30());
  for (const unsigned command : {0x40U, 0x10U}) {
    bus.store({{command * 2, command}, {command * 2, 0x1234}});
    EXPECT_EQ(bus.word(0), 0x00U) << "busy";
    bus.clock.advance(bus.mtd->part().program_word);
    EXPECT_EQ(bus.word(0), 0x80U);
    bus.store({{0, 0xff}});
    EXPECT_EQ(bus.word(command * 2), 0x1234U);
  }
}

TEST(NorIntel, ProgramsABuffer) {
  // 0xe8, count less one, words, 0xd0.
  Bus bus(small_p30());
  bus.store({{0x40, 0xe8}, {0x40, 2}, {0x40, 0x1111}, {0x42, 0x2222}, {0x44, 0x3333}, {0x40, 0xd0}});
  EXPECT_EQ(bus.word(0), 0x00U);
  bus.clock.advance(6 * bus.mtd->part().program_byte);
  EXPECT_EQ(bus.word(0), 0x80U);
  bus.store({{0, 0xff}});
  EXPECT_EQ(bus.word(0x42), 0x2222U);
  EXPECT_EQ(bus.word(0x44), 0x3333U);
  EXPECT_EQ(bus.word(0x46), 0xffffU);
}

TEST(NorIntel, ABrokenSequenceSetsBothErrors) {
  // A buffer that is too long, that crosses its boundary, or is not confirmed; an erase that is not: 0x30, nothing done.
  const std::vector<std::vector<Cycle>> broken = {
      {{0x40, 0xe8}, {0x40, 32}},
      {{0x40, 0xe8}, {0x40, 1}, {0x7e, 0}, {0x80, 0}},
      {{0x40, 0xe8}, {0x40, 0}, {0x40, 0}, {0x40, 0xff}},
      {{0x40, 0xe8}, {0x40, 0}, {kBig, 0}, {0x40, 0xd0}},
      {{0x40, 0x20}, {0x40, 0xff}},
      {{0x40, 0x60}, {0x40, 0x42}},
  };
  for (const auto& cycles : broken) {
    Bus bus(small_p30());
    for (const Cycle& cycle : cycles) {
      bus.store({cycle});
    }
    EXPECT_EQ(bus.status(0x40), 0xb0U) << "cycle " << cycles.size() << " of " << cycles[0].data;
    bus.store({{0x40, 0x50}});
    EXPECT_EQ(bus.status(0x40), 0x80U);
    EXPECT_EQ(bus.byte(0x40), 0xffU);
  }
}

TEST(NorIntel, ErasesABlock) {
  // 0x20, 0xd0: the other blocks stay, whatever is written meanwhile.
  Bus bus(small_p30());
  bus.program(1022, {0x12, 0x34, 0x56, 0x78});
  bus.store({{0, 0x20}, {0, 0xd0}});
  bus.store({{0, 0xff}, {1024, 0x40}, {1024, 0}});
  EXPECT_EQ(bus.word(0), 0x00U);
  bus.clock.advance(bus.mtd->part().regions[0].erase);
  EXPECT_EQ(bus.word(0), 0x80U);
  EXPECT_EQ(bus.read(1022, 4), bytes_of({0xff, 0xff, 0x56, 0x78}));
}

TEST(NorIntel, LocksAndUnlocks) {
  // 0x60 with 0x01 and 0xd0; the identifier word says it; a locked block sets bit 1 beside the operation's error.
  Bus bus(small_p30());
  bus.store({{0, 0x60}, {0, 0x01}, {0, 0x90}});
  EXPECT_EQ(bus.word(4), 1U);
  bus.store({{0, 0x40}, {0, 0}});
  EXPECT_EQ(bus.word(0), 0x92U);
  bus.store({{0, 0x50}, {0, 0x20}, {0, 0xd0}});
  EXPECT_EQ(bus.word(0), 0xa2U);
  bus.store({{0, 0x50}, {0, 0x60}, {0, 0xd0}, {0, 0x90}});
  EXPECT_EQ(bus.word(4), 0U);
}

TEST(NorIntel, SuspendsAndResumes) {
  // 0xb0: busy for the latency, then 0x40 for an erase, 0x04 for a program inside it; 0xd0 resumes the program first.
  Bus bus(small_p30());
  const auto& part = bus.mtd->part();
  bus.store({{0, 0x20}, {0, 0xd0}});
  bus.clock.advance(1ms);
  bus.store({{0, 0xb0}});
  EXPECT_EQ(bus.word(0), 0x00U);
  bus.clock.advance(part.suspend);
  EXPECT_EQ(bus.word(0), 0xc0U);
  bus.store({{kBig, 0x40}, {kBig, 0x1234}});
  EXPECT_EQ(bus.word(0), 0x40U) << "busy with the program, the erase still suspended";
  bus.store({{0, 0xb0}});
  bus.clock.advance(part.suspend);
  EXPECT_EQ(bus.word(0), 0xc4U);
  bus.store({{0, 0xff}});
  EXPECT_EQ(bus.load(kBig).source, NorSource::undefined);
  EXPECT_EQ(bus.load(kBig + 2).source, NorSource::array);
  bus.store({{0, 0xd0}});
  EXPECT_EQ(bus.load(0).word, 0x40U);
  bus.clock.advance(part.program_word);
  EXPECT_EQ(bus.status(0), 0xc0U);
  bus.store({{0, 0xd0}});
  EXPECT_EQ(bus.word(0), 0x00U);
  bus.clock.advance(part.regions[0].erase - 1ms);
  EXPECT_EQ(bus.word(0), 0x80U);
}

TEST(NorIntel, InsideASuspendedEraseSomeCommandsAreWrong) {
  // A program into the block or, if the part cannot, anywhere; another erase.
  sim::NorPart part = small_p30();
  const std::vector<std::vector<Cycle>> wrong = {{{8, 0x40}, {8, 0}}, {{kBig, 0x20}, {kBig, 0xd0}}};
  for (const auto& cycles : wrong) {
    Bus bus(part);
    bus.store({{0, 0x20}, {0, 0xd0}, {0, 0xb0}});
    bus.clock.advance(part.suspend);
    bus.store({cycles[0], cycles[1]});
    EXPECT_EQ(bus.status(0), 0xf0U);
  }
  part.program_in_erase_suspend = false;
  Bus bus(part);
  bus.store({{0, 0x20}, {0, 0xd0}, {0, 0xb0}});
  bus.clock.advance(part.suspend);
  bus.store({{kBig, 0x40}});
  EXPECT_EQ(bus.status(0), 0xf0U);
}

TEST(NorIntel, StatusNamesEachError) {
  // Stuck bits, no programming voltage; bits stay until 0x50.
  Bus stuck(sim::NorFlash{.part = small_p30(),
                          .faults = {.stuck = {{.offset = 1, .bit = 3, .value = true}, {.offset = kBig, .bit = 0}}}});
  stuck.store({{0, 0x40}, {0, 0x0000}});
  stuck.settle();
  EXPECT_EQ(stuck.word(0), 0x90U);
  stuck.store({{0, 0xff}});
  EXPECT_EQ(stuck.word(0), 0x0800U);
  EXPECT_EQ(stuck.status(0), 0x90U);
  stuck.store({{0, 0x50}, {kBig, 0x20}, {kBig, 0xd0}});
  stuck.settle();
  EXPECT_EQ(stuck.word(0), 0xa0U);
  stuck.store({{0, 0xff}});
  EXPECT_EQ(stuck.word(kBig), 0xfffeU);

  Bus dark(sim::NorFlash{.part = small_p30(), .faults = {.vpp = false}});
  dark.store({{0, 0x40}, {0, 0}});
  EXPECT_EQ(dark.word(0), 0x98U);
  dark.store({{0, 0x50}, {0, 0x20}, {0, 0xd0}});
  EXPECT_EQ(dark.word(0), 0xa8U);
}

TEST(NorIntel, AnotherPartitionSaysWhoIsBusy) {
  // Bit 0: not this one.
  Bus bus(partitioned());
  bus.store({{0, 0x20}, {0, 0xd0}});
  EXPECT_EQ(bus.status(0), 0x00U);
  EXPECT_EQ(bus.status(kBig), 0x01U);
  bus.settle();
  EXPECT_EQ(bus.status(kBig), 0x80U);
}

// Set 0002

TEST(NorAmd, ReadsIdentifiersAndCfi) {
  // Autoselect after unlock cycles, CFI without; 0xf0 ends both, also in the middle of a sequence.
  Bus bus(small_s29gl());
  bus.store({kFirst, kSecond, at_first(0x90)});
  EXPECT_EQ(bus.word(0), 0x0001U);
  EXPECT_EQ(bus.word(2), 0x227eU);
  bus.store({{0, 0xf0}, {0xaa, 0x98}});
  EXPECT_EQ(bus.word(0x20), 'Q');
  EXPECT_EQ(bus.word(0x26), 0x02U);
  bus.store({kFirst, {0, 0xf0}});
  EXPECT_EQ(bus.load(0).source, NorSource::array);
}

TEST(NorAmd, ProgramsAWord) {
  // DQ7 is the inverse of the data's, DQ6 toggles, then the data is there.
  Bus bus(small_s29gl());
  bus.store({kFirst, kSecond, at_first(0xa0), {8, 0x1234}});
  EXPECT_EQ(bus.word(8) & 0x80U, 0x80U);
  EXPECT_EQ(bus.toggling(8), 0x40U);
  bus.clock.advance(bus.mtd->part().program_word);
  EXPECT_EQ(bus.word(8), 0x1234U);
  bus.store({kFirst, kSecond, at_first(0xa0), {10, 0x0080}});
  EXPECT_EQ(bus.word(8) & 0x80U, 0U);
}

TEST(NorAmd, WithoutItsUnlockCyclesNothingHappens) {
  // A store that hits the flash by mistake changes nothing.
  Bus bus(small_s29gl());
  bus.store({{8, 0xa0}, {8, 0x1234}});
  bus.store({kFirst, {8, 0x55}, at_first(0xa0), {8, 0x1234}});
  bus.store({kFirst, kSecond, {8, 0xa0}, {8, 0x1234}});
  bus.store({kFirst, kSecond, at_first(0x80), {8, 0x30}});
  bus.settle();
  EXPECT_EQ(bus.load(8).source, NorSource::array);
  EXPECT_EQ(bus.word(8), 0xffffU);
  EXPECT_EQ(bus.mtd->erases(8), 0U);
}

TEST(NorAmd, ProgramsABuffer) {
  // 0x25, count less one, words, 0x29.
  Bus bus(small_s29gl());
  bus.store({kFirst, kSecond, {0x40, 0x25}, {0x40, 1}, {0x40, 0x1111}, {0x42, 0x2222}, {0x40, 0x29}});
  EXPECT_EQ(bus.toggling(0x40), 0x40U);
  bus.clock.advance(4 * bus.mtd->part().program_byte);
  EXPECT_EQ(bus.word(0x42), 0x2222U);
}

TEST(NorAmd, ABrokenBufferShowsDq1) {
  // Until the abort reset; an ordinary reset is not enough.
  for (const Cycle& wrong : {Cycle{0x80, 0x2222}, Cycle{kBig, 0x2222}}) {
    Bus bus(small_s29gl());
    bus.store({kFirst, kSecond, {0x40, 0x25}, {0x40, 1}, {0x40, 0x1111}, wrong});
    bus.store({{0, 0xf0}});
    EXPECT_EQ(bus.word(0) & 0x22U, 0x02U);
    EXPECT_EQ(bus.toggling(0), 0x40U);
    bus.store({kFirst, kSecond, at_first(0xf0)});
    EXPECT_EQ(bus.word(0x40), 0xffffU);
  }
  Bus bus(small_s29gl());
  bus.store({kFirst, kSecond, {0x40, 0x25}, {0x40, 32}});
  EXPECT_EQ(bus.word(0) & 0x02U, 0x02U) << "too long";
}

TEST(NorAmd, ErasesSuspendsAndResumes) {
  // Six cycles, DQ3; 0xb0: only DQ2 toggles, and only in the block; 0x30 goes on.
  Bus bus(small_s29gl());
  const auto& part = bus.mtd->part();
  bus.program(kBig, {0x12, 0x34});
  bus.store({kFirst, kSecond, at_first(0x80), kFirst, kSecond, {8, 0x30}});
  EXPECT_EQ(bus.word(kBig) & 0x88U, 0x08U);
  EXPECT_EQ(bus.toggling(0), 0x44U);
  bus.clock.advance(1ms);
  bus.store({{0, 0xb0}});
  bus.clock.advance(part.suspend);
  EXPECT_EQ(bus.toggling(0), 0x04U);
  EXPECT_EQ(bus.word(0) & 0x80U, 0x80U);
  EXPECT_EQ(bus.word(kBig), 0x3412U);
  bus.store({kFirst, kSecond, at_first(0xa0), {kBig + 2, 0x5678}});
  bus.clock.advance(part.program_word);
  EXPECT_EQ(bus.word(kBig + 2), 0x5678U);
  bus.store({{0, 0x30}});
  EXPECT_EQ(bus.toggling(kBig), 0x40U);
  bus.clock.advance(part.regions[0].erase);
  EXPECT_EQ(bus.load(0).source, NorSource::array);
}

TEST(NorAmd, AFailureShowsDq5UntilReset) {
  // A 1 over a 0: the bits that could be cleared are.
  Bus bus(small_s29gl());
  bus.program(8, {0xf0, 0xff});
  bus.store({kFirst, kSecond, at_first(0xa0), {8, 0xff0f}});
  bus.settle();
  EXPECT_EQ(bus.word(8) & 0x20U, 0x20U);
  EXPECT_EQ(bus.toggling(8), 0x40U);
  bus.store({kFirst, kSecond, at_first(0xa0), {10, 0}});
  EXPECT_EQ(bus.word(8) & 0x20U, 0x20U) << "nothing else is heard";
  bus.store({{0, 0xf0}});
  EXPECT_EQ(bus.word(8), 0xff00U);
  EXPECT_EQ(bus.word(10), 0xffffU);
}

TEST(NorAmd, LocksAreSilent) {
  // The protected block neither changes nor complains; the identifier tells.
  Bus bus(small_s29gl());
  bus.store({kFirst, kSecond, at_first(0xe0), {0, 0xa0}, {0, 0x00}});
  bus.store({kFirst, kSecond, at_first(0x90)});
  EXPECT_EQ(bus.word(4), 1U);
  bus.store({{0, 0xf0}, kFirst, kSecond, at_first(0xa0), {8, 0x1234}});
  EXPECT_EQ(bus.word(8), 0xffffU);
  bus.store({kFirst, kSecond, at_first(0xe0), {0, 0xa0}, {0, 0x01}});
  bus.store({kFirst, kSecond, at_first(0xa0), {8, 0x1234}});
  bus.settle();
  EXPECT_EQ(bus.word(8), 0x1234U);
}

// Both

TEST(NorChip, EveryRowOfTheTablesCanBeSaid) {
  // No row hides behind an earlier one: its cycles, on an idle chip, are not the whole of another command's.
  for (const auto set : {sim::NorCommandSet::intel, sim::NorCommandSet::amd}) {
    const auto table = sim::nor_table(set);
    for (const sim::NorSequence& row : table) {
      for (const sim::NorSequence& other : table) {
        bool is_prefix = &row != &other && other.cycles <= row.cycles &&
                         row.command != sim::NorCommand::confirm_buffer &&
                         other.command != sim::NorCommand::confirm_buffer;
        for (std::size_t i = 0; is_prefix && i < other.cycles; ++i) {
          is_prefix = row.cycle[i].at == other.cycle[i].at && row.cycle[i].data == other.cycle[i].data;
        }
        EXPECT_FALSE(is_prefix) << "command " << static_cast<int>(row.command) << " of set " << static_cast<int>(set);
      }
    }
  }
}

TEST(NorChip, CfiSaysWhatThePartIs) {
  // Powers of two for the times (F10.3): 2^n us of a program, 2^n ms of an erase, limits as factors; the erase regions.
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x13), 1);
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x1f), 8);   // 150 us
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x20), 9);   // 448 us
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x21), 11);  // 1.2 s
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x25), 2);
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x27), 25);  // 32 MiB
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x2a), 6);   // 64 bytes
  EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x2c), 2);
  const std::vector<unsigned> regions = {3, 0, 0x80, 0, 254, 0, 0, 2, 0};
  for (std::size_t i = 0; i < regions.size(); ++i) {
    EXPECT_EQ(sim::nor_cfi(sim::parts::p30, 0x2d + i), regions[i]) << i;
  }
  EXPECT_EQ(sim::nor_cfi(sim::parts::w25q, 0x13), 2);
  EXPECT_EQ(sim::nor_cfi(sim::parts::w25q, 0x28), 0);  // a byte wide
}

TEST(NorChip, APageIsFasterThanItsFirstWord) {
  // Loads cost their access time; the status costs a full access and closes the page.
  Bus bus(small_p30());
  const auto& part = bus.mtd->part();
  EXPECT_EQ(bus.time_of([&] { bus.load(16); }), part.read_initial);
  EXPECT_EQ(bus.time_of([&] { bus.load(18); }), part.read_page);
  EXPECT_EQ(bus.time_of([&] { bus.load(24); }), part.read_initial);
  EXPECT_EQ(bus.time_of([&] { bus.read(20, 8); }), 2 * part.read_initial + 2 * part.read_page);
}

}  // namespace
}  // namespace daxsim::nor
