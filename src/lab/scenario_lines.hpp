// SPDX-License-Identifier: BSD-3-Clause
// A scenario as it is written: lines of words, blocks of lines. No word has a meaning yet.
#pragma once

#include <cstdint>
#include <expected>
#include <filesystem>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/lab/scenario.hpp"

DAXSIM_BEGIN
namespace lab {

inline constexpr std::size_t kMostScenarioBytes = std::size_t{1} << 20;

// A part of a word: text, or the name of a variable.
struct Piece {
  bool is_variable = false;
  std::string text;
};
struct Word {
  std::uint32_t column = 0;
  bool quoted = false;
  std::vector<Piece> pieces;
};

struct Line {
  std::uint32_t number = 0;
  std::string text{};  // as written
  std::string label{};
  std::string actor{};
  std::vector<Word> words{};
  bool in_background = false;
  std::uint32_t expects_column = 0;  // of "=>"; 0: there is none
  std::vector<std::vector<Word>> expectations{};
};

// A line, and for `repeat`, `when` and `include` the lines in it.
struct Statement {
  Line line;
  std::vector<Statement> body{};
  std::shared_ptr<const ScenarioLines> included{};
};

struct ScenarioLines {
  std::string file;
  std::vector<Statement> statements;
};

// The words of `text`. Errors: what PEGTL says of a line that is none.
std::expected<std::vector<Line>, ScenarioError> read_lines(std::string_view text, const std::string& file);

}  // namespace lab
DAXSIM_END
