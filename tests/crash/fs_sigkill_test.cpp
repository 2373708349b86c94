// SPDX-License-Identifier: BSD-3-Clause
#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <chrono>
#include <cstring>
#include <string>
#include <thread>

#include "crash/fs_writer.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/test_support/builders.hpp"
#include "support/sanitized.hpp"
#include "support/victim.hpp"

namespace daxsim::test {
namespace {

// A page that the writer shares with us.
class SharedProgress {
 public:
  SharedProgress() {
    const int fd = ::open(file_.path().c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    EXPECT_EQ(::ftruncate(fd, 4096), 0);
    memory_ = ::mmap(nullptr, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
    ::close(fd);
    new (memory_) WriterProgress();
  }
  ~SharedProgress() { ::munmap(memory_, 4096); }
  SharedProgress(const SharedProgress&) = delete;
  SharedProgress& operator=(const SharedProgress&) = delete;
  WriterProgress* operator->() { return static_cast<WriterProgress*>(memory_); }
  [[nodiscard]] std::string path() const { return file_.path().string(); }

 private:
  TemporaryFile file_;
  void* memory_ = nullptr;
};

// Two hundred and fifty kills in each of four parts; a writer that stores through a live mapping and fsyncs dies at a
// random instant, half of the time inside an fsync. Then: the image mounts, everything fenced is there, what was under
// way is old or new, and no value is torn.
class FsKills : public ::testing::TestWithParam<std::uint64_t> {};

TEST_P(FsKills, FencedStoresSurvive) {
  constexpr int kKills = kSanitized ? 25 : 250;
  Random random(GetParam());
  TemporaryFile media;
  {
    Machine machine;
    DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = kWriterDevice}));
    FileSystem fs = must(machine.mkfs<LinearFs>(device));
    File file = must(fs.create("/cells", kWriterPages * kPageSize));
    must(file.fsync());
  }
  SharedProgress progress;
  std::vector<std::uint64_t> durable(kWriterCells, 0);
  std::uint64_t next_round = 1;
  int inside_fsync = 0;
  for (int count = 0; count < kKills; ++count) {
    support::Victim writer(std::string(DAXSIM_TEST_PROGRAMS) + "/fs_writer",
                           {media.path().string(), progress.path(), std::to_string(next_round)},
                           support::Victim::Mode::free);
    while (progress->started.load() < next_round) {
      std::this_thread::yield();
      ASSERT_TRUE(writer.running()) << "the writer ended by itself";
    }
    std::this_thread::sleep_for(std::chrono::microseconds{random.below(2000)});
    if (random.one_in(2)) {
      while (progress->in_fsync.load() == 0) {
      }
    }
    ASSERT_TRUE(writer.kill()) << "the writer ended by itself";
    inside_fsync += static_cast<int>(progress->in_fsync.exchange(0));
    const std::uint64_t fenced = progress->fenced.load();
    const std::uint64_t started = progress->started.load();

    for (std::uint64_t round = next_round; round <= fenced; ++round) {
      for (std::uint64_t cell = 0; cell < kWriterCells; ++cell) {
        if (writes(round, cell)) {
          durable[cell] = value_of(round);
        }
      }
    }
    Machine machine;
    DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = kWriterDevice}));
    FileSystem fs = must(machine.mount<LinearFs>(device));
    File file = must(fs.open("/cells"));
    std::vector<std::byte> bytes(kWriterPages * kPageSize);
    ASSERT_EQ(must(file.pread(0, bytes)), bytes.size());
    for (std::uint64_t cell = 0; cell < kWriterCells; ++cell) {
      std::uint64_t value = 0;
      std::memcpy(&value, bytes.data() + cell * 64, sizeof value);
      const bool under_way = started > fenced && writes(started, cell) && value == value_of(started);
      ASSERT_TRUE(value == durable[cell] || under_way)
          << "kill " << count << " cell " << cell << ": " << std::hex << value << ", fenced " << durable[cell];
      durable[cell] = value;
    }
    next_round = started + 1;
  }
  EXPECT_GT(inside_fsync, kKills / 10);
}

INSTANTIATE_TEST_SUITE_P(Parts, FsKills, ::testing::Range<std::uint64_t>(0, 4));

}  // namespace
}  // namespace daxsim::test
