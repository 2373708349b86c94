// SPDX-License-Identifier: BSD-3-Clause
// What a LinearFs must show, and what it may show after a power cut.
//
// Operations are numbered 1, 2, 3, ... The model keeps the directory after each of them, and each version that a page
// ever had. The log is ordered, so a cut leaves the metadata as it was after some operation j. Data is stored in place:
// each byte of a page is what it was after j, or what a later operation stored there. Only a write may be seen half
// done: its pages come one by one, its size at the end. What was stored through a mapping is certain after a sync only, and
// so is all that went through the page cache.
#pragma once

#include <algorithm>
#include <array>
#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <sstream>
#include <string>
#include <vector>

#include "daxsim/mm/process.hpp"
#include "support/linear_world.hpp"

namespace daxsim::test {

struct Operation {
  enum class Kind : std::uint8_t {
    create,
    write,
    store,
    store_sync,
    truncate,
    punch,
    zero,
    collapse,
    insert,
    allocate,
    unshare,
    reflink,
    rename,
    unlink,
    fsync,
    sync,
    toggle_dax,
  };
  Kind kind{};
  unsigned file = 0;
  unsigned other = 0;
  std::uint64_t offset = 0;
  std::uint64_t length = 0;
  std::uint64_t to = 0;  // reflink: where in `other`
};

inline std::ostream& operator<<(std::ostream& out, const Operation& op) {
  static constexpr std::array kNames{"create",
                                     "write",
                                     "store",
                                     "store_sync",
                                     "truncate",
                                     "punch",
                                     "zero",
                                     "collapse",
                                     "insert",
                                     "allocate",
                                     "unshare",
                                     "reflink",
                                     "rename",
                                     "unlink",
                                     "fsync",
                                     "sync",
                                     "toggle FS_XFLAG_DAX of"};
  return out << kNames[static_cast<unsigned>(op.kind)] << " file " << op.file << " other " << op.other << " offset "
             << op.offset << " length " << op.length << " to " << op.to << '\n';
}

using PageBytes = std::array<char, kPageSize>;

class Model {
 public:
  using Kind = Operation::Kind;
  static std::string name_of(unsigned file) { return "file" + std::to_string(file); }

  // The number of the operation that is under way or was the last.
  [[nodiscard]] unsigned now() const { return static_cast<unsigned>(states_.size()) - 1; }

  // Runs `op` on the file system and on the model. Returns what went wrong.
  std::string run(const Operation& op, LinearWorld& world) {
    states_.push_back(states_.back());
    State& state = states_.back();
    state.is_write = op.kind == Kind::write;
    const std::string name = name_of(op.file);
    const std::string other = name_of(op.other);
    const bool exists = state.files.contains(name);
    std::ostringstream wrong;
    const auto expect = [&](const Result<void>& result, Result<void> expected) {
      if (result != expected) {
        wrong << "operation " << now() << " on " << name << ": " << text(result) << " and not " << text(expected);
      }
    };
    const Result<void> found = exists ? Result<void>() : Errno::enoent;
    switch (op.kind) {
      case Kind::create: {
        const auto made = world.try_create(name);
        expect(made.ok() ? Result<void>() : made.error(), exists ? Errno::eexist : Result<void>());
        if (!exists) {
          state.files[name] = File{.id = ++last_id_, .changed = now()};
        }
        return wrong.str();
      }
      case Kind::rename: {
        expect(world.fs->rename(name, other), found);
        if (exists && name != other) {
          state.files[other] = state.files[name];
          state.files[other].changed = now();
          state.files.erase(name);
        }
        return wrong.str();
      }
      case Kind::unlink:
        expect(world.fs->unlink(name), found);
        state.files.erase(name);
        return wrong.str();
      case Kind::sync:
        expect(world.fs->sync(), {});
        synced_[now()] = now();
        for (const auto& [unused, file] : state.files) {
          durable_[file.id].push_back(now());
        }
        return wrong.str();
      default:
        break;
    }
    if (!exists) {
      return {};
    }
    if (op.kind == Kind::reflink) {
      if (state.files.contains(other)) {
        reflink(op, world, state.files[name], state.files[other], expect);
      }
      return wrong.str();
    }
    run_on_file(op, world, world.open(name), state.files[name], expect);
    return wrong.str();
  }

  // Empty when the mounted file system is exactly the model.
  std::string differs(LinearWorld& world) const {
    const Found found(world);
    return mismatch(found, now(), now());
  }

  // Empty when the file system may look like this after a cut during or after operation `cut`.
  std::string differs_after_cut(LinearWorld& world, unsigned cut) const {
    const Found found(world);
    std::string why;
    for (unsigned after = cut + 1; after-- > 0;) {
      const std::string here = mismatch(found, after, cut);
      if (here.empty()) {
        return {};
      }
      why += "\n  not as after operation " + std::to_string(after) + ": " + here;
      if (after == 0) {
        break;
      }
    }
    return why;
  }

  // Takes what is there for what must be there from now on.
  void adopt(LinearWorld& world) {
    const Found found(world);
    *this = Model();
    for (const auto& [name, content] : found.files) {
      File file{.id = ++last_id_, .size = content.size(), .changed = 0};
      for (std::uint64_t page = 0; page < pages_for(content.size()); ++page) {
        PageBytes bytes{};
        content.copy(bytes.data(), kPageSize, page << kPageShift);
        file.pages[page] = std::make_shared<Page>(Page{{0, bytes}});
      }
      states_[0].files[name] = file;
    }
  }

 private:
  enum class Way : std::uint8_t { flushed, mapped };
  struct Version {
    unsigned operation;
    PageBytes bytes;
    Way way = Way::flushed;
    std::size_t first = 0;  // bytes [first, end) are new in this version
    std::size_t end = kPageSize;
  };
  using Page = std::vector<Version>;
  struct File {
    unsigned id = 0;
    std::uint64_t size = 0;
    unsigned changed = 0;  // the last operation that certainly changed its metadata
    std::map<std::uint64_t, std::shared_ptr<Page>> pages{};
  };
  struct State {
    std::map<std::string, File> files;
    bool is_write = false;
  };
  struct Found {
    explicit Found(LinearWorld& world) {
      for (const DirectoryEntry& entry : must(world.fs->list())) {
        files[entry.name] = world.content(entry.name);
      }
    }
    std::map<std::string, std::string> files;
  };

  static std::string text(const Result<void>& result) {
    return result.ok() ? "ok" : std::string(errno_name(result.error()));
  }

  // Changes bytes in place; a page that is not there becomes zeros first.
  void fill(File& file, ByteRange bytes, char value) { fill(file, bytes, value, way_of_writes_); }
  void fill(File& file, ByteRange bytes, char value, Way way) {
    for (std::uint64_t at = bytes.offset; at < bytes.end();) {
      const std::uint64_t end = std::min(bytes.end(), round_up(at + 1, kPageSize));
      std::shared_ptr<Page>& page = file.pages[at >> kPageShift];
      if (page == nullptr) {
        page = std::make_shared<Page>();
        page->push_back({now(), PageBytes{}});
        file.changed = now();
      }
      Version next{now(), page->back().bytes, way, at % kPageSize, at % kPageSize + (end - at)};
      std::fill(next.bytes.begin() + next.first, next.bytes.begin() + next.end, value);
      page->push_back(next);
      at = end;
    }
  }
  // Zeroes what is there, in place.
  void clear(File& file, ByteRange bytes) {
    for (std::uint64_t at = bytes.offset; at < bytes.end();) {
      const std::uint64_t end = std::min(bytes.end(), round_up(at + 1, kPageSize));
      if (file.pages.contains(at >> kPageShift)) {
        fill(file, {at, end - at}, '\0', Way::flushed);
      }
      at = end;
    }
  }
  void clear_edges(File& file, ByteRange bytes) {
    const std::uint64_t first = round_up(bytes.offset, kPageSize);
    const std::uint64_t last = round_down(bytes.end(), kPageSize);
    if (first > last) {
      clear(file, bytes);
      return;
    }
    clear(file, {bytes.offset, first - bytes.offset});
    clear(file, {last, bytes.end() - last});
  }
  static void erase_pages(File& file, std::uint64_t first, std::uint64_t end) {
    file.pages.erase(file.pages.lower_bound(first), file.pages.lower_bound(end));
  }
  void set_size(File& file, std::uint64_t size) {
    file.size = size;
    file.changed = now();
  }

  void grow(File& file, std::uint64_t size) {
    if (size > file.size) {
      set_size(file, size);
    }
  }

  template <class Expect>
  void run_on_file(const Operation& op, LinearWorld& world, const std::shared_ptr<OpenFile>& handle, File& file,
                   Expect expect) {
    OpenFile& open = *handle;
    world.before_operation(open);
    const bool is_dax = open.inode().is_dax();
    way_of_writes_ = is_dax && world.writes_through() ? Way::flushed : Way::mapped;
    const ByteRange bytes{op.offset, op.length};
    const std::uint64_t first_page = pages_for(bytes.offset);
    const std::uint64_t end_page = bytes.end() >> kPageShift;
    const bool aligned = bytes.offset % kPageSize == 0 && bytes.length % kPageSize == 0;
    const Result<void> not_empty = op.length == 0 ? Result<void>(Errno::einval) : Result<void>();
    switch (op.kind) {
      case Kind::write: {
        const std::string data(op.length, static_cast<char>('A' + now() % 57));
        const auto written = open.pwrite(op.offset, test::bytes(data));
        expect(!written.ok() ? written.error() : *written == op.length ? Result<void>() : Errno::eio, {});
        fill(file, bytes, data.empty() ? ' ' : data[0]);
        if (op.length != 0 && bytes.end() > file.size) {
          clear(file, {file.size, op.offset > file.size ? op.offset - file.size : 0});
          set_size(file, bytes.end());
        }
        return;
      }
      case Kind::store:
      case Kind::store_sync: {
        // A few bytes, inside the file and one page.
        const ByteRange piece{op.offset, std::min<std::uint64_t>(8, kPageSize - op.offset % kPageSize)};
        if (piece.end() > file.size) {
          return;
        }
        const MapSync sync = op.kind == Kind::store_sync && is_dax && world.has_map_sync() ? MapSync::yes : MapSync::no;
        const bool was_hole = !file.pages.contains(piece.offset >> kPageShift);
        const char value = static_cast<char>('A' + now() % 57);
        Process process(world.system, 1);
        const std::uint64_t address = must(process.mmap(handle, {.sync = sync}));
        for (std::uint64_t at = piece.offset; at < piece.end(); ++at) {
          expect(process.store<char>(address + at, value).ok() ? Result<void>() : Errno::efault, {});
        }
        fill(file, piece, value, Way::mapped);
        if (sync == MapSync::yes && was_hole) {
          synced_[now()] = now();
        }
        return;
      }
      case Kind::truncate:
        expect(open.truncate(op.offset), {});
        if (op.offset <= file.size) {
          erase_pages(file, first_page, ~std::uint64_t{0});
          clear(file, {op.offset, round_up(op.offset, kPageSize) - op.offset});
        }
        set_size(file, op.offset);
        return;
      case Kind::punch:
        expect(open.fallocate(Fallocate::punch_hole, bytes), not_empty);
        clear_edges(file, bytes);
        if (first_page < end_page) {
          erase_pages(file, first_page, end_page);
          file.changed = now();
        }
        return;
      case Kind::zero:
        expect(open.fallocate(Fallocate::zero_range, bytes), not_empty);
        clear(file, bytes);
        grow(file, op.length == 0 ? 0 : bytes.end());
        return;
      case Kind::allocate:
        expect(open.fallocate(Fallocate::allocate, bytes), not_empty);
        grow(file, op.length == 0 ? 0 : bytes.end());
        return;
      case Kind::unshare: {
        const Result<void> possible = world.can_reflink() ? Result<void>() : Errno::eopnotsupp;
        expect(open.fallocate(Fallocate::unshare_range, bytes), op.length == 0 ? not_empty : possible);
        grow(file, op.length == 0 || !possible.ok() ? 0 : bytes.end());
        return;
      }
      case Kind::collapse: {
        const bool valid = op.length != 0 && aligned && bytes.end() < file.size;
        expect(open.fallocate(Fallocate::collapse_range, bytes), valid ? Result<void>() : Errno::einval);
        if (valid) {
          erase_pages(file, first_page, end_page);
          move_pages(file, end_page, -static_cast<std::int64_t>(end_page - first_page));
          set_size(file, file.size - op.length);
        }
        return;
      }
      case Kind::insert: {
        const bool valid = op.length != 0 && aligned && bytes.offset < file.size;
        expect(open.fallocate(Fallocate::insert_range, bytes), valid ? Result<void>() : Errno::einval);
        if (valid) {
          move_pages(file, first_page, static_cast<std::int64_t>(end_page - first_page));
          set_size(file, file.size + op.length);
        }
        return;
      }
      case Kind::fsync:
        expect(open.fsync(), {});
        synced_[now()] = file.changed;
        durable_[file.id].push_back(now());
        return;
      case Kind::toggle_dax: {
        const bool was_set = must(open.inode().xflag_dax()) == XflagDax::set;
        expect(open.inode().set_xflag_dax(was_set ? XflagDax::clear : XflagDax::set), {});
        return;
      }
      default:
        return;
    }
  }

  // What is stored through a mapping is flushed before it is shared.
  template <class Expect>
  void reflink(const Operation& op, LinearWorld& world, File& source, File& file, Expect expect) {
    const std::uint64_t length = op.length != 0 || op.offset > source.size ? op.length : source.size - op.offset;
    const std::uint64_t end = op.to + length;
    const bool aligned = op.offset % kPageSize == 0 && op.to % kPageSize == 0;
    const bool inside = op.offset <= source.size && length <= source.size - op.offset;
    const bool whole = end % kPageSize == 0 || (op.offset + length == source.size && end >= file.size);
    const bool apart = source.id != file.id || op.to >= op.offset + round_up(length, kPageSize) ||
                       op.offset >= op.to + round_up(length, kPageSize);
    const Result<void> valid = aligned && inside && whole && apart ? Result<void>() : Errno::einval;
    const auto to = world.open(name_of(op.other));
    expect(to->reflink(*world.open(name_of(op.file)), {op.offset, op.length}, op.to),
           world.can_reflink() ? valid : Result<void>(Errno::eopnotsupp));
    if (!world.can_reflink() || !valid.ok() || length == 0) {
      return;
    }
    if (end > file.size) {
      clear(file, {file.size, op.to > file.size ? op.to - file.size : 0});
    }
    const std::map<std::uint64_t, std::shared_ptr<Page>> from = source.pages;
    const std::uint64_t first = op.offset >> kPageShift;
    for (std::uint64_t behind = 0; behind < pages_for(length); ++behind) {
      std::shared_ptr<Page>& page = file.pages[(op.to >> kPageShift) + behind];
      const auto there = from.find(first + behind);
      page = std::make_shared<Page>();
      page->push_back({now(), there == from.end() ? PageBytes{} : there->second->back().bytes});
    }
    set_size(file, std::max(file.size, end));
  }

  static void move_pages(File& file, std::uint64_t from, std::int64_t by) {
    std::map<std::uint64_t, std::shared_ptr<Page>> moved;
    for (const auto& [number, page] : file.pages) {
      moved[number < from ? number : number + static_cast<std::uint64_t>(by)] = page;
    }
    file.pages = std::move(moved);
  }

  // Whether one byte of a page may be `value` when the metadata is as after `after`, what was stored up to `durable` was
  // synced, and the cut came during `cut`.
  static bool may_be(const Page* page, std::size_t at, char value, unsigned after, unsigned durable, unsigned cut) {
    if (page == nullptr) {
      return value == '\0';
    }
    for (auto version = page->rbegin(); version != page->rend(); ++version) {
      if (version->operation > cut) {
        continue;
      }
      if (version->bytes[at] == value) {
        return true;
      }
      const bool flushed = version->way == Way::flushed && version->first <= at && at < version->end;
      if (version->operation <= durable || (version->operation <= after && flushed)) {
        return false;
      }
    }
    return false;
  }
  // The quick answer for most pages: nothing was stored there after what is found.
  static bool is_newest(const Page* page, std::string_view found, unsigned cut) {
    static constexpr PageBytes kZeros{};
    if (page != nullptr && page->back().operation > cut) {
      return false;
    }
    const PageBytes& newest = page == nullptr ? kZeros : page->back().bytes;
    return std::memcmp(newest.data(), found.data(), found.size()) == 0;
  }
  static const Page* page_at(const File* file, std::uint64_t number) {
    if (file == nullptr) {
      return nullptr;
    }
    const auto page = file->pages.find(number);
    return page == file->pages.end() ? nullptr : page->second.get();
  }

  [[nodiscard]] std::string mismatch(const Found& found, unsigned after, unsigned cut) const {
    // A promise holds once the operation that made it has returned.
    for (const auto& [operation, floor] : synced_) {
      if (operation < cut && after < floor) {
        return "operation " + std::to_string(operation) + " synced it";
      }
    }
    const State& state = states_[after];
    if (found.files.size() != state.files.size()) {
      return std::to_string(found.files.size()) + " files";
    }
    for (const auto& [name, file] : state.files) {
      const auto content = found.files.find(name);
      if (content == found.files.end()) {
        return "no " + name;
      }
      if (content->second.size() != file.size) {
        return name + " has " + std::to_string(content->second.size()) + " bytes and not " + std::to_string(file.size);
      }
      unsigned stored = 0;  // the last sync of what is stored in the file
      if (const auto durable = durable_.find(file.id); durable != durable_.end()) {
        for (const unsigned operation : durable->second) {
          stored = operation < cut ? std::max(stored, operation) : stored;
        }
      }
      // The write that comes next may be half there.
      const File* half = nullptr;
      if (after < cut && states_[after + 1].is_write && states_[after + 1].files.contains(name)) {
        half = &states_[after + 1].files.at(name);
      }
      for (std::uint64_t at = 0; at < file.size; ++at) {
        const Page* const page = page_at(&file, at >> kPageShift);
        if (at % kPageSize == 0 && is_newest(page, std::string_view(content->second).substr(at, kPageSize), cut)) {
          at += kPageSize - 1;
          continue;
        }
        const char value = content->second[at];
        if (!may_be(page, at % kPageSize, value, after, stored, cut) &&
            !(half != nullptr && may_be(page_at(half, at >> kPageShift), at % kPageSize, value, after, stored, cut))) {
          return name + " byte " + std::to_string(at) + " is " + std::to_string(static_cast<int>(value));
        }
      }
    }
    return {};
  }

  std::vector<State> states_{1};
  std::map<unsigned, unsigned> synced_;                // a sync: no state before this operation may come back
  std::map<unsigned, std::vector<unsigned>> durable_;  // by file id: the syncs of what is stored in it
  unsigned last_id_ = 0;
  Way way_of_writes_ = Way::flushed;
};

}  // namespace daxsim::test
