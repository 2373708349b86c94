// SPDX-License-Identifier: BSD-3-Clause
#include "nor_driver.hpp"

#include <algorithm>

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr bool overlap(ByteRange left, ByteRange right) noexcept {
  return left.offset < right.end() && right.offset < left.end();
}

// What the status register of set 0001 says of an operation that has ended; the first row that fits (F10.3).
struct StatusMeaning {
  std::uint16_t bits;
  Errno error;
};
constexpr StatusMeaning kIntelMeanings[] = {
    {intel_status::kEraseError | intel_status::kProgramError, Errno::einval},  // a broken sequence
    {intel_status::kLocked, Errno::erofs},
    {intel_status::kNoVpp, Errno::eio},
    {intel_status::kEraseError, Errno::eio},
    {intel_status::kProgramError, Errno::einval},
};

}  // namespace

// In other partitions, which can be read meanwhile.
bool NorDriver::is_aside(const Flight& flight, ByteRange bytes) const noexcept {
  const std::uint64_t mine = flight.bytes.offset / partition_bytes_;
  return mine < bytes.offset / partition_bytes_ || mine > (bytes.end() - 1) / partition_bytes_;
}

// Commands and looks

void NorDriver::say(NorCommand command, std::uint64_t address) {
  const NorSequence* const sequence = nor_sequence(part_.commands, command);
  if (sequence == nullptr) {
    return;  // a set has no such command where it needs none
  }
  for (std::size_t i = 0; i < sequence->cycles; ++i) {
    switch (sequence->cycle[i].at) {
      case NorCycleAt::target:
        cycle(address, sequence->cycle[i].data);
        break;
      case NorCycleAt::unlock_1:
        cycle(kUnlock1 * part_.bus_bytes, sequence->cycle[i].data);
        break;
      case NorCycleAt::unlock_2:
        cycle(kUnlock2 * part_.bus_bytes, sequence->cycle[i].data);
        break;
    }
  }
}

// Set 0001 has a status register. In set 0002 the busy chip toggles a bit in place of data.
NorDriver::Seen NorDriver::look(std::uint64_t address) {
  if (is_intel()) {
    say(NorCommand::read_status, address);
    const std::uint16_t status = chip_.read(address).word;
    return {.is_busy = (status & intel_status::kReady) == 0, .status = status};
  }
  const std::uint16_t first = chip_.read(address).word;
  const auto toggling = static_cast<std::uint16_t>(first ^ chip_.read(address).word);
  if ((toggling & amd_status::kToggle) == 0) {
    return {.is_busy = false, .status = static_cast<std::uint16_t>(toggling & amd_status::kEraseToggle)};
  }
  const auto errors = static_cast<std::uint16_t>(first & (amd_status::kFailed | amd_status::kAborted));
  return {.is_busy = errors == 0, .status = errors};
}

// The chip says when it will change, in place of being asked over and over.
bool NorDriver::poll(std::uint64_t address, std::chrono::nanoseconds deadline) {
  while (look(address).is_busy) {
    if (clock_.now() >= deadline) {
      return false;
    }
    clock_.advance_to(std::min(deadline, chip_.next_change().value_or(deadline)));
  }
  return true;
}

// What became of the operation that has ended at `address`; the chip shows its array there afterwards.
Result<void> NorDriver::result_at(std::uint64_t address) {
  const Seen seen = look(address);
  Result<void> result;
  if (is_intel()) {
    const auto* const meaning = std::ranges::find_if(
        kIntelMeanings, [&seen](const StatusMeaning& row) { return (seen.status & row.bits) == row.bits; });
    if (meaning != std::end(kIntelMeanings)) {
      result = meaning->error;
      say(NorCommand::clear_status, address);
    }
  } else if ((seen.status & (amd_status::kFailed | amd_status::kAborted)) != 0) {
    result = Errno::eio;
    say((seen.status & amd_status::kAborted) != 0 ? NorCommand::abort_reset : NorCommand::read_array, address);
  }
  say(NorCommand::read_array, address);
  return result;
}

// Operations in flight

void NorDriver::settle(Flight& flight) {
  flight.is_going = flight.is_suspended = flight.is_held = false;
  const Result<void> result = result_at(flight.bytes.offset);
  if (flight.result.ok()) {
    flight.result = result;
  }
  if (&flight == &program_ && erase_.is_held) {
    resume(erase_);
  }
}

void NorDriver::observe() {
  observe(program_);
  observe(erase_);
}

void NorDriver::observe(Flight& flight) {
  if (flight.is_going && !flight.is_suspended && !look(flight.bytes.offset).is_busy) {
    settle(flight);
  }
}

Result<void> NorDriver::finish(Flight& flight) {
  if (!flight.is_going) {
    return {};
  }
  if (&flight == &erase_) {
    DAXSIM_TRY_VOID(finish(program_));  // the chip would resume that one
  }
  if (flight.is_suspended) {
    resume(flight);
  }
  if (!poll(flight.bytes.offset, clock_.now() + flight.limit)) {
    return Errno::etime;
  }
  settle(flight);
  return {};
}

Result<void> NorDriver::finish() { return erase_.is_going ? finish(erase_) : finish(program_); }

Result<void> NorDriver::take_result() noexcept {
  const Result<void> program = std::exchange(program_.result, {});
  const Result<void> erase = std::exchange(erase_.result, {});
  return program.ok() ? erase : program;
}

// Whether what was told to suspend had ended before. Set 0002 does not tell of a program that ended well; to resume it is
// harmless, as long as there is no erase below it.
bool NorDriver::has_ended(const Flight& flight, std::uint16_t status) const noexcept {
  if (is_intel()) {
    return (status & (&flight == &program_ ? intel_status::kProgramSuspended : intel_status::kEraseSuspended)) == 0;
  }
  return (status & amd_status::kFailed) != 0 || (&flight == &erase_ && (status & amd_status::kEraseToggle) == 0);
}

Result<void> NorDriver::suspend(Flight& flight, std::chrono::nanoseconds limit) {
  const std::uint64_t address = flight.bytes.offset;
  say(NorCommand::suspend, address);
  if (!poll(address, clock_.now() + limit)) {
    say(NorCommand::resume, address);
    return Errno::eio;
  }
  if (has_ended(flight, look(address).status)) {
    settle(flight);
    return {};
  }
  flight.is_suspended = true;
  say(NorCommand::read_array, address);
  return {};
}

void NorDriver::resume(Flight& flight) {
  say(NorCommand::resume, flight.bytes.offset);
  flight.is_suspended = flight.is_held = false;
}

Result<void> NorDriver::suspend(std::chrono::nanoseconds limit) {
  observe();
  if (!is_intel() && program_.is_going && erase_.is_going) {
    DAXSIM_TRY_VOID(finish(program_));
  }
  Flight& flight = program_.is_going ? program_ : erase_;
  if (!flight.is_going || flight.is_suspended) {
    return {};
  }
  if (!(&flight == &program_ ? part_.suspends_program : part_.suspends_erase)) {
    return Errno::eopnotsupp;
  }
  return suspend(flight, limit);
}

void NorDriver::resume() {
  observe();
  Flight& flight = program_.is_going ? program_ : erase_;
  if (flight.is_going && flight.is_suspended) {
    resume(flight);
  }
}

void NorDriver::go_on() {
  if (erase_.is_going && erase_.is_held && !program_.is_going) {
    resume(erase_);
  }
}

// Reads (who may interrupt an erase: F10.3)

Result<void> NorDriver::prepare_read(ByteRange bytes) {
  observe();
  if (program_.is_going && (overlap(program_.bytes, bytes) || (!program_.is_suspended && !is_aside(program_, bytes)))) {
    DAXSIM_TRY_VOID(finish(program_));
  }
  if (!erase_.is_going) {
    return {};
  }
  if (overlap(erase_.bytes, bytes) || (!part_.suspends_erase && !is_aside(erase_, bytes))) {
    return finish(erase_);
  }
  if (!erase_.is_suspended && !is_aside(erase_, bytes)) {
    DAXSIM_TRY_VOID(suspend(erase_, kSuspendLimit));
    erase_.is_held = erase_.is_suspended;
  }
  return {};
}

Result<void> NorDriver::prepare_point(ByteRange bytes) {
  observe();
  DAXSIM_TRY_VOID(finish(program_));
  return prepare_read(bytes);
}

bool NorDriver::is_busy(std::uint64_t address) {
  observe();
  const auto runs_here = [&](const Flight& flight) {
    return flight.is_going && !flight.is_suspended && !is_aside(flight, {address, 1});
  };
  return runs_here(program_) || runs_here(erase_);
}

// Loads

bool NorDriver::shows_data(ByteRange bytes) {
  const auto hides = [&](const Flight& flight) {
    return flight.is_going && (overlap(flight.bytes, bytes) || (!flight.is_suspended && !is_aside(flight, bytes)));
  };
  if (hides(program_) || hides(erase_)) {
    return false;
  }
  const NorSource source = chip_.read(bytes.offset).source;
  return source == NorSource::array || source == NorSource::unstable;
}

Result<void> NorDriver::make_way(Flight& flight, ByteRange bytes, Busy busy) {
  if (!flight.is_going) {
    return {};
  }
  const bool has_to_end = overlap(flight.bytes, bytes);
  if (!has_to_end && (flight.is_suspended || is_aside(flight, bytes))) {
    return {};
  }
  if (!has_to_end && busy == Busy::suspend) {
    const Result<void> suspended = suspend(kXipSuspendLimit);
    if (suspended.ok() || suspended.error() != Errno::eopnotsupp) {
      return suspended;
    }
  }
  return finish(flight);
}

Result<bool> NorDriver::prepare_load(ByteRange bytes, Busy busy) {
  observe();
  if (busy == Busy::raw) {
    return shows_data(bytes);
  }
  // The end of a program may let an erase go on.
  DAXSIM_TRY_VOID(make_way(program_, bytes, busy));
  DAXSIM_TRY_VOID(make_way(erase_, bytes, busy));
  say(NorCommand::read_array, bytes.offset);
  return true;
}

Result<void> NorDriver::read(std::uint64_t address, std::span<std::byte> to) {
  DAXSIM_TRY_VOID(prepare_read({address, to.size()}));
  // Whoever stores to the bus may have left a partition showing something else.
  for (std::uint64_t at = address; at < address + to.size(); at += partition_bytes_ - at % partition_bytes_) {
    say(NorCommand::read_array, at);
  }
  chip_.read(address, to);
  return {};
}

// Programs and erases

Result<void> NorDriver::check_lock(std::uint64_t address) {
  // A chip of set 0002 would do nothing, and not say so.
  return !is_intel() && read_lock(address) ? Result<void>(Errno::erofs) : Result<void>();
}

Result<bool> NorDriver::is_locked(std::uint64_t address) {
  DAXSIM_TRY_VOID(finish());
  return read_lock(address);
}

// The chip is not busy.
bool NorDriver::read_lock(std::uint64_t address) {
  const std::uint64_t block = nor_block(part_, address).offset;
  say(NorCommand::read_identifier, block);
  const bool locked = (chip_.read(block + kLockWord * part_.bus_bytes).word & 1) != 0;
  say(NorCommand::read_array, block);
  return locked;
}

Result<void> NorDriver::start_program(std::uint64_t address, std::span<const std::byte> from, Wait wait) {
  observe();
  if (program_.is_going) {
    if (wait == Wait::no) {
      return Errno::eagain;
    }
    DAXSIM_TRY_VOID(finish(program_));
  }
  const ByteRange bytes{address, from.size()};
  if (erase_.is_going) {
    const bool can = part_.suspends_erase && part_.program_in_erase_suspend && !overlap(erase_.bytes, bytes);
    if (!can && wait == Wait::no) {
      return Errno::eagain;
    }
    if (!can) {
      DAXSIM_TRY_VOID(finish(erase_));
    } else if (!erase_.is_suspended) {
      DAXSIM_TRY_VOID(suspend(erase_, kSuspendLimit));
      erase_.is_held = erase_.is_suspended;
    }
  }
  if (const Result<void> lock = check_lock(address); !lock.ok()) {
    go_on();
    return lock;
  }
  send_program(address, from);
  program_ = {.is_going = true, .bytes = bytes, .limit = nor_program_time(part_, part_.buffer_bytes) * limit_factor()};
  return {};
}

// Bytes beside `from` are ones, which change nothing.
std::uint16_t NorDriver::word_of(std::uint64_t address, std::uint64_t first,
                                 std::span<const std::byte> from) const noexcept {
  unsigned word = 0;
  for (std::uint64_t i = 0; i < part_.bus_bytes; ++i) {
    const std::uint64_t at = address + i - first;
    word |= (at < from.size() ? static_cast<unsigned>(from[at]) : 0xffU) << (8 * i);
  }
  return static_cast<std::uint16_t>(word);
}

void NorDriver::send_program(std::uint64_t address, std::span<const std::byte> from) {
  const std::uint64_t begin = round_down(address, part_.bus_bytes);
  const std::uint64_t end = round_up(address + from.size(), part_.bus_bytes);
  const std::uint64_t words = (end - begin) / part_.bus_bytes;
  if (words == 1) {
    say(NorCommand::program_word, begin);
    cycle(begin, word_of(begin, address, from));
    return;
  }
  say(NorCommand::program_buffer, begin);
  cycle(begin, static_cast<std::uint16_t>(words - 1));
  for (std::uint64_t at = begin; at < end; at += part_.bus_bytes) {
    cycle(at, word_of(at, address, from));
  }
  say(NorCommand::confirm_buffer, begin);
}

Result<void> NorDriver::start_erase(std::uint64_t block, Wait wait) {
  observe();
  if ((program_.is_going || erase_.is_going) && wait == Wait::no) {
    return Errno::eagain;
  }
  DAXSIM_TRY_VOID(finish());
  DAXSIM_TRY_VOID(check_lock(block));
  say(NorCommand::erase_block, block);
  erase_ = {.is_going = true, .bytes = nor_block(part_, block), .limit = nor_erase_time(part_, block) * limit_factor()};
  return {};
}

Result<void> NorDriver::finish_program() {
  DAXSIM_TRY_VOID(finish(program_));
  return std::exchange(program_.result, {});
}

Result<void> NorDriver::finish_erase() {
  DAXSIM_TRY_VOID(finish(erase_));
  return std::exchange(erase_.result, {});
}

Result<void> NorDriver::change_lock(std::uint64_t block, NorCommand command) {
  DAXSIM_TRY_VOID(finish());
  say(command, block);
  say(NorCommand::read_array, block);
  return {};
}

}  // namespace sim
DAXSIM_END
