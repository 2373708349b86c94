// SPDX-License-Identifier: BSD-3-Clause
// DaxDevice: byte-addressable memory as one machine sees it. Implemented by sim_devices, called through Attachment.
//
// The view is what the CPU sees (caches and memory together); the media is what survives. Stores change the view;
// flush() moves 64-byte lines from view to media, unordered until fence(). power_cut() decides which of the moves that
// no fence has ordered, and which of the lines never moved, are on the media afterwards.
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

// Memory behind a range of device pages: contiguous, `pages` long.
struct Memory {
  std::byte* kaddr = nullptr;  // in the library's own mapping of the device (the direct map)
  Pfn pfn{};                   // filled in by Attachment
  std::uint64_t pages = 0;
  int fd = -1;                  // the host file that holds these pages, for live mappings; owned by the device
  std::uint64_t fd_offset = 0;  // bytes
};

enum class DaxMode : std::uint8_t { access, recovery_write };

// Which of the possible outcomes a power cut has. A line's history is the values it had since the last fence, oldest
// first, then its value in the view when that differs: a line with h flushes since the fence and a dirty view has h + 2
// outcomes, 0 (the fenced value) to h + 1 (the view).
struct LineOutcome {
  std::uint64_t offset = 0;   // device byte offset of the line, multiple of 64
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
  std::uint64_t unfenced_lines = 0;  // lines flushed since the last fence
  std::uint64_t dirty_lines = 0;     // lines whose view differed from media
  std::uint64_t lost_lines = 0;      // lines whose final value is not the view's
};

class DaxDevice {
 public:
  // An orderly end: unless power_cut() or unmap() came before, the caches are written back, so nothing is lost (save
  // what the host has no room for).
  virtual ~DaxDevice() = default;
  DaxDevice() = default;
  DaxDevice(const DaxDevice&) = delete;
  DaxDevice& operator=(const DaxDevice&) = delete;

  // The memory at device page `page`, at least one page long, as far as it is contiguous, at most `pages` pages.
  // Errors: Errno::enomem (the host refused memory), Errno::ehwpoison (known media error in the first page),
  // Errno::eio (the host could not read the media file). Context: fault path; may read the media file. F6.
  virtual Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept = 0;

  // All kernel addresses of this view: those of every Memory it answers. They stay its own until it is destroyed.
  [[nodiscard]] virtual std::span<std::byte> direct_map() const noexcept = 0;

  // Writes back the cache lines of `bytes` (rounded out to lines; inside the device): a line that differs from media
  // goes to media and to the unfenced log. Stores may go on meanwhile; a line takes the words that it had when it was
  // read.
  // Errors: Errno::enospc (the host disk is full; nothing was moved), Errno::eio (the media file was truncated; nothing
  // was moved), Errno::enomem (no memory for the log; the lines before were moved). Context: fault path (MAP_SYNC
  // commits).
  virtual Result<void> flush(ByteRange bytes) noexcept = 0;

  // Orders: what was flushed before is on the media whatever happens after. Errors: none. Context: fault path.
  virtual void fence() noexcept = 0;

  // Lines that would have a choice if the power went now, ascending. Proportional to touched pages. Context: not for
  // the fault path; no locks held.
  virtual std::vector<LineHistory> pending_lines() = 0;

  // The same for one range, without the vector: how many lines of `bytes` differ between view and media.
  virtual std::uint64_t dirty_lines(ByteRange bytes) noexcept = 0;

  // Applies the outcome to the media; afterwards only destruction is allowed. The caller has made sure that nobody
  // is inside any other call, nor stores to the view. The same seed over the same pending lines has the same outcome.
  // Kernel addresses become PROT_NONE as by unmap().
  // Errors: Errno::einval (a listed line or outcome does not exist, or a line is listed twice), Errno::eio,
  // Errno::enospc (as flush); after an error nothing was changed and the view goes on.
  virtual Result<PowerCutReport> power_cut(const PowerCut& choice) = 0;

  // The machine will never use the memory again: kernel addresses become PROT_NONE until destruction, host memory is
  // given back. What was not flushed is lost, what was flushed stays on the media, fenced or not. The caller has made
  // sure that nobody is inside any other call. Does nothing after power_cut(). Context: removal; no locks held.
  virtual void unmap() noexcept = 0;
};

DAXSIM_END
