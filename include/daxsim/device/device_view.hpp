// SPDX-License-Identifier: BSD-3-Clause
// DeviceView: what one machine sees of a medium: its bytes, and what becomes of them when the power goes. A DaxDevice has
// them as memory, too; a BlockDevice moves them in sectors.
//
// A *line* is what reaches the media as a whole: Capabilities::granularity bytes, 64 of a pmem, a sector of a block device.
//
// Threads: every call from any thread at once. Nothing here may touch user memory.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

class Attachment;

// Which of the possible outcomes a power cut has. A line's history is the values it had since the last fence, oldest
// first, then its value in the view when that differs: a line with h flushes since the fence and a dirty view has h + 2
// outcomes, 0 (the fenced value) to h + 1 (the view). A block device has no dirty view: its writes are what a pmem's
// flushes are.
struct LineOutcome {
  std::uint64_t offset = 0;   // device byte offset of the line, multiple of the granularity
  std::uint32_t outcome = 0;  // index into its history
};
struct LineHistory {
  std::uint64_t offset = 0;
  std::uint32_t outcomes = 0;  // 2 or more
};
struct PowerCut {
  enum class Kind : std::uint8_t { none, all, seeded, listed };
  Kind kind = Kind::none;            // none: every line has outcome 0; all: its last
  std::uint64_t seed = 0;            // seeded: a random outcome for each line
  std::vector<LineOutcome> lines{};  // listed: these; lines not listed have outcome 0
};
struct PowerCutReport {
  std::uint64_t unfenced_lines = 0;  // lines flushed (written) since the last fence
  std::uint64_t dirty_lines = 0;     // lines whose view differed from media
  std::uint64_t lost_lines = 0;      // lines whose final value is not the view's
};

class DeviceView {
 public:
  // An orderly end: unless power_cut() or unmap() came before, the caches are written back, so nothing is lost (save
  // what the host has no room for).
  virtual ~DeviceView() = default;
  DeviceView() = default;
  DeviceView(const DeviceView&) = delete;
  DeviceView& operator=(const DeviceView&) = delete;

  // Copies of bytes inside the device. What write() and zero() change is what flush() would have moved: in the unfenced
  // log at once, on the media after a fence. After an error a part may have been copied. Context: fault path.
  // Errors: Errno::einval (not whole sectors of a block device), and those of DaxDevice::direct_access and
  // BlockDevice::read_sectors.
  virtual Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept = 0;
  // Errors: Errno::erofs (a device that is read-only, Capabilities), those of read, and those of DaxDevice::flush
  // and BlockDevice::write_sectors.
  virtual Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept = 0;
  virtual Result<void> zero(ByteRange bytes) noexcept = 0;

  // Orders: what was flushed (written) before is on the media whatever happens after. Errors: none. Context: fault path.
  virtual void fence() noexcept = 0;

  // Lines that would have a choice if the power went now, ascending. Proportional to touched pages. Context: not for
  // the fault path; no locks held.
  virtual std::vector<LineHistory> pending_lines() = 0;

  // Applies the outcome to the media; afterwards only destruction is allowed. The caller has made sure that nobody
  // is inside any other call, nor stores to the view. The same seed over the same pending lines has the same outcome.
  // Kernel addresses become PROT_NONE as by unmap().
  // Errors: Errno::einval (a listed line or outcome does not exist, or a line is listed twice), Errno::eio,
  // Errno::enospc (as DaxDevice::flush); after an error nothing was changed and the view goes on.
  virtual Result<PowerCutReport> power_cut(const PowerCut& choice) = 0;

  // What its attachment tells a view, which may not care. None of them waits.
  // Once, before all others: who to ask to revoke mappings. The attachment outlives the view.
  virtual void attached(Attachment& /*attachment*/) noexcept {}
  // Somebody holds the device from now on (Attachment::claim); nobody does any more, and nothing is mapped.
  virtual void claimed() noexcept {}
  virtual void released() noexcept {}

  // The machine will never use the medium again: kernel addresses become PROT_NONE until destruction, host memory is
  // given back. What was not flushed is lost, what was flushed (written) stays on the media, fenced or not. The caller
  // has made sure that nobody is inside any other call. Does nothing after power_cut(). Context: removal; no locks held.
  virtual void unmap() noexcept = 0;
};

DAXSIM_END
