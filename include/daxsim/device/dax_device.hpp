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
#include <optional>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/device_view.hpp"

DAXSIM_BEGIN

// Memory behind a range of device pages: contiguous, `pages` long.
struct Memory {
  std::byte* kaddr = nullptr;  // in the library's own mapping of the device (the direct map)
  Pfn pfn{};                   // filled in by Attachment
  std::uint64_t pages = 0;
  int fd = -1;                  // the host file that holds these pages, for live mappings; owned by the device
  std::uint64_t fd_offset = 0;  // bytes
  bool is_data = true;          // false: not what is stored there, but what the device shows in its place for a while
};

enum class DaxMode : std::uint8_t { access, recovery_write };

class DaxDevice : public DeviceView {
 public:
  // The memory at device page `page`, at least one page long, as far as it is contiguous, at most `pages` pages.
  // Errors: Errno::enomem (the host refused memory), Errno::ehwpoison (known media error in the first page),
  // Errno::eio (the host could not read the media file). Context: fault path; may read the media file. F6.
  virtual Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept = 0;

  // All kernel addresses of this view, page 0 first: those of every Memory it answers. They stay its own until it is
  // destroyed. Empty when they are not one range.
  [[nodiscard]] virtual std::span<std::byte> direct_map() const noexcept = 0;
  // The device page at a kernel address; none: it is no address of this view. Context: fault path.
  [[nodiscard]] virtual std::optional<Pgoff> page_at(std::uintptr_t kaddr) const noexcept {
    const auto first = reinterpret_cast<std::uintptr_t>(direct_map().data());
    const bool is_inside = kaddr >= first && kaddr - first < direct_map().size();
    return is_inside ? std::optional(page_of(kaddr - first)) : std::nullopt;
  }

  // Writes back the cache lines of `bytes` (rounded out to lines; inside the device): a line that differs from media
  // goes to media and to the unfenced log. Stores may go on meanwhile; a line takes the words that it had when it was
  // read.
  // Errors: Errno::enospc (the host disk is full; nothing was moved), Errno::eio (the media file was truncated; nothing
  // was moved), Errno::enomem (no memory for the log; the lines before were moved). Context: fault path (MAP_SYNC
  // commits).
  virtual Result<void> flush(ByteRange bytes) noexcept = 0;

  // How many lines of `bytes` differ between view and media.
  virtual std::uint64_t dirty_lines(ByteRange bytes) noexcept = 0;

 private:
  // By direct_access and flush.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept override;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept override;
  Result<void> zero(ByteRange bytes) noexcept override;
};

DAXSIM_END
