// SPDX-License-Identifier: BSD-3-Clause
// Hostile images of XipFs: the input edits super record and metadata, the checksums are made right again, and whatever
// mounts is listed, read and mapped. Nothing may crash or hang, and no page shows a byte of nowhere.
//
// Input: edits of 5 bytes each: where (16 bits: an offset in bytes), how (8 bits), what (16 bits).
#include <algorithm>
#include <array>
#include <cstdint>
#include <span>

#include "daxsim/mm/process.hpp"
#include "support/mount_fuzz.hpp"
#include "support/xip_world.hpp"

using namespace daxsim;

namespace {

// Every kind of page, and a name in a folder.
test::Bytes make_image() {
  const XipFile app{"bin/app", test::joined({test::easy(2 * kPageSize), test::Bytes(kPageSize), test::easy(kPageSize),
                                             test::hard(kPageSize), test::hard(100)})};
  const XipFile data{"data", test::easy(kPageSize + 7, 3)};
  return must(XipFs::build(std::array{app, data}, {.faults = {{"bin/app", {{1, 1}, {3, 1}}}, {"data", {{1, 1}}}}}));
}

void use_files(test::XipWorld& world) {
  Process process(world.system, 1);
  for (const DirectoryEntry& entry : must(world.fs->list())) {
    const auto file = world.open_to_read(entry.name);
    test::Bytes buffer(std::min<std::uint64_t>(entry.size, 64 * kPageSize));
    static_cast<void>(file->pread(0, buffer).ok());
    static_cast<void>(file->pread(entry.size - buffer.size(), buffer).ok());
    if (entry.size == 0) {
      continue;
    }
    const std::uint64_t address = must(process.mmap(file, {.prot = Prot::read}));
    for (std::uint64_t offset = 0; offset < std::min<std::uint64_t>(entry.size, 64 * kPageSize); offset += kPageSize) {
      static_cast<void>(process.load<std::byte>(address + offset).has_value());
    }
    must(process.munmap(address, pages_for(entry.size) << kPageShift));
  }
  static_cast<void>(must(XipFs::recorded_profile(*world.fs)).text());
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* bytes, std::size_t size) {
  static const test::Bytes base = make_image();
  test::Bytes image = base;
  for (std::span data(bytes, size); data.size() >= 5; data = data.subspan(5)) {
    const unsigned where = data[0] | static_cast<unsigned>(data[1]) << 8;
    test::edit(image, where % kPageSize, data[2], static_cast<std::uint16_t>(data[3] | data[4] << 8));
  }
  test::fix_checksums(image);
  const auto is_named = [](Errno error) {
    return error == Errno{} || error == Errno::einval || error == Errno::eopnotsupp || error == Errno::euclean;
  };
  test::require(is_named(test::errno_of(XipFs::inspect(image))), "inspect answers what it does not name");
  test::XipWorld world(image);
  const Result<void> mounted = world.try_mount();
  test::require(is_named(test::errno_of(mounted)), "mount answers what it does not name");
  if (mounted.ok()) {
    use_files(world);
    must(world.fs->unmount());
  }
  return 0;
}
