// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/lab/scenario.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <string>
#include <string_view>

#include "lab/scenario_steps.hpp"

namespace daxsim::lab {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;
using Verdict = RunReport::Verdict;

Scenario parsed(std::string_view text) {
  auto scenario = parse_scenario(text, "t.scn");
  EXPECT_TRUE(scenario.has_value()) << scenario.error().text();
  return std::move(*scenario);
}

// What is wrong with it, where.
std::string error_of(std::string_view text, const SimulatedMachine& machine = {}) {
  const auto scenario = parse_scenario(text, "t.scn");
  if (!scenario) {
    return scenario.error().text();
  }
  const auto steps = steps_of(*scenario, machine);
  return steps ? "nothing" : steps.error().text();
}

std::vector<std::string> commands_of(std::string_view text, const SimulatedMachine& machine = {}) {
  const auto steps = steps_of(parsed(text), machine);
  EXPECT_TRUE(steps.has_value()) << steps.error().text();
  std::vector<std::string> commands;
  for (const Step& step : *steps) {
    commands.push_back(step.command);
  }
  return commands;
}

SimulatedMachine with_parameter(const char* name, const char* value) {
  SimulatedMachine machine;
  machine.parameters.emplace(name, value);
  return machine;
}

RunReport run_of(std::string_view text, const SimulatedMachine& machine = {}, Keep keep = Keep::nothing) {
  return run(parsed(text), machine, keep);
}

// --- what is written ---

TEST(ScenarioText, NumbersHaveUnitsAndSums) {
  EXPECT_EQ(number_of("4k"), 4096u);
  EXPECT_EQ(number_of("0x1f"), 31u);
  EXPECT_EQ(number_of("3*4k+100"), 12388u);
  EXPECT_EQ(number_of("1m-1"), 1048575u);
  EXPECT_EQ(number_of("2s"), 1024u);
  EXPECT_EQ(number_of("2b"), 8192u);
}

TEST(ScenarioText, WhatDoesNotFitIsNoNumber) {
  for (const char* text : {"", "k", "4kk", "0x", "-1", "1-2", "16777216t", "99999999999999999999", "1+", "*2", "4 k"}) {
    EXPECT_EQ(number_of(text), std::nullopt) << text;
  }
}

TEST(ScenarioText, CommentsContinuationsAndQuotesAreRead) {
  EXPECT_THAT(commands_of("# nothing\n\n  echo a \\\n  b # c\necho \"a # b\"\r\necho c"),
              ElementsAre("echo a b", "echo a # b", "echo c"));
}

TEST(ScenarioText, VariablesAreReplacedInWords) {
  EXPECT_THAT(commands_of("param n = 3\nset m = ${n}*4k\necho x${n}y ${m} \"${era} ${adapter}\""),
              ElementsAre("echo x3y 3*4k 6.12 ext4"));
}

TEST(ScenarioText, ParametersOfTheRunWinOverDefaults) {
  EXPECT_THAT(commands_of("param n = 3\necho ${n}", with_parameter("n", "5")), ElementsAre("echo 5"));
}

TEST(ScenarioText, BlocksRepeatAndChoose) {
  EXPECT_THAT(commands_of("repeat 2 as i\n  repeat 2 as j\n echo ${i}${j}\nend\nend\nwhen era=6.1,6.12\necho in\nend\n"
                          "when mmu=live\necho out\nend"),
              ElementsAre("echo 00", "echo 01", "echo 10", "echo 11", "echo in"));
}

TEST(ScenarioText, ErrorsSayWhereAndWhatWasExpected) {
  EXPECT_EQ(error_of("fsync\nopne -f a"), "t.scn:2:1: no verb opne; did you mean open?");
  EXPECT_EQ(error_of("  mread 4k"), "t.scn:1:3: expected mread OFFSET LENGTH");
  EXPECT_EQ(error_of("mread 4x 1"), "t.scn:1:7: expected a number (4k, 0x10, 3*4k+100), not 4x");
  EXPECT_EQ(error_of("mread 1 2 3"), "t.scn:1:11: expected mread OFFSET LENGTH");
  EXPECT_EQ(error_of("fsync now"), "t.scn:1:7: fsync takes no arguments");
  EXPECT_EQ(error_of("pwrite -Q 0 1"), "t.scn:1:8: pwrite has no flag -Q: pwrite [-S BYTE] [-m BUFFER] OFFSET LENGTH");
  EXPECT_EQ(error_of("pwrite -S"), "t.scn:1:8: expected a value after -S: pwrite [-S BYTE] [-m BUFFER] OFFSET LENGTH");
  EXPECT_EQ(error_of("echo ${nme"), "t.scn:1:11: expected } after the name of a variable");
  EXPECT_EQ(error_of("param name = 1\necho ${nme}"), "t.scn:2:6: no variable named nme; did you mean name?");
  EXPECT_EQ(error_of("echo \"a"), "t.scn:1:8: expected \" at the end of the quoted text");
  EXPECT_EQ(error_of("fsync =>"), "t.scn:1:9: expected what must come back after =>");
  EXPECT_EQ(error_of("fsync => 0,"), "t.scn:1:12: expected another expectation after the comma");
  EXPECT_EQ(error_of("[x fsync"), "t.scn:1:3: expected ] after the label");
  EXPECT_EQ(error_of("p1:"), "t.scn:1:4: expected a command");
  EXPECT_EQ(error_of("device destroy x"), "t.scn:1:1: no verb device destroy; did you mean device create?");
}

TEST(ScenarioText, ExpectationsAreCheckedBeforeAnythingRuns) {
  EXPECT_THAT(error_of("fsync => perhaps"), HasSubstr("expected a value, an errno"));
  EXPECT_EQ(error_of("fsync => finding lost stor"), "t.scn:1:10: no finding lost stor; did you mean lost store?");
  EXPECT_EQ(error_of("fsync => events dax_flsh"), "t.scn:1:17: no event dax_flsh; did you mean dax_flush?");
  EXPECT_EQ(error_of("fsync => events dax_flush dax_flush"), "t.scn:1:27: expected > and another event");
  EXPECT_THAT(error_of("mread 0 1 => SIGBUS BUS_ADRER"), HasSubstr("a signal and its code"));
}

TEST(ScenarioText, BlocksMustBeWhole) {
  EXPECT_EQ(error_of("repeat 2\nfsync"), "t.scn:1:1: expected an end to this block, and the file is at its end");
  EXPECT_EQ(error_of("fsync\nend"), "t.scn:2:1: this ends nothing: expected a repeat or when before it");
  EXPECT_EQ(error_of("repeat x\nend"), "t.scn:1:1: expected repeat NUMBER, or repeat NUMBER as NAME");
  EXPECT_EQ(error_of("when colour=red\nend"),
            "t.scn:1:6: colour is neither era, design, adapter or mmu nor a variable");
}

TEST(ScenarioText, NoFileMakesMoreLinesThanAScenarioMayHave) {
  EXPECT_THAT(error_of("repeat 100000\nrepeat 100000\nset x = 1\nend\nend"), HasSubstr("more than 100000 lines"));
  EXPECT_THAT(error_of(std::string(kMostSteps * 20, ' ')), HasSubstr("longer than"));
}

class ScenarioInclude : public ::testing::Test {
 protected:
  ScenarioInclude() { std::filesystem::create_directory(folder_); }
  ~ScenarioInclude() override { std::filesystem::remove_all(folder_); }
  std::filesystem::path write(const char* name, std::string_view text) {
    const auto path = folder_ / name;
    std::ofstream(path) << text;
    return path;
  }
  const std::filesystem::path folder_ =
      std::filesystem::temp_directory_path() / ("daxsim-include-" + std::to_string(::getpid()));
};

TEST_F(ScenarioInclude, TakesTheLinesOfAnotherFileWithItsParameters) {
  write("fill.scn", "param pages = 1\nrepeat ${pages} as p\necho fill ${p}\nend\n");
  const auto scenario = load_scenario(write("main.scn", "include fill.scn pages=2\necho done\n"));
  ASSERT_TRUE(scenario) << scenario.error().text();
  const auto steps = steps_of(*scenario, {});
  ASSERT_TRUE(steps) << steps.error().text();
  ASSERT_EQ(steps->size(), 3u);
  EXPECT_EQ((*steps)[1].command, "echo fill 1");
  EXPECT_THAT(std::string((*steps)[1].file), HasSubstr("fill.scn"));
  EXPECT_EQ((*steps)[2].line, 2u);
}

TEST_F(ScenarioInclude, OfItselfIsAnError) {
  const auto scenario = load_scenario(write("main.scn", "include main.scn\n"));
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().text(), HasSubstr("deep"));
}

TEST_F(ScenarioInclude, OfAMissingFileSaysWhich) {
  const auto scenario = load_scenario(write("main.scn", "fsync\ninclude gone.scn\n"));
  ASSERT_FALSE(scenario);
  EXPECT_THAT(scenario.error().text(), HasSubstr("main.scn:2:1: cannot include"));
  EXPECT_THAT(scenario.error().text(), HasSubstr("No such file"));
}

// --- machines ---

TEST(ScenarioMachines, AreEveryCombinationThatIsDeclared) {
  const Scenario scenario = parsed("for adapters ext4 xfs\nfor eras 6.1 6.12\nfor mmus soft live");
  EXPECT_EQ(machines_for(scenario)->size(), 8u);
  const auto narrowed =
      machines_for(scenario, {.era = eras::v7_3}, {.era = true, .design = false, .adapter = false, .mmu = false});
  ASSERT_EQ(narrowed->size(), 4u);
  EXPECT_EQ(narrowed->front().text(), "7.3 pfn ext4 soft");
}

TEST(ScenarioMachines, ThatDoNotExistAreNamed) {
  const auto machines = machines_for(parsed("for adapters ext4 zfs"));
  ASSERT_FALSE(machines);
  EXPECT_THAT(machines.error().text(), HasSubstr("t.scn:1:19: none of the adapters is zfs; did you mean"));
}

// --- runs ---

TEST(ScenarioRun, PassesWhenEverythingComesBackAsExpected) {
  const RunReport run =
      run_of("open -f a\npwrite -S 7 0 4k => 4k\npread 0 4k => 7\npread 8k 1 => ok\nopen b => ENOENT");
  EXPECT_EQ(run.verdict, Verdict::passed) << run.message;
}

TEST(ScenarioRun, FailsWithTheLineWhatWasExpectedAndWhatCame) {
  const RunReport run = run_of("open -f a\npwrite -S 7 0 4k\n\npread 0 2 => 8\n");
  EXPECT_EQ(run.verdict, Verdict::failed);
  EXPECT_THAT(run.message, HasSubstr("t.scn:4: pread 0 2 => 8\n"));
  EXPECT_THAT(run.message, HasSubstr("expected  8"));
  EXPECT_THAT(run.message, HasSubstr("came      2 bytes: 07 07"));
  EXPECT_THAT(run.message, HasSubstr("dax_copy_to_iter"));
}

TEST(ScenarioRun, ALineWithoutExpectationMustSucceed) {
  const RunReport run = run_of("open gone");
  EXPECT_EQ(run.verdict, Verdict::failed);
  EXPECT_THAT(run.message, HasSubstr("came      ENOENT (no such file"));
}

TEST(ScenarioRun, AFindingThatNoLineExpectsFails) {
  constexpr std::string_view kText =
      "for eras 4.5-rc1\nopen -f a\nchattr +r\ntruncate 4k\nmmap 0 4k\nmwrite 0 1\nfsync\n";
  const RunReport run = run_of(kText, {.era = eras::v4_5_rc1, .adapter = find_adapter_kind("xfs")});
  EXPECT_EQ(run.verdict, Verdict::failed);
  EXPECT_THAT(run.message, HasSubstr("a finding that no line expects: wrong-device flush"));
}

TEST(ScenarioRun, WhatIsNoScenarioIsBad) {
  const RunReport run = run_of("fsnc");
  EXPECT_EQ(run.verdict, Verdict::bad);
  EXPECT_EQ(run.message, "t.scn:1:1: no verb fsnc; did you mean fsync?\n");
}

TEST(ScenarioRun, WhatThisMmuCannotDoIsSkipped) {
  const RunReport run = run_of("open -f a\ntruncate 4k\nmmap 0 4k\npin 0", {.mmu = Mmu::live});
  EXPECT_EQ(run.verdict, Verdict::skipped);
  EXPECT_THAT(run.message, HasSubstr("live mappings have no pin"));
}

TEST(ScenarioRun, TheSameRunTwiceHasTheSameEvents) {
  constexpr std::string_view kText =
      "open -f a\ntruncate 64k\nmmap 0 64k\nrepeat 16 as p\nmwrite ${p}*4k 8\nend\nfsync\npower-cut 7\nreboot\nmount\n"
      "open a\nmmap 0 64k\nmread 0 64k";
  const RunReport first = run_of(kText, {}, Keep::events);
  const RunReport second = run_of(kText, {}, Keep::events);
  ASSERT_EQ(first.verdict, Verdict::passed) << first.message;
  ASSERT_EQ(first.steps.size(), second.steps.size());
  for (std::size_t step = 0; step < first.steps.size(); ++step) {
    const auto& a = first.steps[step];
    const auto& b = second.steps[step];
    EXPECT_EQ(a.result, b.result);
    ASSERT_EQ(a.events.size(), b.events.size()) << a.command;
    for (std::size_t event = 0; event < a.events.size(); ++event) {
      EXPECT_EQ(fs_dax_text(a.events[event]), fs_dax_text(b.events[event]));
      EXPECT_EQ(a.events[event].time_ns, b.events[event].time_ns);
    }
  }
}

TEST(ScenarioRun, AWaiterThatNothingWakesIsNotWaitedForForEver) {
  const RunReport run = run_of("open -f a\npwrite 0 8k\nmmap 0 8k\npin 0\nt2: fpunch 0 4k & => waits\nt2: fsync");
  EXPECT_EQ(run.verdict, Verdict::failed);
  EXPECT_THAT(run.message, HasSubstr("EBUSY"));
}

}  // namespace
}  // namespace daxsim::lab
