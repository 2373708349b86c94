// SPDX-License-Identifier: BSD-3-Clause
// The way of a page: file_pages.hpp.
#include "daxsim/pagecache/file_pages.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "base/atomic_copy.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "pagecache/costs.hpp"
#include "pagecache/pages.hpp"

DAXSIM_BEGIN
namespace pagecache {
namespace {

// What a device says of its own death and of its sectors is an I/O error to whoever asked for a file.
Errno as_io_error(Errno error) noexcept {
  switch (error) {
    case Errno::enospc:
    case Errno::enomem:
    case Errno::efbig:
    case Errno::eshutdown:
      return error;
    default:
      return Errno::eio;
  }
}

bool has_data(const FileExtent& extent) noexcept { return extent.device != nullptr; }

// Where one page is. Errors: Errno::eio (it is direct), and those of Inode::direct_access.
Result<FileExtent> locate(FileIndex& index, Pgoff pgoff, Access access) noexcept {
  DAXSIM_TRY(const FileExtent extent, index.inode.direct_access({pgoff, 1}, access));
  const bool fits = extent.kind == FileExtent::Kind::not_direct && (access == Access::read || has_data(extent));
  if (!fits || extent.pages.first != pgoff || extent.pages.empty()) {
    return Errno::eio;
  }
  return extent;
}

enum class Filled : std::uint8_t { was_there, zeroed, read };

// Brings the page's bytes in. Nobody maps it yet.
Result<Filled> fill(FileIndex& index, Page& page) noexcept {
  if (page.uptodate) {
    return Filled::was_there;
  }
  DAXSIM_TRY(const Inode::ReadFolio read, index.inode.read_folio(page.pgoff, page.bytes()));
  page.uptodate = true;
  if (read == Inode::ReadFolio::zeros) {
    return Filled::zeroed;
  }
  index.pool.system.clock.advance(costs::kPageIo);
  return Filled::read;
}

FaultOutcome fault_locked(FileIndex& index, FaultRequest& request) noexcept {
  Inode& inode = index.inode;
  if (!inode.super_block().check_alive().ok() || request.pgoff.value >= inode.size_in_pages()) {
    return FaultOutcome::sigbus;
  }
  if (request.order != 0) {
    return FaultOutcome::fallback;
  }
  PageLock page(index, request.pgoff);
  if (!page) {
    return FaultOutcome::oom;
  }
  const Result<Filled> filled = fill(index, *page);
  if (!filled.ok()) {
    return FaultOutcome::from(filled.error());
  }
  if (request.is_cow()) {
    return request.vma.install_private(request.pgoff, page->memory.kaddr);
  }
  bool was_clean = false;
  if (request.is_write()) {
    // page_mkwrite
    if (const Result<FileExtent> block = locate(index, request.pgoff, Access::write); !block.ok()) {
      return FaultOutcome::from(block.error());
    }
    // Before it can be stored to, so that an fsync that comes from then on finds it.
    was_clean = page.mark_dirty();
  }
  const FaultOutcome outcome = request.vma.install({
      .pgoff = request.pgoff,
      .writable = request.is_write() ? Writable::yes : Writable::no,
      .memory = page->memory,
      .extent = {request.pgoff, 1},
  });
  if (!outcome.resolved() && was_clean) {
    page.mark_clean();
  }
  return outcome.resolved() && *filled == Filled::read ? outcome | FaultOutcome::major : outcome;
}

// Errors: Errno::eio, Errno::enospc, Errno::enomem.
Result<void> write_back(FileIndex& index, PageLock& page) noexcept {
  index.inode.mapping().write_protect({page->pgoff, 1});
  const Result<FileExtent> block = locate(index, page->pgoff, Access::read);
  if (!block.ok()) {
    return as_io_error(block.error());
  }
  if (!has_data(*block)) {
    return Errno::eio;  // dirty without a block: the file system has lost track
  }
  index.pool.system.clock.advance(costs::kPageIo);
  if (const Result<void> written = block->device->write(byte_of(block->device_page), page->bytes()); !written.ok()) {
    return as_io_error(written.error());
  }
  if (const Result<void> copied = index.inode.written_back({page->pgoff, 1}); !copied.ok()) {
    return as_io_error(copied.error());
  }
  page.mark_clean();
  return {};
}

// The part of `length` bytes at `offset` that lies in the first page.
std::uint64_t in_first_page(std::uint64_t offset, std::uint64_t length) noexcept {
  return std::min(length, kPageSize - offset % kPageSize);
}

Result<void> read_page(FileIndex& index, std::uint64_t offset, std::span<std::byte> to) noexcept {
  const SharedLock valid(index.inode.mapping().invalidate_lock());
  DAXSIM_TRY_VOID(index.inode.super_block().check_alive());
  PageLock page(index, page_of(offset));
  if (!page) {
    return Errno::enomem;
  }
  DAXSIM_TRY([[maybe_unused]] const Filled filled, fill(index, *page));
  copy_from_mapped(to, page->memory.kaddr + offset % kPageSize);
  return {};
}

// write_begin, the copy, write_end
Result<void> write_page(FileIndex& index, std::uint64_t offset, std::span<const std::byte> from) noexcept {
  const SharedLock thawed(index.inode.super_block().freeze_lock());
  const SharedLock valid(index.inode.mapping().invalidate_lock());
  DAXSIM_TRY_VOID(index.inode.super_block().check_alive());
  PageLock page(index, page_of(offset));
  if (!page) {
    return Errno::enomem;
  }
  DAXSIM_TRY([[maybe_unused]] const FileExtent block, locate(index, page->pgoff, Access::write));
  if (from.size() != kPageSize) {
    DAXSIM_TRY([[maybe_unused]] const Filled filled, fill(index, *page));
  }
  copy_to_mapped(page->memory.kaddr + offset % kPageSize, from);
  page->uptodate = true;
  page.mark_dirty();
  return {};
}

}  // namespace

FilePages::FilePages(Pool& pool, Inode& inode) : index_(std::make_unique<FileIndex>(*pool.state_, inode)) {}

FilePages::~FilePages() {
  // Nobody maps the file any more.
  const MutexLock guard(index_->pool.lock);
  while (Page* page = index_->find_from({0})) {
    page = index_->find_unlocked(page->pgoff);
    if (page != nullptr) {
      index_->pool.give_back(*page);
    }
  }
}

FaultOutcome FilePages::fault(FaultRequest& request) noexcept {
  index_->pool.system.clock.advance(costs::kFault);
  AddressSpace& mapping = index_->inode.mapping();
  if (!request.is_write() || request.is_cow()) {
    const SharedLock valid(mapping.invalidate_lock());
    return fault_locked(*index_, request);
  }
  const SharedLock thawed(index_->inode.super_block().freeze_lock());
  const SharedLock valid(mapping.invalidate_lock());
  return fault_locked(*index_, request);
}

Result<void> FilePages::writeback_range(ByteRange bytes) noexcept {
  if (bytes.length == 0) {
    return {};
  }
  std::uint64_t now = 0;
  {
    const MutexLock guard(index_->pool.lock);
    now = index_->pool.tick;
  }
  Result<void> result;
  const Pgoff last = page_of(last_byte(bytes));
  for (Pgoff next = page_of(bytes.offset); next <= last;) {
    PageLock page(*index_, next, last, now);
    if (!page) {
      break;
    }
    next = page->pgoff + 1;
    const Result<void> written = write_back(*index_, page);
    if (!written.ok() && result.ok()) {
      result = written;
      // Before the unlock, so that whoever waits for this page hears of it.
      index_->inode.mapping().errors().record(written.error());
    }
  }
  return result;
}

Result<std::uint64_t> FilePages::read(std::uint64_t offset, std::span<std::byte> to) {
  const std::uint64_t size = index_->inode.size();
  const std::uint64_t wanted = offset >= size ? 0 : std::min<std::uint64_t>(to.size(), size - offset);
  std::array<std::byte, kPageSize> bounce;
  std::uint64_t done = 0;
  while (done < wanted) {
    const std::span piece = std::span(bounce).first(in_first_page(offset + done, wanted - done));
    if (const Result<void> read = read_page(*index_, offset + done, piece); !read.ok()) {
      if (done == 0) {
        return as_io_error(read.error());
      }
      break;
    }
    std::memcpy(to.data() + done, piece.data(), piece.size());
    done += piece.size();
  }
  index_->pool.system.clock.advance(costs::copying(done));
  return done;
}

Result<std::uint64_t> FilePages::write(std::uint64_t offset, std::span<const std::byte> from) {
  if (!from.empty() && (offset > kLastFileByte || from.size() - 1 > kLastFileByte - offset)) {
    return Errno::efbig;
  }
  std::array<std::byte, kPageSize> bounce;
  std::uint64_t done = 0;
  while (done < from.size()) {
    const std::span piece = std::span(bounce).first(in_first_page(offset + done, from.size() - done));
    std::memcpy(piece.data(), from.data() + done, piece.size());
    if (const Result<void> written = write_page(*index_, offset + done, piece); !written.ok()) {
      if (done == 0) {
        return as_io_error(written.error());
      }
      break;
    }
    done += piece.size();
  }
  index_->pool.system.clock.advance(costs::copying(done));
  return done;
}

Result<void> FilePages::zero_range(ByteRange bytes) {
  static constexpr std::array<std::byte, kPageSize> kZeroes{};
  for (std::uint64_t done = 0; done < bytes.length;) {
    const std::uint64_t offset = bytes.offset + done;
    const std::uint64_t length = in_first_page(offset, bytes.length - done);
    done += length;
    const Result<FileExtent> block = locate(*index_, page_of(offset), Access::read);
    if (!block.ok()) {
      return as_io_error(block.error());
    }
    if (!has_data(*block)) {
      continue;
    }
    PageLock page(*index_, page_of(offset));
    if (!page) {
      return Errno::enomem;
    }
    if (const Result<Filled> filled = fill(*index_, *page); !filled.ok()) {
      return as_io_error(filled.error());
    }
    // The block may not be the file's alone.
    if (const Result<FileExtent> own = locate(*index_, page_of(offset), Access::write); !own.ok()) {
      return as_io_error(own.error());
    }
    copy_to_mapped(page->memory.kaddr + offset % kPageSize, std::span(kZeroes).first(length));
    page.mark_dirty();
  }
  return {};
}

void FilePages::truncate_pages(PageRange pages, EvenCows even_cows) noexcept {
  pages.pages = std::min(pages.pages, kAllPages.end() - pages.first);
  if (pages.empty()) {
    return;
  }
  AddressSpace& mapping = index_->inode.mapping();
  mapping.unmap_pages(pages, even_cows);
  {
    const MutexLock guard(index_->pool.lock);
    while (Page* page = index_->find_from(pages.first)) {
      if (page->pgoff >= pages.end()) {
        break;
      }
      page = index_->find_unlocked(page->pgoff);
      if (page != nullptr) {
        index_->pool.give_back(*page);
      }
    }
  }
  if (even_cows == EvenCows::yes) {
    // A private copy may have been made between the first unmapping and now.
    mapping.unmap_pages(pages, even_cows);
  }
}

bool FilePages::is_cached(Pgoff page) noexcept {
  const MutexLock guard(index_->pool.lock);
  const Page* const found = index_->find_from(page);
  return found != nullptr && found->pgoff == page;
}

bool FilePages::is_dirty(Pgoff page) noexcept {
  const MutexLock guard(index_->pool.lock);
  const Page* const found = index_->find_from(page);
  return found != nullptr && found->pgoff == page && found->dirty;
}

}  // namespace pagecache
DAXSIM_END
