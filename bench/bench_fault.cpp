// SPDX-License-Identifier: BSD-3-Clause
// A soft PTE write fault, the whole way: a store of a simulated process to a page that is not mapped and has no entry,
// in a file whose block is allocated and whose memory is there. Page table, locks, index, file system, device, events
// and the store itself are in it. Beside it, in the same binary, the insertion of the same page offsets into JudyL.
// The goal is four JudyL insertions for one fault. One item is one page.
#include <Judy.h>
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <filesystem>
#include <memory>
#include <numeric>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/vfs/open_file.hpp"

namespace {

using namespace daxsim;

constexpr std::uint32_t kDev = 259U << 20;
constexpr std::uint64_t kPagesPerRun = kPagesPerPmd - 1;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "bench_fault: %s\n", std::string(errno_text(result.error())).c_str());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

// Of this thread: what others do on the machine does not count.
double cpu_seconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) + static_cast<double>(now.tv_nsec) * 1e-9;
}

enum Order : std::int64_t { sequential, shuffled };

// All page offsets of `count` pages that a run faults: of each 2 MiB the last page stays mapped elsewhere, so that a
// huge page fits nowhere.
std::vector<std::uint64_t> faulted_pages(std::uint64_t count, std::int64_t order) {
  std::vector<std::uint64_t> pages;
  for (std::uint64_t page = 0; page < count; ++page) {
    if (page % kPagesPerPmd < kPagesPerRun) {
      pages.push_back(page);
    }
  }
  if (order == shuffled) {
    Random random(1);
    for (std::size_t left = pages.size(); left > 1; --left) {
      std::swap(pages[left - 1], pages[random.below(left)]);
    }
  }
  return pages;
}

// A device of any size on 1 MiB of memory, which caches hold, so that the cost of the way is seen and not that of memory:
// no store of this benchmark is ever read back.
class FoldedView final : public DaxDevice {
 public:
  FoldedView()
      : memory_(static_cast<std::byte*>(
            ::mmap(nullptr, kMemory, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0))) {}
  ~FoldedView() override { ::munmap(memory_, kMemory); }
  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode) noexcept override {
    return Memory{.kaddr = memory_ + byte_of(page) % kMemory, .pfn = {}, .pages = pages};
  }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {memory_, kMemory}; }
  Result<void> flush(ByteRange) noexcept override { return {}; }
  void fence() noexcept override {}
  std::vector<LineHistory> pending_lines() override { return {}; }
  std::uint64_t dirty_lines(ByteRange) noexcept override { return 0; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return PowerCutReport{}; }
  void unmap() noexcept override {}

 private:
  static constexpr std::uint64_t kMemory = std::uint64_t{1} << 20;
  std::byte* const memory_;
};

class FoldedDevice final : public Device {
 public:
  explicit FoldedDevice(std::uint64_t size) : size_(size) {}
  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return size_; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override {
    return std::unique_ptr<DaxDevice>(std::make_unique<FoldedView>());
  }

 private:
  const std::uint64_t size_;
  const Capabilities capabilities_;
  const std::string name_ = "folded";
};

// A file system with one file that is the device.
class FlatSuperBlock final : public SuperBlock {
 public:
  explicit FlatSuperBlock(System& system) : SuperBlock(system, kDev) {}
  Result<std::shared_ptr<Inode>> create(std::string_view) override { return Errno::eopnotsupp; }
  Result<std::shared_ptr<Inode>> open(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> unlink(std::string_view) override { return Errno::eopnotsupp; }
  Result<void> rename(std::string_view, std::string_view) override { return Errno::eopnotsupp; }
  Result<std::vector<DirectoryEntry>> list() override { return Errno::eopnotsupp; }
  Result<void> sync() override { return {}; }
  Result<void> unmount() override { return {}; }
  Result<SpaceUsage> space() override { return Errno::eopnotsupp; }
};

class FlatInode final : public Inode {
 public:
  FlatInode(SuperBlock& super_block, const dax::Context& context, Attachment& device)
      : Inode(super_block, 1, context.system.arena), context_(context), device_(device) {
    set_size(device.size());
  }
  ~FlatInode() override { dax::evict(context_, *this); }
  Result<FileExtent> direct_access(PageRange pages, Access) noexcept override {
    FileExtent extent;
    extent.kind = FileExtent::Kind::memory;
    extent.pages = pages;
    extent.extent = {{0}, device_.pages()};
    extent.device = &device_;
    extent.device_page = pages.first;
    return dax::generic_direct_access(extent);
  }
  FaultOutcome fault(FaultRequest& request) noexcept override { return dax::fault(context_, *this, request); }
  Result<void> fsync_range(ByteRange, Datasync) noexcept override { return {}; }
  Result<std::uint64_t> read(std::uint64_t, std::span<std::byte>) override { return Errno::eopnotsupp; }
  Result<std::uint64_t> write(std::uint64_t, std::span<const std::byte>) override { return Errno::eopnotsupp; }
  Result<void> truncate(std::uint64_t) override { return Errno::eopnotsupp; }
  Result<void> fallocate(Fallocate, ByteRange) override { return Errno::eopnotsupp; }

 private:
  const dax::Context& context_;
  Attachment& device_;
};

// A machine without detectors, and one file of `pages` pages in it.
struct Bed {
  explicit Bed(std::uint64_t file_pages) : pages(file_pages) {}
  virtual ~Bed() = default;

  void attach(std::shared_ptr<Device> medium) {
    const std::uint64_t device_pages = medium->size() >> kPageShift;
    const Pfn first = must(memory.reserve(device_pages));
    auto view = must(medium->make_view({arena, clock}));
    device = std::make_unique<Attachment>(std::move(medium), std::move(view), first, kDev, events);
    memory.bind(first, *device);
  }
  // Takes a page out of every 2 MiB: a small entry is in the way of a huge one from then on.
  void occupy() {
    Process other(system, 2);
    for (std::uint64_t page = kPagesPerRun; page < pages; page += kPagesPerPmd) {
      const std::uint64_t address = must(other.mmap(file, {.offset = page << kPageShift, .length = kPageSize}));
      if (!other.store<std::uint8_t>(address, 1).ok()) {
        std::abort();
      }
    }
  }
  void forget_entries() {
    Inode& inode = file->inode();
    const ExclusiveLock guard(inode.mapping().invalidate_lock());
    for (std::uint64_t page = 0; page < pages; page += kPagesPerPmd) {
      must(dax::truncate_pages(context, inode, {{page}, kPagesPerRun}, EvenCows::no));
    }
  }

  const std::uint64_t pages;
  VirtualClock clock;
  EventStream events{clock, 1 << 12};
  Arena arena;
  MemoryMap memory;
  System system{.clock = clock, .events = events, .arena = arena, .memory = memory};
  dax::Context context{.system = system, .design = designs::pfn(), .policy = {}};
  std::unique_ptr<Attachment> device;
  std::shared_ptr<OpenFile> file;
};

struct FlatBed : Bed {
  explicit FlatBed(std::uint64_t file_pages) : Bed(file_pages) {
    attach(std::make_shared<FoldedDevice>(file_pages << kPageShift));
    auto super_block = std::make_shared<FlatSuperBlock>(system);
    auto inode = std::make_shared<FlatInode>(*super_block, context, *device);
    file = std::make_shared<OpenFile>(super_block, inode, OpenMode::read_write);
    occupy();
  }
};

// LinearFs on pmem whose media file is in memory.
struct LinearBed : Bed {
  explicit LinearBed(std::uint64_t file_pages) : Bed(file_pages) {
    path = std::filesystem::temp_directory_path() / ("bench_fault." + std::to_string(::getpid()));
    const std::uint64_t size = round_up((file_pages << kPageShift) * 5 / 4 + (std::uint64_t{8} << 20), kPmdSize);
    attach(must(sim::open(sim::Pmem{.path = path, .size = size})));
    must(LinearFs::mkfs(*device));
    std::shared_ptr<SuperBlock> super_block = must(LinearFs::mount(context, *device));
    file = std::make_shared<OpenFile>(super_block, must(super_block->create("file")), OpenMode::read_write);
    must(file->truncate(pages << kPageShift));
    const std::vector<std::byte> ones(std::size_t{1} << 20, std::byte{1});
    for (std::uint64_t offset = 0; offset < pages << kPageShift; offset += ones.size()) {
      must(file->pwrite(offset, ones));
    }
    occupy();
  }
  ~LinearBed() override {
    file.reset();
    device.reset();
    std::filesystem::remove(path);
  }
  std::filesystem::path path;
};

template <class BedOfKind>
void BM_SoftWriteFault(benchmark::State& state) {
  BedOfKind bed(static_cast<std::uint64_t>(state.range(0)));
  const std::vector<std::uint64_t> pages = faulted_pages(bed.pages, state.range(1));
  for ([[maybe_unused]] auto round : state) {
    Process process(bed.system, 1);
    const std::uint64_t address = must(process.mmap(bed.file, {}));
    const double begin = cpu_seconds();
    for (const std::uint64_t page : pages) {
      // Another line in each page: caches find addresses that differ by 4 KiB only hard to tell apart.
      const std::uint64_t offset = page * kCacheLine % kPageSize;
      benchmark::DoNotOptimize(process.store<std::uint8_t>(address + (page << kPageShift) + offset, 7).ok());
    }
    state.SetIterationTime(cpu_seconds() - begin);
    if (process.fault_counts(address).pte != pages.size()) {
      state.SkipWithError("not every store took one PTE fault");
    }
    must(process.munmap(address, bed.pages << kPageShift));
    bed.forget_entries();
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * pages.size()));
}

void BM_JudyInsert(benchmark::State& state) {
  const std::vector<std::uint64_t> pages = faulted_pages(static_cast<std::uint64_t>(state.range(0)), state.range(1));
  for ([[maybe_unused]] auto round : state) {
    void* judy = nullptr;
    const double begin = cpu_seconds();
    for (const std::uint64_t page : pages) {
      *reinterpret_cast<Word_t*>(JudyLIns(&judy, page, nullptr)) = page + 1;
    }
    state.SetIterationTime(cpu_seconds() - begin);
    JudyLFreeArray(&judy, nullptr);
  }
  state.SetItemsProcessed(static_cast<std::int64_t>(state.iterations() * pages.size()));
}

constexpr std::int64_t k64k = 1 << 16;
constexpr std::int64_t k1M = 1 << 20;

BENCHMARK(BM_JudyInsert)
    ->ArgsProduct({{k64k, k1M}, {sequential, shuffled}})
    ->ArgNames({"pages", "shuffled"})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_SoftWriteFault<FlatBed>)
    ->ArgsProduct({{k64k, k1M}, {sequential, shuffled}})
    ->ArgNames({"pages", "shuffled"})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);
BENCHMARK(BM_SoftWriteFault<LinearBed>)
    ->ArgsProduct({{k64k}, {sequential, shuffled}})
    ->ArgNames({"pages", "shuffled"})
    ->UseManualTime()
    ->Unit(benchmark::kMillisecond);

}  // namespace
