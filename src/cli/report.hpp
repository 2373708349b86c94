// SPDX-License-Identifier: BSD-3-Clause
// `daxsim report`: what `daxsim matrix` found, and what bench_designs measured, as one page that needs nothing else.
#pragma once

#include <filesystem>

namespace daxsim::cli {

struct ReportOptions {
  std::filesystem::path out = "daxsim-report.html";
  std::filesystem::path matrix;  // of `daxsim matrix --json -v`; empty: asked now
  std::filesystem::path bench;   // of `bench_designs --benchmark_out`; empty: no plots
  std::filesystem::path plots;   // a folder for the plots alone; empty: they are on the page only
};

// Returns the exit status: 0 when the page was written, 1 when the matrix could not be asked, 2 when an input is not what
// it should be or the page cannot be written.
int report(const ReportOptions& options);

}  // namespace daxsim::cli
