// SPDX-License-Identifier: BSD-3-Clause
// The flash as flash file systems see it, through callbacks that are written in C.
#include "daxsim/sim_devices/mtd.h"

#include <gtest/gtest.h>

#include <cerrno>

#include "mtd_clients.h"
#include "nor_test.hpp"

namespace daxsim::nor {
namespace {

TEST(MtdClient, LittlefsReadsProgramsAndErasesBlocks) {
  // By block and offset. The four blocks of 1 KiB are one of 4 KiB for it.
  Flash flash(small_p30());
  daxsim_mtd handle{.mtd = flash.mtd.get()};
  const lfs_config lfs = littlefs_on(&handle);
  EXPECT_EQ(lfs.block_size, 4U << 10);
  EXPECT_EQ(lfs.block_count, 4U);

  const Bytes data(100, std::byte{0x5a});
  EXPECT_EQ(lfs.prog(&lfs, 1, 1000, data.data(), 100), 0);
  EXPECT_EQ(lfs.sync(&lfs), 0);
  EXPECT_EQ(flash.read((4 << 10) + 1000, 100), data);
  Bytes back(100);
  EXPECT_EQ(lfs.read(&lfs, 1, 1000, back.data(), 100), 0);
  EXPECT_EQ(back, data);
  EXPECT_EQ(lfs.erase(&lfs, 1), 0);
  EXPECT_EQ(flash.byte((4 << 10) + 1000), 0xffU);

  flash.program(1 << 10, {0});
  flash.program(3 << 10, {0});
  EXPECT_EQ(lfs.erase(&lfs, 0), 0);
  EXPECT_EQ(flash.byte(1 << 10), 0xffU);
  EXPECT_EQ(flash.byte(3 << 10), 0xffU);
}

TEST(MtdClient, SpiffsReadsWritesAndErasesAddresses) {
  // A write clears bits and does not erase; an erase may be of the smaller blocks.
  Flash flash(small_w25q());
  daxsim_mtd handle{.mtd = flash.mtd.get()};
  const spiffs_config spiffs = spiffs_on(&handle);
  EXPECT_EQ(spiffs.phys_size, flash.mtd->size());
  std::uint8_t data[] = {0xf0, 0x0f, 0x33};
  EXPECT_EQ(spiffs.hal_write_f(1022, 3, data), 0);
  std::uint8_t more[] = {0x3c};
  EXPECT_EQ(spiffs.hal_write_f(1022, 1, more), 0);
  std::uint8_t back[3] = {};
  EXPECT_EQ(spiffs.hal_read_f(1022, 3, back), 0);
  EXPECT_EQ(back[0], 0x30);
  EXPECT_EQ(back[2], 0x33);
  EXPECT_EQ(spiffs.hal_erase_f(0, 1024), 0);
  EXPECT_EQ(flash.byte(1022), 0xffU);
  EXPECT_EQ(flash.byte(1024), 0x33U);
}

TEST(MtdClient, RefusesWhatIsOutOfRange) {
  // Beyond a block, beyond the device, no whole erase blocks: -EINVAL, which is no reason to give a block up.
  Flash flash(small_p30());
  daxsim_mtd handle{.mtd = flash.mtd.get()};
  std::uint8_t data[2] = {};
  EXPECT_EQ(daxsim_mtd_read_block(&handle, 0, 4095, data, 2), -EINVAL);
  EXPECT_EQ(daxsim_mtd_read_block(&handle, 0, ~0U, data, 2), -EINVAL);
  EXPECT_EQ(daxsim_mtd_read_block(&handle, 4, 0, data, 2), -EINVAL);
  EXPECT_EQ(daxsim_mtd_program_block(&handle, 1, 4095, data, 2), -EINVAL);
  EXPECT_EQ(daxsim_mtd_program_block(&handle, 4, 0, data, 2), -EINVAL);
  EXPECT_EQ(daxsim_mtd_erase_block(&handle, 4), -EINVAL);
  EXPECT_EQ(daxsim_mtd_read(&handle, flash.mtd->size() - 1, 2, data), -EINVAL);
  EXPECT_EQ(daxsim_mtd_program(&handle, flash.mtd->size() - 1, 2, data), -EINVAL);
  EXPECT_EQ(daxsim_mtd_program(&handle, ~std::uint64_t{0}, 2, data), -EINVAL);
  EXPECT_EQ(daxsim_mtd_erase(&handle, flash.mtd->size(), 1024), -EINVAL);
  EXPECT_EQ(daxsim_mtd_erase(&handle, 1, 1024), -EINVAL);
  EXPECT_EQ(daxsim_mtd_erase(&handle, 0, 1025), -EINVAL);
  EXPECT_EQ(daxsim_mtd_erase(&handle, flash.mtd->size(), 0), 0);
  EXPECT_EQ(daxsim_mtd_program_block(&handle, 0, 4095, data, 1), 0);
}

TEST(MtdClient, SaysThatABlockIsToBeGivenUp) {
  // Worn out, or a stuck bit, on either command set: LFS_ERR_CORRUPT. What is locked is not worn.
  for (const sim::NorPart& part : {small_p30(), small_s29gl()}) {
    Flash flash(sim::NorFlash{.part = part, .faults = {.stuck = {{.offset = 5, .bit = 0, .value = true}}}});
    daxsim_mtd handle{.mtd = flash.mtd.get()};
    const std::uint8_t zero[] = {0};
    EXPECT_EQ(daxsim_mtd_program(&handle, 5, 1, zero), -84);
    EXPECT_EQ(daxsim_mtd_program(&handle, 6, 1, zero), 0);
  }
  Flash worn(sim::NorFlash{.part = small_p30(), .faults = {.weak = {{.block = 4, .erases = 0}}}});
  daxsim_mtd handle{.mtd = worn.mtd.get()};
  int answer = 0;
  for (int i = 0; i < 100 && answer == 0; ++i) {
    answer = daxsim_mtd_erase_block(&handle, 1);
  }
  EXPECT_EQ(answer, -84);
  must(worn.mtd->lock(worn.mtd->erase_block(0)));
  EXPECT_EQ(daxsim_mtd_erase(&handle, 0, 1024), -EROFS);
}

TEST(MtdClient, SaysThatTheFlashIsNeverDone) {
  // An operation that hangs: -ETIME.
  Flash flash(sim::NorFlash{.part = small_p30(), .faults = {.hanging = {0}}});
  daxsim_mtd handle{.mtd = flash.mtd.get()};
  EXPECT_EQ(daxsim_mtd_erase(&handle, 0, 1024), -ETIME);
}

}  // namespace
}  // namespace daxsim::nor
