// SPDX-License-Identifier: BSD-3-Clause
// What the host says of one of this process's threads.
#pragma once

#include <sys/syscall.h>
#include <unistd.h>

#include <cstdio>
#include <cstring>
#include <string>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

inline int this_thread_id() noexcept { return static_cast<int>(::syscall(SYS_gettid)); }

// Sleeps now, for whatever reason: look many times in a row to be sure that it waits.
inline bool is_asleep(int thread_id) {
  const std::string path = "/proc/self/task/" + std::to_string(thread_id) + "/stat";
  std::FILE* const file = std::fopen(path.c_str(), "r");
  if (file == nullptr) {
    return false;
  }
  char line[512] = {};
  const bool read = std::fgets(line, sizeof line, file) != nullptr;
  std::fclose(file);
  const char* const after_name = read ? std::strrchr(line, ')') : nullptr;
  return after_name != nullptr && after_name[2] == 'S';
}

DAXSIM_END
