// SPDX-License-Identifier: BSD-3-Clause
// A LinearWorld whose device has an image of XipFs.
#pragma once

#include <memory>
#include <string_view>
#include <utility>

#include "support/linear_world.hpp"
#include "support/xip_image.hpp"

namespace daxsim::test {

class XipWorld final : public LinearWorld {
 public:
  explicit XipWorld(Bytes image) : LinearWorld(std::move(image)) {}
  ~XipWorld() override { fs.reset(); }

  Result<void> try_mount() override { return try_mount(MountOptions{}); }
  Result<void> try_mount(const MountOptions& options) { return adopt(XipFs::mount(context, *device, options)); }
  std::shared_ptr<OpenFile> open_to_read(std::string_view name) {
    return std::make_shared<OpenFile>(fs, must(fs->open(name)), OpenMode::read_only);
  }
  Bytes content_of(std::string_view name) {
    const auto file = open_to_read(name);
    Bytes bytes(file->inode().size());
    must(file->pread(0, bytes));
    return bytes;
  }
};

}  // namespace daxsim::test
