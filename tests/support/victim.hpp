// SPDX-License-Identifier: BSD-3-Clause
// Victim: a program that is started to be killed. Either it runs free and is killed when the killer likes, or it is traced
// and killed after an exact number of machine instructions.
//
// A traced victim raises SIGSTOP (stop_here()) where it wants to be taken over.
#pragma once

#include <sys/prctl.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <vector>

namespace daxsim::support {

class Victim {
 public:
  enum class Mode { free, traced };

  Victim(const std::string& program, std::vector<std::string> arguments, Mode mode) {
    std::vector<char*> argv{const_cast<char*>(program.c_str())};
    for (std::string& argument : arguments) {
      argv.push_back(argument.data());
    }
    argv.push_back(nullptr);
    process_ = ::fork();
    if (process_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that is killed leaves nobody behind
      if (mode == Mode::traced) {
        ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
      }
      ::execv(program.c_str(), argv.data());
      ::_exit(127);
    }
    if (mode == Mode::traced) {
      wait_for_stop(SIGTRAP);  // of execv
    }
  }
  ~Victim() {
    if (process_ > 0) {
      ::kill(process_, SIGKILL);
      reap();
    }
  }
  Victim(const Victim&) = delete;
  Victim& operator=(const Victim&) = delete;

  // Returns when the process is gone. False when it had ended by itself.
  bool kill() {
    ::kill(process_, SIGKILL);
    const int status = reap();
    return WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL;
  }
  [[nodiscard]] bool running() const {
    siginfo_t info{};
    return ::waitid(P_PID, static_cast<id_t>(process_), &info, WEXITED | WNOHANG | WNOWAIT) == 0 && info.si_pid == 0;
  }

  // Traced only: lets it run to its next stop_here().
  void run_to_stop() {
    if (::ptrace(PTRACE_CONT, process_, nullptr, nullptr) != 0) {
      throw std::runtime_error("victim: cannot continue");
    }
    wait_for_stop(SIGSTOP);
  }
  // Traced only: up to `count` instructions. Answers how many there were before its next stop_here(): `count` if it did not
  // get there.
  std::uint64_t step(std::uint64_t count) {
    for (std::uint64_t done = 0; done < count; ++done) {
      int status = 0;
      if (::ptrace(PTRACE_SINGLESTEP, process_, nullptr, nullptr) != 0 ||
          ::waitpid(process_, &status, __WALL) != process_ || !WIFSTOPPED(status)) {
        throw std::runtime_error("victim: died while it was stepped");
      }
      if (WSTOPSIG(status) == SIGSTOP) {
        return done;
      }
    }
    return count;
  }

  // In the victim.
  static void stop_here() { ::raise(SIGSTOP); }

 private:
  int reap() {
    int status = 0;
    while (::waitpid(process_, &status, __WALL) == process_ && !WIFEXITED(status) && !WIFSIGNALED(status)) {
      // A traced victim may have a stop to tell first.
    }
    process_ = -1;
    return status;
  }
  void wait_for_stop(int signal) {
    int status = 0;
    if (::waitpid(process_, &status, __WALL) != process_ || !WIFSTOPPED(status) || WSTOPSIG(status) != signal) {
      throw std::runtime_error("victim: no stop, status " + std::to_string(status));
    }
  }

  pid_t process_ = -1;
};

}  // namespace daxsim::support
