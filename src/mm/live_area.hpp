// SPDX-License-Identifier: BSD-3-Clause
// Area: one live mapping: its reserved addresses, what is laid there, the state of every page, and its faults.
//
// It is what page tables are for a kernel: the host's own tables follow it. A page's state is one byte, kept in host
// memory that is reserved once for the whole area and costs something only where pages were touched.
//
//   bit      4        3             2          1         0
//            PMD      private copy  zero page  writable  present
//
// The 2 MiB around a page are a slot. A slot has a table once a 4 KiB page was ever put there, as in Linux, where only
// munmap frees page tables; until then it may hold a PMD: 512 pages that come and go together.
//
// Threads: any. Everything that changes is under lock_ (rank page_table), and so are the host calls, which makes the
// host's tables change with the states. Faults come in with the mapping's seat locked (live_registry.hpp).
//
// I1 A page that is not present in the states is not accessible on the host.
// I2 A page is present only where its segment is laid; a PMD lies in one segment.
// I3 Private copies are never laid over: they go by unmap(EvenCows::yes) only.
#pragma once

#include <array>
#include <atomic>
#include <cstddef>
#include <cstdint>
#include <memory>
#include <optional>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/mm/signal.hpp"
#include "daxsim/vfs/fault.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/system.hpp"
#include "daxsim/vfs/vma.hpp"
#include "mm/live_host.hpp"
#include "mm/live_segments.hpp"

DAXSIM_BEGIN

class Attachment;

namespace live {

// Who asks for a page: an instruction that the CPU could not finish, or prefault(), which no kernel reports as a fault.
enum class Cause : std::uint8_t { instruction, populate };

// In a child process its only thread has another number. Context: that thread.
void forget_thread_number() noexcept;

class Area final : public Vma {
 public:
  // Errors: Errno::enomem. Context: not in the fault path.
  static Result<Area*> create(System& system, std::shared_ptr<OpenFile> file, VmFlags flags, PageRange pages,
                              Host& host);
  // Gives the addresses back. Nobody may be inside a call, and the address space must have forgotten the area.
  static void destroy(Area* area) noexcept;

  [[nodiscard]] Host& host() const noexcept { return host_; }
  [[nodiscard]] System& system() const noexcept { return system_; }
  [[nodiscard]] const std::shared_ptr<OpenFile>& file() const noexcept { return file_; }
  [[nodiscard]] std::byte* data() const noexcept { return reinterpret_cast<std::byte*>(start()); }
  // The slots that belong to the area alone; data() is in the first.
  [[nodiscard]] HostRange reservation() const noexcept { return reservation_; }
  [[nodiscard]] const char* refusal() const noexcept { return refusal_.load(std::memory_order_relaxed); }

  // True in a child process, which has the object and not the mapping.
  [[nodiscard]] bool inherited() const noexcept;

  // Vma
  FaultOutcome install(const Installation& what) noexcept override;
  FaultOutcome install_private(Pgoff page, const std::byte* source) noexcept override;
  std::uint64_t write_protect(PageRange wanted) noexcept override;
  void unmap(PageRange wanted, EvenCows even_cows) noexcept override;
  [[nodiscard]] PteState pte(Pgoff page) noexcept override;
  [[nodiscard]] bool has_page_table(Pgoff page) noexcept override;
  [[nodiscard]] FaultCounts fault_counts() noexcept override;

  // handle_mm_fault (live_fault.cpp). Nothing: the access may run again. Else the signal that it ends in.
  // Context: fault path; the seat locked shared, no lock of rank freeze or above.
  std::optional<FaultSignal> fault(std::uint64_t address, Access access, Cause cause) noexcept;

  // One page for prefault(), which reports no fault where the page is there already. Context: as fault().
  // Errors: those of Mapping::prefault.
  Result<void> populate(Pgoff page, Access access) noexcept;

  // What a cache-line flush of the bytes at file page `page` is for: the device memory behind up to `wanted` present,
  // contiguous pages of the file; pages 0 when `page` is absent or no memory of a device.
  struct Run {
    Pfn pfn;
    std::uint64_t pages = 0;
  };
  [[nodiscard]] Run memory_at(Pgoff page, std::uint64_t wanted) noexcept;
  [[nodiscard]] bool is_present(Pgoff page) noexcept;

  // Different for every area of the process, ever.
  [[nodiscard]] std::uint64_t id() const noexcept { return id_; }
  // Somebody is about to flush lines of this device, through the area. A fence() orders them; so does the area's end.
  void note_flush(Attachment& device) noexcept;
  void fence(Attachment& device) noexcept;

 private:
  Area(System& system, std::shared_ptr<OpenFile> file, VmFlags flags, std::uint64_t start, PageRange pages, Host& host,
       HostRange reservation, HostRange tables) noexcept;
  ~Area() = default;

  static constexpr std::size_t kMostFlushed = 8;
  // Of a page.
  static constexpr std::uint8_t kPresent = 1 << 0;
  static constexpr std::uint8_t kWritable = 1 << 1;
  static constexpr std::uint8_t kZero = 1 << 2;
  static constexpr std::uint8_t kCopy = 1 << 3;
  static constexpr std::uint8_t kHuge = 1 << 4;
  struct Slot {
    std::uint16_t present = 0;  // pages
    bool has_table = false;
  };
  struct Look {
    bool present = false;
    bool writable = false;
    bool huge = false;
    bool has_table = false;
  };

  // live_fault.cpp
  FaultOutcome resolve(Access access, const Look& found, FaultRequest& request) noexcept;
  FaultOutcome copy_present(Pgoff page) noexcept;
  FaultOutcome show_again(Pgoff page) noexcept;
  [[nodiscard]] Look look(Pgoff page) noexcept;
  void emit_fault(std::uint64_t address, Access access, const Look& found, std::uint32_t task) noexcept;

  [[nodiscard]] std::array<Attachment*, kMostFlushed> flushed_so_far() noexcept;

  // states
  [[nodiscard]] std::uint8_t& state(Pgoff page) noexcept DAXSIM_REQUIRES(lock_) {
    return states_[page - pages().first];
  }
  [[nodiscard]] Slot& slot(Pgoff page) noexcept DAXSIM_REQUIRES(lock_) {
    return slots_[(page.value >> kPmdOrder) - (pages().first.value >> kPmdOrder)];
  }
  void set_states(PageRange range, std::uint8_t value) noexcept DAXSIM_REQUIRES(lock_);
  template <class Wanted, class Visit>
  void for_each_run(PageRange range, Wanted&& wanted, Visit&& visit) noexcept DAXSIM_REQUIRES(lock_);
  [[nodiscard]] PageRange whole_pmds(PageRange range) noexcept DAXSIM_REQUIRES(lock_);
  [[nodiscard]] PageRange alike_around(Pgoff page) noexcept DAXSIM_REQUIRES(lock_);
  template <class Change>
  PageRange change_for_sure(PageRange range, Change&& change) noexcept DAXSIM_REQUIRES(lock_);
  [[nodiscard]] HostRange at(PageRange range) const noexcept {
    return {reinterpret_cast<std::byte*>(address_of(range.first)), range.pages << kPageShift};
  }

  // host
  Result<void> lay(PageRange wanted, const Backing& backing, const Memory& memory, Pgoff memory_page,
                   PageRange target) noexcept DAXSIM_REQUIRES(lock_);
  Result<void> lay_run(PageRange run, const Backing& backing, int fd, std::uint64_t offset) noexcept
      DAXSIM_REQUIRES(lock_);
  Result<void> make_present(PageRange range, const Installation& what, const Backing& backing) noexcept
      DAXSIM_REQUIRES(lock_);
  FaultOutcome upgrade(PageRange range, const Installation& what, const Backing& backing) noexcept
      DAXSIM_REQUIRES(lock_);
  FaultOutcome make_private(Pgoff page, const std::byte* source) noexcept DAXSIM_REQUIRES(lock_);
  [[nodiscard]] PageRange vacant_around(Pgoff page) noexcept DAXSIM_REQUIRES(lock_);
  void hide(PageRange range) noexcept DAXSIM_REQUIRES(lock_);
  FaultOutcome refuse(Errno error) noexcept;

  // Constant.
  const std::uint64_t id_;
  System& system_;
  const std::shared_ptr<OpenFile> file_;
  Host& host_;
  const HostRange reservation_;
  const HostRange tables_;      // holds states_ and slots_
  std::uint8_t* const states_;  // one for each page
  Slot* const slots_;
  const std::uint64_t generation_;

  std::atomic<const char*> refusal_{nullptr};

  Mutex lock_{LockRank::page_table};
  Segments segments_ DAXSIM_GUARDED_BY(lock_);
  FaultCounts counts_ DAXSIM_GUARDED_BY(lock_);
  std::array<Attachment*, kMostFlushed> flushed_ DAXSIM_GUARDED_BY(lock_) = {};
};

}  // namespace live
DAXSIM_END
