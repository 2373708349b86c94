// SPDX-License-Identifier: BSD-3-Clause
// Two copies (F11, DUP): stores reach the first; the second follows when the file system writes, and when write-back has
// flushed a page and nobody can store to it. A crash between the two leaves a difference, which a scrub finds.
#include <algorithm>
#include <array>
#include <cstring>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {
namespace {

using Page = std::array<std::byte, kPageSize>;

}  // namespace

Result<void> ExtentInode::written_back(PageRange pages) noexcept {
  if (!file_system_.chunks().keeps_copies()) {
    return {};
  }
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  return as_io_error(copy_to_second(bytes_of(pages)));
}

Result<void> ExtentInode::copy_to_second(ByteRange bytes) noexcept {
  if (!file_system_.chunks().keeps_copies()) {
    return {};
  }
  const Volumes volumes = file_system_.volumes();
  Page buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  while (bytes.length != 0) {
    const Pgoff page = page_of(bytes.offset);
    const std::uint64_t in_page = bytes.offset % kPageSize;
    const auto piece = std::span(buffer).first(std::min(bytes.length, kPageSize - in_page));
    const FileExtent here = look_up({page, 1});
    if (here.kind == FileExtent::Kind::memory) {
      if (const Place place = file_system_.chunks().place(address_of(here.cookie)); place.second) {
        const auto at = [in_page](const DevicePage& of) { return (of.page << kPageShift) + in_page; };
        DAXSIM_TRY_VOID(volumes[place.first.volume]->read(at(place.first), piece));
        DAXSIM_TRY_VOID(volumes[place.second->volume]->write(at(*place.second), piece));
      }
    }
    bytes = {bytes.offset + piece.size(), bytes.length - piece.size()};
  }
  return {};
}

Result<void> ExtentInode::copy_blocks_to_second(PageRange addresses) const noexcept {
  const Volumes volumes = file_system_.volumes();
  Page buffer;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  for (std::uint64_t behind = 0; behind < addresses.pages; ++behind) {
    const Place place = file_system_.chunks().place((addresses.first + behind).value);
    if (place.second) {
      DAXSIM_TRY_VOID(volumes[place.first.volume]->read(place.first.page << kPageShift, buffer));
      DAXSIM_TRY_VOID(volumes[place.second->volume]->write(place.second->page << kPageShift, buffer));
    }
  }
  return {};
}

// Write-back makes the second copies of what is dirty, and from then on nobody can store: faults are blocked.
Result<void> ExtentInode::scrub(ScrubReport& report) {
  DAXSIM_TRY_VOID(file_system_.check_mounted());
  const Volumes volumes = file_system_.volumes();
  const ExclusiveLock writing(i_rwsem());
  const SharedLock thawed(file_system_.freeze_lock());
  const ExclusiveLock no_faults(mapping().invalidate_lock());
  DAXSIM_TRY_VOID(as_io_error(write_back(bytes_of(kAllPages))));
  const std::uint64_t end = end_of_blocks();
  Page first;   // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  Page second;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  for (Pgoff page{0}; page.value < end;) {
    const FileExtent here = look_up({page, end - page.value});
    if (here.kind != FileExtent::Kind::memory) {
      page = here.pages.end();
      continue;
    }
    page = page + 1;
    const Place place = file_system_.chunks().place(address_of(here.cookie));
    if (!place.second) {
      continue;
    }
    const auto read = [&](const DevicePage& at, Page& to) {
      return as_io_error(volumes[at.volume]->read(at.page << kPageShift, to));
    };
    DAXSIM_TRY_VOID(read(place.first, first));
    DAXSIM_TRY_VOID(read(*place.second, second));
    ++report.pages;
    if (std::memcmp(first.data(), second.data(), first.size()) != 0) {
      DAXSIM_TRY_VOID(as_io_error(volumes[place.second->volume]->write(place.second->page << kPageShift, first)));
      ++report.repaired;
    }
  }
  return as_io_error(fence());
}

Result<ScrubReport> FileSystem::scrub() {
  ScrubReport report;
  std::uint64_t next = 1;
  while (const std::shared_ptr<ExtentInode> inode = next_inode(next)) {
    DAXSIM_TRY_VOID(inode->scrub(report));
    next = inode->number() + 1;
  }
  return report;
}

}  // namespace extent_fs
DAXSIM_END
