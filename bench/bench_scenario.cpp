// SPDX-License-Identifier: BSD-3-Clause
// Scenario files of 20 lines, a thousand different ones in turn: reading them, and playing them on machines of their own
// (soft MMU). items_per_second is files. The peers are a machine with the same devices and file system that does nothing,
// and the same calls made directly.
#include <benchmark/benchmark.h>

#include <filesystem>
#include <string>
#include <vector>

#include "base/temporary_file.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/lab/scenario.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"

namespace daxsim {
namespace {

constexpr std::size_t kFiles = 1000;

using FileText = std::string(std::size_t number);

// No two files store the same byte to the same page.
struct Stored {
  explicit Stored(std::size_t number)
      : byte(std::to_string(1 + number % 250)), place(std::to_string(number % 7) + "*4k 8") {}
  // 13 lines: files, a mapping, write-back, a hole.
  [[nodiscard]] std::string lines() const {
    return "open -f kv\n"
           "truncate 32k\n"
           "mmap 0 32k\n"
           "mread 28k 1                     => 0\n"
           "mwrite -S " +
           byte + " " + place + "\nmread " + place + " => " + byte + "\npread " + place + " => " + byte + "\n" +
           "fsync                           => 0, events dax_flush > dax_writeback_one\n"
           "fsync                           => 0, no event dax_flush\n"
           "pwrite -S 9 28k 4k              => 4k\n"
           "mread 28k 1                     => 9\n"
           "fpunch 28k 4k\n"
           "mread 28k 1                     => 0\n";
  }
  std::string byte;
  std::string place;
};

std::string one_machine(std::size_t number) {
  return "# File " + std::to_string(number) + ": a second mapping, and truncation.\n" + Stored(number).lines() +
         "p2: open kv\n"
         "p2: mmap 0 32k\n"
         "p2: mwrite -S 3 24k 1\n"
         "mread 24k 1                     => 3\n"
         "truncate 4k\n"
         "mread 24k 1                     => SIGBUS BUS_ADRERR\n";
}

std::string two_machines(std::size_t number) {
  const Stored stored(number);
  return "# File " + std::to_string(number) + ": what was synced is there after the power cut.\n" + stored.lines() +
         "fsync\n"
         "power-cut\n"
         "reboot\n"
         "mount\n"
         "open kv\n"
         "pread " +
         stored.place + " => " + stored.byte + "\n";
}

std::vector<std::string> all_files(FileText* text) {
  std::vector<std::string> files;
  for (std::size_t number = 0; number < kFiles; ++number) {
    files.push_back(text(number));
  }
  return files;
}

void Read(benchmark::State& state) {
  const std::vector<std::string> files = all_files(&one_machine);
  std::size_t next = 0;
  for (auto _ : state) {
    auto scenario = lab::parse_scenario(files[next++ % kFiles], "bench.scn");
    if (!scenario) {
      state.SkipWithError(scenario.error().message.c_str());
      break;
    }
    benchmark::DoNotOptimize(scenario);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(Read);

void ReadAndPlay(benchmark::State& state, FileText* text) {
  const std::vector<std::string> files = all_files(text);
  std::size_t next = 0;
  for (auto _ : state) {
    const auto scenario = lab::parse_scenario(files[next++ % kFiles], "bench.scn");
    const lab::RunReport report = lab::run(*scenario);
    if (report.verdict != lab::RunReport::Verdict::passed) {
      state.SkipWithError(report.message.c_str());
      break;
    }
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK_CAPTURE(ReadAndPlay, one_machine, &one_machine);
BENCHMARK_CAPTURE(ReadAndPlay, two_machines, &two_machines);

// What every file needs at least: a device, a file system, a reboot.
void MachineAndReboot(benchmark::State& state) {
  for (auto _ : state) {
    const auto path = make_temporary_file();
    Machine machine(MachineOptions{.ring_events = std::size_t{1} << 11});
    const auto device = machine.attach(sim::Pmem{.path = *path, .size = std::uint64_t{16} << 20});
    {
      const auto fs = machine.mkfs<LinearFs>(*device);
      benchmark::DoNotOptimize(fs.ok());
    }
    benchmark::DoNotOptimize(machine.power_cut().ok());
    const auto next = machine.reboot();
    benchmark::DoNotOptimize(next.ok());
    std::filesystem::remove(*path);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations()));
}
BENCHMARK(MachineAndReboot);

}  // namespace
}  // namespace daxsim
