// SPDX-License-Identifier: BSD-3-Clause
// A simulated NOR flash for flash file systems, in C (C99): read, program, erase and sync as the callbacks of littlefs,
// SPIFFS and the like want them. The callbacks are one line each (docs/nor-flash.md, "Flash file systems as clients"):
//
//   static int my_prog(const struct lfs_config *c, lfs_block_t block, lfs_off_t off, const void *buffer, lfs_size_t size)
//   { return daxsim_mtd_program_block(c->context, block, off, buffer, size); }
//
// The handle is made in C++, of a device under power, and is as good as that device:
//
//   daxsim_mtd flash{.mtd = mtd.get()};
//
// A *block* here is as large as the largest erase block of the part, so that all are of one size; smaller erase blocks
// at an end of the part make up one together. Offsets and sizes are bytes. Addresses count from the first byte of the
// device.
//
// All calls wait until the flash is done. They answer 0, or a negative errno of Linux:
//
//   -EINVAL (-22)  beyond the end of the device or of the block; an erase of no whole erase blocks
//   -EROFS  (-30)  a locked erase block: parts may be locked at power-up, and Mtd::unlock is C++
//   -EILSEQ (-84)  the flash refused the program or the erase: worn out, a stuck bit, a 1 over a 0 on a part that says
//                  so, no programming voltage. The number is LFS_ERR_CORRUPT, by which littlefs gives the block up
//   -EIO    (-5)   a read did not get the chip to suspend an erase
//   -ETIME  (-62)  the flash was not done in the time that it may take
//   -EINTR  (-4)   interrupted while the chip was pointed
//
// Threads: any, as Mtd.
#ifndef DAXSIM_SIM_DEVICES_MTD_H
#define DAXSIM_SIM_DEVICES_MTD_H

#include <stdint.h>

#ifdef __cplusplus
#include "daxsim/base/config.hpp"

DAXSIM_BEGIN
namespace sim {
class Mtd;
}  // namespace sim
DAXSIM_END

extern "C" {

struct daxsim_mtd {
  daxsim::sim::Mtd* mtd;
};
#endif

typedef struct daxsim_mtd daxsim_mtd;

// Bytes of a block, and how many there are.
uint32_t daxsim_mtd_block_size(const daxsim_mtd* mtd);
uint32_t daxsim_mtd_block_count(const daxsim_mtd* mtd);

// By block and offset, inside one block.
int daxsim_mtd_read_block(daxsim_mtd* mtd, uint32_t block, uint32_t offset, void* to, uint32_t size);
int daxsim_mtd_program_block(daxsim_mtd* mtd, uint32_t block, uint32_t offset, const void* from, uint32_t size);
int daxsim_mtd_erase_block(daxsim_mtd* mtd, uint32_t block);

// By address. An erase is of whole erase blocks of the part, which may be smaller than a block.
int daxsim_mtd_read(daxsim_mtd* mtd, uint64_t address, uint32_t size, void* to);
int daxsim_mtd_program(daxsim_mtd* mtd, uint64_t address, uint32_t size, const void* from);
int daxsim_mtd_erase(daxsim_mtd* mtd, uint64_t address, uint32_t size);

// Answers 0: what has returned is on the flash.
int daxsim_mtd_sync(daxsim_mtd* mtd);

#ifdef __cplusplus
}
#endif

#endif
