// SPDX-License-Identifier: BSD-3-Clause
// Result<T>: a value or an Errno, never silently dropped. A thin class over std::expected, which is itself not
// [[nodiscard]]. No exceptions are thrown by the library; value() on an error terminates in practice, so test first.
#pragma once

#include <expected>
#include <utility>

#include "daxsim/base/errno.hpp"

DAXSIM_BEGIN

template <class T>
class [[nodiscard]] Result : public std::expected<T, Errno> {
  using Base = std::expected<T, Errno>;

 public:
  using Base::Base;
  constexpr Result(Errno error) noexcept : Base(std::unexpect, error) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] constexpr bool ok() const noexcept { return this->has_value(); }
};

template <>
class [[nodiscard]] Result<void> : public std::expected<void, Errno> {
  using Base = std::expected<void, Errno>;

 public:
  using Base::Base;
  constexpr Result(Errno error) noexcept : Base(std::unexpect, error) {}  // NOLINT(google-explicit-constructor)
  [[nodiscard]] constexpr bool ok() const noexcept { return this->has_value(); }
};

DAXSIM_END

#define DAXSIM_CONCAT_INNER(a, b) a##b
#define DAXSIM_CONCAT(a, b) DAXSIM_CONCAT_INNER(a, b)

// DAXSIM_TRY(auto x, call()) declares x from the value, or returns the error from the enclosing function.
#define DAXSIM_TRY(declaration, expression) \
  DAXSIM_TRY_INNER(declaration, expression, DAXSIM_CONCAT(daxsim_try_, __LINE__))
#define DAXSIM_TRY_INNER(declaration, expression, temporary) \
  auto temporary = (expression);                             \
  if (!temporary.ok()) {                                     \
    return temporary.error();                                \
  }                                                          \
  declaration = std::move(*temporary)

// The same for Result<void>.
#define DAXSIM_TRY_VOID(expression)                                   \
  do {                                                                \
    if (auto daxsim_try_void = (expression); !daxsim_try_void.ok()) { \
      return daxsim_try_void.error();                                 \
    }                                                                 \
  } while (false)
