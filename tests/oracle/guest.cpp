// SPDX-License-Identifier: BSD-3-Clause
// oracle_guest --fs NAME SCENARIO: plays a scenario on the kernel it runs on, which is the one that tests/oracle/record has
// booted: as root, with two pmem devices, and a tracer that is ready. Each line's beginning and what came of it go to
// trace_marker; what it did to stdout, and last of all a line that begins with "@ " and says what was wrong, if anything was.
//
// Exit status: 0 all lines did what they expect, 1 one did not, 2 the scenario is no good, 3 this machine cannot play it.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <expected>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "actors.hpp"
#include "daxsim/dax/era.hpp"
#include "machine.hpp"
#include "process.hpp"

namespace oracle {
namespace {

namespace lab = daxsim::lab;

enum class Status : std::uint8_t { passed = 0, failed = 1, bad = 2, skipped = 3 };

Status finish(Status status, const std::string& why) {
  fmt::print("@ {}\n", why);
  return status;
}

// The kernel's own log of who did what.
class Tracer {
 public:
  Tracer() : marker_(open("/sys/kernel/tracing/trace_marker", O_WRONLY | O_CLOEXEC)) { turn(true); }
  ~Tracer() {
    turn(false);
    close(marker_);
  }
  Tracer(const Tracer&) = delete;
  Tracer& operator=(const Tracer&) = delete;

  void mark(std::string text) const {
    constexpr std::size_t kMostBytes = 1000;  // the kernel cuts what does not fit its buffer
    text.resize(std::min(text.size(), kMostBytes));
    static_cast<void>(!write(marker_, text.data(), text.size()));
  }

 private:
  static void turn(bool on) {
    const int file = open("/sys/kernel/tracing/tracing_on", O_WRONLY | O_CLOEXEC);
    static_cast<void>(!write(file, on ? "1" : "0", 1));
    close(file);
  }

  int marker_;
};

// "6.12.117-amd64" is 6.12.
std::string era_name() {
  struct utsname name{};
  uname(&name);
  const std::string_view release(name.release);
  return std::string(release.substr(0, release.find_first_not_of("0123456789", release.find('.') + 1)));
}

// Of the machines that a scenario is for, the one that is like this: designs and MMUs are the kernel's own. Nothing: it is
// not about such a machine.
std::expected<std::optional<lab::SimulatedMachine>, lab::ScenarioError> machine_for(const lab::Scenario& scenario,
                                                                                    const FileSystemKind& file_system) {
  lab::SimulatedMachine wanted;
  wanted.adapter = lab::find_adapter_kind(file_system.adapter);
  const std::string era = era_name();
  for (const daxsim::Era& known : daxsim::eras::all) {
    wanted.era = known.name == era ? known : wanted.era;
  }
  const auto machines = lab::machines_for(scenario, wanted);
  if (!machines) {
    return std::unexpected(machines.error());
  }
  for (const lab::SimulatedMachine& machine : *machines) {
    if (machine.era.name == wanted.era.name && machine.adapter == wanted.adapter &&
        (machine.design == nullptr || machine.design == &machine.era.design())) {
      return machine;
    }
  }
  return std::nullopt;
}

// What only a simulator can know is not looked at.
bool can_be_seen(const lab::Expectation& expectation) {
  using Kind = lab::Expectation::Kind;
  return expectation.kind != Kind::finding && expectation.kind != Kind::no_finding &&
         expectation.kind != Kind::events && expectation.kind != Kind::no_event;
}

// What was expected and did not come; empty when all came.
std::string unmet(const Step& step, const Outcome& outcome) {
  const bool succeeded =
      outcome.kind == Outcome::Kind::answered || (step.in_background && outcome.kind == Outcome::Kind::waits);
  if (lab::wants_success(step) && !succeeded) {
    return fmt::format("expected success, got {}", lab::text_of(outcome));
  }
  for (const lab::Expectation& expectation : step.expectations) {
    if (can_be_seen(expectation) && !lab::is_met(expectation, outcome, {})) {
      return fmt::format("expected {}, got {}", expectation.written, lab::text_of(outcome));
    }
  }
  return {};
}

// The machine's devices are larger than those that scenarios fill.
bool is_about_space(const Step& step) {
  return std::ranges::any_of(step.expectations, [](const lab::Expectation& expectation) {
    return expectation.kind == lab::Expectation::Kind::error && expectation.error == daxsim::Errno::enospc;
  });
}

// All lines are played, also behind one that did something else than it expects: what the kernel did is what this is for.
Status conduct(std::span<const Step> steps, const FileSystemKind& file_system) {
  if (std::ranges::any_of(steps, is_about_space)) {
    return finish(Status::skipped, "it is about a device that is full");
  }
  const RealMachine machine(file_system, steps);
  if (!machine.prepare()) {
    return finish(Status::bad, "the file system cannot be made or mounted");
  }
  Actors actors(steps, [&machine]() -> Actors::Player {
    install_signal_handlers();
    return [&machine, process = std::make_shared<Process>(kMountPoint, kDirectFile)](const Step& step) {
      process->read_page_tables(machine.may_read_page_tables(step));
      const std::optional<Outcome> of_machine = machine.play(step);
      Outcome outcome = of_machine ? *of_machine : process->play(step);
      outcome.recorded += take_notice();
      return outcome;
    };
  });
  std::string first_failure;
  const Tracer tracer;
  for (std::size_t number = 0; number < steps.size(); ++number) {
    const Step& step = steps[number];
    tracer.mark(fmt::format(">> {}: {}", step.label, step.command));
    const std::optional<Outcome> outcome = actors.play(number);
    const std::string where = fmt::format("{}:{}: {}", step.file, step.line, step.command);
    if (!outcome) {
      return finish(Status::failed, where + ": the process died, or never came back");
    }
    tracer.mark(fmt::format("<< {} => {}", step.label, outcome->recorded));
    const std::string said =
        fmt::format("{}{}: {}", step.label.empty() ? "" : fmt::format("[{}] ", step.label), step.actor, step.command);
    fmt::print("{:>5}  {:<56}  {}\n", step.line, said, outcome->recorded);
    std::fflush(stdout);
    if (outcome->kind == Outcome::Kind::cannot) {
      return finish(Status::skipped, fmt::format("{}: {}", where, outcome->recorded));
    }
    if (const std::string missed = unmet(step, *outcome); !missed.empty()) {
      first_failure = first_failure.empty() ? fmt::format("{}: {}", where, missed) : first_failure;
      fmt::print("       {}\n", missed);
    }
  }
  return first_failure.empty() ? finish(Status::passed, "") : finish(Status::failed, first_failure);
}

Status play(const FileSystemKind& file_system, const char* file) {
  const auto scenario = lab::load_scenario(file);
  if (!scenario) {
    return finish(Status::bad, scenario.error().text());
  }
  const auto machine = machine_for(*scenario, file_system);
  if (!machine) {
    return finish(Status::bad, machine.error().text());
  }
  if (!*machine) {
    return finish(Status::skipped, "it is not about such a machine");
  }
  const auto steps = lab::steps_of(*scenario, **machine);
  return steps ? conduct(*steps, file_system) : finish(Status::bad, steps.error().text());
}

}  // namespace
}  // namespace oracle

int main(int argc, char** argv) {
  const oracle::FileSystemKind* const file_system =
      argc == 4 && std::string_view(argv[1]) == "--fs" ? oracle::find_file_system(argv[2]) : nullptr;
  if (file_system == nullptr) {
    fmt::print(stderr, "usage: oracle_guest --fs ext4|ext4nj|xfs|xfsrmap SCENARIO\n");
    return static_cast<int>(oracle::Status::bad);
  }
  return static_cast<int>(oracle::play(*file_system, argv[3]));
}
