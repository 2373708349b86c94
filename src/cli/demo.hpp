// SPDX-License-Identifier: BSD-3-Clause
// `daxsim demo`: the main job, done once, on a real pmem file with real loads and stores.
#pragma once

#include <cstdint>
#include <filesystem>

namespace daxsim::cli {

struct DemoOptions {
  std::filesystem::path media;  // empty: a temporary file, removed at the end
  std::uint64_t seed = 1;       // of the power cut
  bool json = false;
  bool trace = false;  // print the fault's fs_dax events
};

// Returns the exit status: 0 when every step behaved.
int demo(const DemoOptions& options);

}  // namespace daxsim::cli
