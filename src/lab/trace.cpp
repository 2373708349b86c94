// SPDX-License-Identifier: BSD-3-Clause
#include "lab/trace.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <set>
#include <utility>

DAXSIM_BEGIN
namespace lab {
namespace {

using Json = nlohmann::ordered_json;

// Threads of a machine in the trace: steps have their actor's, events that of their task, devices one each.
constexpr std::uint32_t kFirstDevice = 1'000'000;

double microseconds(std::uint64_t ns) { return static_cast<double>(ns) / 1000; }

bool is_of_a_device(EventType type) noexcept {
  switch (type) {
    case EventType::dax_flush:
    case EventType::blkdev_issue_flush:
    case EventType::dax_holder_notify_failure:
    case EventType::dax_holder_revoke:
    case EventType::kill_dax:
    case EventType::disk_gone:
    case EventType::memunmap_pages:
    case EventType::attach:
      return true;
    default:
      return false;
  }
}

// What begins and ends: the phase and the name of the slice.
struct Slice {
  char phase = 'i';
  std::string name;
};
Slice slice_of(const Event& event) {
  switch (event.type) {
    case EventType::dax_pte_fault:
      return {'B', "PTE fault"};
    case EventType::dax_pte_fault_done:
      return {'E', "PTE fault"};
    case EventType::dax_pmd_fault:
      return {'B', "PMD fault"};
    case EventType::dax_pmd_fault_done:
      return {'E', "PMD fault"};
    case EventType::dax_wait_entry:
      return {'B', fmt::format("waits for the entry of page {}", event.pgoff.value)};
    case EventType::dax_wait_entry_done:
      return {'E', fmt::format("waits for the entry of page {}", event.pgoff.value)};
    case EventType::fsync_start:
      return {'B', "fsync"};
    case EventType::fsync_done:
      return {'E', "fsync"};
    default:
      return {'i', std::string(event_name(event.type))};
  }
}

class Perfetto {
 public:
  void add(const TracedRun& run) {
    for (const PlayedStep& step : run.steps) {
      const std::uint64_t process = process_of(run, step.machine);
      add(process, step);
      for (const Event& event : step.events) {
        add(process, event);
      }
    }
    first_process_ = next_process_;
  }
  [[nodiscard]] std::string text() && {
    return Json{{"displayTimeUnit", "ns"}, {"traceEvents", std::move(events_)}}.dump(1, ' ', false,
                                                                                     Json::error_handler_t::replace);
  }

 private:
  std::uint64_t process_of(const TracedRun& run, std::uint64_t machine) {
    const std::uint64_t process = first_process_ + machine;
    if (process >= next_process_) {
      next_process_ = process + 1;
      named_.clear();
      events_.push_back(
          {{"ph", "M"},
           {"name", "process_name"},
           {"pid", process},
           {"args", {{"name", machine == 0 ? run.name : fmt::format("{}, reboot {}", run.name, machine)}}}});
    }
    return process;
  }

  void name_thread(std::uint64_t process, std::uint32_t thread, const std::string& name) {
    if (named_.insert(thread).second) {
      events_.push_back(
          {{"ph", "M"}, {"name", "thread_name"}, {"pid", process}, {"tid", thread}, {"args", {{"name", name}}}});
    }
  }

  void add(std::uint64_t process, const PlayedStep& step) {
    // Processes have the numbers in which they came; the scenario's own line has one above.
    name_thread(process, 0, "scenario");
    events_.push_back({{"ph", "X"},
                       {"name", step.command},
                       {"pid", process},
                       {"tid", 0},
                       {"ts", microseconds(step.began_ns)},
                       {"dur", microseconds(step.ended_ns - step.began_ns)},
                       {"args", {{"actor", step.actor}, {"line", step.line}, {"result", step.result}}}});
  }

  void add(std::uint64_t process, const Event& event) {
    const bool is_device = is_of_a_device(event.type);
    const std::uint32_t thread = is_device ? kFirstDevice + event.dev : event.task + 1;
    name_thread(process, thread,
                is_device ? fmt::format("device {}:{}", event.dev >> 20, event.dev & 0xfffff)
                          : fmt::format("task {}", event.task));
    const Slice slice = slice_of(event);
    Json json{{"ph", std::string(1, slice.phase)},
              {"name", slice.name},
              {"pid", process},
              {"tid", thread},
              {"ts", microseconds(event.time_ns)},
              {"args", {{"event", fs_dax_text(event)}, {"id", event.id}}}};
    if (slice.phase == 'i') {
      json["s"] = event.type == EventType::power_cut ? "g" : "t";
    }
    events_.push_back(std::move(json));
  }

  Json events_ = Json::array();
  std::uint64_t first_process_ = 1;
  std::uint64_t next_process_ = 1;
  std::set<std::uint32_t> named_;  // of the process that came last
};

}  // namespace

std::string text_trace(std::span<const TracedRun> runs) {
  std::string text;
  for (const TracedRun& run : runs) {
    fmt::format_to(std::back_inserter(text), "# {}\n", run.name);
    for (const PlayedStep& step : run.steps) {
      fmt::format_to(std::back_inserter(text), ">> {}{}: {}\n", step.label.empty() ? "" : step.label + ' ', step.actor,
                     step.command);
      for (const Event& event : step.events) {
        fmt::format_to(std::back_inserter(text), "{:>16.6f}: task {}: {}\n", static_cast<double>(event.time_ns) / 1e9,
                       event.task, fs_dax_text(event));
      }
      fmt::format_to(std::back_inserter(text), "<< {}\n", step.result);
    }
  }
  return text;
}

std::string perfetto_trace(std::span<const TracedRun> runs) {
  Perfetto trace;
  for (const TracedRun& run : runs) {
    trace.add(run);
  }
  return std::move(trace).text();
}

}  // namespace lab
DAXSIM_END
