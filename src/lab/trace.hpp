// SPDX-License-Identifier: BSD-3-Clause
// Traces of runs, for people and for Perfetto (https://ui.perfetto.dev).
#pragma once

#include <span>
#include <string>
#include <vector>

#include "daxsim/lab/scenario.hpp"

DAXSIM_BEGIN
namespace lab {

struct TracedRun {
  std::string name;
  std::vector<PlayedStep> steps;  // with their events
};

// Each step with its result, then its events as the kernel's trace has them, with virtual time.
std::string text_trace(std::span<const TracedRun> runs);
// Chrome's trace event format. A machine is a process: its threads have the steps, the faults and the waits for entry
// locks; its devices have the flushes, the fences and what becomes of them; a power cut goes through all.
std::string perfetto_trace(std::span<const TracedRun> runs);

}  // namespace lab
DAXSIM_END
