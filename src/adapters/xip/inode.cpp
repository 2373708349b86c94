// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/xip/inode.hpp"

#include <algorithm>

#include "adapters/xip/compression.hpp"

DAXSIM_BEGIN
namespace xip {

XipInode::XipInode(FileSystem& file_system, const File& file, std::uint64_t number)
    : Inode(file_system, number, file_system.system().arena),
      file_system_(file_system),
      file_(file),
      faults_(file.pages.size()),
      cached_(file_system.page_pool(), *this) {
  set_size(file.size);
}

XipInode::~XipInode() { dax::evict(file_system_.context(), *this); }

// --- where pages are ---

XipInode::Piece XipInode::piece_at(Pgoff page, std::uint64_t most) const noexcept {
  if (page.value >= file_.pages.size()) {
    return {.pages = {page, most}, .run = {page, most}, .device_page = {}};
  }
  const Run& run = file_.run_of(page);
  const bool direct = is_dax() && (run.kind == PageKind::direct || run.kind == PageKind::hole);
  return {.direct = direct,
          .kind = run.kind,
          .pages = {page, std::min(most, run.pages.end() - page)},
          .run = run.pages,
          .device_page = run.device_page + (page - run.pages.first)};
}

Result<FileExtent> XipInode::direct_access(PageRange pages, Access access) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (access == Access::write) {
    return Errno::erofs;
  }
  const Piece piece = piece_at(pages.first, pages.pages);
  FileExtent answer;
  answer.pages = piece.pages;
  answer.extent = piece.run;
  if (piece.direct && piece.kind == PageKind::hole) {
    return answer;
  }
  answer.device = piece.kind == PageKind::hole ? nullptr : &file_system_.device();
  if (piece.direct) {
    answer.kind = FileExtent::Kind::memory;
    answer.device_page = piece.device_page;
    return dax::generic_direct_access(answer);
  }
  // One page: frames are of any length, so that the next one is not where the next page would be.
  answer.kind = FileExtent::Kind::not_direct;
  answer.pages = answer.extent = {pages.first, 1};
  if (answer.device != nullptr) {
    answer.device_page = page_of(file_.pages[pages.first.value].offset);
  }
  return answer;
}

// --- what they hold ---

Result<Inode::ReadFolio> XipInode::read_folio(Pgoff page, std::span<std::byte> to) noexcept {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  if (page.value >= file_.pages.size() || file_.pages[page.value].kind == PageKind::hole) {
    std::ranges::fill(to, std::byte{0});
    return ReadFolio::zeros;
  }
  const Page& here = file_.pages[page.value];
  const std::span<std::byte> bytes = to.first(file_.bytes_in(page));
  std::ranges::fill(to.subspan(bytes.size()), std::byte{0});
  if (here.kind == PageKind::compressed) {
    DAXSIM_TRY_VOID(read_compressed(here, bytes));
  } else {
    DAXSIM_TRY_VOID(file_system_.device().read(here.offset, bytes));
  }
  return ReadFolio::from_device;
}

Result<void> XipInode::read_compressed(const Page& page, std::span<std::byte> to) noexcept {
  // Of the arena: a fault may come here, and has little stack.
  const std::size_t workspace = workspace_bytes();
  Arena& arena = file_system_.system().arena;
  auto* const memory = static_cast<std::byte*>(arena.allocate(workspace + page.length));
  if (memory == nullptr) {
    return Errno::enomem;
  }
  const std::span<std::byte> frame(memory + workspace, page.length);
  Result<void> result = file_system_.device().read(page.offset, frame);
  if (result.ok()) {
    result = decompress(frame, to, {memory, workspace});
  }
  arena.deallocate(memory, workspace + page.length);
  return result;
}

FaultOutcome XipInode::fault(FaultRequest& request) noexcept {
  // As cramfs: a mapping that can be written to has nothing of the device.
  const bool writable = request.vma.flags().write;
  const bool direct = piece_at(request.pgoff, 1).direct && !writable;
  const FaultOutcome outcome = direct ? dax::fault(file_system_.context(), *this, request) : cached_.fault(request);
  if (outcome.resolved() && !writable) {
    count_fault(request.pgoff);
  }
  return outcome;
}

void XipInode::count_fault(Pgoff page) noexcept {
  if (page.value < file_.pages.size() && file_.pages[page.value].kind != PageKind::hole) {
    faults_[page.value].fetch_add(1, std::memory_order_relaxed);
  }
}

std::map<std::uint64_t, std::uint64_t> XipInode::faults() const {
  std::map<std::uint64_t, std::uint64_t> faults;
  for (std::uint64_t page = 0; page < file_.pages.size(); ++page) {
    if (const std::uint32_t count = faults_[page].load(std::memory_order_relaxed); count != 0) {
      faults.emplace(page, count);
    }
  }
  return faults;
}

// --- calls ---

Result<void> XipInode::fsync_range(ByteRange /*bytes*/, Datasync /*datasync*/) noexcept {
  return file_system_.check_mounted();  // nothing is ever dirty
}

Result<std::uint64_t> XipInode::read(std::uint64_t offset, std::span<std::byte> to) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const SharedLock reading(i_rwsem());
  const std::uint64_t wanted = offset >= size() ? 0 : std::min<std::uint64_t>(to.size(), size() - offset);
  std::uint64_t done = 0;
  while (done < wanted) {
    const ByteRange left{offset + done, wanted - done};
    const Piece piece = piece_at(page_of(left.offset), pages_of(left).pages);
    const std::span part = to.subspan(done, std::min(left.length, byte_of(piece.pages.end()) - left.offset));
    const Result<std::uint64_t> read =
        piece.direct ? dax::read(file_system_.context(), *this, left.offset, part) : cached_.read(left.offset, part);
    if (!read.ok() && done == 0) {
      return read;
    }
    if (!read.ok() || *read == 0) {
      break;
    }
    done += *read;
  }
  return done;
}

Result<std::uint64_t> XipInode::write(std::uint64_t /*offset*/, std::span<const std::byte> /*from*/) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  return Errno::erofs;
}

Result<void> XipInode::truncate(std::uint64_t /*bytes*/) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  return Errno::erofs;
}

Result<void> XipInode::fallocate(Fallocate /*mode*/, ByteRange /*bytes*/) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  return Errno::erofs;
}

// --- pages that go ---

void XipInode::unmap_device_pages(PageRange device_pages) {
  for (const Run& run : file_.runs) {
    const PageRange there = PageRange{run.device_page, run.pages.pages}.clip(device_pages);
    if (run.kind == PageKind::direct && !there.empty()) {
      dax::revoke_pages(file_system_.context(), *this,
                        {run.pages.first + (there.first - run.device_page), there.pages});
    }
  }
}

}  // namespace xip
DAXSIM_END
