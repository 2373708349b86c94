// SPDX-License-Identifier: BSD-3-Clause
// in_child(run): runs the function in a forked process, and answers what it printed into `out`: nothing is what success
// looks like. For what changes a process for good: limits, users, mounts, locks.
#pragma once

#include <sys/wait.h>
#include <unistd.h>

#include <exception>
#include <sstream>
#include <string>

namespace daxsim::support {

template <class Run>
std::string in_child(Run run) {
  int pipe_ends[2];
  if (::pipe(pipe_ends) != 0) {
    return "no pipe";
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::close(pipe_ends[0]);
    std::ostringstream out;
    try {
      run(out);
    } catch (const std::exception& error) {
      out << error.what();
    }
    const std::string text = out.str();
    const ssize_t written = ::write(pipe_ends[1], text.data(), text.size());
    ::_exit(written == static_cast<ssize_t>(text.size()) ? 0 : 1);
  }
  ::close(pipe_ends[1]);
  std::string text;
  char buffer[256];
  for (ssize_t got = 0; (got = ::read(pipe_ends[0], buffer, sizeof buffer)) > 0;) {
    text.append(buffer, static_cast<std::size_t>(got));
  }
  ::close(pipe_ends[0]);
  int status = 0;
  if (child < 0 || ::waitpid(child, &status, 0) != child || status != 0) {
    text += "[child ended with status " + std::to_string(status) + "]";
  }
  return text;
}

}  // namespace daxsim::support
