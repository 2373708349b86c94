// SPDX-License-Identifier: BSD-3-Clause
// Random programs over one file, several areas and the system calls, against a model that is one byte a page. After every
// step the bytes are the model's, and index and page tables keep their invariants.
#include <gtest/gtest.h>
#include <rapidcheck.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <map>
#include <optional>
#include <ostream>
#include <vector>

#include "support/dax_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kFilePages = kPagesPerPmd + 24;

enum class Call : std::uint8_t { load, store, pread, pwrite, fsync, fsync_some, punch, punch_huge, truncate, fail };
constexpr unsigned kCalls = 10;
constexpr std::array<const char*, kCalls> kCallNames{"load",       "store", "pread",      "pwrite",   "fsync",
                                                     "fsync_some", "punch", "punch_huge", "truncate", "fail"};

struct Action {
  Call call;
  unsigned area;
  std::uint64_t page;
  std::uint8_t value;
};
std::ostream& operator<<(std::ostream& out, const Action& action) {
  return out << kCallNames[static_cast<unsigned>(action.call)] << "(area " << action.area << ", page " << action.page
             << ", " << static_cast<unsigned>(action.value) << ")";
}

// Pages around the edges of the huge page and of the file, so that programs meet themselves.
rc::Gen<std::uint64_t> any_page() {
  return rc::gen::element<std::uint64_t>(0, 1, 2, 3, 17, 510, 511, 512, 513, 530, kFilePages - 1);
}

rc::Gen<Action> any_action() {
  return rc::gen::build<Action>(
      rc::gen::set(&Action::call,
                   rc::gen::map(rc::gen::inRange(0U, kCalls), [](unsigned n) { return static_cast<Call>(n); })),
      rc::gen::set(&Action::area, rc::gen::inRange(0U, 4U)), rc::gen::set(&Action::page, any_page()),
      rc::gen::set(&Action::value, rc::gen::inRange<std::uint8_t>(1, 255)));
}

class Machine {
 public:
  explicit Machine(const Policy& policy)
      : world_({.device_pages = 2 * kPagesPerPmd, .file_pages = kFilePages, .policy = policy}),
        huge_(*world_.file, {}, kArea, {{0}, kFilePages}),
        small_(*world_.file, {}, kArea + 4 * kPmdSize + kPageSize, {{1}, kFilePages - 1}),
        copy_(*world_.file, {.shared = false}, kArea + 8 * kPmdSize, {{0}, kFilePages}),
        sync_(*world_.file, {.shared = true, .write = true, .sync = true}, kArea + 12 * kPmdSize, {{0}, kFilePages}) {}

  void run(const Action& action) {
    const Pgoff page{action.page};
    FakeVma& area = *areas_[action.area];
    const bool is_private = &area == &copy_;
    const bool inside = area.pages().contains(page);
    const bool in_file = page < size_;
    switch (action.call) {
      case Call::load:
        if (inside) {
          const Loaded loaded = area.load(page);
          RC_ASSERT(loaded.has_value() == (in_file || (is_private && copies_.contains(action.page))));
          if (loaded.has_value()) {
            RC_ASSERT(*loaded == (is_private && copies_.contains(action.page) ? copies_[action.page] : byte(page)));
          }
        }
        break;
      case Call::store:
        if (inside) {
          const bool stored = area.store(page, action.value).has_value();
          RC_ASSERT(stored == (in_file || (is_private && copies_.contains(action.page))));
          if (stored) {
            (is_private ? copies_ : bytes_)[action.page] = action.value;
          }
        }
        break;
      case Call::fail:
        // A page table that cannot be made: the fault fails, unless none was needed, and nothing else changes.
        if (inside) {
          area.install_fails = FaultOutcome(FaultOutcome::oom);
          const FaultOutcome outcome = area.fault(page, Access::write, 0);
          area.install_fails.reset();
          RC_ASSERT(!outcome.resolved());
        }
        break;
      case Call::pread: {
        std::array<std::byte, 1> got{};
        const std::uint64_t count = must(world_.file->read(byte_of(page), got));
        RC_ASSERT(count == (in_file ? 1U : 0U));
        RC_ASSERT((!in_file || static_cast<std::uint8_t>(got[0]) == byte(page)));
        break;
      }
      case Call::pwrite: {
        const std::array bytes{std::byte{action.value}};
        RC_ASSERT(must(world_.file->write(byte_of(page), bytes)) == 1U);
        bytes_[action.page] = action.value;
        if (!in_file) {
          // The rest of the page is there too, but for the file's size it is one byte.
          must(world_.file->truncate(byte_of(page + 1)));
          size_ = page + 1;
        }
        break;
      }
      case Call::fsync:
        must(world_.file->fsync_range(kWholeFile, Datasync::no));
        for (const auto& [at, value] : bytes_) {
          RC_ASSERT(world_.on_media({at}) == value);
        }
        RC_ASSERT(!world_.file->mapping().pages().marked(Mark::dirty));
        break;
      case Call::fsync_some:
        must(world_.file->fsync_range({byte_of(page), 3 * kPageSize}, Datasync::yes));
        for (Pgoff at = page; at < page + 3; at = at + 1) {
          RC_ASSERT((!bytes_.contains(at.value) || world_.on_media(at) == bytes_[at.value]));
        }
        break;
      case Call::punch:
      case Call::punch_huge: {
        const PageRange gone =
            action.call == Call::punch ? PageRange{page, 2}.clip({{0}, kFilePages}) : PageRange{{0}, kPagesPerPmd};
        must(world_.file->fallocate(Fallocate::punch_hole, {byte_of(gone.first), gone.pages << kPageShift}));
        forget(bytes_, gone);
        break;
      }
      case Call::truncate:
        must(world_.file->truncate(byte_of(page)));
        forget(bytes_, {page, kFilePages});
        forget(copies_, {page, kFilePages});
        size_ = page;
        if (action.value % 2 == 0) {
          must(world_.file->truncate(byte_of({kFilePages})));
          size_ = {kFilePages};
        }
        break;
    }
    RC_ASSERT(world_.broken_invariant({&huge_, &small_, &sync_, &copy_}) == std::string());
  }

  // All bytes once more, through another door than they came in by.
  void check_bytes() {
    for (const auto& [at, value] : bytes_) {
      RC_ASSERT((huge_.load({at}) == Loaded(value)));
    }
  }

 private:
  using Bytes = std::map<std::uint64_t, std::uint8_t>;
  static void forget(Bytes& bytes, PageRange gone) {
    std::erase_if(bytes, [gone](const auto& item) { return gone.contains({item.first}); });
  }
  [[nodiscard]] std::uint8_t byte(Pgoff page) const {
    const auto found = bytes_.find(page.value);
    return found == bytes_.end() ? 0 : found->second;
  }

  World world_;
  FakeVma huge_;
  FakeVma small_;
  FakeVma copy_;
  FakeVma sync_;
  const std::array<FakeVma*, 4> areas_{&huge_, &small_, &copy_, &sync_};
  Pgoff size_{kFilePages};
  Bytes bytes_;
  Bytes copies_;
};

void run_program(const Policy& policy) {
  const auto program = *rc::gen::resize(40, rc::gen::container<std::vector<Action>>(any_action()));
  Machine machine(policy);
  for (const Action& action : program) {
    machine.run(action);
  }
  machine.check_bytes();
}

RC_GTEST_PROP(DaxModel, RandomPrograms, ()) { run_program({}); }

// 6.1's read faults that mark dirty change what is flushed, and no byte.
RC_GTEST_PROP(DaxModel, RandomProgramsOfAnOlderPolicy, ()) { run_program({.read_fault = ReadFaultEntry::dirty}); }

}  // namespace
}  // namespace daxsim::test
