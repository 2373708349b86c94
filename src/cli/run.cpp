// SPDX-License-Identifier: BSD-3-Clause
#include "cli/run.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <optional>
#include <string_view>
#include <utility>

#include "cli/files.hpp"
#include "daxsim/lab/scenario.hpp"
#include "lab/nearest.hpp"
#include "lab/trace.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;
using Verdict = lab::RunReport::Verdict;

struct Counts {
  unsigned passed = 0;
  unsigned failed = 0;
  unsigned skipped = 0;
  unsigned bad = 0;

  [[nodiscard]] int exit_status() const {
    return bad != 0 ? 2 : failed != 0 ? 1 : passed == 0 && skipped != 0 ? kSkipped : 0;
  }
};

std::string_view verdict_word(Verdict verdict) {
  switch (verdict) {
    case Verdict::passed:
      return "passed";
    case Verdict::failed:
      return "failed";
    case Verdict::skipped:
      return "skipped";
    case Verdict::bad:
      return "bad";
  }
  return "?";
}

// The one of this name; a word to the user when there is none.
template <class All, class Name>
auto named(std::string_view what, std::string_view name, const All& all, const Name& name_of)
    -> std::optional<std::decay_t<decltype(*std::begin(all))>> {
  std::vector<std::string> names;
  for (const auto& one : all) {
    if (name_of(one) == name) {
      return one;
    }
    names.emplace_back(name_of(one));
  }
  fmt::print(stderr, "daxsim run: no {} {}; did you mean {}? (`daxsim list {}s` has all)\n", what, name,
             lab::nearest(name, names), what);
  return std::nullopt;
}

struct Wanted {
  lab::SimulatedMachine machine;
  lab::Fixed fixed;
};

std::optional<Wanted> wanted_by(const RunOptions& options) {
  Wanted wanted;
  if (!options.era.empty()) {
    const auto era = named("era", options.era, eras::all, [](const Era& one) { return one.name; });
    if (!era) {
      return std::nullopt;
    }
    wanted.machine.era = *era;
    wanted.fixed.era = true;
  }
  if (!options.design.empty()) {
    const auto design =
        named("design", options.design, designs::all(), [](const IndexDesign* one) { return one->name(); });
    if (!design) {
      return std::nullopt;
    }
    wanted.machine.design = *design;
    wanted.fixed.design = true;
  }
  if (!options.adapter.empty()) {
    const auto adapter = named("adapter", options.adapter, lab::adapter_kinds(),
                               [](const lab::AdapterKind* one) { return lab::adapter_name(*one); });
    if (!adapter) {
      return std::nullopt;
    }
    wanted.machine.adapter = *adapter;
    wanted.fixed.adapter = true;
  }
  if (!options.mmu.empty()) {
    const auto mmu = named("mmu", options.mmu, lab::kAllMmus, [](lab::Mmu one) { return lab::mmu_name(one); });
    if (!mmu) {
      return std::nullopt;
    }
    wanted.machine.mmu = *mmu;
    wanted.fixed.mmu = true;
  }
  for (const std::string& parameter : options.parameters) {
    const std::size_t equals = parameter.find('=');
    if (equals == std::string::npos || equals == 0) {
      fmt::print(stderr, "daxsim run: -p wants NAME=VALUE, not {}\n", parameter);
      return std::nullopt;
    }
    wanted.machine.parameters.insert_or_assign(parameter.substr(0, equals), parameter.substr(equals + 1));
  }
  return wanted;
}

Json json_of(const std::string& file, const lab::SimulatedMachine& machine, const lab::RunReport& run, bool verbose) {
  Json json{{"file", file},
            {"era", machine.era.name},
            {"design", machine.index_design().name()},
            {"adapter", lab::adapter_name(machine.adapter_kind())},
            {"mmu", lab::mmu_name(machine.mmu)},
            {"verdict", verdict_word(run.verdict)}};
  if (!run.message.empty()) {
    json["message"] = run.message;
  }
  Json findings = Json::array();
  for (const Finding& finding : run.findings) {
    findings.push_back({{"kind", finding_name(finding.kind)}, {"ino", finding.ino}, {"page", finding.page.value}});
  }
  json["findings"] = std::move(findings);
  if (verbose) {
    Json steps = Json::array();
    for (const lab::PlayedStep& step : run.steps) {
      steps.push_back({{"line", step.line},
                       {"label", step.label},
                       {"actor", step.actor},
                       {"command", step.command},
                       {"result", step.result}});
    }
    json["steps"] = std::move(steps);
  }
  return json;
}

void print_steps(const lab::RunReport& run) {
  for (const lab::PlayedStep& step : run.steps) {
    fmt::print("  {:>4} {:>3} {:<32} {}\n", step.line, step.actor, step.command, step.result);
  }
}

class Runs {
 public:
  explicit Runs(const RunOptions& options) : options_(options) {}

  // False: a word to the user was said, and nothing is to go on.
  bool file(const std::string& name, const Wanted& wanted);
  int finish();

 private:
  void one(const std::string& name, const lab::Scenario& scenario, const lab::SimulatedMachine& machine);
  void bad(const std::string& message) {
    ++counts_.bad;
    fmt::print(stderr, "{}\n", message);
  }

  const RunOptions& options_;
  Counts counts_;
  Json json_ = Json::array();
  std::vector<lab::TracedRun> traced_;
};

bool Runs::file(const std::string& name, const Wanted& wanted) {
  const auto scenario = lab::load_scenario(name);
  if (!scenario) {
    bad(scenario.error().text());
    return false;
  }
  const auto machines = lab::machines_for(*scenario, wanted.machine, wanted.fixed);
  if (!machines) {
    bad(machines.error().text());
    return false;
  }
  for (const lab::SimulatedMachine& machine : *machines) {
    one(name, *scenario, machine);
  }
  return true;
}

void Runs::one(const std::string& name, const lab::Scenario& scenario, const lab::SimulatedMachine& machine) {
  const bool traces = !options_.trace.empty();
  const lab::Keep keep = traces ? lab::Keep::events : options_.verbose ? lab::Keep::steps : lab::Keep::nothing;
  lab::RunReport run = lab::run(scenario, machine, keep);
  switch (run.verdict) {
    case Verdict::passed:
      ++counts_.passed;
      break;
    case Verdict::failed:
      ++counts_.failed;
      break;
    case Verdict::skipped:
      ++counts_.skipped;
      break;
    case Verdict::bad:
      ++counts_.bad;
      break;
  }
  if (options_.json) {
    json_.push_back(json_of(name, machine, run, options_.verbose));
  } else if (run.verdict == Verdict::bad) {
    fmt::print(stderr, "{}", run.message);
  } else {
    fmt::print("{:<8}{}  {}\n", verdict_word(run.verdict), name, machine.text());
    if (options_.verbose) {
      print_steps(run);
    }
    fmt::print("{}", run.message);
    std::fflush(stdout);
  }
  if (traces) {
    traced_.push_back({fmt::format("{} {}", name, machine.text()), std::move(run.steps)});
  }
}

int Runs::finish() {
  if (!options_.trace.empty()) {
    try {
      write_file(options_.trace,
                 options_.trace.ends_with(".json") ? lab::perfetto_trace(traced_) : lab::text_trace(traced_), "wb");
    } catch (const FileError& error) {
      fmt::print(stderr, "daxsim run: {}: {}\n", options_.trace, error.what());
      return 2;
    }
  }
  if (options_.json) {
    const Json document{{"schema", kRunSchema}, {"runs", std::move(json_)}};
    fmt::print("{}\n", document.dump(2, ' ', false, Json::error_handler_t::replace));
  } else if (counts_.passed + counts_.failed + counts_.skipped > 1) {
    fmt::print("{} passed, {} failed, {} skipped\n", counts_.passed, counts_.failed, counts_.skipped);
  }
  return counts_.exit_status();
}

}  // namespace

int run(const RunOptions& options) {
  const std::optional<Wanted> wanted = wanted_by(options);
  if (!wanted) {
    return 2;
  }
  Runs runs(options);
  for (const std::string& file : options.files) {
    runs.file(file, *wanted);
  }
  return runs.finish();
}

}  // namespace daxsim::cli
