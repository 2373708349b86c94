// SPDX-License-Identifier: BSD-3-Clause
// How fast the states of power cuts are visited: a workload of 200 programs and erases is recorded once; one item is one
// cut state, made, powered on and looked at. Small parts of 16 KiB, and the parts as they are (32, 128 and 16 MiB). Beside
// it what the states cost by way of whole contents.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/base/random.hpp"
#include "daxsim/sim_devices/nor_power_cuts.hpp"

namespace {

using namespace daxsim;

constexpr std::uint64_t kOperations = 200;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "bench_nor: %s\n", std::string(errno_text(result.error())).c_str());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

// Four blocks of 1 KiB and three of 4 KiB.
constexpr sim::NorPart small(sim::NorPart part) {
  const auto erase = part.regions[0].erase;
  part.regions = {
      {{.blocks = 4, .block_bytes = 1 << 10, .erase = erase}, {.blocks = 3, .block_bytes = 4 << 10, .erase = erase}}};
  return part;
}

// One operation in five is an erase. The same few blocks all over the flash, as a log has them.
void work(sim::Mtd& mtd) {
  must(mtd.unlock({0, mtd.size()}));
  Random random(7);
  const std::uint64_t unit = mtd.part().buffer_bytes;
  std::vector<std::byte> data(unit);
  while (mtd.operations() < kOperations) {
    const std::uint64_t at = random.below(mtd.size() / unit) * unit;
    if (random.one_in(5)) {
      must(mtd.erase(mtd.erase_block(at)));
      continue;
    }
    std::ranges::generate(data, [&random] { return std::byte(random.below(256)); });
    must(mtd.start_program(at, data));
    // On a part that refuses ones a program over another one fails.
    static_cast<void>(mtd.wait(at).ok());
  }
}

struct Recorded {
  explicit Recorded(const sim::NorPart& part) : media(must(sim::open(sim::NorFlash{.part = part}))), cuts(media) {
    const auto mtd = must(cuts.record(clock));
    work(*mtd);
  }
  std::shared_ptr<sim::NorMedia> media;
  VirtualClock clock;
  sim::NorPowerCuts cuts;
};

// All states in order, over and over. Each is powered on, and `bytes` are read at what is in flight.
void cut_states(benchmark::State& state, const sim::NorPart& part) {
  Recorded recorded(part);
  const std::vector<sim::NorCutId> ids = must(recorded.cuts.ids());
  std::vector<std::byte> bytes(static_cast<std::size_t>(state.range(0)));
  for (std::size_t i = 0; auto _ : state) {
    const sim::NorCutId id = ids[i++ % ids.size()];
    const PowerCut choice = must(recorded.cuts.choice(id));
    VirtualClock clock;
    const auto mtd = must(recorded.cuts.power_on(id, clock));
    const std::uint64_t at = choice.lines.empty() ? 0 : choice.lines[0].offset;
    must(mtd->read(std::min(at, mtd->size() - bytes.size()), bytes));
    benchmark::DoNotOptimize(bytes.data());
  }
  state.SetItemsProcessed(state.iterations());
  state.counters["states"] = static_cast<double>(ids.size());
}
BENCHMARK_CAPTURE(cut_states, small_p30, small(sim::parts::p30))->ArgName("read")->Arg(64)->Arg(16 << 10);
BENCHMARK_CAPTURE(cut_states, small_s29gl_p, small(sim::parts::s29gl_p))->ArgName("read")->Arg(64)->Arg(16 << 10);
BENCHMARK_CAPTURE(cut_states, small_w25q, small(sim::parts::w25q))->ArgName("read")->Arg(64)->Arg(16 << 10);
BENCHMARK_CAPTURE(cut_states, p30, sim::parts::p30)->ArgName("read")->Arg(64)->Arg(128 << 10);
BENCHMARK_CAPTURE(cut_states, s29gl_p, sim::parts::s29gl_p)->ArgName("read")->Arg(64)->Arg(128 << 10);
BENCHMARK_CAPTURE(cut_states, w25q, sim::parts::w25q)->ArgName("read")->Arg(64)->Arg(128 << 10);

// The states of one torn program by way of contents_after, restore and power_on: what a state costs that is a whole copy.
void whole_copies(benchmark::State& state, const sim::NorPart& part) {
  VirtualClock clock;
  const auto media = must(sim::open(sim::NorFlash{.part = part}));
  const auto after = must(sim::open(sim::NorFlash{.part = part}));
  const auto mtd = must(sim::Mtd::power_on(media, clock));
  must(mtd->unlock({0, mtd->size()}));
  must(mtd->start_program(0, std::vector<std::byte>(part.buffer_bytes)));
  for (std::uint32_t outcome = 0; auto _ : state) {
    const PowerCut choice{.kind = PowerCut::Kind::listed, .lines = {{.offset = 0, .outcome = outcome++ % 8}}};
    must(after->restore(must(mtd->contents_after(choice))));
    VirtualClock after_clock;
    benchmark::DoNotOptimize(must(sim::Mtd::power_on(after, after_clock)));
  }
  state.SetItemsProcessed(state.iterations());
}
BENCHMARK_CAPTURE(whole_copies, small_p30, small(sim::parts::p30));
BENCHMARK_CAPTURE(whole_copies, p30, sim::parts::p30);

// The same workload without and with a recording. One item is one operation.
void operations(benchmark::State& state) {
  const auto media = must(sim::open(sim::NorFlash{.part = small(sim::parts::p30)}));
  sim::NorPowerCuts cuts(media);
  for (auto _ : state) {
    VirtualClock clock;
    const auto mtd = must(state.range(0) == 0 ? sim::Mtd::power_on(media, clock) : cuts.record(clock));
    work(*mtd);
  }
  state.SetItemsProcessed(state.iterations() * static_cast<std::int64_t>(kOperations));
}
BENCHMARK(operations)->ArgName("recorded")->Arg(0)->Arg(1);

}  // namespace
