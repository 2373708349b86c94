// SPDX-License-Identifier: BSD-3-Clause
#include "program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <cstring>
#include <map>
#include <memory>
#include <optional>
#include <set>

#include "daxsim/adapters/chunk.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/sim_devices/ram_disk.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {

const char* mmu_name(Mmu mmu) {
  switch (mmu) {
    case Mmu::soft:
      return "soft";
    case Mmu::userfaultfd:
      return "userfaultfd";
    case Mmu::sigsegv:
      return "sigsegv";
  }
  return "?";
}

namespace {

using Devices = std::span<const DeviceHandle>;

constexpr std::uint64_t kMostLength = 100;

std::string text_of(const FaultSignal& signal) { return fmt::format("signal {} code {}", signal.number, signal.code); }

class Program {
 public:
  explicit Program(const ProgramWorld& world);

  std::string run(const std::vector<Operation>& operations);

 private:
  using Cell = std::uint64_t;  // byte offset / 64
  struct Model {
    std::uint64_t size = 0;
    std::set<std::uint64_t> sizes{0};               // possible after the end
    std::map<Cell, std::uint64_t> now;              // absent: 0
    std::map<Cell, std::set<std::uint64_t>> maybe;  // absent: {0}
  };

  void run(const Operation& operation);
  void store(const Operation& operation);
  void write(const Operation& operation);
  void truncate(std::uint64_t cells);
  void punch(const Operation& operation);
  void reflink(const Operation& operation);
  void unshare(const Operation& operation);
  void relocate(std::uint64_t choice);
  void sync();
  void remount();
  void remove(const Operation& operation);
  void refuses_everything();
  void cut(const PowerCut& choice);

  void open_and_map();
  void unmap_and_close();
  std::optional<FaultSignal> store_value(Cell cell, std::uint64_t value);
  [[nodiscard]] std::uint64_t load(Cell cell);

  void put(Cell cell, std::uint64_t value);
  void clear_cells(std::uint64_t first_byte, std::uint64_t end_byte);
  void all_durable();
  void narrow_to_what_is_there(const char* when);
  void check_all(const char* when);
  void check_findings();
  void fail(std::string what);

  [[nodiscard]] std::uint64_t most_cells() const { return world_.pages * kPageSize / kCacheLine; }
  [[nodiscard]] std::uint64_t cells() const { return model_.size / kCacheLine; }

  const ProgramWorld world_;
  std::vector<TemporaryFile> files_;
  std::vector<std::shared_ptr<Device>> media_;
  Machine machine_;
  std::vector<DeviceHandle> devices_;
  std::optional<FileSystem> fs_;
  std::optional<File> file_;
  std::optional<Mapping> map_;
  Process* process_ = nullptr;
  std::uint64_t address_ = 0;
  Model model_;
  std::uint64_t next_value_ = 1;
  std::vector<std::string> log_;
  std::string failure_;
};

Program::Program(const ProgramWorld& world) : world_(world), machine_(world.machine) {
  for (std::size_t count = 0; count < world.adapter.devices; ++count) {
    if (count < world.adapter.devices - world.adapter.disks) {
      const TemporaryFile& file = files_.emplace_back();
      devices_.push_back(must(machine_.attach(sim::Pmem{.path = file.path(), .size = world.device_size})));
    } else {
      devices_.push_back(must(machine_.attach(sim::RamDisk{.size = world.device_size})));
    }
    media_.push_back(devices_.back().medium());
  }
  fs_ = must(world.adapter.mkfs(machine_, devices_));
  {
    File file = must(fs_->create("/file"));
    if (world.adapter.prepare != nullptr) {
      must(world.adapter.prepare(file));
    }
    must(file.truncate(world.pages * kPageSize));
    must(file.fsync());
  }
  model_.size = world.pages * kPageSize;
  all_durable();
  open_and_map();
}

void Program::open_and_map() {
  file_ = must(fs_->open("/file"));
  const MapOptions whole{.length = world_.pages * kPageSize};
  if (world_.mmu == Mmu::soft) {
    process_ = &machine_.spawn();
    address_ = must(process_->mmap(file_->open_file(), whole));
  } else {
    map_ = must(file_->map(whole, world_.mmu == Mmu::userfaultfd ? LiveBackend::userfaultfd : LiveBackend::sigsegv));
  }
}

void Program::unmap_and_close() {
  if (process_ != nullptr) {
    must(process_->munmap(address_, world_.pages * kPageSize));
    process_ = nullptr;
  }
  map_.reset();
  file_.reset();
}

std::string Program::run(const std::vector<Operation>& operations) {
  try {
    for (auto next = operations.begin(); next != operations.end() && failure_.empty(); ++next) {
      run(*next);
    }
    if (failure_.empty()) {
      check_all("at the end");
    }
    if (failure_.empty()) {
      cut({});
    }
  } catch (const MustError& error) {
    fail(error.what());
  }
  return failure_.empty() ? failure_ : fmt::format("{}\n  {}", failure_, fmt::join(log_, "\n  "));
}

void Program::run(const Operation& operation) {
  switch (operation.call) {
    case Call::store:
      return store(operation);
    case Call::write:
      return write(operation);
    case Call::fsync:
      return sync();
    case Call::truncate:
      return truncate(operation.where);
    case Call::punch:
      return punch(operation);
    case Call::reflink:
      return reflink(operation);
    case Call::unshare:
      return unshare(operation);
    case Call::relocate:
      return relocate(operation.where);
    case Call::look:
      return check_all("in the middle");
    case Call::remount:
      return remount();
    case Call::remove:
      return remove(operation);
    case Call::cut:
      break;
  }
  constexpr std::array kKinds{PowerCut::Kind::none, PowerCut::Kind::all, PowerCut::Kind::seeded,
                              PowerCut::Kind::seeded};
  return cut({.kind = kKinds.at(operation.where % kKinds.size()), .seed = operation.much});
}

void Program::fail(std::string what) {
  if (failure_.empty()) {
    failure_ = std::move(what);
  }
}

// What the detectors saw dies with the machine.
void Program::check_findings() {
  const std::vector<Finding> findings = machine_.findings();
  if (!findings.empty()) {
    fail(fmt::format("finding: {} (page {})", finding_name(findings.front().kind), findings.front().page.value));
  }
}

// --- the model ---

void Program::put(Cell cell, std::uint64_t value) {
  auto [maybe, fresh] = model_.maybe.try_emplace(cell);
  if (fresh) {
    maybe->second.insert(0);
  }
  maybe->second.insert(value);
  model_.now[cell] = value;
}

void Program::clear_cells(std::uint64_t first_byte, std::uint64_t end_byte) {
  for (auto at = model_.now.lower_bound(first_byte / kCacheLine);
       at != model_.now.end() && at->first < end_byte / kCacheLine; ++at) {
    at->second = 0;
    model_.maybe[at->first].insert(0);
  }
}

void Program::all_durable() {
  model_.sizes = {model_.size};
  for (const auto& [cell, value] : model_.now) {
    model_.maybe[cell] = {value};
  }
}

// --- operations ---

void Program::store(const Operation& operation) {
  if (cells() == 0) {
    return;
  }
  const Cell cell = operation.where % cells();
  const std::uint64_t value = next_value_++;
  log_.push_back(fmt::format("store cell {} (page {}) = {}", cell, cell * kCacheLine / kPageSize, value));
  if (const auto signal = store_value(cell, value)) {
    return fail(fmt::format("the store ended in {}", text_of(*signal)));
  }
  put(cell, value);
}

std::optional<FaultSignal> Program::store_value(Cell cell, std::uint64_t value) {
  if (world_.mmu == Mmu::soft) {
    const auto stored = process_->store<std::uint64_t>(address_ + cell * kCacheLine, value);
    return stored.ok() ? std::nullopt : std::optional(stored.error());
  }
  auto* const at = reinterpret_cast<volatile std::uint64_t*>(map_->data() + cell * kCacheLine);
  return SignalProbe::run([at, value] { *at = value; });
}

void Program::write(const Operation& operation) {
  const Cell first = operation.where % most_cells();
  const std::uint64_t count = std::min(1 + operation.much, most_cells() - first);
  const std::uint64_t value = next_value_++;
  log_.push_back(fmt::format("write cells {}+{} = {}", first, count, value));
  std::vector<std::uint64_t> bytes(count * kCacheLine / sizeof(std::uint64_t), 0);
  for (std::uint64_t cell = 0; cell < count; ++cell) {
    bytes[cell * kCacheLine / sizeof(std::uint64_t)] = value;
  }
  const std::uint64_t written = must(file_->pwrite(first * kCacheLine, std::as_bytes(std::span(bytes))));
  if (written != count * kCacheLine) {
    return fail(fmt::format("short write: {}", written));
  }
  for (Cell cell = first; cell < first + count; ++cell) {
    put(cell, value);
  }
  if ((first + count) * kCacheLine > model_.size) {
    model_.size = (first + count) * kCacheLine;
    model_.sizes.insert(model_.size);
  }
}

// Often in the middle of a page, always whole cells.
void Program::truncate(std::uint64_t cells) {
  const std::uint64_t size = std::min(cells, most_cells()) * kCacheLine;
  log_.push_back(fmt::format("truncate {}", size));
  must(file_->truncate(size));
  clear_cells(size, world_.pages * kPageSize);
  model_.size = size;
  model_.sizes.insert(size);
}

void Program::punch(const Operation& operation) {
  const std::uint64_t first = operation.where % world_.pages;
  const std::uint64_t pages = 1 + operation.much % (world_.pages - first);
  log_.push_back(fmt::format("punch pages {}+{}", first, pages));
  must(file_->fallocate(Fallocate::punch_hole, {first * kPageSize, pages * kPageSize}));
  clear_cells(first * kPageSize, (first + pages) * kPageSize);
}

// One part of the file becomes what another is. What is stored there is flushed before, and durable with the new blocks.
void Program::reflink(const Operation& operation) {
  const std::uint64_t whole = model_.size / kPageSize;
  if (world_.adapter.reflink == Reflink::no || whole < 2) {
    return;
  }
  const std::uint64_t first = operation.where % whole;
  const std::uint64_t to = operation.much % whole;
  const std::uint64_t apart = first < to ? to - first : first - to;
  const std::uint64_t pages = std::min(apart, whole - std::max(first, to));
  if (pages == 0) {
    return;
  }
  log_.push_back(fmt::format("reflink pages {}+{} to {}", first, pages, to));
  const Result<void> shared = file_->reflink(*file_, {first * kPageSize, pages * kPageSize}, to * kPageSize);
  if (!shared.ok()) {
    return fail(fmt::format("reflink met {}", errno_name(shared.error())));
  }
  constexpr Cell kCells = kPageSize / kCacheLine;
  for (Cell cell = 0; cell < pages * kCells; ++cell) {
    const auto from = model_.now.find(first * kCells + cell);
    put(to * kCells + cell, from == model_.now.end() ? 0 : from->second);
  }
}

// Nothing that a reader sees changes.
void Program::unshare(const Operation& operation) {
  const std::uint64_t whole = model_.size / kPageSize;
  if (world_.adapter.reflink == Reflink::no || whole == 0) {
    return;
  }
  const std::uint64_t first = operation.where % whole;
  const std::uint64_t pages = 1 + operation.much % (whole - first);
  log_.push_back(fmt::format("unshare pages {}+{}", first, pages));
  must(file_->fallocate(Fallocate::unshare_range, {first * kPageSize, pages * kPageSize}));
}

// Nothing that a reader sees changes, whether there was room for all of it or not.
void Program::relocate(std::uint64_t choice) {
  if (world_.adapter.relocate == nullptr) {
    return;
  }
  log_.push_back(fmt::format("relocate {}", choice));
  const Result<void> moved = world_.adapter.relocate(*fs_, choice);
  if (!moved.ok() && moved.error() != Errno::enospc) {
    fail(fmt::format("the relocation met {}", errno_name(moved.error())));
  }
}

void Program::sync() {
  log_.push_back("fsync");
  must(file_->fsync());
  all_durable();
}

void Program::remount() {
  log_.push_back("remount");
  unmap_and_close();
  must(fs_->unmount());
  fs_ = must(world_.adapter.mount(machine_, devices_));
  open_and_map();
  all_durable();
  check_all("after a remount");
}

// One device goes. The others follow, since what is in the caches above them is nobody's to write back any more; then all
// are plugged in again.
void Program::remove(const Operation& operation) {
  const Removal how = operation.where % 2 == 0 ? Removal::orderly : Removal::surprise;
  const std::size_t which = operation.much % devices_.size();
  log_.push_back(fmt::format("remove device {}, {}", which, how == Removal::orderly ? "in order" : "by surprise"));
  const RemovalReport report = must(machine_.remove(devices_[which], how));
  if (report.holder_error) {
    return fail(fmt::format("the file system met {}", errno_name(*report.holder_error)));
  }
  check_findings();
  if (failure_.empty()) {
    refuses_everything();
  }
  if (!failure_.empty()) {
    return;
  }
  unmap_and_close();
  must(fs_->unmount());
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    if (device != which) {
      must(machine_.remove(devices_[device], how));
    }
  }
  for (std::size_t device = 0; device < devices_.size(); ++device) {
    devices_[device] = must(machine_.attach(media_[device]));
  }
  fs_ = must(world_.adapter.mount(machine_, devices_));
  open_and_map();
  if (how == Removal::orderly) {
    all_durable();
    check_all("after an orderly removal");
  } else {
    narrow_to_what_is_there("the surprise");
  }
}

void Program::refuses_everything() {
  if (const auto signal = store_value(0, 1); !signal || signal->number != SIGBUS) {
    return fail(fmt::format("a store after the removal: {}", signal ? text_of(*signal) : "done"));
  }
  const std::byte byte{1};
  for (const std::optional<Errno> error :
       {error_of(file_->fsync()), error_of(file_->truncate(0)), error_of(file_->pwrite(0, {&byte, 1}))}) {
    if (error != Errno::eio) {
      fail("a call after the removal did not answer EIO");
    }
  }
}

void Program::cut(const PowerCut& choice) {
  log_.push_back(fmt::format("cut {} seed {}", static_cast<int>(choice.kind), choice.seed));
  must(machine_.power_cut(choice));
  check_findings();
  machine_ = must(machine_.reboot());
  process_ = nullptr;
  map_.reset();
  file_.reset();
  devices_ = machine_.devices();
  fs_ = must(world_.adapter.mount(machine_, devices_));
  open_and_map();
  narrow_to_what_is_there("the cut");
}

// --- looking ---

void Program::narrow_to_what_is_there(const char* when) {
  const std::uint64_t size = file_->size();
  if (!model_.sizes.contains(size)) {
    return fail(fmt::format("size {} after {}; possible: {}", size, when, fmt::join(model_.sizes, " ")));
  }
  std::vector<std::byte> bytes(size);
  must(file_->pread(0, bytes));
  std::map<Cell, std::uint64_t> found;
  for (Cell cell = 0; (cell + 1) * kCacheLine <= size; ++cell) {
    std::uint64_t value = 0;
    std::memcpy(&value, bytes.data() + cell * kCacheLine, sizeof value);
    const auto maybe = model_.maybe.find(cell);
    const bool possible = maybe == model_.maybe.end() ? value == 0 : maybe->second.contains(value);
    if (!possible) {
      return fail(fmt::format(
          "cell {} (page {}) is {} after {}; possible: {}", cell, cell * kCacheLine / kPageSize, value, when,
          maybe == model_.maybe.end() ? std::string("0") : fmt::format("{}", fmt::join(maybe->second, " "))));
    }
    if (value != 0) {
      found[cell] = value;
    }
  }
  model_.size = size;
  model_.now = std::move(found);
  model_.maybe.clear();
  all_durable();
}

std::uint64_t Program::load(Cell cell) {
  if (world_.mmu != Mmu::soft) {
    return *reinterpret_cast<volatile std::uint64_t*>(map_->data() + cell * kCacheLine);
  }
  const auto loaded = process_->load<std::uint64_t>(address_ + cell * kCacheLine);
  if (!loaded.ok()) {
    fail(fmt::format("a load of cell {} ended in {}", cell, text_of(loaded.error())));
    return 0;
  }
  return *loaded;
}

// Through read(2) and through the mapping: both must show what the model has.
void Program::check_all(const char* when) {
  if (file_->size() != model_.size) {
    return fail(fmt::format("{}: size {}, not {}", when, file_->size(), model_.size));
  }
  std::vector<std::byte> bytes(model_.size);
  const std::uint64_t got = must(file_->pread(0, bytes));
  if (got != model_.size) {
    return fail(fmt::format("{}: read {} of {} bytes", when, got, model_.size));
  }
  for (Cell cell = 0; cell < cells() && failure_.empty(); ++cell) {
    std::uint64_t read = 0;
    std::memcpy(&read, bytes.data() + cell * kCacheLine, sizeof read);
    const auto known = model_.now.find(cell);
    const std::uint64_t wanted = known == model_.now.end() ? 0 : known->second;
    // Every cell by read; every fourth also by a load, so that some pages stay unmapped.
    const std::uint64_t loaded = cell % 4 == 0 ? load(cell) : read;
    if (read != wanted || loaded != wanted) {
      fail(fmt::format("{}: cell {} (page {}) reads {}, loads {}; wanted {}", when, cell, cell * kCacheLine / kPageSize,
                       read, loaded, wanted));
    }
  }
}

}  // namespace

constinit const Adapter kLinear{.name = "Linear",
                                .devices = 1,
                                .mkfs = [](Machine& machine, Devices on) { return machine.mkfs<LinearFs>(on[0]); },
                                .mount = [](Machine& machine, Devices on) { return machine.mount<LinearFs>(on[0]); }};

constinit const Adapter kRealtime{
    .name = "Realtime",
    .devices = 2,
    .mkfs = [](Machine& machine, Devices on) { return machine.mkfs<RealtimeFs>(on[0], on[1]); },
    .mount = [](Machine& machine, Devices on) { return machine.mount<RealtimeFs>(on[0], on[1]); },
    .prepare = [](File& file) { return RealtimeFs::set_realtime(file.open_file()->inode()); }};

constinit const Adapter kRealtimeReflink{
    .name = "RealtimeReflink",
    .devices = 2,
    .mkfs =
        [](Machine& machine, Devices on) {
          return machine.mkfs<RealtimeFs>(on[0], on[1], RealtimeFsOptions{.reflink = Reflink::yes});
        },
    .mount = [](Machine& machine, Devices on) { return machine.mount<RealtimeFs>(on[0], on[1]); },
    .prepare = [](File& file) { return RealtimeFs::set_realtime(file.open_file()->inode()); },
    .reflink = Reflink::yes};

namespace {

template <ChunkProfile profile>
Result<FileSystem> mkfs_chunk(Machine& machine, Devices on) {
  return machine.mkfs<ChunkFs>(on, ChunkFsOptions{.profile = profile, .reflink = Reflink::yes});
}
// What went may have gone between a page and its copy.
Result<FileSystem> mount_chunk(Machine& machine, Devices on) {
  DAXSIM_TRY(FileSystem mounted, machine.mount<ChunkFs>(on));
  DAXSIM_TRY_VOID(ChunkFs::scrub(*mounted.super_block()));
  return mounted;
}

Result<void> balance_one_chunk(FileSystem& fs, std::uint64_t choice) {
  SuperBlock& super_block = *fs.super_block();
  DAXSIM_TRY(const std::vector<ChunkInfo> chunks, ChunkFs::chunks(super_block));
  DAXSIM_TRY_VOID(ChunkFs::balance(super_block, static_cast<std::uint32_t>(choice % chunks.size())));
  return {};
}

}  // namespace

constinit const Adapter kChunkSingle{.name = "ChunkSingle",
                                     .devices = 2,
                                     .mkfs = &mkfs_chunk<ChunkProfile::single>,
                                     .mount = &mount_chunk,
                                     .relocate = &balance_one_chunk,
                                     .reflink = Reflink::yes};
constinit const Adapter kChunkRaid0{.name = "ChunkRaid0",
                                    .devices = 2,
                                    .mkfs = &mkfs_chunk<ChunkProfile::raid0>,
                                    .mount = &mount_chunk,
                                    .relocate = &balance_one_chunk,
                                    .reflink = Reflink::yes};
constinit const Adapter kChunkDup{.name = "ChunkDup",
                                  .devices = 2,
                                  .mkfs = &mkfs_chunk<ChunkProfile::dup>,
                                  .mount = &mount_chunk,
                                  .relocate = &balance_one_chunk,
                                  .reflink = Reflink::yes};

namespace {

constexpr std::uint64_t kThird = 8 * kPageSize;

Result<void> spread_over_tiers(File& file) {
  DAXSIM_TRY_VOID(file.fallocate(Fallocate::allocate, {0, kThird}));
  DAXSIM_TRY_VOID(TieredFs::set_foreground_target(file.open_file()->inode(), Tier::block));
  return file.fallocate(Fallocate::allocate, {kThird, kThird});
}

// Some pages up or down, and new blocks from here or from there.
Result<void> migrate(FileSystem& fs, std::uint64_t choice) {
  DAXSIM_TRY(const File file, fs.open("/file"));
  Inode& inode = file.open_file()->inode();
  DAXSIM_TRY_VOID(TieredFs::set_foreground_target(inode, choice / 2 % 2 == 0 ? Tier::direct : Tier::block));
  const PageRange pages{{choice % 17}, 1 + choice % 19};
  const Result<std::uint64_t> moved =
      choice % 2 == 0 ? TieredFs::promote(inode, pages) : TieredFs::demote(inode, pages);
  return moved.ok() ? Result<void>() : moved.error();
}

}  // namespace

constinit const Adapter kTiered{
    .name = "Tiered",
    .devices = 2,
    .disks = 1,
    .mkfs = [](Machine& machine, Devices on) { return machine.mkfs<TieredFs>(on[0], on[1]); },
    .mount = [](Machine& machine, Devices on) { return machine.mount<TieredFs>(on[0], on[1]); },
    .prepare = &spread_over_tiers,
    .relocate = &migrate};

rc::Gen<std::vector<Operation>> any_program(std::uint64_t pages) {
  const auto up_to = [](std::uint64_t most) {
    return rc::gen::resize(rc::kNominalSize, rc::gen::inRange<std::uint64_t>(0, most + 1));
  };
  return rc::gen::container<std::vector<Operation>>(
      rc::gen::build<Operation>(rc::gen::set(&Operation::call, rc::gen::weightedElement<Call>({{25, Call::store},
                                                                                               {12, Call::write},
                                                                                               {8, Call::fsync},
                                                                                               {4, Call::truncate},
                                                                                               {4, Call::punch},
                                                                                               {6, Call::reflink},
                                                                                               {1, Call::unshare},
                                                                                               {3, Call::relocate},
                                                                                               {3, Call::look},
                                                                                               {1, Call::remount},
                                                                                               {3, Call::remove},
                                                                                               {4, Call::cut}})),
                                rc::gen::set(&Operation::where, up_to(pages * kPageSize / kCacheLine)),
                                rc::gen::set(&Operation::much, up_to(kMostLength))));
}

std::string run_program(const ProgramWorld& world, const std::vector<Operation>& program) {
  return Program(world).run(program);
}

}  // namespace daxsim::test
