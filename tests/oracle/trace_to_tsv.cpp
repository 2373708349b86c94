// SPDX-License-Identifier: BSD-3-Clause
// trace_to_tsv FS WORKLOAD TRACE [GUEST]: the labelled steps of one trace as lines of a recording, on stdout: file system,
// workload, step, events, result. GUEST is the name of the program that was traced, when it is not the guest's.
#include <fstream>
#include <iostream>

#include "trace.hpp"

int main(int argc, char** argv) {
  if (argc != 4 && argc != 5) {
    std::cerr << "usage: trace_to_tsv FS WORKLOAD TRACE [GUEST]\n";
    return 2;
  }
  std::ifstream trace(argv[3]);
  if (!trace) {
    std::cerr << "trace_to_tsv: cannot read " << argv[3] << "\n";
    return 2;
  }
  for (const oracle::Step& step : oracle::steps_of_trace(trace, argc == 5 ? argv[4] : oracle::kGuestName)) {
    if (!step.label.empty()) {
      std::cout << argv[1] << '\t' << argv[2] << '\t' << step.label << '\t' << oracle::event_text(step.events) << '\t'
                << step.result << '\n';
    }
  }
  return std::cout.flush() ? 0 : 2;
}
