// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/vfs/address_space.hpp"

#include "daxsim/vfs/inode.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

void AddressSpace::insert(Vma& vma) noexcept {
  const ExclusiveLock guard(i_mmap_lock_);
  vma.next_ = areas_;
  if (areas_ != nullptr) {
    areas_->link_ = &vma.next_;
  }
  vma.link_ = &areas_;
  areas_ = &vma;
}

void AddressSpace::remove(Vma& vma) noexcept {
  const ExclusiveLock guard(i_mmap_lock_);
  *vma.link_ = vma.next_;
  if (vma.next_ != nullptr) {
    vma.next_->link_ = vma.link_;
  }
  vma.next_ = nullptr;
  vma.link_ = nullptr;
}

void AddressSpace::unmap_pages(PageRange pages, EvenCows even_cows) noexcept {
  SuperBlock& super_block = host_.super_block();
  super_block.system().events.emit({
      .type = EventType::unmap_mapping_pages,
      .dev = super_block.dev(),
      .flags = even_cows == EvenCows::yes ? 1U : 0U,
      .ino = host_.number(),
      .pgoff = pages.first,
      .last = pages.end() == kAllPages.end() ? 0 : pages.pages,
  });
  take_out(pages, even_cows);
}

void AddressSpace::unmap_range(PageRange pages, EvenCows even_cows) noexcept {
  SuperBlock& super_block = host_.super_block();
  super_block.system().events.emit({
      .type = EventType::unmap_mapping_range,
      .dev = super_block.dev(),
      .flags = even_cows == EvenCows::yes ? 1U : 0U,
      .ino = host_.number(),
      .address = byte_of(pages.first),
      .length = pages.end() == kAllPages.end() ? 0 : pages.pages << kPageShift,
  });
  if (super_block.system().mm.unmapping == RangeUnmapping::by_pages) {
    unmap_pages(pages, even_cows);
  } else {
    take_out(pages, even_cows);
  }
}

void AddressSpace::take_out(PageRange pages, EvenCows even_cows) noexcept {
  for_each_vma(pages, [&](Vma& vma) { vma.unmap(pages, even_cows); });
}

bool AddressSpace::is_mapped() noexcept {
  const SharedLock guard(i_mmap_lock_);
  return areas_ != nullptr;
}

std::uint64_t AddressSpace::write_protect(PageRange pages, PmdMappings pmd_mappings, SmallPages small_pages) noexcept {
  SuperBlock& super_block = host_.super_block();
  std::uint64_t writable = 0;
  for_each_vma(pages, [&](Vma& vma) {
    const bool all_alike = pmd_mappings == PmdMappings::protect && small_pages == SmallPages::all;
    const bool is_huge = !all_alike && vma.pte(pages.first).order == kPmdOrder;
    if (is_huge && pmd_mappings == PmdMappings::leave) {
      return;
    }
    const bool only_first = !is_huge && small_pages == SmallPages::first;
    const std::uint64_t here = vma.write_protect(only_first ? PageRange{pages.first, 1} : pages);
    super_block.system().events.emit({
        .type = EventType::pfn_mkclean_range,
        .dev = super_block.dev(),
        .ino = host_.number(),
        .pgoff = pages.first,
        .last = pages.pages,
        .ret = static_cast<std::int64_t>(here),
    });
    writable += here;
  });
  return writable;
}

DAXSIM_END
