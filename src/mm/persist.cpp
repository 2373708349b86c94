// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/mm/persist.hpp"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>
#include <cstring>
#include <memory>

#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "mm/live_area.hpp"
#include "mm/live_registry.hpp"

DAXSIM_BEGIN
namespace {

using live::Area;
using live::Visit;

// --- flush and drain ------------------------------------------------------------------------------------------------

// A device that this thread has flushed to. It lives as long as the mapping, which is found again by address and id.
struct Pending {
  std::uint64_t address = 0;
  std::uint64_t area_id = 0;
  Attachment* device = nullptr;
};

// Initial-exec and of fixed size: user code may flush anywhere, in its allocator too.
constexpr std::size_t kMostPending = 16;
thread_local constinit std::array<Pending, kMostPending> pending __attribute__((tls_model("initial-exec"))) = {};
thread_local constinit std::size_t pending_count __attribute__((tls_model("initial-exec"))) = 0;

void remember(const Area& area, Attachment& device) noexcept {
  for (std::size_t i = 0; i < pending_count; ++i) {
    if (pending[i].area_id == area.id() && pending[i].device == &device) {
      return;
    }
  }
  pending[pending_count++] = {area.start(), area.id(), &device};
}

// Flushes at most up to the end of the page's run. Answers how many bytes are dealt with, 0 when the page is absent.
std::size_t flush_run(std::uint64_t address, std::size_t length) noexcept {
  const std::uint64_t in_page = address & (kPageSize - 1);
  const std::size_t to_page_end = std::min<std::size_t>(length, kPageSize - in_page);
  const Visit visit(reinterpret_cast<const void*>(address));
  Area* const area = visit.area();
  if (area == nullptr) {
    return to_page_end;
  }
  const Pgoff page = area->pgoff_of(address);
  const Area::Run run = area->memory_at(page, pages_for(in_page + length));
  if (run.pages == 0) {
    return area->is_present(page) ? to_page_end : 0;
  }
  const std::size_t bytes = std::min<std::size_t>(length, (run.pages << kPageShift) - in_page);
  const MemoryMap::Place place = area->system().memory.find(run.pfn);
  if (place.attachment == nullptr) {
    return bytes;
  }
  area->note_flush(*place.attachment);
  remember(*area, *place.attachment);
  // What the device refuses stays in the view, which is the cache.
  static_cast<void>(place.attachment->flush({byte_of(place.page) + in_page, bytes}));
  return bytes;
}

// --- buffers of system calls ----------------------------------------------------------------------------------------

constexpr std::size_t kBounce = std::size_t{16} << 10;

// Makes the pages accessible, as far as that goes. Answers the bytes that are.
std::size_t reach(const void* buffer, std::size_t length, Access access) noexcept {
  const auto first = reinterpret_cast<std::uintptr_t>(buffer);
  for (std::size_t done = 0; done < length;) {
    const std::uint64_t address = first + done;
    const Visit visit(reinterpret_cast<const void*>(address));
    if (Area* const area = visit.area(); area != nullptr) {
      if (!area->populate(area->pgoff_of(address), access).ok()) {
        return done;
      }
    }
    done = std::min<std::size_t>(length, done + kPageSize - (address & (kPageSize - 1)));
  }
  return length;
}

// `call(buffer, length, done)` reads that many bytes, `done` bytes after the first.
template <class Call>
ssize_t read_through(void* buffer, std::size_t length, Call&& call) noexcept {
  if (!live::touches_live(buffer, length)) {
    return call(buffer, length, 0);
  }
  std::array<std::byte, kBounce> bounce;
  std::size_t done = 0;
  while (done < length) {
    auto* const to = static_cast<std::byte*>(buffer) + done;
    // First, so that no byte is taken from a pipe that then has no place.
    const std::size_t reachable = reach(to, std::min(length - done, kBounce), Access::write);
    if (reachable == 0) {
      errno = EFAULT;
      break;
    }
    const ssize_t got = call(bounce.data(), reachable, done);
    if (got <= 0) {
      if (got == 0) {
        return static_cast<ssize_t>(done);
      }
      break;
    }
    std::memcpy(to, bounce.data(), static_cast<std::size_t>(got));
    done += static_cast<std::size_t>(got);
    if (static_cast<std::size_t>(got) < reachable) {
      break;
    }
  }
  return done != 0 || length == 0 ? static_cast<ssize_t>(done) : -1;
}

template <class Call>
ssize_t write_through(const void* buffer, std::size_t length, Call&& call) noexcept {
  if (!live::touches_live(buffer, length)) {
    return call(buffer, length, 0);
  }
  std::array<std::byte, kBounce> bounce;
  std::size_t done = 0;
  while (done < length) {
    const auto* const from = static_cast<const std::byte*>(buffer) + done;
    const std::size_t reachable = reach(from, std::min(length - done, kBounce), Access::read);
    if (reachable == 0) {
      errno = EFAULT;
      break;
    }
    std::memcpy(bounce.data(), from, reachable);
    const ssize_t put = call(bounce.data(), reachable, done);
    if (put < 0) {
      break;
    }
    done += static_cast<std::size_t>(put);
    if (static_cast<std::size_t>(put) < reachable) {
      break;
    }
  }
  return done != 0 || length == 0 ? static_cast<ssize_t>(done) : -1;
}

}  // namespace

void flush(const void* address, std::size_t length) noexcept {
  auto at = reinterpret_cast<std::uintptr_t>(address);
  while (length != 0) {
    if (pending_count == kMostPending) {
      drain();  // more devices than a program has; a fence too early is one that could have happened
    }
    const std::size_t done = flush_run(at, length);
    if (done == 0) {
      static_cast<void>(*reinterpret_cast<const volatile std::byte*>(at));
    }
    at += done;
    length -= done;
  }
}

void drain() noexcept {
  for (std::size_t i = 0; i < pending_count; ++i) {
    const Visit visit(reinterpret_cast<const void*>(pending[i].address));
    if (Area* const area = visit.area(); area != nullptr && area->id() == pending[i].area_id) {
      area->fence(*pending[i].device);
    }
  }
  pending_count = 0;
}

namespace posix {

ssize_t read(int fd, void* buffer, std::size_t length) noexcept {
  return read_through(buffer, length, [fd](void* to, std::size_t bytes, std::size_t) { return ::read(fd, to, bytes); });
}

ssize_t pread(int fd, void* buffer, std::size_t length, off_t offset) noexcept {
  return read_through(buffer, length, [=](void* to, std::size_t bytes, std::size_t done) {
    return ::pread(fd, to, bytes, offset + static_cast<off_t>(done));
  });
}

ssize_t write(int fd, const void* buffer, std::size_t length) noexcept {
  return write_through(buffer, length,
                       [fd](const void* from, std::size_t bytes, std::size_t) { return ::write(fd, from, bytes); });
}

ssize_t pwrite(int fd, const void* buffer, std::size_t length, off_t offset) noexcept {
  return write_through(buffer, length, [=](const void* from, std::size_t bytes, std::size_t done) {
    return ::pwrite(fd, from, bytes, offset + static_cast<off_t>(done));
  });
}

int msync(void* address, std::size_t length, int flags) noexcept {
  auto at = reinterpret_cast<std::uintptr_t>(address);
  if (!live::touches_live(address, length) || (at & (kPageSize - 1)) != 0 ||
      (flags & ~(MS_ASYNC | MS_INVALIDATE | MS_SYNC)) != 0 || ((flags & MS_ASYNC) != 0 && (flags & MS_SYNC) != 0)) {
    return ::msync(address, length, flags);
  }
  const std::uint64_t end = at + round_up(length, kPageSize);
  bool is_short = false;
  while (at < end) {
    std::shared_ptr<OpenFile> file;
    ByteRange bytes;
    std::uint64_t next = std::min(end, round_down(at, kPmdSize) + kPmdSize);
    {
      const Visit visit(reinterpret_cast<const void*>(at));
      if (Area* const area = visit.area(); area != nullptr) {
        next = std::min(end, area->end());
        if (area->flags().shared) {
          file = area->file();
        }
        bytes = {byte_of(area->pgoff_of(at)), next - at};
      } else if (live::is_reserved(at)) {
        is_short = true;  // beside a mapping, in addresses that only look mapped to the host
        next = std::min(next, live::next_live(at, next));
      } else if (::msync(reinterpret_cast<void*>(at), next - at, flags) != 0) {
        if (errno != ENOMEM) {
          return -1;
        }
        is_short = true;
      }
    }
    if (file != nullptr && (flags & MS_SYNC) != 0) {
      if (const Result<void> synced = file->fsync_range(bytes, Datasync::yes); !synced.ok()) {
        errno = static_cast<int>(synced.error());
        return -1;
      }
    }
    at = next;
  }
  if (is_short) {
    errno = ENOMEM;
    return -1;
  }
  return 0;
}

}  // namespace posix
DAXSIM_END
