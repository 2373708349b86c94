// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <linux/userfaultfd.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <atomic>

#include "mm/live_host.hpp"

DAXSIM_BEGIN
namespace live {
namespace {

// Newer than some headers this is compiled with.
constexpr std::uint64_t kContinueModeWp = std::uint64_t{1} << 1;  // Linux 6.4
constexpr int kUserModeOnly = 1;                                  // Linux 5.11
constexpr int kMadvPopulateRead = 22;                             // Linux 5.14

constexpr std::uint64_t kFeatures = UFFD_FEATURE_SIGBUS | UFFD_FEATURE_MISSING_SHMEM | UFFD_FEATURE_MINOR_SHMEM |
                                    UFFD_FEATURE_PAGEFAULT_FLAG_WP | UFFD_FEATURE_WP_HUGETLBFS_SHMEM;

uffdio_range to_uffd(HostRange range) noexcept {
  return {reinterpret_cast<std::uintptr_t>(range.address), range.bytes};
}

// A userfaultfd in SIGBUS mode queues nothing and nobody waits at it: the faulting thread gets the signal and resolves the
// fault itself. One descriptor serves all mappings of the process, and stays open.
class UserfaultfdHost final : public Host {
 public:
  [[nodiscard]] LiveBackend backend() const noexcept override { return LiveBackend::userfaultfd; }
  [[nodiscard]] bool fills_in_place() const noexcept override { return true; }

  // Serialised by its caller (the registry's lock).
  Result<void> open() noexcept override {
    if (fd_.load(std::memory_order_acquire) >= 0) {
      return {};
    }
    DAXSIM_TRY(const int fd, open_descriptor());
    fd_.store(fd, std::memory_order_release);
    if (!works()) {
      abandon();
      return Errno::enosys;
    }
    return {};
  }

  void abandon() noexcept {
    if (const int fd = fd_.exchange(-1, std::memory_order_acq_rel); fd >= 0) {
      ::close(fd);
    }
  }

  // Inaccessible until it is registered, or a touch in between would be resolved by the host, unseen.
  Result<void> lay_memory(HostRange range, int fd, std::uint64_t offset, VmFlags flags) noexcept override {
    DAXSIM_TRY_VOID(lay_inaccessible(range, flags.shared ? MAP_SHARED : MAP_PRIVATE, fd, offset));
    DAXSIM_TRY_VOID(watch(range, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_MINOR | UFFDIO_REGISTER_MODE_WP));
    return change_protection(range, flags.write ? PROT_READ | PROT_WRITE : PROT_READ);
  }
  Result<void> lay_zeros(HostRange range) noexcept override {
    DAXSIM_TRY_VOID(lay_inaccessible(range, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    DAXSIM_TRY_VOID(watch(range, UFFDIO_REGISTER_MODE_MISSING));
    return change_protection(range, PROT_READ);
  }
  Result<void> lay_private(HostRange range) noexcept override {
    DAXSIM_TRY_VOID(lay_inaccessible(range, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0));
    DAXSIM_TRY_VOID(watch(range, UFFDIO_REGISTER_MODE_MISSING | UFFDIO_REGISTER_MODE_WP));
    return change_protection(range, PROT_READ | PROT_WRITE);
  }

  Result<void> show(HostRange range, Writable writable, VmFlags flags, std::byte* kaddr) noexcept override {
    // A private mapping always gets it: without, the host itself would copy the page at the first store, unseen.
    const bool watch_stores = writable == Writable::no || !flags.shared;
    bool populated = false;
    for (std::size_t done = 0; done < range.bytes;) {
      const HostRange rest{range.address + done, range.bytes - done};
      uffdio_continue request{};
      request.range = to_uffd(rest);
      request.mode = UFFDIO_CONTINUE_MODE_DONTWAKE | (watch_stores ? kContinueModeWp : 0);
      if (control(UFFDIO_CONTINUE, &request)) {
        return {};
      }
      switch (const int error = errno; error) {
        case EAGAIN:  // the world moved, or a part was done
          if (request.mapped > 0) {
            done += static_cast<std::size_t>(request.mapped);
          }
          break;
        case EEXIST:  // the host kept the page; only its protection may be an older one
          DAXSIM_TRY_VOID(set_watch_stores({rest.address, kPageSize}, watch_stores));
          done += kPageSize;
          break;
        case EFAULT:  // a hole of the memfd: the device gave memory that nobody has touched yet
          if (populated || ::madvise(kaddr + done, rest.bytes, kMadvPopulateRead) != 0) {
            return Errno::efault;
          }
          populated = true;
          break;
        default:
          return from_host_errno(error);
      }
    }
    return {};
  }

  Result<void> show_zeros(HostRange range) noexcept override {
    for (std::size_t done = 0; done < range.bytes;) {
      uffdio_zeropage request{};
      request.range = to_uffd({range.address + done, range.bytes - done});
      request.mode = UFFDIO_ZEROPAGE_MODE_DONTWAKE;
      if (control(UFFDIO_ZEROPAGE, &request)) {
        return {};
      }
      if (errno == EAGAIN) {
        if (request.zeropage > 0) {
          done += static_cast<std::size_t>(request.zeropage);
        }
      } else if (errno == EEXIST) {
        done += kPageSize;
      } else {
        return from_host_errno(errno);
      }
    }
    return {};
  }

  Result<void> fill_private(std::byte* page, const std::byte* source) noexcept override {
    // The source is read by the host, so that memory which is gone is an error and not a fault in here.
    alignas(kPageSize) static constexpr std::byte kZeros[kPageSize] = {};
    uffdio_copy request{};
    request.dst = reinterpret_cast<std::uintptr_t>(page);
    request.src = reinterpret_cast<std::uintptr_t>(source != nullptr ? source : kZeros);
    request.len = kPageSize;
    request.mode = UFFDIO_COPY_MODE_DONTWAKE;
    while (!control(UFFDIO_COPY, &request)) {
      if (errno != EAGAIN) {
        return from_host_errno(errno);
      }
    }
    return {};
  }

  Result<void> protect(HostRange range) noexcept override { return set_watch_stores(range, true); }
  Result<void> unprotect(HostRange range) noexcept override { return set_watch_stores(range, false); }
  Result<void> hide(HostRange range) noexcept override {
    if (::madvise(range.address, range.bytes, MADV_DONTNEED) != 0) {
      return from_host_errno(errno);
    }
    return {};
  }
  Result<void> discard_private(HostRange range) noexcept override { return hide(range); }

 private:
  static Result<int> open_descriptor() noexcept {
    const long fd = ::syscall(SYS_userfaultfd, O_CLOEXEC | O_NONBLOCK | kUserModeOnly);
    if (fd < 0) {
      const int error = errno;
      if (error == EMFILE || error == ENFILE || error == ENOMEM) {
        return from_host_errno(error);
      }
      return Errno::enosys;
    }
    uffdio_api api{};
    api.api = UFFD_API;
    api.features = kFeatures;
    if (::ioctl(static_cast<int>(fd), UFFDIO_API, &api) != 0) {
      ::close(static_cast<int>(fd));
      return Errno::enosys;
    }
    return static_cast<int>(fd);
  }

  bool control(unsigned long what, void* request) const noexcept {
    return ::ioctl(fd_.load(std::memory_order_relaxed), what, request) == 0;
  }

  Result<void> watch(HostRange range, std::uint64_t mode) const noexcept {
    uffdio_register request{};
    request.range = to_uffd(range);
    request.mode = mode;
    if (!control(UFFDIO_REGISTER, &request)) {
      return from_host_errno(errno);
    }
    return {};
  }

  Result<void> set_watch_stores(HostRange range, bool on) const noexcept {
    uffdio_writeprotect request{};
    request.range = to_uffd(range);
    request.mode = on ? UFFDIO_WRITEPROTECT_MODE_WP : UFFDIO_WRITEPROTECT_MODE_DONTWAKE;
    while (!control(UFFDIO_WRITEPROTECT, &request)) {
      if (errno != EAGAIN) {
        return from_host_errno(errno);
      }
    }
    return {};
  }

  // Every call once, as they will be used: a kernel may know userfaultfd and lack one of them.
  bool works() noexcept {
    const int memory = ::memfd_create("daxsim-probe", MFD_CLOEXEC);
    if (memory < 0) {
      return false;
    }
    Result<HostRange> reserved = Errno::enomem;
    if (::ftruncate(memory, kPageSize) == 0) {
      reserved = reserve(kPageSize);
    }
    void* const kaddr = ::mmap(nullptr, kPageSize, PROT_READ | PROT_WRITE, MAP_SHARED, memory, 0);
    bool good = reserved.ok() && kaddr != MAP_FAILED;
    if (good) {
      const HostRange page = *reserved;
      auto* const source = static_cast<std::byte*>(kaddr);
      constexpr VmFlags kShared{};
      constexpr VmFlags kPrivate{.shared = false};
      good = lay_memory(page, memory, 0, kShared).ok() && show(page, Writable::no, kShared, source).ok() &&
             unprotect(page).ok() && protect(page).ok() && hide(page).ok() &&
             lay_memory(page, memory, 0, kPrivate).ok() && show(page, Writable::no, kPrivate, source).ok() &&
             hide(page).ok() && fill_private(page.address, source).ok() && lay_zeros(page).ok() &&
             show_zeros(page).ok() && lay_private(page).ok() && fill_private(page.address, nullptr).ok();
    }
    if (kaddr != MAP_FAILED) {
      ::munmap(kaddr, kPageSize);
    }
    if (reserved.ok()) {
      give_back(*reserved);
    }
    ::close(memory);
    return good;
  }

  std::atomic<int> fd_{-1};
};

constinit UserfaultfdHost host;

}  // namespace

Host& userfaultfd_host() noexcept { return host; }
void abandon_userfaultfd() noexcept { host.abandon(); }

}  // namespace live
DAXSIM_END
