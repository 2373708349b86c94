// SPDX-License-Identifier: BSD-3-Clause
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>

#include "mm/live_host.hpp"

DAXSIM_BEGIN
namespace live {

namespace {

// Not through the C library: ThreadSanitizer takes its mmap for a write to the memory, and so for a race with the
// program's accesses beside the page that one of them has faulted on. -1 and errno on failure.
long map_unseen(void* address, std::size_t bytes, int protection, int flags, int fd, std::uint64_t offset) noexcept {
  return ::syscall(SYS_mmap, address, bytes, protection, flags, fd, offset);
}

// For the same reason: scratch memory of one thread is soon that of another.
#if defined(__clang__)
__attribute__((no_sanitize("thread")))
#else
__attribute__((no_sanitize_thread))
#endif
void copy_page_unseen(void* to, const std::byte* from) noexcept {
  auto* const target = static_cast<volatile std::uint64_t*>(to);
  const auto* const source = reinterpret_cast<const volatile std::uint64_t*>(from);
  for (std::size_t i = 0; i < kPageSize / sizeof(std::uint64_t); ++i) {
    target[i] = source[i];
  }
}

}  // namespace

Result<HostRange> reserve(std::size_t bytes) noexcept {
  void* const address = ::mmap(nullptr, bytes, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return from_host_errno(errno);
  }
  if (::madvise(address, bytes, MADV_DONTFORK) != 0) {
    const Errno error = from_host_errno(errno);
    ::munmap(address, bytes);
    return error;
  }
  return HostRange{static_cast<std::byte*>(address), bytes};
}

Result<HostRange> allocate(std::size_t bytes) noexcept {
  void* const address =
      ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (address == MAP_FAILED) {
    return from_host_errno(errno);
  }
  return HostRange{static_cast<std::byte*>(address), bytes};
}

void give_back(HostRange range) noexcept {
  if (range.bytes != 0) {
    ::munmap(range.address, range.bytes);
  }
}

Result<void> lay_inaccessible(HostRange range, int flags, int fd, std::uint64_t offset) noexcept {
  if (map_unseen(range.address, range.bytes, PROT_NONE, flags | MAP_FIXED | MAP_NORESERVE, fd, offset) < 0 ||
      ::madvise(range.address, range.bytes, MADV_DONTFORK) != 0) {
    return from_host_errno(errno);
  }
  return {};
}

Result<void> change_protection(HostRange range, int protection) noexcept {
  if (::mprotect(range.address, range.bytes, protection) != 0) {
    return from_host_errno(errno);
  }
  return {};
}

namespace {

// Presence is the protection of the page. A page that is accessible for the host but was never touched takes one more
// fault, which the host resolves alone.
class SigsegvHost final : public Host {
 public:
  [[nodiscard]] LiveBackend backend() const noexcept override { return LiveBackend::sigsegv; }
  Result<void> open() noexcept override { return {}; }
  [[nodiscard]] bool fills_in_place() const noexcept override { return false; }

  Result<void> lay_memory(HostRange range, int fd, std::uint64_t offset, VmFlags flags) noexcept override {
    return lay_inaccessible(range, flags.shared ? MAP_SHARED : MAP_PRIVATE, fd, offset);
  }
  Result<void> lay_zeros(HostRange range) noexcept override {
    return lay_inaccessible(range, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
  Result<void> lay_private(HostRange range) noexcept override { return lay_zeros(range); }

  Result<void> show(HostRange range, Writable writable, VmFlags /*flags*/, std::byte* /*kaddr*/) noexcept override {
    return writable == Writable::yes ? unprotect(range) : protect(range);
  }
  Result<void> show_zeros(HostRange range) noexcept override { return protect(range); }

  Result<void> fill_private(std::byte* page, const std::byte* source) noexcept override {
    // Made elsewhere and moved into place whole, so that no other thread ever sees it half copied.
    const long mapped = map_unseen(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (mapped < 0) {
      return from_host_errno(errno);
    }
    void* const copy = reinterpret_cast<void*>(mapped);
    if (source != nullptr) {
      copy_page_unseen(copy, source);
    }
    if (::madvise(copy, kPageSize, MADV_DONTFORK) != 0 ||
        ::mremap(copy, kPageSize, kPageSize, MREMAP_MAYMOVE | MREMAP_FIXED, page) == MAP_FAILED) {
      const Errno error = from_host_errno(errno);
      ::syscall(SYS_munmap, copy, kPageSize);
      return error;
    }
    return {};
  }

  Result<void> protect(HostRange range) noexcept override { return change_protection(range, PROT_READ); }
  Result<void> unprotect(HostRange range) noexcept override { return change_protection(range, PROT_READ | PROT_WRITE); }
  Result<void> hide(HostRange range) noexcept override { return change_protection(range, PROT_NONE); }
  Result<void> discard_private(HostRange range) noexcept override {
    return lay_inaccessible(range, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
  }
};

constinit SigsegvHost host;

}  // namespace

Host& sigsegv_host() noexcept { return host; }

}  // namespace live
DAXSIM_END
