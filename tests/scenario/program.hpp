// SPDX-License-Identifier: BSD-3-Clause
// Random programs against a model of what must survive.
//
// A program works on one file: store, write, fsync, truncate, punch, remount, cut. The unit is a cell: the first eight
// bytes of a 64-byte line. The model keeps for each cell the value a reader must see now, and the set of values that a
// reader may see after a power cut: what it was when it last became durable, and everything since. A cut narrows each
// set to what was found.
#pragma once

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "daxsim/base/random.hpp"
#include "daxsim/test_support/builders.hpp"

namespace daxsim::test {

enum class Mmu : std::uint8_t { soft, userfaultfd, sigsegv };
const char* mmu_name(Mmu mmu);

class Program {
 public:
  struct Shape {
    std::uint64_t pages = 24;  // the file never grows beyond
    std::uint64_t steps = 40;
    std::uint64_t device_size = std::uint64_t{8} << 20;
    bool realtime = false;  // the file is on the realtime device of a RealtimeFs
  };

  Program(std::uint64_t seed, Mmu mmu, const Shape& shape, const MachineOptions& options = {});
  ~Program();

  // Runs it; empty when all was well, else what went wrong and the steps that led there.
  std::string run();

 private:
  using Cell = std::uint64_t;  // byte offset / 64
  struct Model {
    std::uint64_t size = 0;
    std::set<std::uint64_t> sizes{0};               // possible after a cut
    std::map<Cell, std::uint64_t> now;              // absent: 0
    std::map<Cell, std::set<std::uint64_t>> maybe;  // absent: {0}
  };

  void step();
  void store();
  void write();
  void truncate();
  void punch();
  void sync();
  void cut();
  void remount();
  void check_all(const char* when);

  void open_and_map(bool create);
  void unmap_and_close();
  void put(Cell cell, std::uint64_t value);
  void clear_cells(std::uint64_t first_byte, std::uint64_t end_byte);
  void all_durable();
  [[nodiscard]] std::uint64_t load(Cell cell);
  void fail(std::string what);

  const Shape shape_;
  const Mmu mmu_;
  Random random_;
  MountedWorld world_;
  std::optional<File> file_;
  std::optional<Mapping> map_;
  Process* process_ = nullptr;
  std::uint64_t address_ = 0;
  Model model_;
  std::uint64_t next_value_ = 1;
  std::vector<std::string> log_;
  std::string failure_;
};

}  // namespace daxsim::test
