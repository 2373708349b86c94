// SPDX-License-Identifier: BSD-3-Clause
// NorChip: one NOR flash chip as its bus sees it: write cycles that are commands, read cycles that show the array, a status
// or identifiers (F10.2, F10.3).
//
// Players: the *cells* (bytes and wear, of the media), the *partitions* (what a read shows in each), a *sequence* of cycles
// on its way to be a command, and two *operations* that may be in flight: a program and an erase.
//
// I1 At most one operation runs. A program runs beside an erase only while the erase is suspended.
// I2 Cells change at the end of an operation only (settle), never between; a block's count of erases at the begin.
// I3 Nothing happens but by a cycle and by the clock; equal cycles at equal times have equal effects.
//
// Memory is allocated by the constructor only (and by an observer). Addresses are bytes of this chip. Not thread-safe.
#pragma once

#include <array>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"
#include "nor_commands.hpp"
#include "nor_geometry.hpp"

DAXSIM_BEGIN
namespace sim {

// What the media holds of a block beside its bytes.
struct NorMark {
  std::uint32_t erases = 0;
  std::uint32_t is_unstable = 0;  // not 0: an erase was cut short
};
static_assert(sizeof(NorMark) == 8, "of the media file");

// Who wants to know what happens to a chip. Addresses are bytes of the device. Called under the lock of the device.
class NorObserver {
 public:
  // A write cycle is about to take effect.
  virtual void on_write(std::uint64_t address, std::uint16_t word) = 0;
  // A program or an erase has begun, by the last write cycle.
  virtual void on_begin() = 0;
  // The block that holds `address` has changed, or its mark has.
  virtual void on_change(std::uint64_t address) = 0;

 protected:
  ~NorObserver() = default;
};

struct NorCells {
  std::span<std::byte> bytes;
  std::span<NorMark> marks;         // by block
  std::uint64_t first = 0;          // of `bytes` in the device
  NorObserver* observer = nullptr;  // null: nobody
};

// What is wrong with one chip: NorFaults with blocks and bytes of this chip.
struct NorDefects {
  NorFaults faults;
  std::uint64_t seed = 0;
};

class NorChip {
 public:
  using Time = std::chrono::nanoseconds;

  // `part` and `clock` outlive the chip, and so do the cells.
  NorChip(const NorPart& part, NorDefects defects, NorCells cells, const VirtualClock& clock);

  // One bus cycle each.
  void write(std::uint64_t address, std::uint16_t word);
  NorLoad read(std::uint64_t address);
  // As many reads as it takes, byte by byte.
  void read(std::uint64_t address, std::span<std::byte> to);

  // Operations that have begun, ever.
  [[nodiscard]] std::uint64_t operations() const noexcept { return operations_; }
  // When the chip will next change by itself; none: never. It stands for polling.
  [[nodiscard]] std::optional<Time> next_change() const noexcept;

  // Appends what Mtd::pending_operations() answers for this chip, at most two; `base` is its first byte in the device.
  void pending_operations(std::uint64_t base, std::vector<LineHistory>& operations);
  // What the outcome of the pending operation at `address` leaves in `cells`: those of the chip, or a copy.
  void cut(std::uint64_t address, std::uint32_t outcome, NorCells cells) const;
  // Whatever has an end comes to it.
  void finish();

 private:
  enum class EraseOutcome : std::uint8_t { nothing, all_zeroes, half, random, looks_erased, erased };
  static constexpr auto kEraseOutcomes = static_cast<std::uint32_t>(EraseOutcome::erased) + 1;
  enum class Mode : std::uint8_t { array, status, identifier, cfi };
  struct Partition {
    Mode mode = Mode::array;
    std::uint16_t errors = 0;  // of the status register; set 0001
  };
  enum class Phase : std::uint8_t { idle, running, suspending, suspended };
  struct Operation {
    Phase phase = Phase::idle;
    ByteRange bytes;
    std::vector<std::byte> data;  // of a program
    Time ends{};                  // running: the end; suspending: when it is suspended
    Time remaining{};             // suspending, suspended
  };
  // What the next write cycles are, when they are no command.
  enum class Collecting : std::uint8_t { nothing, word, count, words, confirm };
  // An error that set 0002 shows until it is reset.
  struct Failure {
    bool is_shown = false;
    std::uint16_t status = 0;
    std::uint64_t address = 0;
  };

  void settle();
  void settle(Operation& operation);
  void end_program();
  void end_erase();
  bool store(NorCells cells, std::uint64_t address, std::byte value) const noexcept;
  void cut_program(std::uint32_t outcome, NorCells cells) const;
  void cut_erase(EraseOutcome outcome, NorCells cells) const;
  void note_change(std::uint64_t address) const;
  [[nodiscard]] bool wears_out(std::uint32_t block) const noexcept;

  [[nodiscard]] bool is_intel() const noexcept { return part_.commands == NorCommandSet::intel; }
  [[nodiscard]] std::size_t partition_of(std::uint64_t address) const noexcept;
  Partition& at(std::uint64_t address) noexcept { return partitions_[partition_of(address)]; }
  // The operation that runs or is being suspended; null: none.
  [[nodiscard]] const Operation* busy() const noexcept;
  Operation* busy() noexcept { return const_cast<Operation*>(std::as_const(*this).busy()); }
  [[nodiscard]] bool changes(std::uint64_t address) const noexcept;
  [[nodiscard]] bool shows_data(ByteRange bytes) const noexcept;
  void read_words(std::uint64_t address, std::span<std::byte> to);

  void take_cycle(std::uint64_t address, std::uint8_t data);
  enum class Match : std::uint8_t { none, begun, complete };
  [[nodiscard]] Match match(NorCommand& command) const noexcept;
  void break_sequence(std::uint64_t address);
  void collect(std::uint64_t address, std::uint16_t word);
  void break_buffer(std::uint64_t address);
  void execute(NorCommand command, std::uint64_t address);
  void execute_busy(NorCommand command, std::uint64_t address);
  static std::optional<Mode> mode_of(NorCommand command) noexcept;
  void begin_collecting(NorCommand command, std::uint64_t address);
  void begin_program();
  void begin_erase(std::uint64_t address);
  // False when the operation cannot be; the errors are set.
  bool may_change(std::uint64_t address, std::uint16_t error);
  void fail(std::uint64_t address, std::uint16_t intel_error, std::uint16_t amd_error);
  void begin(Operation& operation, Time duration);
  void suspend();
  void resume();

  [[nodiscard]] NorLoad read_intel(std::uint64_t address);
  [[nodiscard]] NorLoad read_amd(std::uint64_t address);
  [[nodiscard]] NorLoad read_mode(std::uint64_t address);
  [[nodiscard]] std::uint16_t intel_status_of(std::uint64_t address) const noexcept;
  [[nodiscard]] std::uint16_t identifier(std::uint64_t address) const noexcept;
  [[nodiscard]] std::uint16_t word_at(std::uint64_t address) const noexcept;
  [[nodiscard]] std::uint64_t noise(std::uint64_t a, std::uint64_t b) const noexcept;

  const NorPart& part_;
  const NorDefects defects_;
  const NorCells cells_;
  const VirtualClock& clock_;

  std::vector<Partition> partitions_;
  std::vector<bool> locked_;  // by block
  Operation program_;
  Operation erase_;
  std::uint64_t operations_ = 0;
  Failure failure_;
  std::array<std::pair<std::uint64_t, std::uint8_t>, kMaxCycles> sequence_{};  // word address, data
  std::size_t cycles_ = 0;
  Collecting collecting_ = Collecting::nothing;
  std::uint64_t setup_ = 0;  // the address of the command that collects
  std::uint32_t words_left_ = 0;
  Time buffer_time_{};
  bool is_toggled_ = false;  // DQ6 and DQ2
};

// The word of a block, in identifier mode, whose bit 0 says that it is locked.
inline constexpr std::uint64_t kLockWord = 2;

}  // namespace sim
DAXSIM_END
