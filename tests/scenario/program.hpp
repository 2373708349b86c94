// SPDX-License-Identifier: BSD-3-Clause
// Random programs against a model of what must survive, on any file system and with any index design.
//
// A program is a sequence of operations on one file: store, write, fsync, truncate, punch, relocate, remount, remove,
// cut. Any sequence is a program and so is any part of one, which is what lets RapidCheck shrink it. The unit is a cell: the first
// eight bytes of a 64-byte line. The model keeps for each cell the value a reader must see now, and the set of values that
// a reader may see after the power went or the devices were pulled out: what it was when it last became durable, and
// everything since. Such an end narrows each set to what was found.
#pragma once

#include <rapidcheck.h>

#include <cstdint>
#include <span>
#include <string>
#include <vector>

#include "daxsim/machine/machine.hpp"

namespace daxsim::test {

enum class Mmu : std::uint8_t { soft, userfaultfd, sigsegv };
const char* mmu_name(Mmu mmu);

// A file system that programs run on. mkfs also mounts.
struct Adapter {
  using Mount = Result<FileSystem>(Machine& machine, std::span<const DeviceHandle> devices);
  using Prepare = Result<void>(File& file);
  using Relocate = Result<void>(FileSystem& fs, std::uint64_t choice);
  const char* name;
  std::size_t devices;
  std::size_t disks = 0;  // of them, at the end: ordinary block devices
  Mount* mkfs;
  Mount* mount;
  Prepare* prepare = nullptr;    // a new file, before it gets its first block; null: nothing to do
  Relocate* relocate = nullptr;  // some of the blocks; null: they never move
};
extern const Adapter kLinear;
extern const Adapter kRealtime;  // and the file is on the realtime device
extern const Adapter kChunkSingle;
extern const Adapter kChunkRaid0;
extern const Adapter kChunkDup;
extern const Adapter kTiered;  // and the file is a third direct, a third on the disk, a third a hole

struct ProgramWorld {
  Adapter adapter = kLinear;
  MachineOptions machine = {};
  Mmu mmu = Mmu::soft;
  std::uint64_t pages = 24;  // the file never grows beyond
  std::uint64_t device_size = std::uint64_t{8} << 20;
};

enum class Call : std::uint8_t { store, write, fsync, truncate, punch, relocate, look, remount, remove, cut };

// What the two numbers are to a call is its own matter; any are good.
struct Operation {
  Call call = Call::store;
  std::uint64_t where = 0;  // 0 to the cells of the file: a cell, a size, a choice
  std::uint64_t much = 0;   // 0 to 100: a length, a seed
};

// The same seed makes the same program: any_program(pages)(rc::Random(seed), kProgramSize).
inline constexpr int kProgramSize = 80;  // operations at most
rc::Gen<std::vector<Operation>> any_program(std::uint64_t pages);

// Runs it, and cuts the power at the end. Empty when all was well, else what went wrong and the operations that led there.
std::string run_program(const ProgramWorld& world, const std::vector<Operation>& program);

}  // namespace daxsim::test
