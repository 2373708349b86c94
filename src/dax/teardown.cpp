// SPDX-License-Identifier: BSD-3-Clause
// The end of a file, and of a file system whose device goes (F7).
//
// A fault either holds invalidate_lock already, and its page is revoked after it, or takes it later and finds the file
// system shut down. That needs the order: shut down first, then each file's invalidate_lock exclusively.
#include <memory>
#include <vector>

#include "dax/layout.hpp"
#include "dax/trace.hpp"

DAXSIM_BEGIN
namespace dax {
namespace {

using Inodes = std::vector<std::shared_ptr<Inode>>;

// The references stay with the caller, who lets go of them when it holds no lock: the last one evicts the file.
void revoke_all(const Context& context, const Inodes& inodes) {
  for (const std::shared_ptr<Inode>& inode : inodes) {
    revoke_pages(context, *inode, kAllPages);
  }
}

void emit_of(const SuperBlock& super_block, EventType type) noexcept {
  super_block.system().events.emit({.type = type, .dev = super_block.dev()});
}

}  // namespace

void revoke_pages(const Context& context, Inode& inode, PageRange pages) noexcept {
  const ExclusiveLock guard(inode.mapping().invalidate_lock());
  inode.mapping().unmap_pages(pages, EvenCows::no);
  delete_entries(context, inode, pages);
}

Result<void> orderly_teardown(const Context& context, SuperBlock& super_block) {
  Inodes inodes;
  const ExclusiveLock frozen(super_block.freeze_lock());
  emit_of(super_block, EventType::fs_freeze);
  const Result<void> synced = super_block.sync();
  super_block.shutdown(Errno::eio);
  inodes = super_block.inodes_in_core();
  revoke_all(context, inodes);
  emit_of(super_block, EventType::fs_thaw);
  return synced;
}

void surprise_teardown(const Context& context, SuperBlock& super_block, Errno reason) {
  super_block.shutdown(reason);
  revoke_all(context, super_block.inodes_in_core());
}

}  // namespace dax
DAXSIM_END
