// SPDX-License-Identifier: BSD-3-Clause
// A machine with a NOR flash and a mapped file of all of it.
//
//   FlashWorld world({.part = paged_p30(), .while_busy = sim::Busy::suspend});
//   must(world.mtd().start_erase(world.block(1)));
//   world.load(0);
#pragma once

#include <chrono>
#include <cstdint>
#include <optional>
#include <utility>
#include <vector>

#include "daxsim/machine/machine.hpp"
#include "daxsim/mm/live.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/flash_fs.hpp"

namespace daxsim::test {

enum class Kind : std::uint8_t { soft, live };

inline constexpr std::uint64_t kFlashBlock = 16 << 10;

// A P30 with eight blocks of 16 KiB, unlocked.
inline sim::NorPart paged_p30(std::uint32_t partitions = 1) {
  sim::NorPart part = sim::parts::p30;
  part.regions = {{{.blocks = 8, .block_bytes = kFlashBlock, .erase = std::chrono::milliseconds(400)}}};
  part.partitions = partitions;
  part.locked_at_power_up = false;
  return part;
}

struct FlashWorld {
  explicit FlashWorld(const sim::NorFlash& config, Kind kind = Kind::soft)
      : nor(must(machine.attach(config))), fs(must(machine.mount<FlashFs>(nor))) {
    map(kind);
  }
  ~FlashWorld() { close(); }
  FlashWorld(const FlashWorld&) = delete;
  FlashWorld& operator=(const FlashWorld&) = delete;

  [[nodiscard]] sim::Mtd& mtd() const { return sim::mtd(nor.attachment()); }
  static std::uint64_t block(std::uint64_t number) { return number * kFlashBlock; }

  void map(Kind kind) {
    file.emplace(must(fs.open("/fw", OpenMode::read_only)));
    if (kind == Kind::live) {
      live.emplace(must(file->map({.prot = Prot::read})));
    } else {
      process = &machine.spawn();
      address = must(process->mmap(file->open_file(), {.prot = Prot::read}));
    }
  }
  void close() {
    live.reset();
    if (process != nullptr) {
      static_cast<void>(process->munmap(address, nor.size()).ok());
      process = nullptr;
    }
    file.reset();
  }
  // A load that ends in a signal fails the test.
  unsigned load(std::uint64_t offset) {
    if (live.has_value()) {
      return reinterpret_cast<const volatile unsigned char*>(live->data())[offset];
    }
    return process->load<unsigned char>(address + offset).value();
  }
  std::uint64_t faults() { return live.has_value() ? live->faults().pte + live->faults().pmd : soft_faults(); }
  std::uint64_t soft_faults() const { return machine.events().count(EventType::dax_pte_fault); }
  std::uint64_t count(FindingKind kind) const {
    std::uint64_t found = 0;
    for (const Finding& finding : machine.findings()) {
      found += finding.kind == kind ? 1 : 0;
    }
    return found;
  }
  [[nodiscard]] std::chrono::nanoseconds now() const { return machine.clock().now(); }
  // How long `call` takes on the clock.
  template <class Call>
  std::chrono::nanoseconds time_of(Call call) {
    const auto begin = now();
    call();
    return now() - begin;
  }

  Machine machine;
  DeviceHandle nor;
  FileSystem fs;
  std::optional<File> file;
  std::optional<Mapping> live;
  Process* process = nullptr;
  std::uint64_t address = 0;
};

}  // namespace daxsim::test
