// SPDX-License-Identifier: BSD-3-Clause
// Signals: who gets which, with what siginfo and mask, and how a process dies. What changes the process for good runs in
// a child, which also proves that a child can use the library.
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/ptrace.h>
#include <sys/syscall.h>
#include <sys/user.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <thread>
#include <vector>

#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"
#include "support/child.hpp"
#include "support/sanitized.hpp"

namespace daxsim::test {
namespace {

class LiveSignals : public ::testing::TestWithParam<LiveBackend> {
 protected:
  void SetUp() override { GTEST_FLAG_SET(death_test_style, "fast"); }
};

INSTANTIATE_TEST_SUITE_P(, LiveSignals, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

struct sigaction action_of(void (*handler)(int, siginfo_t*, void*), int flags = 0) {
  struct sigaction action{};
  action.sa_sigaction = handler;
  action.sa_flags = SA_SIGINFO | flags;
  sigemptyset(&action.sa_mask);
  return action;
}

void take_signals_back() {
  ::signal(SIGBUS, SIG_DFL);
  ::signal(SIGSEGV, SIG_DFL);
}

// --- siglongjmp -----------------------------------------------------------------------------------------------------

thread_local sigjmp_buf escape;

// True when the access ended in note() or plain().
template <class Access>
[[gnu::noinline]] bool jumps_out(Access access) {
  if (sigsetjmp(escape, 1) == 0) {
    access();
    return false;
  }
  return true;
}

// AddressSanitizer reads all of /proc/self/maps at every jump.
constexpr unsigned kJumps = kAddressSanitized ? 200 : 10'000;

// A program may jump out of its handler, again and again: no lock, no mask and no stack is left behind.
TEST_P(LiveSignals, JumpsOutOfTenThousandBusErrors) {
  LiveMmuWorld world(64);
  world.inode->allocate(0, 64);
  world.inode->resize(kPageSize);
  const Mapping map = must(world.map(GetParam(), {.length = 64 * kPageSize}));
  sigset_t before;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &before), 0);

  for (unsigned i = 0; i < kJumps; ++i) {
    const std::optional<FaultSignal> signal =
        SignalProbe::run([&] { store(map.data() + (1 + i % 63) * kPageSize, 1); });
    ASSERT_TRUE(signal.has_value());
  }

  sigset_t after;
  ASSERT_EQ(::pthread_sigmask(SIG_SETMASK, nullptr, &after), 0);
  EXPECT_EQ(std::memcmp(&before, &after, sizeof(std::uint64_t)), 0);
  EXPECT_TRUE(lock_order::may_fault());
  EXPECT_FAULTS(map, sigbus = kJumps);
  store(map.data(), 1);
}

// --- the handler that was there before ------------------------------------------------------------------------------

struct Seen {
  int number = 0;
  int code = 0;
  int error = 0;
  void* address = nullptr;
  short lsb = 0;
  int saved_errno = 0;
  std::uint64_t mask = 0;
  std::uintptr_t instruction = 0;
};
Seen seen;
const Mapping* touched_by_handler = nullptr;

void note(int number, siginfo_t* info, void* context) {
  seen = {.number = number,
          .code = info->si_code,
          .error = info->si_errno,
          .address = info->si_addr,
          .lsb = info->si_addr_lsb,
          .saved_errno = errno,
          .mask = 0,
          .instruction = static_cast<std::uintptr_t>(static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP])};
  ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &seen.mask, sizeof(seen.mask));
  if (touched_by_handler != nullptr) {
    store(touched_by_handler->data(), 9);
  }
  siglongjmp(escape, 1);
}

// ThreadSanitizer gives every handler an errno of its own.
constexpr bool kHandlersSeeErrno = !kThreadSanitized;

constexpr std::uint64_t bit(int number) { return std::uint64_t{1} << (number - 1); }

// It sees what a kernel would have sent it, with its own mask on top of the thread's, and the program's errno.
TEST_P(LiveSignals, PreviousHandlerSeesTheKernelsSignal) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    struct sigaction action = action_of(&note);
    sigaddset(&action.sa_mask, SIGUSR1);
    ::sigaction(SIGBUS, &action, nullptr);
    LiveMmuWorld world(8);
    const Mapping map = must(world.map(backend));
    for (const auto& [outcome, code, error, lsb] :
         {std::tuple{FaultOutcome::sigbus, BUS_ADRERR, 0, 0}, std::tuple{FaultOutcome::hwpoison, BUS_MCEERR_AR, 0, 12},
          std::tuple{FaultOutcome::oom, BUS_OBJERR, ENOMEM, 0}}) {
      world.inode->forced = outcome;
      sigset_t blocked;
      sigemptyset(&blocked);
      sigaddset(&blocked, SIGUSR2);
      ::pthread_sigmask(SIG_SETMASK, &blocked, nullptr);
      const auto access = [&map] {
        errno = 4711;
        load(map.data() + kPageSize + 5);
      };
      if (!jumps_out(access)) {
        out << "no signal. ";
      }
      std::uint64_t mask = 0;
      ::syscall(SYS_rt_sigprocmask, SIG_BLOCK, nullptr, &mask, sizeof(mask));
      if (seen.number != SIGBUS || seen.code != code || seen.error != error || seen.lsb != lsb ||
          seen.address != map.data() + kPageSize + 5) {
        out << "siginfo of " << code << ": " << seen.code << ' ' << seen.error << ' ' << seen.lsb;
      }
      if (kHandlersSeeErrno && seen.saved_errno != 4711) {
        out << "errno " << seen.saved_errno;
      }
      if (seen.mask != (bit(SIGUSR1) | bit(SIGUSR2))) {
        out << "mask in the handler " << std::hex << seen.mask;
      }
      if (mask != bit(SIGUSR2)) {
        out << "mask afterwards " << std::hex << mask;
      }
    }
  });

  EXPECT_EQ(trouble, "");
}

// It may itself touch live mappings.
TEST_P(LiveSignals, PreviousHandlerMayTouchMappings) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    const struct sigaction action = action_of(&note);
    ::sigaction(SIGBUS, &action, nullptr);
    LiveMmuWorld world(8);
    world.inode->allocate(0, 8);
    const Mapping map = must(world.map(backend, {.length = 16 * kPageSize}));
    touched_by_handler = &map;
    jumps_out([&] { load(map.data() + 8 * kPageSize); });
    touched_by_handler = nullptr;
    if (world.inode->block(0)[0] != std::byte{9}) {
      out << "the handler's store is lost";
    }
  });

  EXPECT_EQ(trouble, "");
}

void skip_load(int, siginfo_t*, void* context) {
  // The program's load below is `movzbl (%rax),%eax`-like; the test's own asm makes it 2 bytes long.
  static_cast<ucontext_t*>(context)->uc_mcontext.gregs[REG_RIP] += 2;
}

// A handler that returns goes on with what it wrote into the context, as under a kernel.
TEST_P(LiveSignals, PreviousHandlerMayChangeTheContext) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    const struct sigaction action = action_of(&skip_load);
    ::sigaction(SIGBUS, &action, nullptr);
    LiveMmuWorld world(8);
    world.inode->forced = FaultOutcome::sigbus;
    const Mapping map = must(world.map(backend));
    std::uint64_t value = 4711;
    asm volatile("movb (%1), %%al" : "+a"(value) : "b"(map.data()) : "memory");
    if (value != 4711) {
      out << "loaded " << value;
    }
  });

  EXPECT_EQ(trouble, "");
}

// A handler of the old kind, without siginfo, and one that is for one time only.
int plain_calls = 0;
void plain(int) {
  ++plain_calls;
  siglongjmp(escape, 1);
}
TEST_P(LiveSignals, PlainHandlerAndOneTimeHandler) {
  EXPECT_EXIT(
      {
        struct sigaction action{};
        action.sa_handler = &plain;
        action.sa_flags = SA_RESETHAND;
        sigemptyset(&action.sa_mask);
        ::sigaction(SIGBUS, &action, nullptr);
        LiveMmuWorld world(8);
        world.inode->forced = FaultOutcome::sigbus;
        const Mapping map = must(world.map(GetParam()));
        jumps_out([&] { load(map.data()); });
        if (plain_calls == 1) {
          load(map.data());
        }
        ::_exit(1);
      },
      ::testing::KilledBySignal(SIGBUS), "");
}

// Faults outside live mappings are none of ours: the handler gets the kernel's own siginfo.
TEST_P(LiveSignals, OtherFaultsPassUntouched) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    const struct sigaction action = action_of(&note);
    ::sigaction(SIGBUS, &action, nullptr);
    ::sigaction(SIGSEGV, &action, nullptr);
    LiveMmuWorld world(8);
    const Mapping map = must(world.map(backend));
    auto* const none =
        static_cast<std::byte*>(::mmap(nullptr, kPageSize, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    jumps_out([&] { load(none + 3); });
    if (seen.number != SIGSEGV || seen.code != SEGV_ACCERR || seen.address != none + 3) {
      out << "SIGSEGV came as " << seen.number << ' ' << seen.code;
    }
    const int empty = ::memfd_create("empty", 0);
    auto* const beyond = static_cast<std::byte*>(::mmap(nullptr, kPageSize, PROT_READ, MAP_SHARED, empty, 0));
    jumps_out([&] { load(beyond + 3); });
    if (seen.number != SIGBUS || seen.code != BUS_ADRERR || seen.address != beyond + 3) {
      out << "SIGBUS came as " << seen.number << ' ' << seen.code;
    }
    jumps_out([] { ::kill(::getpid(), SIGSEGV); });
    if (seen.number != SIGSEGV || seen.code != SI_USER) {
      out << "kill came as " << seen.number << ' ' << seen.code;
    }
  });

  EXPECT_EQ(trouble, "");
}

// --- dying ----------------------------------------------------------------------------------------------------------

// With nobody there a bus error kills the process by SIGBUS; ignoring does not help, as with a kernel.
TEST_P(LiveSignals, DefaultActionKills) {
  const auto die = [&](void (*disposition)(int)) {
    take_signals_back();
    ::signal(SIGBUS, disposition);
    LiveMmuWorld world(8);
    world.inode->forced = FaultOutcome::sigbus;
    const Mapping map = must(world.map(GetParam()));
    load(map.data());
    ::_exit(0);
  };
  EXPECT_EXIT(die(SIG_DFL), ::testing::KilledBySignal(SIGBUS), "");
  EXPECT_EXIT(die(SIG_IGN), ::testing::KilledBySignal(SIGBUS), "");
}

// A store to a read-only mapping kills by SIGSEGV, and so does a wild pointer.
TEST_P(LiveSignals, SegmentationFaultsKill) {
  EXPECT_EXIT(
      {
        take_signals_back();
        LiveMmuWorld world(8);
        const Mapping map = must(world.map(GetParam(), {.prot = Prot::read}));
        store(map.data(), 1);
        ::_exit(0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  EXPECT_EXIT(
      {
        take_signals_back();
        LiveMmuWorld world(8);
        const Mapping map = must(world.map(GetParam()));
        std::byte* volatile nowhere = nullptr;  // volatile: the compiler must not see it coming
        store(nowhere, 1);
        ::_exit(0);
      },
      ::testing::KilledBySignal(SIGSEGV), "");
}

// Ignored signals that somebody sent stay ignored.
TEST_P(LiveSignals, SentSignalStaysIgnored) {
  EXPECT_EXIT(
      {
        take_signals_back();
        ::signal(SIGBUS, SIG_IGN);
        LiveMmuWorld world(8);
        const Mapping map = must(world.map(GetParam()));
        ::kill(::getpid(), SIGBUS);
        ::_exit(7);
      },
      ::testing::ExitedWithCode(7), "");
}

// The signal that kills is ours in every field, and the registers are those of the access: so a core file shows it.
TEST_P(LiveSignals, DiesAtTheInstruction) {
  const pid_t child = ::fork();
  if (child == 0) {
    take_signals_back();
    LiveMmuWorld world(8);
    world.inode->forced = FaultOutcome::hwpoison;
    const Mapping map = must(world.map(GetParam()));
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    const std::byte* const at = map.data() + 77;
    asm volatile("1: movb (%0), %%al; nop" : : "b"(at) : "rax", "memory");
    ::_exit(0);
  }
  siginfo_t info{};
  user_regs_struct at_first{};
  user_regs_struct at_last{};
  int status = 0;
  int stops = 0;
  while (::waitpid(child, &status, 0) == child && WIFSTOPPED(status)) {
    user_regs_struct& registers = stops++ == 0 ? at_first : at_last;
    ASSERT_EQ(::ptrace(PTRACE_GETREGS, child, nullptr, &registers), 0);
    ASSERT_EQ(::ptrace(PTRACE_GETSIGINFO, child, nullptr, &info), 0);
    ASSERT_EQ(::ptrace(PTRACE_CONT, child, nullptr, WSTOPSIG(status)), 0);
  }

  EXPECT_TRUE(WIFSIGNALED(status));
  EXPECT_EQ(WTERMSIG(status), SIGBUS);
  EXPECT_EQ(stops, 2);
  EXPECT_EQ(info.si_code, BUS_MCEERR_AR);
  EXPECT_EQ(info.si_addr_lsb, 12);
  EXPECT_EQ(reinterpret_cast<std::uintptr_t>(info.si_addr) & 0xfff, 77U);
  EXPECT_EQ(at_last.rip, at_first.rip);
  EXPECT_EQ(at_last.rsp, at_first.rsp);
  EXPECT_EQ(at_last.rbx, at_first.rbx);
}

// --- handlers installed after ours ----------------------------------------------------------------------------------

struct sigaction replaced;
int passed_through = 0;
void pass_to_replaced(int number, siginfo_t* info, void* context) {
  if (++passed_through > 10) {
    ::_exit(99);
  }
  replaced.sa_sigaction(number, info, context);
}

// A handler put over ours is reported, and the next mapping goes over it.
TEST_P(LiveSignals, LaterHandlerIsReported) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    LiveMmuWorld world(8);
    world.inode->allocate(0, 8);
    world.inode->resize(4 * kPageSize);
    const Mapping before = must(world.map(backend, {.length = 8 * kPageSize}));
    if (!check_live_signals().ok()) {
      out << "reported too early. ";
    }
    const struct sigaction later = action_of(&note);
    ::sigaction(SIGBUS, &later, nullptr);
    ::sigaction(SIGSEGV, &later, nullptr);
    if (const Result<void> checked = check_live_signals(); checked.ok() || checked.error() != Errno::ebusy) {
      out << "not reported. ";
    }
    const Mapping after = must(world.map(backend));
    if (!check_live_signals().ok()) {
      out << "still reported. ";
    }
    store(before.data(), 1);
    jumps_out([&] { store(before.data() + 5 * kPageSize, 1); });
    if (seen.code != BUS_ADRERR || seen.address != before.data() + 5 * kPageSize) {
      out << "the later handler did not get the bus error. ";
    }
  });

  EXPECT_EQ(trouble, "");
}

// Two handlers that pass on to each other do not do so for ever: what was there before both gets the signal.
TEST_P(LiveSignals, HandlersThatPassOnToEachOther) {
  const std::string trouble = support::in_child([backend = GetParam()](std::ostream& out) {
    const struct sigaction first = action_of(&note, SA_NODEFER);
    ::sigaction(SIGBUS, &first, nullptr);
    LiveMmuWorld world(8);
    world.inode->forced = FaultOutcome::sigbus;
    Mapping map = must(world.map(backend));
    const struct sigaction later = action_of(&pass_to_replaced, SA_NODEFER);
    ::sigaction(SIGBUS, &later, &replaced);
    map = must(world.map(backend));
    jumps_out([&] { load(map.data()); });
    if (passed_through != 1 || seen.address != map.data()) {
      out << "passed through " << passed_through << " times";
    }
  });

  EXPECT_EQ(trouble, "");
}

// --- stacks and interrupted threads ---------------------------------------------------------------------------------

template <class Run>
void on_alternate_stack(std::size_t bytes, Run run) {
  void* const memory = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  stack_t stack{};
  stack.ss_sp = memory;
  stack.ss_size = bytes;
  stack_t before{};
  ::sigaltstack(&stack, &before);
  run();
  ::sigaltstack(&before, nullptr);
  ::munmap(memory, bytes);
}

// A fault runs well in 32 KiB of alternate stack, and touches at most half of it.
TEST_P(LiveSignals, FitsIntoSixteenKibibytes) {
  LiveMmuWorld world(8);
  world.inode->allocate(0, 8);
  const Mapping map = must(world.map(GetParam()));
  constexpr std::size_t kStack = 32 * 1024;
  std::vector<std::byte> copy(kStack);

  on_alternate_stack(kStack, [&] {
    stack_t now{};
    ::sigaltstack(nullptr, &now);
    std::memset(now.ss_sp, 0xa5, kStack);
    store(map.data(), 1);
    std::memcpy(copy.data(), now.ss_sp, kStack);
  });

  std::size_t untouched = 0;
  while (untouched < kStack && copy[untouched] == std::byte{0xa5}) {
    ++untouched;
  }
  ASSERT_LT(untouched, kStack) << "the fault did not run on the alternate stack";
  EXPECT_LE(kStack - untouched, 16U * 1024);
}

// With less the process stops with a message, before anything is overwritten.
TEST_P(LiveSignals, RefusesSmallAlternateStack) {
  EXPECT_DEATH(
      {
        LiveMmuWorld world(8);
        world.inode->allocate(0, 8);
        const Mapping map = must(world.map(GetParam()));
        on_alternate_stack(16 * 1024, [&] { store(map.data(), 1); });
      },
      "alternate signal stack of less than 32 KiB");
}

// A thread that was interrupted inside the library and touches a mapping is told, instead of waiting for itself.
TEST_P(LiveSignals, TouchWhileHoldingLocks) {
  EXPECT_DEATH(
      {
        LiveMmuWorld world(8);
        world.inode->allocate(0, 8);
        const Mapping map = must(world.map(GetParam()));
        Mutex lock(LockRank::entry);
        const MutexLock guard(lock);
        store(map.data(), 1);
      },
      "holds locks of the library");
}

// --- fork -----------------------------------------------------------------------------------------------------------

// A child does not have its parent's mappings; it may make its own, and drop the handles it inherited.
TEST_P(LiveSignals, ChildHasNoMappings) {
  LiveMmuWorld world(8);
  world.inode->allocate(0, 8);
  Mapping map = must(world.map(GetParam()));
  store(map.data(), 1);

  EXPECT_EXIT(
      {
        take_signals_back();
        load(map.data());
      },
      ::testing::KilledBySignal(SIGSEGV), "");
  const std::string trouble = support::in_child([&](std::ostream& out) {
    world.inode->write_back(0, 8);
    map.vma().unmap(kAllPages, EvenCows::yes);
    map.unmap();
    LiveMmuWorld own(8);
    own.inode->allocate(0, 8);
    const Mapping fresh = must(own.map(GetParam()));
    store(fresh.data() + kPageSize, 2);
    if (own.inode->block(1)[0] != std::byte{2}) {
      out << "the child's own mapping does not work";
    }
  });
  EXPECT_EQ(trouble, "");

  EXPECT_EQ(load(map.data()), std::byte{1});
  store(map.data(), 3);
  EXPECT_EQ(world.inode->block(0)[0], std::byte{3});
}

// A fault that is under way in another thread when a child is made leaves it no lock behind.
TEST_P(LiveSignals, ForkDuringAFault) {
  LiveMmuWorld world(8);
  world.inode->allocate(0, 8);
  Mapping map = must(world.map(GetParam()));
  std::atomic<int> stage{0};
  world.inode->on_fault = [&](FaultRequest& request) {
    if (request.order == 0) {
      stage.store(1);
      stage.notify_all();
      stage.wait(1);
    }
  };
  std::thread faulting([&] { store(map.data(), 1); });
  stage.wait(0);

  const std::string trouble = support::in_child([&](std::ostream& out) {
    map.unmap();
    LiveMmuWorld own(8);
    own.inode->allocate(0, 8);
    const Mapping fresh = must(own.map(GetParam()));
    store(fresh.data(), 2);
    if (own.inode->block(0)[0] != std::byte{2}) {
      out << "the child's own mapping does not work";
    }
  });
  stage.store(2);
  stage.notify_all();
  faulting.join();

  EXPECT_EQ(trouble, "");
  EXPECT_EQ(world.inode->block(0)[0], std::byte{1});
}

}  // namespace
}  // namespace daxsim::test
