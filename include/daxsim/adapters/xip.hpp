// SPDX-License-Identifier: BSD-3-Clause
// XipFs: a read-only file system for flash that a CPU can load from, as cramfs and AXFS (F10.5): each page of a file is on
// the device as it is, to be executed in place, or compressed. No block device is on its way. Format: docs/xip-format.md.
//
// A mapping that cannot be written to has the device's own memory where a page is *direct*: it lies in a page of the device
// as it is, and what is behind the end of the file in that page is zeros. Other pages are decompressed into the page cache
// when they are first touched. A private mapping that can be written to has nothing of the device: all its pages go
// through the page cache. Names are paths, relative to the folder that the image was made of; there are no directories.
//
// Which pages are worth the room is found by running: an image that was built without a profile is all compressed, so that
// each page that is touched is a fault of its own; recorded_profile() then says which ones were.
//
// The end of the device is the end of the file system. Where only some memory fails, the pages there are lost.
// Threads: any, after mount() has returned.
#pragma once

#include <cstddef>
#include <cstdint>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/dax/dax.hpp"
#include "daxsim/device/attachment.hpp"
#include "daxsim/vfs/mount_options.hpp"
#include "daxsim/vfs/super_block.hpp"

DAXSIM_BEGIN

struct XipFile {
  std::string name;
  std::vector<std::byte> bytes;
};

// How often pages of files were faulted in. As text: a line "PAGE FAULTS NAME" for each page.
struct XipProfile {
  std::map<std::string, std::map<std::uint64_t, std::uint64_t>> faults{};  // by name, by page of the file

  [[nodiscard]] std::string text() const;
  // Errors: Errno::einval (a line is not of that form, or a page is there twice).
  static Result<XipProfile> parse(std::string_view text);
};

// What an image spends its bytes on.
struct XipUsage {
  std::uint64_t files = 0;
  std::uint64_t hole_pages = 0;        // all zeros: take no room
  std::uint64_t direct_pages = 0;      // mapped where they are
  std::uint64_t compressed_pages = 0;  // each takes a page of RAM when touched
  std::uint64_t copied_pages = 0;      // as they are, but not where they could be mapped: take RAM as well
  std::uint64_t compressed_bytes = 0;
  std::uint64_t metadata_bytes = 0;
  std::uint64_t image_bytes = 0;
};
struct XipContents {
  std::vector<XipFile> files;  // ascending by name
  XipUsage usage;
};

struct XipFs {
  // Bytes of a name, and of each part of it between '/'.
  static constexpr std::size_t kMaxName = 4095;
  static constexpr std::size_t kMaxNamePart = 255;
  // 16 TiB.
  static constexpr std::uint64_t kMaxFileSize = std::uint64_t{1} << 44;

  // An image of these files. Pages in the profile are direct; so are, at no cost, those that do not get smaller; pages of
  // zeros take no room; the others are compressed. The same files and profile give the same bytes.
  // Errors: Errno::einval (a name twice, or one that the format does not have: parts of 1 to 255 bytes, not "." or "..",
  // no NUL or line feed; the profile has a file or page that does not exist), Errno::enametoolong.
  static Result<std::vector<std::byte>> build(std::span<const XipFile> files, const XipProfile& profile = {});

  // What is in an image. Errors: Errno::einval (no such image), Errno::eopnotsupp (a version of the format that is not
  // known), Errno::euclean (damaged, or not all of it).
  static Result<XipContents> inspect(std::span<const std::byte> image);

  // Claims `device`, which has an image from its first byte on, and reads the metadata into memory. `context` and `device`
  // must outlive the super block. All calls that change something answer Errno::erofs. There is a page cache of 16 MiB at
  // most; with dax=never everything goes through it. fsync has nothing to do and succeeds (Linux has none here: EINVAL).
  // Errors: Errno::einval (`device` is not direct; no such file system on it; dax=inode, since files have no flags),
  // Errno::eopnotsupp (a version of the format that is not known), Errno::euclean (the metadata is damaged, or the device
  // is smaller than the image), Errno::ebusy (something holds the device), Errno::enxio (dead device), Errno::enomem,
  // Errno::emfile, Errno::enfile (the host's limits), Errno::enospc (no page frames left for the page cache),
  // Errno::ehwpoison (a known media error in the metadata or in the last page of a file), Errno::eio. Context: may wait
  // for the device.
  static Result<std::shared_ptr<SuperBlock>> mount(const dax::Context& context, Attachment& device,
                                                   const MountOptions& options = {});

  // Which pages were touched since the mount through mappings that could have had them directly, by their faults. Pages
  // that are direct already are laid many at a time by a live mapping, and then only the first is seen.
  // Errors: Errno::einval (no XipFs). Context: any thread; no locks held.
  static Result<XipProfile> recorded_profile(SuperBlock& super_block);
};

DAXSIM_END
