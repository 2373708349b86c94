// SPDX-License-Identifier: BSD-3-Clause
#include "cli/matrix.hpp"

#include <fmt/color.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/dax/era.hpp"
#include "daxsim/detect/findings.hpp"
#include "daxsim/lab/matrix.hpp"
#include "lab/nearest.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;
using lab::Cell;
using lab::Question;
using lab::Verdict;

constexpr int kTimings = 5;
constexpr std::size_t kNameWidth = 16;
constexpr std::size_t kCellWidth = 11;

// A cell as it came out, and what was said about it before.
struct Asked {
  const IndexDesign* design = nullptr;
  const Question* question = nullptr;
  Cell cell;
  std::string expected;
  std::optional<std::string> because;  // of a difference that is understood

  [[nodiscard]] bool as_expected() const { return cell.text() == expected; }
  [[nodiscard]] bool accounted_for() const { return as_expected() || because.has_value(); }
};

std::string text_of(const Json& object, std::string_view a, std::string_view b) {
  const auto row = object.find(a);
  if (row == object.end()) {
    return {};
  }
  const auto cell = row->find(b);
  return cell == row->end() ? std::string() : cell->get<std::string>();
}

// {design: {question: {"is": text, "because": why}}}; a reason holds for one outcome only.
std::optional<std::string> reason_for(const Json& expected, const Asked& asked) {
  const auto& explained = expected.at("explained");
  const auto row = explained.find(asked.design->name());
  if (row == explained.end() || !row->contains(asked.question->name)) {
    return std::nullopt;
  }
  const Json& reason = row->at(std::string(asked.question->name));
  return reason.at("is") == asked.cell.text() ? std::optional(reason.at("because").get<std::string>()) : std::nullopt;
}

double per_page(std::uint64_t count, const lab::Costs& costs) {
  return costs.pages == 0 ? 0 : static_cast<double>(count) / static_cast<double>(costs.pages);
}
double nanoseconds_per_page(const lab::Costs& costs) {
  return per_page(static_cast<std::uint64_t>(costs.fsync_time.count()), costs);
}

Json json_of(const Asked& asked, const MatrixOptions& options) {
  const Cell& cell = asked.cell;
  Json json{{"verdict", lab::verdict_name(cell.verdict)},
            {"text", cell.text()},
            {"expected", asked.expected},
            {"as_expected", asked.as_expected()}};
  if (asked.because && !asked.as_expected()) {
    json["because"] = *asked.because;
  }
  if (cell.costs.pages != 0) {
    Json costs{{"pages", cell.costs.pages},
               {"lookups", cell.costs.lookups},
               {"locks", cell.costs.locks},
               {"index_bytes", cell.costs.index_bytes}};
    if (options.time) {
      costs["fsync_ns"] = cell.costs.fsync_time.count();
    }
    json["costs"] = std::move(costs);
  }
  if (options.verbose) {
    json["story"] = cell.story;
  }
  return json;
}

// One word for the table.
std::string short_text(const Cell& cell) {
  switch (cell.verdict) {
    case Verdict::holds:
      return "holds";
    case Verdict::refused:
      return cell.what;
    case Verdict::not_applicable:
      return "-";
    case Verdict::harm:
      break;
  }
  constexpr std::pair<FindingKind, std::string_view> kWords[]{{FindingKind::wrong_device_flush, "WRONG DEV"},
                                                              {FindingKind::lost_store, "LOST"},
                                                              {FindingKind::flush_of_dead_memory, "DEAD"},
                                                              {FindingKind::stale_mapping, "STALE"}};
  for (const auto& [harm, word] : kWords) {
    if (cell.what.find(finding_name(harm)) != std::string::npos) {
      return std::string(word);
    }
  }
  return "HARM";
}

class Table {
 public:
  explicit Table(const MatrixOptions& options)
      : options_(options), colour_(::isatty(STDOUT_FILENO) == 1 && std::getenv("NO_COLOR") == nullptr) {}

  void head(const std::vector<const Question*>& questions) const {
    std::string upper = fmt::format("{:<{}}", "", kNameWidth);
    std::string lower = fmt::format("{:<{}}", "design", kNameWidth);
    for (const Question* question : questions) {
      const std::size_t dash = question->name.find('-');
      const bool two = dash != std::string_view::npos;
      upper += fmt::format("{:<{}}", two ? question->name.substr(0, dash + 1) : "", kCellWidth);
      lower += fmt::format("{:<{}}", two ? question->name.substr(dash + 1) : question->name, kCellWidth);
    }
    upper += costs_shown(questions) ? fmt::format("{:<30}", "per dirty page of " + std::string(kCostQuestion)) : "";
    lower += costs_shown(questions) ? "look-ups locks index bytes" : "";
    lower += costs_shown(questions) && options_.time ? "      ns" : "";
    fmt::print("{}\n{}\n", styled(upper, fmt::emphasis::bold), styled(lower, fmt::emphasis::bold));
  }
  void row(const std::vector<const Asked*>& cells) const {
    fmt::print("{:<{}}", cells.front()->design->name(), kNameWidth);
    const lab::Costs* costs = nullptr;
    for (const Asked* asked : cells) {
      const std::string text = short_text(asked->cell) + (asked->as_expected() ? "" : "*");
      fmt::print("{}", styled(fmt::format("{:<{}}", text, kCellWidth), style_of(asked->cell.verdict)));
      costs = asked->question->name == kCostQuestion ? &asked->cell.costs : costs;
    }
    if (costs != nullptr) {
      fmt::print("{:>8.2f} {:>5.2f} {:>11.1f}", per_page(costs->lookups, *costs), per_page(costs->locks, *costs),
                 per_page(costs->index_bytes, *costs));
      if (options_.time) {
        fmt::print(" {:>7.0f}", nanoseconds_per_page(*costs));
      }
    }
    fmt::print("\n");
  }
  void foot(const std::vector<const Question*>& questions) const {
    fmt::print("\n");
    for (const Question* question : questions) {
      fmt::print("{:<{}}  {}\n", question->name, kNameWidth, question->asks);
    }
    fmt::print(
        "\nholds: the promised bytes are there. EIO, SIGBUS: refused, and the program was told.\n"
        "LOST: fsync said yes, the bytes are gone. DEAD: memory of a removed device was flushed.\n"
        "WRONG DEV: another device's memory was flushed. STALE: pages of a removed device stayed mapped. *: not as "
        "expected.\n");
  }
  void story(const Asked& asked) const {
    fmt::print("\n{}\n",
               styled(fmt::format("{} / {}: {}", asked.design->name(), asked.question->name, asked.cell.text()),
                      fmt::emphasis::bold));
    for (const std::string& line : asked.cell.story) {
      fmt::print("  {}\n", line);
    }
  }
  void difference(const Asked& asked) const {
    fmt::print("\n{} / {}: {}, expected was {}\n", asked.design->name(), asked.question->name,
               styled(asked.cell.text(), style_of(asked.cell.verdict)),
               asked.expected.empty() ? "nothing" : asked.expected);
    fmt::print("  {}\n", asked.because ? *asked.because : styled("nobody has explained this", kRed));
  }

 private:
  static constexpr auto kRed = fmt::fg(fmt::terminal_color::red);

  static bool costs_shown(const std::vector<const Question*>& questions) {
    return std::ranges::any_of(questions, [](const Question* each) { return each->name == kCostQuestion; });
  }
  static fmt::text_style style_of(Verdict verdict) {
    switch (verdict) {
      case Verdict::holds:
        return fmt::fg(fmt::terminal_color::green);
      case Verdict::refused:
        return fmt::fg(fmt::terminal_color::yellow);
      case Verdict::not_applicable:
        return {};
      case Verdict::harm:
        break;
    }
    return kRed | fmt::emphasis::bold;
  }
  [[nodiscard]] std::string styled(const std::string& text, const fmt::text_style& style) const {
    return colour_ ? fmt::format("{}", fmt::styled(text, style)) : text;
  }

  const MatrixOptions& options_;
  const bool colour_;
};

// All of `all`, or the one that is named; nothing, and a word to the user, when there is none.
template <class T>
std::vector<const T*> chosen(const std::vector<const T*>& all, const std::string& wanted, std::string_view kind,
                             std::string_view (*name)(const T&)) {
  std::vector<const T*> found;
  std::vector<std::string> names;
  for (const T* each : all) {
    names.emplace_back(name(*each));
    if (wanted.empty() || wanted == names.back()) {
      found.push_back(each);
    }
  }
  if (found.empty()) {
    fmt::print(stderr, "daxsim matrix: no {} \"{}\"; did you mean \"{}\"? There are: {}\n", kind, wanted,
               lab::nearest(wanted, names), fmt::join(names, ", "));
  }
  return found;
}

// The fastest of some, for --time; what comes out is the same each time.
Result<Cell> ask(const Question& question, const IndexDesign& design, const MatrixOptions& options) {
  Result<Cell> best = lab::ask(question, design, options.verbose ? lab::Telling::story : lab::Telling::verdict_only);
  for (int again = 1; options.time && again < kTimings && best.ok(); ++again) {
    DAXSIM_TRY(const Cell other, lab::ask(question, design));
    best->costs.fsync_time = std::min(best->costs.fsync_time, other.costs.fsync_time);
  }
  return best;
}

using Questions = std::vector<const Question*>;
using Designs = std::vector<const IndexDesign*>;

Questions all_questions() {
  Questions all;
  for (const Question& question : lab::questions()) {
    all.push_back(&question);
  }
  return all;
}
Designs all_designs() { return {designs::all().begin(), designs::all().end()}; }

// Row by row. Nothing, and a word to the user, when the host is short of something.
std::optional<std::vector<Asked>> ask_all(const Designs& designs, const Questions& questions,
                                          const MatrixOptions& options) {
  const Json expected = Json::parse(expected_matrix());
  std::vector<Asked> cells;
  for (const IndexDesign* design : designs) {
    for (const Question* question : questions) {
      Result<Cell> cell = ask(*question, *design, options);
      if (!cell.ok()) {
        fmt::print(stderr, "daxsim: {} / {}: {} ({})\n", design->name(), question->name, errno_name(cell.error()),
                   errno_text(cell.error()));
        return std::nullopt;
      }
      Asked asked{.design = design, .question = question, .cell = std::move(*cell), .expected = {}, .because = {}};
      asked.expected = text_of(expected.at("cells"), design->name(), question->name);
      asked.because = reason_for(expected, asked);
      cells.push_back(std::move(asked));
    }
  }
  return cells;
}

bool all_accounted_for(const std::vector<Asked>& cells) { return std::ranges::all_of(cells, &Asked::accounted_for); }

Json document_of(const Questions& questions, const std::vector<Asked>& cells, const MatrixOptions& options) {
  Json json{{"schema", kMatrixSchema},
            {"ok", all_accounted_for(cells)},
            {"era", eras::v6_12.name},
            {"questions", Json::object()},
            {"cells", Json::object()}};
  for (const Question* question : questions) {
    json["questions"][std::string(question->name)] = question->asks;
  }
  for (const Asked& asked : cells) {
    json["cells"][std::string(asked.design->name())][std::string(asked.question->name)] = json_of(asked, options);
  }
  return json;
}

}  // namespace

std::optional<nlohmann::ordered_json> matrix_document() {
  MatrixOptions options;
  options.verbose = true;
  const Questions questions = all_questions();
  const std::optional<std::vector<Asked>> cells = ask_all(all_designs(), questions, options);
  return cells ? std::optional(document_of(questions, *cells, options)) : std::nullopt;
}

int matrix(const MatrixOptions& options) {
  const auto questions = chosen<Question>(all_questions(), options.question, "question",
                                          [](const Question& question) { return question.name; });
  const auto designs = chosen<IndexDesign>(all_designs(), options.design, "design",
                                           [](const IndexDesign& design) { return design.name(); });
  if (questions.empty() || designs.empty()) {
    return 2;
  }
  const std::optional<std::vector<Asked>> asked_cells = ask_all(designs, questions, options);
  if (!asked_cells) {
    return 1;
  }
  const std::vector<Asked>& cells = *asked_cells;
  const int status = all_accounted_for(cells) ? 0 : 1;
  if (options.json) {
    fmt::print("{}\n", document_of(questions, cells, options).dump(2));
    return status;
  }

  const Table table(options);
  table.head(questions);
  for (auto first = cells.begin(); first != cells.end(); first += static_cast<std::ptrdiff_t>(questions.size())) {
    std::vector<const Asked*> row;
    row.reserve(questions.size());
    for (std::size_t column = 0; column < questions.size(); ++column) {
      row.push_back(&first[static_cast<std::ptrdiff_t>(column)]);
    }
    table.row(row);
  }
  table.foot(questions);
  for (const Asked& asked : cells) {
    if (options.verbose) {
      table.story(asked);
    }
    if (!asked.as_expected()) {
      table.difference(asked);
    }
  }
  return status;
}

}  // namespace daxsim::cli
