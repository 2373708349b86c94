// SPDX-License-Identifier: BSD-3-Clause
#include "adapters/xip/image.hpp"

#include <algorithm>
#include <array>
#include <cstring>

#include "daxsim/adapters/xip.hpp"

DAXSIM_BEGIN
namespace xip {
namespace {

bool is_valid_part(std::string_view part) noexcept {
  return !part.empty() && part.size() <= XipFs::kMaxNamePart && part != "." && part != "..";
}

// Takes records from the front of the metadata. Whatever is asked beyond its end is damage.
class MetadataReader {
 public:
  explicit MetadataReader(std::span<const std::byte> bytes) noexcept : rest_(bytes) {}

  // Errors: Errno::euclean.
  template <class Record>
  Result<Record> take() noexcept {
    Record record;
    DAXSIM_TRY(const std::span<const std::byte> from, take_bytes(sizeof(Record)));
    std::memcpy(&record, from.data(), sizeof(Record));
    return record;
  }
  // Errors: Errno::euclean.
  Result<std::span<const std::byte>> take_bytes(std::uint64_t length) noexcept {
    if (length > rest_.size()) {
      return Errno::euclean;
    }
    const std::span<const std::byte> taken = rest_.first(length);
    rest_ = rest_.subspan(length);
    return taken;
  }
  [[nodiscard]] std::size_t left() const noexcept { return rest_.size(); }

 private:
  std::span<const std::byte> rest_;
};

class Loader {
 public:
  Loader(const ReadAt& read_at, std::uint64_t medium_bytes) noexcept : read_at_(read_at), medium_bytes_(medium_bytes) {}

  Result<Image> load() {
    DAXSIM_TRY_VOID(read_super());
    std::vector<std::byte> metadata(super_.metadata_bytes);
    DAXSIM_TRY_VOID(read_at_(sizeof(super_), metadata));
    Crc32c crc;
    crc.add(metadata);
    if (crc.value() != super_.metadata_crc) {
      return Errno::euclean;
    }
    Image image{.files = {}, .metadata_bytes = super_.metadata_bytes, .image_bytes = super_.image_bytes};
    MetadataReader reader(metadata);
    for (std::uint32_t number = 0; number < super_.files; ++number) {
      DAXSIM_TRY(File file, take_file(reader));
      if (!image.files.empty() && image.files.back().name >= file.name) {
        return Errno::euclean;
      }
      image.files.push_back(std::move(file));
    }
    return reader.left() == 0 ? Result<Image>(std::move(image)) : Errno::euclean;
  }

 private:
  Result<void> read_super() {
    if (medium_bytes_ < sizeof(super_)) {
      return Errno::einval;
    }
    DAXSIM_TRY_VOID(read_at_(0, bytes_of(super_)));
    if (super_.magic != kMagic) {
      return Errno::einval;
    }
    if (super_.version != kVersion) {
      return Errno::eopnotsupp;
    }
    const bool fits = super_.image_bytes <= medium_bytes_ && super_.image_bytes % kPageSize == 0 &&
                      super_.image_bytes >= sizeof(super_) &&
                      super_.metadata_bytes <= super_.image_bytes - sizeof(super_);
    return super_.crc == crc_of(super_) && fits ? Result<void>() : Errno::euclean;
  }

  Result<File> take_file(MetadataReader& reader) {
    DAXSIM_TRY(const FileRecord record, reader.take<FileRecord>());
    DAXSIM_TRY(const std::span<const std::byte> name, reader.take_bytes(round_up(record.name_length, 8)));
    File file{.name = {reinterpret_cast<const char*>(name.data()), record.name_length},
              .size = record.size,
              .pages = {},
              .runs = {}};
    // Each page has a record, so that what is left bounds the memory that this takes.
    const std::uint64_t pages = pages_for(file.size);
    if (!is_valid_name(file.name) || file.size > XipFs::kMaxFileSize || pages > reader.left() / sizeof(PageRecord)) {
      return Errno::euclean;
    }
    file.pages.reserve(pages);
    for (Pgoff page{0}; page.value < pages; page = page + 1) {
      DAXSIM_TRY(const PageRecord at, reader.take<PageRecord>());
      DAXSIM_TRY(const Page here, check_page(at, file.bytes_in(page)));
      file.pages.push_back(here);
      add_to_runs(file, page);
    }
    return file;
  }

  // `bytes`: of the file in this page. Errors: Errno::euclean, and those of the medium.
  Result<Page> check_page(const PageRecord& record, std::uint64_t bytes) {
    const bool compressed = (record.length & kCompressed) != 0;
    const Page page{.offset = record.offset,
                    .length = std::uint32_t{record.length} & ~std::uint32_t{kCompressed},
                    .kind = compressed ? PageKind::compressed : PageKind::copied};
    if (record.length == 0) {
      return record.offset == 0 ? Result<Page>(Page{}) : Errno::euclean;
    }
    const bool has_room = compressed ? page.length != 0 && page.length <= kPageSize : page.length == bytes;
    if (!has_room || page.offset > super_.image_bytes || page.length > super_.image_bytes - page.offset) {
      return Errno::euclean;
    }
    if (compressed || page.offset % kPageSize != 0) {
      return page;
    }
    DAXSIM_TRY(const bool shares, shares_its_page(page));
    return Page{.offset = page.offset, .length = page.length, .kind = shares ? page.kind : PageKind::direct};
  }

  // Whether anything but zeros is behind the bytes of the file: whoever maps the page would see it.
  Result<bool> shares_its_page(const Page& page) {
    std::array<std::byte, kPageSize> buffer;
    const std::span behind = std::span(buffer).subspan(page.length);
    if (!behind.empty()) {
      DAXSIM_TRY_VOID(read_at_(page.offset + page.length, behind));
    }
    return std::ranges::any_of(behind, [](std::byte byte) { return byte != std::byte{0}; });
  }

  static void add_to_runs(File& file, Pgoff page) {
    const Page& here = file.pages.back();
    const Pgoff device_page = page_of(here.offset);
    if (!file.runs.empty()) {
      Run& last = file.runs.back();
      if (last.kind == here.kind &&
          (here.kind != PageKind::direct || last.device_page + last.pages.pages == device_page)) {
        ++last.pages.pages;
        return;
      }
    }
    file.runs.push_back({.pages = {page, 1}, .kind = here.kind, .device_page = device_page});
  }

  const ReadAt& read_at_;
  const std::uint64_t medium_bytes_;
  SuperRecord super_{};
};

}  // namespace

bool is_valid_name(std::string_view name) noexcept {
  if (name.size() > XipFs::kMaxName || name.find('\0') != std::string_view::npos ||
      name.find('\n') != std::string_view::npos) {
    return false;
  }
  for (;;) {
    const std::size_t slash = name.find('/');
    if (!is_valid_part(name.substr(0, slash))) {
      return false;
    }
    if (slash == std::string_view::npos) {
      return true;
    }
    name.remove_prefix(slash + 1);
  }
}

const Run& File::run_of(Pgoff page) const noexcept {
  return *std::prev(std::ranges::upper_bound(runs, page, {}, [](const Run& run) { return run.pages.first; }));
}

Result<Image> load(const ReadAt& read_at, std::uint64_t medium_bytes) { return Loader(read_at, medium_bytes).load(); }

}  // namespace xip
DAXSIM_END
