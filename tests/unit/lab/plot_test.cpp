// SPDX-License-Identifier: BSD-3-Clause
#include "lab/plot.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace daxsim::test {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;
using ::testing::Not;

// Text stays text, in an element and in an attribute.
TEST(HtmlText, StandsForItself) {
  EXPECT_EQ(lab::html_text("<b a=\"1\" c='2'>&amp;"), "&lt;b a=&quot;1&quot; c=&#39;2&#39;&gt;&amp;amp;");
  EXPECT_EQ(lab::html_text("page 7 of /a"), "page 7 of /a");
}

// The scale ends at a round number that holds the highest point; a point is as high as its share of that.
TEST(Plot, HasARoundScaleFromZero) {
  const std::string svg = lab::svg(
      {.title = "t", .unit = "ns", .places = {"1k", "64k"}, .series = {{.name = "pfn", .heights = {100, 370}}}});
  EXPECT_THAT(svg, AllOf(HasSubstr(">0</text>"), HasSubstr(">400 ns</text>"), Not(HasSubstr(">500"))));
  // 24 of 200 above the scale and below: 0 is at 176, 400 at 24.
  EXPECT_THAT(svg, HasSubstr("cy=\"138.0\" r=\"3\"><title>pfn: 100.0 ns</title>"));
}

// What was not measured is left out: the line goes on behind it.
TEST(Plot, LeavesOutWhatIsNotThere) {
  const std::string svg = lab::svg(
      {.title = "t", .unit = "ns", .places = {"a", "b", "c"}, .series = {{.name = "x", .heights = {1, {}, 1}}}});
  EXPECT_THAT(svg, HasSubstr("<polyline points=\"91.3,24.0 264.7,24.0\"/>"));
}

// Nothing at all is a plot too, and so are zeros; names are text.
TEST(Plot, NothingToDraw) {
  EXPECT_THAT(lab::svg({.title = "<t>", .unit = "", .places = {}, .series = {}}), HasSubstr("&lt;t&gt;"));
  EXPECT_THAT(lab::svg({.title = "", .unit = "&", .places = {"<p>"}, .series = {{.name = "<s>", .heights = {0}}}}),
              AllOf(HasSubstr("&lt;p&gt;"), HasSubstr("&lt;s&gt;"), HasSubstr("cy=\"176.0\""), Not(HasSubstr("nan"))));
}

}  // namespace
}  // namespace daxsim::test
