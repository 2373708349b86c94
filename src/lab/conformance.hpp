// SPDX-License-Identifier: BSD-3-Clause
// A scenario that was played, step by step against a recording of the same workload on a real kernel.
//
// What is not compared, and what is known to differ, is named in two tables of tab-separated columns:
//   not-dax.tsv            kernel fs workload step part reason             step or part of it counts neither way
//   known-differences.tsv  kernel fs workload step part anchor             counted; the anchor is of docs/fidelity.md
// kernel, fs, workload and step are exact, or begin ("k15*", "*"); of the first three there may be several ("6.12,7.3"). A
// step may go on with what it answered ("k15 => after*"). The part is "result", "events", "both" or, in the first table,
// "event:NAME".
//
// Threads: any. Not in the fault path.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/lab/scenario.hpp"
#include "lab/recording.hpp"

DAXSIM_BEGIN
namespace lab {

// One step of a scenario: what it answered and what came of it, in the notation of the recordings.
struct ComparedStep {
  std::string label;
  std::string command;  // for people
  std::string result;
  std::vector<std::string> events;
};

// The steps of a run that have labels. A label that ends in '+' goes on with the next step of that label: their events are
// one step's, the result is the last one's.
std::vector<ComparedStep> compared_steps(const RunReport& run);

// A line of one of the tables.
struct StepRule {
  std::uint32_t line = 0;
  std::string kernel;
  std::string file_system;
  std::string workload;
  std::string step;
  std::string part;
  std::string why;  // a reason, or an anchor

  [[nodiscard]] bool is_of(std::string_view kernel_name, const RecordedStep& step_of) const;
  [[nodiscard]] bool covers(std::string_view wanted_part) const { return part == "both" || part == wanted_part; }
};
enum class RuleTable : std::uint8_t { not_dax, known_differences };
// Errors: as read_recording.
std::expected<std::vector<StepRule>, std::string> read_rules(std::string_view text, const std::string& file,
                                                             RuleTable table);

// How one step came out.
struct StepVerdict {
  enum class Kind : std::uint8_t { matches, known_difference, unexplained };
  Kind kind = Kind::matches;
  std::string label{};
  std::uint32_t line = 0;  // of the recording; 0: it has no such step
  std::string why{};       // the anchor, or what is wrong
  std::string recorded_result{};
  std::string played_result{};
  std::vector<std::string> recorded_events{};
  std::vector<std::string> played_events{};
};

struct Conformance {
  std::string kernel;
  std::string file_system;
  std::string workload;
  std::vector<StepVerdict> steps;  // those that count

  [[nodiscard]] std::size_t count(StepVerdict::Kind kind) const;
};

// Which rules have been of use, by their place in the tables; a rule that never is, is wrong.
struct RuleUse {
  std::vector<bool> not_dax;
  std::vector<bool> known_differences;
};
struct Rules {
  std::vector<StepRule> not_dax;
  std::vector<StepRule> known_differences;

  [[nodiscard]] RuleUse unused() const {
    return {std::vector<bool>(not_dax.size()), std::vector<bool>(known_differences.size())};
  }
};

// The recorded steps are those of one workload on one file system of one kernel. Steps go together by their labels, those
// of the same label in their order. Errors: an event of an unknown name.
std::expected<Conformance, std::string> compare(std::string_view kernel, std::span<const RecordedStep> recorded,
                                                std::span<const ComparedStep> played, const Rules& rules, RuleUse& use);

}  // namespace lab
DAXSIM_END
