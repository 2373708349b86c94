// SPDX-License-Identifier: BSD-3-Clause
// Parked: a thread that is expected to block, and a way to know that it does, without a clock: the host tells that it
// sleeps. A thread that ends instead is seen as well.
#pragma once

#include <unistd.h>

#include <atomic>
#include <fstream>
#include <string>
#include <thread>
#include <utility>

namespace daxsim::test {

class Parked {
 public:
  template <class Work>
  explicit Parked(Work work)
      : thread_([this, work = std::move(work)]() mutable {
          id_.store(::gettid(), std::memory_order_release);
          work();
          done_.store(true, std::memory_order_release);
        }) {}
  Parked(const Parked&) = delete;
  Parked& operator=(const Parked&) = delete;

  [[nodiscard]] bool done() const { return done_.load(std::memory_order_acquire); }

  // Until the thread sleeps (true) or is done (false).
  [[nodiscard]] bool sleeps() const {
    while (!done()) {
      if (const pid_t id = id_.load(std::memory_order_acquire); id != 0 && state(id) == 'S') {
        return !done();
      }
      std::this_thread::yield();
    }
    return false;
  }

  void join() { thread_.join(); }

 private:
  static char state(pid_t id) {
    std::ifstream file("/proc/self/task/" + std::to_string(id) + "/stat");
    std::string line;
    std::getline(file, line);
    const std::size_t name_end = line.rfind(')');
    return name_end == std::string::npos || name_end + 2 >= line.size() ? '?' : line[name_end + 2];
  }

  std::atomic<pid_t> id_{0};
  std::atomic<bool> done_{false};
  std::jthread thread_;
};

}  // namespace daxsim::test
