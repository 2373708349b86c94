// SPDX-License-Identifier: BSD-3-Clause
// Plots for pages that need nothing but themselves: a line plot as inline SVG, and text for HTML.
#pragma once

#include <cstddef>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace lab {

// `text` with &, <, >, " and ' written so that they stand for themselves, also inside an attribute.
std::string html_text(std::string_view text);

struct Series {
  std::string name;                            // shown when the pointer is on a point
  std::size_t colour = 0;                      // class "s0", "s1", ...: the page says what that is
  std::vector<std::optional<double>> heights;  // one for each place of the plot, 0 or more; none: not measured
};

struct Plot {
  std::string title;
  std::string unit;                 // of the heights
  std::vector<std::string> places;  // along the x axis, at equal distances
  std::vector<Series> series;
};

// An <svg> element. Heights are drawn from 0, to a round number that no height is above.
std::string svg(const Plot& plot);

}  // namespace lab
DAXSIM_END
