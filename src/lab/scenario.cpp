// SPDX-License-Identifier: BSD-3-Clause
// Which machines a scenario is for, and a run on one of them.
#include "daxsim/lab/scenario.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "lab/nearest.hpp"
#include "lab/scenario_lines.hpp"
#include "lab/scenario_player.hpp"
#include "lab/scenario_steps.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::size_t kLastEvents = 12;
// What one line may do that expects events, and what it may do where all are kept.
constexpr std::size_t kRingEvents = std::size_t{1} << 11;
constexpr std::size_t kKeptRingEvents = std::size_t{1} << 17;

// --- machines ---

struct Declared {
  std::vector<Era> eras;
  std::vector<const IndexDesign*> designs;
  std::vector<const AdapterKind*> adapters;
  std::vector<Mmu> mmus;
};

// Adds the one of this name, or all; false when there is none.
template <class All, class Name, class Chosen>
bool choose(const All& all, const Name& name_of, std::string_view name, std::vector<Chosen>& chosen) {
  const std::size_t before = chosen.size();
  for (const auto& one : all) {
    if (name == "all" || name_of(one) == name) {
      chosen.push_back(one);
    }
  }
  return chosen.size() != before;
}

template <class All, class Name>
std::vector<std::string> names_of(const All& all, const Name& name_of) {
  std::vector<std::string> names{"all"};
  for (const auto& one : all) {
    names.emplace_back(name_of(one));
  }
  return names;
}

using Error = std::unexpected<ScenarioError>;

std::expected<void, ScenarioError> declare(const std::string& file, const Line& line, Declared& declared) {
  const auto text = [](const Word& word) { return word.pieces.empty() ? std::string() : word.pieces.front().text; };
  const auto bad = [&](const Word& word, std::string message) {
    return Error(ScenarioError{file, line.number, word.column, std::move(message)});
  };
  if (line.words.size() < 3) {
    return bad(line.words.front(), "expected for eras|designs|adapters|mmus NAME...");
  }
  const std::string what = text(line.words[1]);
  const auto each = [&](const auto& all, const auto& name_of, auto& chosen) -> std::expected<void, ScenarioError> {
    for (const Word& word : std::span(line.words).subspan(2)) {
      if (!choose(all, name_of, text(word), chosen)) {
        return bad(word, fmt::format("none of the {} is {}; did you mean {}?", what, text(word),
                                     nearest(text(word), names_of(all, name_of))));
      }
    }
    return {};
  };
  if (what == "eras") {
    return each(eras::all, [](const Era& era) { return era.name; }, declared.eras);
  }
  if (what == "designs") {
    return each(designs::all(), [](const IndexDesign* design) { return design->name(); }, declared.designs);
  }
  if (what == "adapters") {
    return each(adapter_kinds(), [](const AdapterKind* kind) { return adapter_name(*kind); }, declared.adapters);
  }
  if (what == "mmus") {
    return each(kAllMmus, [](Mmu mmu) { return mmu_name(mmu); }, declared.mmus);
  }
  return bad(line.words[1], fmt::format("expected eras, designs, adapters or mmus, not {}", what));
}

// --- runs ---

class Running {
 public:
  Running(const SimulatedMachine& machine, Keep keep, Judge judge)
      : player_(machine, keep == Keep::events ? kKeptRingEvents : kRingEvents), keep_(keep), judge_(judge) {}

  RunReport play(const std::vector<Step>& steps);

 private:
  bool play(const Step& step);
  void keep(const Step& step, const Outcome& outcome, std::uint64_t machine, std::uint64_t first_event,
            std::uint64_t began_ns);
  [[nodiscard]] std::uint64_t now_ns() { return static_cast<std::uint64_t>(player_.machine().clock().now().count()); }
  void fail(const Step& step, std::string_view expected, const Outcome& outcome);
  void check_findings();

  ScenarioPlayer player_;
  const Keep keep_;
  const Judge judge_;
  RunReport run_;
  std::size_t expected_findings_ = 0;
};

std::string text_of(const Finding& finding) {
  return fmt::format("{}, file {}, page {}\n", finding_name(finding.kind), finding.ino, finding.page.value);
}

// Where, what was expected, what came, what had happened just before.
void Running::fail(const Step& step, std::string_view expected, const Outcome& outcome) {
  run_.verdict = RunReport::Verdict::failed;
  run_.message = fmt::format("{}:{}: {}\n  expected  {}\n  came      {}\n", step.file, step.line, step.written,
                             expected, text_of(outcome));
  EventStream& events = player_.machine().events();
  const std::uint64_t next = events.next_id();
  const std::vector<Event> last = events.since(next > kLastEvents ? next - kLastEvents : 1);
  if (!last.empty()) {
    run_.message += "  the last events:\n";
  }
  for (const Event& event : last) {
    run_.message += fmt::format("    {:>8} {}\n", event.id, fs_dax_text(event));
  }
}

void Running::keep(const Step& step, const Outcome& outcome, std::uint64_t machine, std::uint64_t first_event,
                   std::uint64_t began_ns) {
  if (keep_ == Keep::nothing) {
    return;
  }
  PlayedStep& played = run_.steps.emplace_back(
      PlayedStep{step.line, step.label, step.actor, step.command, outcome.recorded, machine, began_ns, began_ns, {}});
  if (machine != player_.reboots()) {
    return;
  }
  played.ended_ns = now_ns();
  if (keep_ == Keep::events) {
    played.events = player_.machine().events().since(first_event);
  }
}

bool Running::play(const Step& step) {
  const std::uint64_t machine = player_.reboots();
  const std::uint64_t first_event = player_.machine().events().next_id();
  const std::uint64_t began_ns = now_ns();
  const Outcome outcome = player_.play(step);
  keep(step, outcome, machine, first_event, began_ns);
  if (outcome.kind == Outcome::Kind::cannot) {
    run_.verdict = RunReport::Verdict::skipped;
    run_.message = fmt::format("{}:{}: {}\n  {}\n", step.file, step.line, step.written, outcome.recorded);
    return false;
  }
  if (judge_ == Judge::nothing) {
    return true;
  }
  const bool went_on =
      outcome.kind == Outcome::Kind::answered || (step.in_background && outcome.kind == Outcome::Kind::waits);
  if (wants_success(step) && !went_on) {
    fail(step, "success", outcome);
    return false;
  }
  for (const Expectation& expectation : step.expectations) {
    using Kind = Expectation::Kind;
    std::vector<Event> events;
    if (expectation.kind == Kind::events || expectation.kind == Kind::no_event) {
      events = player_.machine().events().since(player_.reboots() == machine ? first_event : 1);
    }
    std::vector<Finding> findings;
    if (expectation.kind == Kind::finding || expectation.kind == Kind::no_finding) {
      findings = player_.findings();
      findings.erase(findings.begin(), findings.begin() + static_cast<std::ptrdiff_t>(expected_findings_));
    }
    if (!is_met(expectation, outcome, {events, findings})) {
      fail(step, expectation.written, outcome);
      for (const Finding& finding : findings) {
        run_.message += "  finding: " + text_of(finding);
      }
      return false;
    }
  }
  if (std::ranges::find(step.expectations, Expectation::Kind::finding, &Expectation::kind) != step.expectations.end()) {
    expected_findings_ = player_.findings().size();
  }
  return true;
}

void Running::check_findings() {
  for (const Finding& finding : std::span(run_.findings).subspan(expected_findings_)) {
    run_.verdict = RunReport::Verdict::failed;
    run_.message += "a finding that no line expects: " + text_of(finding);
  }
}

RunReport Running::play(const std::vector<Step>& steps) {
  const bool has_devices = std::ranges::find(steps, Verb::device_create, &Step::verb) != steps.end();
  if (!has_devices) {
    if (const Result<void> made = player_.make_default_world(); !made.ok()) {
      run_.verdict = RunReport::Verdict::skipped;
      run_.message = fmt::format("the machine could not be made: {}\n", errno_text(made.error()));
      return std::move(run_);
    }
  }
  const bool to_the_end = std::ranges::all_of(steps, [this](const Step& step) { return play(step); });
  run_.findings = player_.findings();
  if (to_the_end && judge_ == Judge::lines) {
    check_findings();
  }
  return std::move(run_);
}

}  // namespace

std::string_view mmu_name(Mmu mmu) noexcept {
  switch (mmu) {
    case Mmu::soft:
      return "soft";
    case Mmu::live:
      return "live";
    case Mmu::segv:
      return "segv";
  }
  return "?";
}

const IndexDesign& SimulatedMachine::index_design() const noexcept {
  return design == nullptr ? era.design() : *design;
}

const AdapterKind& SimulatedMachine::adapter_kind() const noexcept {
  return adapter == nullptr ? *find_adapter_kind("ext4") : *adapter;
}

std::string SimulatedMachine::text() const {
  return fmt::format("{} {} {} {}", era.name, index_design().name(), adapter_name(adapter_kind()), mmu_name(mmu));
}

std::expected<std::vector<SimulatedMachine>, ScenarioError> machines_for(const Scenario& scenario,
                                                                         const SimulatedMachine& wanted,
                                                                         const Fixed& fixed) {
  Declared declared;
  for (const Statement& statement : scenario.lines->statements) {
    const Line& line = statement.line;
    if (line.words.front().pieces.empty() || line.words.front().pieces.front().text != "for") {
      continue;
    }
    if (auto done = declare(scenario.lines->file, line, declared); !done) {
      return Error(std::move(done.error()));
    }
  }
  const auto or_wanted = [](auto& chosen, bool is_fixed, const auto& one) {
    if (is_fixed || chosen.empty()) {
      chosen = {one};
    }
  };
  or_wanted(declared.eras, fixed.era, wanted.era);
  or_wanted(declared.designs, fixed.design, wanted.design);
  or_wanted(declared.adapters, fixed.adapter, wanted.adapter);
  or_wanted(declared.mmus, fixed.mmu, wanted.mmu);
  std::vector<SimulatedMachine> machines;
  for (const Era& era : declared.eras) {
    for (const IndexDesign* const design : declared.designs) {
      for (const AdapterKind* const adapter : declared.adapters) {
        for (const Mmu mmu : declared.mmus) {
          machines.push_back({era, design, adapter, mmu, wanted.parameters});
        }
      }
    }
  }
  return machines;
}

RunReport run(const Scenario& scenario, const SimulatedMachine& machine, Keep keep, Judge judge) {
  const auto steps = steps_of(scenario, machine);
  if (!steps) {
    RunReport bad;
    bad.verdict = RunReport::Verdict::bad;
    bad.message = steps.error().text() + '\n';
    return bad;
  }
  return Running(machine, keep, judge).play(*steps);
}

}  // namespace lab
DAXSIM_END
