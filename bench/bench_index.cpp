// SPDX-License-Identifier: BSD-3-Clause
// The index by itself: insert, load, erase and tagged scan, for sequential and random page offsets, beside the usual
// alternatives of a user program. One item is one page offset. Lock and memory allocation are part of what is measured,
// as they are in a fault. The counter bytes/entry is what the structure asks its allocator for.
#include <benchmark/benchmark.h>

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <unordered_map>
#include <utility>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/index/xarray.hpp"

namespace {

using daxsim::Arena;
using daxsim::Entry;
using daxsim::Mark;
using daxsim::MutexLock;
using daxsim::Pgoff;
using daxsim::Random;
using daxsim::XArray;
using daxsim::XCursor;

enum Order : std::int64_t { sequential, shuffled };

// All page offsets below `count`, once each.
std::vector<std::uint64_t> offsets(std::int64_t count, std::int64_t order) {
  std::vector<std::uint64_t> all(static_cast<std::size_t>(count));
  std::iota(all.begin(), all.end(), std::uint64_t{0});
  if (order == shuffled) {
    Random random(1);
    for (std::size_t left = all.size(); left > 1; --left) {
      std::swap(all[left - 1], all[random.below(left)]);
    }
  }
  return all;
}

struct XArrayIndex {
  // What a fault does: load, find nothing, store through the same cursor.
  void insert(std::uint64_t at) {
    XCursor cursor(tree, {at});
    const MutexLock guard(cursor.lock());
    if (cursor.load().is_null()) {
      benchmark::DoNotOptimize(cursor.store(Entry::real(at, 0)).ok());
    }
  }
  std::uint64_t load(std::uint64_t at) { return tree.load(Pgoff{at}).word(); }
  void erase(std::uint64_t at) { tree.erase(Pgoff{at}); }
  void set_dirty(std::uint64_t at) { tree.set_mark(Pgoff{at}, Mark::dirty); }
  std::uint64_t count_dirty() {
    XCursor cursor(tree, {0});
    const MutexLock guard(cursor.lock());
    std::uint64_t found = 0;
    while (!cursor.find_marked({~std::uint64_t{0}}, Mark::dirty).is_null()) {
      ++found;
    }
    return found;
  }
  std::uint64_t bytes() const { return arena.usage().in_use; }

  Arena arena;
  XArray tree{arena};
};

struct Dirty {
  std::uint64_t entry = 0;
  bool dirty = false;
};

// Counts what the containers ask for.
std::uint64_t allocated = 0;

template <class T>
struct Counting {
  using value_type = T;
  Counting() = default;
  template <class U>
  Counting(const Counting<U>&) noexcept {}  // NOLINT(google-explicit-constructor): an allocator rebinds
  T* allocate(std::size_t count) {
    allocated += count * sizeof(T);
    return std::allocator<T>().allocate(count);
  }
  void deallocate(T* memory, std::size_t count) noexcept {
    allocated -= count * sizeof(T);
    std::allocator<T>().deallocate(memory, count);
  }
  friend bool operator==(Counting, Counting) noexcept { return true; }
};

template <class Map>
struct MapIndex {
  void insert(std::uint64_t at) { map.try_emplace(at, Dirty{Entry::real(at, 0).word(), false}); }
  std::uint64_t load(std::uint64_t at) {
    const auto found = map.find(at);
    return found == map.end() ? 0 : found->second.entry;
  }
  void erase(std::uint64_t at) { map.erase(at); }
  void set_dirty(std::uint64_t at) { map.find(at)->second.dirty = true; }
  std::uint64_t count_dirty() {
    return static_cast<std::uint64_t>(
        std::count_if(map.begin(), map.end(), [](const auto& row) { return row.second.dirty; }));
  }
  std::uint64_t bytes() const { return allocated; }

  Map map;
};
using Row = std::pair<const std::uint64_t, Dirty>;
using OrderedMap = MapIndex<std::map<std::uint64_t, Dirty, std::less<>, Counting<Row>>>;
using HashMap =
    MapIndex<std::unordered_map<std::uint64_t, Dirty, std::hash<std::uint64_t>, std::equal_to<>, Counting<Row>>>;

struct SortedVector {
  using Row = std::pair<std::uint64_t, Dirty>;
  using Rows = std::vector<Row, Counting<Row>>;
  Rows::iterator place(std::uint64_t at) {
    return std::lower_bound(rows.begin(), rows.end(), at,
                            [](const Row& row, std::uint64_t key) { return row.first < key; });
  }
  void insert(std::uint64_t at) {
    const auto found = place(at);
    if (found == rows.end() || found->first != at) {
      rows.insert(found, {at, {Entry::real(at, 0).word(), false}});
    }
  }
  std::uint64_t load(std::uint64_t at) {
    const auto found = place(at);
    return found == rows.end() || found->first != at ? 0 : found->second.entry;
  }
  void erase(std::uint64_t at) { rows.erase(place(at)); }
  void set_dirty(std::uint64_t at) { place(at)->second.dirty = true; }
  std::uint64_t count_dirty() {
    return static_cast<std::uint64_t>(
        std::count_if(rows.begin(), rows.end(), [](const Row& row) { return row.second.dirty; }));
  }
  std::uint64_t bytes() const { return allocated; }

  Rows rows;
};

template <class Index>
void insert(benchmark::State& state) {
  const std::vector<std::uint64_t> all = offsets(state.range(0), state.range(1));
  std::uint64_t bytes = 0;
  for (auto _ : state) {
    state.PauseTiming();
    auto index = std::make_unique<Index>();
    state.ResumeTiming();
    for (const std::uint64_t at : all) {
      index->insert(at);
    }
    state.PauseTiming();
    bytes = index->bytes();
    index.reset();
    state.ResumeTiming();
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
  state.counters["bytes/entry"] = static_cast<double>(bytes) / static_cast<double>(state.range(0));
}

template <class Index>
void load(benchmark::State& state) {
  const std::vector<std::uint64_t> all = offsets(state.range(0), state.range(1));
  Index index;
  for (const std::uint64_t at : offsets(state.range(0), sequential)) {
    index.insert(at);
  }
  for (auto _ : state) {
    for (const std::uint64_t at : all) {
      benchmark::DoNotOptimize(index.load(at));
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

template <class Index>
void erase(benchmark::State& state) {
  const std::vector<std::uint64_t> all = offsets(state.range(0), state.range(1));
  const std::vector<std::uint64_t> filling = offsets(state.range(0), sequential);
  for (auto _ : state) {
    state.PauseTiming();
    Index index;
    for (const std::uint64_t at : filling) {
      index.insert(at);
    }
    state.ResumeTiming();
    for (const std::uint64_t at : all) {
      index.erase(at);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

// 64 dirty pages spread over the file: what an fsync looks for. One item is one dirty page.
template <class Index>
void scan_dirty(benchmark::State& state) {
  Index index;
  for (const std::uint64_t at : offsets(state.range(0), sequential)) {
    index.insert(at);
  }
  constexpr std::int64_t kDirty = 64;
  for (std::int64_t at = 0; at < state.range(0); at += state.range(0) / kDirty) {
    index.set_dirty(static_cast<std::uint64_t>(at));
  }
  for (auto _ : state) {
    benchmark::DoNotOptimize(index.count_dirty());
  }
  state.SetItemsProcessed(state.iterations() * kDirty);
}

// The loop without an index.
void baseline(benchmark::State& state) {
  const std::vector<std::uint64_t> all = offsets(state.range(0), state.range(1));
  for (auto _ : state) {
    for (std::uint64_t at : all) {
      benchmark::DoNotOptimize(at);
    }
  }
  state.SetItemsProcessed(state.iterations() * state.range(0));
}

constexpr std::int64_t kSmall = 1 << 16;
constexpr std::int64_t kLarge = 1 << 20;

void all_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{kSmall, kLarge}, {sequential, shuffled}})->ArgNames({"entries", "shuffled"});
}
// Where a shuffled pass is quadratic.
void vector_sizes(benchmark::internal::Benchmark* bench) {
  bench->ArgsProduct({{kSmall}, {sequential, shuffled}})->ArgNames({"entries", "shuffled"});
}
void scan_sizes(benchmark::internal::Benchmark* bench) { bench->Arg(kSmall)->Arg(kLarge)->ArgName("entries"); }

BENCHMARK(baseline)->Apply(all_sizes);
BENCHMARK_TEMPLATE(insert, XArrayIndex)->Apply(all_sizes);
BENCHMARK_TEMPLATE(insert, OrderedMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(insert, HashMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(insert, SortedVector)->Apply(vector_sizes);
BENCHMARK_TEMPLATE(load, XArrayIndex)->Apply(all_sizes);
BENCHMARK_TEMPLATE(load, OrderedMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(load, HashMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(load, SortedVector)->Apply(all_sizes);
BENCHMARK_TEMPLATE(erase, XArrayIndex)->Apply(all_sizes);
BENCHMARK_TEMPLATE(erase, OrderedMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(erase, HashMap)->Apply(all_sizes);
BENCHMARK_TEMPLATE(erase, SortedVector)->Apply(vector_sizes);
BENCHMARK_TEMPLATE(scan_dirty, XArrayIndex)->Apply(scan_sizes);
BENCHMARK_TEMPLATE(scan_dirty, OrderedMap)->Apply(scan_sizes);
BENCHMARK_TEMPLATE(scan_dirty, HashMap)->Apply(scan_sizes);
BENCHMARK_TEMPLATE(scan_dirty, SortedVector)->Apply(scan_sizes);

}  // namespace
