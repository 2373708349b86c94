// SPDX-License-Identifier: BSD-3-Clause
// Attachment: a machine's handle on a Device: its PFN range, life state, gate, holder, and page pins.
//
// Life (F7.2). Each edge is made by the machine's removal, in this order only; surprise removal starts at dax_dead.
//   alive      -> pre_remove   the holder is told; everything still works
//   pre_remove -> dax_dead     no new translation: direct_access answers enxio. Gate synchronized after
//   dax_dead   -> disk_gone    fences and flushes answer eio
//   disk_gone  -> unmapped     no pins are left (or the bound passed): the memory is gone
//
// I1 While a thread is inside the gate and has seen alive or pre_remove, the memory it got stays readable.
// I2 The object lives as long as its machine, so a stored Attachment* never dangles.
//
// Threads: any. Calls that say "inside the gate" want the caller to hold a Gate::Reader of gate().
#pragma once

#include <atomic>
#include <cstdint>
#include <memory>
#include <span>
#include <string>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/device.hpp"
#include "daxsim/device/holder.hpp"

DAXSIM_BEGIN

enum class LifeState : std::uint8_t { alive, pre_remove, dax_dead, disk_gone, unmapped };
// "ALIVE", "PRE_REMOVE", "DAX_DEAD", "DISK_GONE", "UNMAPPED".
const char* life_state_name(LifeState state) noexcept;

class Attachment {
 public:
  Attachment(std::shared_ptr<Device> device, std::unique_ptr<DaxDevice> view, Pfn first, std::uint32_t dev,
             EventStream& events);
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return device_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return device_->size(); }
  [[nodiscard]] std::uint64_t pages() const noexcept { return device_->size() >> kPageShift; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept { return device_->capabilities(); }
  [[nodiscard]] const std::shared_ptr<Device>& device() const noexcept { return device_; }
  [[nodiscard]] Pfn first_pfn() const noexcept { return first_; }
  // (major << 20) | minor, as the kernel's dev_t; for events.
  [[nodiscard]] std::uint32_t dev() const noexcept { return dev_; }
  [[nodiscard]] LifeState state() const noexcept { return state_.load(std::memory_order_acquire); }
  [[nodiscard]] Gate& gate() noexcept { return gate_; }
  [[nodiscard]] DaxDevice& view() noexcept { return *view_; }

  // Page offset on the device to memory (F6, 5.17+). The answer may be shorter than asked, never empty.
  // Errors: Errno::enxio (dead), Errno::einval (pages is 0), Errno::erange (page beyond the end), and those of
  // DaxDevice::direct_access. Context: fault path, inside the gate. Emits dax_direct_access.
  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode = DaxMode::access) noexcept;

  // dax_flush: no-op without a write cache. Works until disk_gone, as the kernel's does (no liveness check, F5.3).
  // Errors: Errno::eio (disk gone), Errno::erange, and those of DaxDevice::flush. Context: fault path. Emits dax_flush.
  Result<void> flush(ByteRange bytes) noexcept;

  // The device's cache flush. Errors: Errno::eio (disk gone). Context: fault path. Emits blkdev_issue_flush.
  Result<void> fence() noexcept;

  // Metadata and pwrite: enter the gate themselves. write() and zero() are cache-bypassing copies (F5.6): the bytes are
  // in the unfenced log at once and a fence makes them durable. `to`/`from` are not user memory.
  // Errors: Errno::enxio (dead), Errno::erange, Errno::ehwpoison, and those of flush. Context: fault path.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept;
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept;
  Result<void> zero(ByteRange bytes) noexcept;

  // One holder at a time. Errors: Errno::ebusy (claimed), Errno::enxio (not alive).
  Result<void> claim(Holder& holder) noexcept;
  // Waits until a notification that is under way has returned. Context: may wait.
  void release(Holder& holder) noexcept;

  // Pins: get_user_pages on these device pages (F9). pin() fails with enxio once the device is not alive.
  Result<void> pin(Pgoff page) noexcept;
  void unpin(Pgoff page) noexcept;
  // First pinned page in the range, or none.
  [[nodiscard]] bool find_pinned(PageRange pages, Pgoff* busy) noexcept;
  // Waits until `page` has no pin. Errors: Errno::eintr (interrupted). Context: no lock of rank mm or above.
  Result<void> wait_unpinned(Pgoff page) noexcept;
  [[nodiscard]] std::uint64_t pins() noexcept;

  // Removal and power cut, called by the machine in the order above; each edge once. advance() to dax_dead synchronizes
  // the gate; to unmapped it gives the memory back. Context: may wait for gate readers; no locks held.
  // Errors: Errno::einval (not a later state).
  Result<void> advance(LifeState next);
  // Tells the holder, if any: pre_remove while alive, failure otherwise. Errors: Errno::eopnotsupp (no holder), or the
  // holder's. Context: may wait.
  Result<void> notify_holder();

 private:
  struct Pins;

  const std::shared_ptr<Device> device_;
  const std::unique_ptr<DaxDevice> view_;
  const Pfn first_;
  const std::uint32_t dev_;
  EventStream& events_;
  std::atomic<LifeState> state_{LifeState::alive};
  Gate gate_;
  Mutex holder_lock_{LockRank::machine};
  Holder* holder_ DAXSIM_GUARDED_BY(holder_lock_) = nullptr;
  const std::unique_ptr<Pins> pins_;
};

DAXSIM_END
