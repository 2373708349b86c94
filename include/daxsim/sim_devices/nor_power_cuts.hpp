// SPDX-License-Identifier: BSD-3-Clause
// NorPowerCuts: every state that a power cut can leave while a workload runs on a NOR flash, each by an id that brings it
// back.
//
//   sim::NorPowerCuts cuts(media);
//   auto mtd = must(cuts.record(clock));
//   ...                                             // the workload, on *mtd
//   mtd.reset();
//   for (const sim::NorCutId id : must(cuts.ids())) {
//     VirtualClock after_clock;
//     auto after = must(cuts.power_on(id, after_clock));
//     ...                                           // recover on *after, and look
//   }
//
// A recording is what the flash held, and the write cycles of its bus with their times: equal cycles at equal times have
// equal effects. Replayed, they bring a second flash to where the power goes. A third one takes over the few blocks in
// which it differs, gets the outcome of what is in flight, and is powered on; so a state costs what these blocks cost and
// not the size of the flash. Ids in ascending order go on from one to the next, a lower one begins anew.
//
// A recording allocates memory with every bus cycle. Not for a program whose allocator lives on a simulated device.
#pragma once

#include <compare>
#include <cstdint>
#include <memory>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device_view.hpp"
#include "daxsim/sim_devices/nor_flash.hpp"

DAXSIM_BEGIN
namespace sim {

// As text: "operation.outcome".
struct NorCutId {
  // Of the operations of the workload, counted from 0 as Mtd::operations() does, the last that has begun when the power
  // goes. Their number: all have ended, with no outcome but 0.
  std::uint32_t operation = 0;
  // What becomes of what is in flight: outcomes as of Mtd::pending_operations(), as one number whose lowest digit is the
  // operation with the lowest first byte. With one operation in flight just its outcome.
  std::uint32_t outcome = 0;

  friend auto operator<=>(const NorCutId&, const NorCutId&) = default;
};

// Threads: one at a time, but for the devices that it hands out. It outlives these.
// Errors of all: Errno::ebusy (a device that it has handed out, or another one of that media, is under power).
class NorPowerCuts {
 public:
  explicit NorPowerCuts(std::shared_ptr<NorMedia> media) noexcept;
  ~NorPowerCuts();
  NorPowerCuts(const NorPowerCuts&) = delete;
  NorPowerCuts& operator=(const NorPowerCuts&) = delete;

  // Powers the media on. What is done to this device until its destruction is the workload; a former recording is gone.
  Result<std::unique_ptr<Mtd>> record(VirtualClock& clock);

  // Errors of all: Errno::einval (nothing was recorded, or no such id), Errno::eoverflow (so many chips are busy at once that
  // there are more than a million outcomes), and any that sim::open meets for a flash in memory.

  // Of every state, ascending: each outcome of whatever is in flight once another operation has begun, and the end.
  Result<std::vector<NorCutId>> ids();
  // What the power cut chooses there, listed.
  Result<PowerCut> choice(NorCutId id);
  // The flash after the cut, under power, on media of its own; `clock` goes on from the cut.
  Result<std::unique_ptr<Mtd>> power_on(NorCutId id, VirtualClock& clock);
  // What survives the cut.
  Result<NorContents> contents(NorCutId id);

 private:
  class Recorder;
  class Replay;
  Result<void> finish_recording();
  Result<void> go_to(NorCutId id);

  const std::shared_ptr<NorMedia> media_;
  std::unique_ptr<Recorder> recorder_;
  std::unique_ptr<Replay> replay_;  // made when first asked, of what was recorded
};

}  // namespace sim
DAXSIM_END
