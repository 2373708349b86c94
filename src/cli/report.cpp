// SPDX-License-Identifier: BSD-3-Clause
#include "cli/report.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "cli/files.hpp"
#include "cli/matrix.hpp"
#include "cli/report_page.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;

// Google Benchmark writes NaN, which is no JSON, for the variation of what is always 0.
std::string without_nan(const std::string& text) {
  constexpr std::string_view kNan = "NaN";
  std::string out;
  bool in_string = false;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const bool escapes = in_string && text[at] == '\\' && at + 1 < text.size();
    in_string = text[at] == '"' ? !in_string : in_string;
    if (!in_string && text.compare(at, kNan.size(), kNan) == 0) {
      out += "null";
      at += kNan.size() - 1;
    } else {
      out.append(text, at, escapes ? 2 : 1);
      at += escapes ? 1 : 0;
    }
  }
  return out;
}

// What the library says, without its number.
std::string_view text_of(const Json::exception& error) {
  const std::string_view text = error.what();
  return text.substr(text.find("] ") + 2);
}

// Runs `work` on a file of the user's; false, and a word to the user, when something is wrong with it.
template <class Work>
bool with_file(const std::filesystem::path& path, const char* wanted, Work work) {
  try {
    work();
    return true;
  } catch (const Json::parse_error& error) {
    fmt::print(stderr, "daxsim report: {} is no JSON: {}\n", path.string(), text_of(error));
  } catch (const Json::exception& error) {
    fmt::print(stderr, "daxsim report: {} is not {}: {}\n", path.string(), wanted, text_of(error));
  } catch (const std::runtime_error& error) {  // BadDocument, FileError
    fmt::print(stderr, "daxsim report: {}: {}\n", path.string(), error.what());
  }
  return false;
}

}  // namespace

int report(const ReportOptions& options) {
  MatrixPage matrix;
  std::vector<Measured> measured;
  if (!options.bench.empty() && !with_file(options.bench, "what bench_designs --benchmark_out writes", [&] {
        measured = read_bench(Json::parse(without_nan(contents_of(options.bench))));
      })) {
    return 2;
  }
  if (options.matrix.empty()) {
    const std::optional<Json> asked = matrix_document();
    if (!asked) {
      return 1;
    }
    matrix = read_matrix(*asked);
  } else if (!with_file(options.matrix, "what daxsim matrix --json -v prints",
                        [&] { matrix = read_matrix(Json::parse(contents_of(options.matrix))); })) {
    return 2;
  }
  const std::string page = report_page(matrix, measured);
  if (!with_file(options.out, "", [&] { write_file(options.out, page, "wb"); })) {
    return 2;
  }
  fmt::print("{}\n", options.out.string());
  if (options.plots.empty()) {
    return 0;
  }
  for (const auto& file : plot_files(matrix, measured)) {
    const std::filesystem::path path = options.plots / (file.first + ".svg");
    if (!with_file(path, "", [&] { write_file(path, file.second, "wb"); })) {
      return 2;
    }
    fmt::print("{}\n", path.string());
  }
  return 0;
}

}  // namespace daxsim::cli
