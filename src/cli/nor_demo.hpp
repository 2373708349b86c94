// SPDX-License-Identifier: BSD-3-Clause
// `daxsim demo nor`: code that runs from a NOR flash is fetched while the flash is changed, with real loads: what they get,
// and what that costs them and the writer, for each way of Busy.
#pragma once

namespace daxsim::cli {

struct NorDemoOptions {
  bool json = false;
};

// Returns the exit status: 0 when every load got what it should.
int nor_demo(const NorDemoOptions& options);

}  // namespace daxsim::cli
