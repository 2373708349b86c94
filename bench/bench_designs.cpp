// SPDX-License-Identifier: BSD-3-Clause
// What an index design costs: the stores of a simulated process, fsync and relocation, the whole way, on LinearFs,
// RealtimeFs, ChunkFs (one copy, two copies) and the direct half of TieredFs, with every design that is right there.
// Counters are for one page:
//
//   insert_ns    a store to a page that is not mapped and has no entry; its block is there and written
//   refault_ns   the same when the entry is there and the page-table entry is gone
//   fsync_ns     an fsync of nothing but dirty pages
//   relocate_ns  dax::relocate of nothing but dirty and mapped pages, by a mover that moves nothing
//   move_ns      the same pages leave their device for another, copied, durable: ChunkFs' balance, TieredFs' demotion
//   teardown_ns  the device is gone: the page is unmapped and its entry deleted
//   .._ratio     the same by what it took with `pfn`, which does each of these in turn, before or afterwards: what the
//                machine does meanwhile hits both alike. The row of pfn itself shows how far that goes.
//   lookups, locks      that the design needed to write the page back (FlushTarget)
//   relocate_lookups, relocate_locks   to find out whether it is pinned, and to write it back
//   index_bytes  memory of the index
//
// Every entry is of one page: the file lies where no huge page fits. `extent` is how many pages lie together on the
// device, 0: all. The device has no write cache, so that a flush costs nothing: what it costs is the same for all designs
// (bench_pmem), and hides what is asked here. There are no detectors. Time is CPU time of this thread. A round with 2^20
// pages takes 12 GiB of memory.
#include <benchmark/benchmark.h>
#include <sys/mman.h>
#include <unistd.h>

#include <array>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <ctime>
#include <memory>
#include <numeric>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/mm/process.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/vfs/open_file.hpp"

namespace {

using namespace daxsim;

template <class T>
T must(Result<T> result) {
  if (!result.ok()) {
    std::fprintf(stderr, "bench_designs: %s\n", std::string(errno_text(result.error())).c_str());
    std::abort();
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

double cpu_nanoseconds() {
  timespec now{};
  ::clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
  return static_cast<double>(now.tv_sec) * 1e9 + static_cast<double>(now.tv_nsec);
}

using Devices = std::vector<std::unique_ptr<Attachment>>;

struct Adapter {
  const char* name;
  std::uint32_t devices;
  std::uint32_t copies = 1;
  std::uint64_t most_pages = std::uint64_t{1} << 20;  // of a file, in the memory there is
  // `data`: bytes that one device takes.
  void (*mkfs)(const Devices& devices, std::uint64_t data);
  std::shared_ptr<SuperBlock> (*mount)(const dax::Context& context, const Devices& devices);
  void (*place)(Inode& inode) = nullptr;  // where the blocks of a new file go
  // Moves a file off the first device; how many pages.
  std::uint64_t (*move)(SuperBlock& super_block, Inode& inode) = nullptr;
  bool second_is_a_disk = false;
};
std::shared_ptr<SuperBlock> mount_chunk(const dax::Context& context, const Devices& on) {
  return must(ChunkFs::mount(context, std::array{on[0].get(), on[1].get()}));
}
void mkfs_chunk(const Devices& on, ChunkProfile profile, std::uint64_t data) {
  must(ChunkFs::mkfs(std::array{on[0].get(), on[1].get()}, {.profile = profile, .files = 16, .chunk_size = data}));
}
std::uint64_t balance(SuperBlock& super_block, Inode& /*unused*/) {
  return must(ChunkFs::empty_device(super_block, 0)).pages;
}
std::uint64_t demote(SuperBlock& super_block, Inode& inode) {
  const std::uint64_t pages = must(TieredFs::demote(inode, {{0}, pages_for(inode.size())}));
  must(super_block.sync());
  return pages;
}
constexpr Adapter kAdapters[]{
    {.name = "linear",
     .devices = 1,
     .mkfs = [](const Devices& on, std::uint64_t) { must(LinearFs::mkfs(*on[0])); },
     .mount = [](const dax::Context& context, const Devices& on) { return must(LinearFs::mount(context, *on[0])); }},
    {.name = "realtime",
     .devices = 2,
     .mkfs = [](const Devices& on, std::uint64_t) { must(RealtimeFs::mkfs(*on[0], *on[1])); },
     .mount = [](const dax::Context& context,
                 const Devices& on) { return must(RealtimeFs::mount(context, *on[0], *on[1])); },
     .place = [](Inode& inode) { must(RealtimeFs::set_realtime(inode)); }},
    {.name = "chunk",
     .devices = 2,
     .mkfs = [](const Devices& on, std::uint64_t data) { mkfs_chunk(on, ChunkProfile::single, data); },
     .mount = mount_chunk,
     .move = balance},
    {.name = "chunk-dup",
     .devices = 2,
     .copies = 2,
     .most_pages = 1 << 16,
     .mkfs = [](const Devices& on, std::uint64_t data) { mkfs_chunk(on, ChunkProfile::dup, data); },
     .mount = mount_chunk,
     .move = balance},
    {.name = "tiered",
     .devices = 2,
     .mkfs = [](const Devices& on, std::uint64_t) { must(TieredFs::mkfs(*on[0], *on[1])); },
     .mount = [](const dax::Context& context,
                 const Devices& on) { return must(TieredFs::mount(context, *on[0], *on[1])); },
     .move = demote,
     .second_is_a_disk = true},
};

struct Shape {
  std::uint64_t pages;
  std::uint64_t extent;  // pages; 0: all
};

// A pmem whose media is memory, too.
std::shared_ptr<Device> make_medium(std::uint64_t size) {
  const int file = ::memfd_create("media", MFD_CLOEXEC);
  std::shared_ptr<Device> medium =
      must(sim::open(sim::Pmem{.path = "/proc/self/fd/" + std::to_string(file), .size = size, .write_cache = false}));
  ::close(file);
  return medium;
}

// What write-back says of the design, from begin() to end().
class Searches final : public EventObserver {
 public:
  void begin(EventStream& events) {
    events_ = &events;
    pages = lookups = locks = 0;
    must(events.add(*this));
  }
  void end() { events_->remove(*this); }
  void on_event(const Event& event) noexcept override {
    if (event.type == EventType::dax_writeback_one) {
      pages += event.last;
      lookups += event.length;
      locks += event.result;
    }
  }
  std::uint64_t pages = 0;
  std::uint64_t lookups = 0;
  std::uint64_t locks = 0;

 private:
  EventStream* events_ = nullptr;
};

// In the order in which they are measured.
enum class Cost : std::uint8_t { insert, refault, fsync, relocate, teardown };
constexpr std::array<const char*, 5> kCostNames{"insert", "refault", "fsync", "relocate", "teardown"};
using Costs = std::array<double, kCostNames.size()>;

class NothingMoves final : public dax::BlockMover {
 public:
  Result<void> copy() noexcept override { return {}; }
  Result<void> switch_place() noexcept override { return {}; }
};

// Another design, and what it needed to find pages.
class Counted final : public IndexDesign {
 public:
  explicit Counted(const IndexDesign& design) : design_(design) {}
  [[nodiscard]] std::string_view name() const noexcept override { return design_.name(); }
  [[nodiscard]] Result<std::uint64_t> encode(const FileExtent& extent) const noexcept override {
    return design_.encode(extent);
  }
  [[nodiscard]] Result<FlushTarget> resolve(System& system, Inode& inode, const StoredEntry& entry,
                                            PageRange pages) const noexcept override {
    const Result<FlushTarget> target = design_.resolve(system, inode, entry, pages);
    if (target.ok()) {
      lookups += target->lookups;
      locks += target->locks;
    }
    return target;
  }
  mutable std::uint64_t lookups = 0;
  mutable std::uint64_t locks = 0;

 private:
  const IndexDesign& design_;
};

// A machine with one file, mapped by one process.
class Bed {
 public:
  Bed(const IndexDesign& design, const Adapter& adapter, const Shape& shape)
      : shape_(shape), context_{.system = system_, .design = design, .policy = {}} {
    const std::uint64_t bytes = shape.pages << kPageShift;
    const std::uint64_t between = shape.extent == 0 ? 0 : bytes / shape.extent;
    const std::uint64_t data = round_up(bytes + between, kPmdSize) + kPmdSize;
    const std::uint64_t size = round_up(adapter.copies * data + bytes / 8, kPmdSize) + (std::uint64_t{16} << 20);
    for (std::uint32_t minor = 0; minor < adapter.devices; ++minor) {
      if (minor == 1 && adapter.second_is_a_disk) {
        attach_disk(minor, size);
      } else {
        attach_pmem(minor, size);
      }
    }
    adapter.mkfs(devices_, data);
    super_block_ = adapter.mount(context_, devices_);
    lay_out(adapter);
  }

  // Nanoseconds.
  double measure(Cost cost) {
    switch (cost) {
      case Cost::insert:
        return time([&] { store_everywhere(1); });
      case Cost::refault:
        must(process_->dont_need(address_, shape_.pages << kPageShift));
        return time([&] { store_everywhere(2); });
      case Cost::fsync:
        return time([&] { must(file_->fsync()); });
      case Cost::relocate:
        store_everywhere(4);
        return time([&] { relocate(); });
      case Cost::teardown:
        store_everywhere(5);
        break;
    }
    return time([&] { dax::surprise_teardown(context_, *super_block_, Errno::eio); });
  }

  // Nanoseconds for a page that moved.
  double measure_move(const Adapter& adapter) {
    store_everywhere(6);
    std::uint64_t pages = 0;
    const double taken = time([&] { pages = adapter.move(*super_block_, file_->inode()); });
    return taken / static_cast<double>(pages);
  }

  // Stores everywhere once more, and counts what one more fsync searches. False: the file is not what was wanted.
  bool count(Searches& searches) {
    store_everywhere(3);
    searches.begin(events_);
    must(file_->fsync());
    searches.end();
    const FileExtent first = must(file_->inode().direct_access({{0}, shape_.pages}, Access::read));
    return searches.pages == shape_.pages && process_->fault_counts(address_).pmd == 0 &&
           first.extent.pages == (shape_.extent == 0 ? shape_.pages : shape_.extent);
  }
  [[nodiscard]] std::uint64_t index_bytes() const { return file_->inode().mapping().pages().bytes(); }

 private:
  void relocate() {
    Inode& inode = file_->inode();
    const ExclusiveLock writing(inode.i_rwsem());
    const SharedLock thawed(super_block_->freeze_lock());
    NothingMoves mover;
    must(dax::relocate(context_, inode, {{0}, shape_.pages}, mover));
  }

  template <class Work>
  static double time(Work work) {
    const double begin = cpu_nanoseconds();
    work();
    return cpu_nanoseconds() - begin;
  }

  void attach_pmem(std::uint32_t minor, std::uint64_t size) {
    std::shared_ptr<Device> medium = make_medium(size);
    const Pfn first = must(memory_.reserve(size >> kPageShift));
    auto view = must(medium->make_view({arena_, clock_}));
    devices_.push_back(
        std::make_unique<Attachment>(std::move(medium), std::move(view), first, device_number(minor), events_));
    memory_.bind(first, *devices_.back());
  }
  void attach_disk(std::uint32_t minor, std::uint64_t size) {
    std::shared_ptr<Device> medium = must(sim::open(sim::RamDisk{.size = size, .write_cache = false}));
    auto view = must(medium->make_block_view({arena_, clock_}));
    devices_.push_back(std::make_unique<Attachment>(std::move(medium), std::move(view), device_number(minor), events_));
  }
  static std::uint32_t device_number(std::uint32_t minor) { return 259U << 20 | minor; }

  std::shared_ptr<OpenFile> create(const Adapter& adapter, const char* name) {
    auto file = std::make_shared<OpenFile>(super_block_, must(super_block_->create(name)), OpenMode::read_write);
    if (adapter.place != nullptr) {
      adapter.place(file->inode());
    }
    return file;
  }

  // The pages of another file lie between the extents. A piece is smaller than a huge page, so that none is looked for,
  // and the first page is not where one could begin. Every block is written once, which leaves entries, so the file
  // system is mounted again.
  void lay_out(const Adapter& adapter) {
    constexpr std::uint64_t kMostAtOnce = 256;
    const std::uint64_t piece = shape_.extent == 0 ? kMostAtOnce : shape_.extent;
    {
      const std::shared_ptr<OpenFile> between = create(adapter, "/between");
      must(between->fallocate(Fallocate::allocate, {0, kPageSize}));
      file_ = create(adapter, "/file");
      std::uint64_t others = 1;
      for (std::uint64_t page = 0; page < shape_.pages; page += piece) {
        must(file_->fallocate(Fallocate::allocate, {page << kPageShift, piece << kPageShift}));
        if (shape_.extent != 0) {
          must(between->fallocate(Fallocate::allocate, {others++ << kPageShift, kPageSize}));
        }
      }
    }
    map();
    store_everywhere(1);
    must(file_->fsync());
    must(process_->munmap(address_, shape_.pages << kPageShift));
    file_.reset();
    must(super_block_->unmount());
    super_block_ = adapter.mount(context_, devices_);
    file_ = std::make_shared<OpenFile>(super_block_, must(super_block_->open("/file")), OpenMode::read_write);
    map();
  }

  void map() { address_ = must(process_->mmap(file_, {})); }

  void store_everywhere(std::uint8_t value) {
    for (std::uint64_t page = 0; page < shape_.pages; ++page) {
      // Another line in each page: caches find addresses that differ by 4 KiB only hard to tell apart.
      const std::uint64_t offset = (page << kPageShift) + page * kCacheLine % kPageSize;
      if (!process_->store<std::uint8_t>(address_ + offset, value).ok()) {
        std::abort();
      }
    }
  }

  const Shape shape_;
  VirtualClock clock_;
  EventStream events_{clock_, 1 << 12};
  Arena arena_;
  MemoryMap memory_;
  System system_{.clock = clock_, .events = events_, .arena = arena_, .memory = memory_};
  const dax::Context context_;
  Devices devices_;
  std::shared_ptr<SuperBlock> super_block_;
  std::shared_ptr<OpenFile> file_;
  std::optional<Process> process_{std::in_place, system_, 1U};
  std::uint64_t address_ = 0;
};

void design_costs(benchmark::State& state, const IndexDesign& design, const Adapter& adapter) {
  const Shape shape{.pages = static_cast<std::uint64_t>(state.range(0)),
                    .extent = static_cast<std::uint64_t>(state.range(1))};
  Costs ours{};
  Costs of_pfn{};
  Searches searches;
  std::uint64_t index_bytes = 0;
  double move = 0;
  for ([[maybe_unused]] auto round : state) {
    const double before = std::accumulate(ours.begin(), ours.end(), 0.0);
    // The second of two machines finds warmer caches, so each is once the first.
    for (const bool ours_first : {true, false}) {
      Bed first(ours_first ? design : designs::pfn(), adapter, shape);
      Bed second(ours_first ? designs::pfn() : design, adapter, shape);
      Bed& bed = ours_first ? first : second;
      for (std::size_t number = 0; number < kCostNames.size(); ++number) {
        const auto cost = static_cast<Cost>(number);
        if (cost == Cost::relocate) {
          index_bytes = bed.index_bytes();
          if (!bed.count(searches)) {
            return state.SkipWithError("there are huge pages, or extents of another size");
          }
        }
        (ours_first ? ours : of_pfn)[number] += first.measure(cost);
        (ours_first ? of_pfn : ours)[number] += second.measure(cost);
      }
    }
    if (adapter.move != nullptr) {
      Bed mover(design, adapter, shape);
      move += mover.measure_move(adapter);
    }
    state.SetIterationTime((std::accumulate(ours.begin(), ours.end(), 0.0) - before) * 1e-9);
  }
  const auto pages = static_cast<double>(shape.pages);
  for (std::size_t cost = 0; cost < kCostNames.size(); ++cost) {
    const std::string name = kCostNames[cost];
    state.counters[name + "_ns"] = ours[cost] / (2 * static_cast<double>(state.iterations()) * pages);
    state.counters[name + "_ratio"] = ours[cost] / of_pfn[cost];
  }
  constexpr std::uint64_t kCountedPages = 1 << 10;
  const Counted counted(design);
  Bed bed(counted, adapter, {.pages = kCountedPages, .extent = shape.extent});
  counted.lookups = counted.locks = 0;
  bed.measure(Cost::relocate);
  state.counters["relocate_lookups"] = static_cast<double>(counted.lookups) / kCountedPages;
  state.counters["relocate_locks"] = static_cast<double>(counted.locks) / kCountedPages;
  if (adapter.move != nullptr) {
    state.counters["move_ns"] = move / static_cast<double>(state.iterations());
  }
  state.counters["lookups"] = static_cast<double>(searches.lookups) / pages;
  state.counters["locks"] = static_cast<double>(searches.locks) / pages;
  state.counters["index_bytes"] = static_cast<double>(index_bytes) / pages;
}

// On the realtime device the super block's one is the wrong place to look, so what that costs is no matter. (The files of
// ChunkFs and TieredFs are on the first device, until they leave it.)
bool right_on(const Adapter& adapter, const IndexDesign& design) {
  return adapter.devices == 1 || adapter.move != nullptr || &design != &designs::sector_of_super_block();
}

std::vector<std::int64_t> sizes(const Adapter& adapter) {
  std::vector<std::int64_t> sizes{1 << 10, 1 << 16, 1 << 20};
  std::erase_if(sizes, [&](std::int64_t pages) { return static_cast<std::uint64_t>(pages) > adapter.most_pages; });
  return sizes;
}

[[maybe_unused]] const bool registered = [] {
  for (const Adapter& adapter : kAdapters) {
    for (const IndexDesign* design : designs::all()) {
      if (right_on(adapter, *design)) {
        const std::string name =
            std::string("design:") + std::string(design->name()) + "/adapter:" + std::string(adapter.name);
        benchmark::RegisterBenchmark(
            name.c_str(), [design, &adapter](benchmark::State& state) { design_costs(state, *design, adapter); })
            ->ArgsProduct({sizes(adapter), {0, 16, 1}})
            ->ArgNames({"pages", "extent"})
            ->UseManualTime()
            ->Unit(benchmark::kMillisecond);
      }
    }
  }
  return true;
}();

}  // namespace
