// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/thread_record.hpp"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>

DAXSIM_BEGIN
namespace thread_record {

namespace {

constexpr std::uintptr_t kBusy = ~std::uintptr_t{0};
constinit Places no_places{{kBusy, kBusy, kBusy, kBusy, kBusy, kBusy, kBusy, kBusy}};
constinit std::array<Places, kRecords> places{};

}  // namespace

thread_local constinit unsigned number_of_this_thread = kUnknown;
thread_local constinit Places* places_of_this_thread = &no_places;

namespace {

#if defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define DAXSIM_THREAD_SANITIZER
#endif
#elif defined(__SANITIZE_THREAD__)
#define DAXSIM_THREAD_SANITIZER
#endif
#if defined(DAXSIM_THREAD_SANITIZER)
constexpr bool kMayPublish = false;
#else
constexpr bool kMayPublish = true;
#endif

bool membarrier(int command) noexcept { return ::syscall(SYS_membarrier, command, 0, 0) == 0; }

// False until start(): threads that come before do not publish.
constinit std::atomic<bool> publishing{false};

// Generation in the upper half, the owner's host thread number in the lower; 0 there: free.
constinit std::array<std::atomic<std::uint64_t>, kRecords> owners{};
constinit std::atomic<unsigned> used{0};

constexpr std::uint64_t kGeneration = std::uint64_t{1} << 32;
constexpr std::uint64_t thread_of(std::uint64_t owner) noexcept { return owner % kGeneration; }
constexpr std::uint64_t next_owner(std::uint64_t before, std::uint64_t thread) noexcept {
  return before - thread_of(before) + kGeneration + thread;
}

bool is_dead(std::uint64_t thread) noexcept {
  return ::syscall(SYS_tgkill, ::getpid(), static_cast<pid_t>(thread), 0) != 0 && errno == ESRCH;
}

bool is_clear(const Places& of) noexcept {
  return std::ranges::all_of(of.at, [](const Place& place) {
    const std::uintptr_t word = place.load(std::memory_order_relaxed);
    return word == 0 || word == kBusy;
  });
}

// An owner of this thread's number is dead as well. Who died as a reader stays one, as with any lock.
bool take(unsigned record, std::uint64_t me) noexcept {
  std::uint64_t seen = owners[record].load(std::memory_order_relaxed);
  const std::uint64_t thread = thread_of(seen);
  return (thread == 0 || thread == me || is_dead(thread)) && is_clear(places[record]) &&
         owners[record].compare_exchange_strong(seen, next_owner(seen, me), std::memory_order_acq_rel);
}

void forget_other_threads() noexcept {
  const auto me = static_cast<std::uint64_t>(::gettid());
  for (unsigned record = 0; record < in_use(); ++record) {
    const std::uint64_t before = owners[record].load(std::memory_order_relaxed);
    const bool mine = record == number_of_this_thread;
    owners[record].store(next_owner(before, mine ? me : 0), std::memory_order_relaxed);
    if (!mine) {
      std::ranges::for_each(places[record].at, [](Place& place) { place.store(0, std::memory_order_relaxed); });
    }
  }
}

bool start() noexcept {
  const int saved_errno = errno;
  const bool follows_forks = ::pthread_atfork(nullptr, nullptr, &forget_other_threads) == 0;
  publishing.store(kMayPublish && follows_forks && membarrier(MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED),
                   std::memory_order_seq_cst);
  errno = saved_errno;
  return follows_forks;
}
[[maybe_unused]] const bool kStarted = start();

}  // namespace

unsigned in_use() noexcept { return used.load(std::memory_order_seq_cst); }

unsigned claim() noexcept {
  const int saved_errno = errno;
  const auto me = static_cast<std::uint64_t>(::gettid());
  unsigned record = 0;
  while (record < kRecords && !take(record, me)) {
    ++record;
  }
  unsigned before = used.load(std::memory_order_relaxed);
  while (record < kRecords && before <= record &&
         !used.compare_exchange_weak(before, record + 1, std::memory_order_seq_cst)) {
  }
  if (record < kRecords && publishing.load(std::memory_order_seq_cst)) {
    places[record].at[kNeverFree].store(kBusy, std::memory_order_relaxed);
    places_of_this_thread = &places[record];
  }
  number_of_this_thread = record;
  errno = saved_errno;
  return record;
}

void barrier_in_all_threads() noexcept {
  const int saved_errno = errno;
  if (publishing.load(std::memory_order_seq_cst) && !membarrier(MEMBARRIER_CMD_PRIVATE_EXPEDITED)) {
    static constexpr char kMessage[] = "daxsim: the host has begun to refuse membarrier(2), which readers rely on\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage, sizeof(kMessage) - 1);
    std::abort();
  }
  errno = saved_errno;
}

bool is_published(std::uintptr_t word, unsigned first, unsigned end) noexcept {
  for (unsigned record = 0; record < in_use(); ++record) {
    for (unsigned number = first; number < end; ++number) {
      if (places[record].at[number].load(std::memory_order_acquire) == word) {
        return true;
      }
    }
  }
  return false;
}

}  // namespace thread_record
DAXSIM_END
