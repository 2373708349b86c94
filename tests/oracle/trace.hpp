// SPDX-License-Identifier: BSD-3-Clause
// The text of ftrace, as the guest's init sets it up, made into the steps of a recording. The guest's program brackets
// each step with two lines in trace_marker: ">> LABEL: what it does" and "<< LABEL => what came of it"; what the kernel
// did between the two is the step's events, in the notation of tests/oracle/README.md. Lines outside of such brackets are
// nobody's. A label that ends in '+' is of a step that goes on with the next line of that label: there are their events.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <vector>

namespace oracle {

// The name of the guest's program as the kernel has it: what it did itself is not marked with who did it.
inline constexpr std::string_view kGuestName = "oracle_guest";

struct Step {
  std::string label;
  std::vector<std::string> events;
  std::string result;
};

// The steps in order. A last one that began and never ended has a result that says so.
std::vector<Step> steps_of_trace(std::istream& trace, std::string_view guest_name = kGuestName);

// "a > bx3 > c": equal neighbours are counted.
std::string event_text(const std::vector<std::string>& events);

}  // namespace oracle
