// SPDX-License-Identifier: BSD-3-Clause
// `daxsim run`: scenario files (docs/scenario-language.md). `daxsim list`: what they can name.
#pragma once

#include <string>
#include <vector>

namespace daxsim::cli {

inline constexpr const char* kRunSchema = "daxsim-run-1";
inline constexpr const char* kListSchema = "daxsim-list-1";
inline constexpr int kSkipped = 77;

struct RunOptions {
  std::vector<std::string> files;
  // Empty: what each file declares, or else the default.
  std::string era;
  std::string design;
  std::string adapter;
  std::string mmu;
  std::vector<std::string> parameters;  // "NAME=VALUE"
  std::string trace;                    // a file; ".json": for Perfetto, else text
  bool json = false;
  bool verbose = false;  // also every step
};

// Returns the exit status: 0 when what ran passed, 1 when something failed, 2 for a file that is no scenario or an unknown
// name, 77 when nothing could run.
int run(const RunOptions& options);

struct ListOptions {
  std::string what;
  bool json = false;
};
// The kinds of things that `daxsim list` knows.
const std::vector<std::string>& listed_kinds();
int list(const ListOptions& options);

}  // namespace daxsim::cli
