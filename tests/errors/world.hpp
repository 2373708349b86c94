// SPDX-License-Identifier: BSD-3-Clause
// World: a machine with a faulty pmem, a LinearFs, files, a process and mappings, and what can happen to it.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "errors/faulty_device.hpp"
#include "errors/observer.hpp"
#include "support/temp_file.hpp"

namespace daxsim::test {

inline constexpr std::uint64_t kDeviceSize = std::uint64_t{4} << 20;
inline constexpr std::uint64_t kFileSize = std::uint64_t{256} << 10;
inline constexpr std::uint64_t kSparseSize = std::uint64_t{4} << 20;

struct World {
  explicit World(const LinearFs::Options& options = {}, std::uint64_t device_size = kDeviceSize,
                 const IndexDesign* design = nullptr);
  World(const World&) = delete;
  World& operator=(const World&) = delete;

  support::TempFile media;
  std::shared_ptr<FaultyDevice> device;
  std::unique_ptr<Machine> machine;
  DeviceHandle handle;
  FileSystem fs;
  File file;       // "/file": 256 KiB, allocated, the pages of the first half dirty
  File read_only;  // the same file
  File sparse;     // "/sparse": 4 MiB, no blocks but the first, which is dirty
  Process& process;
  std::uint64_t address = 0;          // of `file`, shared
  std::uint64_t private_address = 0;  // of `file`, private
  Mapping map;                        // of `sparse`, shared
  Mapping private_map;                // of `file`, private

  // Of the machine, also when that is gone.
  [[nodiscard]] const dax::Context& context() const noexcept { return *context_; }

  // Every call of File, OpenFile, Inode, FileSystem, SuperBlock, Process, Mapping, Attachment and dax, with good and bad
  // arguments, in an order and with choices that `seed` decides. Nothing in it ends the world.
  void exercise(Observer& saw, std::uint64_t seed);
  // The calls of Machine that change the whole world, and unmount.
  void end(Observer& saw, std::uint64_t seed);

 private:
  const dax::Context* context_ = nullptr;  // kept by whatever keeps the machine's core
};

// A call with arguments that are good, so that nothing but the world can make it fail.
struct PlainCall {
  enum class After : std::uint8_t { same_world, end_of_world };

  std::string name;
  std::function<Result<void>(World&)> call;
  After after = After::same_world;
};
// The calls that reach the device or need memory.
const std::vector<PlainCall>& plain_calls();

// All worlds, one after the other.
void visit_low_worlds(Observer& saw);
void visit_bad_calls(Observer& saw);
void visit_worlds(Observer& saw);

}  // namespace daxsim::test
