// SPDX-License-Identifier: BSD-3-Clause
// Stops the first thread that emits an event the test names, where it emits it.
#pragma once

#include <atomic>
#include <functional>
#include <utility>

#include "daxsim/base/events.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/dax_world.hpp"

namespace daxsim::test {

class StopAtEvent final : public EventObserver {
 public:
  StopAtEvent(EventStream& events, std::function<bool(const Event&)> here) : events_(events), here_(std::move(here)) {
    must(events_.add(*this));
  }
  ~StopAtEvent() { events_.remove(*this); }

  void on_event(const Event& event) noexcept override {
    if (armed_ && here_(event) && armed_.exchange(false)) {
      parking_.stop_here();
    }
  }
  void wait_until_stopped() { parking_.wait_until_parked(); }
  void let_go() { parking_.let_go(); }

 private:
  EventStream& events_;
  const std::function<bool(const Event&)> here_;
  Parking parking_;
  std::atomic<bool> armed_{true};
};

}  // namespace daxsim::test
