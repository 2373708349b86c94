// SPDX-License-Identifier: BSD-3-Clause
// Scenarios: files of commands in the words of xfs_io, and what must come back (docs/scenario-language.md), played on
// machines of their own:
//
//   const lab::Scenario scenario = lab::load_scenario("survives.scn").value();
//   const std::vector<lab::SimulatedMachine> machines = lab::machines_for(scenario).value();
//   for (const lab::SimulatedMachine& machine : machines) {
//     const lab::RunReport report = lab::run(scenario, machine);
//     if (report.verdict == lab::RunReport::Verdict::failed) { puts(report.message.c_str()); }
//   }
//
// Threads: any; every run makes its own machine, with media in memory (/dev/shm) or else in temporary files. The same
// scenario, machine and seeds give the same run (soft MMU). Not in the fault path.
#pragma once

#include <array>
#include <cstdint>
#include <expected>
#include <filesystem>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/dax/era.hpp"
#include "daxsim/detect/findings.hpp"

DAXSIM_BEGIN
namespace lab {

// Where, and what was expected there.
struct ScenarioError {
  std::string file;
  std::uint32_t line = 0;    // 1, 2, ...; 0: not about a line
  std::uint32_t column = 0;  // 1, 2, ... bytes; 0: the whole line
  std::string message;

  // "a.scn:3:7: ..."
  [[nodiscard]] std::string text() const;
};

struct ScenarioLines;

// A file that has been read. Its commands are looked at when it is run: what they are may hang on parameters.
struct Scenario {
  std::string name;  // as given
  std::shared_ptr<const ScenarioLines> lines;
};

// `folder` is where included files are found.
std::expected<Scenario, ScenarioError> parse_scenario(std::string_view text, std::string name,
                                                      const std::filesystem::path& folder = {});
std::expected<Scenario, ScenarioError> load_scenario(const std::filesystem::path& file);

// A kind of file system: `mkfs -t NAME`.
struct AdapterKind;
// In the order of `daxsim list adapters`.
const std::vector<const AdapterKind*>& adapter_kinds();
// Null when there is none of this name.
const AdapterKind* find_adapter_kind(std::string_view name) noexcept;
std::string_view adapter_name(const AdapterKind& kind) noexcept;
// One line for people.
std::string_view adapter_text(const AdapterKind& kind) noexcept;

enum class Mmu : std::uint8_t { soft, live, segv };
// "soft", "live", "segv".
std::string_view mmu_name(Mmu mmu) noexcept;
inline constexpr std::array kAllMmus{Mmu::soft, Mmu::live, Mmu::segv};

// What a scenario is played on.
struct SimulatedMachine {
  Era era = eras::v6_12;
  const IndexDesign* design = nullptr;   // null: the era's
  const AdapterKind* adapter = nullptr;  // null: ext4
  Mmu mmu = Mmu::soft;
  std::map<std::string, std::string, std::less<>> parameters{};

  // What it has where nothing is said.
  [[nodiscard]] const IndexDesign& index_design() const noexcept;
  [[nodiscard]] const AdapterKind& adapter_kind() const noexcept;
  // "6.12 pfn ext4 soft"
  [[nodiscard]] std::string text() const;
};

// All that the scenario declares, each combination; `wanted` says what it is of that is not declared, and narrows what is:
// of the dimensions in `fixed` only the wanted one. Errors: a declaration that names what does not exist.
struct Fixed {
  bool era = false;
  bool design = false;
  bool adapter = false;
  bool mmu = false;
};
std::expected<std::vector<SimulatedMachine>, ScenarioError> machines_for(const Scenario& scenario,
                                                                         const SimulatedMachine& wanted = {},
                                                                         const Fixed& fixed = {});

// What one line of a run did.
struct PlayedStep {
  std::uint32_t line = 0;
  std::string label;           // "" when it has none
  std::string actor;           // "p1"
  std::string command;         // "mread 0 1", its variables replaced
  std::string result;          // in the words of the recordings: "load +0x0 ok val=0x00 pte=pfn:0x3310"
  std::uint64_t machine = 0;   // how many reboots came before
  std::uint64_t began_ns = 0;  // virtual time
  std::uint64_t ended_ns = 0;
  std::vector<Event> events;  // empty unless asked for
};

struct RunReport {
  enum class Verdict : std::uint8_t { passed, failed, skipped, bad };
  Verdict verdict = Verdict::passed;
  // Not passed: where and why, with what was expected, what came, and the last events. skipped: what this machine cannot
  // do. bad: the scenario is no good (as a ScenarioError).
  std::string message;
  std::vector<PlayedStep> steps;  // those that were played; empty unless asked for
  std::vector<Finding> findings;
};

enum class Keep : std::uint8_t { nothing, steps, events };
// lines: an expectation that is not met ends the run. recorded: expectations are not looked at, and a call that fails is
// a result like another.
enum class Judge : std::uint8_t { lines, nothing };

// Context: may wait; no locks held. With a live MMU it installs signal handlers (mm/live.hpp), one for itself below them.
RunReport run(const Scenario& scenario, const SimulatedMachine& machine = {}, Keep keep = Keep::nothing,
              Judge judge = Judge::lines);

}  // namespace lab
DAXSIM_END
