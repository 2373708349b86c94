// SPDX-License-Identifier: BSD-3-Clause
// Observer: passes the results of calls through, and remembers which call answered which errno in which world.
//
//   saw.enter("power lost");
//   saw("File::pread", file.pread(0, buffer));
//   const auto pin = saw.through("dax::pin_page", dax::pin_page(context, mapping, page));
//
// Not thread-safe.
#pragma once

#include <map>
#include <set>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/base/result.hpp"
#include "errors/documented_errors.hpp"

namespace daxsim::test {

using CallAndErrno = std::pair<std::string, Errno>;

class Observer {
 public:
  explicit Observer(const DocumentedErrors& documented) : documented_(documented) {}

  // What the calls from here on happen in; for messages.
  void enter(std::string world) { world_ = std::move(world); }

  template <class T>
  void operator()(std::string_view call, const Result<T>& result) {
    note(call, result.ok() ? Errno{} : result.error());
  }
  // The same for who wants the value.
  template <class T>
  Result<T> through(std::string_view call, Result<T> result) {
    note(call, result.ok() ? Errno{} : result.error());
    return result;
  }

  // Calls that answered an errno which their comment does not name, or that have no comment.
  [[nodiscard]] const std::vector<std::string>& violations() const noexcept { return violations_; }
  [[nodiscard]] bool has_seen(const std::string& call) const { return calls_.contains(call); }
  [[nodiscard]] bool has_seen(const CallAndErrno& pair) const { return seen_.contains(pair); }

 private:
  void note(std::string_view call, Errno error);

  const DocumentedErrors& documented_;
  std::string world_;
  std::set<std::string, std::less<>> calls_;
  std::map<CallAndErrno, std::string> seen_;  // and the world in which it was first
  std::vector<std::string> violations_;
};

}  // namespace daxsim::test
