// SPDX-License-Identifier: BSD-3-Clause
// NorDriver: what an MTD driver does with one chip. It speaks by the command tables, reads the answer off the bus, and
// makes an Errno of it as Linux does (F10.3). It knows of the chip only what it has told it and what it reads.
//
// An operation is *in flight* from its command until a look at the chip shows that it has ended; what became of it is kept
// until take_result().
//
// Waiting is advancing the clock. Addresses are bytes of this chip. Not thread-safe; allocates no memory.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <span>
#include <utility>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "nor_chip.hpp"

DAXSIM_BEGIN
namespace sim {

class NorDriver {
 public:
  NorDriver(const NorPart& part, NorDefects defects, NorCells cells, VirtualClock& clock)
      : part_(part),
        partition_bytes_(part.size() / part.partitions),
        clock_(clock),
        chip_(part, std::move(defects), cells, clock) {}

  [[nodiscard]] NorChip& chip() noexcept { return chip_; }

  // As Mtd's.
  Result<void> read(std::uint64_t address, std::span<std::byte> to);
  // Makes `bytes` readable, an erase elsewhere suspended. Errors: Errno::eio, Errno::etime (as Mtd::read).
  Result<void> prepare_read(ByteRange bytes);
  // The same for a range that will be read at any time, so nothing programs the chip meanwhile.
  Result<void> prepare_point(ByteRange bytes);
  // Makes data of `bytes` readable for a load, in the way of `busy`: an operation may be suspended, and stays so. False: the
  // load shows something else (Busy::raw). Errors: Errno::eio, Errno::etime (as Mtd::read).
  Result<bool> prepare_load(ByteRange bytes, Busy busy);
  // Whether an operation runs in the partition around `address`, so that loads there show no data.
  [[nodiscard]] bool is_busy(std::uint64_t address);
  [[nodiscard]] bool has_operations() const noexcept { return program_.is_going || erase_.is_going; }
  // Goes on with what prepare_read() or a program has suspended, if its caller did not suspend it.
  void go_on();

  // Inside one buffer. Waits for what cannot be suspended, or with Wait::no answers eagain.
  enum class Wait : std::uint8_t { no, yes };
  Result<void> start_program(std::uint64_t address, std::span<const std::byte> from, Wait wait);
  Result<void> start_erase(std::uint64_t block, Wait wait);
  // Until the end of the one that was started; its result is answered here and not kept.
  Result<void> finish_program();
  Result<void> finish_erase();
  // Until nothing is in flight. Errors: Errno::etime.
  Result<void> finish();
  // What became of the operations that have ended, the first error, and forgets it.
  Result<void> take_result() noexcept;

  Result<void> change_lock(std::uint64_t block, NorCommand command);
  Result<bool> is_locked(std::uint64_t address);

  Result<void> suspend(std::chrono::nanoseconds limit);
  void resume();

 private:
  struct Flight {
    bool is_going = false;  // in flight
    bool is_suspended = false;
    bool is_held = false;  // suspended for a call that has not gone on yet
    ByteRange bytes{};
    std::chrono::nanoseconds limit{};  // from now on, when it is waited for
    Result<void> result{};
  };
  // What a look at the chip shows.
  struct Seen {
    bool is_busy = false;
    std::uint16_t status = 0;
  };

  [[nodiscard]] bool is_intel() const noexcept { return part_.commands == NorCommandSet::intel; }
  void say(NorCommand command, std::uint64_t address);
  void cycle(std::uint64_t address, std::uint16_t word) { chip_.write(address, word); }
  Seen look(std::uint64_t address);
  // False: it is still busy at the deadline.
  bool poll(std::uint64_t address, std::chrono::nanoseconds deadline);
  void observe();
  void observe(Flight& flight);
  void settle(Flight& flight);
  Result<void> result_at(std::uint64_t address);
  Result<void> finish(Flight& flight);
  Result<void> suspend(Flight& flight, std::chrono::nanoseconds limit);
  // For a load of `bytes`: ends or suspends the operation if it is in the way. Errors: Errno::eio, Errno::etime.
  Result<void> make_way(Flight& flight, ByteRange bytes, Busy busy);
  bool shows_data(ByteRange bytes);
  [[nodiscard]] bool has_ended(const Flight& flight, std::uint16_t status) const noexcept;
  void resume(Flight& flight);
  bool read_lock(std::uint64_t address);
  Result<void> check_lock(std::uint64_t address);
  void send_program(std::uint64_t address, std::span<const std::byte> from);
  [[nodiscard]] std::uint16_t word_of(std::uint64_t address, std::uint64_t first,
                                      std::span<const std::byte> from) const noexcept;
  [[nodiscard]] bool is_aside(const Flight& flight, ByteRange bytes) const noexcept;
  // Of the typical time to the limit.
  [[nodiscard]] std::int64_t limit_factor() const noexcept { return std::int64_t{1} << part_.limit_shift; }

  const NorPart& part_;
  const std::uint64_t partition_bytes_;
  VirtualClock& clock_;
  NorChip chip_;
  Flight program_;
  Flight erase_;
};

inline constexpr std::chrono::nanoseconds kSuspendLimit = std::chrono::seconds(1);
inline constexpr std::chrono::nanoseconds kXipSuspendLimit = std::chrono::milliseconds(100);

}  // namespace sim
DAXSIM_END
