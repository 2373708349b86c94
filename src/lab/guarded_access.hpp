// SPDX-License-Identifier: BSD-3-Clause
// Loads and stores of this process that may end in a signal, and then answer it.
#pragma once

#include <cstddef>
#include <optional>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/mm/signal.hpp"

DAXSIM_BEGIN
namespace lab {

// Before the first live mapping is made, so that the library's handler passes on to this one what ends in a signal.
void guard_accesses();

// From or to memory that may fault, byte by byte in this order; bytes before the one that the signal is about are done.
std::optional<FaultSignal> guarded_load(const std::byte* from, std::span<std::byte> to);
std::optional<FaultSignal> guarded_store(std::byte* to, std::span<const std::byte> from);

}  // namespace lab
DAXSIM_END
