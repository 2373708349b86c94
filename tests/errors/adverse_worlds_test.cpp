// SPDX-License-Identifier: BSD-3-Clause
// What public calls answer in adverse worlds, against what their comments name (docs/errors.md).
#include <gtest/gtest.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <set>
#include <sstream>
#include <string>
#include <vector>

#include "errors/documented_errors.hpp"
#include "errors/observer.hpp"
#include "errors/world.hpp"

namespace daxsim::test {
namespace {

const DocumentedErrors& documented() {
  static const DocumentedErrors errors = DocumentedErrors::of_headers(DAXSIM_SOURCE_FOLDER "/include/daxsim");
  return errors;
}

std::string text_of(const std::filesystem::path& file) {
  std::ifstream stream(file);
  return {std::istreambuf_iterator<char>(stream), {}};
}

// Rows of covered_elsewhere.tsv: call, errno, suite.test, file below tests/.
struct Elsewhere {
  std::map<CallAndErrno, std::string> rows;  // and the test
  std::vector<std::string> problems;
};

// The test's text, from its name to the next test; empty when the file has no such test.
std::string body_of(const std::string& text, const std::string& test) {
  const auto dot = test.find('.');
  const std::string suite = test.substr(0, dot);
  const std::string name = test.substr(dot + 1);
  for (const char* macro : {"TEST(", "TEST_F(", "TEST_P(", "TYPED_TEST(", "RC_GTEST_PROP("}) {
    const auto begin = text.find(macro + suite + ", " + name + ")");
    if (begin != std::string::npos) {
      return text.substr(begin, text.find("\nTEST", begin) - begin);
    }
  }
  return {};
}

Elsewhere read_elsewhere() {
  Elsewhere elsewhere;
  std::istringstream table(text_of(DAXSIM_SOURCE_FOLDER "/tests/errors/covered_elsewhere.tsv"));
  for (std::string line; std::getline(table, line);) {
    if (line.empty() || line.starts_with('#')) {
      continue;
    }
    std::istringstream fields(line);
    std::string call;
    std::string error;
    std::string test;
    std::string file;
    std::getline(fields, call, '\t');
    std::getline(fields, error, '\t');
    std::getline(fields, test, '\t');
    std::getline(fields, file, '\t');
    const std::string body = body_of(text_of(std::filesystem::path(DAXSIM_SOURCE_FOLDER "/tests") / file), test);
    if (!documented().allows(call, errno_of(error))) {
      elsewhere.problems.push_back(line + ": the comment does not name it");
    } else if (body.find("Errno::" + error) == std::string::npos) {
      elsewhere.problems.push_back(line + ": no such test, or it does not mention Errno::" + error);
    }
    elsewhere.rows[{call, errno_of(error)}] = test;
  }
  return elsewhere;
}

std::string joined(const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) {
    text += "\n  " + line;
  }
  return text;
}

// Documented pairs that neither the worlds nor another test have seen.
std::vector<std::string> unseen(const Observer& saw, const Elsewhere& elsewhere) {
  std::vector<std::string> missing;
  for (const auto& [call, documents] : documented().calls()) {
    const bool is_called =
        saw.has_seen(call) || documents.any || std::ranges::any_of(documents.errnos, [&, &name = call](Errno error) {
          return elsewhere.rows.contains({name, error});
        });
    if (!is_called) {
      missing.push_back(call + " is never called (" + documents.place + ")");
      continue;
    }
    for (const Errno error : documents.errnos) {
      if (!saw.has_seen({call, error}) && !elsewhere.rows.contains({call, error})) {
        missing.push_back(call + " was never seen to answer " + std::string(errno_name(error)) + " (" +
                          documents.place + ")");
      }
    }
  }
  return missing;
}

// One test, since each needs all the worlds.
TEST(AdverseWorlds, CallsAnswerWhatTheirCommentsName) {
  // Removed, cut, full, failing, out of memory, interrupted, asked nonsense.
  Observer saw(documented());
  visit_low_worlds(saw);
  visit_bad_calls(saw);
  visit_worlds(saw);

  // No errno comes as a surprise.
  EXPECT_TRUE(saw.violations().empty()) << joined(saw.violations());
  // A named errno that cannot happen misleads, and one that nobody has seen is not known to work.
  const Elsewhere elsewhere = read_elsewhere();
  EXPECT_TRUE(elsewhere.problems.empty()) << joined(elsewhere.problems);
  const std::vector<std::string> missing = unseen(saw, elsewhere);
  EXPECT_TRUE(missing.empty()) << joined(missing);
  // The table of other tests is as short as it can be.
  for (const auto& [pair, test] : elsewhere.rows) {
    EXPECT_FALSE(saw.has_seen(pair)) << pair.first << " " << errno_name(pair.second) << " is seen here, too: " << test;
  }
}

}  // namespace
}  // namespace daxsim::test
