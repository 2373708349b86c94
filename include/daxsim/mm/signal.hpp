// SPDX-License-Identifier: BSD-3-Clause
// The signal that a load or store ends in when its fault could not be resolved (F4, F7.4, F8).
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

struct FaultSignal {
  int number = 0;             // SIGBUS or SIGSEGV; SIGKILL when a simulated process has no memory left
  int code = 0;               // BUS_ADRERR, BUS_MCEERR_AR, BUS_OBJERR (live: no memory), SEGV_*, SI_KERNEL
  std::uint64_t address = 0;  // si_addr
  unsigned address_lsb = 0;   // si_addr_lsb: 12 or 21 for BUS_MCEERR_AR, else 0
  friend bool operator==(const FaultSignal&, const FaultSignal&) = default;
};

DAXSIM_END
