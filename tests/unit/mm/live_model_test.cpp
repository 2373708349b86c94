// SPDX-License-Identifier: BSD-3-Clause
// Random programs over several live mappings of one file, against a model of what every byte must be. After every step no
// mapping may show a page that the file does not have there, nor let a clean page be written.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <array>
#include <cstdint>
#include <map>
#include <memory>
#include <vector>

#include "daxsim/mm/live.hpp"
#include "daxsim/test_support/expect.hpp"
#include "daxsim/test_support/must.hpp"
#include "live_world.hpp"

namespace daxsim::test {
namespace {

// Pages that programs touch: in three slots, at their edges, next to each other and apart.
constexpr std::array<std::uint64_t, 12> kPages{0, 1, 2, 100, 510, 511, 512, 513, 1022, 1023, 1024, 1030};
constexpr std::uint64_t kFilePages = 1100;
constexpr std::uint64_t kDevicePages = 4096;

class LiveModel {
 public:
  explicit LiveModel(LiveBackend backend) : backend_(backend), world_(kDevicePages) {
    world_.inode->resize(kFilePages << kPageShift);
  }

  void map(const MapOptions& options) { maps_.push_back({must(world_.map(backend_, options)), options, {}}); }
  void unmap(std::size_t which) {
    if (!maps_.empty()) {
      maps_.erase(maps_.begin() + static_cast<std::ptrdiff_t>(which % maps_.size()));
    }
  }
  void use_pmds(bool yes) { world_.inode->use_pmds = yes; }

  void store(std::size_t which, std::uint64_t page, std::uint8_t value) {
    Mapped* const to = find(which, page);
    if (to == nullptr) {
      return;
    }
    std::byte* const at = to->at(page);
    if (to->options.prot == Prot::read) {
      const auto signal = SignalProbe::run([&] { test::store(at, value); });
      RC_ASSERT((signal.has_value() && signal->number == SIGSEGV));
      return;
    }
    test::store(at, value);
    if (to->options.sharing == Sharing::shared) {
      file_[page] = value;
      RC_ASSERT(world_.inode->dirty(page));
    } else {
      to->copies[page] = value;
    }
  }
  void load(std::size_t which, std::uint64_t page) {
    if (Mapped* const from = find(which, page); from != nullptr) {
      RC_ASSERT(test::load(from->at(page)) == expected(*from, page));
    }
  }
  void beyond_the_end(std::size_t which) {
    if (Mapped* const from = find(which, kFilePages); from != nullptr) {
      const auto signal = SignalProbe::run([&] { test::load(from->at(kFilePages)); });
      RC_ASSERT((signal.has_value() && signal->code == BUS_ADRERR));
    }
  }
  void punch(std::uint64_t first, std::uint64_t count, EvenCows even_cows) {
    count = std::min(count, kFilePages - first);
    world_.inode->punch(first, count, even_cows);
    forget(file_, first, count);
    if (even_cows == EvenCows::yes) {
      for (Mapped& map : maps_) {
        forget(map.copies, first, count);
      }
    }
  }
  void dont_need(std::size_t which, std::uint64_t page, std::uint64_t count) {
    Mapped* const in = find(which, page);
    if (in == nullptr) {
      return;
    }
    const std::uint64_t first = page - in->first_page();
    count = std::min(count, (in->map.size() >> kPageShift) - first);
    RC_ASSERT(in->map.dont_need({first << kPageShift, count << kPageShift}).ok());
    forget(in->copies, page, count);
  }
  void write_back() { world_.inode->write_back(0, kFilePages); }
  // Blocks move to where nothing is; device pages behind the file's first 1100 are taken in turn.
  void relocate(std::uint64_t page, std::uint64_t count) {
    while (count > 0 && (page + count > kFilePages || !all_allocated(page, count))) {
      --count;
    }
    if (count != 0 && free_ + count <= kDevicePages) {
      world_.inode->relocate(page, count, free_);
      free_ += count;
    }
  }

  void check() {
    for (Mapped& map : maps_) {
      for (const std::uint64_t page : kPages) {
        if (!map.covers(page)) {
          continue;
        }
        const PteState pte = map.map.vma().pte({page});
        const bool copied = map.copies.contains(page);
        RC_ASSERT((pte.kind == PteState::Kind::private_copy) == copied);
        if (pte.kind == PteState::Kind::memory) {
          RC_ASSERT(world_.inode->allocated(page));
          const auto device = static_cast<std::uint64_t>(world_.inode->block(page) - world_.inode->device_page(0));
          RC_ASSERT(pte.pfn == LiveInode::kFirstPfn + (device >> kPageShift));
          RC_ASSERT((!pte.writable || world_.inode->dirty(page)));
        }
        if (pte.kind == PteState::Kind::zero_page) {
          RC_ASSERT(!world_.inode->allocated(page));
          RC_ASSERT(!pte.writable);
        }
        if (pte.kind != PteState::Kind::none) {
          RC_ASSERT(test::load(map.at(page)) == expected(map, page));
        }
      }
    }
    for (const std::uint64_t page : kPages) {
      const auto known = file_.find(page);
      const std::byte wanted{known == file_.end() ? std::uint8_t{0} : known->second};
      RC_ASSERT((world_.inode->allocated(page) ? world_.inode->block(page)[0] : std::byte{0}) == wanted);
    }
  }

 private:
  using Bytes = std::map<std::uint64_t, std::uint8_t>;  // first byte of pages that are not zero for sure
  struct Mapped {
    Mapping map;
    MapOptions options;
    Bytes copies;
    [[nodiscard]] std::uint64_t first_page() const { return options.offset >> kPageShift; }
    [[nodiscard]] bool covers(std::uint64_t page) const {
      return page >= first_page() && page - first_page() < (map.size() >> kPageShift);
    }
    [[nodiscard]] std::byte* at(std::uint64_t page) const { return map.data() + ((page - first_page()) << kPageShift); }
  };

  Mapped* find(std::size_t which, std::uint64_t page) {
    if (maps_.empty()) {
      return nullptr;
    }
    Mapped& map = maps_[which % maps_.size()];
    return map.covers(page) ? &map : nullptr;
  }
  [[nodiscard]] std::byte expected(const Mapped& map, std::uint64_t page) const {
    for (const Bytes* const bytes : {&map.copies, &file_}) {
      if (const auto found = bytes->find(page); found != bytes->end()) {
        return std::byte{found->second};
      }
    }
    return std::byte{0};
  }
  static void forget(Bytes& bytes, std::uint64_t first, std::uint64_t count) {
    bytes.erase(bytes.lower_bound(first), bytes.lower_bound(first + count));
  }
  [[nodiscard]] bool all_allocated(std::uint64_t first, std::uint64_t count) const {
    for (std::uint64_t page = first; page < first + count; ++page) {
      if (!world_.inode->allocated(page)) {
        return false;
      }
    }
    return true;
  }

  const LiveBackend backend_;
  LiveMmuWorld world_;
  std::vector<Mapped> maps_;
  Bytes file_;
  std::uint64_t free_ = kFilePages;
};

void run_program(LiveBackend backend) {
  LiveModel model(backend);
  const auto any_page = [] { return *rc::gen::elementOf(kPages); };
  const auto any_map = [] { return *rc::gen::inRange<std::size_t>(0, 8); };
  const int steps = *rc::gen::inRange(1, 60);
  model.use_pmds(*rc::gen::arbitrary<bool>());
  for (int step = 0; step < steps; ++step) {
    switch (*rc::gen::weightedElement<int>(
        {{4, 0}, {12, 1}, {10, 2}, {2, 3}, {2, 4}, {3, 5}, {2, 6}, {1, 7}, {1, 8}, {1, 9}, {1, 10}})) {
      case 0:
        model.map({.prot = *rc::gen::weightedElement<Prot>({{4, Prot::read_write}, {1, Prot::read}}),
                   .sharing = *rc::gen::element(Sharing::shared, Sharing::private_copy),
                   .offset = *rc::gen::element<std::uint64_t>(0, 0, 1, 512) << kPageShift,
                   .length = *rc::gen::element<std::uint64_t>(0, 2000, 3) << kPageShift});
        break;
      case 1:
        model.store(any_map(), any_page(), *rc::gen::inRange<std::uint8_t>(1, 255));
        break;
      case 2:
        model.load(any_map(), any_page());
        break;
      case 3:
        model.punch(any_page(), *rc::gen::element<std::uint64_t>(1, 2, 600), EvenCows::no);
        break;
      case 4:
        model.dont_need(any_map(), any_page(), *rc::gen::element<std::uint64_t>(1, 2, 600));
        break;
      case 5:
        model.write_back();
        break;
      case 6:
        model.relocate(any_page(), *rc::gen::element<std::uint64_t>(1, 3, 512));
        break;
      case 7:
        model.unmap(any_map());
        break;
      case 8:
        model.punch(any_page(), *rc::gen::element<std::uint64_t>(1, 600), EvenCows::yes);
        break;
      case 9:
        model.beyond_the_end(any_map());
        break;
      default:
        model.use_pmds(*rc::gen::arbitrary<bool>());
        break;
    }
    model.check();
  }
}

class LiveModelTest : public ::testing::TestWithParam<LiveBackend> {};

INSTANTIATE_TEST_SUITE_P(, LiveModelTest, ::testing::ValuesIn(live_backends()),
                         [](const auto& backend) { return live_backend_name(backend.param); });

// Every byte is what the model says, whatever was done to the mappings and under them.
TEST_P(LiveModelTest, RandomPrograms) {
  EXPECT_TRUE(rc::check([backend = GetParam()] { run_program(backend); }));
}

}  // namespace
}  // namespace daxsim::test
