// SPDX-License-Identifier: BSD-3-Clause
// A NOR flash under power with a clock of its own, small parts that behave as the ready-made ones, and the few things that
// tests do to them.
#pragma once

#include <chrono>
#include <cstdint>
#include <initializer_list>
#include <memory>
#include <optional>
#include <utility>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/error_of.hpp"

namespace daxsim {

// Beside its type, so that the tests' namespaces find it.
inline bool operator==(const LineHistory& left, const LineHistory& right) {
  return left.offset == right.offset && left.outcomes == right.outcomes;
}

namespace nor {

using namespace std::chrono_literals;
using support::error_of;
using Bytes = std::vector<std::byte>;

inline Bytes bytes_of(std::initializer_list<unsigned> values) {
  Bytes bytes;
  for (const unsigned value : values) {
    bytes.push_back(std::byte(value));
  }
  return bytes;
}

// The parts with a few small blocks: 16 KiB, four blocks of 1 KiB and three of 4 KiB.
inline sim::NorPart small(sim::NorPart part) {
  const auto time = part.regions[0].erase;
  part.regions = {
      {{.blocks = 4, .block_bytes = 1 << 10, .erase = time}, {.blocks = 3, .block_bytes = 4 << 10, .erase = 2 * time}}};
  return part;
}
inline sim::NorPart small_p30() {
  sim::NorPart part = small(sim::parts::p30);
  part.locked_at_power_up = false;
  return part;
}
inline sim::NorPart small_s29gl() { return small(sim::parts::s29gl_p); }
inline sim::NorPart small_w25q() { return small(sim::parts::w25q); }
// With four partitions of 4 KiB, the first of them the four small blocks.
inline sim::NorPart partitioned() {
  sim::NorPart part = small_p30();
  part.partitions = 4;
  return part;
}

inline constexpr std::uint64_t kBig = 4 << 10;  // the first block of 4 KiB
inline constexpr PowerCut kNone{.kind = PowerCut::Kind::none};
inline constexpr PowerCut kAll{.kind = PowerCut::Kind::all};

struct Flash {
  explicit Flash(sim::NorFlash wanted) : media(must(sim::open(wanted))) { power_on(); }
  explicit Flash(const sim::NorPart& part) : Flash(sim::NorFlash{.part = part}) {}

  void power_on() { mtd = must(sim::Mtd::power_on(media, clock)); }
  PowerCutReport power_cycle(const PowerCut& choice) {
    const PowerCutReport report = must(mtd->power_cut(choice));
    mtd.reset();
    power_on();
    return report;
  }
  void program(std::uint64_t offset, std::initializer_list<unsigned> values) {
    must(mtd->program(offset, bytes_of(values)));
  }
  void start_program(std::uint64_t offset, std::initializer_list<unsigned> values) {
    must(mtd->start_program(offset, bytes_of(values)));
  }
  void erase(std::uint64_t block) { must(mtd->erase(mtd->erase_block(block))); }
  Bytes read(std::uint64_t offset, std::size_t length) {
    Bytes bytes(length);
    must(mtd->read(offset, bytes));
    return bytes;
  }
  unsigned byte(std::uint64_t offset) { return static_cast<unsigned>(read(offset, 1)[0]); }
  // How long `call` takes on the clock.
  template <class Call>
  std::chrono::nanoseconds time_of(Call call) {
    const auto begin = clock.now();
    call();
    return clock.now() - begin;
  }

  VirtualClock clock;
  std::shared_ptr<sim::NorMedia> media;
  std::unique_ptr<sim::Mtd> mtd;
};

}  // namespace nor
}  // namespace daxsim
