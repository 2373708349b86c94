// SPDX-License-Identifier: BSD-3-Clause
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <rapidcheck.h>

#include <array>
#include <cstdlib>
#include <optional>
#include <string>
#include <vector>

#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/inode.hpp"
#include "program.hpp"
#include "support/sanitized.hpp"
#include "support/wrong_designs.hpp"

namespace daxsim::test {
namespace {

using ::testing::AnyOf;
using ::testing::HasSubstr;
using Operations = std::vector<Operation>;

rc::Shrinkable<Operations> program_of(const ProgramWorld& world, std::uint64_t seed) {
  return any_program(world.pages)(rc::Random(seed), kProgramSize);
}

// The program of the first of `seeds` that fails, and the least that is left of it when everything that the failure
// does not need is taken away.
struct Caught {
  std::uint64_t seed = 0;
  Operations least;
  std::string failure;  // of `least`
};
Caught shrunk(const ProgramWorld& world, std::uint64_t seed) {
  const auto fails = [&](const Operations& program) { return !run_program(world, program).empty(); };
  Operations least = rc::shrinkable::findLocalMin(program_of(world, seed), fails).first;
  std::string failure = run_program(world, least);
  return {.seed = seed, .least = std::move(least), .failure = std::move(failure)};
}
std::optional<Caught> first_caught(const ProgramWorld& world, std::uint64_t seeds) {
  for (std::uint64_t seed = 0; seed < seeds; ++seed) {
    if (!run_program(world, program_of(world, seed).value()).empty()) {
      return shrunk(world, seed);
    }
  }
  return std::nullopt;
}

std::uint64_t number_in_environment(const char* name, std::uint64_t otherwise) {
  const char* const text = std::getenv(name);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

struct Seeds {
  std::uint64_t first = 0;
  std::uint64_t count = 0;
};
// DAXSIM_PROGRAM_SEED replays one program of every test that asks here.
Seeds seeds(Seeds usual) {
  if (std::getenv("DAXSIM_PROGRAM_SEED") != nullptr) {
    return {.first = number_in_environment("DAXSIM_PROGRAM_SEED", 0), .count = 1};
  }
  return {.first = usual.first, .count = kSanitized ? usual.count / 10 : usual.count};
}

// Each seed with the next of the designs.
void run_programs(ProgramWorld world, const std::vector<const IndexDesign*>& designs, Seeds usual) {
  const Seeds some = seeds(usual);
  for (std::uint64_t seed = some.first; seed < some.first + some.count; ++seed) {
    world.machine.design = designs[seed % designs.size()];
    const std::string failure = run_program(world, program_of(world, seed).value());
    ASSERT_EQ(failure, "") << world.adapter.name << ", " << world.machine.design->name() << ", " << mmu_name(world.mmu)
                           << "\nreplay with DAXSIM_PROGRAM_SEED=" << seed
                           << "\nshrunk: " << shrunk(world, seed).failure;
  }
}

std::vector<const IndexDesign*> right_designs(const Adapter& adapter) {
  std::vector<const IndexDesign*> right(designs::all().begin(), designs::all().end());
  const std::size_t direct = adapter.devices - adapter.disks;  // an index names no other
  if (direct > 1) {
    std::erase(right, &designs::sector_of_super_block());
  }
  if (direct > 1 && adapter.relocate != nullptr) {  // its files are on more than one device
    std::erase(right, &designs::sector_of_inode());
  }
  return right;
}

// --- what is right ---

// Whatever a program stored and fsynced is there after any power cut or removal, nothing is there that nobody wrote, and
// no detector finds anything: on every adapter with every design that is right there. DAXSIM_PROGRAMS says how many seeds
// an adapter gets, in parts that ctest runs side by side.
constexpr std::uint64_t kParts = 4;
const std::array kAdapters{kLinear, kRealtime, kRealtimeReflink, kChunkSingle, kChunkRaid0, kChunkDup, kTiered};
class SoftPrograms : public ::testing::TestWithParam<std::tuple<Adapter, std::uint64_t>> {};
INSTANTIATE_TEST_SUITE_P(Adapters, SoftPrograms,
                         ::testing::Combine(::testing::ValuesIn(kAdapters), ::testing::Range<std::uint64_t>(0, kParts)),
                         [](const auto& part) {
                           return std::get<0>(part.param).name + std::to_string(std::get<1>(part.param));
                         });

TEST_P(SoftPrograms, SurviveAsTheModelSays) {
  const auto& [adapter, part] = GetParam();
  const std::uint64_t count = number_in_environment("DAXSIM_PROGRAMS", 4000) / kParts;
  run_programs({.adapter = adapter}, right_designs(adapter), {.first = part * count, .count = count});
}

// The same with real loads and stores.
class LivePrograms : public ::testing::TestWithParam<std::tuple<Adapter, Mmu>> {};
INSTANTIATE_TEST_SUITE_P(Adapters, LivePrograms,
                         ::testing::Combine(::testing::ValuesIn(kAdapters),
                                            ::testing::Values(Mmu::userfaultfd, Mmu::sigsegv)),
                         [](const auto& kind) {
                           return std::string(std::get<0>(kind.param).name) + "_" + mmu_name(std::get<1>(kind.param));
                         });

TEST_P(LivePrograms, SurviveAsTheModelSays) {
  const auto& [adapter, mmu] = GetParam();
  run_programs({.adapter = adapter, .mmu = mmu}, {&designs::pfn()}, {.count = 200});
}

// --- what is wrong ---

// Knows the device, and takes any page of it for as good as another.
class FirstPage final : public WrongDesign {
 public:
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    DAXSIM_TRY(FlushTarget target, WrongDesign::resolve(system, inode, entry, pages));
    target.page = {0};
    return target;
  }
};

// Has four bits for the page: right at the front of a device.
class FourBits final : public WrongDesign {
 public:
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return extent.device_page.value % 16;
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& /*system*/, Inode& inode, const StoredEntry& entry,
                                            PageRange /*pages*/) const noexcept override {
    return FlushTarget{.device = inode.bdev(), .page = {entry.payload}};
  }
};

const NextPage kNextPage;
const FirstPage kFirstPage;
const FourBits kFourBits;

constexpr std::uint64_t kSeedsToCatch = 1000;

struct Wrong {
  const char* name;
  MachineOptions machine;
};
Wrong wrong(const char* name, const IndexDesign& design) { return {.name = name, .machine = {.design = &design}}; }
Wrong wrong(const char* name, const Policy& policy) {
  return {.name = name, .machine = {.era = eras::v6_12.with(policy)}};
}

std::vector<Wrong> wrong_everywhere() {
  return {wrong("NextPage", kNextPage),
          wrong("FirstPage", kFirstPage),
          wrong("FourBits", kFourBits),
          wrong("NoFlush", Policy{}.without(Step::flush)),
          wrong("NoFence", Policy{}.without(Step::fence)),
          wrong("NoWriteProtect", {.write_protect = WriteProtect::none}),
          wrong("NobodyIsTold", Policy{}.without(Step::notify_holder))};
}
std::vector<std::tuple<Adapter, Wrong>> all_wrong() {
  std::vector<std::tuple<Adapter, Wrong>> all;
  for (const Adapter& adapter : {kLinear, kRealtime, kChunkRaid0, kTiered}) {
    for (const Wrong& each : wrong_everywhere()) {
      all.emplace_back(adapter, each);
    }
  }
  all.emplace_back(kRealtime, wrong("SectorOfSuperBlock", designs::sector_of_super_block()));
  all.emplace_back(kChunkRaid0, wrong("SectorOfInode", designs::sector_of_inode()));
  // On Tiered what is left mapped makes a store to a page that has moved fault for ever, so that nothing is left to catch.
  all.emplace_back(
      kChunkSingle,
      wrong(
          "Unpurged",
          Policy{}.without(Step::relocate_unmap).without(Step::relocate_flush).without(Step::relocate_delete_entries)));
  for (const Adapter& adapter : {kChunkSingle, kTiered}) {
    all.emplace_back(adapter, wrong("NotCopied", Policy{}.without(Step::relocate_copy)));
    all.emplace_back(adapter, wrong("EntriesStay", Policy{}.without(Step::relocate_delete_entries)));
  }
  all.emplace_back(kChunkSingle, wrong("StaysDirty", Policy{}.without(Step::clear_dirty_before_copy)));
  return all;
}

// The model and the detectors can tell: what is wrong is caught by one of the first programs, and the least program that
// shows it is one that a person can read.
class WrongOnes : public ::testing::TestWithParam<std::tuple<Adapter, Wrong>> {};
INSTANTIATE_TEST_SUITE_P(On, WrongOnes, ::testing::ValuesIn(all_wrong()), [](const auto& each) {
  return std::string(std::get<0>(each.param).name) + "_" + std::get<1>(each.param).name;
});

TEST_P(WrongOnes, AreCaught) {
  const auto& [adapter, machine] = GetParam();
  const ProgramWorld world{.adapter = adapter, .machine = machine.machine};
  const std::optional<Caught> caught = first_caught(world, kSeedsToCatch);
  ASSERT_TRUE(caught.has_value()) << kSeedsToCatch << " programs ran as if nothing were wrong";
  EXPECT_LE(caught->least.size(), 5U) << caught->failure;
  RecordProperty("seed", std::to_string(caught->seed));
  RecordProperty("failure", caught->failure);
}

// --- what the seeds are good for ---

// A seed is a program, always the same, and a failing one fails the same way each time.
TEST(ProgramSeeds, Replay) {
  const ProgramWorld world{.adapter = kRealtime, .machine = {.design = &designs::sector_of_super_block()}};
  const Caught caught = first_caught(world, kSeedsToCatch).value();
  const Operations again = program_of(world, caught.seed).value();
  EXPECT_EQ(run_program(world, again), run_program(world, again));
  EXPECT_EQ(run_program(world, caught.least), caught.failure);
}

// What is left of a program that a missing flush fails: the store, and the fsync or the orderly removal that promised it.
TEST(ProgramSeeds, ShrinkToWhatIsNeeded) {
  const ProgramWorld world{.machine = {.era = eras::v6_12.without(Step::flush)}};
  const Caught caught = first_caught(world, kSeedsToCatch).value();
  ASSERT_EQ(caught.least.size(), 2U) << caught.failure;
  EXPECT_EQ(caught.least[0].call, Call::store);
  EXPECT_THAT(caught.least[1].call, AnyOf(Call::fsync, Call::remove));
  EXPECT_THAT(caught.failure, AnyOf(HasSubstr("lost store"), HasSubstr("reads 0")));
}

}  // namespace
}  // namespace daxsim::test
