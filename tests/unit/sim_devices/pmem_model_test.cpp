// SPDX-License-Identifier: BSD-3-Clause
// Random lives of a pmem against a model of std::maps: stores, flushes, fences,
// every kind of power cut, orderly ends, and devices pulled out. After each step the pending lines are exactly the
// model's.
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <unistd.h>

#include <rapidcheck/gtest.h>
#include <algorithm>
#include <array>
#include <map>
#include <vector>

#include "pmem_test.hpp"

namespace daxsim {
namespace {

using Line = std::array<std::uint64_t, 8>;

// Lines that differ from zero, by number.
using Lines = std::map<std::uint64_t, Line>;

Line value_in(const Lines& lines, std::uint64_t number) {
  const auto found = lines.find(number);
  return found == lines.end() ? Line{} : found->second;
}

// The pmem and what it should be, held against each other.
class Verifier {
 public:
  static constexpr std::uint64_t kSize = std::uint64_t{2} << 20;

  explicit Verifier(sim::PersistenceDomain domain)
      : file_(::memfd_create("media", MFD_CLOEXEC)),
        eadr_(domain == sim::PersistenceDomain::eadr),
        pmem_(sim::Pmem{.path = "/proc/self/fd/" + std::to_string(file_), .size = kSize, .domain = domain}) {}
  ~Verifier() {
    pmem_.close();
    ::close(file_);
  }

  void store(std::uint64_t line, std::uint64_t word, std::uint64_t value) {
    pmem_.store(line * kCacheLine + word * 8, value);
    Line& stored = view_.try_emplace(line, value_in(media_, line)).first->second;
    stored[word] = value;
  }

  void flush(ByteRange bytes) {
    RC_ASSERT(pmem_.view->flush(bytes).ok());
    if (bytes.length == 0) {
      return;
    }
    for (const auto& [line, value] : view_) {
      const bool inside = line >= bytes.offset / kCacheLine && line <= (bytes.end() - 1) / kCacheLine;
      if (inside && value != value_in(media_, line)) {
        if (!eadr_) {
          history_[line].push_back(value_in(media_, line));
        }
        media_[line] = value;
      }
    }
  }

  void fence() {
    pmem_.view->fence();
    history_.clear();
  }

  // Where each line can end, oldest value first, for the lines that can end in more than one way.
  [[nodiscard]] std::map<std::uint64_t, std::vector<Line>> outcomes() const {
    std::map<std::uint64_t, std::vector<Line>> all;
    for (const auto& [line, values] : history_) {
      all[line] = values;
      all[line].push_back(value_in(media_, line));
    }
    for (const auto& [line, value] : view_) {
      if (value != value_in(media_, line)) {
        if (!all.contains(line)) {
          all[line] = {value_in(media_, line)};
        }
        all[line].push_back(value);
      }
    }
    return all;
  }

  void power_cut(PowerCut choice) {
    const auto possible = outcomes();
    std::uint64_t unfenced = history_.size();
    std::uint64_t dirty = dirty_lines();
    if (choice.kind == PowerCut::Kind::listed && !eadr_) {
      for (const auto& [line, values] : possible) {
        if (*rc::gen::inRange(0, 3) != 0) {
          const auto outcome = *rc::gen::inRange<std::size_t>(0, values.size());
          choice.lines.push_back({line * kCacheLine, static_cast<std::uint32_t>(outcome)});
        }
      }
      std::reverse(choice.lines.begin(), choice.lines.end());
    }
    const PowerCutReport report = must(pmem_.view->power_cut(choice));
    pmem_.view.reset();
    pmem_.power_on();

    std::uint64_t lost = 0;
    for (const auto& [line, values] : possible) {
      const Line now = load(line);
      RC_ASSERT(std::find(values.begin(), values.end(), now) != values.end());
      if (eadr_ || choice.kind == PowerCut::Kind::all) {
        RC_ASSERT(now == values.back());
      } else if (choice.kind == PowerCut::Kind::none) {
        RC_ASSERT(now == values.front());
      } else if (choice.kind == PowerCut::Kind::listed) {
        const auto named = std::find_if(choice.lines.begin(), choice.lines.end(),
                                        [at = line * kCacheLine](const LineOutcome& one) { return one.offset == at; });
        RC_ASSERT(now == values[named == choice.lines.end() ? 0 : named->outcome]);
      }
      lost += now != values.back() ? 1 : 0;
      media_[line] = now;
    }
    RC_ASSERT(report.unfenced_lines == unfenced);
    RC_ASSERT(report.dirty_lines == dirty);
    RC_ASSERT(report.lost_lines == lost);
    forget();
  }

  void end_orderly() {
    pmem_.reopen();
    for (const auto& [line, value] : view_) {
      media_[line] = value;
    }
    forget();
  }

  void pull_out() {
    pmem_.view->unmap();
    pmem_.reopen();
    forget();
  }

  void check() {
    std::vector<LineHistory> expected;
    if (!eadr_) {
      for (const auto& [line, values] : outcomes()) {
        expected.push_back({line * kCacheLine, static_cast<std::uint32_t>(values.size())});
      }
    }
    RC_ASSERT(pmem_.view->pending_lines() == expected);
    RC_ASSERT(pmem_.view->dirty_lines({0, kSize}) == dirty_lines());
  }

  // Every line that ever was something, and so what the file is.
  void check_all() {
    for (const auto& [line, value] : media_) {
      RC_ASSERT(load(line) == (view_.contains(line) ? view_.at(line) : value));
      Line in_file{};
      RC_ASSERT(::pread(file_, in_file.data(), sizeof in_file, static_cast<off_t>(line * kCacheLine)) == 64);
      RC_ASSERT(in_file == value);
    }
  }

 private:
  Line load(std::uint64_t line) {
    Line value{};
    for (std::uint64_t word = 0; word < value.size(); ++word) {
      value[word] = pmem_.load(line * kCacheLine + word * 8);
    }
    return value;
  }
  [[nodiscard]] std::uint64_t dirty_lines() const {
    return static_cast<std::uint64_t>(std::count_if(
        view_.begin(), view_.end(), [this](const auto& line) { return line.second != value_in(media_, line.first); }));
  }
  void forget() {
    view_.clear();
    history_.clear();
  }

  const int file_;
  const bool eadr_;
  PmemOnFile pmem_;
  Lines view_;                                          // lines that were stored to in this life
  Lines media_;                                         // lines that ever reached the media
  std::map<std::uint64_t, std::vector<Line>> history_;  // what flushed lines held before, since the last fence
};

// A few lines at the edges of pages and chunks, so that they meet again.
std::uint64_t any_line() {
  const auto page = *rc::gen::element<std::uint64_t>(0, 1, 15, 16, 17, 300, 511);
  return page * 64 + *rc::gen::element<std::uint64_t>(0, 1, 31, 63);
}

void live(sim::PersistenceDomain domain) {
  Verifier verifier(domain);
  const auto steps = *rc::gen::inRange(1, 80);
  for (int step = 0; step < steps; ++step) {
    const auto what = *rc::gen::inRange(0, 100);
    if (what < 45) {
      verifier.store(any_line(), *rc::gen::inRange<std::uint64_t>(0, 8), *rc::gen::inRange<std::uint64_t>(0, 4));
    } else if (what < 75) {
      const std::uint64_t first = any_line() * kCacheLine + *rc::gen::inRange<std::uint64_t>(0, 64);
      const std::uint64_t end = any_line() * kCacheLine + *rc::gen::inRange<std::uint64_t>(0, 65);
      verifier.flush({std::min(first, end), std::max(first, end) - std::min(first, end)});
    } else if (what < 87) {
      verifier.fence();
    } else if (what < 90) {
      verifier.power_cut({.kind = PowerCut::Kind::none});
    } else if (what < 92) {
      verifier.power_cut({.kind = PowerCut::Kind::all});
    } else if (what < 94) {
      verifier.power_cut({.kind = PowerCut::Kind::seeded, .seed = *rc::gen::arbitrary<std::uint64_t>()});
    } else if (what < 97) {
      verifier.power_cut({.kind = PowerCut::Kind::listed});
    } else if (what < 99) {
      verifier.end_orderly();
    } else {
      verifier.pull_out();
    }
    verifier.check();
  }
  verifier.check_all();
}

RC_GTEST_PROP(PmemModelTest, AdrAgreesWithTheModel, ()) {
  // Lines take exactly the values that they can.
  live(sim::PersistenceDomain::adr);
}

RC_GTEST_PROP(PmemModelTest, EadrAgreesWithTheModel, ()) {
  // No line ever loses anything, save when the device is pulled out.
  live(sim::PersistenceDomain::eadr);
}

}  // namespace
}  // namespace daxsim
