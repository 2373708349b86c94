// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/events.hpp"

#include <sched.h>

#include <algorithm>
#include <bit>

DAXSIM_BEGIN

thread_local constinit unsigned EventStream::looking_around = 0;

EventStream::EventStream(const VirtualClock& clock, std::size_t ring_events)
    : clock_(clock),
      capacity_(std::bit_ceil(ring_events)),
      ring_(std::make_unique<Slot[]>(capacity_)),
      counts_(std::make_unique<Counts[]>(kRows + 1)) {
  // As if one round had been written before.
  for (std::uint64_t id = 1; id <= capacity_; ++id) {
    ring_[id & (capacity_ - 1)].stamp.store(id - capacity_, std::memory_order_relaxed);
  }
}

EventStream::~EventStream() = default;

void EventStream::wait_for(const Slot& slot, std::uint64_t id) noexcept {
  while (slot.stamp.load(std::memory_order_acquire) != id) {
    ::sched_yield();
  }
}

// The first event of a thread, and those of threads beyond the rows.
void EventStream::count_without_row(EventType type) noexcept {
  const unsigned row = std::min(thread_record::number(), kRows);
  counts_[row][static_cast<unsigned>(type)].fetch_add(1, std::memory_order_relaxed);
}

void EventStream::finish_and_show(Slot& slot, std::uint64_t id) noexcept {
  const Event event = unpack(slot, id);
  slot.stamp.store(id, std::memory_order_release);
  lock_order::released(LockRank::events);
  const Gate::Reader inside(in_observers_);
  for (std::atomic<EventObserver*>& place : observers_) {
    if (EventObserver* const observer = place.load(std::memory_order_acquire); observer != nullptr) {
      observer->on_event(event);
    }
  }
}

Result<void> EventStream::add(EventObserver& observer) noexcept {
  for (std::atomic<EventObserver*>& slot : observers_) {
    EventObserver* empty = nullptr;
    if (slot.compare_exchange_strong(empty, &observer, std::memory_order_acq_rel)) {
      observer_count_.fetch_add(1, std::memory_order_release);
      return {};
    }
  }
  return Errno::enospc;
}

void EventStream::remove(EventObserver& observer) noexcept {
  for (std::atomic<EventObserver*>& slot : observers_) {
    EventObserver* expected = &observer;
    if (slot.compare_exchange_strong(expected, nullptr, std::memory_order_acq_rel)) {
      observer_count_.fetch_sub(1, std::memory_order_release);
      in_observers_.synchronize();
      return;
    }
  }
}

std::uint64_t EventStream::count(EventType type) const noexcept {
  std::uint64_t sum = 0;
  for (unsigned row = 0; row <= kRows; ++row) {
    sum += counts_[row][static_cast<unsigned>(type)].load(std::memory_order_relaxed);
  }
  return sum;
}

std::uint64_t EventStream::next_id() const noexcept { return next_id_.load(std::memory_order_relaxed); }

Event EventStream::unpack(const Slot& slot, std::uint64_t id) noexcept {
  const auto get = [&slot](std::size_t word) { return slot.words[word].load(std::memory_order_acquire); };
  const auto low = [](std::uint64_t word) { return static_cast<std::uint32_t>(word); };
  const auto high = [](std::uint64_t word) { return static_cast<std::uint32_t>(word >> 32); };
  const std::uint64_t what_and_where = get(0);
  const std::uint64_t who_and_how = get(1);
  const std::uint64_t outcome = get(2);
  return {
      .type = static_cast<EventType>(what_and_where & (kPrivate - 1)),
      .is_private = (what_and_where & kPrivate) != 0,
      .dev = high(what_and_where),
      .task = low(who_and_how),
      .fault_flags = high(who_and_how),
      .result = low(outcome),
      .flags = high(outcome),
      .ino = get(3),
      .address = get(4),
      .vm_start = get(5),
      .vm_end = get(6),
      .pgoff = {get(7)},
      .last = get(8),
      .pfn = {get(9)},
      .length = get(10),
      .ret = static_cast<std::int64_t>(get(11)),
      .object = reinterpret_cast<const void*>(get(12)),  // NOLINT(performance-no-int-to-ptr): as it was put in
      .id = id,
      .time_ns = get(13),
  };
}

std::vector<Event> EventStream::since(std::uint64_t first_id) const {
  std::vector<Event> found;
  const std::uint64_t end = next_id();
  const std::uint64_t oldest = end > capacity_ ? end - capacity_ : 1;
  for (std::uint64_t id = std::max(first_id, oldest); id < end;) {
    const Slot& slot = ring_[id & (capacity_ - 1)];
    const std::uint64_t before = slot.stamp.load(std::memory_order_acquire);
    const std::uint64_t behind = (id - before) & ~kUnfinished;
    if (before == id) {
      const Event event = unpack(slot, id);
      if (slot.stamp.load(std::memory_order_relaxed) == id) {
        found.push_back(event);
      }
      ++id;
    } else if (behind == 0 || behind == capacity_) {
      ::sched_yield();  // given, and not yet there
    } else {
      ++id;  // overwritten
    }
  }
  return found;
}

DAXSIM_END
