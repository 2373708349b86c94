// SPDX-License-Identifier: BSD-3-Clause
// System: the parts of a machine that every room above device needs, by reference.
#pragma once

#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/vfs/mm_policy.hpp"

DAXSIM_BEGIN

struct System {
  VirtualClock& clock;
  EventStream& events;
  Arena& arena;
  MemoryMap& memory;
  MmPolicy mm{};
};

// The shared zero pages (F2.2). They belong to no device; MemoryMap never hands these numbers out.
inline constexpr Pfn kZeroPfn{0x3738};
inline constexpr Pfn kHugeZeroPfn{0x3a00};

DAXSIM_END
