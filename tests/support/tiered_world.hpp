// SPDX-License-Identifier: BSD-3-Clause
// A LinearWorld with a disk in memory and a TieredFs on both. Files whose name ends in an odd character get their blocks
// on the disk, others on the direct device; before each operation of a Model some of the file's pages move.
//
//   SectorDevice    the disk: an image in memory
//   SectorView      its sectors; remembers what each was since the last fence
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/adapters/tiered.hpp"
#include "daxsim/device/block_device.hpp"
#include "support/linear_world.hpp"

namespace daxsim::test {

class SectorDevice final : public Device {
 public:
  explicit SectorDevice(Image image) : image_(std::move(image)) {}

  [[nodiscard]] const std::string& name() const noexcept override { return name_; }
  [[nodiscard]] std::uint64_t size() const noexcept override { return image_.size(); }
  [[nodiscard]] const Capabilities& capabilities() const noexcept override { return capabilities_; }
  [[nodiscard]] Image& image() noexcept { return image_; }

 private:
  const std::string name_ = "disk";
  const Capabilities capabilities_{.direct = false, .synchronous = false, .granularity = kSectorSize};
  Image image_;
};

class SectorView final : public BlockDevice {
 public:
  explicit SectorView(SectorDevice& device) : media_(device.image()) {}

  Result<void> read_sectors(std::uint64_t sector, std::span<std::byte> to) noexcept override {
    std::memcpy(to.data(), media_.data() + sector * kSectorSize, to.size());
    return {};
  }
  Result<void> write_sectors(std::uint64_t sector, std::span<const std::byte> from) noexcept override {
    step();
    if (fails_from != 0 && steps >= fails_from) {
      return failure;
    }
    for (std::uint64_t done = 0; done < from.size(); done += kSectorSize, ++sector) {
      std::byte* const at = media_.data() + sector * kSectorSize;
      history_[sector].emplace_back(at, at + kSectorSize);
      std::memcpy(at, from.data() + done, kSectorSize);
    }
    return {};
  }
  void fence() noexcept override {
    step();
    history_.clear();
  }
  std::vector<LineHistory> pending_lines() override { return {}; }
  Result<PowerCutReport> power_cut(const PowerCut&) override { return Errno::eio; }
  void unmap() noexcept override {}

  // As RamView's.
  Image image_after_cut(RamView::Outcome outcome, Random& random) const {
    Image image = media_;
    for (const auto& [sector, values] : history_) {
      const std::uint64_t pick = outcome == RamView::Outcome::nothing      ? 0
                                 : outcome == RamView::Outcome::everything ? values.size()
                                                                           : random.below(values.size() + 1);
      if (pick < values.size()) {
        std::memcpy(image.data() + sector * kSectorSize, values[pick].data(), kSectorSize);
      }
    }
    return image;
  }

  std::uint64_t steps = 0;            // writes and fences begun so far
  std::function<void()> before_step;  // called with the state that a cut before this step would find
  std::uint64_t fails_from = 0;       // writes fail from this step on; 0: never
  Errno failure = Errno::enospc;      // how

 private:
  void step() {
    ++steps;
    if (before_step) {
      before_step();
    }
  }

  Image& media_;
  std::map<std::uint64_t, std::vector<Image>> history_;
};

class TieredWorld final : public LinearWorld {
 public:
  static constexpr std::uint64_t kDiskBytes = std::uint64_t{256} << 10;

  // With a direct device of this size.
  explicit TieredWorld(std::uint64_t bytes) : TieredWorld(Image(bytes + kDiskBytes)) {}
  explicit TieredWorld(const Image& image)
      : LinearWorld(Image(image.begin(), image.end() - kDiskBytes)),
        disk_medium(std::make_shared<SectorDevice>(Image(image.end() - kDiskBytes, image.end()))) {
    auto sectors = std::make_unique<SectorView>(*disk_medium);
    disk_view = sectors.get();
    disk = std::make_unique<Attachment>(disk_medium, std::move(sectors), 2, events);
  }
  ~TieredWorld() override { fs.reset(); }

  static Tier tier_of(std::string_view name) { return name.back() % 2 != 0 ? Tier::block : Tier::direct; }

  void mkfs(const TieredFs::Options& options = {}) { must(TieredFs::mkfs(*device, *disk, options)); }
  void make() {
    mkfs();
    mount();
  }
  Result<void> try_mount() override { return adopt(TieredFs::mount(context, *device, *disk)); }
  Result<std::shared_ptr<Inode>> try_create(std::string_view name) override {
    DAXSIM_TRY(std::shared_ptr<Inode> inode, fs->create(name));
    DAXSIM_TRY_VOID(TieredFs::set_foreground_target(*inode, tier_of(name)));
    return inode;
  }
  [[nodiscard]] Image image() const override { return joined(medium->image(), disk_medium->image()); }
  [[nodiscard]] Image image_after_cut(RamView::Outcome outcome, Random& random) const override {
    Image first = LinearWorld::image_after_cut(outcome, random);
    return joined(std::move(first), disk_view->image_after_cut(outcome, random));
  }
  void before_each_step(const std::function<void()>& call) override {
    LinearWorld::before_each_step(call);
    disk_view->before_step = call;
  }
  [[nodiscard]] bool writes_through() const override { return false; }
  [[nodiscard]] bool has_map_sync() const override { return false; }
  void before_operation(OpenFile& file) override {
    const PageRange pages{{operations_ % 3}, 2};
    switch (operations_++ % 4) {
      case 0:
        must(TieredFs::demote(file.inode(), pages));
        break;
      case 1:
        must(TieredFs::set_foreground_target(file.inode(), Tier::direct));
        break;
      case 2:
        must(TieredFs::promote(file.inode(), pages));
        break;
      default:
        must(TieredFs::set_foreground_target(file.inode(), Tier::block));
    }
  }

  std::shared_ptr<SectorDevice> disk_medium;
  SectorView* disk_view = nullptr;  // the attachment's
  std::unique_ptr<Attachment> disk;

 private:
  static Image joined(Image first, const Image& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
  std::uint64_t operations_ = 0;
};

}  // namespace daxsim::test
