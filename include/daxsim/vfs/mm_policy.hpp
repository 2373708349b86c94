// SPDX-License-Identifier: BSD-3-Clause
// MmPolicy: what the memory managers of the recorded kernels did differently, as data. The default is 6.12.
#pragma once

#include <cstdint>

#include "daxsim/base/config.hpp"

DAXSIM_BEGIN

// Whether a user's fault is tried under the lock of its area first, FAULT_FLAG_VMA_LOCK (6.4).
enum class VmaLock : std::uint8_t { no, yes };
// By which functions pages go into page tables, as far as they could be traced.
enum class Insertion : std::uint8_t {
  mixed_without_pmd,  // vmf_insert_mixed, vmf_insert_mixed_mkwrite; huge pages go in unseen (6.1)
  mixed_and_pmd,      // the same, and vmf_insert_pfn_pmd for huge pages of storage (6.12)
  pages_and_folios,   // vmf_insert_page_mkwrite and vmf_insert_folio_pmd for everything (7.3)
};
// A store to a huge page of a private mapping: the file is asked for a huge page before the one that is there is split
// (6.1), or not at all.
enum class PrivateHugeStore : std::uint8_t { asks_first, splits_first };
// unmap_mapping_range does it all itself, or calls unmap_mapping_pages (7.3).
enum class RangeUnmapping : std::uint8_t { by_itself, by_pages };

struct MmPolicy {
  VmaLock vma_lock = VmaLock::yes;
  Insertion insertion = Insertion::mixed_and_pmd;
  PrivateHugeStore private_huge_store = PrivateHugeStore::splits_first;
  RangeUnmapping unmapping = RangeUnmapping::by_itself;

  friend constexpr bool operator==(const MmPolicy&, const MmPolicy&) = default;
};

DAXSIM_END
