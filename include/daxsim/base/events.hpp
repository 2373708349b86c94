// SPDX-License-Identifier: BSD-3-Clause
// What happened, with the kernel's names and fields (F4; the fs_dax trace events and the functions around them).
//
// An event is emitted once, synchronously, by the thread that did the thing: it gets an id and the virtual time, is
// counted, goes into a bounded ring (old ones are overwritten), and is shown to the observers. Allowed in the fault path;
// observers may look around, but not take locks that the emitting thread holds.
//
// Emitting takes no lock; one atomic addition makes the id (a plain one as long as the process has one thread). The
// protocol of the ring, whose slot for an id is id % capacity, so that it is written for id, id + capacity, ... in turn:
//   writer   waits until the slot's stamp says that the event one capacity before is whole (it nearly always is);
//            stamps the slot with its id and kUnfinished; stores the words, each a release; stamps it with its id.
//   reader   copies the words, each an acquire, between two looks at the stamp that both must show the wanted id. Had a
//            word come from a later event, the second look would have shown that one's stamp at least, by the word's
//            release and acquire. An id that is given and not yet in the stamp is waited for: its writer is at work.
// To a thread the slot is a lock of rank events: an asynchronous signal handler that interrupts a writer must not fault.
// Counts are kept by thread, each in a row that only its owner changes, and in one row for the threads beyond kRows; the
// sums are exact once the emitters are quiet, and never behind what the caller knows to have happened.
#pragma once

#include <sys/single_threaded.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/clock.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/thread_record.hpp"
#include "daxsim/base/units.hpp"

DAXSIM_BEGIN

// The comment names the fields that carry meaning beside dev/ino/task.
enum class EventType : std::uint8_t {
  page_fault_user,                    // address, flags = x86 error code
  dax_pmd_fault,                      // fault_flags, address, vm_start, vm_end, pgoff, last = max_pgoff
  dax_pmd_fault_done,                 // the same + result
  dax_pmd_load_hole,                  // fault_flags, address, pfn (zero page)
  dax_pte_fault,                      // fault_flags, address, pgoff
  dax_pte_fault_done,                 // the same + result
  dax_load_hole,                      // fault_flags, address, pgoff, result
  dax_insert_entry,                   // pgoff, last = pages, pfn, flags = 1 when marked dirty
  dax_insert_pfn_mkwrite,             // fault_flags, address, pgoff, result
  dax_insert_pfn_mkwrite_no_entry,    // fault_flags, address, pgoff, result
  dax_finish_sync_fault,              // pgoff, last = pages
  vmf_insert_mixed,                   // address, pfn: read-only PTE
  vmf_insert_mixed_mkwrite,           // address, pfn: writable PTE
  vmf_insert_page_mkwrite,            // address, pfn: a PTE of either kind (7.3)
  vmf_insert_pfn_pmd,                 // address, pfn, flags = 1 when writable
  vmf_insert_folio_pmd,               // the same, also of the huge zero page (7.3)
  split_huge_pmd,                     // address: a huge page is dropped for small ones to come
  wp_page_copy,                       // address: a private mapping's copy of a page that it maps
  dax_writeback_range,                // pgoff, last, length = entries that are dirty there and will be written
  dax_writeback_range_done,           // pgoff (where it stopped), last, length as before, ret
  dax_writeback_one,                  // pgoff, last = pages, flags = 1 when the entry will be clean, object =
                                      // AddressSpace, length = look-ups of the index design, result = locks it took for
                                      // them; emitted after the flush, before the entry is unlocked
  pfn_mkclean_range,                  // pgoff, last = pages, pfn, ret = page-table entries that were writable
  dax_flush,                          // length in bytes, pfn, ret = -EIO when the disk is gone, -EFAULT when there is
                                      // nothing where the index design said
  dax_direct_access,                  // pgoff (device), last = pages asked, ret = pages or -errno, flags = 1 when they
                                      // are not what is stored there
  dax_zero_range,                     // pgoff of the page, length in bytes
  dax_truncate_page,                  // length: the new size in bytes
  dax_iomap_cow_copy,                 // pgoff, length: what is copied for blocks that were shared (until 6.3)
  dax_iomap_copy_around,              // the same
  dax_copy_from_iter,                 // length: pwrite
  dax_copy_to_iter,                   // length: pread
  dax_iomap_rw,                       // ret: what pread or pwrite of a direct file answers
  dax_delete_mapping_entry,           // pgoff
  dax_invalidate_mapping_entry_sync,  // pgoff, ret = 1 when removed
  invalidate_inode_pages2_range,      // pgoff, last
  dax_break_layout,                   // (6.15)
  dax_break_layout_final,             // before a file leaves core (6.15)
  dax_layout_busy_page,               // pgoff, last = pages, ret = 1 when a pinned page was found
  dax_break_layouts_wait,             // pgoff of the busy page
  dax_wait_entry,                     // pgoff: the entry is somebody else's (ours: Linux has no such event)
  dax_wait_entry_done,                // pgoff: woken (ours)
  unmap_mapping_pages,                // pgoff, last = pages, flags = 1 when private copies go too
  unmap_mapping_range,        // address = first byte, length (0: to the end), flags = 1 when private copies go too
  fsync_start,                // pgoff, last: vfs_fsync_range
  fsync_done,                 // pgoff, last, ret
  journal_commit,             // ret
  blkdev_issue_flush,         // ret: the device's cache flush (fence)
  dax_holder_notify_failure,  // flags = notice (MF_MEM_PRE_REMOVE = 0x80), ret
  dax_holder_revoke,          // pgoff (device), last = pages (ours: Linux has no such event)
  kill_dax,                   // object = Attachment
  disk_gone,                  // object = Attachment
  memunmap_pages,             // object = Attachment, ret = pins still held
  fs_shutdown,                // ret = reason (-errno)
  fs_freeze,                  //
  fs_thaw,                    //
  signal_generate,            // flags = signal number, ret = si_code, address
  power_cut,                  // length = lines that differed from media
  attach,                     // object = Attachment, pfn = first, last = pages
  finding,                    // flags = kind (detect/findings.hpp)
};
inline constexpr unsigned kEventTypes = static_cast<unsigned>(EventType::finding) + 1;

// The kernel's name: "dax_pte_fault".
std::string_view event_name(EventType type) noexcept;

struct Event {
  EventType type{};
  bool is_private = false;        // VM_SHARED not set
  std::uint32_t dev = 0;          // (major << 20) | minor, as the kernel's dev_t
  std::uint32_t task = 0;         // simulated process, or host thread for live mappings
  std::uint32_t fault_flags = 0;  // FAULT_FLAG_*
  std::uint32_t result = 0;       // VM_FAULT_*
  std::uint32_t flags = 0;
  std::uint64_t ino = 0;
  std::uint64_t address = 0;
  std::uint64_t vm_start = 0;
  std::uint64_t vm_end = 0;
  Pgoff pgoff{};
  std::uint64_t last = 0;
  Pfn pfn{};
  std::uint64_t length = 0;
  std::int64_t ret = 0;
  const void* object = nullptr;  // valid for observers while they are called; afterwards only to compare
  // Set by emit():
  std::uint64_t id = 0;  // 1, 2, 3, ...
  std::uint64_t time_ns = 0;
};

class EventObserver {
 public:
  EventObserver() = default;
  EventObserver(const EventObserver&) = delete;
  EventObserver& operator=(const EventObserver&) = delete;
  // Called in the emitting thread, maybe in the fault path: no malloc, no waiting.
  virtual void on_event(const Event& event) noexcept = 0;

 protected:
  ~EventObserver() = default;
};

class EventStream {
 public:
  // While one lives, what this thread does is an observer's looking around and no event of the machine: only findings are
  // emitted.
  class LookingAround {
   public:
    LookingAround() noexcept { ++looking_around; }
    ~LookingAround() { --looking_around; }
    LookingAround(const LookingAround&) = delete;
    LookingAround& operator=(const LookingAround&) = delete;
  };
  // So devices do nothing for the sake of what this thread asks.
  [[nodiscard]] static bool is_looking_around() noexcept { return looking_around != 0; }

  static constexpr unsigned kMaxObservers = 8;

  // `ring_events` is rounded up to a power of two; the ring is allocated here, once.
  EventStream(const VirtualClock& clock, std::size_t ring_events);
  ~EventStream();

  // Returns the event's id, 0 when it was only looking around. Allowed in the fault path. Inlined, so that an event is
  // made in the ring where it stays.
  [[gnu::always_inline]] std::uint64_t emit(Event event) noexcept;

  // Errors: Errno::enospc (kMaxObservers are registered).
  Result<void> add(EventObserver& observer) noexcept;
  // Waits until no thread is inside the observer. Context: may wait; not in an observer.
  void remove(EventObserver& observer) noexcept;

  // Events of this type ever emitted.
  [[nodiscard]] std::uint64_t count(EventType type) const noexcept;
  // The id that the next event will get.
  [[nodiscard]] std::uint64_t next_id() const noexcept;
  // What the ring still holds of [first_id, ...), oldest first.
  [[nodiscard]] std::vector<Event> since(std::uint64_t first_id) const;

 private:
  static thread_local constinit unsigned looking_around __attribute__((tls_model("initial-exec")));

  static constexpr std::uint64_t kUnfinished = std::uint64_t{1} << 63;
  static constexpr std::size_t kWords = 14;
  // Two cache lines.
  struct alignas(2 * kCacheLine) Slot {
    std::atomic<std::uint64_t> stamp;
    std::array<std::atomic<std::uint64_t>, kWords> words;
  };
  static constexpr unsigned kRows = 64;
  using Counts = std::array<std::atomic<std::uint64_t>, kEventTypes>;

  static constexpr std::uint64_t kPrivate = 0x100;  // in the first word, above the type

  static void pack(const Event& event, Slot& slot) noexcept;
  static Event unpack(const Slot& slot, std::uint64_t id) noexcept;
  static void wait_for(const Slot& slot, std::uint64_t id) noexcept;
  std::uint64_t take_id() noexcept;
  void count_without_row(EventType type) noexcept;
  void finish_and_show(Slot& slot, std::uint64_t id) noexcept;

  const VirtualClock& clock_;
  const std::uint64_t capacity_;
  const std::unique_ptr<Slot[]> ring_;
  const std::unique_ptr<Counts[]> counts_;  // kRows, and the shared one
  std::atomic<std::uint64_t> next_id_{1};
  std::array<std::atomic<EventObserver*>, kMaxObservers> observers_ = {};
  std::atomic<unsigned> observer_count_{0};
  Gate in_observers_{Gate::Ordered::no};
};

// Statement by statement, so that an event which is made for this call never lies anywhere else.
[[gnu::always_inline]] inline void EventStream::pack(const Event& event, Slot& slot) noexcept {
  const auto put = [&slot](std::size_t word, std::uint64_t value) {
    slot.words[word].store(value, std::memory_order_release);
  };
  const auto pair = [](std::uint64_t low, std::uint64_t high) { return low | high << 32; };
  put(0, pair(static_cast<std::uint64_t>(event.type) | (event.is_private ? kPrivate : 0), event.dev));
  put(1, pair(event.task, event.fault_flags));
  put(2, pair(event.result, event.flags));
  put(3, event.ino);
  put(4, event.address);
  put(5, event.vm_start);
  put(6, event.vm_end);
  put(7, event.pgoff.value);
  put(8, event.last);
  put(9, event.pfn.value);
  put(10, event.length);
  put(11, static_cast<std::uint64_t>(event.ret));
  put(12, reinterpret_cast<std::uintptr_t>(event.object));
  put(13, event.time_ns);
}

inline std::uint64_t EventStream::take_id() noexcept {
  if (__libc_single_threaded == 0) {
    return next_id_.fetch_add(1, std::memory_order_relaxed);
  }
  const std::uint64_t id = next_id_.load(std::memory_order_relaxed);
  next_id_.store(id + 1, std::memory_order_relaxed);
  return id;
}

inline std::uint64_t EventStream::emit(Event event) noexcept {
  if (looking_around != 0 && event.type != EventType::finding) [[unlikely]] {
    return 0;
  }
  lock_order::acquiring(LockRank::events);
  lock_order::acquired(LockRank::events);
  event.time_ns = static_cast<std::uint64_t>(clock_.now().count());
  const std::uint64_t id = take_id();
  const std::uint64_t before = id - capacity_;
  Slot& slot = ring_[id & (capacity_ - 1)];
  if (slot.stamp.load(std::memory_order_acquire) != before) [[unlikely]] {
    wait_for(slot, before);
  }
  slot.stamp.store(id | kUnfinished, std::memory_order_relaxed);
  pack(event, slot);
  const unsigned row = thread_record::number_of_this_thread;
  if (row < kRows) [[likely]] {
    std::atomic<std::uint64_t>& count = counts_[row][static_cast<unsigned>(event.type)];
    count.store(count.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  } else {
    count_without_row(event.type);
  }
  if (observer_count_.load(std::memory_order_acquire) == 0) {
    slot.stamp.store(id, std::memory_order_release);
    lock_order::released(LockRank::events);
  } else {
    finish_and_show(slot, id);
  }
  return id;
}

// The text of the kernel's fs_dax trace events, exactly; for the other events their name and fields in the style of the
// kprobes in the recordings. No trailing newline.
std::string fs_dax_text(const Event& event);

DAXSIM_END
