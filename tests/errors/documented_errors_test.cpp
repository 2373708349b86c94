// SPDX-License-Identifier: BSD-3-Clause
// The reader of doc comments, on small texts and on the public headers.
#include "errors/documented_errors.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace daxsim::test {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::UnorderedElementsAre;

DocumentedErrors read(std::string_view text) {
  DocumentedErrors documented;
  documented.read("x.hpp", text);
  documented.resolve();
  return documented;
}

TEST(DocumentedErrors, EveryResultOfThePublicHeadersIsDocumentedInTheForm) {
  // The headers as they are: a comment in another form would be a promise that nobody checks.
  const auto documented = DocumentedErrors::of_headers(DAXSIM_SOURCE_FOLDER "/include/daxsim");
  EXPECT_THAT(documented.problems(), IsEmpty());
  // The reader sees the headers at all: a plain call, an overloaded template, a namespace function, a forwarder.
  EXPECT_TRUE(documented.allows("Attachment::pin", Errno::erange));
  EXPECT_TRUE(documented.allows("Machine::attach", Errno::eshutdown));
  EXPECT_TRUE(documented.allows("sim::open", Errno::enotdir));
  EXPECT_TRUE(documented.allows("FileSystem::create", Errno::eexist));
  EXPECT_FALSE(documented.allows("Attachment::pin", Errno::eagain));
}

TEST(DocumentedErrors, ListsEndAtTheFullStopAndIgnoreParentheses) {
  // Prose around the list, also with a full stop, an errno or a comma in parentheses, adds nothing.
  const auto documented = read(R"(
// Does it. Errors: Errno::eio (a. b, Errno::eexist (c)), Errno::enospc or
// Errno::enomem; after an error nothing was changed. Emits Errno::efbig.
Result<void> act();
)");
  EXPECT_THAT(documented.problems(), IsEmpty());
  EXPECT_THAT(documented.calls().at("act").errnos, UnorderedElementsAre(Errno::eio, Errno::enospc, Errno::enomem));
}

TEST(DocumentedErrors, ReferencesAreFollowed) {
  // Through classes and namespaces, to namesakes, to the other overload, and through several steps.
  const auto documented = read(R"(
DAXSIM_BEGIN
namespace low {
class Base {
 public:
  // Errors: Errno::eio.
  virtual Result<int> read() = 0;
  // Errors: as read, and Errno::enospc.
  virtual Result<int> write() = 0;
};
}  // namespace low
// Errors of all: those of the low::Base call of the same name.
class DAXSIM_CAPABILITY("mutex") High final : public low::Base {
 public:
  Result<int> read() { return 0; }
  // Errors: those of write, and Errno::ebadf.
  Result<int> write() { return {}; }
};
// Errors: those of High::write and low::Base::read, and Errno::eintr.
template <class T, class U = std::vector<T>>
  requires requires(const T& t) { open(t); }
[[nodiscard]] Result<std::vector<T>> use(const T& t) { return {}; }
DAXSIM_END
)");
  EXPECT_THAT(documented.problems(), IsEmpty());
  EXPECT_THAT(documented.calls().at("High::read").errnos, UnorderedElementsAre(Errno::eio));
  EXPECT_THAT(documented.calls().at("High::write").errnos,
              UnorderedElementsAre(Errno::eio, Errno::enospc, Errno::ebadf));
  EXPECT_THAT(documented.calls().at("use").errnos,
              UnorderedElementsAre(Errno::eio, Errno::enospc, Errno::ebadf, Errno::eintr));
}

TEST(DocumentedErrors, CommentsCountForWhatFollowsThem) {
  // Declarations without a gap share a comment, a section's list lasts to the next one, private calls need none.
  const auto documented = read(R"(
class Thing {
 public:
  // Errors: Errno::eio.
  Result<int> one();
  Result<int> two();  // trailing
  int none() const;

  // Errors of all: Errno::eperm.

  // Errors: Errno::enoent.
  Result<int> three();

  Result<int> four();

  // Errors of all: none.

  Result<int> five();

 private:
  Result<int> hidden();
  struct Inner {
    Result<int> hidden_too();
  };
};
)");
  EXPECT_THAT(documented.problems(), IsEmpty());
  EXPECT_THAT(documented.calls().at("Thing::two").errnos, UnorderedElementsAre(Errno::eio));
  EXPECT_THAT(documented.calls().at("Thing::three").errnos, UnorderedElementsAre(Errno::eperm, Errno::enoent));
  EXPECT_THAT(documented.calls().at("Thing::four").errnos, UnorderedElementsAre(Errno::eperm));
  EXPECT_THAT(documented.calls().at("Thing::five").errnos, IsEmpty());
  EXPECT_EQ(documented.calls().size(), 5U);
}

TEST(DocumentedErrors, WhatIsNotInTheFormIsAProblem) {
  // No statement, free words, an errno that does not exist, a reference to nothing, and a circle.
  const auto problem_of = [](std::string_view text) {
    const std::vector<std::string> problems = read(text).problems();
    return problems.empty() ? std::string("none") : problems.front();
  };
  EXPECT_THAT(problem_of("// Does it.\nResult<int> act();\n"), HasSubstr("x.hpp:2: act answers a Result"));
  EXPECT_THAT(problem_of("// Errors: Errno::eio.\n\nResult<int> act();\n"), HasSubstr("x.hpp:3: act answers a Result"));
  EXPECT_THAT(problem_of("// Errors: Errno::eio when it is tired.\nResult<int> act();\n"), HasSubstr("tired"));
  EXPECT_THAT(problem_of("// Errors: Errno::etired.\nResult<int> act();\n"), HasSubstr("no Errno::etired"));
  EXPECT_THAT(problem_of("// Errors: those of rest.\nResult<int> act();\n"), HasSubstr("no documented call"));
  EXPECT_THAT(problem_of("// Errors: as b.\nResult<int> a();\n// Errors: as a.\nResult<int> b();\n"),
              HasSubstr("has those of it"));
  EXPECT_THAT(problem_of("class Open {\n"), HasSubstr("does not understand"));
}

}  // namespace
}  // namespace daxsim::test
