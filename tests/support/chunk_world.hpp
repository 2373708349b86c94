// SPDX-License-Identifier: BSD-3-Clause
// A LinearWorld with a second device and a ChunkFs of one profile over both, in chunks of 64 KiB.
#pragma once

#include <array>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "daxsim/adapters/chunk.hpp"
#include "support/linear_world.hpp"

namespace daxsim::test {

inline constexpr std::uint64_t kChunkBytes = std::uint64_t{64} << 10;
inline constexpr std::uint64_t kChunkPages = kChunkBytes >> kPageShift;

class ChunkWorld : public LinearWorld {
 public:
  static constexpr std::uint64_t kSecondBytes = std::uint64_t{384} << 10;

  // With a first device of this size.
  ChunkWorld(ChunkProfile profile, std::uint64_t bytes) : ChunkWorld(profile, Image(bytes + kSecondBytes)) {}
  ChunkWorld(ChunkProfile profile, const Image& image, const Policy& policy = {})
      : LinearWorld(Image(image.begin(), image.end() - kSecondBytes), policy),
        second_medium(std::make_shared<RamDevice>(Image(image.end() - kSecondBytes, image.end()))),
        second(attach(second_medium, 2, &second_view)),
        devices{device.get(), second.get()},
        profile_(profile) {}
  ~ChunkWorld() override { fs.reset(); }

  void mkfs() { must(ChunkFs::mkfs(devices, {.profile = profile_, .chunk_size = kChunkBytes})); }
  void make() {
    mkfs();
    mount();
  }
  Result<void> try_mount() override { return adopt(ChunkFs::mount(context, devices)); }
  [[nodiscard]] Image image() const override { return joined(medium->image(), second_medium->image()); }
  [[nodiscard]] Image image_after_cut(RamView::Outcome outcome, Random& random) const override {
    Image first = LinearWorld::image_after_cut(outcome, random);
    return joined(std::move(first), second_view->image_after_cut(outcome, random));
  }
  void before_each_step(const std::function<void()>& call) override {
    LinearWorld::before_each_step(call);
    second_view->before_step = call;
  }

  // The device and device page of a page of a file.
  static std::pair<Attachment*, Pgoff> place(const std::shared_ptr<OpenFile>& file, Pgoff page) {
    const FileExtent extent = must(file->inode().direct_access({page, 1}, Access::read));
    return {extent.device, extent.device_page};
  }
  // The chunk that a page of a file is in.
  std::uint32_t chunk_of(const std::shared_ptr<OpenFile>& file, Pgoff page) {
    const std::uint64_t cookie = must(file->inode().direct_access({page, 1}, Access::read)).cookie;
    std::uint64_t end = 1;
    std::uint32_t number = 0;
    for (const ChunkInfo& chunk : must(ChunkFs::chunks(*fs))) {
      end += chunk.pages;
      if (cookie < end) {
        break;
      }
      ++number;
    }
    return number;
  }

  std::shared_ptr<RamDevice> second_medium;
  RamView* second_view = nullptr;  // the attachment's
  std::unique_ptr<Attachment> second;
  const std::array<Attachment*, 2> devices;

 private:
  static Image joined(Image first, const Image& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
  const ChunkProfile profile_;
};

// For tests that make their worlds themselves.
template <ChunkProfile kProfile>
class ChunkWorldOf final : public ChunkWorld {
 public:
  explicit ChunkWorldOf(std::uint64_t bytes) : ChunkWorld(kProfile, bytes) {}
  explicit ChunkWorldOf(const Image& image) : ChunkWorld(kProfile, image) {}
};

}  // namespace daxsim::test
