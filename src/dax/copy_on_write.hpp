// SPDX-License-Identifier: BSD-3-Clause
// Copy-on-write (F3 rows 22 and 24): a file gets blocks of its own for pages whose blocks must not be stored to.
//
//   begin     the file system takes new blocks
//   copy      what stays as it is, past the cache: on the media no later than the metadata that name the new blocks
//   finish    the file has the new blocks
//
// Before `finish` nobody may load from the old blocks any more: once they are not this file's, another one stores to them.
#pragma once

#include <algorithm>
#include <cstdint>

#include "dax/layout.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace dax {

class CopyOnWrite {
 public:
  // Of the pages of `old`, which is memory. Context: that of Inode::begin_copy, until the end.
  CopyOnWrite(const Context& context, Inode& inode, const FileExtent& old) noexcept
      : context_(context), inode_(inode), old_(old) {}
  // Without finish() the file keeps its blocks.
  ~CopyOnWrite();
  CopyOnWrite(const CopyOnWrite&) = delete;
  CopyOnWrite& operator=(const CopyOnWrite&) = delete;

  // For `pages`, some of the old ones, or the first of them. Errors: those of Inode::begin_copy.
  Result<void> begin(PageRange pages) noexcept;
  // Asks the device for the memory of the new blocks. Errors: those of Attachment::direct_access, Errno::eio.
  Result<void> find_memory() noexcept;
  // The new blocks.
  [[nodiscard]] const FileExtent& blocks() const noexcept { return new_; }
  [[nodiscard]] std::uint64_t device_offset(std::uint64_t byte) const noexcept {
    return byte_of(new_.device_page) + (byte - byte_of(new_.pages.first));
  }
  // Says that a copy begins, and asks the device for the memory of the old blocks. Errors: those of
  // Attachment::direct_access.
  Result<void> begin_copying() noexcept;
  // These bytes of the file. Errors: those of Attachment::read and write.
  Result<void> copy(ByteRange bytes) noexcept;
  // Errors: those of Inode::end_copy.
  Result<void> finish() noexcept;

 private:
  const Context& context_;
  Inode& inode_;
  const FileExtent old_;
  FileExtent new_;
  bool begun_ = false;
};

// New blocks for `pages` of `old`, or the first of them; how many. `bytes` in them become what
// `put(Attachment&, std::uint64_t device_offset, std::uint64_t length)` writes, as many as there are new blocks for; the
// rest is copied. Context: invalidate_lock held exclusively. Errors: those of CopyOnWrite, put and writeback_range.
template <class Put>
Result<std::uint64_t> write_elsewhere(const Context& context, Inode& inode, const FileExtent& old, PageRange pages,
                                      ByteRange bytes, Put put) DAXSIM_REQUIRES(inode.mapping().invalidate_lock()) {
  CopyOnWrite copy(context, inode, old);
  DAXSIM_TRY_VOID(copy.begin(pages));
  pages = copy.blocks().pages;
  const std::uint64_t begin = byte_of(pages.first);
  const std::uint64_t end = byte_of(pages.end());
  const std::uint64_t middle = std::min(bytes.end(), end);
  if (!old.shared || context.policy.shared_mappings == SharedMappings::taken_by_all) {
    DAXSIM_TRY_VOID(save_straddling(context, inode, pages));
    if (context.policy.takes(Step::clear_dirty_before_copy)) {
      clear_dirty(inode, pages);
    }
    // Nobody can store from here on: what is copied is what there is. A dirty entry stays (B23).
    static_cast<void>(invalidate_pages(context, inode, pages).ok());
  }
  DAXSIM_TRY_VOID(copy.find_memory());
  DAXSIM_TRY_VOID(copy.begin_copying());
  DAXSIM_TRY_VOID(copy.copy({begin, bytes.offset - begin}));
  DAXSIM_TRY_VOID(put(*copy.blocks().device, copy.device_offset(bytes.offset), middle - bytes.offset));
  DAXSIM_TRY_VOID(copy.copy({middle, end - middle}));
  DAXSIM_TRY_VOID(copy.finish());
  return pages.pages;
}

}  // namespace dax
DAXSIM_END
