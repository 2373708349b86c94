// SPDX-License-Identifier: BSD-3-Clause
// Simulated devices made of others, as device-mapper makes them (F11): parts one behind the other, or striped.
//
//   auto left  = must(sim::open(sim::Pmem{.path = "left.pmem", .size = 64_MiB}));
//   auto right = must(sim::open(sim::Pmem{.path = "right.pmem", .size = 64_MiB}));
//   auto both  = must(machine.attach(sim::StripeComposite{.parts = {left, right}}));
//
// A file system sees one device. direct_access ends at the border of a part or chunk, so a stripe of 64 KiB never has a
// PMD, and neighbouring PTEs go to another part's memory every 16 pages. What a composite can do is what its parts can:
// MAP_SYNC if all are synchronous, a write cache if one has it.
//
// Frames: in Linux a mapper has none, its memory is the parts'. Here the machine gives frames to what is attached, that
// is the composite, and its parts cannot be attached meanwhile: so each page of memory has one frame here as well, and
// frames are numbered as the composite's pages are.
//
// Like a pmem, a composite keeps what its parts' media have, and may be made again of the same parts, in the same order.
#pragma once

#include <cstdint>
#include <memory>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device.hpp"

DAXSIM_BEGIN
namespace sim {

// One behind the other.
struct LinearComposite {
  // 1 or more direct devices, none read-only; all but the last a multiple of 2 MiB long, so that what is aligned here is aligned there
  std::vector<std::shared_ptr<Device>> parts{};
};

// In turn, a chunk of each.
struct StripeComposite {
  std::vector<std::shared_ptr<Device>> parts{};   // 1 or more direct devices of one size, none read-only
  std::uint64_t chunk = std::uint64_t{64} << 10;  // bytes, a power of two, 4 KiB or more; divides the parts' size
};

// At a power cut each line has its outcome as on any device, chosen over all parts together; if the host fails meanwhile,
// some parts are cut and others not.
// Errors: Errno::einval (the parts or the chunk are not as above). Never waits.
Result<std::shared_ptr<Device>> open(const LinearComposite& config);
Result<std::shared_ptr<Device>> open(const StripeComposite& config);

}  // namespace sim
DAXSIM_END
