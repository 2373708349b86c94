// SPDX-License-Identifier: BSD-3-Clause
#include "lab/plot.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cmath>
#include <iterator>

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr double kWidth = 320;
constexpr double kHeight = 200;
constexpr double kLeft = 48;
constexpr double kRight = 12;
constexpr double kTop = 24;
constexpr double kBottom = 24;
constexpr int kMostLines = 4;  // of the grid, above 0

// 1, 2 or 5 times a power of ten: kMostLines of it reach `highest`.
double step_for(double highest) {
  if (highest <= 0) {
    return 1;
  }
  const double least = highest / kMostLines;
  const double power = std::pow(10, std::floor(std::log10(least)));
  for (const double round : {1.0, 2.0, 5.0}) {
    if (round * power >= least) {
      return round * power;
    }
  }
  return 10 * power;
}

class Canvas {
 public:
  explicit Canvas(const Plot& plot)
      : plot_(plot), step_(step_for(highest())), lines_(std::max(1, static_cast<int>(std::ceil(highest() / step_)))) {}

  std::string draw() {
    put(R"(<svg viewBox="0 0 {} {}" role="img" aria-label="{}">)", kWidth, kHeight, html_text(plot_.title));
    put(R"(<text x="4" y="14" class="title">{}</text>)", html_text(plot_.title));
    for (int line = 0; line <= lines_; ++line) {
      const double height = step_ * line;
      put(R"(<line x1="{}" x2="{}" y1="{:.1f}" y2="{:.1f}" class="grid"/>)", kLeft, kWidth - kRight, y(height),
          y(height));
      put(R"(<text x="{}" y="{:.1f}" text-anchor="end">{:g}{}</text>)", kLeft - 6, y(height) + 4, height,
          line == lines_ ? " " + html_text(plot_.unit) : "");
    }
    for (std::size_t place = 0; place < plot_.places.size(); ++place) {
      put(R"(<text x="{:.1f}" y="{}" text-anchor="middle">{}</text>)", x(place), kHeight - 6,
          html_text(plot_.places[place]));
    }
    for (const Series& series : plot_.series) {
      draw(series);
    }
    put("</svg>\n");
    return std::move(svg_);
  }

 private:
  void draw(const Series& series) {
    std::string line;
    std::string points;
    for (std::size_t place = 0; place < series.heights.size(); ++place) {
      if (const std::optional<double> height = series.heights[place]) {
        line += fmt::format("{}{:.1f},{:.1f}", line.empty() ? "" : " ", x(place), y(*height));
        points += fmt::format(R"(<circle cx="{:.1f}" cy="{:.1f}" r="3"><title>{}: {:.1f} {}</title></circle>)",
                              x(place), y(*height), html_text(series.name), *height, html_text(plot_.unit));
      }
    }
    put(R"(<g class="s{}"><polyline points="{}"/>{}</g>)", series.colour, line, points);
  }

  template <class... Values>
  void put(fmt::format_string<Values...> format, Values&&... values) {
    fmt::format_to(std::back_inserter(svg_), format, std::forward<Values>(values)...);
  }
  [[nodiscard]] double highest() const {
    double found = 0;
    for (const Series& series : plot_.series) {
      for (const std::optional<double>& height : series.heights) {
        found = std::max(found, height.value_or(0));
      }
    }
    return found;
  }
  [[nodiscard]] double x(std::size_t place) const {
    const double width = (kWidth - kLeft - kRight) / static_cast<double>(std::max<std::size_t>(plot_.places.size(), 1));
    return kLeft + width * (static_cast<double>(place) + 0.5);
  }
  [[nodiscard]] double y(double height) const {
    return kHeight - kBottom - height / (step_ * lines_) * (kHeight - kTop - kBottom);
  }

  const Plot& plot_;
  const double step_;
  const int lines_;
  std::string svg_;
};

}  // namespace

std::string html_text(std::string_view text) {
  std::string out;
  for (const char letter : text) {
    switch (letter) {
      case '&':
        out += "&amp;";
        break;
      case '<':
        out += "&lt;";
        break;
      case '>':
        out += "&gt;";
        break;
      case '"':
        out += "&quot;";
        break;
      case '\'':
        out += "&#39;";
        break;
      default:
        out += letter;
    }
  }
  return out;
}

std::string svg(const Plot& plot) { return Canvas(plot).draw(); }

}  // namespace lab
DAXSIM_END
