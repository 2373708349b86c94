// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/thread_record.hpp"

#include <pthread.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

DAXSIM_BEGIN
namespace thread_record {

thread_local constinit unsigned number_of_this_thread = kUnknown;

namespace {

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

// Also true when this thread has had it before: its number was another thread's, which is dead then.
bool take(unsigned record, std::uint64_t me) noexcept {
  std::uint64_t seen = owners[record].load(std::memory_order_relaxed);
  const std::uint64_t thread = thread_of(seen);
  return (thread == 0 || thread == me || is_dead(thread)) &&
         owners[record].compare_exchange_strong(seen, next_owner(seen, me), std::memory_order_acq_rel);
}

void forget_other_threads() noexcept {
  const auto me = static_cast<std::uint64_t>(::gettid());
  for (unsigned record = 0; record < in_use(); ++record) {
    const std::uint64_t before = owners[record].load(std::memory_order_relaxed);
    owners[record].store(next_owner(before, record == number_of_this_thread ? me : 0), std::memory_order_relaxed);
  }
}

[[maybe_unused]] const int follows_forks = ::pthread_atfork(nullptr, nullptr, &forget_other_threads);

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
  number_of_this_thread = record;
  errno = saved_errno;
  return record;
}

}  // namespace thread_record
DAXSIM_END
