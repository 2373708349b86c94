// SPDX-License-Identifier: BSD-3-Clause
#include "lab/conformance.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

namespace daxsim::test {
namespace {

using lab::ComparedStep;
using lab::RecordedStep;
using lab::StepVerdict;
using ::testing::HasSubstr;

RecordedStep recorded(std::string label, std::vector<std::string> events, std::string result) {
  return {.line = 2,
          .file_system = "ext4",
          .workload = "a",
          .label = std::move(label),
          .events = std::move(events),
          .result = std::move(result)};
}
ComparedStep played(const RecordedStep& step) {
  return {.label = step.label, .command = {}, .result = step.result, .events = step.events};
}

lab::Rules rules(const std::string& not_dax, const std::string& known) {
  return {
      lab::read_rules("kernel\tfs\tworkload\tstep\tpart\treason\n" + not_dax, "not-dax.tsv", lab::RuleTable::not_dax)
          .value(),
      lab::read_rules("kernel\tfs\tworkload\tstep\tpart\tanchor\n" + known, "known.tsv",
                      lab::RuleTable::known_differences)
          .value()};
}

struct Compared {
  std::vector<StepVerdict> steps;
  lab::RuleUse use;
};
Compared compared(const std::vector<RecordedStep>& steps, const std::vector<ComparedStep>& others,
                  const lab::Rules& by = {}) {
  lab::RuleUse use = by.unused();
  return {lab::compare("6.1", steps, others, by, use).value().steps, use};
}

const RecordedStep kLoad =
    recorded("a1", {"#PF(0x4)", "bio(WS,8)", "pte_done=NOPAGE"}, "load +0x0 ok val=0x00 pte=none");
const RecordedStep kSync = recorded("a2", {"dax_flush(4096)"}, "fsync(fd) = 0");

// Steps go together by label, those of one label in their order, and events that no kernel's DAX code emits do not count.
TEST(Compare, TakesStepsByTheirLabel) {
  ComparedStep load = played(kLoad);
  load.events = {"#PF(0x4)", "pte_done=NOPAGE"};
  const Compared all = compared({kLoad, kSync, kLoad}, {played(kSync), load, load});
  ASSERT_EQ(all.steps.size(), 3U);
  EXPECT_TRUE(
      std::ranges::all_of(all.steps, [](const StepVerdict& step) { return step.kind == StepVerdict::Kind::matches; }));
}

// A step that only one side has is a difference that nobody has explained.
TEST(Compare, MissesWhatIsNotThere) {
  const Compared less = compared({kLoad, kSync}, {played(kLoad)});
  ASSERT_EQ(less.steps.size(), 2U);
  EXPECT_EQ(less.steps[1].kind, StepVerdict::Kind::unexplained);
  EXPECT_THAT(less.steps[1].why, HasSubstr("the scenario has no such step"));
  const Compared more = compared({kLoad}, {played(kLoad), played(kSync)});
  ASSERT_EQ(more.steps.size(), 2U);
  EXPECT_EQ(more.steps[1].kind, StepVerdict::Kind::unexplained);
  EXPECT_THAT(more.steps[1].why, HasSubstr("the recording has no such step"));
}

// What is not about DAX does not count; a rule for one event leaves the others in.
TEST(Compare, LeavesOutWhatIsNotDax) {
  ComparedStep sync = played(kSync);
  sync.events.clear();
  const lab::Rules no_flush = rules("*\text4\ta\ta2\tevent:dax_flush\tbecause\n", "");
  EXPECT_EQ(compared({kSync}, {sync}, no_flush).steps[0].kind, StepVerdict::Kind::matches);
  sync.result = "fsync = -1 EIO";
  EXPECT_EQ(compared({kSync}, {sync}, no_flush).steps[0].kind, StepVerdict::Kind::unexplained);
  const lab::Rules by_result = rules("*\t*\t*\t* => fsync*\tboth\tbecause\n", "");
  const Compared rest = compared({kSync, kLoad}, {played(kLoad)}, by_result);
  ASSERT_EQ(rest.steps.size(), 1U);
  EXPECT_EQ(rest.steps[0].label, "a1");
}

// A difference that is known counts as one; the other part of the step has to match.
TEST(Compare, KnowsWhatDiffers) {
  ComparedStep sync = played(kSync);
  sync.events.clear();
  const lab::Rules known = rules("", "6.1,6.12\text*\ta\ta2\tevents\tno-flush\n");
  const Compared here = compared({kSync}, {sync}, known);
  EXPECT_EQ(here.steps[0].kind, StepVerdict::Kind::known_difference);
  EXPECT_EQ(here.steps[0].why, "no-flush");
  EXPECT_TRUE(here.use.known_differences[0]);
  sync.result = "fsync = -1 EIO";
  EXPECT_EQ(compared({kSync}, {sync}, known).steps[0].kind, StepVerdict::Kind::unexplained);
}

// A rule that no step needs is seen.
TEST(Compare, TellsWhichRulesWereOfUse) {
  const Compared matching =
      compared({kSync}, {played(kSync)}, rules("7.3\t*\t*\t*\tboth\tx\n", "*\t*\ta\ta2\tboth\tx\n"));
  EXPECT_EQ(matching.steps[0].kind, StepVerdict::Kind::matches);
  EXPECT_FALSE(matching.use.not_dax[0]);
  EXPECT_FALSE(matching.use.known_differences[0]);
}

// What is no table is refused, with the line.
TEST(ReadRules, NamesTheLineOfGarbage) {
  using lab::read_rules;
  const std::string head = "kernel\tfs\tworkload\tstep\tpart\treason\n";
  EXPECT_THAT(read_rules("x\n", "n.tsv", lab::RuleTable::not_dax).error(), HasSubstr("n.tsv:1:"));
  EXPECT_THAT(read_rules(head + "*\t*\ta\n", "n.tsv", lab::RuleTable::not_dax).error(),
              HasSubstr("n.tsv:2: 3 columns"));
  EXPECT_THAT(read_rules(head + "*\t*\ta\ta1\tboth\t\n", "n.tsv", lab::RuleTable::not_dax).error(), HasSubstr("empty"));
  EXPECT_THAT(read_rules(head + "*\t*\ta\ta1\tall\tx\n", "n.tsv", lab::RuleTable::not_dax).error(),
              HasSubstr("\"all\" is no part"));
}

// --- the files of the project ---

std::string text_of(const std::filesystem::path& file) {
  std::ifstream in(file);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

std::string another_value(std::string text) {
  if (text.ends_with(" = 0")) {
    return text.substr(0, text.size() - 1) + "-1 EIO";
  }
  const std::size_t digit = text.find_last_of("0123456789");
  if (digit != std::string::npos) {
    text[digit] = text[digit] == '9' ? '8' : static_cast<char>(text[digit] + 1);
  }
  return digit == std::string::npos ? text + " 1" : text;
}
bool has_flags(const std::string& event) {
  return event.find("_done=") != std::string::npos || event.find("fault[") != std::string::npos;
}

// Whether the step, compared with what it was before it was altered, is seen to differ.
bool is_seen(const RecordedStep& before, const RecordedStep& after) {
  const Compared altered = compared({after}, {played(before)});
  return altered.steps.size() == 1 && altered.steps[0].kind == StepVerdict::Kind::unexplained;
}

// "who-runs-first" of "### Who runs first".
std::string anchor_of(const std::string& heading) {
  std::string anchor;
  for (const char letter : heading.substr(heading.find_first_not_of("# "))) {
    if (letter == ' ') {
      anchor += '-';
    } else if (std::isalnum(static_cast<unsigned char>(letter)) != 0 || letter == '-') {
      anchor += static_cast<char>(std::tolower(static_cast<unsigned char>(letter)));
    }
  }
  return anchor;
}

// Every known difference is explained in a section of docs/fidelity.md.
TEST(KnownDifferences, NameASectionOfTheDocument) {
  const std::filesystem::path project(DAXSIM_SOURCE_FOLDER);
  std::istringstream document(text_of(project / "docs/fidelity.md"));
  std::set<std::string> anchors;
  for (std::string line; std::getline(document, line);) {
    if (line.starts_with("#")) {
      anchors.insert(anchor_of(line));
    }
  }
  const auto known = lab::read_rules(text_of(project / "tests/conformance/known-differences.tsv"),
                                     "known-differences.tsv", lab::RuleTable::known_differences);
  ASSERT_TRUE(known) << known.error();
  ASSERT_FALSE(known->empty());
  for (const lab::StepRule& rule : *known) {
    EXPECT_TRUE(anchors.contains(rule.why)) << rule.why;
  }
}

// One line of the recording at a time is altered in one thing that is compared, and each time that is seen.
TEST(Compare, SeesEveryAlterationOfTheRecordingOfOneKernel) {
  const auto recording = lab::read_recording(
      text_of(std::filesystem::path(DAXSIM_SOURCE_FOLDER) / "tests/conformance/recordings/linux-6.12.tsv"),
      "linux-6.12.tsv", "6.12");
  ASSERT_TRUE(recording) << recording.error();
  std::size_t altered = 0;
  for (const RecordedStep& step : recording->steps) {
    if (!std::string("abcdefghijknpr").contains(step.workload) || step.workload.size() != 1) {
      continue;
    }
    const auto events = lab::compared_events(step.events);
    ASSERT_TRUE(events) << events.error();
    RecordedStep before = step;
    before.events = *events;
    before.result = lab::compared_result(step.result);
    ASSERT_EQ(compared({step}, {played(before)}).steps[0].kind, StepVerdict::Kind::matches) << step.line;
    const auto see = [&](const RecordedStep& after, const char* what) {
      ++altered;
      EXPECT_TRUE(is_seen(before, after)) << "line " << step.line << ": " << what;
    };
    RecordedStep after = before;
    after.result = another_value(before.result);
    see(after, "a value of the result");
    for (std::size_t index = 0; index < before.events.size(); ++index) {
      const std::string& event = before.events[index];
      after = before;
      if (event.find_first_of("0123456789") != std::string::npos) {
        after.events[index] = another_value(event);
        see(after, "a value of an event");
      }
      if (has_flags(event)) {
        after = before;
        after.events[index] = event.substr(0, event.find_first_of("[=")) + (event.back() == ']' ? "[X]" : "=X");
        see(after, "a flag");
      }
      if (index + 1 < before.events.size() && event != before.events[index + 1]) {
        after = before;
        std::swap(after.events[index], after.events[index + 1]);
        see(after, "an order");
      }
      after = before;
      after.events.erase(after.events.begin() + static_cast<std::ptrdiff_t>(index));
      see(after, "an event that is missing");
      after = before;
      after.events.insert(after.events.begin() + static_cast<std::ptrdiff_t>(index), "dax_flush(64)");
      see(after, "an event too many");
    }
  }
  EXPECT_GT(altered, 4000U);
}

}  // namespace
}  // namespace daxsim::test
