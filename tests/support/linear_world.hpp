// SPDX-License-Identifier: BSD-3-Clause
// A machine with one LinearFs on a device in memory, whose power can be cut at every flush and fence:
//
//   RamDevice      the medium: an image in memory
//   RamView        what the CPU sees of it; remembers what each line was since the last fence
//   LinearWorld    device, attachment, and the file system when it is mounted
#pragma once

#include <sys/mman.h>

#include <cstddef>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/base/arena.hpp"
#include "daxsim/base/clock.hpp"
#include "daxsim/base/events.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/device/holder.hpp"
#include "daxsim/device/memory_map.hpp"
#include "daxsim/test_support/must.hpp"
#include "daxsim/vfs/open_file.hpp"
#include "daxsim/vfs/super_block.hpp"
#include "daxsim/vfs/system.hpp"

namespace daxsim::test {

using Image = std::vector<std::byte>;

class RamDevice final : public Device {
 public:
  explicit RamDevice(Image image) : image_(std::move(image)) {}

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return image_.size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  Result<std::unique_ptr<DaxDevice>> make_view(const ViewContext&) override { return Errno::ebusy; }
  [[nodiscard]] Image& image() noexcept { return image_; }

 private:
  const std::string name_ = "ram";
  const Capabilities capabilities_{};
  Image image_;
};

class NobodysHolder final : public Holder {
 public:
  Result<void> pre_remove(Attachment&) override { return {}; }
  Result<void> failure(Attachment&, ByteRange) override { return {}; }
  void revoke(Attachment&, ByteRange) override {}
};

class RamView final : public DaxDevice {
 public:
  explicit RamView(RamDevice& device)
      : media_(device.image()),
        map_(::mmap(nullptr, media_.size() + kPmdSize, PROT_READ | PROT_WRITE,
                    MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0)),
        memory_(reinterpret_cast<std::byte*>(round_up(reinterpret_cast<std::uintptr_t>(map_), kPmdSize))) {
    std::memcpy(memory_, media_.data(), media_.size());
  }
  ~RamView() override { ::munmap(map_, media_.size() + kPmdSize); }

  Result<Memory> direct_access(Pgoff page, std::uint64_t pages, DaxMode) noexcept override {
    if (poisoned && page.value <= *poisoned && *poisoned < page.value + pages) {
      if (page.value == *poisoned) {
        return Errno::ehwpoison;
      }
      pages = *poisoned - page.value;
    }
    return Memory{.kaddr = memory_ + byte_of(page), .pfn = {}, .pages = pages};
  }
  [[nodiscard]] std::span<std::byte> direct_map() const noexcept override { return {memory_, media_.size()}; }
  Result<void> flush(ByteRange bytes) noexcept override {
    step();
    if (fails_from != 0 && steps >= fails_from) {
      return failure;
    }
    for (std::uint64_t line = round_down(bytes.offset, kCacheLine); line < bytes.end(); line += kCacheLine) {
      if (std::memcmp(media_.data() + line, memory_ + line, kCacheLine) != 0) {
        history_[line].emplace_back(media_.begin() + static_cast<std::ptrdiff_t>(line),
                                    media_.begin() + static_cast<std::ptrdiff_t>(line + kCacheLine));
        std::memcpy(media_.data() + line, memory_ + line, kCacheLine);
      }
    }
    return {};
  }
  void fence() noexcept override {
    step();
    history_.clear();
  }
  std::vector<LineHistory> pending_lines() override { return {}; }
  std::uint64_t dirty_lines(ByteRange) noexcept override { return 0; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return Errno::eio; }
  void unmap() noexcept override {}

  // One possible content of the medium if the power went now: nothing of what no fence has ordered, all of it, or a
  // random choice for each line.
  enum class Outcome : std::uint8_t { nothing, everything, random };
  Image image_after_cut(Outcome outcome, Random& random) const {
    Image image = media_;
    const auto put = [&image](std::uint64_t line, const std::byte* from) {
      std::memcpy(image.data() + line, from, kCacheLine);
    };
    for (const auto& [line, values] : history_) {
      const std::uint64_t pick = outcome == Outcome::nothing      ? 0
                                 : outcome == Outcome::everything ? values.size()
                                                                  : random.below(values.size() + 1);
      if (pick < values.size()) {
        put(line, values[pick].data());
      }
    }
    for (std::uint64_t page = 0; page < image.size() && outcome != Outcome::nothing; page += kPageSize) {
      if (std::memcmp(media_.data() + page, memory_ + page, kPageSize) == 0) {
        continue;
      }
      for (std::uint64_t line = page; line < page + kPageSize; line += kCacheLine) {
        if (std::memcmp(media_.data() + line, memory_ + line, kCacheLine) != 0 &&
            (outcome == Outcome::everything || random.one_in(2))) {
          put(line, memory_ + line);
        }
      }
    }
    return image;
  }

  std::uint64_t steps = 0;                // flushes and fences begun so far
  std::function<void()> before_step;      // called with the state that a cut before this step would find
  std::uint64_t fails_from = 0;           // flushes fail from this step on; 0: never
  Errno failure = Errno::enospc;          // how
  std::optional<std::uint64_t> poisoned;  // a device page with a known media error

 private:
  void step() {
    ++steps;
    if (before_step) {
      before_step();
    }
  }

  Image& media_;
  void* const map_;
  std::byte* const memory_;
  std::map<std::uint64_t, std::vector<std::vector<std::byte>>> history_;
};

class LinearWorld {
 public:
  explicit LinearWorld(std::uint64_t bytes) : LinearWorld(Image(bytes)) {}
  explicit LinearWorld(Image image, const Policy& policy = {})
      : medium(std::make_shared<RamDevice>(std::move(image))),
        device(attach(medium, 1, &view)),
        context{.system = system, .design = designs::pfn(), .policy = policy} {}
  virtual ~LinearWorld() { fs.reset(); }
  LinearWorld(const LinearWorld&) = delete;
  LinearWorld& operator=(const LinearWorld&) = delete;

  void mkfs(const LinearFs::Options& options = {}) { must(LinearFs::mkfs(*device, options)); }
  [[nodiscard]] virtual bool can_reflink() const { return false; }
  virtual Result<void> try_mount() { return adopt(LinearFs::mount(context, *device)); }
  Result<void> adopt(Result<std::shared_ptr<SuperBlock>> mounted) {
    if (!mounted.ok()) {
      return mounted.error();
    }
    fs = std::move(*mounted);
    return {};
  }
  void mount() { must(try_mount()); }
  void make() {
    mkfs();
    mount();
  }
  // As if the process had died: what is in the file system's memory is gone, what the CPU saw is not.
  void remount() {
    fs.reset();
    mount();
  }

  // A new file, where files of such a name go.
  virtual Result<std::shared_ptr<Inode>> try_create(std::string_view name) { return fs->create(name); }
  std::shared_ptr<OpenFile> create(std::string_view name) {
    return std::make_shared<OpenFile>(fs, must(try_create(name)), OpenMode::read_write);
  }
  std::shared_ptr<OpenFile> open(std::string_view name) {
    return std::make_shared<OpenFile>(fs, must(fs->open(name)), OpenMode::read_write);
  }
  std::string content(std::string_view name) {
    const auto file = open(name);
    std::string text(file->inode().size(), '\0');
    must(file->pread(0, std::as_writable_bytes(std::span(text))));
    return text;
  }
  std::uint64_t count(EventType type) const { return events.count(type); }

  // Of all devices, one behind the other: what the constructor takes.
  [[nodiscard]] virtual Image image() const { return medium->image(); }
  [[nodiscard]] virtual Image image_after_cut(RamView::Outcome outcome, Random& random) const {
    return view->image_after_cut(outcome, random);
  }
  virtual void before_each_step(const std::function<void()>& call) { view->before_step = call; }

  // What a Model has to know of the kind: whether what write(2) has written needs no fsync to be as durable as the metadata
  // that follows it, and whether it has MAP_SYNC.
  [[nodiscard]] virtual bool writes_through() const { return true; }
  [[nodiscard]] virtual bool has_map_sync() const { return true; }
  // Before the Model does something to a file: what the file system may do behind its back.
  virtual void before_operation(OpenFile& /*file*/) {}

  VirtualClock clock;
  EventStream events{clock, 256};
  Arena arena;
  MemoryMap memory;
  System system{.clock = clock, .events = events, .arena = arena, .memory = memory};
  std::shared_ptr<RamDevice> medium;
  RamView* view = nullptr;  // the attachment's
  std::unique_ptr<Attachment> device;
  const dax::Context context;
  std::shared_ptr<SuperBlock> fs;

 protected:
  std::unique_ptr<Attachment> attach(const std::shared_ptr<RamDevice>& ram, std::uint32_t dev, RamView** ram_view) {
    auto made = std::make_unique<RamView>(*ram);
    *ram_view = made.get();
    const Pfn first = must(memory.reserve(ram->size() >> kPageShift));
    auto attached = std::make_unique<Attachment>(ram, std::move(made), first, dev, events);
    memory.bind(first, *attached);
    return attached;
  }
};

inline std::span<const std::byte> bytes(std::string_view text) { return std::as_bytes(std::span(text)); }

}  // namespace daxsim::test
