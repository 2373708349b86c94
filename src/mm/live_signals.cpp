// SPDX-License-Identifier: BSD-3-Clause
#include "mm/live_signals.hpp"

#include <sys/syscall.h>
#include <ucontext.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <new>

#include "mm/live_area.hpp"
#include "mm/live_registry.hpp"

#if !defined(__x86_64__) || !defined(__linux__)
#error "live mappings tell reads from writes by the signal context of Linux on x86-64"
#endif

DAXSIM_BEGIN
namespace live {
namespace {

constexpr std::size_t kLeastAlternateStack = std::size_t{32} << 10;
constexpr std::uint64_t kErrorWrite = 2;  // of the CPU's error code

// The dispositions we took the signals from, newest first. Never freed: a handler may be looking at one.
struct Previous {
  struct sigaction action{};
  const Previous* older = nullptr;
  mutable std::atomic<bool> used{false};  // SA_RESETHAND: it was for one signal only
};

struct Signal {
  int number;
  std::atomic<const Previous*> previous{nullptr};
};
constinit std::array<Signal, 2> signals{Signal{SIGBUS}, Signal{SIGSEGV}};

Signal& signal_of(int number) noexcept { return signals[number == SIGBUS ? 0 : 1]; }

// The kernel's signal set.
using Mask = std::uint64_t;
constexpr Mask bit_of(int number) noexcept { return Mask{1} << (number - 1); }
constexpr Mask kOurs = bit_of(SIGBUS) | bit_of(SIGSEGV);

Mask mask_of(const sigset_t& set) noexcept {
  Mask mask = 0;
  std::memcpy(&mask, &set, sizeof(mask));
  return mask;
}

void set_mask(Mask mask) noexcept { ::syscall(SYS_rt_sigprocmask, SIG_SETMASK, &mask, nullptr, sizeof(mask)); }

// A handler that was installed over ours, and that ours was then put over again, may pass on to us what we passed on to
// it. How often we have seen a signal is noted in the part of its siginfo that no fault uses; the kernel clears it.
class Passes {
 public:
  explicit Passes(siginfo_t* info) noexcept
      : at_(reinterpret_cast<unsigned char*>(info) + sizeof(siginfo_t) - sizeof(std::uint64_t)) {}

  [[nodiscard]] std::uint64_t so_far() const noexcept {
    std::uint64_t word = 0;
    std::memcpy(&word, at_, sizeof(word));
    return (word & ~kCount) == kMark ? word & kCount : 0;
  }
  void count() noexcept {
    const std::uint64_t word = kMark | (so_far() + 1);
    std::memcpy(at_, &word, sizeof(word));
  }

 private:
  static constexpr std::uint64_t kMark = 0x64617873696d0000;
  static constexpr std::uint64_t kCount = 0xffff;
  unsigned char* const at_;
};

// Dies of `info` as if no handler had been there: the signal is pending when our handler returns, and is taken at the
// instruction that faulted, so that a core file shows that and not us.
void die_of(const siginfo_t& info) noexcept {
  struct sigaction by_default{};
  by_default.sa_handler = SIG_DFL;
  ::sigaction(info.si_signo, &by_default, nullptr);
  set_mask(~Mask{0});
  ::syscall(SYS_rt_tgsigqueueinfo, ::getpid(), ::gettid(), info.si_signo, &info);
}

// Gives the signal to whoever had it before us. May not return.
void pass_on(siginfo_t* info, void* context) noexcept {
  const int number = info->si_signo;
  Signal& signal = signal_of(number);
  const Previous* previous = signal.previous.load(std::memory_order_acquire);
  Passes passes(info);
  for (std::uint64_t again = passes.so_far(); again != 0 && previous != nullptr; --again) {
    previous = previous->older;
  }
  passes.count();
  const bool by_default = previous == nullptr || previous->action.sa_handler == SIG_DFL ||
                          ((static_cast<unsigned>(previous->action.sa_flags) & SA_RESETHAND) != 0 &&
                           previous->used.exchange(true, std::memory_order_relaxed));
  const bool is_fault = info->si_code > 0;
  if (by_default || (previous->action.sa_handler == SIG_IGN && is_fault)) {
    die_of(*info);
    return;
  }
  const struct sigaction& action = previous->action;
  if (action.sa_handler == SIG_IGN) {
    return;
  }
  set_mask((mask_of(static_cast<const ucontext_t*>(context)->uc_sigmask) | mask_of(action.sa_mask) | bit_of(number)) &
           ~kOurs);
  if ((action.sa_flags & SA_SIGINFO) != 0) {
    action.sa_sigaction(number, info, context);
  } else {
    action.sa_handler(number);
  }
}

siginfo_t to_siginfo(const FaultSignal& signal) noexcept {
  siginfo_t info{};
  info.si_signo = signal.number;
  info.si_code = signal.code;
  info.si_addr = reinterpret_cast<void*>(signal.address);
  if (signal.number == SIGBUS) {
    info.si_errno = signal.code == BUS_OBJERR ? ENOMEM : 0;
    info.si_addr_lsb = static_cast<short>(signal.address_lsb);
  }
  return info;
}

// What a page that is not there, or not to be written, can raise. A machine check of the host is not ours.
bool may_be_ours(const siginfo_t& info) noexcept {
  return info.si_signo == SIGBUS ? info.si_code == BUS_ADRERR
                                 : info.si_code == SEGV_ACCERR || info.si_code == SEGV_MAPERR;
}

void check_stack(const ucontext_t& context) noexcept {
  const auto here = reinterpret_cast<std::uintptr_t>(__builtin_frame_address(0));
  const auto begin = reinterpret_cast<std::uintptr_t>(context.uc_stack.ss_sp);
  if (here >= begin && here < begin + context.uc_stack.ss_size && context.uc_stack.ss_size < kLeastAlternateStack) {
    die("daxsim: a fault in a live mapping came in on an alternate signal stack of less than 32 KiB; "
        "give sigaltstack more\n");
  }
}

// Returns true when the instruction may run again; else *info is the signal that it ends in.
bool handle(Seat& seat, siginfo_t* info, const ucontext_t& context) noexcept {
  const auto address = reinterpret_cast<std::uintptr_t>(info->si_addr);
  if (!lock_order::may_fault()) {
    die("daxsim: a live mapping was touched by a thread that holds locks of the library; asynchronous "
        "signal handlers must not touch live mappings\n");
  }
  check_stack(context);
  const bool writes = (static_cast<std::uint64_t>(context.uc_mcontext.gregs[REG_ERR]) & kErrorWrite) != 0;
  const Visit visit(seat, address);
  if (visit.area() == nullptr) {
    return false;
  }
  const std::optional<FaultSignal> signal =
      visit.area()->fault(address, writes ? Access::write : Access::read, Cause::instruction);
  if (!signal.has_value()) {
    return true;
  }
  *info = to_siginfo(*signal);
  return false;
}

void on_signal(int /*number*/, siginfo_t* info, void* context) {
  const int saved_errno = errno;
  if (may_be_ours(*info) && Passes(info).so_far() == 0) {
    Seat* const seat = find_seat(reinterpret_cast<std::uintptr_t>(info->si_addr));
    if (seat != nullptr && handle(*seat, info, *static_cast<const ucontext_t*>(context))) {
      errno = saved_errno;
      return;
    }
  }
  errno = saved_errno;
  pass_on(info, context);
}

bool is_ours(const struct sigaction& action) noexcept {
  return (action.sa_flags & SA_SIGINFO) != 0 && action.sa_sigaction == &on_signal;
}

}  // namespace

void install_signal_handlers() noexcept {
  for (Signal& signal : signals) {
    struct sigaction now{};
    ::sigaction(signal.number, nullptr, &now);
    if (is_ours(now)) {
      continue;
    }
    // First, since a fault may come in at once.
    const Previous* const older = signal.previous.load(std::memory_order_relaxed);
    // NOLINTNEXTLINE(bugprone-unhandled-exception-at-new): not the fault path; out of memory may end the program
    signal.previous.store(new Previous{.action = now, .older = older}, std::memory_order_release);
    struct sigaction ours{};
    ours.sa_sigaction = &on_signal;
    // A fault of another kind while one is handled must still be seen. Asynchronous handlers wait: they could touch the
    // mapping that is being worked on.
    ours.sa_flags = SA_SIGINFO | SA_ONSTACK | SA_NODEFER | (now.sa_flags & SA_RESTART);
    ::sigfillset(&ours.sa_mask);
    for (const int synchronous : {SIGBUS, SIGSEGV, SIGILL, SIGFPE, SIGTRAP, SIGABRT}) {
      ::sigdelset(&ours.sa_mask, synchronous);
    }
    ::sigaction(signal.number, &ours, nullptr);
  }
}

void die(const char* message) noexcept {
  [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, message, std::strlen(message));
  std::abort();
}

}  // namespace live

Result<void> check_live_signals() noexcept {
  for (live::Signal& signal : live::signals) {
    struct sigaction now{};
    ::sigaction(signal.number, nullptr, &now);
    if (signal.previous.load(std::memory_order_acquire) != nullptr && !live::is_ours(now)) {
      return Errno::ebusy;
    }
  }
  return {};
}

DAXSIM_END
