// SPDX-License-Identifier: BSD-3-Clause
// fs_writer MEDIA PROGRESS FIRST_ROUND: stores and fsyncs through a live mapping, and makes, renames and removes files,
// until it is killed.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <cstdio>
#include <cstdlib>
#include <string>

#include "crash/fs_writer.hpp"
#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/sim_devices/pmem.hpp"
#include "daxsim/test_support/must.hpp"

using namespace daxsim;
using namespace daxsim::test;

int main(int argc, char** argv) {
  if (argc != 4) {
    std::fprintf(stderr, "usage: fs_writer MEDIA PROGRESS FIRST_ROUND\n");
    return 2;
  }
  const int fd = ::open(argv[2], O_RDWR | O_CLOEXEC);
  void* const shared = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (fd < 0 || shared == MAP_FAILED) {
    std::perror(argv[2]);
    return 2;
  }
  auto& progress = *static_cast<WriterProgress*>(shared);

  Machine machine;
  DeviceHandle device = must(machine.attach(sim::Pmem{.path = argv[1], .size = kWriterDevice}));
  FileSystem fs = must(machine.mount<LinearFs>(device));
  File file = must(fs.open("/cells"));
  Mapping map = must(file.map());
  for (std::uint64_t round = std::strtoull(argv[3], nullptr, 10);; ++round) {
    progress.started.store(round);
    for (std::uint64_t cell = 0; cell < kWriterCells; ++cell) {
      if (writes(round, cell)) {
        *reinterpret_cast<volatile std::uint64_t*>(map.data() + cell * 64) = value_of(round);
      }
    }
    if (round % 4 == 0) {
      const std::string name = "/made-" + std::to_string(round);
      must(fs.create(name, 8192));
      must(fs.rename(name, "/renamed"));
    }
    if (round % 16 == 0) {
      must(fs.unlink("/renamed"));
    }
    progress.in_fsync.store(1);
    must(file.fsync());
    progress.in_fsync.store(0);
    progress.fenced.store(round);
  }
}
