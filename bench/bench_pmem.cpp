// SPDX-License-Identifier: BSD-3-Clause
// What the simulated persistence costs: translation, flush of clean and of dirty
// lines, fence. Beside it the copying of the same bytes, the least that a second copy of the memory can cost. Media and
// view are both in memory. One item is one page for translations, one line of 64 bytes for flushes.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/sim_devices/pmem.hpp"

namespace {

using namespace daxsim;

constexpr std::uint64_t kSize = std::uint64_t{256} << 20;
constexpr std::uint64_t kLinesPerPage = kPageSize / kCacheLine;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "bench_pmem: %s\n", std::string(errno_text(result.error())).c_str());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

enum class Content { holes, data };

// A new device with a view. Not a file on disk: the host's file system is not what is measured.
class Pmem {
 public:
  explicit Pmem(Content content = Content::holes) : file_(::memfd_create("media", MFD_CLOEXEC)) {
    if (content == Content::data) {
      const std::vector<char> bytes(kSize, 'd');
      if (::write(file_, bytes.data(), bytes.size()) != static_cast<ssize_t>(bytes.size())) {
        std::abort();
      }
    }
    device_ = must(sim::open({.path = "/proc/self/fd/" + std::to_string(file_), .size = kSize}));
    view_ = must(device_->make_view({arena_, clock_}));
  }
  ~Pmem() {
    must(view_->power_cut({}));
    view_.reset();
    device_.reset();
    ::close(file_);
  }
  Pmem(const Pmem&) = delete;
  Pmem& operator=(const Pmem&) = delete;

  DaxDevice& view() { return *view_; }
  std::uint64_t* line(std::uint64_t number) {
    const std::uint64_t page = number / kLinesPerPage;
    const auto memory = must(view_->direct_access({page}, 1, DaxMode::access));
    return reinterpret_cast<std::uint64_t*>(memory.kaddr + number % kLinesPerPage * kCacheLine);
  }

 private:
  const int file_;
  Arena arena_;
  VirtualClock clock_;
  std::shared_ptr<Device> device_;
  std::unique_ptr<DaxDevice> view_;
};

void set_items(benchmark::State& state, std::uint64_t per_iteration) {
  state.SetItemsProcessed(static_cast<std::int64_t>(per_iteration) * state.iterations());
}

// The first translation of each page, `range(0)` pages a call, of a new file (0) or of one with data (1).
void first_translation(benchmark::State& state) {
  const auto pages = static_cast<std::uint64_t>(state.range(0));
  const auto content = state.range(1) == 0 ? Content::holes : Content::data;
  auto pmem = std::make_unique<Pmem>(content);
  std::uint64_t page = 0;
  for (auto _ : state) {
    if (page + pages > kSize / kPageSize) {
      state.PauseTiming();
      pmem.reset();
      pmem = std::make_unique<Pmem>(content);
      page = 0;
      state.ResumeTiming();
    }
    benchmark::DoNotOptimize(must(pmem->view().direct_access({page}, pages, DaxMode::access)).kaddr);
    page += pages;
  }
  set_items(state, pages);
}
BENCHMARK(first_translation)->ArgNames({"pages", "data"})->Args({1, 0})->Args({512, 0})->Args({1, 1})->Args({512, 1});

// The same page of the same answer, once it is there.
void translation_again(benchmark::State& state) {
  const auto pages = static_cast<std::uint64_t>(state.range(0));
  Pmem pmem;
  must(pmem.view().direct_access({0}, pages, DaxMode::access));
  for (auto _ : state) {
    benchmark::DoNotOptimize(must(pmem.view().direct_access({0}, pages, DaxMode::access)).kaddr);
  }
}
BENCHMARK(translation_again)->ArgName("pages")->Arg(1)->Arg(512);

// A range of `range(0)` lines, none of which differs.
void flush_clean(benchmark::State& state) {
  const auto lines = static_cast<std::uint64_t>(state.range(0));
  Pmem pmem;
  for (std::uint64_t line = 0; line < lines; ++line) {
    *pmem.line(line) = line + 1;
  }
  must(pmem.view().flush({0, lines * kCacheLine}));
  pmem.view().fence();
  for (auto _ : state) {
    must(pmem.view().flush({0, lines * kCacheLine}));
  }
  set_items(state, lines);
}
BENCHMARK(flush_clean)->ArgName("lines")->Arg(1)->Arg(64)->Arg(64 * 512);

// A range of `range(0)` lines, all of which differ, and the fence. The stores are in it.
void flush_dirty(benchmark::State& state) {
  const auto lines = static_cast<std::uint64_t>(state.range(0));
  Pmem pmem;
  std::vector<std::uint64_t*> at;
  for (std::uint64_t line = 0; line < lines; ++line) {
    at.push_back(pmem.line(line));
  }
  std::uint64_t value = 0;
  for (auto _ : state) {
    ++value;
    for (std::uint64_t* line : at) {
      *line = value;
    }
    must(pmem.view().flush({0, lines * kCacheLine}));
    pmem.view().fence();
  }
  set_items(state, lines);
}
BENCHMARK(flush_dirty)->ArgName("lines")->Arg(1)->Arg(64)->Arg(64 * 512);

// The baseline: the same stores, and the lines copied to a second buffer.
void copy_lines(benchmark::State& state) {
  const auto lines = static_cast<std::uint64_t>(state.range(0));
  std::vector<std::uint64_t> from(lines * 8);
  std::vector<std::uint64_t> to(lines * 8);
  std::uint64_t value = 0;
  for (auto _ : state) {
    ++value;
    for (std::uint64_t line = 0; line < lines; ++line) {
      from[line * 8] = value;
    }
    std::memcpy(to.data(), from.data(), lines * kCacheLine);
    benchmark::ClobberMemory();
  }
  set_items(state, lines);
}
BENCHMARK(copy_lines)->ArgName("lines")->Arg(1)->Arg(64)->Arg(64 * 512);

// With nothing in the log.
void fence(benchmark::State& state) {
  Pmem pmem;
  for (auto _ : state) {
    pmem.view().fence();
  }
}
BENCHMARK(fence);

// One line of one page in `range(0)` touched pages, spread over the device: the walk over what is touched.
void flush_everything_sparse(benchmark::State& state) {
  const auto pages = static_cast<std::uint64_t>(state.range(0));
  Pmem pmem;
  for (std::uint64_t i = 0; i < pages; ++i) {
    pmem.line(i * (kSize / kCacheLine / pages));
  }
  std::uint64_t value = 0;
  for (auto _ : state) {
    *pmem.line(0) = ++value;
    must(pmem.view().flush({0, kSize}));
    pmem.view().fence();
  }
}
BENCHMARK(flush_everything_sparse)->ArgName("touched")->Arg(1)->Arg(1024);

}  // namespace
