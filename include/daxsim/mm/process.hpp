// SPDX-License-Identifier: BSD-3-Clause
// Process: a simulated process. Its loads and stores go through page tables of its own (PTE and PMD level) to the view
// of the devices, fault when a page is absent or read-only, and end in a FaultSignal where a real one would be killed.
//
//   Process        areas (mmap and relatives) and accesses (load, store, read, write, access)
//   AccessResult   the value, or the signal that the access ended in
//   BulkAccess     a guard: some mapped bytes in place, while no page can be taken away
//
// One store, warm: enter the TLB gate, walk, store, leave. Cold:
//   1. mm lock shared, find the area; none is SEGV_MAPERR, a store into a read-only area SEGV_ACCERR;
//   2. page_fault_user; in an empty 2 MiB slot first a PMD fault, then a PTE fault, each through Inode::fault; a store
//      to a private area's read-only page is copied here (F13.8, oracle workload j: the file system is not asked);
//   3. dax installs through the Vma under its entry lock, or an outcome becomes a signal (signal_generate);
//   4. the access runs again.
// Taking a page away changes the page table and then synchronizes the gate: a TLB shootdown (Vma I1, I2).
//
// Which faults are tried, and their flags, are those of the recorded kernels (MmPolicy, FsTraits):
//   slot is                        tried                    and after FALLBACK
//   empty                          PMD                      PTE
//   a read-only PMD, shared        PMD, WRITE               the PMD is split; PTE
//   a read-only PMD, private       (6.1: PMD, WRITE)        the PMD is split; PTE
//   PTEs, page absent              PTE, 0x800
//   PTEs, page read-only, shared   PTE, WRITE | MKWRITE | 0x800
// First all of it with VMA_LOCK (from 6.4 on). A file system like ext4 cannot serve a PTE fault so; when one would come, all
// of it is tried again without.
// A fault that ends out of memory is SIGKILL (the kernel's OOM killer), code SI_KERNEL.
//
// Faults that the kernel takes itself (populate, mlock, pin) tell nobody of a page_fault_user, hold the mm lock, and so try
// each size once: PMD, then PTE (oracle, workloads a and k).
//
// Addresses: upwards from 0x200000000000, never handed out twice, so a stale address stays SEGV_MAPERR; address and file
// offset agree modulo 2 MiB. One that was asked for (MapOptions) is as it was asked, and may come again. Warm accesses advance the virtual clock by kAccessTime for each 64-byte line they touch; one
// that faults takes the fault's time.
//
// Threads: any number in one process, every call. Locks: mm (shared by faults, exclusive by calls that change areas),
// one page_table lock for each mmap. Determinism: the same calls from one thread give the same addresses, events, times.
#pragma once

#include <array>
#include <atomic>
#include <bit>
#include <chrono>
#include <cstddef>
#include <cstdint>
#include <expected>
#include <memory>
#include <span>
#include <type_traits>
#include <utility>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/sync.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/mm/map_options.hpp"
#include "daxsim/mm/signal.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/system.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN

class FaultOutcome;

namespace soft_mmu {
class Area;
class PageTable;
struct Translation;
}  // namespace soft_mmu

// MS_*, Linux' values.
namespace msync_flag {
inline constexpr std::uint32_t kAsync = 1;
inline constexpr std::uint32_t kInvalidate = 2;
inline constexpr std::uint32_t kSync = 4;
}  // namespace msync_flag

// FOLL_LONGTERM: the pin may stay for as long as its owner likes.
enum class Longterm : std::uint8_t { no, yes };

// A value, or the signal that ended the access. Not an Errno: no call failed, a load or store did.
template <class T>
class [[nodiscard]] AccessResult : public std::expected<T, FaultSignal> {
  using Base = std::expected<T, FaultSignal>;

 public:
  using Base::Base;
  constexpr AccessResult(const FaultSignal& signal) noexcept  // NOLINT(google-explicit-constructor)
      : Base(std::unexpect, signal) {}
  [[nodiscard]] constexpr bool ok() const noexcept { return this->has_value(); }
};

// Mapped bytes in place. While it lives, unmapping and write-protecting in this process wait; so the thread that has it
// must call nothing of daxsim and touch no live mapping until it is gone (debug builds abort by lock rank), and it stays
// in that thread.
class BulkAccess {
 public:
  BulkAccess(BulkAccess&&) noexcept = default;
  BulkAccess& operator=(BulkAccess&&) noexcept = default;

  // From the asked address on: one run, contiguous in the device's memory, 1 byte to the asked length.
  [[nodiscard]] std::span<const std::byte> bytes() const noexcept { return bytes_; }
  // The same to store to; empty when Access::read was asked for.
  [[nodiscard]] std::span<std::byte> writable_bytes() const noexcept {
    return access_ == Access::write ? bytes_ : std::span<std::byte>();
  }

 private:
  friend class Process;
  BulkAccess(std::unique_ptr<Gate::Reader> inside, std::span<std::byte> bytes, Access access) noexcept
      : inside_(std::move(inside)), bytes_(bytes), access_(access) {}

  std::unique_ptr<Gate::Reader> inside_;
  std::span<std::byte> bytes_;
  Access access_;
};

class Process {
 public:
  // The widest load or store, as of a vector register.
  static constexpr std::size_t kWidest = 64;
  static constexpr std::chrono::nanoseconds kAccessTime{1};

  // `pid` names the process in events. `system` outlives it.
  Process(System& system, std::uint32_t pid) noexcept : system_(system), pid_(pid) {}
  // Unmaps everything. No access may be under way.
  ~Process();
  Process(const Process&) = delete;
  Process& operator=(const Process&) = delete;

  [[nodiscard]] std::uint32_t pid() const noexcept { return pid_; }

  // The calls from here to unpin are system calls: not in the fault path, may wait, no locks held. `address` is in
  // bytes, a multiple of the page size; `length` is in bytes, rounded up to pages.

  // Answers the address of the first byte. The area keeps the file open. MAP_SYNC on a private mapping is accepted and
  // ignored, as by Linux. Errors: Errno::einval (offset or address not a multiple of the page size, length 0,
  // offset + length overflows), Errno::eexist (something is mapped at the address), Errno::eacces (a writable shared mapping of a read-only handle), Errno::eopnotsupp (a shared MAP_SYNC
  // mapping, and a device of the file is not synchronous), Errno::enomem (no address space or memory left), Errno::eio or
  // Errno::eshutdown (the file system is shut down).
  Result<std::uint64_t> mmap(std::shared_ptr<OpenFile> file, const MapOptions& options);
  // Any range, also of several areas or none; what is left of an area stays. A PMD that is cut is dropped.
  // Errors: Errno::einval (address not a multiple of the page size, length 0, address + length overflows),
  // Errno::enomem (no memory to split an area; nothing happened).
  Result<void> munmap(std::uint64_t address, std::uint64_t length);
  // Splits areas where needed and joins those that are alike again. Areas before the one that an error is about stay
  // changed. Errors: Errno::einval (address not a multiple of the page size), Errno::enomem (part of the range is not
  // mapped, or no memory to split), Errno::eacces (write access to a shared mapping of a read-only handle).
  Result<void> mprotect(std::uint64_t address, std::uint64_t length, Prot prot);
  // With msync_flag::kSync, Inode::fsync_range (datasync) of the file bytes of every shared area in the range; without it
  // nothing, since all caches are coherent and write-back is nobody's but who asks for it (oracle, workload h).
  // Errors: Errno::einval (address not a multiple of the page size; unknown flags, or both kSync and kAsync), Errno::enomem
  // (part of the range is not mapped; the rest was synced), and those of OpenFile::fsync_range.
  Result<void> msync(std::uint64_t address, std::uint64_t length, std::uint32_t flags = msync_flag::kSync);
  // madvise(MADV_DONTNEED): drops the page-table entries, private copies too; the next access faults.
  // Errors: Errno::einval (address not a multiple of the page size), Errno::enomem (part of the range is not mapped; it
  // was done for the rest).
  Result<void> dont_need(std::uint64_t address, std::uint64_t length);
  // madvise(MADV_POPULATE_READ, MADV_POPULATE_WRITE): faults the pages in, ascending, up to the first that cannot be.
  // Errors: Errno::einval (address not a multiple of the page size, address + length overflows; a store to a read-only
  // area), Errno::enomem (part of the range is not mapped; no memory), Errno::efault (a fault ended in a bus error),
  // Errno::ehwpoison (known media error).
  Result<void> populate(std::uint64_t address, std::uint64_t length, Access access);
  // mlock(2), mlock2(MLOCK_ONFAULT): faults the pages in, those of private writable areas for a store. Nothing is locked:
  // Linux does not lock areas of direct files, which is why MLOCK_ONFAULT makes no difference (oracle, k7, k8). `address` is
  // rounded down. Errors: Errno::einval (address + length overflows), Errno::enomem (part of the range is not mapped, and
  // nothing happened; a fault ended in a bus error), Errno::eagain (no memory).
  Result<void> mlock(std::uint64_t address, std::uint64_t length);
  // Only looks whether all of it is mapped. Errors: Errno::einval (address + length overflows), Errno::enomem (part of the
  // range is not mapped).
  Result<void> munlock(std::uint64_t address, std::uint64_t length);
  // mincore(2), for each page: whether it is in the page tables, zero pages too (oracle, a5). What a page cache has and
  // nobody maps here does not count. Errors: Errno::einval (address not a multiple of the page size), Errno::enomem (part of
  // the range is not mapped).
  Result<std::vector<bool>> mincore(std::uint64_t address, std::uint64_t length);
  // get_user_pages of the page that `address` is in, as direct I/O and vmsplice do: faults it in for that access, and pins
  // it against truncation and removal. No device: the page is none of a device's (the shared zero page, a private copy, one
  // of a page cache) and nothing holds on to it. Whoever pins keeps the file open.
  // Errors: Errno::efault (not mapped; a store to a read-only area; a fault ended in a bus error, also of a known media
  // error; the device is dead), Errno::enomem (no memory), Errno::eopnotsupp (Longterm::yes, of a direct file; oracle, k10).
  Result<Pin> pin(std::uint64_t address, Access access, Longterm longterm = Longterm::no);
  // Takes back what pin() answered.
  static void unpin(const Pin& pin) noexcept;

  // Loads and stores: of any address, aligned or not. Naturally aligned ones of 1, 2, 4 and 8 bytes are atomic
  // (relaxed); the others are made of such pieces. One that crosses into a page that faults stores nothing.
  // Signals: SIGSEGV SEGV_MAPERR (not mapped), SEGV_ACCERR (store to a read-only area); SIGBUS BUS_ADRERR (beyond EOF,
  // file system error, dead device), BUS_MCEERR_AR (known media error; lsb 12, or 21 for a PMD); SIGKILL (no memory).
  // Context: as for touching user memory: no lock of rank mm or above held; may wait for what a fault waits for.
  template <class T>
  AccessResult<T> load(std::uint64_t address) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(sizeof(T) <= kWidest, "no register is that wide: use read()");
    std::array<std::byte, sizeof(T)> raw;
    if (const AccessResult<void> done = load_bytes(address, raw); !done.ok()) {
      return done.error();
    }
    return std::bit_cast<T>(raw);
  }
  template <class T>
  AccessResult<void> store(std::uint64_t address, const T& value) noexcept {
    static_assert(std::is_trivially_copyable_v<T>);
    static_assert(sizeof(T) <= kWidest, "no register is that wide: use write()");
    return store_bytes(address, std::bit_cast<std::array<std::byte, sizeof(T)>>(value));
  }

  // Many loads or stores, ascending; bytes before the one that the signal is about have been copied. `to` and `from` may
  // be user memory, also a live mapping: they are touched with no lock held. Signals: as load and store.
  AccessResult<void> read(std::uint64_t address, std::span<std::byte> to) noexcept;
  AccessResult<void> write(std::uint64_t address, std::span<const std::byte> from) noexcept;

  // The run of bytes at `address` in place, at most `length` (1 or more). Faults in the first page, and those after it
  // as long as that works; a run ends where a page is absent, lies elsewhere in the device, or is a zero page.
  // Signals: as load and store, for the first page. Not in the fault path (allocates).
  AccessResult<BulkAccess> access(std::uint64_t address, std::uint64_t length, Access access);

  // Of the area that `address` is in; zeros when there is none. An area that is split or joined keeps its counts in the
  // piece with the lowest address.
  [[nodiscard]] FaultCounts fault_counts(std::uint64_t address) noexcept;
  // The page-table entry for `address`; kind none when there is none.
  [[nodiscard]] PteState pte(std::uint64_t address) noexcept;

 private:
  using Area = soft_mmu::Area;
  using PageTable = soft_mmu::PageTable;
  static constexpr std::uint64_t kFirstAddress = 0x200000000000;
  static constexpr std::uint64_t kEndOfAddresses = 0x7ffffffff000;
  static constexpr unsigned kRecentTables = 4;

  // accesses
  AccessResult<void> load_bytes(std::uint64_t address, std::span<std::byte> to) noexcept;
  AccessResult<void> store_bytes(std::uint64_t address, std::span<const std::byte> from) noexcept;
  template <Access access, class Buffer>
  AccessResult<void> transfer(std::uint64_t address, Buffer buffer) noexcept;
  // Inside the gate. Null: fault.
  std::byte* translate(std::uint64_t address, Access access) const noexcept;
  std::span<std::byte> contiguous_run(std::uint64_t address, std::uint64_t length, Access access) const noexcept;
  void spend(std::uint64_t address, std::uint64_t length) noexcept;

  // faults
  AccessResult<void> fault(std::uint64_t address, Access access) noexcept;
  // `flags`: who faults, kUserFault or kKernelFault.
  FaultOutcome handle_mm_fault(Area& area, std::uint64_t address, Access access, std::uint32_t flags,
                               const soft_mmu::Translation& found, unsigned& order) noexcept
      DAXSIM_REQUIRES_SHARED(mm_);
  // faultin_page: the kernel's own access. `errors` are the caller's.
  struct FaultErrors;
  Result<void> fault_in(std::uint64_t address, Access access, const FaultErrors& errors) noexcept;
  FaultSignal end_in_signal(const FaultSignal& signal) noexcept;
  void emit_split(std::uint64_t address) noexcept;
  void tell_of_splits(const Area& area, std::uint64_t from, std::uint64_t to) noexcept DAXSIM_REQUIRES(mm_);

  // areas
  using Areas = std::vector<Area*>;
  [[nodiscard]] Areas::iterator first_ending_after(std::uint64_t address) noexcept DAXSIM_REQUIRES_SHARED(mm_);
  [[nodiscard]] Area* find_area(std::uint64_t address) noexcept DAXSIM_REQUIRES_SHARED(mm_);
  // Where an area of these bytes may begin. Errors: Errno::enomem, Errno::eexist.
  Result<std::uint64_t> find_room(std::uint64_t bytes, const MapOptions& options) noexcept DAXSIM_REQUIRES(mm_);
  // The areas of a range, piece by piece, and how mlock populates each. Errors: Errno::enomem (there are gaps).
  struct Piece {
    std::uint64_t from;
    std::uint64_t to;
    Access access;
  };
  Result<std::vector<Piece>> pieces_of(std::uint64_t from, std::uint64_t to) DAXSIM_EXCLUDES(mm_);
  Area* make_piece(const Area& of, VmFlags flags, std::uint64_t start, std::uint64_t end) noexcept;
  void replace(Areas::iterator first, Areas::iterator last, std::span<Area* const> pieces) DAXSIM_REQUIRES(mm_);
  void destroy(Area* area) noexcept DAXSIM_REQUIRES(mm_);
  Result<void> protect_in(Area& area, std::uint64_t from, std::uint64_t to, VmFlags flags) DAXSIM_REQUIRES(mm_);
  void remember(PageTable& table) noexcept DAXSIM_REQUIRES_SHARED(mm_);
  void forget(const PageTable& table) noexcept DAXSIM_REQUIRES(mm_);

  // Constant.
  System& system_;
  const std::uint32_t pid_;

  // Changed by any thread.
  Gate tlb_;  // loads and stores are inside
  // Tables that were accessed last: read inside the gate, set under mm_ shared, cleared before the gate is synchronized
  // and the table freed.
  std::array<std::atomic<PageTable*>, kRecentTables> recent_tables_ = {};
  std::atomic<unsigned> oldest_recent_{0};
  std::atomic<Area*> last_area_{nullptr};  // used under mm_

  SharedMutex mm_{LockRank::mm};
  Areas areas_ DAXSIM_GUARDED_BY(mm_);  // by address
  std::uint64_t next_address_ DAXSIM_GUARDED_BY(mm_) = kFirstAddress;
};

DAXSIM_END
