// SPDX-License-Identifier: BSD-3-Clause
// PmemMedia: the file behind a simulated pmem. It is the only thing that survives: a line is durable when it is in here.
//
// I1 The mapping is used only for chunks that reserve() succeeded for, so a full disk is an error and not a SIGBUS: on
//    some file systems (tmpfs) even reading a hole through a mapping takes a block. Other chunks are read by load() and
//    read().
// I2 Words are 8 bytes, aligned, and stored whole.
//
// The file belongs to this object. Should somebody truncate it in spite of the lock, load(), read() and reserve() say
// eio from then on; where the mapping is used the host raises SIGBUS, as for any mapped file.
//
// Threads: load() one at a time, the rest any. Locks: one of rank media around reserving.
#pragma once

#include <boost/interprocess/mapped_region.hpp>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <memory>
#include <span>
#include <string>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "media_file.hpp"
#include "page_set.hpp"

DAXSIM_BEGIN
namespace sim {

// How the file is read and given blocks: large enough that the host is asked rarely, small enough that a sparse device
// stays sparse.
inline constexpr std::uint64_t kChunkSize = std::uint64_t{64} << 10;
inline constexpr std::uint64_t kPagesPerChunk = kChunkSize / kPageSize;
inline constexpr std::uint64_t kWordsPerLine = kCacheLine / sizeof(std::uint64_t);

class PmemMedia {
 public:
  // Errors: as sim::open().
  static Result<std::shared_ptr<PmemMedia>> open(const Pmem& config);
  PmemMedia(const PmemMedia&) = delete;
  PmemMedia& operator=(const PmemMedia&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return file_.name(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return file_.size(); }
  // The line that holds byte `offset`, in the mapping (I1).
  [[nodiscard]] std::uint64_t* line(std::uint64_t offset) const noexcept {
    auto* const bytes = static_cast<std::byte*>(region_.get_address());
    return reinterpret_cast<std::uint64_t*>(bytes + round_down(offset, kCacheLine));
  }

  // Copies the data of a chunk to `to`, which is zero; holes are left alone. False: all of it is a hole, and stays one until
  // it is reserved.
  // Errors: Errno::eio (the file cannot be read, or was truncated). Context: fault path; waits for the disk.
  Result<bool> load(std::uint64_t chunk, std::byte* to) noexcept;
  // As MediaFile::read().
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) const noexcept { return file_.read(offset, to); }

  // Makes the host give a chunk its blocks. Errors: Errno::enospc (disk or quota is full), Errno::eio (the file was
  // truncated), and what else the host says. Context: fault path; waits for the disk.
  Result<void> reserve(std::uint64_t chunk) noexcept;
  [[nodiscard]] bool reserved(std::uint64_t chunk) const noexcept { return reserved_.test(chunk); }

  // As MediaFile's.
  Result<void> take_view() noexcept { return file_.take_view(); }
  void return_view() noexcept { file_.return_view(); }

 private:
  PmemMedia() noexcept = default;
  Result<void> map(const std::filesystem::path& path);

  // Set by open(), then constant.
  MediaFile file_;
  boost::interprocess::mapped_region region_;

  Mutex lock_{LockRank::media};
  PageSet reserved_;  // chunks; inserted to under lock_

  // Used by load() only: what the host said last, since asking may cost it a walk over the rest of the file. It stays
  // true except in reserved chunks, and there load() does not ask.
  struct Extent {
    std::uint64_t start = 0;
    std::uint64_t end = 0;
    bool data = false;
  };
  Result<void> ask_for_extent(std::uint64_t at) noexcept;
  Extent extent_;
};

}  // namespace sim
DAXSIM_END
