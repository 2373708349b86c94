// SPDX-License-Identifier: BSD-3-Clause
#include "mm/live_registry.hpp"

#include <pthread.h>

#include <array>
#include <new>

#include "mm/live_area.hpp"
#include "mm/live_host.hpp"
#include "mm/live_signals.hpp"

DAXSIM_BEGIN
namespace live {
namespace {

constexpr unsigned kSlotBits = 21;
constexpr unsigned kLeafBits = 13;
constexpr unsigned kAddressBits = 47;  // what the host gives unless it is asked for more
constexpr std::uint64_t kLeafSlots = std::uint64_t{1} << kLeafBits;

struct Leaf {
  std::array<std::atomic<Seat*>, kLeafSlots> seats;
};

constinit std::array<std::atomic<Leaf*>, (std::uint64_t{1} << (kAddressBits - kSlotBits - kLeafBits))> leaves{};
constinit std::atomic<std::uint64_t> generation{1};

}  // namespace

// What changes the table.
struct Registry {
  Mutex lock{LockRank::mm};
  Seat* free_seats DAXSIM_GUARDED_BY(lock) = nullptr;
  bool follows_forks DAXSIM_GUARDED_BY(lock) = false;

  // Errors: Errno::enomem.
  Result<Seat*> take_seat() DAXSIM_REQUIRES(lock) {
    if (free_seats == nullptr) {
      DAXSIM_TRY(const HostRange memory, allocate(kSeatsAtOnce * sizeof(Seat)));
      auto* const seats = reinterpret_cast<Seat*>(memory.address);
      for (std::uint64_t i = 0; i < kSeatsAtOnce; ++i) {
        Seat* const seat = new (&seats[i]) Seat;
        seat->next_free_ = free_seats;
        free_seats = seat;
      }
    }
    Seat* const seat = free_seats;
    free_seats = seat->next_free_;
    return seat;
  }

  static void fill(Seat& seat, Area* area) noexcept {
    const ExclusiveLock guard(seat.lock_);
    seat.area_ = area;
    seat.start_.store(area != nullptr ? area->start() : 0, std::memory_order_release);
    seat.end_.store(area != nullptr ? area->end() : 0, std::memory_order_release);
  }

  // Errors: Errno::enomem.
  Result<void> point_to(HostRange range, Seat* seat) DAXSIM_REQUIRES(lock) {
    const std::uint64_t first = reinterpret_cast<std::uintptr_t>(range.address) >> kSlotBits;
    const std::uint64_t end = first + (range.bytes >> kSlotBits);
    for (std::uint64_t slot = first; slot < end; ++slot) {
      std::atomic<Leaf*>& leaf = leaves[slot >> kLeafBits];
      if (leaf.load(std::memory_order_relaxed) == nullptr) {
        if (seat == nullptr) {
          continue;
        }
        DAXSIM_TRY(const HostRange memory, allocate(sizeof(Leaf)));
        leaf.store(new (memory.address) Leaf, std::memory_order_release);
      }
      leaf.load(std::memory_order_relaxed)->seats[slot & (kLeafSlots - 1)].store(seat, std::memory_order_release);
    }
    return {};
  }

  void retire(Seat& seat, HostRange range) noexcept {
    fill(seat, nullptr);
    const MutexLock guard(lock);
    static_cast<void>(point_to(range, nullptr));  // clearing needs no memory
    seat.next_free_ = free_seats;
    free_seats = &seat;
  }

  static void before_fork() noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS;
  static void after_fork_in_parent() noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS;
  static void after_fork_in_child() noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS;

  static constexpr std::uint64_t kSeatsAtOnce = 64;
};

namespace {
constinit Registry registry;
}

// The table must not be half changed in the child. Faults under way in other threads keep their seats locked there for
// ever, so the child starts with new ones.
void Registry::before_fork() noexcept { registry.lock.lock(); }
void Registry::after_fork_in_parent() noexcept { registry.lock.unlock(); }
void Registry::after_fork_in_child() noexcept {
  generation.fetch_add(1, std::memory_order_relaxed);
  registry.free_seats = nullptr;
  for (std::atomic<Leaf*>& leaf : leaves) {
    leaf.store(nullptr, std::memory_order_relaxed);
  }
  abandon_userfaultfd();
  forget_thread_number();
  registry.lock.unlock();
}

std::uint64_t process_generation() noexcept { return generation.load(std::memory_order_relaxed); }

namespace {

Seat* seat_of_slot(std::uint64_t address) noexcept {
  if ((address >> kAddressBits) != 0) {
    return nullptr;
  }
  const std::uint64_t slot = address >> kSlotBits;
  Leaf* const leaf = leaves[slot >> kLeafBits].load(std::memory_order_acquire);
  return leaf == nullptr ? nullptr : leaf->seats[slot & (kLeafSlots - 1)].load(std::memory_order_acquire);
}

}  // namespace

Seat* find_seat(std::uint64_t address) noexcept {
  Seat* const seat = seat_of_slot(address);
  return seat != nullptr && seat->may_contain(address) ? seat : nullptr;
}

bool touches_live(const void* address, std::size_t length) noexcept {
  const auto first = reinterpret_cast<std::uintptr_t>(address);
  const std::uint64_t end = first + length;
  for (std::uint64_t at = first; at < end && (at >> kAddressBits) == 0; at = round_down(at, kPmdSize) + kPmdSize) {
    const Seat* const seat = seat_of_slot(at);
    if (seat != nullptr && first < seat->end() && seat->start() < end) {
      return true;
    }
  }
  return false;
}

bool is_reserved(std::uint64_t address) noexcept { return seat_of_slot(address) != nullptr; }

std::uint64_t next_live(std::uint64_t address, std::uint64_t none) noexcept {
  const Seat* const seat = seat_of_slot(address);
  const std::uint64_t start = seat != nullptr ? seat->start() : 0;
  return start >= address ? start : none;
}

Visit::Visit(Seat& seat, std::uint64_t address) noexcept { enter(seat, address); }

Visit::Visit(const void* address) noexcept {
  const auto number = reinterpret_cast<std::uintptr_t>(address);
  if (Seat* const seat = find_seat(number); seat != nullptr) {
    enter(*seat, number);
  }
}

void Visit::enter(Seat& seat, std::uint64_t address) noexcept DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
  seat.lock_.lock_shared();
  if (seat.area_ == nullptr || address < seat.area_->start() || address >= seat.area_->end()) {
    seat.lock_.unlock_shared();
    return;
  }
  seat_ = &seat;
  area_ = seat.area_;
}

Visit::~Visit() DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
  if (seat_ != nullptr) {
    seat_->lock_.unlock_shared();
  }
}

Result<void> prepare(Host& host) {
  const MutexLock guard(registry.lock);
  DAXSIM_TRY_VOID(host.open());
  if (!registry.follows_forks) {
    if (::pthread_atfork(&Registry::before_fork, &Registry::after_fork_in_parent, &Registry::after_fork_in_child) !=
        0) {
      return Errno::enomem;
    }
    registry.follows_forks = true;
  }
  install_signal_handlers();
  return {};
}

Result<void> enlist(Area& area) {
  Seat* seat = nullptr;
  {
    const MutexLock guard(registry.lock);
    DAXSIM_TRY(seat, registry.take_seat());
  }
  Registry::fill(*seat, &area);
  Result<void> done;
  {
    const MutexLock guard(registry.lock);
    done = registry.point_to(area.reservation(), seat);
  }
  if (!done.ok()) {
    registry.retire(*seat, area.reservation());
  }
  return done;
}

void strike_off(Area& area) noexcept {
  Seat* const seat = find_seat(area.start());
  if (seat == nullptr) {
    return;
  }
  registry.retire(*seat, area.reservation());
}

}  // namespace live
DAXSIM_END
