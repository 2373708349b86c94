// SPDX-License-Identifier: BSD-3-Clause
#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>
#include <utility>

#include "cli/run.hpp"
#include "daxsim/lab/scenario.hpp"
#include "lab/scenario_steps.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;

struct Listed {
  std::string name;
  std::string text;
};
using Lists = std::vector<std::pair<std::string, std::vector<Listed>>>;

std::vector<Listed> listed_eras() {
  std::vector<Listed> listed;
  listed.reserve(eras::all.size());
  for (const Era& era : eras::all) {
    listed.push_back({std::string(era.name), fmt::format("index design {}", era.design().name())});
  }
  return listed;
}

std::vector<Listed> listed_designs() {
  std::vector<Listed> listed;
  for (const IndexDesign* const design : designs::all()) {
    std::string eras_of;
    for (const Era& era : eras::all) {
      if (&era.design() == design) {
        eras_of += (eras_of.empty() ? "of " : ", ") + std::string(era.name);
      }
    }
    listed.push_back({std::string(design->name()), eras_of.empty() ? "of no release of Linux" : eras_of});
  }
  return listed;
}

std::vector<Listed> listed_adapters() {
  std::vector<Listed> listed;
  for (const lab::AdapterKind* const kind : lab::adapter_kinds()) {
    listed.push_back({std::string(lab::adapter_name(*kind)), std::string(lab::adapter_text(*kind))});
  }
  return listed;
}

std::vector<Listed> listed_verbs() {
  std::vector<Listed> listed;
  for (const lab::VerbKind& kind : lab::verb_kinds()) {
    listed.push_back(
        {fmt::format("{}{}{}", kind.name, kind.usage.empty() ? "" : " ", kind.usage), std::string(kind.text)});
  }
  return listed;
}

std::vector<Listed> listed_findings() {
  std::vector<Listed> listed;
  listed.reserve(kFindingKinds);
  for (unsigned kind = 0; kind < kFindingKinds; ++kind) {
    listed.push_back({std::string(finding_name(static_cast<FindingKind>(kind))), ""});
  }
  return listed;
}

std::vector<Listed> listed_events() {
  std::vector<Listed> listed;
  listed.reserve(kEventTypes);
  for (unsigned type = 0; type < kEventTypes; ++type) {
    listed.push_back({std::string(event_name(static_cast<EventType>(type))), ""});
  }
  return listed;
}

Lists all_lists() {
  return {{"eras", listed_eras()},
          {"designs", listed_designs()},
          {"adapters", listed_adapters()},
          {"devices",
           {{"pmem", "persistent memory, direct; -o eadr, no-write-cache, asynchronous"},
            {"ram", "an ordinary disk with a volatile cache; -o no-write-cache"}}},
          {"mmus",
           {{"soft", "simulated processes with page tables of their own; deterministic"},
            {"live", "real loads and stores of this process, by userfaultfd where the host allows it"},
            {"segv", "the same by mmap and mprotect alone"}}},
          {"verbs", listed_verbs()},
          {"findings", listed_findings()},
          {"events", listed_events()}};
}

}  // namespace

const std::vector<std::string>& listed_kinds() {
  static const std::vector<std::string> kKinds{"eras", "designs", "adapters", "devices",
                                               "mmus", "verbs",   "findings", "events"};
  return kKinds;
}

int list(const ListOptions& options) {
  const Lists lists = all_lists();
  const auto found = std::ranges::find(lists, options.what, &Lists::value_type::first);
  const std::vector<Listed>& listed = found->second;
  if (options.json) {
    Json rows = Json::array();
    for (const Listed& one : listed) {
      rows.push_back(one.text.empty() ? Json{{"name", one.name}} : Json{{"name", one.name}, {"text", one.text}});
    }
    fmt::print("{}\n", Json{{"schema", kListSchema}, {options.what, std::move(rows)}}.dump(2));
    return 0;
  }
  std::size_t width = 0;
  for (const Listed& one : listed) {
    width = std::max(width, one.name.size());
  }
  for (const Listed& one : listed) {
    fmt::print("{}\n", one.text.empty() ? one.name : fmt::format("{:<{}}  {}", one.name, width, one.text));
  }
  return 0;
}

}  // namespace daxsim::cli
