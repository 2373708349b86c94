// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/sync.hpp"

#include <unistd.h>

#include <array>
#include <cstdlib>
#include <cstring>

DAXSIM_BEGIN

const char* lock_rank_name(LockRank rank) noexcept {
  static constexpr std::array<const char*, kLockRanks> kNames{
      "machine",    "name_space", "i_rwsem", "mm",         "freeze",      "invalidate", "entry",  "i_mmap",
      "page_table", "allocation", "index",   "wait_queue", "device_gate", "media",      "events", "arena"};
  return kNames[static_cast<unsigned>(rank)];
}

namespace lock_order {

thread_local constinit Held held;

void check(LockRank rank) noexcept {
  const auto wanted = static_cast<unsigned>(rank);
  const bool nests = rank == LockRank::device_gate;
  for (unsigned other = nests ? wanted + 1 : wanted; other < kLockRanks; ++other) {
    if (held.count[other] != 0) {
      // write(2) and string literals only: this may be a signal handler.
      const auto say = [](const char* text) {
        [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
      };
      say("daxsim: lock order violated: takes ");
      say(lock_rank_name(rank));
      say(" while holding ");
      say(lock_rank_name(static_cast<LockRank>(other)));
      say("\n");
      std::abort();
    }
  }
}

}  // namespace lock_order

void SharedMutex::wait_for_writer() noexcept {
  for (std::uint32_t seen = state_.load(std::memory_order_relaxed); (seen & kWriter) != 0;
       seen = state_.load(std::memory_order_relaxed)) {
    state_.wait(seen, std::memory_order_relaxed);
  }
}

void SharedMutex::tell_departure() noexcept {
  departures_.fetch_add(1, std::memory_order_release);
  departures_.notify_all();
}

void SharedMutex::publish_after_writer(thread_record::Place& place) noexcept {
  do {
    thread_record::withdraw(place);
    tell_departure();
    wait_for_writer();
    thread_record::publish(place, word());
  } while ((state_.load(std::memory_order_acquire) & kWriter) != 0);
}

void SharedMutex::lock_shared_without_place() noexcept {
  if (place_ == thread_record::kNeverFree || thread_record::number_of_this_thread != thread_record::kUnknown) {
    lock_shared_counted();
    return;
  }
  // The thread's first: it has a record from now on, if there is one.
  thread_record::claim();
  thread_record::Place& place = thread_record::place(place_);
  if (place.load(std::memory_order_relaxed) != 0) {
    lock_shared_counted();
    return;
  }
  thread_record::publish(place, word());
  if ((state_.load(std::memory_order_acquire) & kWriter) != 0) {
    publish_after_writer(place);
  }
}

void SharedMutex::lock_shared_counted() noexcept {
  while ((state_.fetch_add(1, std::memory_order_acquire) & kWriter) != 0) {
    if (state_.fetch_sub(1, std::memory_order_relaxed) == (kWriter | 1)) {
      state_.notify_all();
    }
    wait_for_writer();
  }
}

void SharedMutex::lock() noexcept {
  lock_order::acquiring(rank_);
  lock_checked();
}

void SharedMutex::lock_checked() noexcept {
  writers_.lock();
  std::uint32_t seen = state_.fetch_or(kWriter, std::memory_order_seq_cst) | kWriter;
  if (place_ != thread_record::kNeverFree) {
    thread_record::barrier_in_all_threads();
    for (std::uint32_t departures = departures_.load(std::memory_order_acquire);
         thread_record::is_published(word(), place_, place_ + 1);
         departures = departures_.load(std::memory_order_acquire)) {
      departures_.wait(departures, std::memory_order_acquire);
    }
  }
  while (seen != kWriter) {
    state_.wait(seen, std::memory_order_relaxed);
    seen = state_.load(std::memory_order_acquire);
  }
  lock_order::acquired(rank_);
}

void SharedMutex::unlock() noexcept {
  state_.fetch_and(~kWriter, std::memory_order_release);
  state_.notify_all();
  writers_.unlock();
  lock_order::released(rank_);
}

ExclusiveLocks::ExclusiveLocks(SharedMutex& one, SharedMutex& other) noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS
    : one_(&one < &other ? one : other),
      other_(&one < &other ? other : one) {
  one_.lock();
  if (&one_ != &other_) {
    other_.lock_checked();
  }
}

ExclusiveLocks::~ExclusiveLocks() DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
  if (&one_ != &other_) {
    other_.unlock();
  }
  one_.unlock();
}

thread_record::Place* Gate::Reader::other_place() noexcept {
  if (thread_record::number_of_this_thread == thread_record::kUnknown) {
    thread_record::claim();
  }
  for (unsigned number = kFirstPlace; number < thread_record::kPlaces; ++number) {
    if (thread_record::Place& place = thread_record::place(number); place.load(std::memory_order_relaxed) == 0) {
      return &place;
    }
  }
  return nullptr;
}

void Gate::tell_departure() noexcept {
  departures_.fetch_add(1, std::memory_order_release);
  departures_.notify_all();
}

void Gate::drain(std::uint32_t phase) noexcept {
  for (std::uint32_t departures = departures_.load(std::memory_order_acquire);
       readers_[phase].load(std::memory_order_seq_cst) != 0 ||
       thread_record::is_published(word(phase), kFirstPlace, thread_record::kPlaces);
       departures = departures_.load(std::memory_order_acquire)) {
    departures_.wait(departures, std::memory_order_acquire);
  }
}

void Gate::synchronize() noexcept {
  const std::lock_guard guard(killers_);
  waiting_.store(true, std::memory_order_seq_cst);
  thread_record::barrier_in_all_threads();
  const std::uint32_t phase = phase_.load(std::memory_order_relaxed) & 1;
  drain(phase ^ 1);
  phase_.store(phase ^ 1, std::memory_order_seq_cst);
  drain(phase);
  waiting_.store(false, std::memory_order_seq_cst);
}

namespace {

struct Queue {
  Mutex lock{LockRank::wait_queue};
  Waiter* head DAXSIM_GUARDED_BY(lock) = nullptr;
  std::atomic<std::uint32_t> waiters{0};
};

constexpr unsigned kQueues = 256;
constinit std::array<Queue, kQueues> queues;

Queue& queue_of(WaitKey key) noexcept {
  std::uint64_t hash = reinterpret_cast<std::uintptr_t>(key.object) ^ key.index;
  hash *= 0x9e3779b97f4a7c15U;
  return queues[hash >> 56];
}

thread_local constinit Interruption* current __attribute__((tls_model("initial-exec"))) = nullptr;

}  // namespace

void Waiter::enqueue() noexcept {
  Queue& queue = queue_of(key_);
  const MutexLock guard(queue.lock);
  queue.waiters.fetch_add(1, std::memory_order_seq_cst);
  Waiter** link = &queue.head;
  while (*link != nullptr) {
    link = &(*link)->next_;
  }
  *link = this;
  link_ = link;
  queued_ = true;
}

void Waiter::dequeue() noexcept {
  Queue& queue = queue_of(key_);
  const MutexLock guard(queue.lock);
  if (!queued_) {
    return;
  }
  queued_ = false;
  if (!woken()) {
    queue.waiters.fetch_sub(1, std::memory_order_relaxed);
  }
  *link_ = next_;
  if (next_ != nullptr) {
    next_->link_ = link_;
  }
}

void Waiter::signal(std::uint32_t why) noexcept {
  signals_.fetch_or(why, std::memory_order_release);
  signals_.notify_all();
}

void Waiter::wait() noexcept {
  while ((signals_.load(std::memory_order_acquire) & kWoken) == 0) {
    signals_.wait(0, std::memory_order_acquire);
  }
}

Result<void> Waiter::wait_interruptible() noexcept {
  Interruption* const interruption = current;
  if (interruption == nullptr) {
    wait();
    return {};
  }
  bool raised = false;
  {
    const std::lock_guard guard(interruption->lock_);
    raised = interruption->raised();
    interruption->waiter_ = raised ? nullptr : this;
  }
  if (!raised) {
    signals_.wait(0, std::memory_order_acquire);
    const std::lock_guard guard(interruption->lock_);
    interruption->waiter_ = nullptr;
  }
  // Once out of the queue nobody can choose this waiter any more, so the wake-up of one that gives up is never lost.
  dequeue();
  if (!woken()) {
    return Errno::eintr;
  }
  return {};
}

void Interruption::raise() noexcept {
  const std::lock_guard guard(lock_);
  raised_.store(true, std::memory_order_release);
  if (waiter_ != nullptr) {
    waiter_->signal(Waiter::kInterrupted);
  }
}

InterruptScope::InterruptScope(Interruption& interruption) noexcept : outer_(current) { current = &interruption; }
InterruptScope::~InterruptScope() { current = outer_; }

void wake_waiters(WaitKey key, Wake how) noexcept {
  Queue& queue = queue_of(key);
  if (queue.waiters.load(std::memory_order_seq_cst) == 0) {
    return;
  }
  const MutexLock guard(queue.lock);
  for (Waiter* waiter = queue.head; waiter != nullptr; waiter = waiter->next_) {
    if (waiter->key_ == key && !waiter->woken()) {
      queue.waiters.fetch_sub(1, std::memory_order_relaxed);
      waiter->signal(Waiter::kWoken);
      if (waiter->mode_ == WaitMode::exclusive && how == Wake::next) {
        return;
      }
    }
  }
}

WaitersSeen waiters_for(WaitKey key) noexcept {
  WaitersSeen seen;
  Queue& queue = queue_of(key);
  const MutexLock guard(queue.lock);
  for (const Waiter* waiter = queue.head; waiter != nullptr; waiter = waiter->next_) {
    if (waiter->key_ == key) {
      ++(waiter->woken() ? seen.woken : seen.asleep);
    }
  }
  return seen;
}

std::optional<std::uint64_t> next_asleep(const void* object, std::uint64_t from) noexcept {
  std::optional<std::uint64_t> lowest;
  for (Queue& queue : queues) {
    const MutexLock guard(queue.lock);
    for (const Waiter* waiter = queue.head; waiter != nullptr; waiter = waiter->next_) {
      const std::uint64_t index = waiter->key_.index;
      if (waiter->key_.object == object && !waiter->woken() && index >= from &&
          index < lowest.value_or(~std::uint64_t{0})) {
        lowest = index;
      }
    }
  }
  return lowest;
}

DAXSIM_END
