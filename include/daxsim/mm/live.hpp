// SPDX-License-Identifier: BSD-3-Clause
// Mapping: a file in the address space of the host process. Its loads and stores are the program's own instructions;
// the pages that are not there fault, really, and the fault is handled in the faulting thread:
//
//   1. The CPU faults; the kernel sends SIGBUS or SIGSEGV to the thread, and the library's handler runs.
//   2. It finds the mapping by the address, and read or write by the signal's context (x86-64).
//   3. It asks the file (Inode::fault) as a kernel would: for a 2 MiB page first where the 2 MiB are empty, then for one
//      of 4 KiB.
//   4. dax answers through Vma::install, under its entry lock, and the page is there; or the fault ends in a signal.
//   5. The handler returns and the instruction runs again; or the signal goes to whoever had it before.
//
// Two backends put pages in place. `userfaultfd` (Linux 6.4, allowed without privileges) lays a whole extent as one host
// mapping in which the absent pages fault, and then needs one ioctl for each page. `sigsegv` uses mmap and mprotect only,
// runs everywhere, and needs a host mapping for every run of pages that are alike.
//
// Signals. One handler each for SIGBUS and SIGSEGV is installed with the first mapping and stays. Faults outside live
// mappings go on untouched to the handler that was there before, or to the default action. A fault of ours that ends in
// a bus error goes there too, with the siginfo that a kernel would give (F7.4); no lock is held then, errno and the
// signal mask are the program's, so a handler may siglongjmp out. SIGBUS and SIGSEGV stay unblocked in such a handler,
// so that it may touch live mappings.
//
// What to know:
// - The handler runs wherever the program was, maybe inside malloc. It needs 16 KiB of stack; a thread with an alternate
//   signal stack needs 32 KiB there, and the process aborts with a message where it has less.
// - A thread that holds locks of the library (it was interrupted by an asynchronous signal inside it) must not touch a
//   live mapping: the process aborts with a message.
// - SIGBUS and SIGSEGV must not be blocked in a thread that touches live mappings: the kernel kills it.
// - A system call that is given a live mapping as its buffer does not fault pages in; it fails with EFAULT. prefault()
//   first, or use daxsim::posix (persist.hpp).
// - munmap, mprotect, mremap and madvise of the host do not know of mappings, nor mappings of them.
// - fork: a child does not inherit live mappings (SIGSEGV there). It may make its own; handles it inherited do nothing.
// - ThreadSanitizer holds a lock of its own during an atomic access stronger than relaxed, and waits for itself when that
//   access faults: prefault() such pages, or keep the access out of its sight.
// - An address given back by unmap() may be handed out again by the host.
//
// I1 The address range stays reserved until unmap() or destruction, whatever happens to file and device (vma.hpp I4).
// I2 A page that was installed costs nothing: no instruction of the library runs on a warm access.
//
// Threads: map() in any thread. One handle's calls are for one thread at a time, or for many when none of them is
// unmap() or a move; its bytes are for any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <span>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/mm/map_options.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/system.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN

namespace live {
class Area;
}  // namespace live

// How pages are put in place; `automatic` is the best one that the host allows, unless the environment variable
// DAXSIM_LIVE_BACKEND names one ("userfaultfd" or "sigsegv").
enum class LiveBackend : std::uint8_t { automatic, userfaultfd, sigsegv };
// "automatic", "userfaultfd", "sigsegv".
const char* live_backend_name(LiveBackend backend) noexcept;

// What `automatic` means on this host: found by trying once, then remembered. Never `automatic`.
// Context: not in the fault path.
LiveBackend probe_live_backend() noexcept;

// Ok, or ebusy: somebody has installed a handler for SIGBUS or SIGSEGV over the library's, so faults in live mappings
// may never reach it. The next Mapping::map() takes the signals back and passes on to that handler instead.
// Errors: Errno::ebusy. Context: not in the fault path.
Result<void> check_live_signals() noexcept;

class Mapping {
 public:
  // Maps the file; keeps it open. The address agrees with the file offset modulo 2 MiB. `options.length` may go beyond the
  // end of the file: accesses there end in SIGBUS. MAP_SYNC on a private mapping is accepted and ignored, as by Linux.
  // Errors: Errno::einval (offset no multiple of the page size; length 0, also of an empty rest of the file; offset +
  // length overflows; an address is asked for; DAXSIM_LIVE_BACKEND names no backend), Errno::eacces (a writable shared mapping of a read-only
  // handle), Errno::eopnotsupp (a shared MAP_SYNC mapping, and a device of the file is not synchronous), Errno::enomem
  // (longer than 16 TiB, no address space or memory, or too many mappings), Errno::emfile and Errno::enfile (no
  // descriptor left for userfaultfd), Errno::enosys (the host does not allow the asked backend), Errno::eio or
  // Errno::eshutdown (the file system is shut down).
  // Context: not in the fault path, may wait, no locks held.
  static Result<Mapping> map(System& system, std::shared_ptr<OpenFile> file, const MapOptions& options,
                             LiveBackend backend = LiveBackend::automatic);

  // A handle without a mapping: size() is 0, and only assignment and destruction are of use.
  Mapping() noexcept = default;
  Mapping(Mapping&& other) noexcept;
  Mapping& operator=(Mapping&& other) noexcept;
  ~Mapping() { unmap(); }

  [[nodiscard]] std::byte* data() const noexcept { return data_; }
  // Bytes, a multiple of the page size.
  [[nodiscard]] std::size_t size() const noexcept { return size_; }
  [[nodiscard]] std::span<std::byte> bytes() const noexcept { return {data_, size_}; }
  [[nodiscard]] LiveBackend backend() const noexcept;
  [[nodiscard]] Vma& vma() const noexcept;
  [[nodiscard]] FaultCounts faults() const noexcept;
  // Why the host refused what the last fault that ended out of memory needed, in plain words; null when none did. Such a
  // fault raises SIGBUS with BUS_OBJERR and si_errno ENOMEM.
  [[nodiscard]] const char* refusal() const noexcept;

  // The calls below are system calls: not in the fault path, may wait, no locks held. Offsets are bytes from data().

  // msync(MS_SYNC): the file bytes of the pages that the range touches become durable (data, not timestamps). Does
  // nothing for a private mapping. Errors: Errno::einval (offset no multiple of the page size), Errno::enomem (the range
  // goes beyond the mapping; the part inside was synced), and those of OpenFile::fsync_range.
  Result<void> msync(ByteRange bytes);
  // madvise(MADV_POPULATE_READ or _WRITE): faults the pages in. Errors: Errno::einval (offset no multiple of the page
  // size), Errno::enomem (the range goes beyond the mapping, the part inside was done; or a fault ended out of memory),
  // Errno::efault (a fault ended in a bus error, or a store is not allowed), Errno::ehwpoison (known media error).
  Result<void> prefault(ByteRange bytes, Access access);
  // madvise(MADV_DONTNEED): drops the pages from the mapping, private copies too; the next access faults.
  // Errors: Errno::einval (offset no multiple of the page size), Errno::enomem (the range goes beyond the mapping; the
  // part inside was done).
  Result<void> dont_need(ByteRange bytes);
  // Gives the addresses back. No thread may be inside an access of them. Does nothing when done already.
  void unmap() noexcept;

 private:
  explicit Mapping(live::Area* area) noexcept;

  live::Area* area_ = nullptr;
  std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

DAXSIM_END
