// SPDX-License-Identifier: BSD-3-Clause
// What one process of a scenario has, its open files, mappings and pins, and what it does with a step: the system calls,
// loads and stores that docs/scenario-language.md names, on the kernel it runs on.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>
#include <filesystem>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "outcome.hpp"

namespace oracle {

// Bus errors and segmentation faults of loads and stores are outcomes from here on, and SIGTERM ends a call that waits. For
// all threads of this process.
void install_signal_handlers();

// Threads: any; a call that waits does not keep others from playing.
// What the kernel told this process with a signal since the last time, as part of a result:
// ", async SIGBUS si_code=BUS_MCEERR_AR(4) si_addr=BASE+0x1000 lsb=12 (n=2)"; empty when it told nothing.
std::string take_notice();

class Process {
 public:
  // Files are in `folder`, and `direct_file` is the other file of direct-io.
  Process(std::filesystem::path folder, std::string direct_file);

  // Steps on the files and mappings of a process; others (mount, power-cut, ...) are the machine's.
  Outcome play(const Step& step);

  // May /proc/self/pagemap be read? Yes, until said otherwise.
  void read_page_tables(bool may) { may_read_page_tables_ = may; }

 private:
  struct File {
    int descriptor = -1;
    std::filesystem::path path;
  };
  struct Mapping {
    std::uint64_t address = 0;
    std::uint64_t offset = 0;  // in the file
    std::uint64_t length = 0;
  };
  struct Pin {
    std::uint64_t address = 0;
    int pipe[2] = {-1, -1};
  };

  Outcome open(const Step& step);
  Outcome sync_file_system() const;
  Outcome choose_file(const Step& step);
  Outcome close();
  Outcome file_call(const Step& step, const File& file);
  Outcome fallocate(const Step& step, const File& file);
  Outcome read(const Step& step, const File& file);
  Outcome write(const Step& step, const File& file);
  Outcome transfer_mapped(const Step& step, const File& file);
  Outcome extents(const Step& step, const File& file);
  Outcome seek(const Step& step, const File& file);
  Outcome reflink(const Step& step, const File& file);
  Outcome change_attribute(const Step& step, const File& file);

  Outcome map(const Step& step);
  Outcome choose_mapping(const Step& step);
  Outcome mapping_call(const Step& step, const Mapping& mapping);
  Outcome unmap(const Step& step, const Mapping& mapping);
  Outcome load(const Step& step, const Mapping& mapping);
  Outcome store(const Step& step, const Mapping& mapping);
  Outcome advise(const Step& step, std::uint64_t address);
  Outcome resident_pages(const Step& step, std::uint64_t address);
  Outcome page_table_entry(const Step& step, const Mapping& mapping);
  Outcome pin(const Step& step, std::uint64_t address);
  Outcome unpin(std::uint64_t address);
  Outcome direct_io(const Step& step, std::uint64_t address);

  [[nodiscard]] std::string entry_text(std::uint64_t address) const;
  [[nodiscard]] std::filesystem::path path_of(const std::string& name) const { return folder_ / name; }
  std::optional<File> current_file();
  std::optional<Mapping> current_mapping();

  const std::filesystem::path folder_;
  const std::string direct_file_;
  std::atomic<bool> may_read_page_tables_{true};
  std::mutex mutex_;  // of what follows; not held by calls that may wait
  std::vector<File> files_;
  std::size_t file_ = 0;
  std::vector<Mapping> mappings_;
  std::size_t mapping_ = 0;
  std::uint64_t next_address_;
  std::vector<Pin> pins_;
};

}  // namespace oracle
