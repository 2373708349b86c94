// SPDX-License-Identifier: BSD-3-Clause
// View, media and what lies between: translation, flush, fence, histories, power cuts.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cstring>
#include <fstream>
#include <set>
#include <thread>
#include <vector>

#include "pmem_test.hpp"
#include "support/child.hpp"
#include "support/error_of.hpp"

namespace daxsim {
namespace {

using sim::PersistenceDomain;
using support::error_of;
using support::in_child;
using namespace literals;
using Lines = std::vector<LineHistory>;

constexpr std::uint64_t kSmall = PmemOnFile::kSmall;
constexpr PowerCut kNone{.kind = PowerCut::Kind::none};
constexpr PowerCut kAll{.kind = PowerCut::Kind::all};

PowerCut listed(std::vector<LineOutcome> lines) { return {.kind = PowerCut::Kind::listed, .lines = std::move(lines)}; }

// Whether the host can read the byte there; it says so without a signal.
bool readable(const void* address) {
  int ends[2];
  if (::pipe(ends) != 0) {
    return false;
  }
  const bool ok = ::write(ends[1], address, 1) == 1;
  ::close(ends[0]);
  ::close(ends[1]);
  return ok;
}

TEST(PmemViewTest, ShowsTheFile) {
  // Data, holes between them, and data in the middle of a chunk, at every page.
  support::TempFile file;
  std::string text(3_MiB, '\0');
  {
    // A file with holes: pages 0, 17, 18 and the last one have data.
    std::ofstream stream(file.path(), std::ios::binary);
    for (const std::uint64_t page : {0UL, 17UL, 18UL, 511UL}) {
      stream.seekp(static_cast<std::streamoff>(page * kPageSize));
      stream << std::string(kPageSize, static_cast<char>('a' + page % 26));
    }
  }
  ASSERT_EQ(std::filesystem::file_size(file.path()), 2_MiB);
  Arena arena;
  VirtualClock clock;
  const auto device = must(sim::open({.path = file.path()}));
  const auto view = must(device->make_view({arena, clock}));
  const auto expected = file.read();
  for (std::uint64_t page = 0; page < 512; ++page) {
    const auto memory = must(view->direct_access({page}, 1, DaxMode::access));
    ASSERT_EQ(std::memcmp(memory.kaddr, expected.data() + page * kPageSize, kPageSize), 0) << page;
  }
}

TEST(PmemViewTest, TranslatesRuns) {
  // Whole device in one answer where it fits: as asked, contiguous, with the file behind it.
  PmemOnFile pmem;
  const auto memory = must(pmem.view->direct_access({7}, 249, DaxMode::access));
  EXPECT_EQ(memory.pages, 249U);
  EXPECT_EQ(memory.fd_offset, 7 * kPageSize);
  EXPECT_EQ(must(pmem.view->direct_access({8}, 1, DaxMode::access)).kaddr, memory.kaddr + kPageSize);
  EXPECT_EQ(must(pmem.view->direct_access({255}, 9, DaxMode::access)).pages, 1U) << "the device ends";
  EXPECT_EQ(must(pmem.view->direct_access({0}, 4, DaxMode::recovery_write)).pages, 4U);
}

TEST(PmemViewTest, BoundsItsAnswers) {
  // Asking for everything makes only so much of it exist.
  PmemOnFile pmem(PersistenceDomain::adr, 64_MiB);
  const auto memory = must(pmem.view->direct_access({0}, 64_MiB / kPageSize, DaxMode::access));
  EXPECT_EQ(memory.pages, 4096U);
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd, &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 16_MiB);
}

TEST(PmemViewTest, TheFileBehindHasThePages) {
  // A live mapping can only install pages that exist: those asked for do, also where the media is a hole; others do
  // not.
  PmemOnFile pmem;
  const auto memory = must(pmem.view->direct_access({20}, 3, DaxMode::access));
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd, &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, 3 * kPageSize);
}

TEST(PmemViewTest, TheFileBehindIsTheSameMemory) {
  // What a mapping of the descriptor shows is what the library sees, and it cannot be shortened by it.
  PmemOnFile pmem;
  pmem.store(5 * kPageSize, 17);
  const auto memory = must(pmem.view->direct_access({5}, 1, DaxMode::access));
  std::uint64_t value = 0;
  ASSERT_EQ(::pread(memory.fd, &value, sizeof value, static_cast<off_t>(memory.fd_offset)), 8);
  EXPECT_EQ(value, 17U);
  EXPECT_NE(::ftruncate(memory.fd, 0), 0);
}

TEST(PmemViewTest, StoresStayInTheCache) {
  // Without a flush nothing reaches the file.
  PmemOnFile pmem;
  pmem.store(4096, 1);
  EXPECT_EQ(pmem.media(4096), 0U);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 1U);
  EXPECT_EQ(pmem.power_cycle(kNone).lost_lines, 1U);
  EXPECT_EQ(pmem.load(4096), 0U);
}

TEST(PmemViewTest, FlushMovesLinesRoundedOut) {
  // Exactly the lines that have a byte in the range.
  PmemOnFile pmem;
  for (std::uint64_t line = 0; line < 8; ++line) {
    pmem.store(line * 64, line + 1);
  }
  pmem.flush(2 * 64 + 63, 2);  // the last byte of line 2 and the first of line 3
  for (std::uint64_t line = 0; line < 8; ++line) {
    EXPECT_EQ(pmem.media(line * 64), line == 2 || line == 3 ? line + 1 : 0) << line;
  }
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 6U);
}

TEST(PmemViewTest, FlushTakesAnyRange) {
  // One byte, nothing, pages with gaps, the last line of the device, the whole device.
  PmemOnFile pmem;
  pmem.store(kSmall - 8, 9);
  pmem.store(3 * kPageSize - 8, 8);
  pmem.store(3 * kPageSize, 7);
  pmem.flush(3 * kPageSize, 0);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 3U);
  pmem.flush(3 * kPageSize - 1, 1);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 2U);
  pmem.flush(kSmall - 1, 1);
  EXPECT_EQ(pmem.media(kSmall - 8), 9U);
  pmem.flush(0, kSmall);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 0U);
}

TEST(PmemViewTest, CountsDirtyLinesOfARange) {
  // Lines that have a byte in the range, and nothing for an empty one.
  PmemOnFile pmem;
  pmem.store(64, 1);
  pmem.store(128, 1);
  pmem.store(kPageSize, 1);
  EXPECT_EQ(pmem.view->dirty_lines({0, 64}), 0U);
  EXPECT_EQ(pmem.view->dirty_lines({0, 65}), 1U);
  EXPECT_EQ(pmem.view->dirty_lines({127, 2}), 2U);
  EXPECT_EQ(pmem.view->dirty_lines({127, kPageSize}), 3U);
  EXPECT_EQ(pmem.view->dirty_lines({127, 0}), 0U);
}

TEST(PmemViewTest, OverwritingWithTheSameIsNothing) {
  // A line that does not differ is not moved and has no choice.
  PmemOnFile pmem;
  pmem.persist(0, 5);
  pmem.store(0, 6);
  pmem.store(0, 5);
  pmem.flush(0);
  EXPECT_EQ(pmem.view->pending_lines(), Lines{});
}

TEST(PmemViewTest, FenceOrders) {
  // Flushed and not fenced is a choice, fenced is not.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.flush(0);
  EXPECT_EQ(pmem.view->pending_lines(), (Lines{{0, 2}}));
  pmem.view->fence();
  EXPECT_EQ(pmem.view->pending_lines(), Lines{});
  EXPECT_EQ(pmem.power_cycle(kNone).lost_lines, 0U);
  EXPECT_EQ(pmem.load(0), 1U);
}

TEST(PmemViewTest, LinesHaveHistories) {
  // Every flush since the fence is a value, then the view when it differs; ascending by line.
  PmemOnFile pmem;
  pmem.persist(128, 1);
  for (std::uint64_t value = 2; value <= 4; ++value) {
    pmem.store(128, value);
    pmem.flush(128);
  }
  pmem.store(128, 5);
  pmem.store(64, 1);             // dirty only
  pmem.store(kPageSize * 9, 1);  // flushed only
  pmem.flush(kPageSize * 9);
  EXPECT_EQ(pmem.view->pending_lines(), (Lines{{64, 2}, {128, 5}, {kPageSize * 9, 2}}));
}

TEST(PmemViewTest, EveryOutcomeOfAHistoryCanBeChosen) {
  // 1 fenced, 2 3 4 flushed, 5 in the view: outcome n is value n + 1.
  for (std::uint32_t outcome = 0; outcome < 5; ++outcome) {
    PmemOnFile pmem;
    pmem.persist(128, 1);
    for (std::uint64_t value = 2; value <= 4; ++value) {
      pmem.store(128, value);
      pmem.flush(128);
    }
    pmem.store(128, 5);
    const auto report = pmem.power_cycle(listed({{128, outcome}}));
    EXPECT_EQ(pmem.load(128), outcome + 1);
    EXPECT_EQ(report.unfenced_lines, 1U);
    EXPECT_EQ(report.dirty_lines, 1U);
    EXPECT_EQ(report.lost_lines, outcome == 4 ? 0U : 1U);
  }
}

TEST(PmemViewTest, AllCombinationsOfASmallCase) {
  // Three lines with 2, 3 and 3 outcomes: each of the 18 worlds can be had, and no two are the same.
  std::set<std::vector<std::uint64_t>> worlds;
  const auto build = [](PmemOnFile& pmem) {
    pmem.store(0, 11);  // dirty
    pmem.store(64, 21);
    pmem.flush(64);
    pmem.store(64, 22);  // flushed and dirty
    for (std::uint64_t value = 31; value <= 32; ++value) {
      pmem.store(kPageSize, value);
      pmem.flush(kPageSize);  // flushed twice
    }
  };
  for (std::uint32_t a = 0; a < 2; ++a) {
    for (std::uint32_t b = 0; b < 3; ++b) {
      for (std::uint32_t c = 0; c < 3; ++c) {
        PmemOnFile pmem;
        build(pmem);
        ASSERT_EQ(pmem.view->pending_lines(), (Lines{{0, 2}, {64, 3}, {kPageSize, 3}}));
        pmem.power_cycle(listed({{kPageSize, c}, {0, a}, {64, b}}));
        const std::vector<std::uint64_t> world{pmem.load(0), pmem.load(64), pmem.load(kPageSize)};
        EXPECT_EQ(world, (std::vector<std::uint64_t>{a == 0 ? 0U : 11U, b == 0 ? 0U : 20U + b, c == 0 ? 0U : 30U + c}));
        worlds.insert(world);
      }
    }
  }
  EXPECT_EQ(worlds.size(), 18U);
}

TEST(PmemViewTest, UnlistedLinesKeepTheFencedValue) {
  // listed names exceptions from none.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.store(64, 1);
  pmem.flush(0, 128);
  const auto report = pmem.power_cycle(listed({{64, 1}}));
  EXPECT_EQ(pmem.load(0), 0U);
  EXPECT_EQ(pmem.load(64), 1U);
  EXPECT_EQ(report.unfenced_lines, 2U);
  EXPECT_EQ(report.dirty_lines, 0U);
  EXPECT_EQ(report.lost_lines, 1U);
}

TEST(PmemViewTest, AWrongListChangesNothing) {
  // Errno::einval for lines and outcomes that do not exist, and for a line named twice; the view goes on.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.store(64, 1);
  pmem.flush(64);
  for (const auto& wrong : std::vector<std::vector<LineOutcome>>{
           {{64, 1}, {0, 2}},      // no such outcome
           {{64, 1}, {128, 0}},    // a line without a choice
           {{64, 1}, {65, 0}},     // inside a line
           {{64, 1}, {1_TiB, 0}},  // beyond the end
           {{64, 1}, {64, 0}},     // twice
       }) {
    EXPECT_EQ(error_of(pmem.view->power_cut(listed(wrong))), Errno::einval) << wrong.back().offset;
    EXPECT_EQ(pmem.view->pending_lines(), (Lines{{0, 2}, {64, 2}}));
    EXPECT_EQ(pmem.load(0), 1U);
    EXPECT_EQ(pmem.media(64), 1U);
  }
  pmem.power_cycle(listed({}));
  EXPECT_EQ(pmem.load(64), 0U);
}

TEST(PmemViewTest, AllLosesNothing) {
  // all: the last outcome of each line, dirty ones included.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.store(64, 2);
  pmem.flush(64);
  pmem.store(64, 3);
  const auto report = pmem.power_cycle(kAll);
  EXPECT_EQ(report.lost_lines, 0U);
  EXPECT_EQ(report.dirty_lines, 2U);
  EXPECT_EQ(pmem.load(0), 1U);
  EXPECT_EQ(pmem.load(64), 3U);
}

TEST(PmemViewTest, SeedsRepeatAndDiffer) {
  // The same seed loses the same lines, other seeds others, and each line can go either way.
  const auto survivors = [](std::uint64_t seed) {
    PmemOnFile pmem;
    for (std::uint64_t line = 0; line < 64; ++line) {
      pmem.store(line * 64, line + 1);
    }
    pmem.flush(0, 32 * 64);
    pmem.power_cycle({.kind = PowerCut::Kind::seeded, .seed = seed});
    std::vector<bool> survived;
    for (std::uint64_t line = 0; line < 64; ++line) {
      const std::uint64_t value = pmem.load(line * 64);
      EXPECT_TRUE(value == 0 || value == line + 1);
      survived.push_back(value != 0);
    }
    return survived;
  };
  EXPECT_EQ(survivors(1), survivors(1));
  EXPECT_NE(survivors(1), survivors(2));
  const auto first = survivors(3);
  for (const int start : {0, 32}) {  // the flushed half and the dirty one
    const auto lived = std::count(first.begin() + start, first.begin() + start + 32, true);
    EXPECT_GT(lived, 4);
    EXPECT_LT(lived, 28);
  }
}

TEST(PmemViewTest, ARevertedLineIsNotLost) {
  // 1 fenced, 2 flushed, 1 flushed again: the fenced value is the view's.
  PmemOnFile pmem;
  pmem.persist(0, 1);
  pmem.store(0, 2);
  pmem.flush(0);
  pmem.store(0, 1);
  pmem.flush(0);
  EXPECT_EQ(pmem.view->pending_lines(), (Lines{{0, 3}}));
  const auto report = pmem.power_cycle(kNone);
  EXPECT_EQ(report.unfenced_lines, 1U);
  EXPECT_EQ(report.lost_lines, 0U);
}

TEST(PmemViewTest, PowerCutTakesTheMemory) {
  // Addresses of the dead view stay taken and cannot be read; nothing of it comes back, and its host memory is free.
  PmemOnFile pmem;
  const auto memory = must(pmem.view->direct_access({0}, 4, DaxMode::access));
  ASSERT_TRUE(readable(memory.kaddr));
  must(pmem.view->power_cut(kNone));
  EXPECT_FALSE(readable(memory.kaddr));
  EXPECT_FALSE(readable(memory.kaddr + kSmall - 1));
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd, &status), 0);
  EXPECT_EQ(status.st_blocks, 0);
  pmem.view->unmap();  // the machine's removal goes on to its end
}

TEST(PmemViewTest, UnmapTakesTheMemoryAndKeepsTheMedia) {
  // A device that was pulled out: what was flushed is on it, fenced or not, the rest was in the caches.
  PmemOnFile pmem;
  pmem.store(0, 1);
  pmem.flush(0);
  pmem.store(0, 2);
  pmem.store(64, 1);
  const auto memory = must(pmem.view->direct_access({0}, 1, DaxMode::access));
  pmem.view->unmap();
  EXPECT_FALSE(readable(memory.kaddr));
  pmem.reopen();
  EXPECT_EQ(pmem.load(0), 1U);
  EXPECT_EQ(pmem.load(64), 0U);
}

TEST(PmemViewTest, AnOrderlyEndLosesNothing) {
  // A machine that is shut down writes its caches back, in both domains.
  for (const auto domain : {PersistenceDomain::adr, PersistenceDomain::eadr}) {
    PmemOnFile pmem(domain);
    pmem.store(0, 1);
    pmem.flush(0);
    pmem.store(0, 2);
    pmem.store(kSmall - 8, 3);
    pmem.reopen();
    EXPECT_EQ(pmem.load(0), 2U);
    EXPECT_EQ(pmem.load(kSmall - 8), 3U);
    EXPECT_EQ(pmem.view->pending_lines(), Lines{});
  }
}

TEST(PmemViewTest, EadrLosesNothing) {
  // The caches are inside the domain: no line has a choice, whatever the power cut says.
  for (const auto& choice : {kNone, kAll, PowerCut{.kind = PowerCut::Kind::seeded, .seed = 3}, listed({})}) {
    PmemOnFile pmem(PersistenceDomain::eadr);
    pmem.store(0, 1);
    pmem.flush(0);
    pmem.store(0, 2);
    pmem.store(64, 3);
    EXPECT_EQ(pmem.view->pending_lines(), Lines{});
    EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 2U);
    EXPECT_EQ(error_of(pmem.view->power_cut(listed({{64, 0}}))), Errno::einval);
    const auto report = pmem.power_cycle(choice);
    EXPECT_EQ(report.lost_lines, 0U);
    EXPECT_EQ(report.unfenced_lines, 0U);
    EXPECT_EQ(pmem.load(0), 2U);
    EXPECT_EQ(pmem.load(64), 3U);
  }
}

TEST(PmemViewTest, EadrFlushKeepsTheFileUpToDate) {
  // Nothing to wait for, but the file is worth reading.
  PmemOnFile pmem(PersistenceDomain::eadr);
  pmem.store(0, 1);
  pmem.flush(0);
  EXPECT_EQ(pmem.media(0), 1U);
}

TEST(PmemViewTest, TheNextViewSeesWhatSurvived) {
  // Several lives of one device, with lines in chunks that were holes before.
  PmemOnFile pmem(PersistenceDomain::adr, 4_MiB);
  for (std::uint64_t life = 1; life < 6; ++life) {
    const std::uint64_t offset = life * 640 * 1024;
    pmem.persist(offset, life);
    pmem.store(offset + 64, life);
    pmem.power_cycle(kNone);
    for (std::uint64_t before = 1; before <= life; ++before) {
      EXPECT_EQ(pmem.load(before * 640 * 1024), before);
      EXPECT_EQ(pmem.load(before * 640 * 1024 + 64), 0U);
    }
  }
}

TEST(PmemViewTest, TheLogGrowsAndShrinks) {
  // More lines than a block of the log holds, several times each; the arena has them back in the end.
  PmemOnFile pmem;
  for (std::uint64_t value = 1; value <= 3; ++value) {
    for (std::uint64_t line = 0; line < 2000; ++line) {
      pmem.store(line * 64, value * 10000 + line);
    }
    pmem.flush(0, 2000 * 64);
  }
  const auto full = pmem.arena.usage().in_use;
  EXPECT_GE(full, 3 * 2000 * 72U);
  const Lines lines = pmem.view->pending_lines();
  ASSERT_EQ(lines.size(), 2000U);
  EXPECT_TRUE(std::all_of(lines.begin(), lines.end(), [](const auto& line) { return line.outcomes == 4; }));
  pmem.view->fence();
  EXPECT_LE(pmem.arena.usage().in_use, 64_KiB) << "one block is kept";
  pmem.view.reset();
  EXPECT_EQ(pmem.arena.usage().in_use, 0U);
}

TEST(PmemViewTest, NoMemoryForTheLog) {
  // Errno::enomem; what was moved before has its record, the rest is still dirty, and flushing works again later.
  PmemOnFile pmem;
  for (std::uint64_t line = 0; line < 2000; ++line) {
    pmem.store(line * 64, line + 1);
  }
  pmem.arena.fail_from(2);
  EXPECT_EQ(error_of(pmem.view->flush({0, 2000 * 64})), Errno::enomem);
  const auto dirty = pmem.view->dirty_lines({0, kSmall});
  EXPECT_GT(dirty, 0U);
  EXPECT_LT(dirty, 2000U);
  const Lines lines = pmem.view->pending_lines();
  EXPECT_EQ(lines.size(), 2000U);
  EXPECT_TRUE(std::all_of(lines.begin(), lines.end(), [](const auto& line) { return line.outcomes == 2; }));
  pmem.arena.fail_from(0);
  pmem.flush(0, 2000 * 64);
  EXPECT_EQ(pmem.view->dirty_lines({0, kSmall}), 0U);
  EXPECT_EQ(pmem.power_cycle(kNone).lost_lines, 2000U);
}

TEST(PmemViewTest, ATruncatedFileIsAnError) {
  // Errno::eio where the library can notice: a chunk that was not read yet, and blocks that were not reserved yet.
  EXPECT_EQ(in_child([](std::ostream& out) {
              PmemOnFile pmem(PersistenceDomain::adr, 2_MiB);
              std::filesystem::resize_file(pmem.config.path, 0);
              out << (error_of(pmem.view->direct_access({9}, 1, DaxMode::access)) == Errno::eio ? "" : "translated");
              std::filesystem::resize_file(pmem.config.path, 2_MiB);
              pmem.store(0, 1);
              std::filesystem::resize_file(pmem.config.path, 1_MiB);
              out << (error_of(pmem.view->flush({0, 64})) == Errno::eio ? "" : "flushed");
              out << (error_of(pmem.view->power_cut(kAll)) == Errno::eio ? "" : "cut");
              std::filesystem::resize_file(pmem.config.path, 2_MiB);
              out << (pmem.view->flush({0, 64}).ok() ? "" : "not flushed");
            }),
            "");
}

TEST(PmemViewTest, ThreadsTranslateTheSamePages) {
  // Concurrent first touches of a file with data: everybody sees the file, never a page that is not filled yet.
  support::TempFile file;
  std::ofstream(file.path(), std::ios::binary) << std::string(kSmall, 'd');
  for (int round = 0; round < 20; ++round) {
    Arena arena;
    VirtualClock clock;
    const auto device = must(sim::open({.path = file.path()}));
    const auto view = must(device->make_view({arena, clock}));
    std::vector<std::thread> threads;
    for (std::uint64_t thread = 0; thread < 4; ++thread) {
      threads.emplace_back([&view, thread] {
        for (std::uint64_t i = 0; i < 256; ++i) {
          const std::uint64_t page = (i * (2 * thread + 1)) % 256;
          const auto memory = must(view->direct_access({page}, 1, DaxMode::access));
          const auto* words = reinterpret_cast<const std::uint64_t*>(memory.kaddr);
          for (std::uint64_t word = 0; word < kPageSize / 8; word += 37) {
            ASSERT_EQ(__atomic_load_n(words + word, __ATOMIC_RELAXED), 0x6464646464646464U);
          }
        }
      });
    }
    for (std::thread& thread : threads) {
      thread.join();
    }
    EXPECT_EQ(view->dirty_lines({0, kSmall}), 0U);
  }
}

TEST(PmemViewTest, StoresFlushesAndFencesRun) {
  // Threads that store, flush and fence lines of their own in shared pages: what a thread fenced is never lost.
  PmemOnFile pmem;
  constexpr std::uint64_t kThreads = 4;
  std::vector<std::thread> threads;
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    threads.emplace_back([&pmem, thread] {
      for (std::uint64_t round = 1; round <= 300; ++round) {
        for (std::uint64_t page = 0; page < 3; ++page) {
          pmem.store(page * kPageSize + thread * 64, round);
        }
        pmem.flush(round % 2 == 0 ? 0 : thread * 64, 3 * kPageSize);
        if (round % 16 == 0) {
          pmem.view->pending_lines();
          pmem.view->dirty_lines({0, kSmall});
        }
        pmem.view->fence();
      }
    });
  }
  for (std::thread& thread : threads) {
    thread.join();
  }
  EXPECT_EQ(pmem.power_cycle(kNone).lost_lines, 0U);
  for (std::uint64_t thread = 0; thread < kThreads; ++thread) {
    EXPECT_EQ(pmem.load(2 * kPageSize + thread * 64), 300U);
  }
}

TEST(PmemViewTest, TerabytesAreSparse) {
  // The largest device: everything costs what is touched and not what could be. Host memory and blocks are counted. The
  // file is in memory, since a disk takes its time to scatter blocks over a terabyte.
  const int media = ::memfd_create("media", MFD_CLOEXEC);
  PmemOnFile pmem(sim::Pmem{.path = "/proc/self/fd/" + std::to_string(media), .size = 1_TiB});
  constexpr std::uint64_t kTouched = 200;
  const auto at = [](std::uint64_t i) { return i * (1_TiB / kTouched) / kPageSize * kPageSize + 128; };
  for (std::uint64_t i = 0; i < kTouched; ++i) {
    pmem.store(at(i), i + 1);
    if (i % 2 == 0) {
      pmem.flush(at(i));
    }
  }
  const auto memory = must(pmem.view->direct_access({0}, 1, DaxMode::access));
  struct stat status{};
  ASSERT_EQ(::fstat(memory.fd, &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, kTouched * kPageSize);
  ASSERT_EQ(::fstat(media, &status), 0);
  EXPECT_EQ(static_cast<std::uint64_t>(status.st_blocks) * 512, (kTouched / 2) * 64_KiB);

  EXPECT_EQ(pmem.view->dirty_lines({0, 1_TiB}), kTouched / 2);
  EXPECT_EQ(pmem.view->pending_lines().size(), kTouched);
  must(pmem.view->flush({0, 1_TiB}));
  pmem.view->fence();
  EXPECT_EQ(pmem.view->pending_lines(), Lines{});
  pmem.store(at(7), 0);
  EXPECT_EQ(pmem.power_cycle(kNone).lost_lines, 1U);
  for (std::uint64_t i = 0; i < kTouched; ++i) {
    EXPECT_EQ(pmem.load(at(i)), i + 1);
  }
  ::close(media);
}

}  // namespace
}  // namespace daxsim
