// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/metadata.hpp"

#include <algorithm>
#include <limits>
#include <optional>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

// Whether file pages are ones that a file can have.
bool is_inside_file(PageRange pages) noexcept {
  return !pages.empty() && pages.first.value < kMaxFilePages && pages.pages <= kMaxFilePages - pages.first.value;
}

}  // namespace

void File::set_name(std::string_view name) noexcept {
  name_length = static_cast<std::uint8_t>(name.size());
  name.copy(name_bytes, sizeof(name_bytes));
}

Result<std::unique_ptr<Metadata>> Metadata::create(Arena& arena, const ChunkMap& chunks, std::uint32_t files,
                                                   Reflink reflink) {
  std::vector<Space> spaces;
  for (std::size_t number = 0; number < chunks.count(); ++number) {
    DAXSIM_TRY(Space space, Space::create(chunks[number].pages, chunks[number].reserved, reflink));
    spaces.push_back(std::move(space));
  }
  return std::unique_ptr<Metadata>(new Metadata(arena, chunks, files, reflink, std::move(spaces)));
}

Metadata::Metadata(Arena& arena, const ChunkMap& chunks, std::uint32_t files, Reflink reflink,
                   std::vector<Space> spaces)
    : arena_(arena),
      chunks_(chunks),
      most_shared_(reflink == Reflink::no ? 0 : chunks[chunks.count() - 1].end()),
      spaces_(std::move(spaces)),
      by_ino_(std::size_t{files} + 1) {}

Metadata::~Metadata() {
  directory_.clear();
  for (File* const file : by_ino_) {
    arena_.destroy(file);
  }
}

File* Metadata::find(std::uint64_t ino) noexcept { return ino < by_ino_.size() ? by_ino_[ino] : nullptr; }

File* Metadata::find(std::string_view name) noexcept {
  const auto at = directory_.find(name);
  return at == directory_.end() ? nullptr : &*at;
}

File* Metadata::after(std::string_view name) noexcept {
  const auto at = directory_.upper_bound(name);
  return at == directory_.end() ? nullptr : &*at;
}

File* Metadata::from(std::uint64_t ino) noexcept {
  for (; ino < by_ino_.size(); ++ino) {
    if (by_ino_[ino] != nullptr) {
      return by_ino_[ino];
    }
  }
  return nullptr;
}

Result<std::uint32_t> Metadata::free_ino() const noexcept {
  if (lowest_free_ == by_ino_.size()) {
    return Errno::enospc;
  }
  return lowest_free_;
}

Result<void> Metadata::create_file(const Record& record) noexcept {
  const bool is_named = !record.name.empty();
  if (record.ino == 0 || record.ino >= by_ino_.size() || by_ino_[record.ino] != nullptr ||
      (is_named && (!is_valid_name(record.name) || find(record.name) != nullptr))) {
    return Errno::euclean;
  }
  File* const file = arena_.create<File>(record.ino, arena_);
  if (file == nullptr) {
    return Errno::enomem;
  }
  by_ino_[record.ino] = file;
  ++files_;
  while (lowest_free_ < by_ino_.size() && by_ino_[lowest_free_] != nullptr) {
    ++lowest_free_;
  }
  if (is_named) {
    file->set_name(record.name);
    directory_.insert(*file);
  }
  return {};
}

Result<void> Metadata::release(File& file) noexcept {
  // Splits nothing, so it cannot run out of memory.
  DAXSIM_TRY_VOID(
      file.extents.remove({{0}, kMaxFilePages}, [&](PageRange physical) { drop_owner(freed(file, physical)); }));
  by_ino_[file.ino] = nullptr;
  lowest_free_ = std::min(lowest_free_, file.ino);
  --files_;
  arena_.destroy(&file);
  return {};
}

// --- space ---

template <class Visit>
bool Metadata::for_each_space(PageRange addresses, Visit visit) noexcept {
  while (!addresses.empty()) {
    const std::size_t number = chunks_.find(addresses.first.value);
    const Chunk& chunk = chunks_[number];
    const std::uint64_t part = std::min(addresses.pages, chunk.end() - addresses.first.value);
    if (!visit(spaces_[number], PageRange{{addresses.first.value - chunk.first}, part})) {
      return false;
    }
    addresses = {addresses.first + part, addresses.pages - part};
  }
  return true;
}

PageRange Metadata::addresses(const File& file, std::uint64_t physical, std::uint64_t pages) const noexcept {
  const PageRange all = chunks_.addresses(file.group);
  if (physical >= all.pages || pages > all.pages - physical) {
    return {};
  }
  return {all.first + physical, pages};
}

bool Metadata::take(PageRange addresses) noexcept {
  PageRange taken{addresses.first, 0};
  const bool all = !addresses.empty() && for_each_space(addresses, [&taken](Space& space, PageRange pages) {
    const bool here = space.take(pages);
    taken.pages += here ? pages.pages : 0;
    return here;
  });
  if (!all) {
    untake(taken);
  }
  return all;
}

void Metadata::untake(PageRange addresses) noexcept {
  for_each_space(addresses, [](Space& space, PageRange pages) {
    space.untake(pages);
    return true;
  });
}

Space::Sharing Metadata::sharing(std::uint64_t first, std::uint64_t most) const noexcept {
  const std::size_t number = chunks_.find(first);
  return spaces_[number].sharing(first - chunks_[number].first, most);
}

Result<std::uint64_t> Metadata::owned_pages(PageRange addresses) noexcept {
  std::uint64_t owned = 0;
  const bool possible = !addresses.empty() && for_each_space(addresses, [&owned](const Space& space, PageRange pages) {
    const std::optional<std::uint64_t> here = space.owned_pages(pages);
    owned += here.value_or(0);
    return here.has_value();
  });
  if (!possible || !can_share(owned)) {
    return Errno::euclean;
  }
  return owned;
}

void Metadata::add_owner(PageRange addresses) noexcept {
  for_each_space(addresses, [](Space& space, PageRange pages) {
    space.add_owner(pages);
    return true;
  });
}

void Metadata::drop_owner(PageRange addresses) noexcept {
  for_each_space(addresses, [this](Space& space, PageRange pages) {
    shared_pages_ -= space.drop_owner(pages);
    return true;
  });
}

// Free blocks; where files may share blocks, a checkpoint names those of several files several times.
Result<void> Metadata::map(File& file, const Record& record) noexcept {
  const PageRange run = addresses(file, record.physical, record.pages.pages);
  if (!is_inside_file(record.pages) || !file.extents.is_hole(record.pages)) {
    return Errno::euclean;
  }
  DAXSIM_TRY(const std::uint64_t owned, owned_pages(run));
  if (owned != 0 && record.state == BlockState::unwritten) {
    return Errno::euclean;
  }
  DAXSIM_TRY_VOID(file.extents.insert(record.pages, record.physical, record.state));
  add_owner(run);
  shared_pages_ += owned;
  return {};
}

Result<void> Metadata::share(File& file, const Record& record) noexcept {
  const PageRange run = addresses(file, record.physical, record.pages.pages);
  if (!is_inside_file(record.pages) || record.pages.pages > std::numeric_limits<std::uint32_t>::max()) {
    return Errno::euclean;
  }
  DAXSIM_TRY(const std::uint64_t owned, owned_pages(run));
  if (owned != run.pages) {
    return Errno::euclean;
  }
  // First one owner more, since the pages may have had these very blocks.
  add_owner(run);
  shared_pages_ += owned;
  const Result<void> replaced = file.extents.replace(record.pages, record.physical,
                                                     [&](PageRange physical) { drop_owner(freed(file, physical)); });
  if (!replaced.ok()) {
    drop_owner(run);
  }
  return replaced;
}

Result<void> Metadata::move(File& file, const Record& record) noexcept {
  const PageRange run = addresses(file, record.physical, record.pages.pages);
  const Extent* const from = is_inside_file(record.pages) ? file.extents.find(record.pages.first.value) : nullptr;
  if (from == nullptr || from->end() < record.pages.end().value || !take(run)) {
    return Errno::euclean;
  }
  const PageRange old{{from->at(record.pages.first.value)}, record.pages.pages};
  auto moved = file.extents.move(record.pages, record.physical);
  if (moved.ok()) {
    drop_owner(freed(file, old));
  } else {
    untake(run);
  }
  return moved;
}

Result<void> Metadata::set_group(File& file, std::uint64_t group) noexcept {
  if (group >= chunks_.groups()) {
    return Errno::euclean;
  }
  const auto number = static_cast<std::uint32_t>(group);
  if (file.extents.count() != 0 && chunks_.addresses(number) != chunks_.addresses(file.group)) {
    return Errno::euclean;
  }
  file.group = number;
  return {};
}

Result<void> Metadata::set_flags(const Record& record) noexcept {
  File* const file = find(record.ino);
  if (record.flags > kFlagDax || (record.ino != 0 && file == nullptr)) {
    return Errno::euclean;
  }
  (file == nullptr ? directory_flags_ : file->flags) = static_cast<std::uint8_t>(record.flags);
  return {};
}

Result<void> Metadata::apply(const Record& record) noexcept {
  if (record.type == RecordType::create) {
    return create_file(record);
  }
  if (record.type == RecordType::flags) {
    return set_flags(record);
  }
  File* const file = find(record.ino);
  if (file == nullptr) {
    return Errno::euclean;
  }
  ExtentTree& extents = file->extents;
  const PageRange pages = record.pages;
  switch (record.type) {
    case RecordType::create:
    case RecordType::flags:
      return Errno::euclean;

    case RecordType::unlink:
      if (file->name().empty()) {
        return Errno::euclean;
      }
      directory_.erase(directory_.iterator_to(*file));
      file->set_name({});
      return {};

    case RecordType::rename:
      if (file->name().empty() || !is_valid_name(record.name) || find(record.name) != nullptr) {
        return Errno::euclean;
      }
      directory_.erase(directory_.iterator_to(*file));
      file->set_name(record.name);
      directory_.insert(*file);
      return {};

    case RecordType::release:
      return file->name().empty() ? release(*file) : Result<void>(Errno::euclean);

    case RecordType::size:
      if (record.bytes > kMaxFileSize) {
        return Errno::euclean;
      }
      file->size = record.bytes;
      return {};

    case RecordType::map:
      return map(*file, record);

    case RecordType::move:
      return move(*file, record);

    case RecordType::share:
      return share(*file, record);

    case RecordType::set_state:
      return is_inside_file(pages) ? extents.set_state(pages, record.state) : Result<void>(Errno::euclean);

    case RecordType::unmap:
      return is_inside_file(pages)
                 ? extents.remove(pages, [&](PageRange physical) { drop_owner(freed(*file, physical)); })
                 : Result<void>(Errno::euclean);

    case RecordType::shift_up:
      if (!is_inside_file(pages) || extents.end() > kMaxFilePages - pages.pages) {
        return Errno::euclean;
      }
      return extents.shift_up(pages.first.value, pages.pages);

    case RecordType::shift_down:
      if (!is_inside_file(pages) || !extents.is_hole(pages)) {
        return Errno::euclean;
      }
      extents.shift_down(pages.end().value, pages.pages);
      return {};

    case RecordType::group:
      return set_group(*file, record.group);
  }
  return Errno::euclean;
}

}  // namespace extent_fs
DAXSIM_END
