// SPDX-License-Identifier: BSD-3-Clause
// Host: how the host's memory management puts pages of a live mapping in place and takes them away. Two of them:
// userfaultfd (live_userfaultfd.cpp) and plain mmap/mprotect (live_sigsegv.cpp).
//
// A range goes through these states; every call takes whole host pages.
//
//   reserved  --lay_*-->  laid: every page absent  --show*, fill_private-->  present
//   present   --protect / unprotect-->  present, read-only / writable
//   present   --hide-->  absent, still laid
//
// An access to a page that is not present, or a store to a read-only one, raises SIGBUS or SIGSEGV.
//
// Threads: calls for one range are serialised by its area's page_table lock. Context: fault path; no user memory is
// touched. Errors: what the host said; Errno::enomem also stands for "too many mappings".
#pragma once

#include <cstddef>
#include <cstdint>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/mm/live.hpp"

DAXSIM_BEGIN
namespace live {

struct HostRange {
  std::byte* address = nullptr;
  std::size_t bytes = 0;
};

// Addresses that nobody else gets and nobody can access. Not inherited by child processes.
Result<HostRange> reserve(std::size_t bytes) noexcept;
void give_back(HostRange range) noexcept;
// Zeroed memory that costs nothing until it is touched; give_back() when done.
Result<HostRange> allocate(std::size_t bytes) noexcept;

class Host {
 public:
  Host(const Host&) = delete;
  Host& operator=(const Host&) = delete;

  [[nodiscard]] virtual LiveBackend backend() const noexcept = 0;
  // Ready for use. Errors: Errno::enosys (the host does not allow it), Errno::emfile, Errno::enfile, Errno::enomem.
  virtual Result<void> open() noexcept = 0;
  // True when fill_private() may replace a page of laid memory.
  [[nodiscard]] virtual bool fills_in_place() const noexcept = 0;

  // All three replace what is in the range. After an error nothing in it that was absent is accessible, and it must be
  // laid again before use.
  virtual Result<void> lay_memory(HostRange range, int fd, std::uint64_t offset, VmFlags flags) noexcept = 0;
  virtual Result<void> lay_zeros(HostRange range) noexcept = 0;
  virtual Result<void> lay_private(HostRange range) noexcept = 0;

  // Makes absent pages of laid memory present. `kaddr` is the library's own address of them.
  // Errors: Errno::enoent (not laid: somebody else unmapped it), Errno::efault (no such memory).
  virtual Result<void> show(HostRange range, Writable writable, VmFlags flags, std::byte* kaddr) noexcept = 0;
  virtual Result<void> show_zeros(HostRange range) noexcept = 0;
  // One absent page becomes a writable copy of `source` (null: zeros): in laid memory or laid private pages where
  // fills_in_place(), anywhere else otherwise. Errors: Errno::efault (the source cannot be read).
  virtual Result<void> fill_private(std::byte* page, const std::byte* source) noexcept = 0;

  // Pages that are present and not private copies. When these return no thread stores (protect), or accesses (hide),
  // without a new fault. Errors: Errno::enomem (a mapping would have to be split).
  virtual Result<void> protect(HostRange range) noexcept = 0;
  virtual Result<void> unprotect(HostRange range) noexcept = 0;
  virtual Result<void> hide(HostRange range) noexcept = 0;
  // Private copies go, and their bytes with them. Errors: as hide.
  virtual Result<void> discard_private(HostRange range) noexcept = 0;

 protected:
  Host() = default;
  ~Host() = default;
};

Host& userfaultfd_host() noexcept;
Host& sigsegv_host() noexcept;
// Forgets what a child process must not use. Context: the only thread of a new child.
void abandon_userfaultfd() noexcept;

// One host mapping for all of `range`, no page of it accessible yet, and none inherited by children.
Result<void> lay_inaccessible(HostRange range, int flags, int fd, std::uint64_t offset) noexcept;
Result<void> change_protection(HostRange range, int protection) noexcept;

}  // namespace live
DAXSIM_END
