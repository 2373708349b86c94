// SPDX-License-Identifier: BSD-3-Clause
// Every state of every power cut in a workload, by id, against the states that the device itself foretells while the
// workload runs.
#include "daxsim/sim_devices/nor_power_cuts.hpp"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <vector>

#include "daxsim/base/random.hpp"
#include "nor_test.hpp"

namespace daxsim::nor {
namespace {

using sim::NorCutId;
using sim::NorPowerCuts;
using sim::NorSource;
using States = std::map<NorCutId, Bytes>;

constexpr std::uint64_t kOperations = 200;

// All that the device says a power cut could leave now.
void foretell(sim::Mtd& mtd, States& states) {
  const std::vector<LineHistory> pending = mtd.pending_operations();
  NorCutId id{.operation = static_cast<std::uint32_t>(mtd.operations() - 1)};
  std::uint32_t count = 1;
  std::ranges::for_each(pending, [&](const LineHistory& line) { count *= line.outcomes; });
  for (; id.outcome < count; ++id.outcome) {
    PowerCut choice{.kind = PowerCut::Kind::listed};
    std::uint32_t rest = id.outcome;
    for (const LineHistory& line : pending) {
      choice.lines.push_back({.offset = line.offset, .outcome = rest % line.outcomes});
      rest /= line.outcomes;
    }
    states[id] = must(mtd.contents_after(choice)).bytes;
  }
}

// 200 programs and erases, at times one of each at once; after the begin of each `act` is called.
template <class Act>
void work(Flash& flash, Act act) {
  Random random(7);
  const std::uint64_t size = flash.mtd->size();
  const std::uint64_t unit = flash.mtd->part().buffer_bytes;
  while (flash.mtd->operations() < kOperations) {
    const std::uint64_t at = random.below(size / unit) * unit;
    Bytes data(unit);
    std::ranges::generate(data, [&random] { return std::byte(random.below(256)); });
    if (random.one_in(5)) {
      must(flash.mtd->start_erase(flash.mtd->erase_block(at).offset));
      act();
      if (random.one_in(2) && flash.mtd->operations() < kOperations) {
        const std::uint64_t other = (at + size / 2) % size;
        must(flash.mtd->start_program(other, data));
        act();
      }
    } else {
      must(flash.mtd->start_program(at, data));
      act();
    }
    // On a part that refuses ones half of the programs fail.
    const Result<void> ignored = flash.mtd->wait(0);
    static_cast<void>(ignored);
  }
}

// The same, recorded, with what the device foretold.
struct Recorded {
  explicit Recorded(const sim::NorPart& part) : flash(part), cuts(flash.media) {
    flash.mtd.reset();
    flash.mtd = must(cuts.record(flash.clock));
    work(flash, [this] { foretell(*flash.mtd, foretold); });
    foretold[{.operation = kOperations}] = must(flash.mtd->contents_after({})).bytes;
    flash.mtd.reset();
  }
  Flash flash;
  NorPowerCuts cuts;
  States foretold;
};

// By name, which the tests then have too.
sim::NorPart part_of(const std::string& name) {
  const std::map<std::string, sim::NorPart> parts{
      {"p30", small_p30()}, {"s29gl", small_s29gl()}, {"w25q", small_w25q()}, {"partitioned", partitioned()}};
  return parts.at(name);
}

class NorPowerCutsTest : public testing::TestWithParam<std::string> {};
INSTANTIATE_TEST_SUITE_P(Parts, NorPowerCutsTest, testing::Values("p30", "s29gl", "w25q", "partitioned"),
                         [](const auto& name) { return name.param; });

TEST_P(NorPowerCutsTest, EveryStateOf200OperationsIsWhatTheDeviceForetold) {
  // Each cut point, each torn variant; none is left out and none is made up.
  Recorded recorded(part_of(GetParam()));
  const std::vector<NorCutId> ids = must(recorded.cuts.ids());
  EXPECT_EQ(ids.size(), recorded.foretold.size());
  EXPECT_GT(ids.size(), 1000U);
  EXPECT_TRUE(std::ranges::is_sorted(ids));
  std::size_t visited = 0;
  for (const NorCutId id : ids) {
    ASSERT_TRUE(recorded.foretold.contains(id)) << id.operation << "." << id.outcome;
    ASSERT_EQ(must(recorded.cuts.contents(id)).bytes, recorded.foretold[id]) << id.operation << "." << id.outcome;
    ++visited;
  }
  EXPECT_EQ(visited, recorded.foretold.size());
  EXPECT_EQ(recorded.foretold.rbegin()->second, must(recorded.flash.media->contents()).bytes)
      << "the media is past all";
}

TEST_P(NorPowerCutsTest, AnIdReplaysItsBytesInAnyOrder) {
  // Whatever a client did to the states before, down to leaving the power on in the middle of an erase.
  Recorded recorded(part_of(GetParam()));
  const std::vector<NorCutId> ids = must(recorded.cuts.ids());
  Random random(3);
  for (int i = 0; i < 300; ++i) {
    const NorCutId id = ids[random.below(ids.size())];
    ASSERT_EQ(must(recorded.cuts.contents(id)).bytes, recorded.foretold[id]) << id.operation << "." << id.outcome;
    VirtualClock clock;
    const auto after = must(recorded.cuts.power_on(id, clock));
    must(after->program(random.below(after->size() - 3), bytes_of({0xff, 0xff, 0xff})));
    must(after->erase(after->erase_block(random.below(after->size()))));
    must(after->program(after->size() - 1, bytes_of({0xff})));
    must(after->start_erase(after->erase_block(random.below(after->size())).offset));
  }
}

TEST_P(NorPowerCutsTest, TheChoiceOfAnIdIsOneOfTheDevice) {
  // The same workload without a recording, cut there as the choice says.
  Recorded recorded(part_of(GetParam()));
  const std::vector<NorCutId> ids = must(recorded.cuts.ids());
  for (std::size_t i = 5; i < ids.size(); i += ids.size() / 10) {
    Flash flash(part_of(GetParam()));
    std::optional<Bytes> left;
    work(flash, [&] {
      if (flash.mtd->operations() == ids[i].operation + 1) {
        left = must(flash.mtd->contents_after(must(recorded.cuts.choice(ids[i])))).bytes;
      }
    });
    EXPECT_EQ(left, recorded.foretold[ids[i]]);
  }
}

TEST(NorPowerCuts, ThePowerComesBackToADeviceAsAfterAnyCut) {
  // Locked again, unstable where an erase was torn, at the time of the cut.
  sim::NorPart part = small_p30();
  part.locked_at_power_up = true;
  Flash flash(part);
  NorPowerCuts cuts(flash.media);
  flash.mtd.reset();
  flash.mtd = must(cuts.record(flash.clock));
  must(flash.mtd->unlock({0, kBig}));
  flash.clock.advance(5s);
  flash.erase(0);
  flash.mtd.reset();

  EXPECT_EQ(must(cuts.ids()).size(), 6U + 1);
  VirtualClock clock;
  const auto after = must(cuts.power_on({.operation = 0, .outcome = 4}, clock));
  EXPECT_GE(clock.now(), 5s);
  EXPECT_LT(clock.now(), 5s + part.regions[0].erase);
  EXPECT_EQ(after->load(0).source, NorSource::unstable);
  EXPECT_EQ(after->erases(0), 1U);
  EXPECT_EQ(must(after->is_locked(0)), true);
}

TEST(NorPowerCuts, ManyChipsAreCutAtOnce) {
  // Two chips, each with a program: 8 times 8 outcomes, the lower chip's the lower digit.
  const std::uint64_t chip = small_p30().size();
  Flash flash(sim::NorFlash{.part = small_p30(), .chips = 2});
  NorPowerCuts cuts(flash.media);
  flash.mtd.reset();
  flash.mtd = must(cuts.record(flash.clock));
  flash.start_program(chip, {0});
  flash.start_program(0, {0});
  flash.mtd.reset();

  const std::vector<NorCutId> ids = must(cuts.ids());
  EXPECT_EQ(ids.size(), 8U + 64 + 1);
  const PowerCut choice = must(cuts.choice({.operation = 1, .outcome = 8 * 7 + 3}));
  ASSERT_EQ(choice.lines.size(), 2U);
  EXPECT_EQ(choice.lines[0].offset, 0U);
  EXPECT_EQ(choice.lines[0].outcome, 3U);
  EXPECT_EQ(choice.lines[1].offset, chip);
  EXPECT_EQ(choice.lines[1].outcome, 7U);
  const sim::NorContents contents = must(cuts.contents({.operation = 1, .outcome = 8 * 7 + 3}));
  EXPECT_EQ(contents.bytes[0], std::byte{0xf0});
  EXPECT_EQ(contents.bytes[chip], std::byte{0});
}

TEST(NorPowerCuts, ARecordingBeginsWithWhatIsThere) {
  // And a second one forgets the first.
  Flash flash(small_w25q());
  flash.program(0, {0x12, 0x34});
  NorPowerCuts cuts(flash.media);
  for (const unsigned value : {0x56U, 0x78U}) {
    flash.mtd.reset();
    flash.mtd = must(cuts.record(flash.clock));
    flash.program(value, {value});
    flash.mtd.reset();
    EXPECT_EQ(must(cuts.ids()).size(), 8U + 1);
    EXPECT_EQ(must(cuts.contents({.operation = 0, .outcome = 0})).bytes[1], std::byte{0x34});
    EXPECT_EQ(must(cuts.contents({.operation = 0, .outcome = 0})).bytes[value], std::byte{0xff});
    EXPECT_EQ(must(cuts.contents({.operation = 0, .outcome = 7})).bytes[value], std::byte(value));
  }
  EXPECT_EQ(must(cuts.contents({.operation = 0, .outcome = 0})).bytes[0x56], std::byte{0x56});
}

TEST(NorPowerCuts, RefuseWhatIsNotThere) {
  // Errno::einval before a recording and for ids of no state, Errno::ebusy while somebody has the power on, and
  // Errno::eoverflow where so many chips are busy that there are more than a million outcomes.
  sim::NorPart slow = small_p30();
  slow.program_byte = 1ms;
  Flash flash(sim::NorFlash{.part = slow, .chips = 4});
  NorPowerCuts cuts(flash.media);
  VirtualClock clock;
  EXPECT_EQ(error_of(cuts.ids()), Errno::einval);
  EXPECT_EQ(error_of(cuts.choice({})), Errno::einval);
  EXPECT_EQ(error_of(cuts.contents({})), Errno::einval);
  EXPECT_EQ(error_of(cuts.power_on({}, clock)), Errno::einval);
  EXPECT_EQ(error_of(cuts.record(clock)), Errno::ebusy);

  flash.mtd.reset();
  flash.mtd = must(cuts.record(flash.clock));
  flash.program(0, {0});
  EXPECT_EQ(error_of(cuts.ids()), Errno::ebusy);
  EXPECT_EQ(error_of(cuts.choice({})), Errno::ebusy);
  EXPECT_EQ(error_of(cuts.contents({})), Errno::ebusy);
  EXPECT_EQ(error_of(cuts.power_on({}, clock)), Errno::ebusy);
  flash.mtd.reset();
  for (const NorCutId id : {NorCutId{.operation = 0, .outcome = 8}, {.operation = 1, .outcome = 1}, {.operation = 2}}) {
    EXPECT_EQ(error_of(cuts.choice(id)), Errno::einval);
    EXPECT_EQ(error_of(cuts.contents(id)), Errno::einval);
    EXPECT_EQ(error_of(cuts.power_on(id, clock)), Errno::einval);
  }
  {
    const auto after = must(cuts.power_on({}, clock));
    EXPECT_EQ(error_of(cuts.power_on({}, clock)), Errno::ebusy);
    EXPECT_EQ(error_of(cuts.contents({})), Errno::ebusy);
    EXPECT_EQ(error_of(cuts.record(clock)), Errno::ebusy);
  }

  flash.mtd = must(cuts.record(flash.clock));
  for (std::uint64_t chip = 0; chip < 4; ++chip) {
    must(flash.mtd->start_erase(chip * flash.mtd->size() / 4 + kBig));
    flash.start_program(chip * flash.mtd->size() / 4, {0x12, 0x34, 0x56});
  }
  flash.mtd.reset();
  EXPECT_EQ(error_of(cuts.ids()), Errno::eoverflow);
  EXPECT_EQ(error_of(cuts.choice({})), Errno::eoverflow);
  EXPECT_EQ(error_of(cuts.contents({})), Errno::eoverflow);
  EXPECT_EQ(error_of(cuts.power_on({}, clock)), Errno::eoverflow);
}

TEST(NorPowerCuts, TheRealPartHasStatesToo) {
  // 32 MiB: a state is still the few blocks that differ.
  Flash flash(sim::parts::p30);
  NorPowerCuts cuts(flash.media);
  flash.mtd.reset();
  flash.mtd = must(cuts.record(flash.clock));
  must(flash.mtd->unlock({0, flash.mtd->size()}));
  const std::uint64_t last = flash.mtd->erase_block(flash.mtd->size() - 1).offset;
  flash.program(last, {0x12});
  flash.erase(last);
  flash.program(last, {0x34});
  flash.mtd.reset();
  for (const NorCutId id : must(cuts.ids())) {
    VirtualClock clock;
    const auto after = must(cuts.power_on(id, clock));
    Bytes byte(1);
    must(after->read(last, byte));
    if (id.outcome == 0) {
      const unsigned wanted[] = {0xff, 0x12, 0xff, 0x34};
      EXPECT_EQ(static_cast<unsigned>(byte[0]), wanted[id.operation]);
    }
  }
}

}  // namespace
}  // namespace daxsim::nor
