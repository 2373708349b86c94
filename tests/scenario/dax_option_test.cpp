// SPDX-License-Identifier: BSD-3-Clause
// Real loads and stores to files of a pmem that is mounted with dax=: the direct ones, and those that go through the page
// cache, are kept alike.
#include <gtest/gtest.h>

#include <array>
#include <optional>

#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/expect.hpp"

namespace daxsim::test {
namespace {

using namespace daxsim::literals;

// A LinearFs with two files of 1 MiB, mapped: "direct" wants DAX, "cached" does not.
struct OptionMachine {
  explicit OptionMachine(DaxOption dax) : option{.dax = dax} {
    {
      FileSystem made = must(machine.mkfs<LinearFs>(device));
      must(must(made.create("/direct", 1_MiB)).open_file()->inode().set_xflag_dax(XflagDax::set));
      must(made.create("/cached", 1_MiB));
      must(made.unmount());
    }
    mount();
  }
  void mount() {
    fs.emplace(must(machine.mount<LinearFs>(device, option)));
    for (std::size_t number = 0; number < 2; ++number) {
      files[number].emplace(must(fs->open(number == 0 ? "/direct" : "/cached")));
      maps[number].emplace(must(files[number]->map()));
    }
  }
  void reboot() {
    for (std::size_t number = 0; number < 2; ++number) {
      maps[number].reset();
      files[number].reset();
    }
    fs.reset();
    machine = must(machine.reboot());
    device = machine.devices()[0];
    mount();
  }
  std::byte load(std::size_t number) { return maps[number]->data()[5000]; }
  void store(std::size_t number, int value) { maps[number]->data()[5000] = static_cast<std::byte>(value); }
  [[nodiscard]] bool is_dax(std::size_t number) const {
    return files[number]->open_file()->statx().attributes == kStatxAttrDax;
  }

  TemporaryFile media;
  Machine machine;
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = 16_MiB}));
  const MountOptions option;
  std::optional<FileSystem> fs;
  std::array<std::optional<File>, 2> files;
  std::array<std::optional<Mapping>, 2> maps;
};

// What fsync promised is there after a power cut, and what nobody promised is no finding.
TEST(DaxOptionMachine, FsyncKeepsItsWordEitherWay) {
  for (const DaxOption option : {DaxOption::always, DaxOption::inode, DaxOption::never}) {
    OptionMachine world(option);
    EXPECT_EQ(world.is_dax(0), option != DaxOption::never);
    EXPECT_EQ(world.is_dax(1), option == DaxOption::always);
    for (const std::size_t number : {0, 1}) {
      world.store(number, 1);
      must(world.files[number]->fsync());
      world.store(number, 2);
    }
    must(world.machine.power_cut());
    EXPECT_TRUE(world.machine.findings().empty());
    world.reboot();
    EXPECT_EQ(world.load(0), std::byte{1});
    EXPECT_EQ(world.load(1), std::byte{1});
  }
}

// An orderly removal writes the page cache back as it flushes entries; after it, and after any, nobody reaches the file.
TEST(DaxOptionMachine, RemovalOfTheDevice) {
  for (const Removal how : {Removal::orderly, Removal::surprise}) {
    OptionMachine world(DaxOption::inode);
    for (const std::size_t number : {0, 1}) {
      world.store(number, 1);
      must(world.files[number]->fsync());
      world.store(number, 2);
    }
    must(world.machine.remove(world.device, how));
    for (const std::size_t number : {0, 1}) {
      EXPECT_SIGBUS_LOAD(&world.maps[number]->data()[5000], BUS_ADRERR);
      EXPECT_ERRNO(world.files[number]->fsync(), Errno::eio);
    }
    EXPECT_TRUE(world.machine.findings().empty());

    const std::shared_ptr<Device> medium = world.device.medium();
    Machine next;
    FileSystem fs = must(next.mount<LinearFs>(must(next.attach(medium)), MountOptions{.dax = DaxOption::never}));
    for (const char* const name : {"/direct", "/cached"}) {
      std::byte found{};
      must(must(fs.open(name)).pread(5000, {&found, 1}));
      EXPECT_EQ(found, how == Removal::orderly ? std::byte{2} : std::byte{1}) << name;
    }
  }
}

// MAP_SYNC means something for a direct file only.
TEST(DaxOptionMachine, MapSync) {
  OptionMachine world(DaxOption::inode);
  EXPECT_TRUE(world.files[0]->map({.sync = MapSync::yes}).ok());
  EXPECT_ERRNO(world.files[1]->map({.sync = MapSync::yes}), Errno::eopnotsupp);
}

}  // namespace
}  // namespace daxsim::test
