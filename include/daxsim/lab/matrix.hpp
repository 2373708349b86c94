// SPDX-License-Identifier: BSD-3-Clause
// The question of the thread, put to one index design at a time. A question builds a machine of its own, does something
// to it, and looks at what came out: bytes read after a power cut and a reboot, errnos and signals a program saw, and
// findings of the detectors. Nothing is derived from a design's name, so a design of your own is judged the same way:
//
//   const lab::Cell cell = must(lab::ask(*lab::find_question("page-fsync"), my_design));
//   cell.text();  // "holds"
//
// Threads: any; every call makes its own machine, with media in memory (/dev/shm) or else in a temporary file. Not in the
// fault path.
#pragma once

#include <chrono>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/dax/index_design.hpp"

DAXSIM_BEGIN
namespace lab {

enum class Verdict : std::uint8_t {
  holds,           // everything that was promised is there
  refused,         // not done, and the program was told
  not_applicable,  // the question could not be put to this design
  harm,            // lost, or touched what is not the file's, and nobody was told
};
// "holds", "refused", "not applicable", "harm".
std::string_view verdict_name(Verdict verdict) noexcept;

// What fsync took, of all successful write-backs in one trial.
struct Costs {
  std::uint64_t pages = 0;                 // dirty pages written back
  std::uint64_t lookups = 0;               // FlushTarget::lookups
  std::uint64_t locks = 0;                 // FlushTarget::locks
  std::uint64_t index_bytes = 0;           // memory of the file's index at its largest
  std::chrono::nanoseconds fsync_time{0};  // of this host
};

struct Cell {
  Verdict verdict = Verdict::holds;
  // refused: the errno ("EIO") or signal ("SIGBUS"); harm: what happened ("lost store"), several joined by ", ";
  // not_applicable: why.
  std::string what;
  Costs costs;
  std::vector<std::string> story;  // one line per step, and the events between; empty unless asked for

  // "holds", "refused: EIO", "not applicable: no huge page", "lost store".
  [[nodiscard]] std::string text() const;
};

class Trial;

struct Question {
  std::string_view name;  // "page-fsync"
  std::string_view asks;  // one line for people
  using Put = Result<void>(Trial& trial);
  Put* put = nullptr;
};

// All questions, in the order of the table's columns.
std::span<const Question> questions() noexcept;
// Null when there is none of this name.
const Question* find_question(std::string_view name) noexcept;

enum class Telling : std::uint8_t { verdict_only, story };

// Errors: any that the machine met while the question was being arranged (the host is short of something); what happens
// to the design under test is in the cell.
Result<Cell> ask(const Question& question, const IndexDesign& design, Telling telling = Telling::verdict_only);

}  // namespace lab
DAXSIM_END
