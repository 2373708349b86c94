// SPDX-License-Identifier: BSD-3-Clause
#include "lab/conformance.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstddef>
#include <utility>

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::string_view kResult = "result";
constexpr std::string_view kEvents = "events";
constexpr std::string_view kBoth = "both";
constexpr std::string_view kOneEvent = "event:";
// Of a step in which the recorded kernel or process died.
constexpr std::string_view kNoResult = "(no result";
// Between the label of a step and its result.
constexpr std::string_view kArrow = " => ";

std::vector<std::string_view> columns_of(std::string_view line) {
  std::vector<std::string_view> columns;
  while (true) {
    const std::size_t tab = line.find('\t');
    columns.push_back(line.substr(0, tab));
    if (tab == std::string_view::npos) {
      return columns;
    }
    line.remove_prefix(tab + 1);
  }
}

bool matches_one(std::string_view pattern, std::string_view name) {
  return pattern.ends_with('*') ? name.starts_with(pattern.substr(0, pattern.size() - 1)) : pattern == name;
}
// Steps have commas in their names, kernels and file systems do not.
bool matches_any(std::string_view patterns, std::string_view name) {
  while (true) {
    const std::size_t comma = patterns.find(',');
    if (matches_one(patterns.substr(0, comma), name)) {
      return true;
    }
    if (comma == std::string_view::npos) {
      return false;
    }
    patterns.remove_prefix(comma + 1);
  }
}

// What one step's rules say about it.
struct Allowance {
  bool result_counts = true;
  bool events_count = true;
  std::vector<std::string_view> events_left_out;
  const StepRule* known_result = nullptr;
  const StepRule* known_events = nullptr;

  [[nodiscard]] bool counts() const { return result_counts || events_count; }
};

class Comparison {
 public:
  Comparison(std::string_view kernel, const Rules& rules, RuleUse& use) : kernel_(kernel), rules_(rules), use_(use) {}

  std::expected<void, std::string> compare(const RecordedStep& recorded, const ComparedStep* played) {
    const Allowance allowance = look_up(recorded);
    StepVerdict verdict{.label = recorded.label,
                        .line = recorded.line,
                        .recorded_result = compared_result(recorded.result),
                        .played_result = {}};
    auto events = compared_events(recorded.events);
    if (!events) {
      return std::unexpected(events.error());
    }
    verdict.recorded_events = without(std::move(*events), allowance.events_left_out);
    if (played == nullptr) {
      const StepRule* const rule = allowance.known_result == allowance.known_events ? allowance.known_result : nullptr;
      verdict.kind = rule != nullptr ? StepVerdict::Kind::known_difference : StepVerdict::Kind::unexplained;
      verdict.why = rule != nullptr ? rule->why : "the scenario has no such step";
      use(rule);
      verdicts_.push_back(std::move(verdict));
      return {};
    }
    verdict.played_result = compared_result(played->result);
    auto played_events = compared_events(played->events);
    if (!played_events) {
      return std::unexpected(played_events.error());
    }
    verdict.played_events = without(std::move(*played_events), allowance.events_left_out);
    judge(allowance, verdict);
    verdicts_.push_back(std::move(verdict));
    return {};
  }

  void superfluous(const ComparedStep& played) {
    verdicts_.push_back({.kind = StepVerdict::Kind::unexplained,
                         .label = played.label,
                         .line = 0,
                         .why = "the recording has no such step",
                         .recorded_result = {},
                         .played_result = compared_result(played.result),
                         .recorded_events = {},
                         .played_events = played.events});
  }

  bool counts(const RecordedStep& recorded) { return look_up(recorded).counts(); }
  std::vector<StepVerdict> verdicts() && { return std::move(verdicts_); }

 private:
  static std::vector<std::string> without(std::vector<std::string> events,
                                          const std::vector<std::string_view>& left_out) {
    std::erase_if(events, [&left_out](const std::string& event) {
      return std::ranges::find(left_out, name_of_event(event)) != left_out.end();
    });
    return events;
  }

  void use(const StepRule* rule) {
    if (rule != nullptr) {
      use_.known_differences[static_cast<std::size_t>(rule - rules_.known_differences.data())] = true;
    }
  }

  Allowance look_up(const RecordedStep& step) {
    Allowance allowance;
    for (std::size_t index = 0; index < rules_.not_dax.size(); ++index) {
      const StepRule& rule = rules_.not_dax[index];
      if (!rule.is_of(kernel_, step)) {
        continue;
      }
      use_.not_dax[index] = true;
      allowance.result_counts &= !rule.covers(kResult);
      allowance.events_count &= !rule.covers(kEvents);
      if (rule.part.starts_with(kOneEvent)) {
        allowance.events_left_out.push_back(std::string_view(rule.part).substr(kOneEvent.size()));
      }
    }
    for (const StepRule& rule : rules_.known_differences) {
      if (rule.is_of(kernel_, step)) {
        allowance.known_result = rule.covers(kResult) ? &rule : allowance.known_result;
        allowance.known_events = rule.covers(kEvents) ? &rule : allowance.known_events;
      }
    }
    return allowance;
  }

  // A rule is of use when there is a difference that it names.
  void judge(const Allowance& allowance, StepVerdict& verdict) {
    bool known = true;
    bool differs = false;
    const auto differ_in = [&](const StepRule* rule) {
      differs = true;
      known &= rule != nullptr;
      use(rule);
      verdict.why = rule != nullptr ? rule->why : verdict.why;
    };
    if (allowance.result_counts && verdict.recorded_result != verdict.played_result) {
      differ_in(allowance.known_result);
    }
    if (allowance.events_count && verdict.recorded_events != verdict.played_events) {
      differ_in(allowance.known_events);
    }
    if (differs) {
      verdict.kind = known ? StepVerdict::Kind::known_difference : StepVerdict::Kind::unexplained;
    }
    if (differs && !known) {
      verdict.why = "differs";
    }
  }

  const std::string_view kernel_;
  const Rules& rules_;
  RuleUse& use_;
  std::vector<StepVerdict> verdicts_;
};

}  // namespace

std::vector<ComparedStep> compared_steps(const RunReport& run) {
  std::vector<ComparedStep> steps;
  std::vector<std::string> earlier;
  for (const PlayedStep& played : run.steps) {
    if (played.label.empty()) {
      continue;
    }
    for (const Event& event : played.events) {
      for (std::string& text : notation_of(event)) {
        earlier.push_back(std::move(text));
      }
    }
    if (played.label.ends_with('+')) {
      continue;
    }
    steps.push_back({.label = played.label,
                     .command = played.command,
                     .result = played.result,
                     .events = std::exchange(earlier, {})});
  }
  return steps;
}

bool StepRule::is_of(std::string_view kernel_name, const RecordedStep& step_of) const {
  const std::size_t arrow = step.find(kArrow);
  return matches_any(kernel, kernel_name) && matches_any(file_system, step_of.file_system) &&
         matches_any(workload, step_of.workload) && matches_one(step.substr(0, arrow), step_of.label) &&
         (arrow == std::string::npos || matches_one(step.substr(arrow + kArrow.size()), step_of.result));
}

std::size_t Conformance::count(StepVerdict::Kind kind) const {
  return static_cast<std::size_t>(std::ranges::count(steps, kind, &StepVerdict::kind));
}

std::expected<std::vector<StepRule>, std::string> read_rules(std::string_view text, const std::string& file,
                                                             RuleTable table) {
  const std::string head =
      fmt::format("kernel\tfs\tworkload\tstep\tpart\t{}", table == RuleTable::not_dax ? "reason" : "anchor");
  std::vector<StepRule> rules;
  std::uint32_t number = 0;
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const auto bad = [&file, &number](const std::string& what) {
      return std::unexpected(fmt::format("{}:{}: {}", file, number, what));
    };
    if (number == 1) {
      if (line != head) {
        return bad("the first line does not name the columns " + head);
      }
      continue;
    }
    const std::vector<std::string_view> columns = columns_of(line);
    if (columns.size() != 6) {
      return bad(fmt::format("{} columns instead of 6", columns.size()));
    }
    if (std::ranges::any_of(columns, [](std::string_view column) { return column.empty(); })) {
      return bad("an empty column");
    }
    const bool is_part = columns[4] == kResult || columns[4] == kEvents || columns[4] == kBoth ||
                         (table == RuleTable::not_dax && columns[4].starts_with(kOneEvent));
    if (!is_part) {
      return bad(fmt::format("\"{}\" is no part of a step", columns[4]));
    }
    rules.push_back({.line = number,
                     .kernel = std::string(columns[0]),
                     .file_system = std::string(columns[1]),
                     .workload = std::string(columns[2]),
                     .step = std::string(columns[3]),
                     .part = std::string(columns[4]),
                     .why = std::string(columns[5])});
  }
  return rules;
}

std::expected<Conformance, std::string> compare(std::string_view kernel, std::span<const RecordedStep> recorded,
                                                std::span<const ComparedStep> played, const Rules& rules,
                                                RuleUse& use) {
  Comparison comparison(kernel, rules, use);
  Conformance conformance{.kernel = std::string(kernel), .file_system = {}, .workload = {}, .steps = {}};
  if (!recorded.empty()) {
    conformance.file_system = recorded.front().file_system;
    conformance.workload = recorded.front().workload;
  }
  std::vector<bool> is_taken(played.size());
  for (const RecordedStep& step : recorded) {
    if (!comparison.counts(step)) {
      continue;
    }
    std::size_t index = 0;
    while (index < played.size() && (is_taken[index] || played[index].label != step.label)) {
      ++index;
    }
    const bool is_played = index < played.size();
    if (const auto done = comparison.compare(step, is_played ? &played[index] : nullptr); !done) {
      return std::unexpected(fmt::format("line {}: {}", step.line, done.error()));
    }
    if (is_played) {
      is_taken[index] = true;
    }
  }
  // Behind a step that ended the recording nothing can be compared.
  const bool is_whole = recorded.empty() || !recorded.back().result.starts_with(kNoResult);
  for (std::size_t index = 0; is_whole && index < played.size(); ++index) {
    if (!is_taken[index]) {
      comparison.superfluous(played[index]);
    }
  }
  conformance.steps = std::move(comparison).verdicts();
  return conformance;
}

}  // namespace lab
DAXSIM_END
