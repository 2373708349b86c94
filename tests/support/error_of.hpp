// SPDX-License-Identifier: BSD-3-Clause
// error_of(result): the errno of a result as a value to compare, none when it succeeded; errno_of: 0 then. Print by name.
#pragma once

#include <optional>
#include <ostream>

#include "daxsim/base/result.hpp"

DAXSIM_BEGIN

// Found by GoogleTest.
inline void PrintTo(Errno error, std::ostream* stream) { *stream << errno_name(error); }

DAXSIM_END

namespace daxsim::support {

template <class T>
std::optional<Errno> error_of(const Result<T>& result) {
  return result.ok() ? std::nullopt : std::optional<Errno>(result.error());
}

// The same, 0 when it succeeded.
template <class T>
Errno errno_of(const Result<T>& result) {
  return result.ok() ? Errno{} : result.error();
}

}  // namespace daxsim::support
