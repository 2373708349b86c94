// SPDX-License-Identifier: BSD-3-Clause
// What the lines of a scenario mean: verbs with their flags and arguments, and what must come back. A step knows nothing
// of who plays it: the simulator (scenario_player.hpp), or a real kernel (tests/oracle).
#pragma once

#include <cstdint>
#include <expected>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/base/errno.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/lab/scenario.hpp"
#include "daxsim/mm/signal.hpp"

DAXSIM_BEGIN
namespace lab {

enum class Verb : std::uint8_t {
  open,
  file,
  close,
  truncate,
  falloc,
  fpunch,
  fzero,
  fcollapse,
  finsert,
  funshare,
  pread,
  pwrite,
  fsync,
  fdatasync,
  sync,
  syncfs,
  sync_range,
  fadvise,
  fiemap,
  seek,
  stat,
  statx,
  reflink,
  chattr,
  unlink,
  rename,
  mmap,
  munmap,
  mread,
  mwrite,
  msync,
  mprotect,
  madvise,
  mlock,
  munlock,
  mincore,
  pagemap,
  pin,
  unpin,
  direct_io,
  wait,
  kill,
  device_create,
  device_remove,
  device_attach,
  mkfs,
  mount,
  umount,
  balance,
  promote,
  demote,
  drop_caches,
  power_cut,
  reboot,
  echo,
};

struct VerbKind {
  Verb verb;
  std::string_view name;  // "device create"
  // Letters; one with ':' behind it takes a number, one with '=' a word.
  std::string_view flags;
  // N a number, W a word; '|' where the arguments may end, '*' any further words.
  std::string_view arguments;
  std::string_view usage;  // of flags and arguments, for people
  std::string_view text;   // what it does, one line
};
std::span<const VerbKind> verb_kinds() noexcept;
const VerbKind& kind_of(Verb verb) noexcept;

struct Flag {
  char name = 0;
  std::uint64_t number = 0;
  std::string word;
};

struct Expectation {
  enum class Kind : std::uint8_t {
    ok,
    waits,
    value,       // `value`
    error,       // `error`
    signal,      // `signal`, number and code
    bytes,       // `text`: these bytes were read
    answer,      // `text`: the answer in words, whole
    field,       // `text`: one word of it
    finding,     // `finding`
    no_finding,  //
    events,      // `events` in this order, among others
    no_event,    // events.front() is not among them
  };
  Kind kind = Kind::ok;
  std::uint64_t value = 0;
  Errno error{};
  FaultSignal signal{};
  FindingKind finding{};
  std::string text{};  // for bytes, answer, field
  std::vector<EventType> events{};
  std::string written{};  // as written
};

struct Step {
  std::string_view file;  // the scenario's, which outlives the step
  std::uint32_t line = 0;
  std::string_view written;  // the line
  std::string label;
  std::string actor;
  std::string command;  // verb, flags and arguments, variables replaced
  Verb verb{};
  std::vector<Flag> flags;
  std::vector<std::string> words;
  std::vector<std::uint64_t> numbers;
  bool in_background = false;
  std::vector<Expectation> expectations;

  [[nodiscard]] const Flag* flag(char name) const noexcept;
};

// All commands of the scenario on this machine, in order. Errors: what is no command, with the nearest one; more than
// kMostSteps lines, those that are repeated counted each time.
inline constexpr std::size_t kMostSteps = 100'000;
std::expected<std::vector<Step>, ScenarioError> steps_of(const Scenario& scenario, const SimulatedMachine& machine);

// The value of NUMBER (docs/scenario-language.md); none when it is none, or does not fit.
std::optional<std::uint64_t> number_of(std::string_view text) noexcept;

// What a step came to.
struct Outcome {
  enum class Kind : std::uint8_t {
    answered,
    failed,     // error
    signalled,  // signal
    waits,      // in the background
    cannot,     // this machine has no such thing: recorded says what
  };
  Kind kind = Kind::answered;
  std::int64_t value = 0;
  Errno error{};
  FaultSignal signal{};
  std::string answer{};            // in words: "none", "0+16384 32768+8192:unwritten", "size=65536 blocks=8"
  std::vector<std::byte> bytes{};  // that were read
  std::string recorded{};          // in the words of the recordings of real kernels
};
inline Outcome answered(std::string recorded, std::int64_t value = 0) {
  Outcome outcome{.value = value};
  outcome.recorded = std::move(recorded);
  return outcome;
}
// This machine has no such thing.
inline Outcome cannot(std::string why) { return {.kind = Outcome::Kind::cannot, .recorded = std::move(why)}; }
// "0x11", "EIO", "SIGBUS BUS_ADRERR", ... for people.
std::string text_of(const Outcome& outcome);
// "SIGBUS BUS_ADRERR".
std::string signal_text(int number, int code);

struct Seen {
  std::span<const Event> events;
  std::span<const Finding> findings;  // new ones
};
bool is_met(const Expectation& expectation, const Outcome& outcome, const Seen& seen);
// A line that expects nothing of its outcome wants success.
bool wants_success(const Step& step) noexcept;

}  // namespace lab
DAXSIM_END
