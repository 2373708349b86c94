// SPDX-License-Identifier: BSD-3-Clause
// Two file systems' callbacks, in C, as functions that the tests call.
#pragma once

#include "daxsim/sim_devices/mtd.h"

#ifdef __cplusplus
extern "C" {
#endif

// As littlefs declares them: lfs_block_t, lfs_off_t and lfs_size_t are uint32_t.
struct lfs_config {
  void* context;
  int (*read)(const struct lfs_config* c, uint32_t block, uint32_t off, void* buffer, uint32_t size);
  int (*prog)(const struct lfs_config* c, uint32_t block, uint32_t off, const void* buffer, uint32_t size);
  int (*erase)(const struct lfs_config* c, uint32_t block);
  int (*sync)(const struct lfs_config* c);
  uint32_t block_size;
  uint32_t block_count;
};

// As SPIFFS does, without a context: s32_t, u32_t and u8_t are int32_t, uint32_t and uint8_t.
typedef struct {
  int32_t (*hal_read_f)(uint32_t addr, uint32_t size, uint8_t* dst);
  int32_t (*hal_write_f)(uint32_t addr, uint32_t size, uint8_t* src);
  int32_t (*hal_erase_f)(uint32_t addr, uint32_t size);
  uint32_t phys_size;
  uint32_t phys_erase_block;
} spiffs_config;

struct lfs_config littlefs_on(daxsim_mtd* flash);
spiffs_config spiffs_on(daxsim_mtd* flash);

#ifdef __cplusplus
}
#endif
