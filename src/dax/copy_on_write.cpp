// SPDX-License-Identifier: BSD-3-Clause
#include "dax/copy_on_write.hpp"

#include <algorithm>
#include <array>

#include "dax/costs.hpp"
#include "dax/direct_access.hpp"
#include "dax/trace.hpp"
#include "daxsim/device/attachment.hpp"

DAXSIM_BEGIN
namespace dax {

CopyOnWrite::~CopyOnWrite() {
  if (begun_) {
    [[maybe_unused]] const Result<void> given_back = inode_.end_copy(new_, Copied::no);
  }
}

Result<void> CopyOnWrite::begin(PageRange pages) noexcept {
  DAXSIM_TRY(new_, inode_.begin_copy(pages));
  begun_ = true;
  return {};
}

Result<void> CopyOnWrite::find_memory() noexcept {
  if (new_.memory.pages == 0) {
    DAXSIM_TRY(const FileExtent located, generic_direct_access(new_));
    if (located.pages != new_.pages) {
      return Errno::eio;
    }
    new_ = located;
  }
  return {};
}

Result<void> CopyOnWrite::begin_copying() noexcept {
  const bool is_whole = context_.policy.shared_mappings == SharedMappings::taken_by_stores;
  emit(is_whole ? EventType::dax_iomap_cow_copy : EventType::dax_iomap_copy_around, inode_,
       {.pgoff = new_.pages.first, .length = new_.pages.pages << kPageShift});
  FileExtent source = old_;
  source.pages.pages = std::min(old_.pages.pages, new_.pages.pages);
  const Result<FileExtent> located = generic_direct_access(source);
  return located.ok() ? Result<void>() : Result<void>(located.error());
}

Result<void> CopyOnWrite::copy(ByteRange bytes) noexcept {
  const std::uint64_t old_offset = byte_of(old_.device_page) + (bytes.offset - byte_of(old_.pages.first));
  const std::uint64_t new_offset = device_offset(bytes.offset);
  std::array<std::byte, kPageSize> buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  for (std::uint64_t done = 0; done < bytes.length;) {
    const auto piece = std::span(buffer).first(std::min<std::uint64_t>(bytes.length - done, buffer.size()));
    DAXSIM_TRY_VOID(old_.device->read(old_offset + done, piece));
    DAXSIM_TRY_VOID(new_.device->write(new_offset + done, piece));
    done += piece.size();
  }
  context_.system.clock.advance(costs::per_line(costs::kCopyLine, bytes.length));
  return {};
}

Result<void> CopyOnWrite::finish() noexcept {
  begun_ = false;
  return inode_.end_copy(new_, Copied::yes);
}

// dax_file_unshare
Result<void> unshare_range(const Context& context, Inode& inode, PageRange pages) {
  while (!pages.empty()) {
    DAXSIM_TRY(const FileExtent extent, locate(inode, pages, Access::read));
    std::uint64_t done = extent.pages.pages;
    if (extent.shared) {
      // No byte is written: all are copied.
      DAXSIM_TRY(done, write_elsewhere(context, inode, extent, extent.pages, {byte_of(extent.pages.first), 0},
                                       [](Attachment&, std::uint64_t, std::uint64_t) { return Result<void>(); }));
    }
    pages = {pages.first + done, pages.pages - done};
  }
  return {};
}

}  // namespace dax
DAXSIM_END
