// SPDX-License-Identifier: BSD-3-Clause
// A LinearWorld with a second device and a RealtimeFs. Files whose name ends in an odd character (by its code: a, c, ...,
// 1, 3, ...) are on the realtime device.
#pragma once

#include <algorithm>
#include <cstdint>
#include <functional>
#include <memory>
#include <string_view>
#include <utility>

#include "daxsim/adapters/realtime.hpp"
#include "support/linear_world.hpp"

namespace daxsim::test {

class RealtimeWorld : public LinearWorld {
 public:
  static constexpr std::uint64_t kRealtimeBytes = std::uint64_t{256} << 10;

  // With a data device of this size.
  explicit RealtimeWorld(std::uint64_t bytes) : RealtimeWorld(Image(bytes + kRealtimeBytes)) {}
  explicit RealtimeWorld(const Image& image)
      : LinearWorld(Image(image.begin(), image.end() - kRealtimeBytes)),
        realtime_medium(std::make_shared<RamDevice>(Image(image.end() - kRealtimeBytes, image.end()))),
        realtime(attach(realtime_medium, 2, &realtime_view)) {}
  ~RealtimeWorld() override { fs.reset(); }

  static bool is_realtime(std::string_view name) { return name.back() % 2 != 0; }

  void mkfs(const RealtimeFs::Options& options = {}) { must(RealtimeFs::mkfs(*device, *realtime, options)); }
  void make() {
    mkfs();
    mount();
  }
  Result<void> try_mount() override { return adopt(RealtimeFs::mount(context, *device, *realtime)); }
  Result<std::shared_ptr<Inode>> try_create(std::string_view name) override {
    DAXSIM_TRY(std::shared_ptr<Inode> inode, fs->create(name));
    DAXSIM_TRY_VOID(RealtimeFs::set_realtime(*inode, is_realtime(name) ? Realtime::yes : Realtime::no));
    return inode;
  }
  [[nodiscard]] Image image() const override { return joined(medium->image(), realtime_medium->image()); }
  [[nodiscard]] Image image_after_cut(RamView::Outcome outcome, Random& random) const override {
    Image first = LinearWorld::image_after_cut(outcome, random);
    return joined(std::move(first), realtime_view->image_after_cut(outcome, random));
  }
  void before_each_step(const std::function<void()>& call) override {
    LinearWorld::before_each_step(call);
    realtime_view->before_step = call;
  }

  std::shared_ptr<RamDevice> realtime_medium;
  RamView* realtime_view = nullptr;  // the attachment's
  std::unique_ptr<Attachment> realtime;

 private:
  static Image joined(Image first, const Image& second) {
    first.insert(first.end(), second.begin(), second.end());
    return first;
  }
};

// All files are on the realtime device, and may share blocks.
class ReflinkWorld : public RealtimeWorld {
 public:
  using RealtimeWorld::RealtimeWorld;

  void mkfs() { RealtimeWorld::mkfs({.reflink = Reflink::yes}); }
  void make() {
    mkfs();
    mount();
  }
  [[nodiscard]] bool can_reflink() const override { return true; }
  Result<std::shared_ptr<Inode>> try_create(std::string_view name) override {
    DAXSIM_TRY(std::shared_ptr<Inode> inode, fs->create(name));
    DAXSIM_TRY_VOID(RealtimeFs::set_realtime(*inode));
    return inode;
  }
};

}  // namespace daxsim::test
