// SPDX-License-Identifier: BSD-3-Clause
// Verifier: an XArray beside a std::map that says what it should hold. Every step is done to both, and then everything
// that can be asked is compared. A difference throws, which GoogleTest, RapidCheck and libFuzzer all report.
#pragma once

#include <algorithm>
#include <bit>
#include <cstdint>
#include <limits>
#include <map>
#include <ostream>
#include <set>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "daxsim/base/arena.hpp"
#include "daxsim/index/xarray.hpp"

namespace daxsim::test {

enum class Action : std::uint8_t {
  store,
  erase,
  load,
  set_mark,
  clear_mark,
  find_conflict,
  walk_from,    // puts the long-lived cursor somewhere
  walk,         // its find
  walk_marked,  // its find_marked
  walk_store,   // a store where it stands
  walk_erase,   // an erase where it stands
  walk_tag,     // its tag_range
  walk_pause,
};
inline constexpr unsigned kActions = static_cast<unsigned>(Action::walk_pause) + 1;

struct Step {
  Action action{};
  std::uint64_t index = 0;  // for walks: the last index
  unsigned order = 0;
  Mark mark{};
  Mark other{};              // walk_tag: the mark to give
  std::uint64_t number = 0;  // the value stored; walk_tag: the batch
  unsigned fail_from = 0;    // the n-th allocation of this step fails, 0: none
};

inline std::ostream& operator<<(std::ostream& out, const Step& step) {
  static constexpr const char* kNames[kActions] = {
      "store", "erase",       "load",       "set_mark",   "clear_mark", "find_conflict", "walk_from",
      "walk",  "walk_marked", "walk_store", "walk_erase", "walk_tag",   "walk_pause"};
  return out << kNames[static_cast<unsigned>(step.action)] << " index " << step.index << " order " << step.order
             << " mark " << static_cast<unsigned>(step.mark) << " other " << static_cast<unsigned>(step.other)
             << " number " << step.number << " fail_from " << step.fail_from;
}

struct Difference : std::logic_error {
  using std::logic_error::logic_error;
};

template <unsigned shift>
class Verifier {
 public:
  struct Row {
    unsigned order = 0;
    std::uint64_t word = 0;
    unsigned marks = 0;
    friend bool operator==(const Row&, const Row&) = default;
  };
  using Content = std::map<std::uint64_t, Row>;

  Verifier() : walker_(array_, {0}) {}
  Verifier(const Verifier&) = delete;
  Verifier& operator=(const Verifier&) = delete;

  static constexpr std::uint64_t kHighest = std::numeric_limits<std::uint64_t>::max();
  static constexpr std::uint64_t first_of(std::uint64_t index, unsigned order) { return index >> order << order; }
  static constexpr std::uint64_t last_of(std::uint64_t first, unsigned order) {
    return first + ((std::uint64_t{1} << order) - 1);
  }

  BasicXArray<shift>& array() { return array_; }
  Arena& arena() { return arena_; }
  const Content& expected() const { return rows_; }

  void apply(const Step& step) {
    const Entry value = Entry::from_word((step.number << 1) | 1);
    switch (step.action) {
      case Action::store:
        store(step.index, step.order, value, step.fail_from);
        break;
      case Action::erase:
        erase(step.index, step.order);
        break;
      case Action::load:
        load(step.index, step.order);
        break;
      case Action::set_mark:
      case Action::clear_mark:
        change_mark(step);
        break;
      case Action::find_conflict:
        find_conflict(step.index, step.order);
        break;
      case Action::walk_from:
        walker_.set({step.index}, step.order);
        place_ = first_of(step.index, step.order);
        place_order_ = step.order;
        next_ = place_;
        exhausted_ = false;
        break;
      case Action::walk:
        walk(step.index, nullptr);
        break;
      case Action::walk_marked:
        walk(step.index, &step.mark);
        break;
      case Action::walk_store:
        walk_store(value, step.fail_from);
        break;
      case Action::walk_erase: {
        const MutexLock guard(walker_.lock());
        walker_.erase();
        forget(place_, place_order_);
        break;
      }
      case Action::walk_tag:
        walk_tag(step);
        break;
      case Action::walk_pause:
        walker_.pause();
        break;
    }
    compare();
  }

  // Erases everything and looks at what is left of the memory.
  void finish() {
    for (const auto& [first, row] : Content(rows_)) {
      erase(first, 0);
    }
    compare();
    require(array_.empty() && array_.nodes() == 0, "something is left");
    require(arena_.usage().in_use == 0, "nodes are not given back");
  }

 private:
  static void require(bool holds, const char* what) {
    if (!holds) {
      throw Difference(what);
    }
  }

  // The row that covers all of the place; rows_.end() when there is none.
  typename Content::iterator covering(std::uint64_t index, unsigned order) {
    const std::uint64_t first = first_of(index, order);
    auto row = rows_.upper_bound(first);
    if (row == rows_.begin()) {
      return rows_.end();
    }
    --row;
    return last_of(row->first, row->second.order) >= last_of(first, order) ? row : rows_.end();
  }
  // The first row that overlaps [first, last].
  typename Content::iterator overlapping(std::uint64_t first, std::uint64_t last) {
    auto row = covering(first, 0);
    if (row == rows_.end()) {
      row = rows_.lower_bound(first);
    }
    return row != rows_.end() && row->first <= last ? row : rows_.end();
  }

  std::uint64_t load_expected(std::uint64_t index, unsigned order) {
    if (const auto row = covering(index, order); row != rows_.end()) {
      return row->second.word;
    }
    const std::uint64_t first = first_of(index, order);
    return overlapping(first, last_of(first, order)) == rows_.end() ? 0 : Entry::retry().word();
  }

  void remember(std::uint64_t index, unsigned order, std::uint64_t word) {
    if (const auto row = covering(index, order); row != rows_.end()) {
      row->second.word = word;
      return;
    }
    rows_[first_of(index, order)] = Row{order, word, forget(index, order)};
  }
  // Returns the marks of what is gone.
  unsigned forget(std::uint64_t index, unsigned order) {
    unsigned marks = 0;
    if (const auto row = covering(index, order); row != rows_.end()) {
      marks = row->second.marks;
      rows_.erase(row);
      return marks;
    }
    const std::uint64_t first = first_of(index, order);
    for (auto row = overlapping(first, last_of(first, order)); row != rows_.end();
         row = overlapping(first, last_of(first, order))) {
      marks |= row->second.marks;
      rows_.erase(row);
    }
    return marks;
  }

  void store(std::uint64_t index, unsigned order, Entry value, unsigned fail_from) {
    BasicXCursor<shift> cursor(array_, {index}, order);
    const MutexLock guard(cursor.lock());
    const Entry before = cursor.load();
    require(before.word() == load_expected(index, order), "load before store");
    arena_.fail_from(fail_from);
    const Result<void> stored = cursor.store(value);
    arena_.fail_from(0);
    if (stored.ok()) {
      remember(index, order, value.word());
      require(cursor.load() == value, "load after store through the same cursor");
      require(cursor.found_index().value == covering(index, order)->first, "found_index after store");
      require(cursor.found_order() == covering(index, order)->second.order, "found_order after store");
    } else {
      require(fail_from != 0 && stored.error() == Errno::enomem, "a store fails for no reason");
      require(!before.is_value(), "replacing an entry needs no memory");
      require(cursor.failed() && cursor.status().error() == Errno::enomem, "the error sticks");
      require(cursor.load().is_null(), "a failed cursor loads nothing");
      require(!cursor.store(value).ok(), "a failed cursor stores nothing");
      cursor.set({index}, order);
      require(cursor.status().ok() && cursor.load() == before, "set() ends the error");
    }
  }

  void erase(std::uint64_t index, unsigned order) {
    BasicXCursor<shift> cursor(array_, {index}, order);
    const MutexLock guard(cursor.lock());
    require(cursor.store({}).ok(), "erasing cannot fail");
    forget(index, order);
    require(cursor.load().is_null(), "load after erase through the same cursor");
  }

  void load(std::uint64_t index, unsigned order) {
    BasicXCursor<shift> cursor(array_, {index}, order);
    const MutexLock guard(cursor.lock());
    const Entry entry = cursor.load();
    require(entry.word() == load_expected(index, order), "load");
    if (entry.is_value()) {
      require(cursor.found_index().value == covering(index, order)->first, "found_index after load");
      require(cursor.found_order() == covering(index, order)->second.order, "found_order after load");
    }
  }

  void change_mark(const Step& step) {
    const auto row = covering(step.index, step.order);
    const unsigned mark = 1U << static_cast<unsigned>(step.mark);
    BasicXCursor<shift> cursor(array_, {step.index}, step.order);
    const MutexLock guard(cursor.lock());
    if (step.action == Action::set_mark) {
      cursor.set_mark(step.mark);
    } else {
      cursor.clear_mark(step.mark);
    }
    if (row != rows_.end()) {
      row->second.marks = step.action == Action::set_mark ? row->second.marks | mark : row->second.marks & ~mark;
    }
    require(cursor.marked(step.mark) == (row != rows_.end() && step.action == Action::set_mark), "marked");
  }

  void find_conflict(std::uint64_t index, unsigned order) {
    const std::uint64_t first = first_of(index, order);
    const auto row = overlapping(first, last_of(first, order));
    BasicXCursor<shift> cursor(array_, {index}, order);
    const MutexLock guard(cursor.lock());
    const Entry found = cursor.find_conflict();
    require(found.word() == (row == rows_.end() ? 0 : row->second.word), "find_conflict");
    if (row != rows_.end()) {
      require(cursor.found_index().value == row->first, "found_index after find_conflict");
      require(cursor.found_order() == row->second.order, "found_order after find_conflict");
    }
    require(cursor.find_conflict() == found, "asking again gives the same answer");
    require(cursor.load().word() == load_expected(index, order), "load after find_conflict");
  }

  // What a find should come to, and moves the model of the walker there.
  typename Content::iterator walk_expected(std::uint64_t last, const Mark* mark) {
    if (exhausted_ || next_ > last) {
      return rows_.end();
    }
    auto row = overlapping(next_, last);
    while (row != rows_.end() && mark != nullptr && (row->second.marks & (1U << static_cast<unsigned>(*mark))) == 0) {
      ++row;
    }
    if (row == rows_.end() || row->first > last) {
      return rows_.end();
    }
    place_ = std::max(row->first, next_);
    place_order_ = 0;
    const std::uint64_t end = last_of(row->first, row->second.order);
    exhausted_ = end == kHighest;
    next_ = end + 1;
    return row;
  }

  void walk(std::uint64_t last, const Mark* mark) {
    const auto row = walk_expected(last, mark);
    const MutexLock guard(walker_.lock());
    const Entry found = mark == nullptr ? walker_.find({last}) : walker_.find_marked({last}, *mark);
    require(found.word() == (row == rows_.end() ? 0 : row->second.word), "find");
    require(walker_.index().value == place_, "index after find");
    if (row != rows_.end()) {
      require(walker_.found_index().value == row->first, "found_index after find");
      require(walker_.found_order() == row->second.order, "found_order after find");
      require(walker_.load() == found, "load where find came to");
    }
  }

  void walk_store(Entry value, unsigned fail_from) {
    const MutexLock guard(walker_.lock());
    arena_.fail_from(fail_from);
    const Result<void> stored = walker_.store(value);
    arena_.fail_from(0);
    if (stored.ok()) {
      remember(place_, place_order_, value.word());
      return;
    }
    require(fail_from != 0 && stored.error() == Errno::enomem, "a store fails for no reason");
    walker_.set({place_}, place_order_);
    next_ = place_;
    exhausted_ = false;
  }

  void walk_tag(const Step& step) {
    const unsigned batch = 1 + static_cast<unsigned>(step.number % 4);
    std::uint64_t visited = 0;
    while (visited < batch) {
      const auto row = walk_expected(step.index, &step.mark);
      if (row == rows_.end()) {
        break;
      }
      row->second.marks |= 1U << static_cast<unsigned>(step.other);
      ++visited;
    }
    const MutexLock guard(walker_.lock());
    require(walker_.tag_range({step.index}, step.mark, step.other, batch) == visited, "tag_range");
  }

  // Nodes that a tree of this content has when none is superfluous.
  std::uint64_t nodes_expected() const {
    unsigned top = 0;
    for (const auto& [first, row] : rows_) {
      top = std::max(top, row.order / shift * shift);
      while ((first >> top >> shift) != 0) {
        top += shift;
      }
    }
    std::set<std::pair<unsigned, std::uint64_t>> nodes;
    for (const auto& [first, row] : rows_) {
      for (unsigned level = row.order / shift * shift; level <= top; level += shift) {
        nodes.emplace(level, first >> level >> shift);
      }
    }
    return nodes.size();
  }

  void compare() {
    require(array_.consistent(), "the tree contradicts itself");
    std::uint64_t pages = 0;
    unsigned marks = 0;
    for (const auto& [first, row] : rows_) {
      pages += std::uint64_t{1} << row.order;
      marks |= row.marks;
    }
    require(array_.pages() == pages, "pages");
    require(array_.empty() == rows_.empty(), "empty");
    require(array_.nodes() == nodes_expected(), "nodes");
    const std::uint64_t before = arena_.usage().in_use;
    require((before == 0) == rows_.empty(), "memory in use");
    for (unsigned mark = 0; mark < kMarks; ++mark) {
      require(array_.marked(static_cast<Mark>(mark)) == ((marks & (1U << mark)) != 0), "marks of the root");
    }

    BasicXCursor<shift> cursor(array_, {0});
    const MutexLock guard(cursor.lock());
    Content found;
    for (Entry entry = cursor.find({kHighest}); !entry.is_null(); entry = cursor.find({kHighest})) {
      Row row{cursor.found_order(), entry.word(), 0};
      for (unsigned mark = 0; mark < kMarks; ++mark) {
        row.marks |= cursor.marked(static_cast<Mark>(mark)) ? 1U << mark : 0;
      }
      require(cursor.index() == cursor.found_index(), "a find from the front comes to the front of the entry");
      found.emplace(cursor.found_index().value, row);
    }
    require(found == rows_, "content");
  }

  Arena arena_;
  BasicXArray<shift> array_{arena_};
  Content rows_;

  BasicXCursor<shift> walker_;
  std::uint64_t place_ = 0;
  unsigned place_order_ = 0;
  std::uint64_t next_ = 0;
  bool exhausted_ = false;
};

}  // namespace daxsim::test
