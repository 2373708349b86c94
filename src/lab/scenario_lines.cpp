// SPDX-License-Identifier: BSD-3-Clause
// The grammar of lines (docs/scenario-language.md), and blocks made of them.
#include "lab/scenario_lines.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>
#include <fstream>
#include <tao/pegtl.hpp>
#include <utility>

DAXSIM_BEGIN
namespace lab {
namespace grammar {

namespace pegtl = tao::pegtl;
using pegtl::at;
using pegtl::if_must;
using pegtl::must;
using pegtl::not_at;
using pegtl::not_one;
using pegtl::one;
using pegtl::opt;
using pegtl::plus;
using pegtl::seq;
using pegtl::sor;
using pegtl::star;
using pegtl::string;

// Rules are written like those they are made of.
// NOLINTBEGIN(readability-identifier-naming)
struct continued : seq<one<'\\'>, opt<one<'\r'>>, one<'\n'>> {};
struct gap : plus<sor<one<' ', '\t'>, seq<one<'\r'>, not_at<one<'\n'>>>, continued>> {};
struct end_of_line : sor<pegtl::eof, one<'\n'>, string<'\r', '\n'>> {};
struct after_token : at<sor<gap, end_of_line, one<'#'>>> {};

struct variable_name : seq<pegtl::identifier_first, star<sor<pegtl::identifier_other, one<'-'>>>> {};
struct variable_end : one<'}'> {};
struct variable : if_must<string<'$', '{'>, variable_name, variable_end> {};

struct plain : plus<not_one<' ', '\t', '\r', '\n', '\\', '#', '"', '$'>> {};
struct plain_but_comma : plus<not_one<' ', '\t', '\r', '\n', '\\', '#', '"', '$', ','>> {};
struct quoted_text : plus<not_one<'\n', '\\', '"', '$'>> {};
struct escaped : not_one<'\n', '\r'> {};
struct escape : if_must<one<'\\'>, escaped> {};
struct quote_end : one<'"'> {};
struct quoted : if_must<one<'"'>, star<sor<variable, escape, quoted_text>>, quote_end> {};

struct arrow : seq<string<'=', '>'>, after_token> {};
struct background : seq<one<'&'>, after_token> {};
struct word : seq<not_at<arrow>, not_at<background>, plus<sor<variable, quoted, plain>>> {};
struct expected_word : plus<sor<variable, quoted, plain_but_comma>> {};

struct label_name : plus<not_one<' ', '\t', '\n', ']'>> {};
struct label_end : one<']'> {};
struct label : if_must<one<'['>, label_name, label_end> {};
struct actor : seq<one<'p', 't'>, plus<pegtl::digit>, one<':'>, after_token> {};
struct comment : seq<one<'#'>, star<not_one<'\n'>>> {};

struct expectation : seq<expected_word, star<gap, expected_word>> {};
struct comma : one<','> {};
struct expectations : seq<expectation, opt<gap>, star<if_must<comma, opt<gap>, expectation, opt<gap>>>> {};
struct expects : if_must<arrow, opt<gap>, expectations> {};
struct command : seq<word, star<gap, word>> {};
struct content : seq<opt<label, opt<gap>>, opt<actor, opt<gap>>, must<command>, opt<gap>, opt<background, opt<gap>>,
                     opt<expects>> {};
struct line_start : pegtl::success {};
struct blank_line : seq<opt<gap>, at<sor<end_of_line, one<'#'>>>> {};
struct line_end : seq<opt<gap>, opt<comment>, end_of_line> {};
struct line : seq<line_start, sor<blank_line, seq<opt<gap>, content>>, must<line_end>> {};
struct file : pegtl::until<pegtl::eof, line> {};

// NOLINTEND(readability-identifier-naming)

template <class Rule>
inline constexpr const char* error_message = nullptr;
template <>
inline constexpr const char* error_message<command> = "expected a command";
template <>
inline constexpr const char* error_message<variable_name> = "expected the name of a variable after ${";
template <>
inline constexpr const char* error_message<variable_end> = "expected } after the name of a variable";
template <>
inline constexpr const char* error_message<escaped> = "expected a character after the backslash";
template <>
inline constexpr const char* error_message<quote_end> = "expected \" at the end of the quoted text";
template <>
inline constexpr const char* error_message<label_name> = "expected a label after [";
template <>
inline constexpr const char* error_message<label_end> = "expected ] after the label";
template <>
inline constexpr const char* error_message<expectations> = "expected what must come back after =>";
template <>
inline constexpr const char* error_message<expectation> = "expected another expectation after the comma";
template <>
inline constexpr const char* error_message<line_end> =
    "expected an argument, & or => or the end of the line (a word with such a character is written in quotes)";

struct Messages {
  template <class Rule>
  static constexpr const char* message = error_message<Rule>;
  template <class Rule>
  static constexpr bool raise_on_failure = false;
};
template <class Rule>
using Control = typename pegtl::must_if<Messages, pegtl::normal, false>::template control<Rule>;

struct Reading {
  std::vector<Line> lines;
  Line line;
  Word word;
  Word* writing = nullptr;  // where pieces go
};

template <class Rule>
struct Action : pegtl::nothing<Rule> {};

void add_piece(Word& word, bool is_variable, std::string_view text) {
  if (!is_variable && !word.pieces.empty() && !word.pieces.back().is_variable) {
    word.pieces.back().text += text;
  } else {
    word.pieces.push_back({is_variable, std::string(text)});
  }
}

template <>
struct Action<line_start> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line = Line{.number = static_cast<std::uint32_t>(in.position().line)};
  }
};
template <>
struct Action<variable_name> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    add_piece(reading.word, true, in.string_view());
  }
};
template <class Text>
struct AddsText {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    add_piece(reading.word, false, in.string_view());
  }
};
template <>
struct Action<plain> : AddsText<plain> {};
template <>
struct Action<plain_but_comma> : AddsText<plain_but_comma> {};
template <>
struct Action<quoted_text> : AddsText<quoted_text> {};
template <>
struct Action<escaped> : AddsText<escaped> {};
template <>
struct Action<quoted> {
  template <class Input>
  static void apply(const Input& /*in*/, Reading& reading) {
    reading.word.quoted = true;
  }
};
template <class Input>
Word take_word(const Input& in, Reading& reading) {
  Word word = std::exchange(reading.word, {});
  word.column = static_cast<std::uint32_t>(in.position().column);
  return word;
}
template <>
struct Action<word> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line.words.push_back(take_word(in, reading));
  }
};
template <>
struct Action<expected_word> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line.expectations.back().push_back(take_word(in, reading));
  }
};
template <>
struct Action<label_name> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line.label = in.string();
  }
};
template <>
struct Action<actor> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line.actor = in.string();
    reading.line.actor.pop_back();
  }
};
template <>
struct Action<background> {
  template <class Input>
  static void apply(const Input& /*in*/, Reading& reading) {
    reading.line.in_background = true;
  }
};
template <>
struct Action<arrow> {
  template <class Input>
  static void apply(const Input& in, Reading& reading) {
    reading.line.expects_column = static_cast<std::uint32_t>(in.position().column);
    reading.line.expectations.emplace_back();
  }
};
template <>
struct Action<comma> {
  template <class Input>
  static void apply(const Input& /*in*/, Reading& reading) {
    reading.line.expectations.emplace_back();
  }
};
template <>
struct Action<content> {
  template <class Input>
  static void apply(const Input& /*in*/, Reading& reading) {
    reading.lines.push_back(std::move(reading.line));
  }
};

}  // namespace grammar

namespace {

// How deep files may include one another.
constexpr unsigned kMostIncludes = 16;

using Error = std::unexpected<ScenarioError>;

Error error_at(const std::string& file, const Line& line, std::string message) {
  return Error(ScenarioError{file, line.number, line.words.front().column, std::move(message)});
}

// The text of a word without variables; null when it has some.
const std::string* literal(const Word& word) {
  static const std::string kEmpty;
  if (word.pieces.empty()) {
    return &kEmpty;
  }
  return word.pieces.size() == 1 && !word.pieces.front().is_variable ? &word.pieces.front().text : nullptr;
}

bool is_word(const Line& line, std::string_view text) {
  const std::string* const first = literal(line.words.front());
  return first != nullptr && *first == text;
}

std::expected<std::shared_ptr<const ScenarioLines>, ScenarioError> read_scenario(std::string_view text,
                                                                                 const std::string& file,
                                                                                 const std::filesystem::path& folder,
                                                                                 unsigned depth);

// The contents of a file, or why not.
std::expected<std::string, std::string> contents_of(const std::filesystem::path& path) {
  std::ifstream file(path, std::ios::binary);
  if (!file) {
    return std::unexpected(std::string(std::strerror(errno)));
  }
  std::string text(kMostScenarioBytes + 1, '\0');
  file.read(text.data(), static_cast<std::streamsize>(text.size()));
  if (file.bad()) {
    return std::unexpected(std::string("cannot be read"));
  }
  text.resize(static_cast<std::size_t>(file.gcount()));
  return text;
}

// Puts lines into blocks, from `next` on, until the end of the block that `opened` is.
class Blocks {
 public:
  Blocks(std::string file, std::filesystem::path folder, unsigned depth, std::vector<Line> lines)
      : file_(std::move(file)), folder_(std::move(folder)), depth_(depth), lines_(std::move(lines)) {}

  std::expected<std::vector<Statement>, ScenarioError> take(const Line* opened) {
    std::vector<Statement> statements;
    while (next_ < lines_.size()) {
      Line& line = lines_[next_++];
      if (is_word(line, "end")) {
        if (opened == nullptr) {
          return error_at(file_, line, "this ends nothing: expected a repeat or when before it");
        }
        if (line.words.size() != 1) {
          return error_at(file_, line, "expected nothing after end");
        }
        return statements;
      }
      Statement& statement = statements.emplace_back(Statement{.line = std::move(line)});
      const Line& first = statement.line;
      if (is_word(first, "repeat") || is_word(first, "when")) {
        if (++nested_ > kMostNested) {
          return error_at(file_, first, fmt::format("more than {} blocks in one another", kMostNested));
        }
        const Line head = first;
        auto body = take(&head);
        --nested_;
        if (!body) {
          return Error(std::move(body.error()));
        }
        statement.body = std::move(*body);
      } else if (is_word(first, "include")) {
        auto included = include(first);
        if (!included) {
          return Error(std::move(included.error()));
        }
        statement.included = std::move(*included);
      }
    }
    if (opened != nullptr) {
      return error_at(file_, *opened, "expected an end to this block, and the file is at its end");
    }
    return statements;
  }

 private:
  static constexpr unsigned kMostNested = 64;

  std::expected<std::shared_ptr<const ScenarioLines>, ScenarioError> include(const Line& line) {
    const std::string* const name = line.words.size() < 2 ? nullptr : literal(line.words[1]);
    if (name == nullptr || name->empty()) {
      return error_at(file_, line, "expected the name of a file after include, without variables");
    }
    if (depth_ == kMostIncludes) {
      return error_at(file_, line, fmt::format("files include one another more than {} deep", kMostIncludes));
    }
    const std::filesystem::path path = folder_ / *name;
    auto text = contents_of(path);
    if (!text) {
      return error_at(file_, line, fmt::format("cannot include {}: {}", path.string(), text.error()));
    }
    return read_scenario(*text, path.string(), path.parent_path(), depth_ + 1);
  }

  const std::string file_;
  const std::filesystem::path folder_;
  const unsigned depth_;
  std::vector<Line> lines_;
  std::size_t next_ = 0;
  unsigned nested_ = 0;
};

std::expected<std::shared_ptr<const ScenarioLines>, ScenarioError> read_scenario(std::string_view text,
                                                                                 const std::string& file,
                                                                                 const std::filesystem::path& folder,
                                                                                 unsigned depth) {
  auto lines = read_lines(text, file);
  if (!lines) {
    return Error(std::move(lines.error()));
  }
  auto statements = Blocks(file, folder, depth, std::move(*lines)).take(nullptr);
  if (!statements) {
    return Error(std::move(statements.error()));
  }
  return std::make_shared<const ScenarioLines>(file, std::move(*statements));
}

}  // namespace

std::expected<std::vector<Line>, ScenarioError> read_lines(std::string_view text, const std::string& file) {
  if (text.size() > kMostScenarioBytes) {
    return Error(ScenarioError{file, 0, 0, fmt::format("is longer than {} bytes", kMostScenarioBytes)});
  }
  grammar::Reading reading;
  try {
    tao::pegtl::memory_input input(text.data(), text.size(), "");
    tao::pegtl::parse<grammar::file, grammar::Action, grammar::Control>(input, reading);
  } catch (const tao::pegtl::parse_error& error) {
    const auto& where = error.positions().front();
    return Error(ScenarioError{file, static_cast<std::uint32_t>(where.line), static_cast<std::uint32_t>(where.column),
                               std::string(error.message())});
  }
  std::uint32_t number = 1;
  std::string_view rest = text;
  for (Line& line : reading.lines) {
    for (; number < line.number; ++number) {
      rest.remove_prefix(rest.find('\n') + 1);
    }
    line.text = rest.substr(0, rest.find_first_of("\r\n"));
  }
  return std::move(reading.lines);
}

std::string ScenarioError::text() const {
  if (line == 0) {
    return fmt::format("{}: {}", file, message);
  }
  return column == 0 ? fmt::format("{}:{}: {}", file, line, message)
                     : fmt::format("{}:{}:{}: {}", file, line, column, message);
}

std::expected<Scenario, ScenarioError> parse_scenario(std::string_view text, std::string name,
                                                      const std::filesystem::path& folder) {
  auto lines = read_scenario(text, name, folder, 0);
  if (!lines) {
    return Error(std::move(lines.error()));
  }
  return Scenario{std::move(name), std::move(*lines)};
}

std::expected<Scenario, ScenarioError> load_scenario(const std::filesystem::path& file) {
  auto text = contents_of(file);
  if (!text) {
    return Error(ScenarioError{file.string(), 0, 0, std::move(text.error())});
  }
  return parse_scenario(*text, file.string(), file.parent_path());
}

}  // namespace lab
DAXSIM_END
