// SPDX-License-Identifier: BSD-3-Clause
// Live mappings on the whole stack (pmem, LinearFs, dax), against what the host can do at best.
//
//   Warm   accesses to pages that are there, against a plain memfd mapping; the faults taken must be 0. Of a pmem: loads and
//          stores; of a NOR flash: loads
//   Fault  one 4 KiB fault on a laid extent, against a bare handler: SIGBUS, one UFFDIO_CONTINUE, return
//
// Compared things run in turns within one measurement, so that what the machine does meanwhile hits both alike.
// Counters: `ratio` is ours by theirs, `ours_ns` and `host_ns` are for one access or fault.
#include <benchmark/benchmark.h>
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/mm/live.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "lab/bare_fs.hpp"

namespace {

using namespace daxsim;
using namespace daxsim::literals;
using Clock = std::chrono::steady_clock;

constexpr std::uint64_t kPages = 4096;
constexpr std::uint64_t kBytes = kPages * kPageSize;

template <class T>
T value(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "bench_live: %s\n", std::string(errno_text(result.error())).c_str());
    std::exit(1);
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

double seconds_of(Clock::duration time) { return std::chrono::duration<double>(time).count(); }

// Two files on a pmem, written once, so that every block exists: one to access, one to fault on.
struct World {
  World()
      : media(std::filesystem::temp_directory_path() / ("daxsim-bench-" + std::to_string(::getpid()))),
        fs(value(machine.mkfs<LinearFs>(value(machine.attach(sim::Pmem{.path = media, .size = 64_MiB}))))),
        warm(make("/warm")),
        cold(make("/cold")) {}
  ~World() { std::filesystem::remove(media); }
  File make(const char* name) {
    File file = value(fs.create(name, kBytes));
    value(file.pwrite(0, std::vector<std::byte>(kBytes, std::byte{1})));
    return file;
  }

  std::filesystem::path media;
  Machine machine;
  FileSystem fs;
  File warm;
  File cold;
};

World& world() {
  static World one;
  return one;
}

// A NOR flash that is one file.
struct Flash {
  Flash()
      : fs(value(machine.mount<lab::BareFs>(value(machine.attach(sim::NorFlash{}))))),
        file(value(fs.open("/fw", OpenMode::read_only))) {}
  Machine machine;
  FileSystem fs;
  File file;
};

Flash& flash() {
  static Flash one;
  return one;
}

// The host's own shared mapping of as much memory, every page there.
class PlainMapping {
 public:
  PlainMapping() : fd_(::memfd_create("bench", MFD_CLOEXEC)) {
    if (fd_ < 0 || ::ftruncate(fd_, static_cast<off_t>(kBytes)) != 0) {
      std::exit(1);
    }
    data_ = static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0));
    std::memset(data_, 1, kBytes);
  }
  ~PlainMapping() {
    ::munmap(data_, kBytes);
    ::close(fd_);
  }
  PlainMapping(const PlainMapping&) = delete;
  PlainMapping& operator=(const PlainMapping&) = delete;
  [[nodiscard]] std::byte* data() const { return data_; }
  [[nodiscard]] int fd() const { return fd_; }

 private:
  int fd_;
  std::byte* data_ = nullptr;
};

void report(benchmark::State& state, Clock::duration ours, Clock::duration host, std::uint64_t count) {
  const double per = 1e9 / static_cast<double>(count);
  state.counters["ours_ns"] = seconds_of(ours) * per;
  state.counters["host_ns"] = seconds_of(host) * per;
  state.counters["ratio"] = seconds_of(ours) / seconds_of(host);
}

// --- warm -----------------------------------------------------------------------------------------------------------

constexpr std::uint64_t kAccesses = 1 << 16;

// Loads and stores of 8 bytes all over the mapping, in an order no prefetcher knows.
std::uint64_t access_at_random(std::byte* data) {
  std::uint64_t at = 1;
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < kAccesses; ++i) {
    at = at * 6364136223846793005U + 1442695040888963407U;
    auto* const word = reinterpret_cast<volatile std::uint64_t*>(data + ((at >> 20) % kBytes & ~7U));
    sum += *word;
    *word = at;
  }
  return sum;
}

// The same without the stores.
std::uint64_t load_at_random(std::byte* data) {
  std::uint64_t at = 1;
  std::uint64_t sum = 0;
  for (std::uint64_t i = 0; i < kAccesses; ++i) {
    at = at * 6364136223846793005U + 1442695040888963407U;
    sum += *reinterpret_cast<const volatile std::uint64_t*>(data + ((at >> 20) % kBytes & ~7U));
  }
  return sum;
}

// Of pages that are there.
template <class Go>
void compare_warm(benchmark::State& state, const Mapping& live, Go go) {
  const PlainMapping plain;
  benchmark::DoNotOptimize(go(live.data()));
  const FaultCounts before = live.faults();
  Clock::duration ours{};
  Clock::duration host{};
  std::uint64_t count = 0;
  for ([[maybe_unused]] auto iteration : state) {
    const Clock::time_point begin = Clock::now();
    benchmark::DoNotOptimize(go(plain.data()));
    const Clock::time_point middle = Clock::now();
    benchmark::DoNotOptimize(go(live.data()));
    const Clock::time_point end = Clock::now();
    host += middle - begin;
    ours += end - middle;
    count += kAccesses;
    state.SetIterationTime(seconds_of(end - middle));
  }
  report(state, ours, host, count);
  const FaultCounts after = live.faults();
  state.counters["faults"] = static_cast<double>(after.pte + after.pmd - before.pte - before.pmd);
}

void warm(benchmark::State& state, LiveBackend backend) {
  Mapping live = value(world().warm.map({}, backend));
  value(live.prefault({0, kBytes}, Access::write));
  compare_warm(state, live, access_at_random);
}
BENCHMARK_CAPTURE(warm, automatic, LiveBackend::automatic)->UseManualTime();
BENCHMARK_CAPTURE(warm, sigsegv, LiveBackend::sigsegv)->UseManualTime();

void warm_nor(benchmark::State& state, LiveBackend backend) {
  Mapping live = value(flash().file.map({.prot = Prot::read, .length = kBytes}, backend));
  value(live.prefault({0, kBytes}, Access::read));
  compare_warm(state, live, load_at_random);
}
BENCHMARK_CAPTURE(warm_nor, automatic, LiveBackend::automatic)->UseManualTime();
BENCHMARK_CAPTURE(warm_nor, sigsegv, LiveBackend::sigsegv)->UseManualTime();

// --- faults ---------------------------------------------------------------------------------------------------------

// One page less than a slot, so that no fault brings 2 MiB.
constexpr std::uint64_t kBatch = kPagesPerPmd - 1;
constexpr MapOptions kOneSlot{.length = kBatch * kPageSize};

int bare_fd = -1;

void continue_page(int, siginfo_t* info, void*) {
  uffdio_continue request{};
  request.range.start = reinterpret_cast<std::uintptr_t>(info->si_addr) & ~(kPageSize - 1);
  request.range.len = kPageSize;
  ::ioctl(bare_fd, UFFDIO_CONTINUE, &request);
}

// The least that a user-space fault can be on this host: the signal, one ioctl, the return.
class BareMapping {
 public:
  BareMapping() {
    bare_fd = static_cast<int>(::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | 1));
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MINOR_SHMEM;
    data_ = static_cast<std::byte*>(::mmap(nullptr, kBytes, PROT_READ | PROT_WRITE, MAP_SHARED, memory_.fd(), 0));
    uffdio_register watch{};
    watch.range = {reinterpret_cast<std::uintptr_t>(data_), kBytes};
    watch.mode = UFFDIO_REGISTER_MODE_MINOR;
    usable_ = bare_fd >= 0 && ::ioctl(bare_fd, UFFDIO_API, &api) == 0 && ::ioctl(bare_fd, UFFDIO_REGISTER, &watch) == 0;
  }
  ~BareMapping() {
    ::munmap(data_, kBytes);
    ::close(bare_fd);
  }
  BareMapping(const BareMapping&) = delete;
  BareMapping& operator=(const BareMapping&) = delete;
  [[nodiscard]] bool usable() const { return usable_; }

  Clock::duration store_to_absent_pages() {
    struct sigaction ours{};
    struct sigaction library{};
    ours.sa_sigaction = &continue_page;
    ours.sa_flags = SA_SIGINFO;
    ::sigaction(SIGBUS, &ours, &library);
    const Clock::time_point begin = Clock::now();
    for (std::uint64_t page = 0; page < kBatch; ++page) {
      *const_cast<volatile std::byte*>(data_ + page * kPageSize) = std::byte{2};
    }
    const Clock::duration time = Clock::now() - begin;
    ::sigaction(SIGBUS, &library, nullptr);
    ::madvise(data_, kBatch * kPageSize, MADV_DONTNEED);
    return time;
  }

 private:
  PlainMapping memory_;
  std::byte* data_ = nullptr;
  bool usable_ = false;
};

template <class Touch>
Clock::duration touch_absent_pages(Mapping& map, Touch touch) {
  const Clock::time_point begin = Clock::now();
  for (std::uint64_t page = 0; page < kBatch; ++page) {
    touch(const_cast<volatile std::byte*>(map.data() + page * kPageSize));
  }
  const Clock::duration time = Clock::now() - begin;
  value(map.dont_need({0, map.size()}));
  return time;
}

template <class Touch>
void fault(benchmark::State& state, LiveBackend backend, Touch touch) {
  BareMapping bare;
  Mapping live = value(world().cold.map(kOneSlot, backend));
  if (!bare.usable()) {
    state.SkipWithError("this host has no userfaultfd to compare with");
    return;
  }
  // Page tables first, and the extent.
  value(live.prefault({0, live.size()}, Access::write));
  value(live.dont_need({0, live.size()}));
  Clock::duration ours{};
  Clock::duration host{};
  std::uint64_t count = 0;
  for ([[maybe_unused]] auto iteration : state) {
    host += bare.store_to_absent_pages();
    const Clock::duration time = touch_absent_pages(live, touch);
    ours += time;
    count += kBatch;
    state.SetIterationTime(seconds_of(time));
  }
  report(state, ours, host, count);
}

constexpr auto kStore = [](volatile std::byte* at) { *at = std::byte{2}; };
constexpr auto kLoad = [](volatile std::byte* at) { static_cast<void>(*at); };
BENCHMARK_CAPTURE(fault, store_userfaultfd, LiveBackend::userfaultfd, kStore)->UseManualTime();
BENCHMARK_CAPTURE(fault, load_userfaultfd, LiveBackend::userfaultfd, kLoad)->UseManualTime();
BENCHMARK_CAPTURE(fault, store_sigsegv, LiveBackend::sigsegv, kStore)->UseManualTime();

// A store after write-back: the page is there, read-only.
void upgrade(benchmark::State& state, LiveBackend backend) {
  Mapping live = value(world().cold.map(kOneSlot, backend));
  value(live.prefault({0, live.size()}, Access::write));
  Clock::duration time{};
  std::uint64_t count = 0;
  for ([[maybe_unused]] auto iteration : state) {
    live.vma().write_protect(kAllPages);
    const Clock::time_point begin = Clock::now();
    for (std::uint64_t page = 0; page < kBatch; ++page) {
      kStore(const_cast<volatile std::byte*>(live.data() + page * kPageSize));
    }
    const Clock::duration once = Clock::now() - begin;
    time += once;
    count += kBatch;
    state.SetIterationTime(seconds_of(once));
  }
  state.counters["ours_ns"] = seconds_of(time) * 1e9 / static_cast<double>(count);
}
BENCHMARK_CAPTURE(upgrade, userfaultfd, LiveBackend::userfaultfd)->UseManualTime();
BENCHMARK_CAPTURE(upgrade, sigsegv, LiveBackend::sigsegv)->UseManualTime();

}  // namespace
