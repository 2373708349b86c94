// SPDX-License-Identifier: BSD-3-Clause
// XipInode: one file in core. What dax serves and what the page cache serves never changes, save by who asks: a mapping
// that can be written to has all its pages from the page cache, so that a page may be in both. Nobody stores to either, so
// they stay the same.
#pragma once

#include <atomic>
#include <cstdint>
#include <map>
#include <span>
#include <vector>

#include "adapters/xip/file_system.hpp"
#include "adapters/xip/image.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/pagecache/file_pages.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace xip {

class XipInode final : public Inode {
 public:
  XipInode(FileSystem& file_system, const File& file, std::uint64_t number);
  ~XipInode() override;

  Result<FileExtent> direct_access(PageRange pages, Access access) noexcept override;
  Result<ReadFolio> read_folio(Pgoff page, std::span<std::byte> to) noexcept override;
  FaultOutcome fault(FaultRequest& request) noexcept override;
  [[nodiscard]] bool is_dax() const noexcept override { return file_system_.dax_option() == DaxOption::always; }
  [[nodiscard]] bool is_synchronous() const noexcept override { return false; }
  Result<void> fsync_range(ByteRange bytes, Datasync datasync) noexcept override;
  Result<std::uint64_t> read(std::uint64_t offset, std::span<std::byte> to) override;
  Result<std::uint64_t> write(std::uint64_t offset, std::span<const std::byte> from) override;
  Result<void> truncate(std::uint64_t bytes) override;
  Result<void> fallocate(Fallocate mode, ByteRange bytes) override;

  // Those of its direct pages that are on these pages of the device: out of all mappings.
  void unmap_device_pages(PageRange device_pages);
  // How often each page faulted that did.
  [[nodiscard]] std::map<std::uint64_t, std::uint64_t> faults() const;

 private:
  // Pages from `page` on that are served alike, at most `most`.
  struct Piece {
    bool direct = true;  // by dax
    PageKind kind = PageKind::hole;
    PageRange pages;
    PageRange run;
    Pgoff device_page;  // direct kind: of pages.first
  };
  [[nodiscard]] Piece piece_at(Pgoff page, std::uint64_t most) const noexcept;
  // Errors: Errno::eio (damaged), Errno::enomem, and those of Attachment::read.
  Result<void> read_compressed(const Page& page, std::span<std::byte> to) noexcept;
  void count_fault(Pgoff page) noexcept;

  FileSystem& file_system_;
  const File& file_;
  std::vector<std::atomic<std::uint32_t>> faults_;  // by page; as long as the file
  pagecache::FilePages cached_;
};

}  // namespace xip
DAXSIM_END
