// SPDX-License-Identifier: BSD-3-Clause
#include "base/temporary_file.hpp"

#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <string>
#include <system_error>

DAXSIM_BEGIN

Result<std::filesystem::path> make_temporary_file() {
  constexpr const char* kMemory = "/dev/shm";
  const bool in_memory = std::getenv("TMPDIR") == nullptr && ::access(kMemory, W_OK | X_OK) == 0;
  std::error_code no_folder;  // then the host refuses the file
  const std::filesystem::path folder = in_memory ? kMemory : std::filesystem::temp_directory_path(no_folder);
  std::string name = (folder / "daxsim-XXXXXX").string();
  const int fd = ::mkstemp(name.data());
  if (fd < 0) {
    return from_host_errno(errno);
  }
  ::close(fd);
  return std::filesystem::path(std::move(name));
}

DAXSIM_END
