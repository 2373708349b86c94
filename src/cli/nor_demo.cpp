// SPDX-License-Identifier: BSD-3-Clause
#include "cli/nor_demo.hpp"

#include <fmt/format.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <nlohmann/json.hpp>
#include <optional>
#include <stdexcept>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "cli/busy_names.hpp"
#include "daxsim/adapters/xip.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"

namespace daxsim::cli {
namespace {

using Json = nlohmann::ordered_json;
using Time = std::chrono::nanoseconds;

constexpr std::uint8_t kCode = 0x7f;

enum class Meanwhile : std::uint8_t { erase, program, suspended };

struct Fetch {
  sim::Busy busy{};
  Meanwhile meanwhile{};
  std::optional<Errno> refused{};  // by the driver: nothing was going on then
  unsigned value = 0;
  Time latency{};  // of the load
  Time extra{};    // how much later the operation ended
  std::uint64_t findings = 0;
};

constexpr std::array<std::pair<Meanwhile, std::string_view>, 3> kCases{
    {{Meanwhile::erase, "erase"}, {Meanwhile::program, "program"}, {Meanwhile::suspended, "suspended erase"}}};

template <class T>
T need(std::string_view what, Result<T> result) {
  if (!result.ok()) {
    throw std::runtime_error(fmt::format("{}: {} ({})", what, errno_name(result.error()), errno_text(result.error())));
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

// A machine whose code runs from a P30, in its first blocks; the last ones are changed.
class Board {
 public:
  explicit Board(sim::Busy busy) : nor_(need("attach", machine_.attach(sim::NorFlash{.while_busy = busy}))) {
    const std::vector<XipFile> files{{.name = "fw", .bytes = std::vector<std::byte>(kPageSize, std::byte{kCode})}};
    const std::vector<std::byte> image = need("build", XipFs::build(files, {.faults = {{"fw", {{0, 1}}}}}));
    need("unlock", mtd().unlock({0, nor_.size()}));
    need("program", mtd().program(0, image));
    fs_.emplace(need("mount", machine_.mount<XipFs>(nor_)));
    code_ = need("map", need("open", fs_->open("/fw", OpenMode::read_only)).map({.prot = Prot::read}));
    static_cast<void>(fetch());  // mapped from here on
  }
  [[nodiscard]] sim::Mtd& mtd() const { return sim::mtd(nor_.attachment()); }
  [[nodiscard]] Time now() const { return machine_.clock().now(); }
  [[nodiscard]] std::uint64_t findings() const { return machine_.findings().size(); }
  // The instruction fetch: a load of the CPU.
  [[nodiscard]] unsigned fetch() const { return *reinterpret_cast<const volatile std::uint8_t*>(code_.data()); }

  Result<void> begin(Meanwhile what) {
    const std::uint64_t last = mtd().erase_block(nor_.size() - 1).offset;
    if (what == Meanwhile::program) {
      return mtd().start_program(last, std::vector<std::byte>(mtd().part().buffer_bytes));
    }
    DAXSIM_TRY_VOID(mtd().start_erase(last));
    return what == Meanwhile::suspended ? mtd().suspend(last) : Result<void>();
  }
  // Of what begin() begins.
  [[nodiscard]] Time typical(Meanwhile what) const {
    const sim::NorPart& part = mtd().part();
    return what == Meanwhile::program ? part.program_byte * part.buffer_bytes : part.regions[1].erase;
  }
  void finish() { need("wait", mtd().wait(nor_.size() - 1)); }

 private:
  Machine machine_;
  DeviceHandle nor_;
  std::optional<FileSystem> fs_;
  Mapping code_;
};

Fetch fetch_while(sim::Busy busy, Meanwhile what) {
  Board board(busy);
  Fetch seen{.busy = busy, .meanwhile = what};
  const Time start = board.now();
  if (const Result<void> begun = board.begin(what); !begun.ok()) {
    seen.refused = begun.error();
  }
  const Time before = board.now();
  seen.value = board.fetch();
  seen.latency = board.now() - before;
  if (!seen.refused.has_value()) {
    board.finish();
    seen.extra = board.now() - start - board.typical(what);
  }
  seen.findings = board.findings();
  return seen;
}

bool behaved(const Fetch& fetch) {
  const bool gets_status = fetch.busy == sim::Busy::raw && fetch.meanwhile != Meanwhile::suspended;
  const bool is_refused = fetch.busy == sim::Busy::exclude;
  return gets_status == (fetch.value != kCode) && gets_status == (fetch.findings != 0) &&
         is_refused == fetch.refused.has_value();
}

std::string microseconds(Time time) {
  return fmt::format("{:.1f}", std::chrono::duration<double, std::micro>(time).count());
}

void print(const std::vector<Fetch>& fetches) {
  fmt::print(
      "A P30 whose last block is changed while code in its first ones is fetched, by a real load of a mapping.\n\n");
  fmt::print("{:<10}{:<18}{:<12}{:>14}{:>18}  {}\n", "policy", "meanwhile", "value", "latency, us", "writer later, us",
             "");
  for (const Fetch& fetch : fetches) {
    fmt::print("{:<10}{:<18}{:<12}{:>14}{:>18}  {}\n", busy_name(fetch.busy),
               kCases[static_cast<unsigned>(fetch.meanwhile)].second, fmt::format("0x{:02x}", fetch.value),
               microseconds(fetch.latency), fetch.refused.has_value() ? "-" : microseconds(fetch.extra),
               fetch.refused.has_value() ? fmt::format("the writer is refused: {}", errno_name(*fetch.refused))
               : fetch.findings != 0     ? "status read as data"
                                         : "");
  }
  fmt::print("\nThe code is 0x{:02x}. Times are of the virtual clock; a fault costs some of it.\n", kCode);
}

Json to_json(const std::vector<Fetch>& fetches, bool ok) {
  Json rows = Json::array();
  for (const Fetch& fetch : fetches) {
    Json row{{"policy", busy_name(fetch.busy)},
             {"meanwhile", kCases[static_cast<unsigned>(fetch.meanwhile)].second},
             {"value", fetch.value},
             {"latency_ns", fetch.latency.count()},
             {"status_read_as_data", fetch.findings != 0},
             {"ok", behaved(fetch)}};
    if (fetch.refused.has_value()) {
      row["refused"] = errno_name(*fetch.refused);
    } else {
      row["extra_ns"] = fetch.extra.count();
    }
    rows.push_back(std::move(row));
  }
  return {{"schema", "daxsim-demo-nor-1"}, {"ok", ok}, {"code", kCode}, {"fetches", rows}};
}

}  // namespace

int nor_demo(const NorDemoOptions& options) {
  std::vector<Fetch> fetches;
  bool ok = true;
  try {
    for (const sim::Busy busy : kBusyWays) {
      for (const auto& [meanwhile, name] : kCases) {
        fetches.push_back(fetch_while(busy, meanwhile));
        ok &= behaved(fetches.back());
      }
    }
  } catch (const std::exception& error) {
    fmt::print(stderr, "daxsim demo nor: {}\n", error.what());
    return 1;
  }
  if (options.json) {
    fmt::print("{}\n", to_json(fetches, ok).dump(2));
  } else {
    print(fetches);
  }
  return ok ? 0 : 1;
}

}  // namespace daxsim::cli
