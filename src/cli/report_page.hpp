// SPDX-License-Identifier: BSD-3-Clause
// The page of `daxsim report`, made of JSON documents. Everything that is wrong with a document is found before anything
// is drawn; both readers throw nlohmann's exceptions and BadDocument, with a text for the user.
#pragma once

#include <cstdint>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <vector>

#include "daxsim/lab/matrix.hpp"

namespace daxsim::cli {

struct BadDocument : std::runtime_error {
  using std::runtime_error::runtime_error;
};

struct MatrixPage {
  struct Cell {
    lab::Verdict verdict{};
    std::string text;
    std::string expected;
    bool as_expected = false;
    std::string because;
    std::vector<std::string> story;
  };
  struct CostsPerPage {
    double lookups = 0;
    double locks = 0;
    double index_bytes = 0;
  };
  struct Question {
    std::string name;
    std::string asks;
  };
  struct Row {
    std::string design;
    std::vector<std::optional<Cell>> cells;  // one for each question
    std::optional<CostsPerPage> costs;       // of kCostQuestion
  };
  std::string era;
  bool ok = false;
  std::vector<Question> questions;
  std::vector<Row> rows;
};
MatrixPage read_matrix(const nlohmann::ordered_json& document);

// Medians over the repetitions, by what they are of.
struct Measured {
  std::string design;
  std::string adapter;
  std::uint64_t pages = 0;
  std::uint64_t extent = 0;                // pages; 0: all
  std::map<std::string, double> per_page;  // by counter: "fsync_ns", "fsync_ratio", ...
};
std::vector<Measured> read_bench(const nlohmann::ordered_json& document);

std::string report_page(const MatrixPage& matrix, const std::vector<Measured>& measured);
// The plots alone: by adapter one SVG document, which needs nothing else.
std::map<std::string, std::string> plot_files(const MatrixPage& matrix, const std::vector<Measured>& measured);

}  // namespace daxsim::cli
