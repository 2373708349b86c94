// SPDX-License-Identifier: BSD-3-Clause
// Which live mapping an address is in. Asked by signal handlers.
//
// A table by 2 MiB slots (47 address bits: 8192 leaves of 8192 slots), read without locks, leads to the mapping's seat. A
// seat's lock, rank mm, plays the part of the kernel's mm lock for one mapping: shared while a fault is handled, exclusive
// when the mapping goes. Seats and leaves are never freed, only used again, so a reader that comes late locks a seat which
// is empty or has another mapping, and sees that.
//
// Threads: any. Context: find() and Visit in the fault path, the others not.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"

DAXSIM_BEGIN
namespace live {

class Area;
class Host;

class Seat {
 public:
  // The bytes [start, end) of the mapping; an empty range when there is none. Only a hint without the lock.
  [[nodiscard]] bool may_contain(std::uint64_t address) const noexcept {
    return address >= start_.load(std::memory_order_acquire) && address < end_.load(std::memory_order_acquire);
  }
  [[nodiscard]] std::uint64_t start() const noexcept { return start_.load(std::memory_order_acquire); }
  [[nodiscard]] std::uint64_t end() const noexcept { return end_.load(std::memory_order_acquire); }

 private:
  friend class Visit;
  friend struct Registry;
  SharedMutex lock_{LockRank::mm};
  Area* area_ DAXSIM_GUARDED_BY(lock_) = nullptr;
  std::atomic<std::uint64_t> start_{0};
  std::atomic<std::uint64_t> end_{0};
  Seat* next_free_ = nullptr;  // guarded by the table's lock
};

// The seat whose mapping may have this address, or null.
Seat* find_seat(std::uint64_t address) noexcept;

// True when a byte of the range is in a live mapping.
bool touches_live(const void* address, std::size_t length) noexcept;
// The address is in a slot that belongs to a live mapping, though maybe beside it.
bool is_reserved(std::uint64_t address) noexcept;
// The first address of a mapping in the slot of `address` that is not below it, else `none`.
std::uint64_t next_live(std::uint64_t address, std::uint64_t none) noexcept;

// While it lives, the mapping at the address stays. Takes the seat's lock shared. Context: fault path; no lock of rank mm
// or above held.
class Visit {
 public:
  Visit(Seat& seat, std::uint64_t address) noexcept;
  explicit Visit(const void* address) noexcept;
  ~Visit();
  Visit(const Visit&) = delete;
  Visit& operator=(const Visit&) = delete;

  // Null: none.
  [[nodiscard]] Area* area() const noexcept { return area_; }

 private:
  void enter(Seat& seat, std::uint64_t address) noexcept;

  Seat* seat_ = nullptr;
  Area* area_ = nullptr;
};

// Makes the signal handlers and the backend ready. Errors: those of Host::open().
Result<void> prepare(Host& host);
// Errors: Errno::enomem.
Result<void> enlist(Area& area);
// Waits until no fault is under way in the mapping.
void strike_off(Area& area) noexcept;

// Different in a child process, which has none of its parent's mappings.
std::uint64_t process_generation() noexcept;

}  // namespace live
DAXSIM_END
