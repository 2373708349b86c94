// SPDX-License-Identifier: BSD-3-Clause
// Whole files of the user's, with the host's own words when something is wrong.
#pragma once

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <memory>
#include <stdexcept>
#include <string>
#include <system_error>
#include <vector>

namespace daxsim::cli {

// The message is the host's.
class FileError : public std::runtime_error {
 public:
  FileError() : std::runtime_error(std::strerror(errno)) {}
};

struct Closer {
  void operator()(std::FILE* file) const { std::fclose(file); }
};
using OpenFile = std::unique_ptr<std::FILE, Closer>;

inline std::string contents_of(const std::filesystem::path& path) {
  const OpenFile file(std::fopen(path.c_str(), "rb"));
  if (file == nullptr) {
    throw FileError();
  }
  std::string text;
  std::vector<char> piece(std::size_t{1} << 16);
  while (std::feof(file.get()) == 0 && std::ferror(file.get()) == 0) {
    text.append(piece.data(), std::fread(piece.data(), 1, piece.size(), file.get()));
  }
  if (std::ferror(file.get()) != 0) {
    throw FileError();
  }
  return text;
}

// `how` as fopen's: "wb", "wbx" for a file that must not be there. A regular one that was not finished is removed.
template <class Bytes>
void write_file(const std::filesystem::path& path, const Bytes& bytes, const char* how) {
  OpenFile file(std::fopen(path.c_str(), how));
  if (file == nullptr) {
    throw FileError();
  }
  const bool written = std::fwrite(bytes.data(), 1, bytes.size(), file.get()) == bytes.size();
  // A full disk may show only now.
  if (!written || std::fclose(file.release()) != 0) {
    const int why = errno;
    if (std::error_code ignored; std::filesystem::is_regular_file(path, ignored)) {
      std::filesystem::remove(path, ignored);
    }
    errno = why;
    throw FileError();
  }
}

}  // namespace daxsim::cli
