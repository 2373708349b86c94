// SPDX-License-Identifier: BSD-3-Clause
// Recordings of real kernels, in the notation that tests/conformance/recordings/*.tsv has: read, and brought together with
// what a simulated machine emitted. What of either is not compared is said in recording.cpp, in tables, and nowhere else.
//
// Threads: any. Not in the fault path.
#pragma once

#include <cstdint>
#include <expected>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"

DAXSIM_BEGIN
namespace lab {

// One call, as it was recorded.
struct RecordedStep {
  std::uint32_t line = 0;   // of the file
  std::string file_system;  // "ext4nfit"
  std::string workload;     // "a"
  std::string label;        // "a1-read-hole"
  std::vector<std::string> events;
  std::string result;  // "load +0x0 ok val=0x00 pte=pfn:0x3310,softdirty"
};

struct Recording {
  std::string kernel;  // "6.1"
  std::vector<RecordedStep> steps;
};

// `text` is a file of tab-separated columns: fs, workload, step, events, result. Repetitions ("dax_flush(4096)x2") are
// expanded; a line that is several calls becomes several steps, the events with the last. Errors: what is wrong, with the
// number of the line: "linux-6.1.tsv:3: ...".
std::expected<Recording, std::string> read_recording(std::string_view text, const std::string& file,
                                                     std::string kernel);

// The event in the notation of the recordings; none, or two, for some. An event that they do not have is none.
std::vector<std::string> notation_of(const Event& event);

// What is compared of events in the notation, those of simulated machines included. Errors: a name that no table knows.
std::expected<std::vector<std::string>, std::string> compared_events(std::span<const std::string> events);
// What is compared of a result: "load +0x0 ok val=0x00 pte=pfn".
std::string compared_result(std::string_view result);

// Why events of this name are not compared; empty: they are. Errors: a name that no table knows.
std::expected<std::string_view, std::string> why_not_compared(std::string_view event);
// "dax_flush" of "dax_flush(4096)", "[kworker]wb_mapping" of "[kworker]wb_mapping=0".
std::string_view name_of_event(std::string_view event) noexcept;

}  // namespace lab
DAXSIM_END
