// SPDX-License-Identifier: BSD-3-Clause
// The examples in docs/scenario-language.md and README.md run as written, on every machine that they declare, and use every verb.
#include <gtest/gtest.h>

#include <fstream>
#include <set>
#include <string>
#include <vector>

#include "daxsim/lab/scenario.hpp"
#include "lab/scenario_steps.hpp"

namespace daxsim::lab {
namespace {

struct Example {
  std::string name;  // "docs/scenario-language.md:12"
  std::string text;
};

std::vector<Example> examples_of(const std::string& document) {
  std::ifstream file(std::string(DAXSIM_SOURCE_FOLDER "/") + document);
  std::vector<Example> found;
  bool inside = false;
  unsigned number = 0;
  for (std::string line; std::getline(file, line);) {
    ++number;
    if (line == "```scn") {
      found.push_back({document + ":" + std::to_string(number), {}});
      inside = true;
    } else if (line == "```") {
      inside = false;
    } else if (inside) {
      found.back().text += line + '\n';
    }
  }
  return found;
}
std::vector<Example> language_examples() { return examples_of("docs/scenario-language.md"); }

TEST(ScenarioDocument, ExamplesRunAsWritten) {
  std::vector<Example> examples = language_examples();
  ASSERT_GE(examples.size(), 6u);
  examples.push_back(examples_of("README.md").at(0));
  for (const Example& example : examples) {
    const auto scenario = parse_scenario(example.text, example.name);
    ASSERT_TRUE(scenario) << scenario.error().text();
    const auto machines = machines_for(*scenario);
    ASSERT_TRUE(machines) << machines.error().text();
    for (const SimulatedMachine& machine : *machines) {
      const RunReport report = run(*scenario, machine);
      EXPECT_EQ(report.verdict, RunReport::Verdict::passed) << machine.text() << '\n' << report.message;
    }
  }
}

TEST(ScenarioDocument, EveryVerbHasAnExample) {
  std::set<Verb> used;
  for (const Example& example : language_examples()) {
    const auto scenario = parse_scenario(example.text, example.name);
    ASSERT_TRUE(scenario) << scenario.error().text();
    const auto steps = steps_of(*scenario, {});
    ASSERT_TRUE(steps) << steps.error().text();
    for (const Step& step : *steps) {
      used.insert(step.verb);
    }
  }
  for (const VerbKind& kind : verb_kinds()) {
    EXPECT_TRUE(used.contains(kind.verb)) << kind.name;
  }
}

}  // namespace
}  // namespace daxsim::lab
