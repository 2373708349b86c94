// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/mtd.h"

#include <algorithm>
#include <cerrno>
#include <cstddef>
#include <span>

#include "daxsim/sim_devices/nor_flash.hpp"

namespace {

using namespace daxsim;

constexpr int kRefused = -EILSEQ;

bool is_inside(const daxsim_mtd& flash, std::uint64_t address, std::uint32_t size) noexcept {
  return address <= flash.mtd->size() && size <= flash.mtd->size() - address;
}

int answer(const Result<void>& result) noexcept { return result.ok() ? 0 : -static_cast<int>(result.error()); }

// Of a program or an erase whose range can be: what is left of these two is what the flash says of its own state.
int answer_of_change(const Result<void>& result) noexcept {
  const bool is_refused = !result.ok() && (result.error() == Errno::eio || result.error() == Errno::einval);
  return is_refused ? kRefused : answer(result);
}

bool are_erase_blocks(const daxsim_mtd& flash, std::uint64_t address, std::uint32_t size) noexcept {
  return size == 0 || (flash.mtd->erase_block(address).offset == address &&
                       flash.mtd->erase_block(address + size - 1).end() == address + size);
}

// Where `offset` of `block` is. False: nowhere.
bool find(const daxsim_mtd& flash, std::uint32_t block, std::uint32_t offset, std::uint32_t size,
          std::uint64_t& address) noexcept {
  const std::uint32_t block_size = daxsim_mtd_block_size(&flash);
  address = std::uint64_t{block} * block_size + offset;
  return offset <= block_size && size <= block_size - offset && block < daxsim_mtd_block_count(&flash);
}

}  // namespace

uint32_t daxsim_mtd_block_size(const daxsim_mtd* mtd) {
  return std::ranges::max_element(
             mtd->mtd->part().regions, {},
             [](const sim::EraseRegion& region) { return region.blocks == 0 ? 0 : region.block_bytes; })
      ->block_bytes;
}

uint32_t daxsim_mtd_block_count(const daxsim_mtd* mtd) {
  return static_cast<uint32_t>(mtd->mtd->size() / daxsim_mtd_block_size(mtd));
}

int daxsim_mtd_read(daxsim_mtd* mtd, uint64_t address, uint32_t size, void* to) {
  return answer(mtd->mtd->read(address, {static_cast<std::byte*>(to), size}));
}

int daxsim_mtd_program(daxsim_mtd* mtd, uint64_t address, uint32_t size, const void* from) {
  if (!is_inside(*mtd, address, size)) {
    return -EINVAL;
  }
  return answer_of_change(mtd->mtd->program(address, {static_cast<const std::byte*>(from), size}));
}

int daxsim_mtd_erase(daxsim_mtd* mtd, uint64_t address, uint32_t size) {
  if (!is_inside(*mtd, address, size) || !are_erase_blocks(*mtd, address, size)) {
    return -EINVAL;
  }
  return answer_of_change(mtd->mtd->erase({address, size}));
}

int daxsim_mtd_read_block(daxsim_mtd* mtd, uint32_t block, uint32_t offset, void* to, uint32_t size) {
  std::uint64_t address = 0;
  return find(*mtd, block, offset, size, address) ? daxsim_mtd_read(mtd, address, size, to) : -EINVAL;
}

int daxsim_mtd_program_block(daxsim_mtd* mtd, uint32_t block, uint32_t offset, const void* from, uint32_t size) {
  std::uint64_t address = 0;
  return find(*mtd, block, offset, size, address) ? daxsim_mtd_program(mtd, address, size, from) : -EINVAL;
}

int daxsim_mtd_erase_block(daxsim_mtd* mtd, uint32_t block) {
  std::uint64_t address = 0;
  const std::uint32_t size = daxsim_mtd_block_size(mtd);
  return find(*mtd, block, 0, size, address) ? daxsim_mtd_erase(mtd, address, size) : -EINVAL;
}

int daxsim_mtd_sync(daxsim_mtd* /*mtd*/) { return 0; }
