// SPDX-License-Identifier: BSD-3-Clause
// DocumentedErrors: what the doc comments of the public headers promise: each call that answers a Result, and the errnos
// that its comment names. The form of such comments is in docs/errors.md; a comment in another form, or none at all, is a
// problem, and problems fail a test.
//
// Not thread-safe.
#pragma once

#include <filesystem>
#include <map>
#include <set>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/errno.hpp"

namespace daxsim::test {

// One "Errors: ..." or "Errors of all: ..." as it is written.
struct ErrorStatement {
  std::set<std::string> errnos;         // "einval"
  std::vector<std::string> references;  // calls whose errors count too: "Inode::read"
  bool any = false;                     // "any ...": whatever the implementer or an earlier call met
};

class DocumentedErrors {
 public:
  // Every header below `include_folder`.
  static DocumentedErrors of_headers(const std::filesystem::path& include_folder);

  // `file` names the text in problems.
  void read(std::string_view file, std::string_view text);
  // Follows the references; after the last read().
  void resolve();

  struct Call {
    std::string place;  // "include/daxsim/vfs/inode.hpp:93" of the first declaration
    std::set<Errno> errnos;
    bool any = false;
  };
  // By qualified name without the namespace daxsim: "Machine::attach", "dax::pin_page". Overloads share one.
  [[nodiscard]] const std::map<std::string, Call>& calls() const noexcept { return calls_; }
  [[nodiscard]] const std::vector<std::string>& problems() const noexcept { return problems_; }
  // A call that is not documented allows nothing.
  [[nodiscard]] bool allows(const std::string& call, Errno error) const;

 private:
  friend class HeaderReader;
  struct Written {
    std::string place;
    ErrorStatement statement;
  };
  void add(const std::string& call, const std::string& place, const ErrorStatement& statement);
  [[nodiscard]] std::string find(const std::string& from, const std::string& reference) const;
  const Call& resolve(const std::string& call, std::set<std::string>& open);

  std::map<std::string, Written> written_;
  std::map<std::string, Call> calls_;
  std::vector<std::string> problems_;
};

// The enumerator of that name ("einval"), or Errno{}.
Errno errno_of(std::string_view name);

}  // namespace daxsim::test
