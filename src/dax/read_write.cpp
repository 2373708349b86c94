// SPDX-License-Identifier: BSD-3-Clause
// read(2), write(2) and zeroing on memory that the file system names (dax_iomap_rw).
//
// User memory may be a mapping of this very file, so touching it may fault: it happens only between critical sections,
// and the bytes pass through a buffer of ours. What keeps the blocks in place meanwhile is i_rwsem, the caller's.
#include <algorithm>
#include <cstring>

#include "dax/copy_on_write.hpp"
#include "dax/costs.hpp"
#include "dax/direct_access.hpp"
#include "dax/layout.hpp"
#include "dax/trace.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

class Bounce {
 public:
  explicit Bounce(Arena& arena) noexcept : arena_(arena), bytes_(static_cast<std::byte*>(arena.allocate(kBytes))) {}
  ~Bounce() { arena_.deallocate(bytes_, kBytes); }
  Bounce(const Bounce&) = delete;
  Bounce& operator=(const Bounce&) = delete;

  [[nodiscard]] bool ok() const noexcept { return bytes_ != nullptr; }
  // At most `length` bytes of it.
  [[nodiscard]] std::span<std::byte> first(std::uint64_t length) const noexcept {
    return {bytes_, std::min<std::uint64_t>(length, kBytes)};
  }

 private:
  static constexpr std::size_t kBytes = std::size_t{64} << 10;
  Arena& arena_;
  std::byte* const bytes_;
};

// To the block layer and to system calls, bad memory is an I/O error (F8).
Errno as_io_error(Errno error) noexcept { return error == Errno::ehwpoison ? Errno::eio : error; }

// Bytes that one call has to move next: where they are, and how many follow each other on the device.
struct Run {
  FileExtent extent;
  std::uint64_t device_offset = 0;
  std::uint64_t length = 0;
};
Run run_at(const FileExtent& extent, std::uint64_t offset, std::uint64_t wanted) noexcept {
  const std::uint64_t skip = offset - byte_of(extent.pages.first);
  return {.extent = extent,
          .device_offset = byte_of(extent.device_page) + skip,
          .length = std::min(wanted, (extent.pages.pages << kPageShift) - skip)};
}

// The device is held while the bytes are copied: what it called its memory may be somebody else's afterwards.
Result<void> copy_from(const Context& context, const Run& run, std::uint64_t done, std::span<std::byte> to) noexcept {
  if (!context.policy.takes(Step::hold_device_in_copy)) {
    const std::uint64_t skip = run.device_offset - byte_of(run.extent.device_page);
    std::memcpy(to.data(), run.extent.memory.kaddr + skip + done, to.size());
    return {};
  }
  return run.extent.device->read(run.device_offset + done, to);
}

// One extent's worth; the number of bytes read, at least one.
Result<std::uint64_t> read_run(const Context& context, Inode& inode, std::uint64_t offset, std::span<std::byte> to,
                               const Bounce& bounce) {
  DAXSIM_TRY_VOID(inode.super_block().check_alive());
  DAXSIM_TRY(const FileExtent extent, locate(inode, pages_of({offset, to.size()}), Access::read));
  const Run run = run_at(extent, offset, to.size());
  if (extent.kind == FileExtent::Kind::hole || extent.kind == FileExtent::Kind::unwritten) {
    std::memset(to.data(), 0, run.length);
    return run.length;
  }
  if (extent.kind != FileExtent::Kind::memory) {
    return Errno::eio;
  }
  std::uint64_t done = 0;
  while (done < run.length) {
    const std::span<std::byte> piece = bounce.first(run.length - done);
    const Result<void> read = copy_from(context, run, done, piece);
    if (!read.ok()) {
      if (done == 0) {
        return read.error();
      }
      break;
    }
    std::memcpy(to.data() + done, piece.data(), piece.size());
    done += piece.size();
  }
  context.system.clock.advance(costs::per_line(costs::kCopyLine, done));
  emit(EventType::dax_copy_to_iter, inode, {.pgoff = page_of(offset), .length = done});
  return done;
}

// What is mapped there as a hole. A dirty entry stays: it belongs to storage, so it was no hole.
void invalidate_holes(const Context& context, Inode& inode, PageRange pages) {
  const Result<void> invalidated = invalidate_pages(context, inode, pages);
  static_cast<void>(invalidated.ok());
}

bool is_written_elsewhere(const FileExtent& extent) noexcept { return extent.shared || extent.written_elsewhere; }

// Where to write, allocated, or blocks that must not be written to. What was mapped as a hole is taken away only after
// there is a block: a fault in between would bring the hole back (B10).
Result<Run> allocate_run(const Context& context, Inode& inode, std::uint64_t offset, std::uint64_t length) {
  const SharedLock thawed(inode.super_block().freeze_lock());
  DAXSIM_TRY_VOID(inode.super_block().check_alive());
  const Policy& policy = context.policy;
  const PageRange pages = pages_of({offset, length});
  if (!policy.takes(Step::invalidate_only_new_blocks)) {
    delete_entries(context, inode, kAllPages);
    inode.mapping().unmap_pages(kAllPages, EvenCows::no);
  }
  const bool is_late = policy.takes(Step::invalidate_after_allocation);
  if (!is_late) {
    invalidate_holes(context, inode, pages);
  }
  DAXSIM_TRY(FileExtent extent, inode.direct_access(pages, Access::write));
  if (extent.pages.first != pages.first || extent.pages.empty() || extent.kind != FileExtent::Kind::memory) {
    return Errno::eio;
  }
  if (is_written_elsewhere(extent)) {
    return run_at(extent, offset, length);
  }
  if ((extent.is_new || extent.may_be_mapped_as_hole) && is_late) {
    invalidate_holes(context, inode, extent.pages);
  }
  if (extent.memory.pages == 0) {
    DAXSIM_TRY(extent, generic_direct_access(extent));
  }
  return run_at(extent, offset, length);
}

// Bytes of which some, from the first on, are in blocks that must not be written to. Faults are blocked until the file has
// the new ones: the bytes of the caller, which may fault, have been fetched before.
Result<std::uint64_t> write_piece(const Context& context, Inode& inode, std::uint64_t offset,
                                  std::span<const std::byte> piece) {
  const SharedLock thawed(inode.super_block().freeze_lock());
  const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
  DAXSIM_TRY_VOID(inode.super_block().check_alive());
  DAXSIM_TRY(const FileExtent extent, locate(inode, pages_of({offset, piece.size()}), Access::write));
  const Run run = run_at(extent, offset, piece.size());
  const auto put = [&](Attachment& device, std::uint64_t device_offset, std::uint64_t length) {
    return device.write(device_offset, piece.first(length));
  };
  if (!is_written_elsewhere(extent)) {  // a fault has brought blocks of the file's own meanwhile
    DAXSIM_TRY_VOID(put(*extent.device, run.device_offset, run.length));
    return run.length;
  }
  DAXSIM_TRY(const std::uint64_t pages,
             write_elsewhere(context, inode, extent, extent.pages, {offset, run.length}, put));
  return std::min(run.length, byte_of(extent.pages.first + pages) - offset);
}

Result<std::uint64_t> write_run(const Context& context, Inode& inode, std::uint64_t offset,
                                std::span<const std::byte> from, const Bounce& bounce) {
  DAXSIM_TRY(const Run run, allocate_run(context, inode, offset, from.size()));
  if (is_written_elsewhere(run.extent)) {
    const std::span<std::byte> piece = bounce.first(run.length);
    std::memcpy(piece.data(), from.data(), piece.size());
    DAXSIM_TRY(const std::uint64_t written, write_piece(context, inode, offset, piece));
    context.system.clock.advance(costs::per_line(costs::kCopyLine, written));
    emit(EventType::dax_copy_from_iter, inode, {.pgoff = page_of(offset), .length = written});
    return written;
  }
  std::uint64_t done = 0;
  while (done < run.length) {
    const std::span<std::byte> piece = bounce.first(run.length - done);
    std::memcpy(piece.data(), from.data() + done, piece.size());
    const SharedLock thawed(inode.super_block().freeze_lock());
    Result<void> written = inode.super_block().check_alive();
    if (written.ok()) {
      written = run.extent.device->write(run.device_offset + done, piece);
    }
    if (!written.ok()) {
      if (done == 0) {
        return written.error();
      }
      break;
    }
    done += piece.size();
  }
  context.system.clock.advance(costs::per_line(costs::kCopyLine, done));
  emit(EventType::dax_copy_from_iter, inode, {.pgoff = page_of(offset), .length = done});
  return done;
}

// Whole words where it can: a flush may be reading the same lines.
void store_zeros(std::byte* at, std::uint64_t length) noexcept {
  using Word = std::uint64_t;
  while (length != 0) {
    if (reinterpret_cast<std::uintptr_t>(at) % sizeof(Word) == 0 && length >= sizeof(Word)) {
      __atomic_store_n(reinterpret_cast<Word*>(at), 0, __ATOMIC_RELAXED);
      at += sizeof(Word);
      length -= sizeof(Word);
    } else {
      __atomic_store_n(reinterpret_cast<unsigned char*>(at), 0, __ATOMIC_RELAXED);
      ++at;
      --length;
    }
  }
}

Result<void> zero_run(const Context& context, const Run& run) noexcept {
  Attachment& device = *run.extent.device;
  {
    const Gate::Reader inside(device.gate());
    if (device.state() >= LifeState::dax_dead) {
      return Errno::enxio;
    }
    const std::uint64_t skip = run.device_offset - byte_of(run.extent.device_page);
    store_zeros(run.extent.memory.kaddr + skip, run.length);
  }
  context.system.clock.advance(costs::per_line(costs::kCopyLine + costs::kFlushLine, run.length));
  return device.flush({run.device_offset, run.length});
}

// In blocks of the file's own. The callers of zero_range hold invalidate_lock.
Result<std::uint64_t> zero_elsewhere(const Context& context, Inode& inode, const FileExtent& extent,
                                     ByteRange bytes) DAXSIM_NO_THREAD_SAFETY_ANALYSIS {
  DAXSIM_TRY(const std::uint64_t pages,
             write_elsewhere(context, inode, extent, extent.pages, bytes,
                             [](Attachment& device, std::uint64_t offset, std::uint64_t length) {
                               return device.zero({offset, length});
                             }));
  return std::min(bytes.length, byte_of(extent.pages.first + pages) - bytes.offset);
}

}  // namespace

namespace {

Result<std::uint64_t> read_all(const Context& context, Inode& inode, std::uint64_t offset, std::span<std::byte> to) {
  const std::uint64_t size = inode.size();
  const std::uint64_t wanted = offset >= size ? 0 : std::min<std::uint64_t>(to.size(), size - offset);
  if (wanted == 0) {
    return 0;
  }
  const Bounce bounce(context.system.arena);
  if (!bounce.ok()) {
    return Errno::enomem;
  }
  std::uint64_t done = 0;
  while (done < wanted) {
    const Result<std::uint64_t> here = read_run(context, inode, offset + done, to.subspan(done, wanted - done), bounce);
    if (!here.ok()) {
      if (done == 0) {
        return as_io_error(here.error());
      }
      break;
    }
    done += *here;
  }
  return done;
}

Result<std::uint64_t> write_all(const Context& context, Inode& inode, std::uint64_t offset,
                                std::span<const std::byte> from) {
  if (from.empty()) {
    return 0;
  }
  if (offset > kLastFileByte || from.size() - 1 > kLastFileByte - offset) {
    return Errno::efbig;
  }
  const Bounce bounce(context.system.arena);
  if (!bounce.ok()) {
    return Errno::enomem;
  }
  std::uint64_t done = 0;
  while (done < from.size()) {
    const Result<std::uint64_t> here = write_run(context, inode, offset + done, from.subspan(done), bounce);
    if (!here.ok()) {
      if (done == 0) {
        return as_io_error(here.error());
      }
      break;
    }
    done += *here;
  }
  return done;
}

// What the call answers, as its return probe shows it.
Result<std::uint64_t> told(Inode& inode, const Result<std::uint64_t>& result) noexcept {
  emit(EventType::dax_iomap_rw, inode,
       {.ret = result.ok() ? static_cast<std::int64_t>(*result) : -static_cast<std::int64_t>(result.error())});
  return result;
}

}  // namespace

Result<std::uint64_t> read(const Context& context, Inode& inode, std::uint64_t offset, std::span<std::byte> to) {
  return told(inode, read_all(context, inode, offset, to));
}

Result<std::uint64_t> write(const Context& context, Inode& inode, std::uint64_t offset,
                            std::span<const std::byte> from) {
  return told(inode, write_all(context, inode, offset, from));
}

Result<void> truncate_page(const Context& context, Inode& inode, std::uint64_t size) {
  emit(EventType::dax_truncate_page, inode, {.pgoff = page_of(size), .length = size});
  const std::uint64_t rest = round_up(size, kPageSize) - size;
  return rest == 0 ? Result<void>() : zero_range(context, inode, {size, rest});
}

Result<void> zero_range(const Context& context, Inode& inode, ByteRange bytes) {
  emit(EventType::dax_zero_range, inode, {.pgoff = page_of(bytes.offset), .length = bytes.length});
  for (std::uint64_t done = 0; done < bytes.length;) {
    const std::uint64_t offset = bytes.offset + done;
    const std::uint64_t left = bytes.length - done;
    const Result<FileExtent> extent = locate(inode, pages_of({offset, left}), Access::read);
    if (!extent.ok()) {
      return as_io_error(extent.error());
    }
    Run run = run_at(*extent, offset, left);
    if (extent->kind == FileExtent::Kind::not_direct) {
      return Errno::eio;
    }
    if (extent->shared) {
      const Result<std::uint64_t> zeroed = zero_elsewhere(context, inode, *extent, {offset, run.length});
      if (!zeroed.ok()) {
        return as_io_error(zeroed.error());
      }
      run.length = *zeroed;
    } else if (extent->kind == FileExtent::Kind::memory) {
      if (const Result<void> zeroed = zero_run(context, run); !zeroed.ok()) {
        return as_io_error(zeroed.error());
      }
    }
    done += run.length;
  }
  return {};
}

}  // namespace dax
DAXSIM_END
