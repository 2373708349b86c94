// SPDX-License-Identifier: BSD-3-Clause
// A thread of which a test can ask whether it sleeps: to line up waiters in order, and to see that one does not go on.
#pragma once

#include <atomic>
#include <functional>
#include <thread>
#include <utility>

#include "base/thread_state.hpp"

namespace daxsim::test {

class BlockedThread {
 public:
  explicit BlockedThread(std::function<void()> run)
      : thread_([this, run = std::move(run)] {
          tid_ = this_thread_id();
          run();
          done_ = true;
        }) {}
  ~BlockedThread() {
    if (thread_.joinable()) {
      thread_.join();
    }
  }
  BlockedThread(const BlockedThread&) = delete;
  BlockedThread& operator=(const BlockedThread&) = delete;

  // Until the thread stays asleep, or has ended. True when it sleeps. Many looks in a row, since it may doze for other
  // reasons than the test means.
  bool blocks() {
    constexpr int kLooks = 100;
    for (int asleep = 0; !done_; std::this_thread::yield()) {
      asleep = tid_ != 0 && is_asleep(tid_) ? asleep + 1 : 0;
      if (asleep == kLooks) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] bool done() const { return done_; }
  void join() { thread_.join(); }

 private:
  std::atomic<int> tid_{0};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace daxsim::test
