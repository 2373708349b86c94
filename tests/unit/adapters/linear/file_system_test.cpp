// SPDX-License-Identifier: BSD-3-Clause
#include <gtest/gtest.h>

#include "support/linear_world.hpp"

namespace daxsim {
namespace {

using namespace literals;
using test::bytes;
using test::LinearWorld;

TEST(LinearBasic, KeepsFilesOverUnmountAndMount) {
  // What was written before an unmount is there after the next mount.
  LinearWorld world(1_MiB);
  world.make();
  must(world.create("/a")->pwrite(0, bytes("hello")));

  must(world.fs->unmount());
  world.remount();

  EXPECT_EQ(world.content("a"), "hello");
}

TEST(LinearBasic, FsyncSurvivesDeathOfTheProcess) {
  // A commit is enough: nothing was unmounted.
  LinearWorld world(1_MiB);
  world.make();
  {
    const auto file = world.create("a");
    must(file->pwrite(5000, bytes("hello")));
    must(file->fsync());
  }

  world.remount();

  EXPECT_EQ(world.content("a"), std::string(5000, '\0') + "hello");
}

}  // namespace
}  // namespace daxsim
