// SPDX-License-Identifier: BSD-3-Clause
// must(result): the value, or a failed test that names the errno and the line. For tests and examples.
#pragma once

#include <source_location>
#include <stdexcept>
#include <string>
#include <utility>

#include "daxsim/base/result.hpp"

namespace daxsim {

// What must() throws; GoogleTest reports it as the test's failure.
class MustError : public std::runtime_error {
 public:
  MustError(Errno error, const std::source_location& where)
      : std::runtime_error(std::string(where.file_name()) + ":" + std::to_string(where.line()) + ": " +
                           std::string(errno_name(error)) + " (" + std::string(errno_text(error)) + ")"),
        error_(error) {}
  [[nodiscard]] Errno error() const noexcept { return error_; }

 private:
  Errno error_;
};

template <class T>
T must(Result<T> result, const std::source_location where = std::source_location::current()) {
  if (!result.ok()) {
    throw MustError(result.error(), where);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

}  // namespace daxsim
