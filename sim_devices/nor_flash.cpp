// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/nor_flash.hpp"

#include <algorithm>
#include <utility>

#include "daxsim/base/sync.hpp"
#include "nor_driver.hpp"
#include "nor_media.hpp"
#include "outcomes.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

// The faults of chip `chip`, counted from its own first block and byte.
NorDefects defects_of(const NorFlash& config, std::uint32_t chip) {
  const std::uint32_t blocks = config.part.blocks();
  const std::uint64_t bytes = config.part.size();
  NorDefects defects{.faults = {.vpp = config.faults.vpp, .acknowledges_suspend = config.faults.acknowledges_suspend},
                     .seed = config.seed ^ chip};
  for (const WeakBlock& weak : config.faults.weak) {
    if (weak.block / blocks == chip) {
      defects.faults.weak.push_back({.block = weak.block % blocks, .erases = weak.erases});
    }
  }
  for (const StuckBit& stuck : config.faults.stuck) {
    if (stuck.offset / bytes == chip) {
      defects.faults.stuck.push_back({.offset = stuck.offset % bytes, .bit = stuck.bit, .value = stuck.value});
    }
  }
  for (const std::uint32_t block : config.faults.hanging) {
    if (block / blocks == chip) {
      defects.faults.hanging.push_back(block % blocks);
    }
  }
  return defects;
}

}  // namespace

Result<std::shared_ptr<NorMedia>> open(const NorFlash& config) {
  auto media = std::make_shared<NorMediaFile>(config);
  DAXSIM_TRY_VOID(media->open());
  return media;
}

struct Mtd::Chips {
  struct Chip {
    Chip(const NorFlash& config, std::uint32_t number, NorCells cells, VirtualClock& clock)
        : driver(config.part, defects_of(config, number), cells, clock) {}
    NorDriver driver;
    std::uint64_t points = 0;
  };
  // A range of one chip, from the chip's first byte.
  struct Piece {
    std::uint32_t chip = 0;
    ByteRange bytes;
  };

  Chips(std::shared_ptr<NorMediaFile> from, VirtualClock& time, NorObserver* observer)
      : media(std::move(from)), config(media->config()), part(config.part), chip_bytes(part.size()), clock(time) {
    const MutexLock guard(lock);
    chips.reserve(config.chips);
    for (std::uint32_t i = 0; i < config.chips; ++i) {
      NorCells cells = media->cells(i, media->bytes());
      cells.observer = observer;
      chips.push_back(std::make_unique<Chip>(config, i, cells, clock));
    }
  }

  [[nodiscard]] bool is_inside(ByteRange bytes) const noexcept {
    return bytes.offset <= media->size() && bytes.length <= media->size() - bytes.offset;
  }
  [[nodiscard]] bool is_inside(std::uint64_t offset) const noexcept { return offset < media->size(); }
  [[nodiscard]] std::uint32_t chip_of(std::uint64_t offset) const noexcept {
    return static_cast<std::uint32_t>(offset / chip_bytes);
  }
  [[nodiscard]] ByteRange block(std::uint64_t offset) const noexcept {
    const ByteRange in_chip = nor_block(part, offset % chip_bytes);
    return {offset - offset % chip_bytes + in_chip.offset, in_chip.length};
  }
  [[nodiscard]] bool are_blocks(ByteRange bytes) const noexcept {
    return is_inside(bytes) && (bytes.length == 0 || (block(bytes.offset).offset == bytes.offset &&
                                                      block(bytes.end() - 1).end() == bytes.end()));
  }
  // How much of `bytes`, which are inside, is before the next multiple of `unit`.
  static std::uint64_t until_next(ByteRange bytes, std::uint64_t unit) noexcept {
    return std::min(bytes.length, unit - bytes.offset % unit);
  }
  // What one program command can do.
  [[nodiscard]] std::uint64_t program_unit() const noexcept {
    return std::max<std::uint64_t>(part.buffer_bytes, part.bus_bytes);
  }
  // Initial access for each page, then the rest of its words.
  [[nodiscard]] std::chrono::nanoseconds read_time(ByteRange bytes) const noexcept {
    const auto count = [bytes](std::uint64_t unit) {
      return static_cast<std::int64_t>((bytes.end() - 1) / unit - bytes.offset / unit + 1);
    };
    const std::int64_t pages = count(part.page_bytes);
    return part.read_initial * pages + part.read_page * (count(part.bus_bytes) - pages);
  }

  // Calls act(driver) under the lock when the chip is not pointed.
  template <class Act>
  Result<void> when_not_pointed(std::uint32_t number, Act act) {
    for (;;) {
      // Queued before the test: who unpoints counts under the lock and wakes afterwards.
      Waiter waiter({this, number}, WaitMode::shared);
      waiter.enqueue();
      {
        const MutexLock guard(lock);
        if (chips[number]->points == 0) {
          return act(chips[number]->driver);
        }
      }
      DAXSIM_TRY_VOID(waiter.wait_interruptible());
    }
  }

  template <class Act>
  Result<void> for_each_block(ByteRange blocks, Act act) {
    if (!are_blocks(blocks)) {
      return Errno::einval;
    }
    for (std::uint64_t at = blocks.offset; at < blocks.end(); at = block(at).end()) {
      DAXSIM_TRY_VOID(
          when_not_pointed(chip_of(at), [&act, at, this](NorDriver& driver) { return act(driver, at % chip_bytes); }));
    }
    return {};
  }

  Result<void> point_chip(Piece piece);
  Result<void> unpoint_chip(std::uint32_t number);
  std::vector<LineHistory> pending();
  void cut(std::span<const LineHistory> operations, std::span<const std::uint32_t> chosen, std::span<std::byte> bytes);

  const std::shared_ptr<NorMediaFile> media;
  const NorFlash& config;
  const NorPart& part;
  const std::uint64_t chip_bytes;
  VirtualClock& clock;
  Mutex lock{LockRank::media};
  std::vector<std::unique_ptr<Chip>> chips DAXSIM_GUARDED_BY(lock);
  std::uint64_t open_page DAXSIM_GUARDED_BY(lock) = ~std::uint64_t{0};  // of the last load, if it showed the array
  bool is_cut = false;                                                  // written when nobody is inside
};

Mtd::Mtd(std::unique_ptr<Chips> chips) noexcept : chips_(std::move(chips)) {}

Result<std::unique_ptr<Mtd>> Mtd::power_on(std::shared_ptr<NorMedia> media, VirtualClock& clock) {
  return power_on(std::move(media), clock, nullptr);
}

Result<std::unique_ptr<Mtd>> Mtd::power_on(std::shared_ptr<NorMedia> media, VirtualClock& clock,
                                           NorObserver* observer) {
  // There is no other NorMedia: only open() makes them.
  auto file = std::static_pointer_cast<NorMediaFile>(std::move(media));
  DAXSIM_TRY_VOID(file->take_view());
  return std::unique_ptr<Mtd>(new Mtd(std::make_unique<Chips>(std::move(file), clock, observer)));
}

Mtd::~Mtd() {
  if (!chips_->is_cut) {
    const MutexLock guard(chips_->lock);
    for (const auto& chip : chips_->chips) {
      chip->driver.chip().finish();
    }
    chips_->media->return_view();
  }
}

std::uint64_t Mtd::size() const noexcept { return chips_->media->size(); }
const NorPart& Mtd::part() const noexcept { return chips_->part; }
std::uint64_t Mtd::operations() const noexcept {
  const MutexLock guard(chips_->lock);
  std::uint64_t count = 0;
  for (const auto& chip : chips_->chips) {
    count += chip->driver.chip().operations();
  }
  return count;
}

ByteRange Mtd::erase_block(std::uint64_t offset) const noexcept { return chips_->block(offset); }

std::uint32_t Mtd::erases(std::uint64_t offset) const noexcept {
  const MutexLock guard(chips_->lock);
  const NorCells cells = chips_->media->cells(chips_->chip_of(offset), chips_->media->bytes());
  return cells.marks[nor_block_index(chips_->part, offset % chips_->chip_bytes)].erases;
}

Result<void> Mtd::read(std::uint64_t offset, std::span<std::byte> to) {
  if (!chips_->is_inside(ByteRange{offset, to.size()})) {
    return Errno::einval;
  }
  while (!to.empty()) {
    const std::span piece = to.first(Chips::until_next({offset, to.size()}, chips_->chip_bytes));
    const MutexLock guard(chips_->lock);
    Chips::Chip& chip = *chips_->chips[chips_->chip_of(offset)];
    DAXSIM_TRY_VOID(chip.driver.read(offset % chips_->chip_bytes, piece));
    chips_->clock.advance(chips_->read_time({offset, piece.size()}));
    if (chip.points == 0) {
      chip.driver.go_on();
    }
    offset += piece.size();
    to = to.subspan(piece.size());
  }
  return {};
}

Result<void> Mtd::program(std::uint64_t offset, std::span<const std::byte> from) {
  if (!chips_->is_inside(ByteRange{offset, from.size()})) {
    return Errno::einval;
  }
  while (!from.empty()) {
    const std::span piece = from.first(Chips::until_next({offset, from.size()}, chips_->program_unit()));
    const std::uint64_t address = offset % chips_->chip_bytes;
    DAXSIM_TRY_VOID(chips_->when_not_pointed(
        chips_->chip_of(offset), [address, piece](NorDriver& driver) { return driver.program(address, piece); }));
    offset += piece.size();
    from = from.subspan(piece.size());
  }
  return {};
}

Result<void> Mtd::erase(ByteRange blocks) {
  return chips_->for_each_block(blocks, [](NorDriver& driver, std::uint64_t address) { return driver.erase(address); });
}

Result<void> Mtd::lock(ByteRange blocks) {
  return chips_->for_each_block(blocks, [](NorDriver& driver, std::uint64_t address) {
    return driver.change_lock(address, NorCommand::lock_block);
  });
}

Result<void> Mtd::unlock(ByteRange blocks) {
  return chips_->for_each_block(blocks, [](NorDriver& driver, std::uint64_t address) {
    return driver.change_lock(address, NorCommand::unlock_block);
  });
}

Result<bool> Mtd::is_locked(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  const MutexLock guard(chips_->lock);
  return chips_->chips[chips_->chip_of(offset)]->driver.is_locked(offset % chips_->chip_bytes);
}

Result<void> Mtd::start_program(std::uint64_t offset, std::span<const std::byte> from) {
  const ByteRange bytes{offset, from.size()};
  if (from.empty() || !chips_->is_inside(bytes) || Chips::until_next(bytes, chips_->program_unit()) != from.size()) {
    return Errno::einval;
  }
  const MutexLock guard(chips_->lock);
  Chips::Chip& chip = *chips_->chips[chips_->chip_of(offset)];
  return chip.points != 0 ? Errno::eagain
                          : chip.driver.start_program(offset % chips_->chip_bytes, from, NorDriver::Wait::no);
}

Result<void> Mtd::start_erase(std::uint64_t block) {
  if (!chips_->is_inside(block) || chips_->block(block).offset != block) {
    return Errno::einval;
  }
  const MutexLock guard(chips_->lock);
  Chips::Chip& chip = *chips_->chips[chips_->chip_of(block)];
  return chip.points != 0 ? Errno::eagain : chip.driver.start_erase(block % chips_->chip_bytes, NorDriver::Wait::no);
}

Result<void> Mtd::wait(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  return chips_->when_not_pointed(chips_->chip_of(offset), [](NorDriver& driver) -> Result<void> {
    DAXSIM_TRY_VOID(driver.finish());
    return driver.take_result();
  });
}

Result<void> Mtd::suspend(std::uint64_t offset, SuspendLimit limit) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  const MutexLock guard(chips_->lock);
  return chips_->chips[chips_->chip_of(offset)]->driver.suspend(limit == SuspendLimit::xip ? kXipSuspendLimit
                                                                                           : kSuspendLimit);
}

Result<void> Mtd::resume(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  const MutexLock guard(chips_->lock);
  Chips::Chip& chip = *chips_->chips[chips_->chip_of(offset)];
  if (chip.points != 0) {
    return Errno::eagain;
  }
  chip.driver.resume();
  return {};
}

Result<void> Mtd::Chips::point_chip(Piece piece) {
  for (;;) {
    Waiter waiter({this, piece.chip}, WaitMode::shared);
    waiter.enqueue();
    {
      const MutexLock guard(lock);
      Chip& chip = *chips[piece.chip];
      if (chip.points == 0 || config.nested_point == NestedPoint::counts) {
        const Result<void> ready = chip.driver.prepare_point(piece.bytes);
        chip.points += ready.ok() ? 1 : 0;
        return ready;
      }
    }
    DAXSIM_TRY_VOID(waiter.wait_interruptible());
  }
}

Result<std::span<const std::byte>> Mtd::point(ByteRange bytes) {
  if (!chips_->is_inside(bytes)) {
    return Errno::einval;
  }
  std::uint64_t pointed = 0;
  while (pointed < bytes.length) {
    const ByteRange rest{bytes.offset + pointed, bytes.length - pointed};
    const std::uint64_t length = Chips::until_next(rest, chips_->chip_bytes);
    const Result<void> result =
        chips_->point_chip({.chip = chips_->chip_of(rest.offset), .bytes = {rest.offset % chips_->chip_bytes, length}});
    if (!result.ok() && pointed == 0) {
      return result.error();
    }
    if (!result.ok()) {
      break;  // what there is
    }
    pointed += length;
    if (chips_->config.gap == NorGap::between_chips) {
      break;
    }
  }
  return std::span<const std::byte>(chips_->media->bytes().subspan(bytes.offset, pointed));
}

Result<void> Mtd::Chips::unpoint_chip(std::uint32_t number) {
  {
    const MutexLock guard(lock);
    Chip& chip = *chips[number];
    if (chip.points == 0) {
      return Errno::einval;
    }
    if (--chip.points != 0) {
      return {};
    }
    chip.driver.go_on();
  }
  wake_waiters({this, number}, Wake::all);
  return {};
}

Result<void> Mtd::unpoint(ByteRange bytes) {
  if (!chips_->is_inside(bytes)) {
    return Errno::einval;
  }
  Result<void> result;
  for (std::uint64_t at = bytes.offset; at < bytes.end(); at += chips_->chip_bytes - at % chips_->chip_bytes) {
    if (const Result<void> done = chips_->unpoint_chip(chips_->chip_of(at)); !done.ok()) {
      result = done;
    }
  }
  return result;
}

NorLoad Mtd::load(std::uint64_t offset) {
  const MutexLock guard(chips_->lock);
  const NorLoad load = chips_->chips[chips_->chip_of(offset)]->driver.chip().read(offset % chips_->chip_bytes);
  const std::uint64_t page = offset / chips_->part.page_bytes;
  const bool is_open = load.source == NorSource::array && page == chips_->open_page;
  chips_->open_page = load.source == NorSource::array ? page : ~std::uint64_t{0};
  chips_->clock.advance(is_open ? chips_->part.read_page : chips_->part.read_initial);
  return load;
}

void Mtd::store(std::uint64_t offset, std::uint16_t word) {
  const MutexLock guard(chips_->lock);
  chips_->chips[chips_->chip_of(offset)]->driver.chip().write(offset % chips_->chip_bytes, word);
}

// Memory is allocated outside the lock: the program's allocator may itself live on a mapping.
std::vector<LineHistory> Mtd::Chips::pending() {
  std::vector<LineHistory> operations;
  operations.reserve(std::size_t{2} * config.chips);
  const MutexLock guard(lock);
  for (std::uint32_t i = 0; i < config.chips; ++i) {
    chips[i]->driver.chip().pending_operations(i * chip_bytes, operations);
  }
  return operations;
}

void Mtd::Chips::cut(std::span<const LineHistory> operations, std::span<const std::uint32_t> chosen,
                     std::span<std::byte> bytes) {
  const MutexLock guard(lock);
  for (std::size_t i = 0; i < operations.size(); ++i) {
    const std::uint32_t number = chip_of(operations[i].offset);
    chips[number]->driver.chip().cut(operations[i].offset % chip_bytes, chosen[i], media->cells(number, bytes));
  }
}

std::vector<LineHistory> Mtd::pending_operations() { return chips_->pending(); }

Result<PowerCutReport> Mtd::power_cut(const PowerCut& choice) {
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  chips_->cut(operations, chosen, chips_->media->bytes());
  PowerCutReport report{.unfenced_lines = operations.size()};
  for (std::size_t i = 0; i < operations.size(); ++i) {
    report.lost_lines += chosen[i] + 1 != operations[i].outcomes ? 1 : 0;
  }
  chips_->is_cut = true;
  chips_->media->return_view();
  return report;
}

Result<void> Mtd::cut(const PowerCut& choice, std::span<std::byte> copy) {
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  chips_->cut(operations, chosen, copy);
  return {};
}

Result<NorContents> Mtd::contents_after(const PowerCut& choice) {
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  const std::span now = chips_->media->bytes();
  NorContents contents{.bytes = {now.begin(), now.end()}};
  chips_->cut(operations, chosen, contents.bytes);
  return contents;
}

}  // namespace sim
DAXSIM_END
