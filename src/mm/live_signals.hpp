// SPDX-License-Identifier: BSD-3-Clause
// The process's SIGBUS and SIGSEGV: which of them are faults in live mappings, and where the others go.
#pragma once

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace live {

// Puts the library's handlers in place, over whoever is there. Context: serialised by the caller.
void install_signal_handlers() noexcept;

// Says why, and aborts. Allowed in signal handlers.
[[noreturn]] void die(const char* message) noexcept;

}  // namespace live
DAXSIM_END
