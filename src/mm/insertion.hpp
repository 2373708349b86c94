// SPDX-License-Identifier: BSD-3-Clause
// What the kernel's function is called that puts a page into a page table.
#pragma once

#include <optional>

#include "daxsim/base/config.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/vfs/mm_policy.hpp"
#include "daxsim/vfs/vma.hpp"

DAXSIM_BEGIN

// None: it could not be traced.
constexpr std::optional<EventType> insertion_event(Insertion insertion, const Installation& what,
                                                   Writable writable) noexcept {
  if (insertion == Insertion::pages_and_folios) {
    return what.order != 0 ? EventType::vmf_insert_folio_pmd : EventType::vmf_insert_page_mkwrite;
  }
  if (what.order == 0) {
    return writable == Writable::yes ? EventType::vmf_insert_mixed_mkwrite : EventType::vmf_insert_mixed;
  }
  if (insertion == Insertion::mixed_without_pmd || what.zero_page) {
    return std::nullopt;
  }
  return EventType::vmf_insert_pfn_pmd;
}

DAXSIM_END
