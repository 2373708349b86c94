// SPDX-License-Identifier: BSD-3-Clause
// A pmem on a temporary file, with a view of it, and the few things that tests do to its bytes.
#pragma once

#include <cstring>
#include <memory>
#include <string_view>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/temp_file.hpp"

namespace daxsim {

class PmemOnFile {
 public:
  static constexpr std::uint64_t kSmall = std::uint64_t{1} << 20;

  explicit PmemOnFile(sim::PersistenceDomain domain = sim::PersistenceDomain::adr, std::uint64_t size = kSmall)
      : PmemOnFile(sim::Pmem{.size = size, .domain = domain}) {}
  // A config without a path gets the temporary file's.
  explicit PmemOnFile(sim::Pmem wanted) : config(std::move(wanted)) {
    if (config.path.empty()) {
      config.path = file.path();
    }
    open();
  }

  void open() {
    device = must(sim::open(config));
    power_on();
  }
  void power_on() { view = must(device->make_view({arena, clock})); }
  void close() {
    view.reset();
    device.reset();
  }
  void reopen() {
    close();
    open();
  }
  // The end of this power, and the next one.
  PowerCutReport power_cycle(const PowerCut& choice) {
    const PowerCutReport report = must(view->power_cut(choice));
    view.reset();
    power_on();
    return report;
  }

  // One word at a time, as a CPU stores: flushes of other threads see whole words.
  void store(std::uint64_t offset, std::uint64_t value) {
    const auto memory = must(view->direct_access(page_of(offset), 1, DaxMode::access));
    __atomic_store_n(reinterpret_cast<std::uint64_t*>(memory.kaddr + offset % kPageSize), value, __ATOMIC_RELAXED);
  }
  std::uint64_t load(std::uint64_t offset) {
    const auto memory = must(view->direct_access(page_of(offset), 1, DaxMode::access));
    return __atomic_load_n(reinterpret_cast<const std::uint64_t*>(memory.kaddr + offset % kPageSize), __ATOMIC_RELAXED);
  }
  void flush(std::uint64_t offset, std::uint64_t length = 8) { must(view->flush({offset, length})); }
  void persist(std::uint64_t offset, std::uint64_t value) {
    store(offset, value);
    flush(offset);
    view->fence();
  }
  // What is in the file.
  [[nodiscard]] std::uint64_t media(std::uint64_t offset) const {
    const std::vector<std::byte> bytes = file.read();
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + offset, sizeof value);
    return value;
  }

  support::TempFile file;
  sim::Pmem config;
  Arena arena;
  VirtualClock clock;
  std::shared_ptr<Device> device;
  std::unique_ptr<DaxDevice> view;
};

inline bool operator==(const LineHistory& left, const LineHistory& right) {
  return left.offset == right.offset && left.outcomes == right.outcomes;
}

}  // namespace daxsim
