// SPDX-License-Identifier: BSD-3-Clause
// A simulated NOR flash: sim::NorFlash{.part = parts::p30}, one or more chips of one part, and what an MTD driver does with
// them.
//
//   auto media = must(sim::open(sim::NorFlash{.part = sim::parts::p30}));
//   auto mtd   = must(sim::Mtd::power_on(media, clock));
//   must(mtd->unlock(mtd->erase_block(0)));
//   must(mtd->erase(mtd->erase_block(0)));
//   must(mtd->program(0, bytes));
//
// or attached to a machine, which has it as memory that cannot be stored to:
//
//   auto nor  = must(machine.attach(sim::NorFlash{.part = sim::parts::p30, .while_busy = sim::Busy::suspend}));
//   auto code = must(must(machine.mount<XipFs>(nor)).open("/fw", OpenMode::read_only));  // its mappings show the flash
//   must(sim::mtd(nor.attachment()).start_erase(0));
//
// NorMedia is what survives: the bytes, and the wear of each block. Mtd is the device under power: read modes, locks, and
// up to one program and one erase in flight for each chip, the erase maybe suspended under the program.
//
// Time is virtual. An operation begins and ends at a time of the clock, and its bytes change at its end. Calls that wait
// advance the clock to what they wait for; start_erase and start_program do not wait, so one thread can see what a load
// shows meanwhile. Command cycles cost nothing, loads do.
#pragma once

#include <chrono>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/device.hpp"
#include "daxsim/sim_devices/nor_part.hpp"

DAXSIM_BEGIN

class Attachment;

namespace sim {

// Blocks are counted over all chips, bytes from the first byte of the device.
struct WeakBlock {
  std::uint32_t block = 0;
  std::uint32_t erases = 0;  // that it stands, in place of the part's endurance
};
struct StuckBit {
  std::uint64_t offset = 0;
  std::uint8_t bit = 0;  // 0 to 7
  bool value = false;    // false: no erase sets it; true: no program clears it
};
struct NorFaults {
  std::vector<WeakBlock> weak{};
  std::vector<StuckBit> stuck{};
  std::vector<std::uint32_t> hanging{};  // blocks in which an operation never ends
  bool vpp = true;                       // false: no programming voltage
  bool acknowledges_suspend = true;      // false: after a suspend command the chip is busy until it is told to resume
};

enum class NorGap : std::uint8_t { none, between_chips };  // between_chips: no two chips are side by side in memory
enum class NestedPoint : std::uint8_t {
  counts,  // a chip is pointed as often as it was asked
  sleeps,  // as in Linux: who asks for a chip that is pointed sleeps until it is not (F10.1)
};

// What a load through a mapping gets while its partition is programmed or erased (docs/nor-flash.md).
enum class Busy : std::uint8_t {
  exclude,  // there is no such while: a device that is held is pointed, and who wants to change it waits (cramfs, F10.5)
  suspend,  // data; the load suspends the operation, which goes on when its writer comes again
  refault,  // data; the load waits for the end of the operation
  raw,      // whatever the chip shows: a status
};

struct NorFlash {
  std::filesystem::path media{};  // the media file; created when missing. Empty: in memory, as long as the media lives
  NorPart part = parts::p30;
  std::uint32_t chips = 1;
  NorGap gap = NorGap::none;
  NestedPoint nested_point = NestedPoint::counts;
  Busy while_busy = Busy::suspend;
  std::uint64_t seed = 0;  // of what is undefined: bits of unstable blocks, failures of worn ones
  NorFaults faults{};
};

class NorMedia;
class NorView;

// The media file holds the chips' bytes, then, from the next page on, a header and 8 bytes for each block; it is locked as
// that of a Pmem. A new one is erased: 0xff. A killed process leaves an operation in flight as if it had not begun.
//
// Errors: Errno::einval (a part that cannot be: no blocks, bus or buffer or page sizes out of range, blocks that are no
// multiple of them, partitions that end inside a block; no chip, or more than 16; a fault in a block or at a byte that does
// not exist; the media file is of another size or another part), Errno::ebusy (the media file is open as a device); other
// trouble with the media file as for a Pmem. Context: may wait for the disk.
Result<std::shared_ptr<NorMedia>> open(const NorFlash& config);

// All that survives, to be compared or put back. Of the same media or one with an equal config.
struct NorContents {
  std::vector<std::byte> bytes;
  friend bool operator==(const NorContents&, const NorContents&) = default;
};

class NorObserver;

// Where the word of a load comes from.
enum class NorSource : std::uint8_t {
  array,   // data
  status,  // the chip is busy or was asked for its status
  identifier,
  cfi,
  undefined,  // inside what a suspended operation is changing
  unstable,   // data of a block whose erase was cut short: it reads differently now and then
};
struct NorLoad {
  std::uint16_t word = 0;  // little-endian, bus_bytes of it
  NorSource source = NorSource::array;
};

// Who waits for a suspend, and so how long (F10.3).
enum class SuspendLimit : std::uint8_t { driver, xip };  // 1 s, 100 ms

// Threads: any, each call whole. Calls that change a chip sleep while it is pointed or another thread's program or erase is
// going on, until another thread unpoints it or raises their Interruption; the start_ calls answer Errno::eagain instead.
// Locks: one of rank media. Of a flash that is attached, what begins or ends an operation also takes mappings away
// (Attachment::revoke): no lock of a file system is held then, and one of rank machine by this class.
class Mtd {
 public:
  // Blocks are locked as the part says, arrays can be read. `clock` outlives the device.
  // Errors: Errno::ebusy (the media is under power, as it is when attached).
  static Result<std::unique_ptr<Mtd>> power_on(std::shared_ptr<NorMedia> media, VirtualClock& clock);
  // Operations in flight come to their end, save those that have none, unless the power was cut before.
  ~Mtd();
  Mtd(const Mtd&) = delete;
  Mtd& operator=(const Mtd&) = delete;

  // Errors of all: Errno::enxio (the power was cut, or the machine has removed the flash).

  // Bytes.
  [[nodiscard]] std::uint64_t size() const noexcept;
  [[nodiscard]] const NorPart& part() const noexcept;
  // Programs and erases of one command each that have begun since the power came.
  [[nodiscard]] std::uint64_t operations() const noexcept;
  // The block that holds byte `offset`, which is inside the device.
  [[nodiscard]] ByteRange erase_block(std::uint64_t offset) const noexcept;
  // How often an erase of that block was begun, ever.
  [[nodiscard]] std::uint32_t erases(std::uint64_t offset) const noexcept;

  // Reads the array: suspends an erase of another block and goes on with it after, waits for whatever else is in the way.
  // Errors: Errno::einval (beyond the end), Errno::eio (a suspend was not acknowledged within 1 s), Errno::etime (what it
  // waited for did not end in time).
  Result<void> read(std::uint64_t offset, std::span<std::byte> to);

  // Clears the bits that are 0 in `from`; what is 0 on the device stays 0. Goes by buffers, and fills a part of a word up
  // with ones. After an error a part may have been programmed.
  // Errors: Errno::einval (beyond the end; a bit is stuck, on set 0001), Errno::erofs (a locked block), Errno::eio (no
  // programming voltage; a bit is stuck or a 1 was wanted over a 0, on set 0002; a suspend was not acknowledged),
  // Errno::etime (as read), Errno::eintr (while it slept; what had begun goes on).
  Result<void> program(std::uint64_t offset, std::span<const std::byte> from);
  // Sets all bits of whole blocks. After an error some blocks may have been erased.
  // Errors: Errno::einval (beyond the end, or no whole blocks), Errno::erofs (a locked block), Errno::eio (the block is
  // worn out or has a stuck bit; no programming voltage), Errno::etime (as read), Errno::eintr (while it slept).
  Result<void> erase(ByteRange blocks);
  // Locks are volatile. Wait for what is in flight.
  // Errors: Errno::einval (beyond the end, or no whole blocks), Errno::etime (as read), Errno::eintr (while it slept).
  Result<void> lock(ByteRange blocks);
  Result<void> unlock(ByteRange blocks);
  // Whether the block that holds `offset` is locked; waits for what is in flight.
  // Errors: Errno::einval (beyond the end), Errno::etime (as read).
  Result<bool> is_locked(std::uint64_t offset);

  // Begin an operation and return; wait() has its result. On set 0001 it also says that the block is locked.
  //
  // A program is inside one buffer (one word, if the part has none), and suspends an erase of another block if the part
  // can.
  // Errors: Errno::einval (beyond the end; nothing to do; across a buffer boundary), Errno::eagain (the chip is pointed, or
  // busy with what cannot be suspended), Errno::erofs (a locked block, on set 0002), Errno::eio (a suspend was not
  // acknowledged).
  Result<void> start_program(std::uint64_t offset, std::span<const std::byte> from);
  // Errors: Errno::einval (beyond the end; not the first byte of a block), Errno::eagain (the chip is pointed or busy),
  // Errno::erofs (a locked block, on set 0002).
  Result<void> start_erase(std::uint64_t block);
  // Until nothing is in flight on the chip that holds `offset`; goes on with what is suspended. Answers what became of the
  // last that was started of each kind, once; of two errors the program's.
  // Errors: those of program and erase.
  Result<void> wait(std::uint64_t offset);

  // Suspends what is running on the chip that holds `offset`, if anything is and has not ended before the chip listens. It
  // stays suspended until resume() or wait(), or until a call needs it to end.
  // Errors: Errno::einval (beyond the end), Errno::eopnotsupp (the part cannot), Errno::eio (not acknowledged within the
  // limit; it goes on).
  Result<void> suspend(std::uint64_t offset, SuspendLimit limit = SuspendLimit::driver);
  // Errors: Errno::einval (beyond the end), Errno::eagain (the chip is pointed).
  Result<void> resume(std::uint64_t offset);

  // The memory of `bytes`, to be read at any time until unpoint() of as many bytes from there. Fewer than asked when the
  // next chip is not side by side. An erase of another block stays suspended meanwhile. F10.1.
  // Errors: Errno::einval (beyond the end), Errno::eio, Errno::etime (as read), Errno::eintr (while it slept, with
  // NestedPoint::sleeps).
  Result<std::span<const std::byte>> point(ByteRange bytes);
  // Errors: Errno::einval (beyond the end, or a chip of the range is not pointed; the others are unpointed).
  Result<void> unpoint(ByteRange bytes);

  // One bus cycle, as of a program that has the flash mapped: a load shows what the chip shows, and costs its access time.
  // A store goes to the command engine behind this driver's back. Rounded down to words; inside the device.
  NorLoad load(std::uint64_t offset);
  void store(std::uint64_t offset, std::uint16_t word);

  // Operations that have a choice if the power went now, by their first byte, ascending (docs/nor-flash.md says what each
  // outcome is). 0 is always: as if it had not begun; the last: as if it had ended.
  std::vector<LineHistory> pending_operations();
  // Afterwards every call answers Errno::enxio, and the media can be powered on again. The caller has made sure that nobody
  // is inside any other call.
  // Errors: Errno::einval (a listed operation or outcome does not exist, or is listed twice; nothing was changed).
  Result<PowerCutReport> power_cut(const PowerCut& choice);
  // What the power cut would leave, without one. Errors: as power_cut.
  Result<NorContents> contents_after(const PowerCut& choice);

 private:
  friend class NorPowerCuts;
  friend class NorView;
  struct Chips;
  static Result<std::unique_ptr<Mtd>> power_on(std::shared_ptr<NorMedia> media, VirtualClock& clock,
                                               NorObserver* observer);
  // What a power cut would leave of the operations in flight, in a copy of all that survives. Errors: as power_cut.
  Result<void> cut(const PowerCut& choice, std::span<std::byte> copy);
  struct Shown;
  struct ShowIn;
  explicit Mtd(std::unique_ptr<Chips> chips) noexcept;
  // For a view (nor_view.hpp). What a load of the page at `bytes.offset` gets, and how much more of `bytes`.
  Result<Shown> show(ByteRange bytes, const ShowIn& places);
  Result<void> read_for_view(std::uint64_t offset, std::span<std::byte> to);
  void lend_to(NorView& view) noexcept;
  void hold() noexcept;
  void let_go() noexcept;
  // What is in flight is as if it had not begun.
  void switch_off() noexcept;
  const std::unique_ptr<Chips> chips_;
};

// What survives. Made by sim::open().
// Threads: any.
class NorMedia : public Device {
 public:
  // Errors: Errno::ebusy (the media is under power; Mtd::contents_after has it then).
  virtual Result<NorContents> contents() = 0;
  // Errors: Errno::ebusy (as contents), Errno::einval (they are of another part, or more or fewer chips).
  virtual Result<void> restore(const NorContents& contents) = 0;
};

// The flash under the power of the machine that `attachment` belongs to: on while it is attached, until the machine removes
// it or its power is cut. Precondition: it is the attachment of a NorMedia.
Mtd& mtd(Attachment& attachment) noexcept;

}  // namespace sim
DAXSIM_END
