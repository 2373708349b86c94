// SPDX-License-Identifier: BSD-3-Clause
// The fault path never allocates: a fault may come in while the program is inside its allocator.
#include <gtest/gtest.h>
#include <stdlib.h>
#include <sys/wait.h>

#include <string>
#include <vector>

#include "daxsim/mm/live.hpp"

namespace daxsim::test {
namespace {

class FaultPath : public ::testing::TestWithParam<LiveBackend> {};

std::vector<LiveBackend> backends() {
  std::vector<LiveBackend> all{LiveBackend::sigsegv};
  if (probe_live_backend() == LiveBackend::userfaultfd) {
    all.push_back(LiveBackend::userfaultfd);
  }
  return all;
}

INSTANTIATE_TEST_SUITE_P(, FaultPath, ::testing::ValuesIn(backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// Faults of every kind, and a heap that lives in a mapping, in a process whose malloc forbids itself to the fault path.
TEST_P(FaultPath, NeverAllocates) {
  const std::string command = std::string(DAXSIM_TEST_PROGRAMS "/live_malloc ") + live_backend_name(GetParam());

  const int status = ::system(command.c_str());

  ASSERT_TRUE(WIFEXITED(status)) << "status " << status;
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace daxsim::test
