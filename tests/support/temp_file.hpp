// SPDX-License-Identifier: BSD-3-Clause
// TempFile: a path in a folder of its own, which is gone with the object.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <span>
#include <stdexcept>
#include <string>
#include <vector>

namespace daxsim::support {

class TempFile {
 public:
  TempFile() {
    std::string name = (std::filesystem::temp_directory_path() / "daxsim-XXXXXX").string();
    if (::mkdtemp(name.data()) == nullptr) {
      throw std::runtime_error("no temporary folder: " + name);
    }
    folder_ = name;
  }
  ~TempFile() {
    std::error_code ignored;
    std::filesystem::remove_all(folder_, ignored);
  }
  TempFile(const TempFile&) = delete;
  TempFile& operator=(const TempFile&) = delete;

  [[nodiscard]] const std::filesystem::path& folder() const { return folder_; }
  [[nodiscard]] std::filesystem::path path() const { return folder_ / "media.pmem"; }

  [[nodiscard]] std::vector<std::byte> read() const {
    std::ifstream stream(path(), std::ios::binary);
    const std::string text((std::istreambuf_iterator<char>(stream)), {});
    const auto bytes = std::as_bytes(std::span(text));
    return {bytes.begin(), bytes.end()};
  }
  // Bytes that the host has given the file blocks for.
  [[nodiscard]] std::uint64_t allocated() const {
    struct stat status{};
    return ::stat(path().c_str(), &status) == 0 ? static_cast<std::uint64_t>(status.st_blocks) * 512 : 0;
  }

 private:
  std::filesystem::path folder_;
};

}  // namespace daxsim::support
