// SPDX-License-Identifier: BSD-3-Clause
// A thread of which a test can ask whether it sleeps: to line up waiters in order, and to see that one does not go on.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>
#include <cstdio>
#include <cstring>
#include <functional>
#include <string>
#include <thread>

namespace daxsim::test {

class BlockedThread {
 public:
  explicit BlockedThread(std::function<void()> run)
      : thread_([this, run = std::move(run)] {
          tid_ = static_cast<int>(::syscall(SYS_gettid));
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
      asleep = tid_ != 0 && state() == 'S' ? asleep + 1 : 0;
      if (asleep == kLooks) {
        return true;
      }
    }
    return false;
  }
  [[nodiscard]] bool done() const { return done_; }
  void join() { thread_.join(); }

 private:
  char state() const {
    const std::string path = "/proc/self/task/" + std::to_string(tid_.load()) + "/stat";
    std::FILE* const file = std::fopen(path.c_str(), "r");
    if (file == nullptr) {
      return '?';
    }
    char line[512] = {};
    const bool read = std::fgets(line, sizeof line, file) != nullptr;
    std::fclose(file);
    const char* const after_name = read ? std::strrchr(line, ')') : nullptr;
    return after_name == nullptr ? '?' : after_name[2];
  }

  std::atomic<int> tid_{0};
  std::atomic<bool> done_{false};
  std::thread thread_;
};

}  // namespace daxsim::test
