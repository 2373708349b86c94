// SPDX-License-Identifier: BSD-3-Clause
// Space: which device pages are free. A freed page is handed out again only after two more checkpoints, so whichever of
// the two checkpoints on the device is read back, nobody has overwritten what it refers to.
//
// Pages are counted in groups of 2 MiB of the device. All memory is reserved by create() and touched as needed: nothing
// is allocated later, so everything works in the fault path. Threads: the caller's lock.
//
// Where files may share blocks, each used page has one owner or more. A page that has lost one of several counts as shared
// for two more checkpoints: whichever of the two on the device is read back, the one that has left may be there again, and
// the page must hold what it held then.
//
// I1 A page is free, used, or deferred (freed, but kept for one or two more checkpoints).
// I2 used_in_group_ counts the set bits of used_; deferred pages are set in used_ too.
#pragma once

#include <cstdint>
#include <optional>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/base/zeroed_array.hpp"
#include "daxsim/vfs/inode.hpp"

DAXSIM_BEGIN
namespace extent_fs {

class Space {
 public:
  // Pages [0, first_data) are used for ever. Errors: Errno::enomem.
  static Result<Space> create(std::uint64_t blocks, std::uint64_t first_data, Reflink reflink = Reflink::no);

  // Pages that are not metadata.
  [[nodiscard]] std::uint64_t total_pages() const noexcept { return blocks_ - first_data_; }
  // Device pages that can be handed out now, and those that two checkpoints would add.
  [[nodiscard]] std::uint64_t free_pages() const noexcept { return free_; }
  [[nodiscard]] std::uint64_t deferred_pages() const noexcept { return deferred_[0].pages + deferred_[1].pages; }

  // Takes a run that begins at `first`, as long as it is free, at most `most` pages. Empty when `first` is not free.
  PageRange take_at(std::uint64_t first, std::uint64_t most) noexcept;
  // Takes a run of whole free groups, at most `most` pages of them. Empty when there is no free group.
  PageRange take_groups(std::uint64_t most) noexcept;
  // The first page that is free, or the first that is not on the device; takes nothing.
  [[nodiscard]] std::uint64_t first_free() noexcept;
  // The first page of a group that is entirely free; takes nothing.
  [[nodiscard]] std::optional<std::uint64_t> find_group() noexcept;
  // Takes the first run of `most` pages, or the longest there is. Empty when nothing is free.
  PageRange take_any(std::uint64_t most) noexcept;
  // Takes exactly these; false, and nothing taken, when they are not all free pages of the device.
  bool take(PageRange pages) noexcept;
  // Gives back what no checkpoint and no log has ever mentioned.
  void untake(PageRange pages) noexcept;
  // Gives back what the device may mention.
  void defer(PageRange pages) noexcept;

  // How many of these have an owner; nothing when one is neither free nor a file's, or is a file's and must not be shared.
  [[nodiscard]] std::optional<std::uint64_t> owned_pages(PageRange pages) const noexcept;
  // One more owner for each; for free ones the first.
  void add_owner(PageRange pages) noexcept;
  // One owner less for each; those that have none left are deferred. Answers how many have some left.
  std::uint64_t drop_owner(PageRange pages) noexcept;
  // How many pages from `first` on, at most `most`, are all shared or all not.
  struct Sharing {
    bool shared = false;
    std::uint64_t pages = 0;
  };
  [[nodiscard]] Sharing sharing(std::uint64_t first, std::uint64_t most) const noexcept;

  // A checkpoint has been written.
  void checkpointed() noexcept;

 private:
  struct Deferred {
    ZeroedArray<std::uint64_t> bits;
    std::uint64_t pages = 0;
    std::uint64_t low_word = ~std::uint64_t{0};  // words [low_word, high_word) may have bits
    std::uint64_t high_word = 0;

    void add(PageRange these) noexcept;
    [[nodiscard]] bool contains(std::uint64_t page) const noexcept;
    // Calls `ripe(PageRange)` for each run, and is empty then.
    template <class Ripe>
    void drain(Ripe ripe) noexcept;
  };

  Space(std::uint64_t blocks, std::uint64_t first_data) noexcept : blocks_(blocks), first_data_(first_data) {}
  [[nodiscard]] bool shares() const noexcept { return more_owners_ != nullptr; }
  [[nodiscard]] bool is_used(std::uint64_t page) const noexcept;
  [[nodiscard]] bool is_shared(std::uint64_t page) const noexcept;
  // The first free page at or after `page`.
  [[nodiscard]] std::uint64_t next_free(std::uint64_t page) const noexcept;
  void set(PageRange pages) noexcept;
  void clear(PageRange pages) noexcept;
  [[nodiscard]] std::uint64_t run_length(std::uint64_t first, std::uint64_t most) const noexcept;

  std::uint64_t blocks_;
  std::uint64_t first_data_;
  std::uint64_t groups_ = 0;
  ZeroedArray<std::uint64_t> used_;           // one bit per page
  ZeroedArray<std::uint16_t> used_in_group_;  // 0 to 512
  Deferred deferred_[2];                      // freed since the last checkpoint; between the last two
  ZeroedArray<std::uint32_t> more_owners_;    // beside the first; null where nothing is shared
  Deferred parted_[2];                        // have lost an owner since the last checkpoint; between the last two
  std::uint64_t free_ = 0;
  std::uint64_t free_groups_ = 0;
  std::uint64_t first_not_full_ = 0;  // no group below has a free page
  std::uint64_t next_group_ = 0;      // where the search for a free group begins
};

}  // namespace extent_fs
DAXSIM_END
