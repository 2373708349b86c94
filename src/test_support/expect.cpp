// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/test_support/expect.hpp"

#include <cstdlib>
#include <string>

namespace daxsim::test {
namespace {

thread_local constinit SignalProbe* innermost __attribute__((tls_model("initial-exec"))) = nullptr;

std::string describe(const FaultSignal& signal) {
  const auto code = [&]() -> std::string {
    if (signal.number == SIGBUS) {
      switch (signal.code) {
        case BUS_ADRALN:
          return "BUS_ADRALN";
        case BUS_ADRERR:
          return "BUS_ADRERR";
        case BUS_MCEERR_AR:
          return "BUS_MCEERR_AR";
        case BUS_MCEERR_AO:
          return "BUS_MCEERR_AO";
        default:
          break;
      }
    }
    return "code " + std::to_string(signal.code);
  };
  return std::string(signal.number == SIGBUS ? "SIGBUS " : "SIGSEGV ") + code();
}

}  // namespace

struct SignalProbeHandler {
  // Installed before main, and so before the library's own handler, which passes on to it what ends in a signal.
  SignalProbeHandler() noexcept {
    struct sigaction action{};
    action.sa_sigaction = &handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, &before_[0]);
    sigaction(SIGSEGV, &action, &before_[1]);
  }

  static void handle(int number, siginfo_t* info, void* context) {
    if (innermost == nullptr) {
      pass_on(number, info, context);
      return;
    }
    SignalProbe& probe = *innermost;
    innermost = probe.outer_;
    probe.caught_ = {.number = number,
                     .code = info->si_code,
                     .address = reinterpret_cast<std::uintptr_t>(info->si_addr),
                     .address_lsb = number == SIGBUS ? static_cast<unsigned>(info->si_addr_lsb) : 0};
    siglongjmp(probe.resume_, 1);
  }

  static void pass_on(int number, siginfo_t* info, void* context) {
    const struct sigaction& before = before_[number == SIGBUS ? 0 : 1];
    if ((before.sa_flags & SA_SIGINFO) != 0 && before.sa_sigaction != nullptr) {
      before.sa_sigaction(number, info, context);
    } else if (before.sa_handler != SIG_DFL && before.sa_handler != SIG_IGN) {
      before.sa_handler(number);
    } else {
      // The access runs again when this handler returns, and dies of its own fault.
      sigaction(number, &before, nullptr);
      raise(number);
    }
  }

  static inline struct sigaction before_[2];
};

namespace {
const SignalProbeHandler kInstalled;
}

void SignalProbe::arm() noexcept {
  outer_ = innermost;
  innermost = this;
}

void SignalProbe::disarm() noexcept { innermost = outer_; }

::testing::AssertionResult ended_in_sigbus(const char* access_text, const char* code_text,
                                           const std::optional<FaultSignal>& caught, const volatile void* address,
                                           int code) {
  const auto wanted = reinterpret_cast<std::uintptr_t>(address);
  if (!caught.has_value()) {
    return ::testing::AssertionFailure() << "access to " << access_text << " succeeded; expected SIGBUS " << code_text;
  }
  if (caught->number != SIGBUS || caught->code != code) {
    return ::testing::AssertionFailure() << "access to " << access_text << " ended in " << describe(*caught)
                                         << "; expected SIGBUS " << code_text;
  }
  if (caught->address != wanted) {
    return ::testing::AssertionFailure() << "SIGBUS names address " << caught->address << ", not " << wanted;
  }
  return ::testing::AssertionSuccess();
}

::testing::AssertionResult has_errno(const char* call_text, std::optional<Errno> got, Errno wanted) {
  if (got == wanted) {
    return ::testing::AssertionSuccess();
  }
  return ::testing::AssertionFailure() << call_text << " answered " << (got ? errno_name(*got) : "success")
                                       << "; expected " << errno_name(wanted);
}

::testing::AssertionResult same_faults(const char* what, const FaultCounts& got, const FaultCounts& wanted) {
  if (got == wanted) {
    return ::testing::AssertionSuccess();
  }
  const auto text = [](const FaultCounts& counts) {
    return "pte = " + std::to_string(counts.pte) + ", pmd = " + std::to_string(counts.pmd) +
           ", cow = " + std::to_string(counts.cow) + ", sigbus = " + std::to_string(counts.sigbus);
  };
  return ::testing::AssertionFailure() << what << " took faults " << text(got) << "; expected " << text(wanted);
}

}  // namespace daxsim::test
