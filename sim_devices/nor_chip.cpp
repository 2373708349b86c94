// SPDX-License-Identifier: BSD-3-Clause
#include "nor_chip.hpp"

#include <algorithm>
#include <utility>

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr auto kNever = std::chrono::nanoseconds::max();

// A worn block fails one erase of so many.
constexpr std::uint64_t kWornSucceeds = 4;
// An unstable word reads the same for so long, and wrong for one of so many such times. A driver that polls sees no
// toggling in it.
constexpr auto kUnstablePeriod = std::chrono::milliseconds(1);
constexpr std::uint64_t kUnstableHolds = 8;

// Equal numbers from equal numbers, and no pattern in between (splitmix64).
constexpr std::uint64_t scramble(std::uint64_t number) noexcept {
  number += 0x9e3779b97f4a7c15U;
  number = (number ^ (number >> 30)) * 0xbf58476d1ce4e5b9U;
  number = (number ^ (number >> 27)) * 0x94d049bb133111ebU;
  return number ^ (number >> 31);
}

}  // namespace

NorChip::NorChip(const NorPart& part, NorDefects defects, NorCells cells, const VirtualClock& clock)
    : part_(part),
      defects_(std::move(defects)),
      cells_(cells),
      clock_(clock),
      partitions_(part.partitions),
      locked_(part.blocks(), part.locked_at_power_up) {
  program_.data.resize(std::max<std::uint32_t>(part.buffer_bytes, part.bus_bytes));
}

// Time

void NorChip::settle() {
  settle(program_);
  settle(erase_);
}

void NorChip::settle(Operation& operation) {
  if (operation.ends > clock_.now()) {
    return;
  }
  if (operation.phase == Phase::suspending) {
    operation.phase = Phase::suspended;
  } else if (operation.phase == Phase::running) {
    &operation == &program_ ? end_program() : end_erase();
  }
}

std::optional<NorChip::Time> NorChip::next_change() const noexcept {
  const Operation* const operation = busy();
  return operation == nullptr || operation->ends == kNever ? std::nullopt : std::optional(operation->ends);
}

const NorChip::Operation* NorChip::busy() const noexcept {
  for (const Operation* const operation : {&program_, &erase_}) {
    if (operation->phase == Phase::running || operation->phase == Phase::suspending) {
      return operation;
    }
  }
  return nullptr;
}

void NorChip::begin(Operation& operation, Time duration) {
  const auto& hanging = defects_.faults.hanging;
  const bool hangs = std::ranges::find(hanging, nor_block_index(part_, operation.bytes.offset)) != hanging.end();
  operation.phase = Phase::running;
  operation.ends = hangs ? kNever : clock_.now() + duration;
  ++operations_;
  if (cells_.observer != nullptr) {
    cells_.observer->on_begin();
  }
}

void NorChip::suspend() {
  Operation* const operation = busy();
  if (operation == nullptr || operation->phase != Phase::running) {
    return;
  }
  const bool can = operation == &program_ ? part_.suspends_program : part_.suspends_erase;
  if (!can || operation->ends <= clock_.now() + part_.suspend) {
    return;  // it does not listen, or is done before it would
  }
  operation->remaining = operation->ends == kNever ? kNever : operation->ends - clock_.now();
  operation->phase = Phase::suspending;
  operation->ends = defects_.faults.acknowledges_suspend ? clock_.now() + part_.suspend : kNever;
}

void NorChip::resume() {
  Operation& operation = program_.phase == Phase::idle ? erase_ : program_;
  if (operation.phase == Phase::suspended || operation.phase == Phase::suspending) {
    operation.phase = Phase::running;
    operation.ends = operation.remaining == kNever ? kNever : clock_.now() + operation.remaining;
  }
}

void NorChip::finish() {
  for (Operation* const operation : {&program_, &erase_}) {
    const Time end = operation->phase == Phase::running ? operation->ends : operation->remaining;
    if (operation->phase != Phase::idle && end != kNever) {
      operation == &program_ ? end_program() : end_erase();
    }
  }
}

// Cells

std::uint64_t NorChip::noise(std::uint64_t a, std::uint64_t b) const noexcept {
  return scramble(scramble(scramble(defects_.seed) ^ a) ^ b);
}

void NorChip::note_change(std::uint64_t address) const {
  if (cells_.observer != nullptr) {
    cells_.observer->on_change(cells_.first + address);
  }
}

// False when a stuck bit has its own value.
bool NorChip::store(NorCells cells, std::uint64_t address, std::byte value) const noexcept {
  std::byte stored = value;
  for (const StuckBit& stuck : defects_.faults.stuck) {
    if (stuck.offset == address) {
      const std::byte bit = std::byte{1} << stuck.bit;
      stored = stuck.value ? stored | bit : stored & ~bit;
    }
  }
  cells.bytes[address] = stored;
  return stored == value;
}

void NorChip::end_program() {
  program_.phase = Phase::idle;
  note_change(program_.bytes.offset);
  bool is_right = true;
  for (std::uint64_t address = program_.bytes.offset; address < program_.bytes.end(); ++address) {
    const std::byte old = cells_.bytes[address];
    const std::byte wanted = program_.data[address & (program_.data.size() - 1)];
    if (wanted == kErased) {
      continue;  // asks for nothing
    }
    is_right &= store(cells_, address, old & wanted);
    is_right &= !part_.refuses_ones || (wanted & ~old) == std::byte{0};
  }
  if (!is_right) {
    fail(program_.bytes.offset, intel_status::kProgramError, amd_status::kFailed);
  }
}

bool NorChip::wears_out(std::uint32_t block) const noexcept {
  const auto& weak = defects_.faults.weak;
  const auto found = std::ranges::find(weak, block, &WeakBlock::block);
  const std::uint32_t stands = found == weak.end() ? part_.endurance : found->erases;
  const std::uint32_t erases = cells_.marks[block].erases;
  return erases > stands && noise(block, erases) % kWornSucceeds == 0;
}

void NorChip::end_erase() {
  erase_.phase = Phase::idle;
  const ByteRange bytes = erase_.bytes;
  note_change(bytes.offset);
  const std::uint32_t block = nor_block_index(part_, bytes.offset);
  bool is_right = true;
  std::ranges::fill(cells_.bytes.subspan(bytes.offset, bytes.length), kErased);
  for (const StuckBit& stuck : defects_.faults.stuck) {
    is_right &= !contains(bytes, stuck.offset) || store(cells_, stuck.offset, kErased);
  }
  if (wears_out(block)) {
    const std::uint64_t where = noise(bytes.offset, cells_.marks[block].erases);
    store(cells_, bytes.offset + where % bytes.length, kErased & ~(std::byte{1} << (where >> 61)));
    is_right = false;
  }
  cells_.marks[block].is_unstable = 0;
  if (!is_right) {
    fail(bytes.offset, intel_status::kEraseError, amd_status::kFailed);
  }
}

// Commands

std::size_t NorChip::partition_of(std::uint64_t address) const noexcept {
  return address / (cells_.bytes.size() / partitions_.size());
}

void NorChip::write(std::uint64_t address, std::uint16_t word) {
  settle();
  address -= address % part_.bus_bytes;
  if (cells_.observer != nullptr) {
    cells_.observer->on_write(cells_.first + address, word);
  }
  if (collecting_ == Collecting::nothing) {
    take_cycle(address, static_cast<std::uint8_t>(word));
  } else {
    collect(address, word);
  }
}

void NorChip::take_cycle(std::uint64_t address, std::uint8_t data) {
  sequence_[cycles_++] = {address / part_.bus_bytes, data};
  NorCommand command{};
  Match found = match(command);
  if (found == Match::none && cycles_ > 1) {
    break_sequence(address);
    if (!is_intel()) {
      // A reset in the middle, or the begin of the next sequence.
      sequence_[0] = {address / part_.bus_bytes, data};
      cycles_ = 1;
      found = match(command);
    }
  }
  if (found != Match::begun) {
    cycles_ = 0;
  }
  if (found == Match::complete) {
    busy() == nullptr ? execute(command, address) : execute_busy(command, address);
  }
}

NorChip::Match NorChip::match(NorCommand& command) const noexcept {
  const auto fits = [](const NorCycle& cycle, std::uint64_t word_address, std::uint8_t data) {
    if (cycle.data != data) {
      return false;
    }
    switch (cycle.at) {
      case NorCycleAt::unlock_1:
        return (word_address & kUnlockMask) == kUnlock1;
      case NorCycleAt::unlock_2:
        return (word_address & kUnlockMask) == kUnlock2;
      case NorCycleAt::target:
        break;
    }
    return true;
  };
  Match found = Match::none;
  for (const NorSequence& row : nor_table(part_.commands)) {
    bool is_begun = row.cycles >= cycles_ && row.command != NorCommand::confirm_buffer;
    for (std::size_t i = 0; is_begun && i < cycles_; ++i) {
      is_begun = fits(row.cycle[i], sequence_[i].first, sequence_[i].second);
    }
    if (is_begun && row.cycles == cycles_) {
      command = row.command;
      return Match::complete;
    }
    found = is_begun ? Match::begun : found;
  }
  return found;
}

// Set 0002 forgets the cycles, and so does set 0001 when it would be busy otherwise.
void NorChip::break_sequence(std::uint64_t address) {
  cycles_ = 0;
  if (is_intel() && busy() == nullptr) {
    at(address).mode = Mode::status;
    fail(address, intel_status::kEraseError | intel_status::kProgramError, 0);
  }
}

// What a partition shows after the command; none: the command is not about that.
std::optional<NorChip::Mode> NorChip::mode_of(NorCommand command) noexcept {
  switch (command) {
    case NorCommand::read_array:
      return Mode::array;
    case NorCommand::read_status:
      return Mode::status;
    case NorCommand::read_identifier:
      return Mode::identifier;
    case NorCommand::read_cfi:
      return Mode::cfi;
    default:
      return std::nullopt;
  }
}

void NorChip::execute_busy(NorCommand command, std::uint64_t address) {
  const bool is_elsewhere = partition_of(address) != partition_of(busy()->bytes.offset);
  if (command == NorCommand::suspend) {
    suspend();
  } else if (command == NorCommand::resume) {
    resume();
  } else if (command == NorCommand::read_status) {
    at(address).mode = Mode::status;
  } else if (is_elsewhere && mode_of(command)) {
    execute(command, address);
  }  // else: a busy chip does not listen
}

void NorChip::execute(NorCommand command, std::uint64_t address) {
  Partition& partition = at(address);
  if (failure_.is_shown) {
    // Nothing else is heard before the error is reset.
    failure_.is_shown = command != NorCommand::abort_reset &&
                        (command != NorCommand::read_array || failure_.status == amd_status::kAborted);
    return;
  }
  if (const std::optional<Mode> mode = mode_of(command)) {
    partition.mode = *mode;
    return;
  }
  switch (command) {
    case NorCommand::abort_reset:
      partition.mode = Mode::array;
      break;
    case NorCommand::clear_status:
      partition.errors = 0;
      break;
    case NorCommand::program_word:
    case NorCommand::program_buffer:
      begin_collecting(command, address);
      break;
    case NorCommand::erase_block:
      begin_erase(address);
      break;
    case NorCommand::lock_block:
    case NorCommand::unlock_block:
      locked_[nor_block_index(part_, address)] = command == NorCommand::lock_block;
      partition.mode = is_intel() ? Mode::status : Mode::array;
      break;
    case NorCommand::resume:
      resume();
      break;
    default:
      break;
  }
}

void NorChip::begin_collecting(NorCommand command, std::uint64_t address) {
  if (command == NorCommand::program_buffer && part_.buffer_bytes == 0) {
    return break_buffer(address);
  }
  at(address).mode = is_intel() ? Mode::status : Mode::array;
  if (program_.phase != Phase::idle || (erase_.phase != Phase::idle && !part_.program_in_erase_suspend)) {
    return fail(address, intel_status::kEraseError | intel_status::kProgramError, amd_status::kAborted);
  }
  setup_ = address;
  program_.bytes = {};
  std::ranges::fill(program_.data, kErased);
  collecting_ = command == NorCommand::program_word ? Collecting::word : Collecting::count;
}

void NorChip::collect(std::uint64_t address, std::uint16_t word) {
  const auto put = [&] {
    for (std::uint64_t i = 0; i < part_.bus_bytes; ++i) {
      program_.data[(address + i) & (program_.data.size() - 1)] = std::byte{static_cast<std::uint8_t>(word >> (8 * i))};
    }
  };
  switch (collecting_) {
    case Collecting::nothing:
      break;
    case Collecting::word:
      put();
      program_.bytes = {address, part_.bus_bytes};
      begin_program();
      break;
    case Collecting::count:
      words_left_ = std::uint32_t{word} + 1;
      if (words_left_ * part_.bus_bytes > part_.buffer_bytes) {
        return break_buffer(address);
      }
      buffer_time_ = nor_program_time(part_, std::uint64_t{words_left_} * part_.bus_bytes);
      collecting_ = Collecting::words;
      break;
    case Collecting::words: {
      const std::uint64_t first = program_.bytes.length == 0 ? address : program_.bytes.offset;
      if (round_down(address, part_.buffer_bytes) != round_down(first, part_.buffer_bytes) ||
          nor_block_index(part_, address) != nor_block_index(part_, setup_)) {
        return break_buffer(address);
      }
      put();
      const std::uint64_t end = std::max(program_.bytes.end(), address + part_.bus_bytes);
      program_.bytes.offset = std::min(first, address);
      program_.bytes.length = end - program_.bytes.offset;
      collecting_ = --words_left_ == 0 ? Collecting::confirm : Collecting::words;
      break;
    }
    case Collecting::confirm:
      if (static_cast<std::uint8_t>(word) != nor_sequence(part_.commands, NorCommand::confirm_buffer)->cycle[0].data ||
          nor_block_index(part_, address) != nor_block_index(part_, setup_)) {
        return break_buffer(address);
      }
      begin_program();
      break;
  }
}

void NorChip::break_buffer(std::uint64_t address) {
  collecting_ = Collecting::nothing;
  fail(address, intel_status::kEraseError | intel_status::kProgramError, amd_status::kAborted);
}

void NorChip::fail(std::uint64_t address, std::uint16_t intel_error, std::uint16_t amd_error) {
  if (is_intel()) {
    at(address).errors |= intel_error;
  } else {
    failure_ = {.is_shown = true, .status = amd_error, .address = address};
  }
}

bool NorChip::may_change(std::uint64_t address, std::uint16_t error) {
  if (erase_.phase != Phase::idle && contains(erase_.bytes, address)) {
    fail(address, intel_status::kEraseError | intel_status::kProgramError, amd_status::kFailed);
    return false;
  }
  if (!defects_.faults.vpp) {
    fail(address, intel_status::kNoVpp | error, amd_status::kFailed);
    return false;
  }
  if (locked_[nor_block_index(part_, address)]) {
    if (is_intel()) {  // set 0002 just does nothing
      fail(address, intel_status::kLocked | error, 0);
    }
    return false;
  }
  return true;
}

void NorChip::begin_program() {
  const bool is_word = collecting_ == Collecting::word;
  collecting_ = Collecting::nothing;
  if (may_change(program_.bytes.offset, intel_status::kProgramError)) {
    begin(program_, is_word ? part_.program_word : buffer_time_);
  }
}

void NorChip::begin_erase(std::uint64_t address) {
  at(address).mode = is_intel() ? Mode::status : Mode::array;
  if (erase_.phase != Phase::idle || program_.phase != Phase::idle) {
    return fail(address, intel_status::kEraseError | intel_status::kProgramError, amd_status::kFailed);
  }
  if (may_change(address, intel_status::kEraseError)) {
    erase_.bytes = nor_block(part_, address);
    ++cells_.marks[nor_block_index(part_, address)].erases;
    note_change(address);
    begin(erase_, nor_erase_time(part_, address));
  }
}

// Reads

NorLoad NorChip::read(std::uint64_t address) {
  settle();
  address -= address % part_.bus_bytes;
  return is_intel() ? read_intel(address) : read_amd(address);
}

// Whether every read of `bytes`, which are inside one block, shows data and nothing else.
bool NorChip::shows_data(ByteRange bytes) const noexcept {
  return program_.phase == Phase::idle && erase_.phase == Phase::idle && !failure_.is_shown &&
         partitions_[partition_of(bytes.offset)].mode == Mode::array &&
         cells_.marks[nor_block_index(part_, bytes.offset)].is_unstable == 0;
}

void NorChip::read(std::uint64_t address, std::span<std::byte> to) {
  settle();
  for (std::size_t i = 0; i < to.size();) {
    const std::uint64_t at = address + i;
    const auto in_block = static_cast<std::size_t>(std::min(to.size() - i, nor_block(part_, at).end() - at));
    if (shows_data({at, in_block})) {
      std::ranges::copy(cells_.bytes.subspan(at, in_block), to.subspan(i).begin());
    } else {
      read_words(at, to.subspan(i, in_block));
    }
    i += in_block;
  }
}

void NorChip::read_words(std::uint64_t address, std::span<std::byte> to) {
  for (std::size_t i = 0; i < to.size();) {
    const std::uint64_t in_word = (address + i) % part_.bus_bytes;
    const std::uint16_t word = read(address + i).word;
    for (std::uint64_t byte = in_word; byte < part_.bus_bytes && i < to.size(); ++byte) {
      to[i++] = std::byte{static_cast<std::uint8_t>(word >> (8 * byte))};
    }
  }
}

bool NorChip::changes(std::uint64_t address) const noexcept {
  return (program_.phase != Phase::idle && contains(program_.bytes, address)) ||
         (erase_.phase != Phase::idle && contains(erase_.bytes, address));
}

NorLoad NorChip::read_mode(std::uint64_t address) {
  switch (at(address).mode) {
    case Mode::status:
      return {.word = intel_status_of(address), .source = NorSource::status};
    case Mode::identifier:
      return {.word = identifier(address), .source = NorSource::identifier};
    case Mode::cfi:
      return {.word = nor_cfi(part_, address / part_.bus_bytes), .source = NorSource::cfi};
    case Mode::array:
      break;
  }
  const std::uint16_t word = word_at(address);
  const bool is_undefined = changes(address);
  if (!is_undefined && cells_.marks[nor_block_index(part_, address)].is_unstable == 0) {
    return {.word = word};
  }
  const std::uint64_t random = noise(address, static_cast<std::uint64_t>(clock_.now() / kUnstablePeriod));
  const std::uint64_t wrong = is_undefined || random % kUnstableHolds == 0 ? random >> (64 - 8 * part_.bus_bytes) : 0;
  return {.word = static_cast<std::uint16_t>(word ^ wrong),
          .source = is_undefined ? NorSource::undefined : NorSource::unstable};
}

NorLoad NorChip::read_intel(std::uint64_t address) {
  const Operation* const operation = busy();
  if (operation != nullptr && partition_of(operation->bytes.offset) == partition_of(address)) {
    return {.word = intel_status_of(address), .source = NorSource::status};
  }
  return read_mode(address);
}

std::uint16_t NorChip::intel_status_of(std::uint64_t address) const noexcept {
  const std::size_t partition = partition_of(address);
  const auto is_here = [&](const Operation& operation) { return partition_of(operation.bytes.offset) == partition; };
  unsigned status = partitions_[partition].errors;
  if (const Operation* const operation = busy(); operation == nullptr) {
    status |= intel_status::kReady;
  } else if (!is_here(*operation)) {
    status |= intel_status::kOtherPartition;
  }
  if (erase_.phase == Phase::suspended && is_here(erase_)) {
    status |= intel_status::kEraseSuspended;
  }
  if (program_.phase == Phase::suspended && is_here(program_)) {
    status |= intel_status::kProgramSuspended;
  }
  return static_cast<std::uint16_t>(status);
}

NorLoad NorChip::read_amd(std::uint64_t address) {
  const auto toggle = [this](unsigned status, unsigned toggling) {
    is_toggled_ = !is_toggled_;
    return NorLoad{.word = static_cast<std::uint16_t>(status | (is_toggled_ ? toggling : 0)),
                   .source = NorSource::status};
  };
  const Operation* const operation = busy();
  if (operation != nullptr && partition_of(operation->bytes.offset) == partition_of(address)) {
    if (operation == &program_) {
      const auto data = static_cast<unsigned>(program_.data[program_.bytes.offset & (program_.data.size() - 1)]);
      return toggle(~data & amd_status::kPolling, amd_status::kToggle);
    }
    return toggle(amd_status::kEraseBegun,
                  amd_status::kToggle | (contains(erase_.bytes, address) ? amd_status::kEraseToggle : 0U));
  }
  if (failure_.is_shown && partition_of(failure_.address) == partition_of(address)) {
    return toggle(failure_.status, amd_status::kToggle);
  }
  if (erase_.phase == Phase::suspended && contains(erase_.bytes, address) && at(address).mode == Mode::array) {
    return toggle(amd_status::kPolling, amd_status::kEraseToggle);
  }
  return read_mode(address);
}

std::uint16_t NorChip::word_at(std::uint64_t address) const noexcept {
  auto word = static_cast<unsigned>(cells_.bytes[address]);
  if (part_.bus_bytes == 2) {
    word |= static_cast<unsigned>(cells_.bytes[address + 1]) << 8;
  }
  return static_cast<std::uint16_t>(word);
}

std::uint16_t NorChip::identifier(std::uint64_t address) const noexcept {
  switch ((address - nor_block(part_, address).offset) / part_.bus_bytes) {
    case 0:
      return part_.manufacturer;
    case 1:
      return part_.device;
    case kLockWord:
      return locked_[nor_block_index(part_, address)] ? 1 : 0;
    default:
      return 0;
  }
}

}  // namespace sim
DAXSIM_END
