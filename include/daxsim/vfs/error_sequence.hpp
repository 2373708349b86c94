// SPDX-License-Identifier: BSD-3-Clause
// ErrorSequence: write-back errors of an address space, reported once to each file handle, as Linux's errseq_t does.
//
// A handle samples the sequence when it is opened. check_and_advance() answers the newest error recorded since the
// handle's sample and moves the sample on. An error that nobody has seen yet is also reported to handles opened after it.
// Threads: any; the word is one atomic. Allowed in the fault path.
#pragma once

#include <atomic>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

DAXSIM_BEGIN

class ErrorSequence {
 public:
  using Sample = std::uint32_t;

  // Remembers `error` for every handle. (mapping_set_error)
  void record(Errno error) noexcept;
  [[nodiscard]] Sample sample() const noexcept;
  // Ok when nothing new happened since `since`; else the error, and `since` is now. `since` belongs to one handle; calls
  // for one handle are serialised by the caller. Errors: any that was recorded.
  Result<void> check_and_advance(Sample& since) noexcept;

 private:
  // bits 0..11 errno, bit 12 "somebody has seen it", bits 13..31 a counter
  std::atomic<std::uint32_t> word_{0};
};

DAXSIM_END
