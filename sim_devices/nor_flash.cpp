// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/nor_flash.hpp"

#include <algorithm>
#include <optional>
#include <utility>

#include "base/atomic_copy.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/sync.hpp"
#include "nor_driver.hpp"
#include "nor_media.hpp"
#include "nor_view.hpp"
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
  // What mappings of a partition have been given since they were last taken away.
  enum class Given : std::uint8_t { nothing, data, status };
  struct Partition {
    Given given = Given::nothing;
    bool is_stale = false;  // what was given is not what the chip shows: mappings have to go
  };
  struct Chip {
    Chip(const NorFlash& config, std::uint32_t number, NorCells cells, VirtualClock& clock)
        : driver(config.part, defects_of(config, number), cells, clock), partitions(config.part.partitions) {}
    NorDriver driver;
    std::uint64_t points = 0;
    bool has_writer = false;  // a program or an erase waits for its end
    std::vector<Partition> partitions;
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

  // Calls act(chip) under the lock once is_free(chip).
  template <class IsFree, class Act>
  Result<void> when(std::uint32_t number, IsFree is_free, Act act) {
    for (;;) {
      // Queued before the test: who frees a chip does it under the lock and wakes afterwards.
      Waiter waiter({this, number}, WaitMode::shared);
      waiter.enqueue();
      {
        const MutexLock guard(lock);
        DAXSIM_TRY_VOID(check_power());
        Chip& chip = *chips[number];
        if (is_free(chip)) {
          const Result<void> done = act(chip);
          note_stale(chip);
          return done;
        }
      }
      DAXSIM_TRY_VOID(waiter.wait_interruptible());
    }
  }
  // The same with act(driver), once nobody reads or changes the chip.
  template <class Act>
  Result<void> when_free(std::uint32_t number, Act act) {
    const Result<void> done = when(
        number, [](const Chip& chip) { return chip.points == 0 && !chip.has_writer; },
        [&act](Chip& chip) { return act(chip.driver); });
    revoke_stale();
    return done;
  }
  // A whole operation. The lock is not held while mappings are taken away at its begin, so whatever comes in between must
  // leave the chip to it.
  template <class Start, class Finish>
  Result<void> change(std::uint32_t number, Start start, Finish finish) {
    const Result<void> begun = when(
        number, [](const Chip& chip) { return chip.points == 0 && !chip.has_writer; },
        [&start](Chip& chip) -> Result<void> {
          DAXSIM_TRY_VOID(start(chip.driver));
          chip.has_writer = true;
          return {};
        });
    revoke_stale();
    DAXSIM_TRY_VOID(begun);
    const Result<void> done = when(
        number, [](const Chip& chip) { return chip.points == 0; },
        [&finish](Chip& chip) { return finish(chip.driver); });
    {
      const MutexLock guard(lock);
      chips[number]->has_writer = false;
    }
    wake_waiters({this, number}, Wake::all);
    revoke_stale();
    return done;
  }
  // A call of the driver of the chip at `offset` that does not sleep.
  template <class Act>
  Result<void> at_once(std::uint64_t offset, Act act) {
    const auto use = [&]() -> Result<void> {
      const MutexLock guard(lock);
      DAXSIM_TRY_VOID(check_power());
      Chip& chip = *chips[chip_of(offset)];
      const Result<void> done = act(chip, offset % chip_bytes);
      note_stale(chip);
      return done;
    };
    const Result<void> done = use();
    revoke_stale();
    return done;
  }

  template <class Visit>
  Result<void> for_each_block(ByteRange blocks, Visit visit) {
    if (!are_blocks(blocks)) {
      return Errno::einval;
    }
    for (std::uint64_t at = blocks.offset; at < blocks.end(); at = block(at).end()) {
      DAXSIM_TRY_VOID(visit(chip_of(at), at % chip_bytes));
    }
    return {};
  }
  Result<void> change_lock(ByteRange blocks, NorCommand command) {
    return for_each_block(blocks, [command, this](std::uint32_t number, std::uint64_t address) {
      return when_free(number, [command, address](NorDriver& driver) { return driver.change_lock(address, command); });
    });
  }

  // Errors: Errno::enxio.
  Result<void> check_power() const DAXSIM_REQUIRES(lock) {
    return is_off ? Result<void>(Errno::enxio) : Result<void>();
  }
  // Under the lock that a command was given under, so that nobody can hide what it did.
  void note_stale(Chip& chip) const DAXSIM_REQUIRES(lock);
  void revoke_stale();
  std::optional<ByteRange> take_stale();

  // As Mtd's, but takes no mapping away.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to);

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
  bool is_off DAXSIM_GUARDED_BY(lock) = false;
  NorView* view = nullptr;            // of a flash that is attached; set before anybody else has it
  Mutex revoking{LockRank::machine};  // held until what is stale is taken away, so whoever comes second waits for it
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
  const MutexLock guard(chips_->lock);
  if (!chips_->is_off) {
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

Result<void> Mtd::Chips::read(std::uint64_t offset, std::span<std::byte> to) {
  while (!to.empty()) {
    const std::span piece = to.first(until_next({offset, to.size()}, chip_bytes));
    const MutexLock guard(lock);
    DAXSIM_TRY_VOID(check_power());
    Chip& chip = *chips[chip_of(offset)];
    DAXSIM_TRY_VOID(chip.driver.read(offset % chip_bytes, piece));
    clock.advance(read_time({offset, piece.size()}));
    if (chip.points == 0) {
      chip.driver.go_on();
    }
    note_stale(chip);
    offset += piece.size();
    to = to.subspan(piece.size());
  }
  return {};
}

Result<void> Mtd::read(std::uint64_t offset, std::span<std::byte> to) {
  if (!chips_->is_inside(ByteRange{offset, to.size()})) {
    return Errno::einval;
  }
  const Result<void> done = chips_->read(offset, to);
  chips_->revoke_stale();
  return done;
}

Result<void> Mtd::program(std::uint64_t offset, std::span<const std::byte> from) {
  if (!chips_->is_inside(ByteRange{offset, from.size()})) {
    return Errno::einval;
  }
  while (!from.empty()) {
    const std::span piece = from.first(Chips::until_next({offset, from.size()}, chips_->program_unit()));
    const std::uint64_t address = offset % chips_->chip_bytes;
    DAXSIM_TRY_VOID(chips_->change(
        chips_->chip_of(offset),
        [address, piece](NorDriver& driver) { return driver.start_program(address, piece, NorDriver::Wait::yes); },
        [](NorDriver& driver) { return driver.finish_program(); }));
    offset += piece.size();
    from = from.subspan(piece.size());
  }
  return {};
}

Result<void> Mtd::erase(ByteRange blocks) {
  return chips_->for_each_block(blocks, [this](std::uint32_t number, std::uint64_t address) {
    return chips_->change(
        number, [address](NorDriver& driver) { return driver.start_erase(address, NorDriver::Wait::yes); },
        [](NorDriver& driver) { return driver.finish_erase(); });
  });
}

Result<void> Mtd::lock(ByteRange blocks) { return chips_->change_lock(blocks, NorCommand::lock_block); }
Result<void> Mtd::unlock(ByteRange blocks) { return chips_->change_lock(blocks, NorCommand::unlock_block); }

Result<bool> Mtd::is_locked(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  bool locked = false;
  DAXSIM_TRY_VOID(chips_->at_once(offset, [&locked](Chips::Chip& chip, std::uint64_t address) -> Result<void> {
    DAXSIM_TRY(locked, chip.driver.is_locked(address));
    return {};
  }));
  return locked;
}

Result<void> Mtd::start_program(std::uint64_t offset, std::span<const std::byte> from) {
  const ByteRange bytes{offset, from.size()};
  if (from.empty() || !chips_->is_inside(bytes) || Chips::until_next(bytes, chips_->program_unit()) != from.size()) {
    return Errno::einval;
  }
  return chips_->at_once(offset, [from](Chips::Chip& chip, std::uint64_t address) -> Result<void> {
    return chip.points != 0 || chip.has_writer ? Errno::eagain
                                               : chip.driver.start_program(address, from, NorDriver::Wait::no);
  });
}

Result<void> Mtd::start_erase(std::uint64_t block) {
  if (!chips_->is_inside(block) || chips_->block(block).offset != block) {
    return Errno::einval;
  }
  return chips_->at_once(block, [](Chips::Chip& chip, std::uint64_t address) -> Result<void> {
    return chip.points != 0 || chip.has_writer ? Errno::eagain : chip.driver.start_erase(address, NorDriver::Wait::no);
  });
}

// What goes on is first seen to go on, so that a load in another thread can come before the end.
Result<void> Mtd::wait(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  const std::uint32_t number = chips_->chip_of(offset);
  DAXSIM_TRY_VOID(chips_->when_free(number, [](NorDriver& driver) -> Result<void> {
    driver.resume();
    return {};
  }));
  return chips_->when_free(number, [](NorDriver& driver) -> Result<void> {
    DAXSIM_TRY_VOID(driver.finish());
    return driver.take_result();
  });
}

Result<void> Mtd::suspend(std::uint64_t offset, SuspendLimit limit) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  return chips_->at_once(offset, [limit](Chips::Chip& chip, std::uint64_t) {
    return chip.driver.suspend(limit == SuspendLimit::xip ? kXipSuspendLimit : kSuspendLimit);
  });
}

Result<void> Mtd::resume(std::uint64_t offset) {
  if (!chips_->is_inside(offset)) {
    return Errno::einval;
  }
  return chips_->at_once(offset, [](Chips::Chip& chip, std::uint64_t) -> Result<void> {
    if (chip.points != 0) {
      return Errno::eagain;
    }
    chip.driver.resume();
    return {};
  });
}

Result<void> Mtd::Chips::point_chip(Piece piece) {
  for (;;) {
    Waiter waiter({this, piece.chip}, WaitMode::shared);
    waiter.enqueue();
    {
      const MutexLock guard(lock);
      DAXSIM_TRY_VOID(check_power());
      Chip& chip = *chips[piece.chip];
      if (chip.points == 0 || config.nested_point == NestedPoint::counts) {
        const Result<void> ready = chip.driver.prepare_point(piece.bytes);
        chip.points += ready.ok() ? 1 : 0;
        note_stale(chip);
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
  chips_->revoke_stale();
  return std::span<const std::byte>(chips_->media->bytes().subspan(bytes.offset, pointed));
}

Result<void> Mtd::Chips::unpoint_chip(std::uint32_t number) {
  {
    const MutexLock guard(lock);
    DAXSIM_TRY_VOID(check_power());
    Chip& chip = *chips[number];
    if (chip.points == 0) {
      return Errno::einval;
    }
    if (--chip.points != 0) {
      return {};
    }
    chip.driver.go_on();
    note_stale(chip);
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
  chips_->revoke_stale();
  return result;
}

NorLoad Mtd::load(std::uint64_t offset) {
  const MutexLock guard(chips_->lock);
  if (chips_->is_off) {
    return {.word = 0xffff, .source = NorSource::undefined};
  }
  const NorLoad load = chips_->chips[chips_->chip_of(offset)]->driver.chip().read(offset % chips_->chip_bytes);
  const std::uint64_t page = offset / chips_->part.page_bytes;
  const bool is_open = load.source == NorSource::array && page == chips_->open_page;
  chips_->open_page = load.source == NorSource::array ? page : ~std::uint64_t{0};
  chips_->clock.advance(is_open ? chips_->part.read_page : chips_->part.read_initial);
  return load;
}

void Mtd::store(std::uint64_t offset, std::uint16_t word) {
  const MutexLock guard(chips_->lock);
  if (!chips_->is_off) {
    chips_->chips[chips_->chip_of(offset)]->driver.chip().write(offset % chips_->chip_bytes, word);
  }
}

// Memory is allocated outside the lock: the program's allocator may itself live on a mapping.
std::vector<LineHistory> Mtd::Chips::pending() {
  std::vector<LineHistory> operations;
  operations.reserve(std::size_t{2} * config.chips);
  const MutexLock guard(lock);
  for (std::uint32_t i = 0; i < config.chips && !is_off; ++i) {
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
  {
    const MutexLock guard(chips_->lock);
    DAXSIM_TRY_VOID(chips_->check_power());
  }
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  chips_->cut(operations, chosen, chips_->media->bytes());
  PowerCutReport report{.unfenced_lines = operations.size()};
  for (std::size_t i = 0; i < operations.size(); ++i) {
    report.lost_lines += chosen[i] + 1 != operations[i].outcomes ? 1 : 0;
  }
  switch_off();
  return report;
}

Result<void> Mtd::cut(const PowerCut& choice, std::span<std::byte> copy) {
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  chips_->cut(operations, chosen, copy);
  return {};
}

void Mtd::switch_off() noexcept {
  {
    const MutexLock guard(chips_->lock);
    if (std::exchange(chips_->is_off, true)) {
      return;
    }
    chips_->media->return_view();
  }
  for (std::uint32_t number = 0; number < chips_->config.chips; ++number) {
    wake_waiters({chips_.get(), number}, Wake::all);
  }
}

Result<NorContents> Mtd::contents_after(const PowerCut& choice) {
  {
    const MutexLock guard(chips_->lock);
    DAXSIM_TRY_VOID(chips_->check_power());
  }
  const std::vector<LineHistory> operations = chips_->pending();
  DAXSIM_TRY(const std::vector<std::uint32_t> chosen, choose_outcomes(operations, choice));
  const std::span now = chips_->media->bytes();
  NorContents contents{.bytes = {now.begin(), now.end()}};
  chips_->cut(operations, chosen, contents.bytes);
  return contents;
}

// For a view

Result<Mtd::Shown> Mtd::show(ByteRange bytes, const ShowIn& places) {
  const MutexLock guard(chips_->lock);
  DAXSIM_TRY_VOID(chips_->check_power());
  Chips::Chip& chip = *chips_->chips[chips_->chip_of(bytes.offset)];
  const std::uint64_t address = bytes.offset % chips_->chip_bytes;
  const bool is_load = !EventStream::is_looking_around();
  bool is_data = true;
  if (is_load) {
    DAXSIM_TRY(is_data, chip.driver.prepare_load({address, kPageSize}, chips_->config.while_busy));
  }
  // What else there is may have to wait for the operation.
  Shown shown{.bytes = chip.driver.has_operations() ? kPageSize : Chips::until_next(bytes, chips_->chip_bytes),
              .is_data = is_data};
  if (!is_data) {
    chip.driver.chip().read(address, places.status.subspan(bytes.offset, kPageSize));
  } else if (!places.copy.empty()) {
    shown.bytes = std::min(shown.bytes, kPmdSize);
    copy_to_mapped(&places.copy[bytes.offset], chips_->media->bytes().subspan(bytes.offset, shown.bytes));
  }
  const std::uint64_t partition_bytes = chips_->chip_bytes / chip.partitions.size();
  const std::uint64_t end = is_load ? address + shown.bytes : address;
  for (std::uint64_t at = address / partition_bytes; at * partition_bytes < end; ++at) {
    chip.partitions[at].given = is_data ? Chips::Given::data : Chips::Given::status;
  }
  return shown;
}

Result<void> Mtd::read_for_view(std::uint64_t offset, std::span<std::byte> to) { return chips_->read(offset, to); }

void Mtd::lend_to(NorView& view) noexcept { chips_->view = &view; }

void Mtd::hold() noexcept {
  const MutexLock guard(chips_->lock);
  for (const auto& chip : chips_->chips) {
    ++chip->points;
  }
}

void Mtd::let_go() noexcept {
  for (std::uint32_t number = 0; number < chips_->config.chips; ++number) {
    static_cast<void>(chips_->unpoint_chip(number).ok());  // without power there is nothing to go on with
  }
}

void Mtd::Chips::note_stale(Chip& chip) const {
  if (view == nullptr) {
    return;
  }
  const std::uint64_t bytes = chip_bytes / chip.partitions.size();
  for (std::size_t i = 0; i < chip.partitions.size(); ++i) {
    Partition& partition = chip.partitions[i];
    if (partition.given == Given::nothing) {
      continue;
    }
    const bool is_busy = chip.driver.is_busy(i * bytes);
    if (is_busy == (partition.given == Given::data)) {
      partition = {.given = Given::nothing, .is_stale = true};
    }
  }
}

std::optional<ByteRange> Mtd::Chips::take_stale() {
  const MutexLock guard(lock);
  for (std::uint32_t number = 0; number < config.chips; ++number) {
    std::vector<Partition>& partitions = chips[number]->partitions;
    const auto stale = std::ranges::find(partitions, true, &Partition::is_stale);
    if (stale != partitions.end()) {
      stale->is_stale = false;
      const std::uint64_t bytes = chip_bytes / partitions.size();
      return ByteRange{number * chip_bytes + static_cast<std::uint64_t>(stale - partitions.begin()) * bytes, bytes};
    }
  }
  return std::nullopt;
}

// A load that faults meanwhile sees what the chip shows now, so nothing that was given before is mapped afterwards.
void Mtd::Chips::revoke_stale() {
  if (view == nullptr) {
    return;
  }
  const MutexLock one_at_a_time(revoking);
  for (std::optional<ByteRange> stale = take_stale(); stale.has_value(); stale = take_stale()) {
    view->revoke(*stale);
  }
}

}  // namespace sim
DAXSIM_END
