// SPDX-License-Identifier: BSD-3-Clause
// MediaFile: the host file behind a simulated device. It is the only thing that survives.
//
// I1 While the object lives the file is locked (flock) and registered by its inode: there is no second one.
//
// The file belongs to this object. Should somebody truncate it in spite of the lock, is_whole() and read() tell.
//
// Threads: any.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <span>
#include <string>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "host.hpp"

DAXSIM_BEGIN
namespace sim {

class MediaFile {
 public:
  MediaFile() noexcept = default;
  ~MediaFile();
  MediaFile(const MediaFile&) = delete;
  MediaFile& operator=(const MediaFile&) = delete;

  // Which sizes a medium can have. disk: what sim::Pmem says of them; any: up to 1 TiB.
  enum class Sizes : std::uint8_t { disk, any };

  // Opens or creates the file; `wanted` 0: as large as it is. Once, before anything else. Errors: as sim::open().
  Result<void> open(const std::filesystem::path& path, std::uint64_t wanted, Sizes sizes = Sizes::disk);
  // The same in memory, gone with this object. Errors: Errno::einval, Errno::emfile, Errno::enfile, Errno::enomem.
  Result<void> make_in_memory(std::uint64_t bytes, Sizes sizes = Sizes::disk) noexcept;

  [[nodiscard]] const std::string& name() const noexcept { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] const Descriptor& file() const noexcept { return file_; }
  // False when somebody has truncated it.
  [[nodiscard]] bool is_whole() const noexcept;
  // Errors: Errno::ebusy (another file).
  Result<void> check_same(int descriptor) const noexcept;

  // Bytes of the file, holes as zeroes. Errors: Errno::eio (it cannot be read, or was truncated). Context: fault path;
  // waits for the disk.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) const noexcept;
  // Errors: Errno::enospc (disk or quota is full), Errno::eio. Context: as read().
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) const noexcept;

  // The right to have the one view of it. Errors: Errno::ebusy.
  Result<void> take_view() noexcept {
    return viewed_.exchange(true, std::memory_order_acquire) ? Result<void>(Errno::ebusy) : Result<void>();
  }
  void return_view() noexcept { viewed_.store(false, std::memory_order_release); }

 private:
  Result<void> enlist() noexcept;
  Result<void> settle_size(std::uint64_t wanted, Sizes sizes) noexcept;

  // Set by open(), then constant.
  std::string name_;
  std::uint64_t size_ = 0;
  std::uint64_t host_device_ = 0;
  std::uint64_t inode_ = 0;
  bool enlisted_ = false;
  Descriptor file_;

  MediaFile* next_ = nullptr;  // of the process's list of media; guarded by its lock

  std::atomic<bool> viewed_{false};
};

}  // namespace sim
DAXSIM_END
