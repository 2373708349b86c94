// SPDX-License-Identifier: BSD-3-Clause
// `daxsim conform`: the workloads of the recordings, played by daxsim, held against what real kernels did.
#pragma once

#include <span>
#include <string>
#include <string_view>

namespace daxsim::cli {

// "schema" of the JSON document.
inline constexpr const char* kConformSchema = "daxsim-conform-1";

struct ConformOptions {
  // Empty: all.
  std::string workload;
  std::string kernel;
  std::string file_system;
  std::string recordings;  // a folder of linux-KERNEL.tsv; empty: those of the project
  bool json = false;
  bool verbose = false;  // also both sides of every difference
};

// Returns the exit status: 0 when every difference is explained, 1 when one is not, 2 for a name that no recording has or
// a recording that is none.
int conform(const ConformOptions& options);

// A file of tests/conformance, in the program.
struct ConformanceFile {
  std::string_view name;  // "a.scn", "linux-6.1.tsv", "not-dax.tsv"
  std::string_view text;
};
std::span<const ConformanceFile> conformance_files() noexcept;

}  // namespace daxsim::cli
