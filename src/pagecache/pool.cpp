// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/pagecache/pool.hpp"

#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <utility>

#include "daxsim/vfs/inode.hpp"
#include "pagecache/pages.hpp"

DAXSIM_BEGIN
namespace pagecache {

PoolState::PoolState(System& of, std::uint64_t count) : system(of), pages(count) { usage.pages = count; }

PoolState::~PoolState() {
  if (first != Pfn{}) {
    system.memory.unbind(first);
  }
  if (memory != nullptr) {
    ::munmap(memory, pages.size() * kPageSize);
  }
  if (fd >= 0) {
    ::close(fd);
  }
}

Result<void> PoolState::take_memory() noexcept {
  const std::uint64_t bytes = pages.size() * kPageSize;
  fd = ::memfd_create("daxsim-pagecache", MFD_CLOEXEC | MFD_ALLOW_SEALING);
  if (fd < 0) {
    return from_host_errno(errno);
  }
  // All of it now. The descriptor is handed out to live mappings: nobody can take the pages away by it.
  if (::fallocate(fd, 0, 0, static_cast<off_t>(bytes)) != 0 ||
      ::fcntl(fd, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL) != 0) {
    return Errno::enomem;
  }
  void* const mapped = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (mapped == MAP_FAILED) {
    return Errno::enomem;
  }
  memory = static_cast<std::byte*>(mapped);
  DAXSIM_TRY(first, system.memory.reserve(pages.size()));
  const MutexLock guard(lock);
  for (std::uint64_t n = pages.size(); n-- > 0;) {
    Page& page = pages[n];
    page.memory = {.kaddr = memory + n * kPageSize, .pfn = first + n, .pages = 1, .fd = fd, .fd_offset = n * kPageSize};
    page.next_free = std::exchange(free, &page);
  }
  return {};
}

Page* PoolState::pop_free() noexcept {
  Page* const page = free;
  if (page != nullptr) {
    free = page->next_free;
    ++usage.used;
  }
  return page;
}

// One that nobody owns and that can be read again.
Page* PoolState::find_clean() noexcept {
  for (std::size_t looked = 0; looked < pages.size(); ++looked) {
    Page& page = pages[hand];
    hand = (hand + 1) % pages.size();
    if (page.file != nullptr && !page.locked && !page.dirty) {
      return &page;
    }
  }
  return nullptr;
}

Page* PoolState::take_page() noexcept {
  if (Page* const page = pop_free(); page != nullptr) {
    return page;
  }
  Page* const clean = find_clean();
  if (clean == nullptr) {
    return nullptr;
  }
  // While it is locked, its file and the file's inode stay.
  clean->locked = true;
  AddressSpace& mapping = clean->file->inode.mapping();
  const Pgoff pgoff = clean->pgoff;
  lock.unlock();
  lock_order::acquiring(LockRank::entry);
  lock_order::acquired(LockRank::entry);
  mapping.unmap_pages({pgoff, 1}, EvenCows::no);
  lock_order::released(LockRank::entry);
  lock.lock();
  give_back(*clean);
  return pop_free();
}

void PoolState::give_back(Page& page) noexcept {
  FileIndex& index = *page.file;
  index.pool.lock.assert_held();
  index.set.erase(index.set.iterator_to(page));
  if (std::exchange(page.dirty, false)) {
    --usage.dirty;
  }
  page.file = nullptr;
  page.uptodate = false;
  page.locked = false;
  put_free(page);
  wake_waiters({&page, 0}, Wake::all);
}

void PoolState::put_free(Page& page) noexcept {
  --usage.used;
  page.next_free = std::exchange(free, &page);
}

Pool::Pool(std::unique_ptr<PoolState> state) noexcept : state_(std::move(state)) {}

Pool::~Pool() = default;

Result<std::unique_ptr<Pool>> Pool::create(System& system, std::uint64_t pages) {
  if (pages == 0) {
    return Errno::einval;
  }
  auto state = std::make_unique<PoolState>(system, pages);
  DAXSIM_TRY_VOID(state->take_memory());
  return std::unique_ptr<Pool>(new Pool(std::move(state)));
}

Pool::Usage Pool::usage() noexcept {
  const MutexLock guard(state_->lock);
  return state_->usage;
}

}  // namespace pagecache
DAXSIM_END
