// SPDX-License-Identifier: BSD-3-Clause
// What a file system does when a device tells it that it goes, that memory of it failed (F7.3), or cannot be read now. ext4 and others do
// nothing; XFS with a reverse map looks up the files behind the device's bytes. Whatever else goes on, shutting down comes
// before taking pages away: a read fault that comes between would bring them back.
#include <algorithm>
#include <vector>

#include "adapters/extent_fs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

std::vector<PageRange> ExtentInode::pages_on(const Attachment& device, PageRange device_pages) {
  std::vector<PageRange> found;
  const std::uint64_t end = end_of_blocks();
  for (Pgoff page{0}; page.value < end;) {
    const FileExtent here = look_up({page, end - page.value});
    const PageRange there = PageRange{here.device_page, here.pages.pages}.clip(device_pages);
    if (here.kind != FileExtent::Kind::hole && here.device == &device && !there.empty()) {
      found.push_back({page + (there.first - here.device_page), there.pages});
    }
    page = here.pages.end();
  }
  return found;
}

template <class Visit>
void FileSystem::for_each_owner(const Attachment& device, PageRange device_pages, Visit visit) {
  // The references go when no lock is held: the last one evicts the file.
  const std::vector<std::shared_ptr<Inode>> inodes = inodes_in_core();
  for (const std::shared_ptr<Inode>& inode : inodes) {
    for (const PageRange& pages : static_cast<ExtentInode&>(*inode).pages_on(device, device_pages)) {
      visit(*inode, pages);
    }
  }
}

void FileSystem::revoke_files_on(const Attachment& device) {
  for_each_owner(device, {{0}, device.pages()},
                 [this](Inode& inode, PageRange pages) { dax::revoke_pages(context_, inode, pages); });
}

bool FileSystem::is_metadata(const Attachment& device, PageRange pages) const noexcept {
  for (std::size_t number = 0; number < chunks_->count(); ++number) {
    const Chunk& chunk = (*chunks_)[number];
    if (volumes_[chunk.stripes[0].volume] == &device && pages.first.value < chunk.reserved) {
      return true;
    }
  }
  return false;
}

Result<void> FileSystem::pre_remove(Attachment& device) {
  switch (kind_.when_removed) {
    case WhenRemoved::end_all:
      return dax::orderly_teardown(context_, *this);
    case WhenRemoved::nothing:
      return Errno::eopnotsupp;
    case WhenRemoved::end_owners:
      break;
  }
  const ExclusiveLock frozen(freeze_lock());
  const Result<void> synced = sync();
  shutdown(Errno::eio);
  revoke_files_on(device);
  return synced;
}

Result<void> FileSystem::failure(Attachment& device, ByteRange bytes) {
  switch (kind_.when_removed) {
    case WhenRemoved::end_all:
      dax::surprise_teardown(context_, *this, Errno::eio);
      return {};
    case WhenRemoved::nothing:
      return Errno::eopnotsupp;
    case WhenRemoved::end_owners:
      break;
  }
  if (!context_.policy.takes(Step::end_failure_before_next_byte)) {
    bytes.length += 1;
  }
  const PageRange pages = pages_of(bytes).clip({{0}, device.pages()});
  if (device.state() >= LifeState::dax_dead) {
    shutdown(Errno::eio);
    revoke_files_on(device);
    return {};
  }
  if (is_metadata(device, pages)) {
    dax::surprise_teardown(context_, *this, Errno::eio);
    return Errno::euclean;
  }
  for_each_owner(device, pages, [this](Inode& inode, PageRange lost) {
    const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
    // What is dirty stays so.
    static_cast<void>(dax::invalidate_pages(context_, inode, lost).ok());
  });
  return {};
}

// A fault holds invalidate_lock from before it asks the device until its page is mapped.
void FileSystem::revoke(Attachment& device, ByteRange bytes) {
  for_each_owner(device, pages_of(bytes), [](Inode& inode, PageRange pages) {
    const ExclusiveLock no_faults(inode.mapping().invalidate_lock());
    inode.mapping().unmap_pages(pages, EvenCows::no);
  });
}

}  // namespace extent_fs
DAXSIM_END
