// SPDX-License-Identifier: BSD-3-Clause
// A thread that a test stops where it wants.
#pragma once

#include <semaphore>

namespace daxsim::test {

// One thread stops in stop_here(); the test sees it with wait_until_parked() and lets it go on with let_go().
class Parking {
 public:
  void stop_here() {
    parked_.release();
    free_.acquire();
  }
  void wait_until_parked() { parked_.acquire(); }
  void let_go() { free_.release(); }

 private:
  std::binary_semaphore parked_{0};
  std::binary_semaphore free_{0};
};

}  // namespace daxsim::test
