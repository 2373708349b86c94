// SPDX-License-Identifier: BSD-3-Clause
// An image: super record, metadata, what is packed byte by byte, and from the next page on the pages to be mapped.
#include <algorithm>
#include <iterator>

#include "adapters/xip/compression.hpp"
#include "adapters/xip/image.hpp"
#include "daxsim/adapters/xip.hpp"

DAXSIM_BEGIN
namespace xip {
namespace {

using Bytes = std::vector<std::byte>;

void append(Bytes& to, std::span<const std::byte> bytes) { to.insert(to.end(), bytes.begin(), bytes.end()); }
void pad(Bytes& bytes, std::uint64_t alignment) { bytes.resize(round_up(bytes.size(), alignment)); }

// Errors: Errno::einval, Errno::enametoolong.
Result<void> check_name(std::string_view name) noexcept {
  for (std::string_view rest = name;;) {
    const std::size_t slash = rest.find('/');
    if (name.size() > XipFs::kMaxName || rest.substr(0, slash).size() > XipFs::kMaxNamePart) {
      return Errno::enametoolong;
    }
    if (slash == std::string_view::npos) {
      break;
    }
    rest.remove_prefix(slash + 1);
  }
  return is_valid_name(name) ? Result<void>() : Errno::einval;
}

std::span<const std::byte> page_of_file(const XipFile& file, std::uint64_t page) {
  return std::span(file.bytes).subspan(page * kPageSize, std::min(kPageSize, file.bytes.size() - page * kPageSize));
}

class Builder {
 public:
  Builder(std::span<const XipFile> files, const XipProfile& profile) : profile_(profile) {
    std::ranges::transform(files, std::back_inserter(files_), [](const XipFile& file) { return &file; });
    std::ranges::sort(files_, {}, &XipFile::name);
  }

  Result<Bytes> build() {
    DAXSIM_TRY_VOID(check());
    std::uint64_t metadata_bytes = 0;
    for (const XipFile* file : files_) {
      metadata_bytes +=
          sizeof(FileRecord) + round_up(file->name.size(), 8) + pages_for(file->bytes.size()) * sizeof(PageRecord);
    }
    first_packed_ = sizeof(SuperRecord) + metadata_bytes;
    for (const XipFile* file : files_) {
      place(*file);
    }
    return joined();
  }

 private:
  [[nodiscard]] Result<void> check() const noexcept {
    for (const XipFile* file : files_) {
      DAXSIM_TRY_VOID(check_name(file->name));
    }
    if (std::ranges::adjacent_find(files_, {}, &XipFile::name) != files_.end()) {
      return Errno::einval;
    }
    for (const auto& [name, pages] : profile_.faults) {
      const auto found = std::ranges::lower_bound(files_, name, {}, &XipFile::name);
      if (found == files_.end() || (*found)->name != name ||
          (!pages.empty() && pages.rbegin()->first >= pages_for((*found)->bytes.size()))) {
        return Errno::einval;
      }
    }
    return {};
  }

  void place(const XipFile& file) {
    const auto touched = profile_.faults.find(file.name);
    for (std::uint64_t page = 0; page < pages_for(file.bytes.size()); ++page) {
      const std::span<const std::byte> bytes = page_of_file(file, page);
      const bool wanted = touched != profile_.faults.end() && touched->second.contains(page);
      if (std::ranges::all_of(bytes, [](std::byte byte) { return byte == std::byte{0}; })) {
        placed_.push_back({});
      } else if (wanted) {
        place_direct(bytes);
      } else {
        pack(bytes);
      }
    }
  }
  void place_direct(std::span<const std::byte> bytes) {
    placed_.push_back(
        {.offset = direct_.size(), .length = static_cast<std::uint32_t>(bytes.size()), .kind = PageKind::direct});
    append(direct_, bytes);
    pad(direct_, kPageSize);
  }
  void pack(std::span<const std::byte> bytes) {
    const Bytes frame = compressor_.compress(bytes);
    const bool smaller = frame.size() < bytes.size();
    if (!smaller && bytes.size() == kPageSize) {
      place_direct(bytes);
      return;
    }
    const std::span<const std::byte> packed = smaller ? std::span<const std::byte>(frame) : bytes;
    placed_.push_back({.offset = packed_.size(),
                       .length = static_cast<std::uint32_t>(packed.size()),
                       .kind = smaller ? PageKind::compressed : PageKind::copied});
    append(packed_, packed);
  }

  [[nodiscard]] PageRecord record_of(const Page& page) const {
    PageRecord record{};
    if (page.kind == PageKind::hole) {
      return record;
    }
    const std::uint64_t first_direct = round_up(first_packed_ + packed_.size(), kPageSize);
    record.offset = page.offset + (page.kind == PageKind::direct ? first_direct : first_packed_);
    record.length = static_cast<std::uint16_t>(page.length | (page.kind == PageKind::compressed ? kCompressed : 0U));
    return record;
  }

  [[nodiscard]] Bytes metadata() const {
    Bytes metadata;
    auto page = placed_.begin();
    for (const XipFile* file : files_) {
      FileRecord record{};
      record.size = file->bytes.size();
      record.name_length = static_cast<std::uint16_t>(file->name.size());
      append(metadata, bytes_of(record));
      append(metadata, std::as_bytes(std::span(file->name)));
      pad(metadata, 8);
      for (std::uint64_t left = pages_for(file->bytes.size()); left != 0; --left) {
        append(metadata, bytes_of(record_of(*page++)));
      }
    }
    return metadata;
  }

  [[nodiscard]] Bytes joined() const {
    const Bytes described = metadata();
    Bytes image(sizeof(SuperRecord));
    append(image, described);
    append(image, packed_);
    pad(image, kPageSize);
    append(image, direct_);

    Crc32c crc;
    crc.add(described);
    SuperRecord super{};
    super.magic = kMagic;
    super.version = kVersion;
    super.image_bytes = image.size();
    super.metadata_bytes = described.size();
    super.files = static_cast<std::uint32_t>(files_.size());
    super.metadata_crc = crc.value();
    super.crc = crc_of(super);
    std::ranges::copy(bytes_of(super), image.begin());
    return image;
  }

  const XipProfile& profile_;
  std::vector<const XipFile*> files_;  // ascending by name
  Compressor compressor_;
  std::vector<Page> placed_;  // of all files; offsets in the two below
  Bytes packed_;
  Bytes direct_;
  std::uint64_t first_packed_ = 0;
};

// Errors: Errno::euclean.
Result<Bytes> content_of(const File& file, std::span<const std::byte> image) {
  Bytes content(file.size);
  Bytes workspace(workspace_bytes());
  for (Pgoff page{0}; page.value < file.pages.size(); page = page + 1) {
    const Page& here = file.pages[page.value];
    const std::span<const std::byte> from = image.subspan(here.offset, here.length);
    const std::span<std::byte> to = std::span(content).subspan(byte_of(page), file.bytes_in(page));
    if (here.kind != PageKind::compressed) {
      std::ranges::copy(from, to.begin());
    } else if (!decompress(from, to, workspace).ok()) {
      return Errno::euclean;
    }
  }
  return content;
}

void count(XipUsage& usage, const File& file) {
  for (const Page& page : file.pages) {
    switch (page.kind) {
      case PageKind::hole:
        ++usage.hole_pages;
        break;
      case PageKind::direct:
        ++usage.direct_pages;
        break;
      case PageKind::copied:
        ++usage.copied_pages;
        break;
      case PageKind::compressed:
        ++usage.compressed_pages;
        usage.compressed_bytes += page.length;
        break;
    }
  }
}

}  // namespace
}  // namespace xip

Result<std::vector<std::byte>> XipFs::build(std::span<const XipFile> files, const XipProfile& profile) {
  return xip::Builder(files, profile).build();
}

Result<XipContents> XipFs::inspect(std::span<const std::byte> image) {
  const xip::ReadAt read_at = [image](std::uint64_t offset, std::span<std::byte> to) {
    std::ranges::copy(image.subspan(offset, to.size()), to.begin());
    return Result<void>();
  };
  DAXSIM_TRY(const xip::Image loaded, xip::load(read_at, image.size()));
  XipContents contents;
  contents.usage.files = loaded.files.size();
  contents.usage.metadata_bytes = loaded.metadata_bytes;
  contents.usage.image_bytes = loaded.image_bytes;
  for (const xip::File& file : loaded.files) {
    DAXSIM_TRY(std::vector<std::byte> bytes, xip::content_of(file, image));
    contents.files.push_back({.name = file.name, .bytes = std::move(bytes)});
    xip::count(contents.usage, file);
  }
  return contents;
}

DAXSIM_END
