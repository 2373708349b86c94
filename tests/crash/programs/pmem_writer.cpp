// SPDX-License-Identifier: BSD-3-Clause
// pmem_writer MEDIA PROGRESS BELL free|traced: opens the device, goes on after
// the last record of each lane that Progress says is fenced, and writes records until it is killed. PROGRESS and BELL
// are numbers of inherited descriptors; a byte goes into BELL for each fenced record.
//
// traced: one lane only, and a stop before each flush and after each fence.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>
#include <memory>
#include <string>
#include <thread>
#include <vector>

#include "crash/pmem_records.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "support/victim.hpp"

namespace daxsim::crash {
namespace {

enum class Stops { none, around_flush_and_fence };

// Ends the program, which the test sees as a victim that died by itself.
void check(bool ok) {
  if (!ok) {
    std::_Exit(2);
  }
}

void write_records(DaxDevice& view, Progress::Lane& progress, int bell, std::uint64_t lane, Stops stops) {
  for (std::uint64_t record = progress.fenced + 1;; ++record) {
    const std::uint64_t offset = slot_offset(lane, record);
    const std::uint64_t words = words_of(record);
    const auto memory = view.direct_access(page_of(offset), kSlotSize / kPageSize, DaxMode::access);
    check(memory.ok() && memory->pages == kSlotSize / kPageSize);

    progress.stage = Stage::storing;
    auto* const slot = reinterpret_cast<std::uint64_t*>(memory->kaddr);
    for (std::uint64_t i = 0; i < words; ++i) {
      __atomic_store_n(slot + i, word_of(lane, record, i), __ATOMIC_RELAXED);
    }
    if (stops == Stops::around_flush_and_fence) {
      support::Victim::stop_here();
    }
    progress.stage = Stage::flushing;
    check(view.flush({offset, words * 8}).ok());
    progress.stage = Stage::fencing;
    view.fence();
    progress.stage = Stage::saying;
    progress.fenced = record;
    check(::write(bell, "", 1) == 1);
    if (stops == Stops::around_flush_and_fence) {
      support::Victim::stop_here();
    }
  }
}

int run(const std::string& media, int progress_file, int bell, Stops stops) {
  void* const shared = ::mmap(nullptr, sizeof(Progress), PROT_READ | PROT_WRITE, MAP_SHARED, progress_file, 0);
  check(shared != MAP_FAILED);
  auto* const progress = static_cast<Progress*>(shared);

  Arena arena;

  VirtualClock clock;
  const auto device = sim::open({.path = media, .size = kDeviceSize});
  check(device.ok());
  const auto view = (*device)->make_view({arena, clock});
  check(view.ok());
  if (stops == Stops::around_flush_and_fence) {
    write_records(**view, progress->lanes[0], bell, 0, stops);
  }
  std::vector<std::jthread> threads;
  for (std::uint64_t lane = 0; lane < kLanes; ++lane) {
    threads.emplace_back([&, lane] { write_records(**view, progress->lanes[lane], bell, lane, stops); });
  }
  return 0;
}

}  // namespace
}  // namespace daxsim::crash

int main(int count, char** arguments) {
  using daxsim::crash::Stops;
  if (count != 5) {
    return 1;
  }
  const Stops stops = std::string(arguments[4]) == "traced" ? Stops::around_flush_and_fence : Stops::none;
  return daxsim::crash::run(arguments[1], std::atoi(arguments[2]), std::atoi(arguments[3]), stops);
}
