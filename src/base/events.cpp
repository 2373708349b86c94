// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/base/events.hpp"

#include <bit>

DAXSIM_BEGIN

EventStream::EventStream(const VirtualClock& clock, std::size_t ring_events)
    : clock_(clock), capacity_(std::bit_ceil(ring_events)), ring_(std::make_unique<Event[]>(capacity_)) {}

EventStream::~EventStream() = default;

std::uint64_t EventStream::emit(Event event) noexcept {
  event.time_ns = static_cast<std::uint64_t>(clock_.now().count());
  {
    const MutexLock guard(lock_);
    event.id = next_id_++;
    ++counts_[static_cast<unsigned>(event.type)];
    ring_[event.id & (capacity_ - 1)] = event;
  }
  if (observer_count_.load(std::memory_order_acquire) != 0) {
    const Gate::Reader inside(in_observers_);
    for (std::atomic<EventObserver*>& slot : observers_) {
      if (EventObserver* const observer = slot.load(std::memory_order_acquire); observer != nullptr) {
        observer->on_event(event);
      }
    }
  }
  return event.id;
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
  const MutexLock guard(lock_);
  return counts_[static_cast<unsigned>(type)];
}

std::uint64_t EventStream::next_id() const noexcept {
  const MutexLock guard(lock_);
  return next_id_;
}

std::vector<Event> EventStream::since(std::uint64_t first_id) const {
  std::vector<Event> found;
  const MutexLock guard(lock_);
  const std::uint64_t oldest = next_id_ > capacity_ ? next_id_ - capacity_ : 1;
  for (std::uint64_t id = std::max(first_id, oldest); id < next_id_; ++id) {
    found.push_back(ring_[id & (capacity_ - 1)]);
  }
  return found;
}

DAXSIM_END
