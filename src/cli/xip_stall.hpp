// SPDX-License-Identifier: BSD-3-Clause
// What an update of the flash costs those who execute in place from it meanwhile, for each way of sim::Busy.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <vector>

#include "daxsim/base/errno.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"

namespace daxsim::cli {

// The last blocks of the flash are erased and programmed, one after the other, and a page is fetched each time.
struct UpdateLoad {
  std::uint64_t bytes = std::uint64_t{1} << 20;  // rounded up to blocks
  std::chrono::microseconds fetch_every{1000};
};

struct Stall {
  sim::Busy busy{};
  std::optional<Errno> refused{};  // the update: nothing happened then
  std::uint64_t fetches = 0;
  std::uint64_t wrong = 0;             // of them got no data
  std::chrono::nanoseconds total{};    // that all fetches took
  std::chrono::nanoseconds longest{};  // of them
  std::chrono::nanoseconds update{};   // from begin to end
};

// Runs the image from P30s that are as many as it needs beside the update, by the virtual clock. Empty: no page of it is
// direct, so nobody waits for the flash.
// Errors: Errno::efbig (16 chips are too few), Errno::einval (an update of nothing), and those of Machine and XipFs::mount.
Result<std::vector<Stall>> stalls_of(std::span<const std::byte> image, const UpdateLoad& load);

}  // namespace daxsim::cli
