// SPDX-License-Identifier: BSD-3-Clause
#include "lab/trace.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <map>
#include <nlohmann/json.hpp>
#include <set>
#include <string>

#include "daxsim/lab/scenario.hpp"

namespace daxsim::lab {
namespace {

using ::testing::Contains;
using ::testing::HasSubstr;

TracedRun traced(std::string_view text) {
  const auto scenario = parse_scenario(text, "t.scn");
  EXPECT_TRUE(scenario) << scenario.error().text();
  RunReport report = run(*scenario, {}, Keep::events);
  EXPECT_EQ(report.verdict, RunReport::Verdict::passed) << report.message;
  return {"t.scn", std::move(report.steps)};
}

constexpr std::string_view kStoreSyncCutReboot =
    "open -f kv\ntruncate 8k\nmmap 0 8k\nmwrite 0 1\nfsync\np2: open kv\np2: mmap 0 8k\np2: mread 0 "
    "1\npower-cut\nreboot\n"
    "mount\n";

TEST(PerfettoTrace, HasThreadsFaultsFlushesAndTheCut) {
  const auto json = nlohmann::json::parse(perfetto_trace(std::array{traced(kStoreSyncCutReboot)}));
  std::set<std::string> names;
  std::set<std::string> threads;
  bool cut_is_global = false;
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("ph") == "M") {
      threads.insert(event.at("args").at("name"));
      continue;
    }
    names.insert(event.at("name"));
    cut_is_global = cut_is_global || (event.at("name") == "power_cut" && event.at("s") == "g");
  }
  for (const char* name : {"mwrite 0 1", "PTE fault", "fsync", "dax_flush", "dax_writeback_one", "power_cut"}) {
    EXPECT_THAT(names, Contains(name));
  }
  for (const char* name : {"t.scn", "t.scn, reboot 1", "scenario", "task 1", "task 2", "device 259:0"}) {
    EXPECT_THAT(threads, Contains(name));
  }
  EXPECT_TRUE(cut_is_global);
}

TEST(PerfettoTrace, EverySliceThatBeginsEnds) {
  const auto json = nlohmann::json::parse(perfetto_trace(std::array{traced(kStoreSyncCutReboot)}));
  std::map<std::pair<int, int>, std::vector<std::string>> open;
  for (const auto& event : json.at("traceEvents")) {
    if (event.at("ph") == "M") {
      continue;
    }
    auto& stack = open[{event.at("pid"), event.at("tid")}];
    if (event.at("ph") == "B") {
      stack.push_back(event.at("name"));
    } else if (event.at("ph") == "E") {
      ASSERT_FALSE(stack.empty());
      EXPECT_EQ(stack.back(), event.at("name").get<std::string>());
      stack.pop_back();
    }
  }
  for (const auto& [thread, stack] : open) {
    EXPECT_TRUE(stack.empty());
  }
}

TEST(PerfettoTrace, OfNothingIsATraceToo) {
  EXPECT_TRUE(nlohmann::json::parse(perfetto_trace({})).at("traceEvents").empty());
}

TEST(TextTrace, HasStepsEventsAndResults) {
  const std::string text = text_trace(std::array{traced(kStoreSyncCutReboot)});
  EXPECT_THAT(text, HasSubstr(">> p1: mwrite 0 1\n"));
  EXPECT_THAT(text, HasSubstr("task 1: dax_pte_fault: dev 259:0 ino 0x1 shared WRITE"));
  EXPECT_THAT(text, HasSubstr("<< store +0x0 ok pte=pfn:"));
}

}  // namespace
}  // namespace daxsim::lab
