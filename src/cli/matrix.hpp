// SPDX-License-Identifier: BSD-3-Clause
// `daxsim matrix`: every index design, every question, held against what was expected before it first ran.
#pragma once

#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace daxsim::cli {

// "schema" of the JSON document.
inline constexpr const char* kMatrixSchema = "daxsim-matrix-1";
// Whose fsync the costs per page are of.
inline constexpr std::string_view kCostQuestion = "page-fsync";

struct MatrixOptions {
  std::string design;    // empty: all
  std::string question;  // empty: all
  bool json = false;
  bool time = false;     // also nanoseconds of fsync per dirty page
  bool verbose = false;  // also each cell's story
};

// Returns the exit status: 0 when every cell is as expected or its difference explained, 1 when one is not, 2 for an
// unknown design or question.
int matrix(const MatrixOptions& options);

// What `daxsim matrix --json -v` prints. Nothing, and a word to the user, when the host is short of something.
std::optional<nlohmann::ordered_json> matrix_document();

// The text of docs/expected-matrix.json.
const char* expected_matrix() noexcept;

}  // namespace daxsim::cli
