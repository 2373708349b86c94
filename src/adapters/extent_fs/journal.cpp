// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/extent_fs/journal.hpp"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>
#include <optional>
#include <random>

DAXSIM_BEGIN
namespace extent_fs {
namespace {

constexpr std::size_t kStagingBytes = std::size_t{64} << 10;
constexpr std::size_t kMostTransactionBytes = std::size_t{64} << 10;
constexpr std::uint64_t kMaxSequence = std::uint64_t{1} << 62;

// Metadata that cannot be read is as good as damaged; everything else that can go wrong concerns the whole device.
bool is_damage(Errno error) noexcept { return error == Errno::euclean || error == Errno::ehwpoison; }

// Streams a checkpoint's body to the device through a buffer.
class BodyWriter {
 public:
  BodyWriter(Attachment& device, std::uint64_t offset, std::span<std::byte> buffer) noexcept
      : device_(device), offset_(offset), buffer_(buffer) {}

  Result<void> put(std::span<const std::byte> bytes) noexcept {
    crc_.add(bytes);
    total_ += bytes.size();
    while (!bytes.empty()) {
      const std::size_t part = std::min(bytes.size(), buffer_.size() - filled_);
      std::memcpy(buffer_.data() + filled_, bytes.data(), part);
      filled_ += part;
      bytes = bytes.subspan(part);
      if (filled_ == buffer_.size()) {
        DAXSIM_TRY_VOID(flush());
      }
    }
    return {};
  }
  Result<void> flush() noexcept {
    DAXSIM_TRY_VOID(device_.write(offset_, buffer_.first(filled_)));
    offset_ += filled_;
    filled_ = 0;
    return {};
  }
  [[nodiscard]] std::uint64_t total() const noexcept { return total_; }
  [[nodiscard]] std::uint32_t crc() const noexcept { return crc_.value(); }

 private:
  Attachment& device_;
  std::uint64_t offset_;
  const std::span<std::byte> buffer_;
  std::size_t filled_ = 0;
  std::uint64_t total_ = 0;
  Crc32c crc_;
};

// The way back. Whatever is asked beyond the body is damage.
class BodyReader {
 public:
  BodyReader(Attachment& device, std::uint64_t offset, std::uint64_t bytes, std::span<std::byte> buffer) noexcept
      : device_(device), offset_(offset), rest_(bytes), buffer_(buffer) {}

  Result<void> get(std::span<std::byte> to) noexcept {
    while (!to.empty()) {
      if (ready_.empty()) {
        if (rest_ == 0) {
          return Errno::euclean;
        }
        const std::span<std::byte> part = buffer_.first(std::min<std::uint64_t>(rest_, buffer_.size()));
        DAXSIM_TRY_VOID(device_.read(offset_, part));
        crc_.add(part);
        offset_ += part.size();
        rest_ -= part.size();
        ready_ = part;
      }
      const std::size_t part = std::min(to.size(), ready_.size());
      std::memcpy(to.data(), ready_.data(), part);
      ready_ = ready_.subspan(part);
      to = to.subspan(part);
    }
    return {};
  }
  // True when all of the body has been taken and its CRC is this one.
  [[nodiscard]] bool ends_with(std::uint32_t crc) const noexcept {
    return rest_ == 0 && ready_.empty() && crc_.value() == crc;
  }

 private:
  Attachment& device_;
  std::uint64_t offset_;
  std::uint64_t rest_;
  const std::span<std::byte> buffer_;
  std::span<const std::byte> ready_;
  Crc32c crc_;
};

Result<void> put_file(BodyWriter& body, const File& file) noexcept {
  FileRecord record{};
  record.size = file.size;
  record.extents = file.extents.count();
  record.ino = file.ino;
  record.name_length = file.name_length;
  record.flags = file.flags;
  record.group = static_cast<std::uint16_t>(file.group);
  DAXSIM_TRY_VOID(body.put(bytes_of(record)));
  static constexpr std::array<std::byte, 8> kPadding{};
  const std::string_view name = file.name();
  DAXSIM_TRY_VOID(body.put(std::as_bytes(std::span(name))));
  DAXSIM_TRY_VOID(body.put(std::span(kPadding).first(round_up(name.size(), 8) - name.size())));
  for (auto at = file.extents.begin_extents(); at != file.extents.end_extents(); ++at) {
    ExtentRecord extent{};
    extent.logical = at->logical;
    extent.physical = at->physical;
    extent.pages = at->pages;
    extent.state = static_cast<std::uint32_t>(at->state);
    DAXSIM_TRY_VOID(body.put(bytes_of(extent)));
  }
  return {};
}

Result<void> get_file(BodyReader& body, Metadata& metadata) noexcept {
  FileRecord file;
  DAXSIM_TRY_VOID(body.get(bytes_of(file)));
  std::array<char, kMaxName + 1> name;
  static_assert(std::numeric_limits<decltype(file.name_length)>::max() < name.size());
  const std::size_t padded = round_up(file.name_length, 8);
  DAXSIM_TRY_VOID(body.get(std::as_writable_bytes(std::span(name)).first(padded)));
  Record change{.type = RecordType::create, .ino = file.ino, .name = {name.data(), file.name_length}};
  DAXSIM_TRY_VOID(metadata.apply(change));
  change = {.type = RecordType::size, .ino = file.ino, .bytes = file.size};
  DAXSIM_TRY_VOID(metadata.apply(change));
  change = {.type = RecordType::group, .ino = file.ino, .group = file.group};
  DAXSIM_TRY_VOID(metadata.apply(change));
  change = {.type = RecordType::flags, .ino = file.ino, .flags = file.flags};
  DAXSIM_TRY_VOID(metadata.apply(change));
  for (std::uint64_t left = file.extents; left != 0; --left) {
    ExtentRecord extent;
    DAXSIM_TRY_VOID(body.get(bytes_of(extent)));
    if (extent.state > static_cast<std::uint32_t>(BlockState::unwritten)) {
      return Errno::euclean;
    }
    change = {.type = RecordType::map,
              .state = static_cast<BlockState>(static_cast<std::uint32_t>(extent.state)),
              .ino = file.ino,
              .pages = {{extent.logical}, extent.pages},
              .physical = extent.physical};
    DAXSIM_TRY_VOID(metadata.apply(change));
  }
  return {};
}

// The header of a slot's checkpoint. Errors: Errno::euclean and those of Attachment::read.
Result<CheckpointHeader> read_header(Attachment& device, const Geometry& geometry, std::uint64_t slot) noexcept {
  CheckpointHeader header;
  DAXSIM_TRY_VOID(device.read(geometry.checkpoint_offset(slot), bytes_of(header)));
  if (header.magic != kCheckpointMagic || header.crc != crc_of(header) || header.number >= RootWord::kMaxNumber ||
      header.number % kSlots != slot || header.sequence >= kMaxSequence || header.files > geometry.files ||
      header.body_bytes > geometry.checkpoint_bytes() - sizeof(header)) {
    return Errno::euclean;
  }
  return header;
}

Result<void> write_root(Attachment& device, std::uint64_t number) noexcept {
  const Le64 word = RootWord::encode(number);
  return device.write(kRootOffset, bytes_of(word));
}

Result<void> fence_all(Volumes volumes) noexcept {
  for (Attachment* const volume : volumes) {
    DAXSIM_TRY_VOID(volume->fence());
  }
  return {};
}

std::uint64_t random_id() {
  std::random_device random;
  return std::uint64_t{random()} << 32 | random();
}

// An ordinary block device moves whole sectors.
using VolumeSector = std::array<std::byte, kSectorSize>;

std::uint64_t volume_record_offset(std::uint32_t volume) noexcept {
  return kVolumesOffset + volume * sizeof(VolumeRecord);
}

// The pages of a volume, which says itself that it belongs to volume 0.
// Errors: those of Journal::load.
Result<std::uint64_t> read_volume(Volumes volumes, std::uint32_t number) noexcept {
  VolumeRecord named;
  VolumeSector found;  // NOLINT(cppcoreguidelines-pro-type-member-init): filled by read()
  Attachment& volume = *volumes[number];
  DAXSIM_TRY_VOID(volumes[0]->read(volume_record_offset(number), bytes_of(named)));
  if (named.magic != kVolumeMagic || named.crc != crc_of(named) || named.volume != number || named.blocks == 0) {
    return Errno::euclean;
  }
  if (volume.size() < kPageSize) {
    return Errno::enodev;
  }
  DAXSIM_TRY_VOID(volume.read(0, found));
  if (std::memcmp(&named, found.data(), sizeof(named)) != 0) {
    return Errno::enodev;
  }
  if (named.blocks > volume.pages()) {
    return Errno::euclean;
  }
  return std::uint64_t{named.blocks};
}

// Errors: those of Journal::load.
Result<Geometry> read_super(Volumes volumes, const Kind& kind) noexcept {
  SuperRecord super;
  Attachment& device = *volumes[0];
  if (device.size() < kPageSize) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(device.read(0, bytes_of(super)));
  if (super.magic != kind.magic) {
    return Errno::einval;
  }
  const bool reflink = super.version == kVersionReflink && kind.reflink == Reflink::yes;
  if (super.version != kVersion && !reflink) {
    return Errno::eopnotsupp;
  }
  if (super.crc != crc_of(super) || super.blocks > device.pages() || super.files == 0) {
    return Errno::euclean;
  }
  if (kind.map == MapOfChunks::stored && super.volumes != volumes.size()) {
    return Errno::enodev;
  }
  Geometry::Blocks blocks{super.blocks};
  for (std::uint32_t volume = 1; volume < volumes.size(); ++volume) {
    DAXSIM_TRY(blocks[volume], read_volume(volumes, volume));
  }
  const auto geometry = Geometry::make(blocks, super.files, kind.map, reflink ? Reflink::yes : Reflink::no);
  return geometry.ok() ? geometry : Result<Geometry>(Errno::euclean);
}

}  // namespace

Result<void> Journal::format(Volumes volumes, const Geometry& geometry, const Kind& kind, const ChunkMap& chunks) {
  // Nothing is mountable until the super record, which is one cache line, comes last.
  Attachment& device = *volumes[0];
  for (Attachment* const volume : volumes) {
    DAXSIM_TRY_VOID(volume->zero({0, kPageSize}));
    DAXSIM_TRY_VOID(volume->fence());
  }
  const std::uint64_t id = volumes.size() == 1 ? 0 : random_id();
  for (std::uint32_t number = 1; number < volumes.size(); ++number) {
    VolumeRecord record{};
    record.magic = kVolumeMagic;
    record.id = id;
    record.blocks = geometry.blocks[number];
    record.volume = number;
    record.crc = crc_of(record);
    VolumeSector sector{};
    std::memcpy(sector.data(), &record, sizeof(record));
    DAXSIM_TRY_VOID(volumes[number]->write(0, sector));
    DAXSIM_TRY_VOID(device.write(volume_record_offset(number), bytes_of(record)));
  }
  if (kind.map == MapOfChunks::stored) {
    DAXSIM_TRY_VOID(chunks.write(device));
  }
  CheckpointHeader header{};
  for (std::uint64_t slot = 0; slot < kSlots; ++slot) {
    DAXSIM_TRY_VOID(device.zero({geometry.checkpoint_offset(slot), kPageSize}));
    // Commits of an earlier file system must not look like ours.
    DAXSIM_TRY_VOID(device.zero({geometry.log_offset(slot), geometry.log_bytes()}));
  }
  header.magic = kCheckpointMagic;
  header.body_crc = Crc32c().value();
  header.crc = crc_of(header);
  DAXSIM_TRY_VOID(device.write(geometry.checkpoint_offset(0), bytes_of(header)));
  DAXSIM_TRY_VOID(write_root(device, 0));
  DAXSIM_TRY_VOID(fence_all(volumes));
  SuperRecord super{};
  super.magic = kind.magic;
  super.version = geometry.reflink == Reflink::yes ? kVersionReflink : kVersion;
  super.blocks = geometry.blocks[0];
  super.files = geometry.files;
  super.volumes = kind.map == MapOfChunks::stored ? static_cast<std::uint32_t>(volumes.size()) : 0;
  super.crc = crc_of(super);
  DAXSIM_TRY_VOID(device.write(0, bytes_of(super)));
  return device.fence();
}

Journal::Journal(Volumes volumes, Arena& arena, const Geometry& geometry, ChunkMap chunks)
    : volumes_(volumes),
      device_(*volumes[0]),
      arena_(arena),
      geometry_(geometry),
      chunks_(std::move(chunks)),
      transaction_(std::min<std::uint64_t>(geometry.log_bytes(), kMostTransactionBytes)),
      staging_(kStagingBytes) {}

Result<std::unique_ptr<Journal>> Journal::load(Volumes volumes, const Kind& kind, Arena& arena) {
  DAXSIM_TRY(const Geometry geometry, read_super(volumes, kind));
  DAXSIM_TRY(ChunkMap chunks, kind.map == MapOfChunks::stored
                                  ? ChunkMap::read(volumes, geometry)
                                  : Result<ChunkMap>(ChunkMap::of_volumes(geometry, kind.placement)));
  std::unique_ptr<Journal> journal(new Journal(volumes, arena, geometry, std::move(chunks)));
  DAXSIM_TRY_VOID(journal->choose_slot());
  return journal;
}

Result<void> Journal::choose_slot() {
  Le64 word;
  DAXSIM_TRY_VOID(device_.read(kRootOffset, bytes_of(word)));
  const Result<std::uint64_t> named = RootWord::decode(word);
  // The named one first; without a name the newer one.
  std::uint64_t first = 0;
  if (named.ok()) {
    first = *named % kSlots;
  } else {
    const auto zero = read_header(device_, geometry_, 0);
    const auto one = read_header(device_, geometry_, 1);
    first = one.ok() && (!zero.ok() || one->number > zero->number) ? 1 : 0;
  }
  auto loaded = load_slot(first);
  if (!loaded.ok() && is_damage(loaded.error())) {
    loaded = load_slot((first + 1) % kSlots);
  }
  if (!loaded.ok()) {
    return is_damage(loaded.error()) ? Errno::euclean : loaded.error();
  }
  if (!named.ok() || *named != number_) {
    // The other slot may have had a newer checkpoint with the number that comes next; its commits must not be taken for
    // those that will follow.
    const std::uint64_t other = (number_ + 1) % kSlots;
    DAXSIM_TRY_VOID(device_.zero({geometry_.log_offset(other), geometry_.log_bytes()}));
    DAXSIM_TRY_VOID(device_.fence());
  }
  return {};
}

Result<void> Journal::load_slot(std::uint64_t slot) {
  metadata_.reset();
  DAXSIM_TRY(metadata_, Metadata::create(arena_, chunks_, geometry_.files, geometry_.reflink));
  DAXSIM_TRY(const CheckpointHeader header, read_header(device_, geometry_, slot));
  number_ = header.number;
  committed_ = header.sequence;
  DAXSIM_TRY_VOID(metadata_->apply({.type = RecordType::flags, .ino = 0, .flags = header.directory_flags}));
  DAXSIM_TRY_VOID(load_files(header, slot));
  return replay_log(slot);
}

Result<void> Journal::load_files(const CheckpointHeader& header, std::uint64_t slot) {
  BodyReader body(device_, geometry_.checkpoint_offset(slot) + sizeof(header), header.body_bytes, staging_);
  for (std::uint32_t left = header.files; left != 0; --left) {
    DAXSIM_TRY_VOID(get_file(body, *metadata_));
  }
  return body.ends_with(header.body_crc) ? Result<void>() : Errno::euclean;
}

Result<void> Journal::replay_log(std::uint64_t slot) {
  std::vector<std::byte> log(geometry_.log_bytes());
  DAXSIM_TRY_VOID(device_.read(geometry_.log_offset(slot), log));
  std::span<const std::byte> rest(log);
  CommitHeader header;
  while (rest.size() >= sizeof(header)) {
    std::memcpy(&header, rest.data(), sizeof(header));
    if (header.magic != kCommitMagic || header.checkpoint != number_ || header.sequence != committed_ + 1 ||
        header.bytes > rest.size() - sizeof(header)) {
      break;
    }
    std::span<const std::byte> records = rest.subspan(sizeof(header), header.bytes);
    const std::uint32_t crc = header.crc;
    header.crc = 0;
    Crc32c found;
    found.add(bytes_of(header));
    found.add(records);
    if (found.value() != crc) {
      break;
    }
    rest = rest.subspan(sizeof(header) + records.size());
    while (!records.empty()) {
      DAXSIM_TRY(const Record record, decode(records));
      DAXSIM_TRY_VOID(metadata_->apply(record));
    }
    ++committed_;
  }
  return {};
}

Result<void> Journal::release_orphans() noexcept {
  for (File* file = metadata_->from(1); file != nullptr;) {
    const std::uint32_t ino = file->ino;
    if (file->name().empty()) {
      if (!has_room()) {
        DAXSIM_TRY_VOID(commit());
      }
      DAXSIM_TRY_VOID(change({.type = RecordType::release, .ino = ino}));
    }
    file = metadata_->from(std::uint64_t{ino} + 1);
  }
  return {};
}

Result<void> Journal::change(const Record& record) noexcept {
  DAXSIM_TRY_VOID(metadata_->apply(record));
  if (File* const file = metadata_->find(record.ino); file != nullptr) {
    file->changed_in = running();
  }
  const auto records = std::span(transaction_).subspan(sizeof(CommitHeader));
  Record joined = record;
  if (used_ != 0) {
    std::span<const std::byte> last_bytes = records.subspan(last_, used_ - last_);
    const auto last = decode(last_bytes);
    const bool same = last.ok() && last->type == record.type && last->ino == record.ino;
    if (same && record.type == RecordType::map && last->state == record.state &&
        last->pages.end() == record.pages.first && last->physical + last->pages.pages == record.physical) {
      // A file that grows page by page is one record.
      joined.pages = {last->pages.first, last->pages.pages + record.pages.pages};
      joined.physical = last->physical;
      used_ = last_;
    } else if (same && record.type == RecordType::size) {
      used_ = last_;
    }
  }
  encode(joined, records.subspan(used_));
  last_ = used_;
  used_ += encoded_size(joined);
  return {};
}

Result<void> Journal::append_to_log() noexcept {
  const std::size_t bytes = sizeof(CommitHeader) + used_;
  CommitHeader header{};
  header.magic = kCommitMagic;
  header.bytes = static_cast<std::uint32_t>(used_);
  header.checkpoint = number_;
  header.sequence = running();
  Crc32c crc;
  crc.add(bytes_of(header));
  crc.add(std::span(transaction_).subspan(sizeof(header), used_));
  header.crc = crc.value();
  std::memcpy(transaction_.data(), &header, sizeof(header));
  // What the records refer to must be durable before they are: zeroed blocks, written data.
  DAXSIM_TRY_VOID(fence());
  DAXSIM_TRY_VOID(
      device_.write(geometry_.log_offset(number_ % kSlots) + log_used_, std::span(transaction_).first(bytes)));
  DAXSIM_TRY_VOID(device_.fence());
  log_used_ += bytes;
  return {};
}

Result<void> Journal::fence() noexcept { return fence_all(volumes_); }

Result<void> Journal::commit() noexcept {
  if (!is_dirty()) {
    return fence();
  }
  if (log_used_ + sizeof(CommitHeader) + used_ > geometry_.log_bytes()) {
    return checkpoint();
  }
  DAXSIM_TRY_VOID(append_to_log());
  committed_ = running();
  used_ = 0;
  return {};
}

Result<void> Journal::checkpoint() noexcept {
  const std::uint64_t number = number_ + 1;
  const std::uint64_t offset = geometry_.checkpoint_offset(number % kSlots);
  CheckpointHeader header{};
  BodyWriter body(device_, offset + sizeof(header), staging_);
  for (File* file = metadata_->from(1); file != nullptr; file = metadata_->from(std::uint64_t{file->ino} + 1)) {
    DAXSIM_TRY_VOID(put_file(body, *file));
  }
  DAXSIM_TRY_VOID(body.flush());
  header.magic = kCheckpointMagic;
  header.number = number;
  header.sequence = is_dirty() ? running() : committed_;
  header.body_bytes = body.total();
  header.files = metadata_->files();
  header.body_crc = body.crc();
  header.directory_flags = metadata_->directory_flags();
  header.crc = crc_of(header);
  DAXSIM_TRY_VOID(device_.write(offset, bytes_of(header)));
  // The checkpoint, and the blocks it refers to, before its name; its name before anything that relies on it.
  DAXSIM_TRY_VOID(fence());
  DAXSIM_TRY_VOID(write_root(device_, number));
  DAXSIM_TRY_VOID(device_.fence());
  committed_ = header.sequence;
  number_ = number;
  log_used_ = 0;
  used_ = 0;
  for (Space& space : metadata_->spaces()) {
    space.checkpointed();
  }
  return {};
}

}  // namespace extent_fs
DAXSIM_END
