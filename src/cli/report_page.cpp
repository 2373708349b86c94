// SPDX-License-Identifier: BSD-3-Clause
#include "cli/report_page.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <iterator>
#include <set>
#include <string_view>
#include <utility>

#include "cli/matrix.hpp"
#include "lab/plot.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;
using lab::html_text;
using lab::Verdict;

// --- the matrix ---

void check_object(const Json& json, std::string_view name) {
  if (!json.is_object()) {
    throw BadDocument(fmt::format("\"{}\" is no object", name));
  }
}

Verdict verdict_of(const std::string& name) {
  for (const Verdict verdict : {Verdict::holds, Verdict::refused, Verdict::not_applicable, Verdict::harm}) {
    if (name == lab::verdict_name(verdict)) {
      return verdict;
    }
  }
  throw BadDocument(fmt::format("there is no verdict \"{}\"", name));
}

MatrixPage::Cell read_cell(const Json& json) {
  MatrixPage::Cell cell{.verdict = verdict_of(json.at("verdict").get<std::string>()),
                        .text = json.at("text").get<std::string>(),
                        .expected = json.at("expected").get<std::string>(),
                        .as_expected = json.at("as_expected").get<bool>(),
                        .because = {},
                        .story = {}};
  if (json.contains("because")) {
    cell.because = json.at("because").get<std::string>();
  }
  if (json.contains("story")) {
    cell.story = json.at("story").get<std::vector<std::string>>();
  }
  return cell;
}

std::optional<MatrixPage::CostsPerPage> read_costs(const Json& row) {
  const auto cell = row.find(kCostQuestion);
  if (cell == row.end() || !cell->contains("costs")) {
    return std::nullopt;
  }
  const Json& costs = cell->at("costs");
  const auto pages = costs.at("pages").get<double>();
  if (pages <= 0) {
    throw BadDocument("costs of no pages");
  }
  return MatrixPage::CostsPerPage{.lookups = costs.at("lookups").get<double>() / pages,
                                  .locks = costs.at("locks").get<double>() / pages,
                                  .index_bytes = costs.at("index_bytes").get<double>() / pages};
}

// --- the benchmarks ---

constexpr std::array<const char*, 4> kCosts{"insert", "refault", "fsync", "teardown"};

std::uint64_t number_in(std::string_view text) {
  std::uint64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size()) {
    throw BadDocument(fmt::format("\"{}\" in the name of a benchmark is no number", text));
  }
  return number;
}

// "design:pfn/adapter:linear/pages:65536/extent:1/manual_time"; nothing when it is another benchmark's.
std::optional<Measured> named(std::string_view name) {
  if (!name.starts_with("design:")) {
    return std::nullopt;
  }
  std::map<std::string_view, std::string_view> parts;
  while (!name.empty()) {
    const std::string_view part = name.substr(0, name.find('/'));
    name.remove_prefix(std::min(name.size(), part.size() + 1));
    if (const std::size_t colon = part.find(':'); colon != std::string_view::npos) {
      parts[part.substr(0, colon)] = part.substr(colon + 1);
    }
  }
  for (const char* const needed : {"adapter", "pages", "extent"}) {
    if (!parts.contains(needed)) {
      throw BadDocument(fmt::format("a benchmark of a design without \"{}:\" in its name", needed));
    }
  }
  return Measured{.design = std::string(parts["design"]),
                  .adapter = std::string(parts["adapter"]),
                  .pages = number_in(parts["pages"]),
                  .extent = number_in(parts["extent"]),
                  .per_page = {}};
}

double median(std::vector<double> values) {
  std::ranges::sort(values);
  const std::size_t middle = values.size() / 2;
  return values.size() % 2 == 1 ? values[middle] : (values[middle - 1] + values[middle]) / 2;
}

// --- drawing ---

// As in the table, then what the table does not have.
std::vector<std::string> designs_of(const MatrixPage& matrix, const std::vector<Measured>& measured) {
  std::set<std::string> left;
  std::ranges::transform(measured, std::inserter(left, left.end()), &Measured::design);
  std::vector<std::string> designs;
  for (const MatrixPage::Row& row : matrix.rows) {
    if (left.erase(row.design) != 0) {
      designs.push_back(row.design);
    }
  }
  designs.insert(designs.end(), left.begin(), left.end());
  return designs;
}

class Page {
 public:
  Page(const MatrixPage& matrix, const std::vector<Measured>& measured)
      : matrix_(matrix), measured_(measured), designs_(designs_of(matrix, measured)) {}

  std::string draw() {
    head();
    table();
    questions();
    costs();
    timelines();
    put("</main></body></html>\n");
    return std::move(html_);
  }
  // By adapter.
  std::map<std::string, std::string> draw_plots() {
    std::map<std::string, std::string> files;
    for (const std::string& adapter : adapters()) {
      plot_file(adapter);
      files[adapter] = std::exchange(html_, {});
    }
    return files;
  }

 private:
  template <class... Values>
  void put(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(html_), format, std::forward<Values>(values)...);
  }

  void head();
  void table();
  void table_cell(std::size_t row, std::size_t column);
  void questions();
  void costs();
  void plot_file(const std::string& adapter);
  void timelines();
  void timeline(const MatrixPage::Cell& cell);

  void colours();
  [[nodiscard]] std::set<std::string> adapters() const;
  // For each cost one over dirty pages and one over fragmentation.
  [[nodiscard]] std::vector<lab::Plot> plots_of(const std::string& adapter) const;

  static bool is_bad(const MatrixPage::Cell& cell) { return cell.verdict == Verdict::harm || !cell.as_expected; }
  static std::string id_of(std::size_t row, std::size_t column) { return fmt::format("cell-{}-{}", row, column); }
  [[nodiscard]] const Measured* find(const std::string& design, const std::string& adapter, std::uint64_t pages,
                                     std::uint64_t extent) const;
  [[nodiscard]] std::optional<double> nanoseconds(const std::string& design, const std::string& adapter,
                                                  std::uint64_t pages, std::uint64_t extent, const char* cost) const;

  const MatrixPage& matrix_;
  const std::vector<Measured>& measured_;
  const std::vector<std::string> designs_;  // of the plots, in the order of their colours
  std::string html_;
};

// Of pages, and of plots that are files of their own.
constexpr std::string_view kPlotStyle = R"css(
:root { color-scheme: light dark; --text: #1d2126; --quiet: #5b6570; --back: #ffffff; --line: #d5dae0; --event: #f4f6f8;
  --holds: #d9f0de; --refused: #fbeec2; --harm: #f8d2cf; --harm-text: #8c1710;
  --c0: #0072b2; --c1: #d55e00; --c2: #009e73; --c3: #cc79a7; --c4: #8a6d00; --c5: #111111; --c6: #56b4e9; --c7: #7a3fb5; --c8: #888888; }
@media (prefers-color-scheme: dark) {
  :root { --text: #e6e9ec; --quiet: #9aa5b1; --back: #16191d; --line: #3a424b; --event: #20252b;
    --holds: #1d3d26; --refused: #4a3d10; --harm: #58201c; --harm-text: #ffb4ad;
    --c0: #4aa8e0; --c1: #ff8a3d; --c2: #35c79b; --c3: #e6a0c8; --c4: #e0c030; --c5: #ffffff; --c6: #9ad6f7; --c7: #b98be8; --c8: #aaaaaa; } }
)css"
                                        R"css(svg text { font: 10px system-ui, sans-serif; fill: var(--quiet); }
svg .title { font-size: 11px; fill: var(--text); }
svg .grid { stroke: var(--line); } svg polyline { fill: none; stroke-width: 1.5; }
)css";
constexpr std::string_view kStyle = R"css(
body { margin: 0; font: 15px/1.5 system-ui, sans-serif; color: var(--text); background: var(--back); }
main { max-width: 1400px; margin: 0 auto; padding: 1.5rem; }
.wide { overflow-x: auto; }
table { border-collapse: collapse; font-size: 13px; }
th, td { border: 1px solid var(--line); padding: .3em .5em; text-align: left; vertical-align: top; }
td.number { text-align: right; font-variant-numeric: tabular-nums; }
td.holds { background: var(--holds); } td.refused { background: var(--refused); }
td.harm { background: var(--harm); } td.harm, td.harm a { color: var(--harm-text); font-weight: 600; }
a { color: inherit; } .quiet { color: var(--quiet); }
.plots { display: flex; flex-wrap: wrap; gap: 1rem; } .plots svg { width: 320px; }
.legend span { margin-right: 1.2em; white-space: nowrap; } .legend i { display: inline-block; width: 1.2em; height: .3em; margin-right: .4em; vertical-align: middle; }
.timeline { table-layout: fixed; width: 100%; } .timeline th { font-weight: 600; }
.timeline td { border-top: 0; border-bottom: 0; padding: .1em .5em; overflow-wrap: anywhere; }
.timeline td.event { background: var(--event); } .timeline small { color: var(--quiet); font-family: ui-monospace, monospace; font-size: 11px; }
.timeline .seen th { background: var(--harm); color: var(--harm-text); }
)css";
constexpr std::size_t kColours = 9;

void Page::colours() {
  for (std::size_t colour = 0; colour < kColours; ++colour) {
    put("svg .s{0} polyline {{ stroke: var(--c{0}); }} svg .s{0} circle, .legend .s{0} {{ fill: var(--c{0}); "
        "background: var(--c{0}); }}\n",
        colour);
  }
}

void Page::head() {
  put("<!doctype html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">"
      "<title>daxsim: index designs</title>\n<style>{}{}",
      kPlotStyle, kStyle);
  colours();
  put("</style></head>\n<body><main><h1>Index designs</h1>\n"
      "<p>One word per page of a file must lead a flush back to the memory that was stored to. Each row is a\n"
      "design of that word, each column a question: a machine of its own, something that happens to it, a power\n"
      "cut, a look at what is left. Era {}. {}</p>\n",
      html_text(matrix_.era),
      matrix_.ok ? "Every cell is as expected before it first ran, or its difference is explained."
                 : "<strong>Some cells are not as expected, and nobody has explained why.</strong>");
}

// --- the table ---

void Page::table() {
  put("<h2 id=\"matrix\">What each design does</h2>\n<div class=\"wide\"><table><thead><tr><th>design</th>");
  for (std::size_t column = 0; column < matrix_.questions.size(); ++column) {
    put("<th><a href=\"#question-{}\">{}</a></th>", column, html_text(matrix_.questions[column].name));
  }
  put("<th>look-ups</th><th>locks</th><th>index bytes</th></tr></thead>\n<tbody>\n");
  for (std::size_t row = 0; row < matrix_.rows.size(); ++row) {
    put("<tr><th>{}</th>", html_text(matrix_.rows[row].design));
    for (std::size_t column = 0; column < matrix_.questions.size(); ++column) {
      table_cell(row, column);
    }
    if (const auto& costs = matrix_.rows[row].costs) {
      put(R"(<td class="number">{:g}</td><td class="number">{:g}</td><td class="number">{:.1f}</td>)", costs->lookups,
          costs->locks, costs->index_bytes);
    } else {
      put("<td></td><td></td><td></td>");
    }
    put("</tr>\n");
  }
  put("</tbody></table></div>\n"
      "<p class=\"quiet\"><b>holds</b>: the promised bytes are there. <b>EIO</b>, <b>SIGBUS</b>: refused, and the\n"
      "program was told. Red: harm was done, and nobody was told; the cell leads to how. *: not as expected. The\n"
      "last three columns are per dirty page of {}.</p>\n",
      html_text(kCostQuestion));
}

void Page::table_cell(std::size_t row, std::size_t column) {
  const std::optional<MatrixPage::Cell>& cell = matrix_.rows[row].cells[column];
  if (!cell) {
    return put("<td></td>");
  }
  constexpr std::array<const char*, 4> kClasses{"holds", "refused", "not-applicable", "harm"};
  constexpr std::string_view kRefused = "refused: ";
  std::string_view text = cell->text;
  if (text.starts_with(kRefused)) {
    text.remove_prefix(kRefused.size());
  }
  const std::string shown = html_text(text) + (cell->as_expected ? "" : " *");
  const char* const style = kClasses.at(static_cast<unsigned>(cell->verdict));
  if (is_bad(*cell)) {
    put(R"(<td class="{}"><a href="#{}">{}</a></td>)", style, id_of(row, column), shown);
  } else {
    put("<td class=\"{}\">{}</td>", style, shown);
  }
}

void Page::questions() {
  put("<h2>The questions</h2>\n<dl>\n");
  for (std::size_t column = 0; column < matrix_.questions.size(); ++column) {
    put("<dt id=\"question-{}\"><b>{}</b></dt><dd>{}</dd>\n", column, html_text(matrix_.questions[column].name),
        html_text(matrix_.questions[column].asks));
  }
  put("</dl>\n");
}

// --- plots ---

const Measured* Page::find(const std::string& design, const std::string& adapter, std::uint64_t pages,
                           std::uint64_t extent) const {
  const auto found = std::ranges::find_if(measured_, [&](const Measured& each) {
    return each.design == design && each.adapter == adapter && each.pages == pages && each.extent == extent;
  });
  return found == measured_.end() ? nullptr : &*found;
}

// What pfn took, times how much longer the design took in turn with it.
std::optional<double> Page::nanoseconds(const std::string& design, const std::string& adapter, std::uint64_t pages,
                                        std::uint64_t extent, const char* cost) const {
  const Measured* const ours = find(design, adapter, pages, extent);
  const Measured* const pfn = find("pfn", adapter, pages, extent);
  if (ours == nullptr || pfn == nullptr) {
    return std::nullopt;
  }
  const double of_pfn = pfn->per_page.at(std::string(cost) + "_ns");
  return ours == pfn ? of_pfn : of_pfn * ours->per_page.at(std::string(cost) + "_ratio");
}

std::string pages_text(std::uint64_t pages) {
  constexpr std::uint64_t kKilo = 1U << 10;
  constexpr std::uint64_t kMega = 1U << 20;
  const bool mega = pages % kMega == 0;
  const bool kilo = pages % kKilo == 0;
  return mega ? fmt::format("{}M", pages / kMega) : kilo ? fmt::format("{}k", pages / kKilo) : std::to_string(pages);
}
std::string extent_text(std::uint64_t pages) {
  return pages == 0 ? std::string("one extent") : fmt::format("{} KiB", pages * 4);
}

std::set<std::string> Page::adapters() const {
  std::set<std::string> names;
  std::ranges::transform(measured_, std::inserter(names, names.end()), &Measured::adapter);
  return names;
}

void Page::costs() {
  if (measured_.empty()) {
    return;
  }
  put("<h2>What it costs</h2>\n"
      "<p>Nanoseconds per page: <b>insert</b>, the first store to a page; <b>refault</b>, a store when the entry\n"
      "is there and the page-table entry is gone; <b>fsync</b> of a dirty page, without the flush itself;\n"
      "<b>teardown</b>, when the device goes. Each design ran in turn with pfn: a point is the median of pfn times\n"
      "the median of the ratio, so that what else the machine did hits both alike.</p>\n<p class=\"legend\">");
  for (std::size_t design = 0; design < designs_.size(); ++design) {
    put("<span><i class=\"s{}\"></i>{}</span>", design % kColours, html_text(designs_[design]));
  }
  put("</p>\n");
  for (const std::string& adapter : adapters()) {
    put("<h3>{}</h3>\n<div class=\"plots\">\n", html_text(adapter));
    for (const lab::Plot& plot : plots_of(adapter)) {
      put("{}", lab::svg(plot));
    }
    put("</div>\n");
  }
}

void Page::plot_file(const std::string& adapter) {
  constexpr int kAcross = 2;
  constexpr int kWidth = 330;
  constexpr int kHeight = 210;
  constexpr int kLegend = 60;
  constexpr int kNames = 5;  // of the legend, in one line
  const std::vector<lab::Plot> plots = plots_of(adapter);
  const int height = kLegend + kHeight * static_cast<int>((plots.size() + kAcross - 1) / kAcross);
  put(R"(<svg xmlns="http://www.w3.org/2000/svg" width="{0}" height="{1}" viewBox="0 0 {0} {1}">)", kAcross * kWidth,
      height);
  put("\n<style>{}", kPlotStyle);
  colours();
  put(R"svg(</style><rect width="100%" height="100%" style="fill: var(--back)"/>)svg");
  put(R"(<text x="4" y="14" class="title">{}</text>)", html_text(adapter));
  for (std::size_t design = 0; design < designs_.size(); ++design) {
    const auto place = static_cast<int>(design);
    put(R"(<g class="s{}"><circle cx="{}" cy="{}" r="3"/></g><text x="{}" y="{}">{}</text>)", design % kColours,
        10 + place % kNames * 130, 26 + place / kNames * 14, 18 + place % kNames * 130, 30 + place / kNames * 14,
        html_text(designs_[design]));
  }
  for (std::size_t number = 0; number < plots.size(); ++number) {
    const auto place = static_cast<int>(number);
    put("\n"
        R"(<svg x="{}" y="{}" width="320" height="200">{}</svg>)",
        place % kAcross * kWidth, kLegend + place / kAcross * kHeight, lab::svg(plots[number]));
  }
  put("</svg>\n");
}

std::vector<lab::Plot> Page::plots_of(const std::string& adapter) const {
  std::set<std::uint64_t> sizes;
  std::set<std::uint64_t> extents;
  for (const Measured& each : measured_) {
    if (each.adapter == adapter) {
      sizes.insert(each.pages);
      extents.insert(each.extent == 0 ? ~std::uint64_t{0} : each.extent);  // the longest is last
    }
  }
  const auto extent_of = [](std::uint64_t in_set) { return in_set == ~std::uint64_t{0} ? 0 : in_set; };
  const std::uint64_t longest = extent_of(*extents.rbegin());
  // The largest that was measured with every fragmentation, if there is one.
  std::uint64_t most = *sizes.begin();
  for (const std::uint64_t pages : sizes) {
    const bool all = std::ranges::all_of(
        extents, [&](std::uint64_t extent) { return find("pfn", adapter, pages, extent_of(extent)) != nullptr; });
    most = all ? pages : most;
  }
  std::vector<lab::Plot> plots;
  for (const char* const cost : kCosts) {
    lab::Plot by_pages{.title = fmt::format("{}, by dirty pages ({})", cost, extent_text(longest)),
                       .unit = "ns",
                       .places = {},
                       .series = {}};
    lab::Plot by_extent{.title = fmt::format("{}, by fragmentation ({} pages)", cost, pages_text(most)),
                        .unit = "ns",
                        .places = {},
                        .series = {}};
    std::ranges::transform(sizes, std::back_inserter(by_pages.places), &pages_text);
    std::ranges::transform(extents, std::back_inserter(by_extent.places),
                           [&](std::uint64_t extent) { return extent_text(extent_of(extent)); });
    for (std::size_t index = 0; index < designs_.size(); ++index) {
      const std::string& design = designs_[index];
      lab::Series over_pages{.name = design, .colour = index % kColours, .heights = {}};
      lab::Series over_extents = over_pages;
      for (const std::uint64_t pages : sizes) {
        over_pages.heights.push_back(nanoseconds(design, adapter, pages, longest, cost));
      }
      for (const std::uint64_t extent : extents) {
        over_extents.heights.push_back(nanoseconds(design, adapter, most, extent_of(extent), cost));
      }
      by_pages.series.push_back(std::move(over_pages));
      by_extent.series.push_back(std::move(over_extents));
    }
    plots.push_back(std::move(by_pages));
    plots.push_back(std::move(by_extent));
  }
  return plots;
}

// --- timelines ---

// Events are indented; the other lines of a story are steps.
constexpr std::string_view kIndent = "    ";
bool is_event(std::string_view line) { return line.starts_with(kIndent); }

// "259:1" of "dax_flush: size=4096 (dev 259:1)"; empty when the event names no device.
std::string_view device_of(std::string_view event) {
  constexpr std::string_view kDev = "dev ";
  const std::size_t at = event.find(kDev);
  if (at == std::string_view::npos) {
    return {};
  }
  event.remove_prefix(at + kDev.size());
  return event.substr(0, std::min(event.size(), event.find_first_not_of("0123456789:")));
}

void Page::timelines() {
  put("<h2>What led there</h2>\n"
      "<p>Steps of the question over the whole width, and what the machine did meanwhile: each event in the lane\n"
      "of the device that it names.</p>\n");
  for (std::size_t row = 0; row < matrix_.rows.size(); ++row) {
    for (std::size_t column = 0; column < matrix_.questions.size(); ++column) {
      const std::optional<MatrixPage::Cell>& cell = matrix_.rows[row].cells[column];
      if (!cell || !is_bad(*cell)) {
        continue;
      }
      put("<section id=\"{}\"><h3>{} / {}: {}</h3>\n", id_of(row, column), html_text(matrix_.rows[row].design),
          html_text(matrix_.questions[column].name), html_text(cell->text));
      put("<p>{} <a href=\"#matrix\">Back to the table</a></p>\n", html_text(matrix_.questions[column].asks));
      if (!cell->as_expected) {
        put("<p>Expected was {}. {}</p>\n", cell->expected.empty() ? "nothing" : html_text(cell->expected),
            cell->because.empty() ? "<strong>Nobody has explained this.</strong>" : html_text(cell->because));
      }
      timeline(*cell);
      put("</section>\n");
    }
  }
}

void Page::timeline(const MatrixPage::Cell& cell) {
  if (cell.story.empty()) {
    return put("<p class=\"quiet\">No story: the matrix was asked without <code>-v</code>.</p>\n");
  }
  std::vector<std::string_view> lanes;
  for (const std::string& line : cell.story) {
    if (is_event(line) && std::ranges::find(lanes, device_of(line)) == lanes.end()) {
      lanes.push_back(device_of(line));
    }
  }
  std::ranges::sort(lanes);  // the lane of no device first
  put("<table class=\"timeline\"><thead><tr>");
  for (const std::string_view lane : lanes) {
    put("<th>{}</th>", lane.empty() ? "machine" : fmt::format("device {}", html_text(lane)));
  }
  put("</tr></thead><tbody>\n");
  for (std::string_view line : cell.story) {
    if (!is_event(line)) {
      put("<tr{}><th colspan=\"{}\">{}</th></tr>\n", line.starts_with("seen: ") ? " class=\"seen\"" : "",
          std::max<std::size_t>(lanes.size(), 1), html_text(line));
      continue;
    }
    line.remove_prefix(kIndent.size());
    const std::size_t colon = std::min(line.find(':'), line.size());
    put("<tr>");
    for (const std::string_view lane : lanes) {
      if (lane == device_of(line)) {
        put("<td class=\"event\">{} <small>{}</small></td>", html_text(line.substr(0, colon)),
            html_text(line.substr(std::min(colon + 1, line.size()))));
      } else {
        put("<td></td>");
      }
    }
    put("</tr>\n");
  }
  put("</tbody></table>\n");
}

}  // namespace

MatrixPage read_matrix(const nlohmann::ordered_json& document) {
  const auto schema = document.at("schema").get<std::string>();
  if (schema != kMatrixSchema) {
    throw BadDocument(fmt::format(R"(its schema is "{}", and "{}" was wanted)", schema, kMatrixSchema));
  }
  MatrixPage page{
      .era = document.at("era").get<std::string>(), .ok = document.at("ok").get<bool>(), .questions = {}, .rows = {}};
  const Json& questions = document.at("questions");
  check_object(questions, "questions");
  for (const auto& question : questions.items()) {
    page.questions.push_back({.name = question.key(), .asks = question.value().get<std::string>()});
  }
  const Json& rows = document.at("cells");
  check_object(rows, "cells");
  for (const auto& cells : rows.items()) {
    check_object(cells.value(), cells.key());
    MatrixPage::Row row{.design = cells.key(), .cells = {}, .costs = read_costs(cells.value())};
    for (const MatrixPage::Question& question : page.questions) {
      const auto cell = cells.value().find(question.name);
      row.cells.push_back(cell == cells.value().end() ? std::nullopt : std::optional(read_cell(*cell)));
    }
    page.rows.push_back(std::move(row));
  }
  return page;
}

std::vector<Measured> read_bench(const nlohmann::ordered_json& document) {
  struct Values {
    Measured what;
    std::map<std::string, std::vector<double>> each;
    std::map<std::string, double> medians;  // of a file that has aggregates only
  };
  std::vector<std::string> order;
  std::map<std::string, Values> found;
  for (const nlohmann::ordered_json& run : document.at("benchmarks")) {
    const auto name = run.at("run_name").get<std::string>();
    const std::optional<Measured> what = named(name);
    const bool one = run.at("run_type") == "iteration";
    if (!what || run.contains("error_occurred") || !(one || run.at("aggregate_name") == "median")) {
      continue;
    }
    auto [values, fresh] = found.try_emplace(name, Values{.what = *what, .each = {}, .medians = {}});
    if (fresh) {
      order.push_back(name);
    }
    for (const char* const cost : kCosts) {
      for (const char* const kind : {"_ns", "_ratio"}) {
        const std::string counter = std::string(cost) + kind;
        const auto value = run.at(counter).get<double>();
        if (one) {
          values->second.each[counter].push_back(value);
        } else {
          values->second.medians[counter] = value;
        }
      }
    }
  }
  if (order.empty()) {
    throw BadDocument("there is no benchmark of bench_designs in it");
  }
  std::vector<Measured> measured;
  for (const std::string& name : order) {
    Values& values = found.at(name);
    values.what.per_page = values.medians;
    for (const auto& [counter, each] : values.each) {
      values.what.per_page[counter] = median(each);
    }
    measured.push_back(std::move(values.what));
  }
  return measured;
}

std::string report_page(const MatrixPage& matrix, const std::vector<Measured>& measured) {
  return Page(matrix, measured).draw();
}

std::map<std::string, std::string> plot_files(const MatrixPage& matrix, const std::vector<Measured>& measured) {
  return Page(matrix, measured).draw_plots();
}

}  // namespace daxsim::cli
