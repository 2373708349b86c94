// SPDX-License-Identifier: BSD-3-Clause
// GoogleTest expectations of daxsim: errno results, bus errors of real loads and stores, counted faults.
//
//   EXPECT_ERRNO(file.fsync(), Errno::eio);
//   EXPECT_SIGBUS_LOAD(map.data(), BUS_ADRERR);
//   EXPECT_SIGBUS_STORE(map.data() + 64, BUS_ADRERR);
//   EXPECT_FAULTS(map, pte = 1, pmd = 0);         // all faults of this mapping so far; what is not named is 0
//
// The bus-error expectations work in any thread, in several at once, and nested (a load inside a probe's own probe).
// A SIGBUS outside them goes where it went before.
#pragma once

#include <gtest/gtest.h>

#include <csetjmp>
#include <csignal>
#include <cstdint>
#include <optional>

#include "daxsim/base/result.hpp"
#include "daxsim/mm/signal.hpp"
#include "daxsim/vfs/vma.hpp"

namespace daxsim::test {

// Runs `access` and answers the bus error or segmentation fault it ended in, or nothing.
class SignalProbe {
 public:
  template <class Access>
  static std::optional<FaultSignal> run(Access&& access) {
    SignalProbe probe;
    if (sigsetjmp(probe.resume_, 1) == 0) {
      probe.arm();
      access();
      probe.disarm();
      return std::nullopt;
    }
    return probe.caught_;
  }

 private:
  friend struct SignalProbeHandler;
  SignalProbe() = default;
  void arm() noexcept;
  void disarm() noexcept;

  sigjmp_buf resume_;
  SignalProbe* outer_ = nullptr;
  FaultSignal caught_;
};

::testing::AssertionResult ended_in_sigbus(const char* access_text, const char* code_text,
                                           const std::optional<FaultSignal>& caught, const volatile void* address,
                                           int code);
::testing::AssertionResult has_errno(const char* call_text, std::optional<Errno> got, Errno wanted);
::testing::AssertionResult same_faults(const char* what, const FaultCounts& got, const FaultCounts& wanted);

template <class T>
std::optional<Errno> error_of(const Result<T>& result) {
  return result.ok() ? std::nullopt : std::optional<Errno>(result.error());
}

}  // namespace daxsim::test

#define EXPECT_ERRNO(call, errno_value) \
  EXPECT_TRUE(::daxsim::test::has_errno(#call, ::daxsim::test::error_of(call), (errno_value)))

// `pointer` may point to any type; one byte is accessed.
#define EXPECT_SIGBUS_LOAD(pointer, code) \
  DAXSIM_EXPECT_SIGBUS(pointer, code, [[maybe_unused]] const auto daxsim_loaded = *daxsim_at)
#define EXPECT_SIGBUS_STORE(pointer, code) DAXSIM_EXPECT_SIGBUS(pointer, code, *daxsim_at = 0x5a)
#define DAXSIM_EXPECT_SIGBUS(pointer, code, access)                                                      \
  do {                                                                                                   \
    volatile unsigned char* const daxsim_at =                                                            \
        const_cast<volatile unsigned char*>(reinterpret_cast<const volatile unsigned char*>(pointer));   \
    EXPECT_TRUE(::daxsim::test::ended_in_sigbus(                                                         \
        #pointer, #code, ::daxsim::test::SignalProbe::run([daxsim_at] { access; }), daxsim_at, (code))); \
  } while (false)

#define EXPECT_FAULTS(mapping, ...)                                                        \
  do {                                                                                     \
    ::daxsim::FaultCounts daxsim_wanted;                                                   \
    [[maybe_unused]] auto& [pte, pmd, cow, sigbus] = daxsim_wanted;                        \
    __VA_ARGS__;                                                                           \
    EXPECT_TRUE(::daxsim::test::same_faults(#mapping, (mapping).faults(), daxsim_wanted)); \
  } while (false)
