// SPDX-License-Identifier: BSD-3-Clause
// Attachment: a machine's handle on a Device: its PFN range, life state, gate, holder, and page pins.
//
// Life (F7.2). Each edge is made once, by the machine's removal; there are no others.
//   alive      -> pre_remove   the holder is told; everything still works
//   pre_remove -> dax_dead     no new translation and no new pin: direct_access and pin answer enxio
//   alive      -> dax_dead     the same, without warning: surprise removal
//   dax_dead   -> disk_gone    fences and flushes answer eio
//   disk_gone  -> unmapped     no pins are left: the memory is gone
//
// I1 While a thread is inside the gate and has seen alive or pre_remove, the memory it got stays readable.
// I2 The object lives as long as its machine, so a stored Attachment* never dangles.
// I3 A page has as many pins as pin() succeeded for it without an unpin(); none appears after advance(dax_dead).
// I4 A Holder that release() has returned for is not called again, nor still being called.
//
// The gate and the state work together: a reader enters the gate and then reads the state, the remover changes the
// state and then synchronizes the gate. Both are sequentially consistent, so one of the two sees the other.
//
// Threads: any. Calls that say "inside the gate" want the caller to hold a Gate::Reader of gate(); the others enter it
// themselves where they need to. Locks: holder and pins have a lock of rank media each, held for a moment and never
// together.
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
#include "daxsim/base/zeroed_array.hpp"
#include "daxsim/device/device.hpp"
#include "daxsim/device/holder.hpp"

DAXSIM_BEGIN

enum class LifeState : std::uint8_t { alive, pre_remove, dax_dead, disk_gone, unmapped };
// "ALIVE", "PRE_REMOVE", "DAX_DEAD", "DISK_GONE", "UNMAPPED". Never null; allowed in the fault path.
const char* life_state_name(LifeState state) noexcept;

// What the holder is told. Linux 6.0 to 6.7 told of a removal as of memory that failed (B25).
enum class Notice : std::uint8_t { removal, failure };

constexpr std::uint32_t minor_of(std::uint32_t dev) noexcept { return dev & ((std::uint32_t{1} << 20) - 1); }

class Attachment {
 public:
  // Owns `view`, which make_view() of `device` answered, and calls its memory the frames from `first` on. `events`
  // outlives the attachment.
  Attachment(std::shared_ptr<Device> device, std::unique_ptr<DaxDevice> view, Pfn first, std::uint32_t dev,
             EventStream& events);
  // Of a device that is not direct: `view` is what its make_block_view() answered, and it has no frames.
  Attachment(std::shared_ptr<Device> device, std::unique_ptr<DeviceView> view, std::uint32_t dev, EventStream& events);
  ~Attachment();
  Attachment(const Attachment&) = delete;
  Attachment& operator=(const Attachment&) = delete;

  [[nodiscard]] const std::string& name() const noexcept { return device_->name(); }
  [[nodiscard]] std::uint64_t size() const noexcept { return size_; }
  [[nodiscard]] std::uint64_t pages() const noexcept { return size_ >> kPageShift; }
  [[nodiscard]] const Capabilities& capabilities() const noexcept { return device_->capabilities(); }
  [[nodiscard]] const std::shared_ptr<Device>& device() const noexcept { return device_; }
  // MemoryMap::kEnd, where no memory is, of a device that is not direct.
  [[nodiscard]] Pfn first_pfn() const noexcept { return first_; }
  // (major << 20) | minor, as the kernel's dev_t. A machine never gives out a minor number twice.
  [[nodiscard]] std::uint32_t dev() const noexcept { return dev_; }
  [[nodiscard]] LifeState state() const noexcept { return state_.load(std::memory_order_seq_cst); }
  [[nodiscard]] Gate& gate() noexcept { return gate_; }
  [[nodiscard]] bool is_direct() const noexcept { return dax_ != nullptr; }
  // Of a direct device.
  [[nodiscard]] DaxDevice& view() noexcept { return *dax_; }
  // Of any, for power cuts.
  [[nodiscard]] DeviceView& device_view() noexcept { return *view_; }

  // Which life of their memory these device pages are in: differs between attachments that had the same frames one after
  // the other, and changes when what one of the pages holds has moved elsewhere. Comes back after 2^16 changes. Context:
  // fault path.
  [[nodiscard]] std::uint16_t generation(PageRange pages) const noexcept;
  // The contents of these pages have moved: ends their generation.
  void end_generation(PageRange pages) noexcept;

  // Page offset on the device to memory (F6, 5.17+). The answer may be shorter than asked, never empty, and never
  // reaches beyond the end of the device.
  // Errors: Errno::enxio (dead, or not direct), Errno::einval (pages is 0), Errno::erange (page beyond the end), and
  // those of DaxDevice::direct_access. Context: fault path, inside the gate. Emits dax_direct_access.
  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode mode = DaxMode::access) noexcept;

  // dax_flush, of a direct device: no-op without a write cache. Works until disk_gone, as the kernel's does (no
  // liveness check, F5.3).
  // Errors: Errno::eio (disk gone), Errno::erange (beyond the end), and those of DaxDevice::flush. Context: fault path.
  // Emits dax_flush.
  Result<void> flush(ByteRange bytes) noexcept;

  // The device's cache flush. Errors: Errno::eio (disk gone). Context: fault path. Emits blkdev_issue_flush.
  Result<void> fence() noexcept;

  // Metadata, pwrite and the page cache: of any device, in whole sectors of one that is not direct. write() and zero()
  // are cache-bypassing copies (F5.6): the bytes are in the unfenced log at once, whatever the write-cache flag says, and
  // a fence makes them durable. `to`/`from` are not user memory. No events: the caller knows what the copy is for. On an
  // error part of the bytes may have been copied. Context: fault path.
  // Errors: Errno::enxio (dead), Errno::erange (beyond the end), and those of DeviceView::read.
  Result<void> read(std::uint64_t offset, std::span<std::byte> to) noexcept;
  // Errors: those of read, and those of DeviceView::write.
  Result<void> write(std::uint64_t offset, std::span<const std::byte> from) noexcept;
  Result<void> zero(ByteRange bytes) noexcept;

  // One holder at a time. Errors: Errno::ebusy (claimed), Errno::enxio (not alive).
  Result<void> claim(Holder& holder) noexcept;
  // Waits until a notification that is under way has returned; nothing happens when `holder` is not the holder.
  // Context: may wait; not from inside the notification, which would wait for itself.
  void release(Holder& holder) noexcept;

  // Pins: get_user_pages on these device pages (F9). Not for the fault path: pinning allocates.
  // Errors: Errno::enxio (dead), Errno::erange (beyond the end).
  Result<void> pin(Pgoff page) noexcept;
  // Takes one pin of `page` back, and wakes who waits for the last. Precondition: it is pinned.
  void unpin(Pgoff page) noexcept;
  // True when a page in the range is pinned; `*busy` is then the first of them.
  [[nodiscard]] bool find_pinned(PageRange pages, Pgoff* busy) noexcept;
  // Waits until `page` has no pin. Errors: Errno::eintr (interrupted). Context: no lock of rank mm or above.
  Result<void> wait_unpinned(Pgoff page) noexcept;
  // All pins of all pages.
  [[nodiscard]] std::uint64_t pins() noexcept;

  // Removal and power cut, called by the machine along the edges above. From dax_dead on each edge waits until every
  // thread that entered the gate before it has left; unmapped then gives the memory back (DaxDevice::unmap).
  // Errors: Errno::einval (no such edge from here; nothing happened). Context: may wait for gate readers; not inside
  // the gate, no locks held. Emits kill_dax, disk_gone, memunmap_pages.
  Result<void> advance(LifeState next);
  // Tells the holder: pre_remove in alive and pre_remove, failure of all bytes from dax_dead on, or always when that is
  // the notice.
  // Errors: Errno::eopnotsupp (no holder, and then no event), and those of Holder::pre_remove and Holder::failure.
  // Context: may wait; no locks held. Emits dax_holder_notify_failure with what the holder answered.
  Result<void> notify_holder(Notice notice = Notice::removal);
  // Memory of a device that works failed there: Holder::failure of these bytes.
  // Errors: Errno::eopnotsupp (no holder, and then no event), Errno::erange (beyond the end), and those of
  // Holder::failure. Context: may wait; no locks held. Emits dax_holder_notify_failure with what the holder answered.
  Result<void> notify_failure(ByteRange bytes);
  // Memory of the device shows something else for a while; the view answers no direct_access there with what it was. Waits
  // for those who are inside the gate, then Holder::revoke of these bytes. Without a holder nothing is mapped.
  // Errors: Errno::erange (beyond the end). Context: may wait; not inside the gate, no lock of a file system held. Emits
  // dax_holder_revoke.
  Result<void> revoke(ByteRange bytes);

 private:
  struct Pins;
  void emit(Event event) noexcept;
  // Calls `what(Holder&)`, and emits `told` with what it answered. Errors: Errno::eopnotsupp (no holder), and those of
  // `what`.
  template <class What>
  Result<void> tell_holder(Event told, What what);
  Attachment(std::shared_ptr<Device> device, std::unique_ptr<DeviceView> view, bool direct, Pfn first,
             std::uint32_t dev, EventStream& events);
  [[nodiscard]] bool inside(ByteRange bytes) const noexcept;
  // Errors: Errno::enxio (dead), Errno::erange (beyond the end).
  [[nodiscard]] Result<void> check_bytes(ByteRange bytes) const noexcept;
  Result<Memory> translate(Pgoff page, std::uint64_t pages, DaxMode mode) noexcept;

  const std::shared_ptr<Device> device_;
  const std::uint64_t size_;
  const std::unique_ptr<DeviceView> view_;
  DaxDevice* const dax_;  // the view of a direct device; null: it is not direct
  const Pfn first_;
  const std::uint32_t dev_;
  EventStream& events_;
  std::atomic<LifeState> state_{LifeState::alive};
  Gate gate_;
  Mutex holder_lock_{LockRank::media};
  Holder* holder_ DAXSIM_GUARDED_BY(holder_lock_) = nullptr;
  std::uint32_t notifiers_ DAXSIM_GUARDED_BY(holder_lock_) = 0;  // threads that are telling a holder
  const std::unique_ptr<Pins> pins_;
  const ZeroedArray<std::atomic<std::uint16_t>> moves_;  // for each page; touched as needed
};

// A page of a device that somebody has pinned (Attachment::pin), until he takes the pin back.
struct Pin {
  Attachment* device = nullptr;
  Pgoff page;  // device page
};

DAXSIM_END
