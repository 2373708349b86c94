// SPDX-License-Identifier: BSD-3-Clause
// Metadata: all files of the file system with their names and extents, and the free space. It knows nothing of how it
// gets to the device (journal.hpp), nor of open files (file_system.hpp).
//
// Memory comes from the arena; nothing here allocates elsewhere after create(). Threads: the caller's lock.
//
// I1 No address belongs to a file and the free space, nor, unless files may share blocks, to two files or twice to one.
// I2 Names are unique; a file without a name is unlinked and waits for its last close.
// I3 apply() does all of a record or nothing.
// I4 All extents of a file are at addresses that its group may have.
// I5 Owners beside the first, of all addresses together, are no more than there are addresses: so there are at most twice
//    as many extents as blocks, and a checkpoint has room for them.
#pragma once

#include <atomic>
#include <boost/intrusive/set.hpp>
#include <cstdint>
#include <memory>
#include <string_view>
#include <vector>

#include "adapters/extent_fs/chunks.hpp"
#include "adapters/extent_fs/definitions.hpp"
#include "adapters/extent_fs/extents.hpp"
#include "adapters/extent_fs/records.hpp"
#include "adapters/extent_fs/space.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"

DAXSIM_BEGIN
namespace extent_fs {

// One file, as long as it exists on the device.
struct File : boost::intrusive::set_base_hook<> {
  File(std::uint32_t number, Arena& arena) noexcept : ino(number), extents(arena) {}

  [[nodiscard]] std::string_view name() const noexcept { return {name_bytes, name_length}; }
  void set_name(std::string_view name) noexcept;

  const std::uint32_t ino;
  std::uint8_t name_length = 0;
  char name_bytes[kMaxName] = {};
  std::uint64_t size = 0;
  std::atomic<std::uint32_t> group{0};  // may be read without the lock
  std::uint8_t flags = 0;               // kFlagDax
  std::uint64_t changed_in = 0;         // sequence of the commit that has, or will have, its last change
  ExtentTree extents;
};

class Metadata {
 public:
  // `chunks` outlives it. Errors: Errno::enomem.
  static Result<std::unique_ptr<Metadata>> create(Arena& arena, const ChunkMap& chunks, std::uint32_t files,
                                                  Reflink reflink = Reflink::no);
  ~Metadata();
  Metadata(const Metadata&) = delete;
  Metadata& operator=(const Metadata&) = delete;

  [[nodiscard]] File* find(std::uint64_t ino) noexcept;
  [[nodiscard]] File* find(std::string_view name) noexcept;
  // The first file whose name is greater, or null: walks the directory.
  [[nodiscard]] File* after(std::string_view name) noexcept;
  // The first file with this number or a greater one, or null: walks all files, nameless ones too.
  [[nodiscard]] File* from(std::uint64_t ino) noexcept;
  [[nodiscard]] std::uint32_t files() const noexcept { return files_; }
  // Of the directory.
  [[nodiscard]] std::uint8_t directory_flags() const noexcept { return directory_flags_; }
  // Lowest free number. Errors: Errno::enospc.
  [[nodiscard]] Result<std::uint32_t> free_ino() const noexcept;
  // The free space of each chunk, by number; it counts pages from the beginning of the chunk.
  [[nodiscard]] std::vector<Space>& spaces() noexcept { return spaces_; }
  // Where the addresses of a file's extents begin.
  [[nodiscard]] std::uint64_t base(const File& file) const noexcept {
    return chunks_.addresses(file.group).first.value;
  }
  // Of addresses from `first` on in one chunk.
  [[nodiscard]] Space::Sharing sharing(std::uint64_t first, std::uint64_t most) const noexcept;
  // Whether so many more pages can be shared.
  [[nodiscard]] bool can_share(std::uint64_t pages) const noexcept { return pages <= most_shared_ - shared_pages_; }
  // Gives back what no record has mentioned.
  void untake(PageRange addresses) noexcept;

  // Errors: Errno::enomem, Errno::euclean (does not fit what is there: only hostile records do not).
  Result<void> apply(const Record& record) noexcept;

 private:
  struct ByName {
    using type = std::string_view;  // NOLINT(readability-identifier-naming): Boost.Intrusive asks for it
    type operator()(const File& file) const noexcept { return file.name(); }
  };
  using Directory = boost::intrusive::set<File, boost::intrusive::key_of_value<ByName>>;

  Metadata(Arena& arena, const ChunkMap& chunks, std::uint32_t files, Reflink reflink, std::vector<Space> spaces);
  Result<void> create_file(const Record& record) noexcept;
  Result<void> release(File& file) noexcept;
  Result<void> set_flags(const Record& record) noexcept;
  Result<void> map(File& file, const Record& record) noexcept;
  Result<void> move(File& file, const Record& record) noexcept;
  Result<void> set_group(File& file, std::uint64_t group) noexcept;
  Result<void> share(File& file, const Record& record) noexcept;
  // Calls `visit(Space&, PageRange)` for the part of each chunk until one answers false; true when none did.
  template <class Visit>
  bool for_each_space(PageRange addresses, Visit visit) noexcept;
  // The addresses of a hostile record, if they can be the file's; empty if not.
  [[nodiscard]] PageRange addresses(const File& file, std::uint64_t physical, std::uint64_t pages) const noexcept;
  // All of them or none.
  bool take(PageRange addresses) noexcept;
  // How many of these have an owner already. Errors: Errno::euclean (they cannot get one more).
  Result<std::uint64_t> owned_pages(PageRange addresses) noexcept;
  void add_owner(PageRange addresses) noexcept;
  // Of addresses; those that nobody has any more are free once no checkpoint refers to them.
  void drop_owner(PageRange addresses) noexcept;
  // The addresses of a piece of a file's extents.
  [[nodiscard]] PageRange freed(const File& file, PageRange physical) const noexcept {
    return {{base(file) + physical.first.value}, physical.pages};
  }

  Arena& arena_;
  const ChunkMap& chunks_;
  const std::uint64_t most_shared_;
  std::vector<Space> spaces_;       // by chunk
  std::uint64_t shared_pages_ = 0;  // owners beside the first, of all addresses
  std::vector<File*> by_ino_;       // as long as the largest number, from mount on
  Directory directory_;
  std::uint8_t directory_flags_ = 0;
  std::uint32_t files_ = 0;
  std::uint32_t lowest_free_ = 1;  // no lower number is free
};

}  // namespace extent_fs
DAXSIM_END
