// SPDX-License-Identifier: BSD-3-Clause
#include "mtd_clients.h"

static int read_block(const struct lfs_config* c, uint32_t block, uint32_t off, void* buffer, uint32_t size) {
  return daxsim_mtd_read_block(c->context, block, off, buffer, size);
}
static int prog_block(const struct lfs_config* c, uint32_t block, uint32_t off, const void* buffer, uint32_t size) {
  return daxsim_mtd_program_block(c->context, block, off, buffer, size);
}
static int erase_block(const struct lfs_config* c, uint32_t block) { return daxsim_mtd_erase_block(c->context, block); }
static int sync_blocks(const struct lfs_config* c) { return daxsim_mtd_sync(c->context); }

struct lfs_config littlefs_on(daxsim_mtd* flash) {
  const struct lfs_config config = {
      .context = flash,
      .read = read_block,
      .prog = prog_block,
      .erase = erase_block,
      .sync = sync_blocks,
      .block_size = daxsim_mtd_block_size(flash),
      .block_count = daxsim_mtd_block_count(flash),
  };
  return config;
}

static daxsim_mtd* the_flash;  // SPIFFS's callbacks know of one

static int32_t hal_read(uint32_t addr, uint32_t size, uint8_t* dst) {
  return daxsim_mtd_read(the_flash, addr, size, dst);
}
static int32_t hal_write(uint32_t addr, uint32_t size, uint8_t* src) {
  return daxsim_mtd_program(the_flash, addr, size, src);
}
static int32_t hal_erase(uint32_t addr, uint32_t size) { return daxsim_mtd_erase(the_flash, addr, size); }

spiffs_config spiffs_on(daxsim_mtd* flash) {
  the_flash = flash;
  const spiffs_config config = {
      .hal_read_f = hal_read,
      .hal_write_f = hal_write,
      .hal_erase_f = hal_erase,
      .phys_size = daxsim_mtd_block_size(flash) * daxsim_mtd_block_count(flash),
      .phys_erase_block = daxsim_mtd_block_size(flash),
  };
  return config;
}
