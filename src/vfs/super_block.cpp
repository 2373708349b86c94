// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

void SuperBlock::shutdown(Errno reason) noexcept {
  int alive = 0;
  if (!shut_down_.compare_exchange_strong(alive, static_cast<int>(reason), std::memory_order_acq_rel)) {
    return;
  }
  system_.events.emit({
      .type = EventType::fs_shutdown,
      .dev = dev_,
      .ret = -static_cast<std::int64_t>(reason),
  });
}

std::vector<std::shared_ptr<Inode>> SuperBlock::inodes_in_core() {
  std::vector<std::shared_ptr<Inode>> inodes;
  const MutexLock guard(inodes_lock_);
  inodes.reserve(inodes_.size());
  for (const auto& [ino, weak] : inodes_) {
    if (std::shared_ptr<Inode> inode = weak.lock(); inode != nullptr) {
      inodes.push_back(std::move(inode));
    }
  }
  return inodes;
}

void SuperBlock::insert_in_core(const std::shared_ptr<Inode>& inode) {
  const MutexLock guard(inodes_lock_);
  inodes_.insert_or_assign(inode->number(), inode);
}

std::shared_ptr<Inode> SuperBlock::find_in_core(std::uint64_t ino) {
  const MutexLock guard(inodes_lock_);
  const auto found = inodes_.find(ino);
  return found == inodes_.end() ? nullptr : found->second.lock();
}

void SuperBlock::forget_in_core(std::uint64_t ino) {
  const MutexLock guard(inodes_lock_);
  inodes_.erase(ino);
}

Result<XflagDax> SuperBlock::xflag_dax() { return Errno::eopnotsupp; }
Result<void> SuperBlock::set_xflag_dax(XflagDax /*flag*/) { return Errno::eopnotsupp; }

DAXSIM_END
