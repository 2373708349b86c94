// SPDX-License-Identifier: BSD-3-Clause
#include "lab/guarded_access.hpp"

#include <array>
#include <csetjmp>
#include <csignal>
#include <cstdint>

DAXSIM_BEGIN
namespace lab {
namespace {

struct Guard {
  sigjmp_buf resume;
  FaultSignal caught;
};
// Volatile: no call is between arming and the access.
thread_local constinit Guard* volatile armed __attribute__((tls_model("initial-exec"))) = nullptr;

constexpr std::array kSignals{SIGBUS, SIGSEGV};
std::array<struct sigaction, kSignals.size()> before;

void pass_on(int number, siginfo_t* info, void* context) {
  const struct sigaction& action = before[number == SIGBUS ? 0 : 1];
  if ((action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction != nullptr) {
    action.sa_sigaction(number, info, context);
  } else if (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN) {
    action.sa_handler(number);
  } else {
    // The access runs again when this handler returns, and dies of its own fault.
    sigaction(number, &action, nullptr);
    raise(number);
  }
}

void handle(int number, siginfo_t* info, void* context) {
  Guard* const guard = armed;
  if (guard == nullptr) {
    pass_on(number, info, context);
    return;
  }
  guard->caught = {.number = number,
                   .code = info->si_code,
                   .address = reinterpret_cast<std::uintptr_t>(info->si_addr),
                   .address_lsb = number == SIGBUS ? static_cast<unsigned>(info->si_addr_lsb) : 0};
  siglongjmp(guard->resume, 1);
}

template <class Copy>
std::optional<FaultSignal> guarded(const Copy& copy) {
  Guard guard;
  if (sigsetjmp(guard.resume, 1) == 0) {
    armed = &guard;
    copy();
    armed = nullptr;
    return std::nullopt;
  }
  armed = nullptr;
  return guard.caught;
}

}  // namespace

void guard_accesses() {
  [[maybe_unused]] static const bool kInstalled = [] {
    struct sigaction action{};
    action.sa_sigaction = &handle;
    action.sa_flags = SA_SIGINFO | SA_NODEFER;
    sigemptyset(&action.sa_mask);
    for (std::size_t which = 0; which < kSignals.size(); ++which) {
      sigaction(kSignals[which], &action, &before[which]);
    }
    return true;
  }();
}

std::optional<FaultSignal> guarded_load(const std::byte* from, std::span<std::byte> to) {
  const volatile std::byte* const memory = from;
  return guarded([&] {
    for (std::size_t at = 0; at < to.size(); ++at) {
      to[at] = memory[at];
    }
  });
}

std::optional<FaultSignal> guarded_store(std::byte* to, std::span<const std::byte> from) {
  volatile std::byte* const memory = to;
  return guarded([&] {
    for (std::size_t at = 0; at < from.size(); ++at) {
      memory[at] = from[at];
    }
  });
}

}  // namespace lab
DAXSIM_END
