// SPDX-License-Identifier: BSD-3-Clause
#include "program.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <array>
#include <cstring>
#include <span>

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

Program::Program(std::uint64_t seed, Mmu mmu, const Shape& shape, const MachineOptions& options)
    : shape_(shape),
      mmu_(mmu),
      random_(seed),
      world_((shape.realtime ? mounted_realtime : mounted)(shape.device_size, options)) {
  open_and_map(true);
  must(file_->truncate(shape_.pages * kPageSize));
  model_.size = shape_.pages * kPageSize;
  model_.sizes.insert(model_.size);
  sync();
}

Program::~Program() { unmap_and_close(); }

void Program::open_and_map(bool create) {
  file_.emplace(create ? must(world_.fs.create("/file")) : must(world_.fs.open("/file")));
  if (create && shape_.realtime) {
    must(RealtimeFs::set_realtime(file_->open_file()->inode()));
  }
  const MapOptions whole{.length = shape_.pages * kPageSize};
  if (mmu_ == Mmu::soft) {
    process_ = &world_.machine.spawn();
    address_ = must(process_->mmap(file_->open_file(), whole));
  } else {
    map_.emplace(must(file_->map(whole, mmu_ == Mmu::userfaultfd ? LiveBackend::userfaultfd : LiveBackend::sigsegv)));
  }
}

void Program::unmap_and_close() {
  if (process_ != nullptr) {
    must(process_->munmap(address_, shape_.pages * kPageSize));
    process_ = nullptr;
  }
  map_.reset();
  file_.reset();
}

std::string Program::run() {
  try {
    for (std::uint64_t count = 0; count < shape_.steps && failure_.empty(); ++count) {
      step();
    }
    if (failure_.empty()) {
      check_all("at the end");
    }
    if (failure_.empty() && !world_.machine.findings().empty()) {
      fail(fmt::format("finding: {}", finding_name(world_.machine.findings().front().kind)));
    }
  } catch (const MustError& error) {
    fail(error.what());
  }
  return failure_.empty() ? failure_ : fmt::format("{}\n  {}", failure_, fmt::join(log_, "\n  "));
}

void Program::step() {
  switch (random_.below(16)) {
    case 0:
    case 1:
      return sync();
    case 2:
      return truncate();
    case 3:
      return punch();
    case 4:
      return cut();
    case 5:
      return random_.one_in(4) ? remount() : check_all("in the middle");
    case 6:
    case 7:
    case 8:
      return write();
    default:
      return store();
  }
}

void Program::fail(std::string what) {
  if (failure_.empty()) {
    failure_ = std::move(what);
  }
}

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

void Program::store() {
  if (model_.size == 0) {
    return;
  }
  const Cell cell = random_.below(model_.size / kCacheLine);
  const std::uint64_t value = next_value_++;
  log_.push_back(fmt::format("store cell {} (page {}) = {}", cell, cell * kCacheLine / kPageSize, value));
  if (mmu_ == Mmu::soft) {
    if (const auto stored = process_->store<std::uint64_t>(address_ + cell * kCacheLine, value); !stored.has_value()) {
      return fail(fmt::format("store ended in signal {} code {}", stored.error().number, stored.error().code));
    }
  } else {
    *reinterpret_cast<volatile std::uint64_t*>(map_->data() + cell * kCacheLine) = value;
  }
  put(cell, value);
}

void Program::write() {
  const Cell first = random_.below(shape_.pages * kPageSize / kCacheLine);
  const std::uint64_t cells = std::min(1 + random_.below(100), shape_.pages * kPageSize / kCacheLine - first);
  const std::uint64_t value = next_value_++;
  log_.push_back(fmt::format("write cells {}+{} = {}", first, cells, value));
  std::vector<std::uint64_t> bytes(cells * kCacheLine / sizeof(std::uint64_t), 0);
  for (std::uint64_t cell = 0; cell < cells; ++cell) {
    bytes[cell * kCacheLine / sizeof(std::uint64_t)] = value;
  }
  const std::uint64_t written = must(file_->pwrite(first * kCacheLine, std::as_bytes(std::span(bytes))));
  if (written != cells * kCacheLine) {
    return fail(fmt::format("short write: {}", written));
  }
  for (Cell cell = first; cell < first + cells; ++cell) {
    put(cell, value);
  }
  if ((first + cells) * kCacheLine > model_.size) {
    model_.size = (first + cells) * kCacheLine;
    model_.sizes.insert(model_.size);
  }
}

void Program::truncate() {
  // Sometimes in the middle of a page, always whole cells.
  const std::uint64_t size = random_.below(shape_.pages * kPageSize / kCacheLine + 1) * kCacheLine;
  log_.push_back(fmt::format("truncate {}", size));
  must(file_->truncate(size));
  clear_cells(size, shape_.pages * kPageSize);
  model_.size = size;
  model_.sizes.insert(size);
}

void Program::punch() {
  const std::uint64_t first = random_.below(shape_.pages);
  const std::uint64_t pages = 1 + random_.below(shape_.pages - first);
  log_.push_back(fmt::format("punch pages {}+{}", first, pages));
  must(file_->fallocate(Fallocate::punch_hole, {first * kPageSize, pages * kPageSize}));
  clear_cells(first * kPageSize, (first + pages) * kPageSize);
}

void Program::sync() {
  log_.push_back("fsync");
  must(file_->fsync());
  all_durable();
}

void Program::cut() {
  PowerCut choice;
  switch (random_.below(4)) {
    case 0:
      choice.kind = PowerCut::Kind::none;
      break;
    case 1:
      choice.kind = PowerCut::Kind::all;
      break;
    default:
      choice = {.kind = PowerCut::Kind::seeded, .seed = random_.next()};
  }
  log_.push_back(fmt::format("cut {} seed {}", static_cast<int>(choice.kind), choice.seed));
  // What the detectors saw dies with the machine.
  const std::vector<Finding> findings = world_.machine.findings();
  if (!findings.empty()) {
    return fail(fmt::format("finding: {}", finding_name(findings.front().kind)));
  }
  world_.power_cycle(choice);
  process_ = nullptr;
  map_.reset();
  file_.reset();
  open_and_map(false);

  const std::uint64_t size = file_->size();
  if (!model_.sizes.contains(size)) {
    return fail(fmt::format("size {} after the cut; possible: {}", size, fmt::join(model_.sizes, " ")));
  }
  std::vector<std::byte> bytes(size);
  must(file_->pread(0, bytes));
  const std::uint64_t old_end = shape_.pages * kPageSize / kCacheLine;
  std::map<Cell, std::uint64_t> found;
  for (Cell cell = 0; cell < old_end; ++cell) {
    std::uint64_t value = 0;
    if ((cell + 1) * kCacheLine <= size) {
      std::memcpy(&value, bytes.data() + cell * kCacheLine, sizeof value);
      const auto maybe = model_.maybe.find(cell);
      const bool possible = maybe == model_.maybe.end() ? value == 0 : maybe->second.contains(value);
      if (!possible) {
        return fail(fmt::format(
            "cell {} (page {}) is {} after the cut; possible: {}", cell, cell * kCacheLine / kPageSize, value,
            maybe == model_.maybe.end() ? std::string("0") : fmt::format("{}", fmt::join(maybe->second, " "))));
      }
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

void Program::remount() {
  log_.push_back("remount");
  unmap_and_close();
  must(world_.fs.unmount());
  world_.mount();
  open_and_map(false);
  if (file_->size() != model_.size) {
    return fail(fmt::format("size {} after a remount, not {}", file_->size(), model_.size));
  }
  all_durable();
  check_all("after a remount");
}

std::uint64_t Program::load(Cell cell) {
  if (mmu_ != Mmu::soft) {
    return *reinterpret_cast<volatile std::uint64_t*>(map_->data() + cell * kCacheLine);
  }
  const auto loaded = process_->load<std::uint64_t>(address_ + cell * kCacheLine);
  if (!loaded.has_value()) {
    fail(fmt::format("load of cell {} ended in signal {} code {}", cell, loaded.error().number, loaded.error().code));
    return 0;
  }
  return *loaded;
}

// Through read(2) and through the mapping: both must show what the model has.
void Program::check_all(const char* when) {
  std::vector<std::byte> bytes(model_.size);
  const std::uint64_t got = must(file_->pread(0, bytes));
  if (got != model_.size) {
    return fail(fmt::format("{}: read {} of {} bytes", when, got, model_.size));
  }
  for (Cell cell = 0; cell < model_.size / kCacheLine && failure_.empty(); ++cell) {
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

}  // namespace daxsim::test
