// SPDX-License-Identifier: BSD-3-Clause
#include "cli/conform.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstddef>
#include <expected>
#include <filesystem>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "cli/files.hpp"
#include "daxsim/dax/era.hpp"
#include "daxsim/lab/scenario.hpp"
#include "lab/conformance.hpp"
#include "lab/recording.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;
using lab::Conformance;
using lab::StepVerdict;

constexpr std::string_view kPrefix = "linux-";
constexpr std::string_view kSuffix = ".tsv";

// What a recorded file system is here. (A namespace of an NVDIMM and memory of the BIOS are the same pmem; so are, to DAX,
// an ext4 with and without a journal, but for the known differences.)
struct Played {
  std::string_view recorded;
  std::string_view adapter;
};
constexpr std::array kPlayed{Played{"ext4", "ext4"}, Played{"ext4nj", "ext4"}, Played{"ext4nfit", "ext4"},
                             Played{"xfs", "xfs"}, Played{"xfsrmap", "xfsrmap"}};

struct Part {
  std::string kernel;
  std::string file_system;
  std::string workload;
  std::vector<lab::RecordedStep> steps;
};

using Expected = std::expected<std::vector<lab::Recording>, std::string>;

std::string_view file_text(const std::string& name) {
  const auto files = conformance_files();
  const auto found = std::ranges::find(files, name, &ConformanceFile::name);
  return found == files.end() ? std::string_view() : found->text;
}

// "linux-6.1.tsv" is of "6.1".
std::optional<std::string> kernel_of(std::string_view file) {
  if (!file.starts_with(kPrefix) || !file.ends_with(kSuffix)) {
    return std::nullopt;
  }
  return std::string(file.substr(kPrefix.size(), file.size() - kPrefix.size() - kSuffix.size()));
}

Expected recordings_of_project() {
  std::vector<lab::Recording> recordings;
  for (const ConformanceFile& file : conformance_files()) {
    if (const auto kernel = kernel_of(file.name)) {
      auto recording = lab::read_recording(file.text, std::string(file.name), *kernel);
      if (!recording) {
        return std::unexpected(recording.error());
      }
      recordings.push_back(std::move(*recording));
    }
  }
  return recordings;
}

Expected recordings_in(const std::filesystem::path& folder) {
  std::error_code error;
  std::vector<std::filesystem::path> files;
  for (const auto& entry : std::filesystem::directory_iterator(folder, error)) {
    if (kernel_of(entry.path().filename().string())) {
      files.push_back(entry.path());
    }
  }
  if (error) {
    return std::unexpected(fmt::format("{}: {}", folder.string(), error.message()));
  }
  if (files.empty()) {
    return std::unexpected(fmt::format("{}: no files named linux-KERNEL.tsv", folder.string()));
  }
  std::ranges::sort(files);
  std::vector<lab::Recording> recordings;
  for (const std::filesystem::path& file : files) {
    std::string text;
    try {
      text = contents_of(file);
    } catch (const FileError& unreadable) {
      return std::unexpected(fmt::format("{}: {}", file.string(), unreadable.what()));
    }
    auto recording = lab::read_recording(text, file.string(), *kernel_of(file.filename().string()));
    if (!recording) {
      return std::unexpected(recording.error());
    }
    recordings.push_back(std::move(*recording));
  }
  return recordings;
}

bool is_wanted(const std::string& wanted, const std::string& name) { return wanted.empty() || wanted == name; }

// By kernel, file system and workload, those that there is a scenario for.
std::vector<Part> parts_of(const std::vector<lab::Recording>& recordings, const ConformOptions& options) {
  std::vector<Part> parts;
  for (const lab::Recording& recording : recordings) {
    if (!is_wanted(options.kernel, recording.kernel)) {
      continue;
    }
    for (const lab::RecordedStep& step : recording.steps) {
      if (!is_wanted(options.file_system, step.file_system) || !is_wanted(options.workload, step.workload) ||
          file_text(step.workload + ".scn").empty()) {
        continue;
      }
      const auto is_part = [&](const Part& part) {
        return part.kernel == recording.kernel && part.file_system == step.file_system &&
               part.workload == step.workload;
      };
      auto part = std::ranges::find_if(parts, is_part);
      if (part == parts.end()) {
        parts.push_back(
            {.kernel = recording.kernel, .file_system = step.file_system, .workload = step.workload, .steps = {}});
        part = parts.end() - 1;
      }
      part->steps.push_back(step);
    }
  }
  return parts;
}

std::expected<lab::Rules, std::string> rules_of_project() {
  const auto read = [](const char* file, lab::RuleTable table) {
    return lab::read_rules(file_text(file), file, table);
  };
  auto not_dax = read("not-dax.tsv", lab::RuleTable::not_dax);
  if (!not_dax) {
    return std::unexpected(not_dax.error());
  }
  auto known = read("known-differences.tsv", lab::RuleTable::known_differences);
  if (!known) {
    return std::unexpected(known.error());
  }
  return lab::Rules{.not_dax = std::move(*not_dax), .known_differences = std::move(*known)};
}

// What daxsim does in this part. Errors: no such kernel or file system here; the scenario is no good.
std::expected<std::vector<lab::ComparedStep>, std::string> play(const Part& part) {
  const auto* const era = std::ranges::find(eras::all, part.kernel, &Era::name);
  if (era == eras::all.end()) {
    return std::unexpected(fmt::format("there is no era {}", part.kernel));
  }
  const auto* const played = std::ranges::find(kPlayed, part.file_system, &Played::recorded);
  if (played == kPlayed.end()) {
    return std::unexpected(fmt::format("there is no file system like {}", part.file_system));
  }
  const std::string name = part.workload + ".scn";
  const auto scenario = lab::parse_scenario(file_text(name), name);
  if (!scenario) {
    return std::unexpected(scenario.error().text());
  }
  lab::SimulatedMachine machine;
  machine.era = *era;
  machine.adapter = lab::find_adapter_kind(played->adapter);
  const lab::RunReport run = lab::run(*scenario, machine, lab::Keep::events, lab::Judge::nothing);
  if (run.verdict != lab::RunReport::Verdict::passed) {
    return std::unexpected(fmt::format("{} / {} / {}: {}", part.workload, part.kernel, part.file_system, run.message));
  }
  return lab::compared_steps(run);
}

std::size_t count(const std::vector<Conformance>& all, StepVerdict::Kind kind) {
  std::size_t sum = 0;
  for (const Conformance& each : all) {
    sum += each.count(kind);
  }
  return sum;
}

std::string joined(const std::vector<std::string>& events) {
  return events.empty() ? "-" : fmt::format("{}", fmt::join(events, " > "));
}

void print_difference(const Conformance& part, const StepVerdict& step) {
  const bool known = step.kind == StepVerdict::Kind::known_difference;
  fmt::print("\n{} / {} / {} / {} (line {}): {}{}\n", part.workload, part.kernel, part.file_system, step.label,
             step.line, known ? "known: " : "", step.why);
  if (step.recorded_result != step.played_result) {
    fmt::print("  recorded {}\n  here     {}\n", step.recorded_result, step.played_result);
  }
  if (step.recorded_events != step.played_events) {
    fmt::print("  recorded {}\n  here     {}\n", joined(step.recorded_events), joined(step.played_events));
  }
}

void print_table(const std::vector<Conformance>& all, const ConformOptions& options) {
  constexpr auto kRow = "{:<9} {:<7} {:<9} {:>6} {:>9} {:>6} {:>12}\n";
  fmt::print(kRow, "workload", "kernel", "fs", "steps", "matching", "known", "unexplained");
  for (const Conformance& part : all) {
    fmt::print(kRow, part.workload, part.kernel, part.file_system, part.steps.size(),
               part.count(StepVerdict::Kind::matches), part.count(StepVerdict::Kind::known_difference),
               part.count(StepVerdict::Kind::unexplained));
  }
  std::size_t steps = 0;
  for (const Conformance& part : all) {
    steps += part.steps.size();
  }
  const std::size_t matching = count(all, StepVerdict::Kind::matches);
  fmt::print(kRow, "all", "", "", steps, matching, count(all, StepVerdict::Kind::known_difference),
             count(all, StepVerdict::Kind::unexplained));
  if (steps != 0) {
    fmt::print("\n{:.2f} % of the counted steps match.\n",
               100.0 * static_cast<double>(matching) / static_cast<double>(steps));
  }
  for (const Conformance& part : all) {
    for (const StepVerdict& step : part.steps) {
      if (step.kind == StepVerdict::Kind::unexplained ||
          (options.verbose && step.kind == StepVerdict::Kind::known_difference)) {
        print_difference(part, step);
      }
    }
  }
}

std::string_view kind_name(StepVerdict::Kind kind) {
  switch (kind) {
    case StepVerdict::Kind::matches:
      return "matches";
    case StepVerdict::Kind::known_difference:
      return "known difference";
    case StepVerdict::Kind::unexplained:
      break;
  }
  return "unexplained";
}

Json document_of(const std::vector<Conformance>& all, const std::vector<std::string>& wrong_rules) {
  Json json{{"schema", kConformSchema},
            {"ok", wrong_rules.empty() && count(all, StepVerdict::Kind::unexplained) == 0},
            {"wrong_rules", wrong_rules},
            {"parts", Json::array()}};
  for (const Conformance& part : all) {
    Json of_part{{"workload", part.workload},
                 {"kernel", part.kernel},
                 {"fs", part.file_system},
                 {"steps", part.steps.size()},
                 {"matching", part.count(StepVerdict::Kind::matches)},
                 {"known_differences", part.count(StepVerdict::Kind::known_difference)},
                 {"unexplained", part.count(StepVerdict::Kind::unexplained)},
                 {"differences", Json::array()}};
    for (const StepVerdict& step : part.steps) {
      if (step.kind != StepVerdict::Kind::matches) {
        of_part["differences"].push_back(
            Json{{"step", step.label},
                 {"line", step.line},
                 {"kind", kind_name(step.kind)},
                 {"why", step.why},
                 {"recorded", {{"result", step.recorded_result}, {"events", step.recorded_events}}},
                 {"here", {{"result", step.played_result}, {"events", step.played_events}}}});
      }
    }
    json["parts"].push_back(std::move(of_part));
  }
  return json;
}

// Rules that no step needs: they hide what may go wrong tomorrow.
std::vector<std::string> unused(const lab::Rules& rules, const lab::RuleUse& use) {
  std::vector<std::string> wrong;
  const auto add = [&wrong](const std::vector<lab::StepRule>& of, const std::vector<bool>& used, const char* file,
                            const char* what) {
    for (std::size_t index = 0; index < of.size(); ++index) {
      if (!used[index]) {
        wrong.push_back(fmt::format("{}:{}: {}", file, of[index].line, what));
      }
    }
  };
  add(rules.not_dax, use.not_dax, "not-dax.tsv", "no step is meant");
  add(rules.known_differences, use.known_differences, "known-differences.tsv", "no step differs so");
  return wrong;
}

int bad(const std::string& what) {
  fmt::print(stderr, "daxsim conform: {}\n", what);
  return 2;
}

}  // namespace

int conform(const ConformOptions& options) {
  const Expected recordings = options.recordings.empty() ? recordings_of_project() : recordings_in(options.recordings);
  if (!recordings) {
    return bad(recordings.error());
  }
  const auto rules = rules_of_project();
  if (!rules) {
    return bad(rules.error());
  }
  const std::vector<Part> parts = parts_of(*recordings, options);
  if (parts.empty()) {
    return bad(fmt::format(R"(no recording of workload "{}", kernel "{}", file system "{}")", options.workload,
                           options.kernel, options.file_system));
  }
  std::vector<Conformance> all;
  lab::RuleUse use = rules->unused();
  for (const Part& part : parts) {
    const auto played = play(part);
    if (!played) {
      return bad(played.error());
    }
    auto compared = lab::compare(part.kernel, part.steps, *played, *rules, use);
    if (!compared) {
      return bad(compared.error());
    }
    all.push_back(std::move(*compared));
  }
  // A part of the recordings does not need all rules.
  const bool is_everything =
      options.recordings.empty() && options.workload.empty() && options.kernel.empty() && options.file_system.empty();
  const std::vector<std::string> wrong_rules = is_everything ? unused(*rules, use) : std::vector<std::string>();
  if (options.json) {
    fmt::print("{}\n", document_of(all, wrong_rules).dump(2));
  } else {
    print_table(all, options);
    for (const std::string& wrong : wrong_rules) {
      fmt::print("{}\n", wrong);
    }
  }
  return wrong_rules.empty() && count(all, StepVerdict::Kind::unexplained) == 0 ? 0 : 1;
}

}  // namespace daxsim::cli
