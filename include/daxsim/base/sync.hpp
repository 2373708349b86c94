// SPDX-License-Identifier: BSD-3-Clause
// All blocking of the library: Mutex, SharedMutex, wait queues with exclusive waiters, Gate, interruption.
//
// Nothing here allocates memory, so everything may be used in the fault path. Every lock has a rank (lock_rank.hpp) and
// is annotated for clang's thread-safety analysis.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <optional>

#include "daxsim/base/config.hpp"
#include "daxsim/base/lock_rank.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/thread_annotations.hpp"
#include "daxsim/base/thread_record.hpp"

DAXSIM_BEGIN

class DAXSIM_CAPABILITY("mutex") Mutex {
 public:
  explicit constexpr Mutex(LockRank rank) noexcept : rank_(rank) {}
  Mutex(const Mutex&) = delete;
  Mutex& operator=(const Mutex&) = delete;

  void lock() noexcept DAXSIM_ACQUIRE() {
    lock_order::acquiring(rank_);
    mutex_.lock();
    lock_order::acquired(rank_);
  }
  void unlock() noexcept DAXSIM_RELEASE() {
    mutex_.unlock();
    lock_order::released(rank_);
  }
  void assert_held() const noexcept DAXSIM_ASSERT_CAPABILITY(this) {}

 private:
  const LockRank rank_;
  std::mutex mutex_;
};

class DAXSIM_SCOPED_CAPABILITY MutexLock {
 public:
  explicit MutexLock(Mutex& mutex) noexcept DAXSIM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~MutexLock() DAXSIM_RELEASE() { mutex_.unlock(); }
  MutexLock(const MutexLock&) = delete;
  MutexLock& operator=(const MutexLock&) = delete;

 private:
  Mutex& mutex_;
};

// Many readers or one writer; a waiting writer holds back new readers, so readers must not nest. A thread unlocks what it
// has locked.
//
// Protocol: kWriter in state_ says that a writer waits or holds. There are two ways to read.
// Published, in the locks that every fault takes (ranks mm, freeze, invalidate), where writers are rare: each has its
// place in the thread's record.
//   lock_shared     publishes the lock's address, then looks at kWriter (acquire); if it is set, withdraws and waits
//   unlock_shared   withdraws (release), then looks at kWriter; if it is set, counts departures_ up and wakes the writer
//   lock            sets kWriter, has the barrier, then looks for the address in all records (acquire) and sleeps at
//                   departures_, read before the look, until it is nowhere
// By the barrier (thread_record.hpp) either the writer sees the reader or the reader the writer, when it comes and when
// it goes.
// Counted, in the others and where there is no free place: state_ also has the number of these readers. One adds itself
// (acquire); if kWriter was set it takes itself back and waits. A writer waits until they are none (acquire).
// Unlocking is a release in each case; a writer that is done clears kWriter and wakes all.
class DAXSIM_CAPABILITY("shared_mutex") SharedMutex {
 public:
  explicit constexpr SharedMutex(LockRank rank) noexcept : rank_(rank), place_(place_of(rank)) {}
  SharedMutex(const SharedMutex&) = delete;
  SharedMutex& operator=(const SharedMutex&) = delete;

  void lock_shared() noexcept DAXSIM_ACQUIRE_SHARED() {
    lock_order::acquiring(rank_);
    thread_record::Place& place = thread_record::place(place_);
    if (place.load(std::memory_order_relaxed) == 0) [[likely]] {
      thread_record::publish(place, word());
      if ((state_.load(std::memory_order_acquire) & kWriter) != 0) [[unlikely]] {
        publish_after_writer(place);
      }
    } else {
      lock_shared_without_place();
    }
    lock_order::acquired(rank_);
  }
  void unlock_shared() noexcept DAXSIM_RELEASE_SHARED() {
    thread_record::Place& place = thread_record::place(place_);
    if (place.load(std::memory_order_relaxed) == word()) [[likely]] {
      thread_record::withdraw(place);
      if ((state_.load(std::memory_order_relaxed) & kWriter) != 0) [[unlikely]] {
        tell_departure();
      }
    } else if (state_.fetch_sub(1, std::memory_order_release) == (kWriter | 1)) {
      state_.notify_all();
    }
    lock_order::released(rank_);
  }
  void lock() noexcept DAXSIM_ACQUIRE();
  void unlock() noexcept DAXSIM_RELEASE();

 private:
  friend class ExclusiveLocks;
  void lock_checked() noexcept;
  static constexpr std::uint32_t kWriter = std::uint32_t{1} << 31;
  static constexpr unsigned place_of(LockRank rank) noexcept {
    switch (rank) {
      case LockRank::mm:
        return 0;
      case LockRank::freeze:
        return 1;
      case LockRank::invalidate:
        return 2;
      default:
        return thread_record::kNeverFree;
    }
  }
  [[nodiscard]] std::uintptr_t word() const noexcept { return reinterpret_cast<std::uintptr_t>(this); }
  void lock_shared_without_place() noexcept;
  void lock_shared_counted() noexcept;
  void publish_after_writer(thread_record::Place& place) noexcept;
  void wait_for_writer() noexcept;
  void tell_departure() noexcept;

  const LockRank rank_;
  const unsigned place_;
  std::atomic<std::uint32_t> state_{0};
  std::atomic<std::uint32_t> departures_{0};
  std::mutex writers_;
};

class DAXSIM_SCOPED_CAPABILITY SharedLock {
 public:
  explicit SharedLock(SharedMutex& mutex) noexcept DAXSIM_ACQUIRE_SHARED(mutex) : mutex_(mutex) {
    mutex_.lock_shared();
  }
  ~SharedLock() DAXSIM_RELEASE_GENERIC() { mutex_.unlock_shared(); }
  SharedLock(const SharedLock&) = delete;
  SharedLock& operator=(const SharedLock&) = delete;

 private:
  SharedMutex& mutex_;
};

class DAXSIM_SCOPED_CAPABILITY ExclusiveLock {
 public:
  explicit ExclusiveLock(SharedMutex& mutex) noexcept DAXSIM_ACQUIRE(mutex) : mutex_(mutex) { mutex_.lock(); }
  ~ExclusiveLock() DAXSIM_RELEASE() { mutex_.unlock(); }
  ExclusiveLock(const ExclusiveLock&) = delete;
  ExclusiveLock& operator=(const ExclusiveLock&) = delete;

 private:
  SharedMutex& mutex_;
};

// Two of the same rank, or one that is named twice: all who take two take the one at the lower address first.
class DAXSIM_SCOPED_CAPABILITY ExclusiveLocks {
 public:
  ExclusiveLocks(SharedMutex& one, SharedMutex& other) noexcept DAXSIM_ACQUIRE(one, other);
  ~ExclusiveLocks() DAXSIM_RELEASE();
  ExclusiveLocks(const ExclusiveLocks&) = delete;
  ExclusiveLocks& operator=(const ExclusiveLocks&) = delete;

 private:
  SharedMutex& one_;
  SharedMutex& other_;
};

// "Do not die under me" (the role of dax_read_lock, F6): readers enter without ever waiting and may nest, even while a
// killer waits. synchronize() returns when every reader that was inside when it was called has left; readers that enter
// later are not waited for. The killer changes the state that readers test first, then synchronizes.
//
// Protocol: every reader belongs to the phase that `phase_` named when it came. A reader publishes the gate's address with
// the phase in a free place of its thread's record, and withdraws it (release) when it leaves; where no place is free it
// counts itself in the counter of its phase. synchronize() says that it waits, has the barrier (thread_record.hpp), waits
// for the other phase, where a reader may be that had read the phase just before the last switch and came just after;
// then it switches the phase and waits for the one that was in use. A reader that the barrier does not show comes after
// it and sees what the killer changed before. Who leaves looks whether somebody waits, and counts departures_ up, where
// the killer sleeps: by the barrier one of them sees the other.
class Gate {
 public:
  // no: readers may go on to take any lock. Only for a gate whose killers hold nothing that a reader could want.
  enum class Ordered : std::uint8_t { no, yes };
  explicit Gate(Ordered ordered = Ordered::yes) noexcept : ordered_(ordered == Ordered::yes) {}
  Gate(const Gate&) = delete;
  Gate& operator=(const Gate&) = delete;

  // Ends in the thread that it began in.
  class Reader {
   public:
    explicit Reader(Gate& gate) noexcept : gate_(gate), phase_(gate.phase_.load(std::memory_order_relaxed) & 1) {
      if (gate_.ordered_) {
        lock_order::acquiring(LockRank::device_gate);
        lock_order::acquired(LockRank::device_gate);
      }
      place_ = &thread_record::place(kFirstPlace);
      if (place_->load(std::memory_order_relaxed) != 0) [[unlikely]] {
        place_ = other_place();
      }
      if (place_ != nullptr) [[likely]] {
        thread_record::publish(*place_, gate_.word(phase_));
      } else {
        gate_.readers_[phase_].fetch_add(1, std::memory_order_seq_cst);
      }
    }
    ~Reader() {
      if (place_ != nullptr) [[likely]] {
        thread_record::withdraw(*place_);
      } else {
        gate_.readers_[phase_].fetch_sub(1, std::memory_order_seq_cst);
      }
      if (gate_.waiting_.load(std::memory_order_seq_cst)) [[unlikely]] {
        gate_.tell_departure();
      }
      if (gate_.ordered_) {
        lock_order::released(LockRank::device_gate);
      }
    }
    Reader(const Reader&) = delete;
    Reader& operator=(const Reader&) = delete;

   private:
    static thread_record::Place* other_place() noexcept;

    Gate& gate_;
    const std::uint32_t phase_;
    thread_record::Place* place_;  // null: counted
  };

  // Context: may wait for readers, which wait for nothing; not by a thread that is inside this gate.
  void synchronize() noexcept;

 private:
  static constexpr unsigned kFirstPlace = 3;  // behind those of SharedMutex
  [[nodiscard]] std::uintptr_t word(std::uint32_t phase) const noexcept {
    static_assert(alignof(Gate) > 1);
    return reinterpret_cast<std::uintptr_t>(this) | phase;
  }
  void drain(std::uint32_t phase) noexcept;
  void tell_departure() noexcept;

  const bool ordered_;
  std::atomic<std::uint32_t> phase_{0};
  std::atomic<std::uint32_t> readers_[2] = {};
  std::atomic<std::uint32_t> departures_{0};
  std::atomic<bool> waiting_{false};
  std::mutex killers_;
};

// Lets another thread end this thread's interruptible waits, as a fatal signal would. One Interruption serves one
// thread at a time: the one inside an InterruptScope of it.
class Interruption {
 public:
  Interruption() noexcept = default;
  Interruption(const Interruption&) = delete;
  Interruption& operator=(const Interruption&) = delete;

  // From now on interruptible waits in the scope end with eintr. Stays raised.
  void raise() noexcept;
  [[nodiscard]] bool raised() const noexcept { return raised_.load(std::memory_order_acquire); }

 private:
  friend class Waiter;
  std::atomic<bool> raised_{false};
  std::mutex lock_;
  class Waiter* waiter_ = nullptr;  // guarded by lock_: the wait that raise() must end
};

class InterruptScope {
 public:
  explicit InterruptScope(Interruption& interruption) noexcept;
  ~InterruptScope();
  InterruptScope(const InterruptScope&) = delete;
  InterruptScope& operator=(const InterruptScope&) = delete;

 private:
  Interruption* const outer_;
};

// Hashed wait queues. A waiter names what it waits for by (object, index); the waker names the same.
//
// The caller's own lock closes the gap between test and sleep: test under the lock, enqueue() under the lock, drop it,
// wait(). The waker changes the state under the same lock and calls wake_waiters() after. Exclusive waiters are woken
// one at a time by Wake::next; whoever was woken and then does not take what it waited for must pass the wake on (F2.3).
struct WaitKey {
  const void* object;
  std::uint64_t index;
  friend bool operator==(const WaitKey&, const WaitKey&) = default;
};
enum class Wake : std::uint8_t { next, all };
enum class WaitMode : std::uint8_t { exclusive, shared };

// Who waits at one key. A waiter sleeps until a waker chooses it, and is woken from then until its wait is over: one that
// is in wait() until it is destroyed, one that is in wait_interruptible() until that returns.
struct WaitersSeen {
  std::uint32_t asleep = 0;
  std::uint32_t woken = 0;
};

// Lives on the stack of the waiting thread.
class Waiter {
 public:
  Waiter(WaitKey key, WaitMode mode) noexcept : key_(key), mode_(mode) {}
  ~Waiter() { dequeue(); }
  Waiter(const Waiter&) = delete;
  Waiter& operator=(const Waiter&) = delete;

  void enqueue() noexcept;
  // Until woken. Context: no lock of rank mm or above held, save the entry locks of others.
  void wait() noexcept;
  // The same, or eintr when the thread's Interruption is raised before a waker chooses this waiter; it is then out of the
  // queue and has no wake-up to pass on. Errors: Errno::eintr.
  Result<void> wait_interruptible() noexcept;
  // True when a waker has chosen this waiter. One that was chosen and then does not take what it waited for must wake the
  // next.
  [[nodiscard]] bool woken() const noexcept { return (signals_.load(std::memory_order_acquire) & kWoken) != 0; }

 private:
  friend class Interruption;
  friend void wake_waiters(WaitKey key, Wake how) noexcept;
  friend WaitersSeen waiters_for(WaitKey key) noexcept;
  friend std::optional<std::uint64_t> next_asleep(const void* object, std::uint64_t from) noexcept;
  static constexpr std::uint32_t kWoken = 1;
  static constexpr std::uint32_t kInterrupted = 2;
  void dequeue() noexcept;
  void signal(std::uint32_t why) noexcept;

  const WaitKey key_;
  const WaitMode mode_;
  std::atomic<std::uint32_t> signals_{0};
  bool queued_ = false;      // guarded by the queue's lock; also one that was chosen and has not gone yet
  Waiter* next_ = nullptr;   // guarded by the queue's lock
  Waiter** link_ = nullptr;  // guarded by the queue's lock
};

void wake_waiters(WaitKey key, Wake how) noexcept;

// For observers.
[[nodiscard]] WaitersSeen waiters_for(WaitKey key) noexcept;
// The lowest index from `from` on of this object that somebody sleeps for. Context: looks through all queues.
[[nodiscard]] std::optional<std::uint64_t> next_asleep(const void* object, std::uint64_t from) noexcept;

DAXSIM_END
