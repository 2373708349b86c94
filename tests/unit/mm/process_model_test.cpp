// SPDX-License-Identifier: BSD-3-Clause
// Random programs of two processes over one file, against a model that knows one value per page.
#include <gtest/gtest.h>
#include <rapidcheck/gtest.h>

#include <csignal>
#include <map>
#include <optional>
#include <ostream>

#include "daxsim/test_support/must.hpp"
#include "unit/mm/process_world.hpp"

namespace daxsim::test {
namespace {

constexpr std::uint64_t kFilePages = 3 * kPagesPerPmd;
// Where programs meet: the rims of the three PMDs.
constexpr std::array<std::uint64_t, 8> kPlaces{0, 1, 2, 511, 512, 513, 1023, 1024};

enum class Action : std::uint8_t {
  map,
  unmap,
  protect,
  dont_need,
  populate,
  load,
  store,
  punch,
  truncate,
  write_back,
  toggle_pmds,
};

struct Step {
  Action action = Action::load;
  unsigned process = 0;    // 0 or 1
  unsigned mapping = 0;    // which of the process's mmaps, also those unmapped again
  unsigned place = 0;      // index into kPlaces
  unsigned pages = 1;      // length
  bool flag = false;       // private; read-only; for stores
  unsigned fail_from = 0;  // the n-th allocation fails; 0: none

  friend std::ostream& operator<<(std::ostream& out, const Step& step) {
    return out << "{" << static_cast<int>(step.action) << ", p" << step.process << ", m" << step.mapping << ", page "
               << kPlaces[step.place] << " + " << step.pages << (step.flag ? ", flag" : "") << ", fail "
               << step.fail_from << "}";
  }
};

}  // namespace
}  // namespace daxsim::test

namespace rc {
template <>
struct Arbitrary<daxsim::test::Step> {
  static Gen<daxsim::test::Step> arbitrary() {
    using daxsim::test::Action;
    using daxsim::test::Step;
    return gen::build<Step>(
        gen::set(&Step::action, gen::weightedElement<Action>({{1, Action::map},
                                                              {1, Action::unmap},
                                                              {2, Action::protect},
                                                              {1, Action::dont_need},
                                                              {2, Action::populate},
                                                              {6, Action::load},
                                                              {8, Action::store},
                                                              {1, Action::punch},
                                                              {1, Action::truncate},
                                                              {3, Action::write_back},
                                                              {1, Action::toggle_pmds}})),
        gen::set(&Step::process, gen::inRange(0U, 2U)), gen::set(&Step::mapping, gen::inRange(0U, 4U)),
        gen::set(&Step::place, gen::inRange(0U, 8U)),
        gen::set(&Step::pages, gen::element(1U, 2U, 511U, 512U, 1024U, 1536U)),
        gen::set(&Step::flag, gen::arbitrary<bool>()),
        gen::set(&Step::fail_from, gen::weightedElement<unsigned>({{12, 0}, {1, 1}, {1, 2}, {1, 3}})));
  }
};
}  // namespace rc

namespace daxsim::test {
namespace {

class Verifier {
 public:
  Verifier() {
    for (unsigned pid = 0; pid < 2; ++pid) {
      actors_[pid].process = std::make_unique<Process>(world_.system, pid);
      map(actors_[pid], 0, kFilePages, Sharing::shared);
      map(actors_[pid], 0, kFilePages, Sharing::private_copy);
    }
  }

  void apply(const Step& step) {
    Actor& actor = actors_[step.process];
    const std::uint64_t first = kPlaces[step.place];
    const std::uint64_t count = std::min<std::uint64_t>(step.pages, kFilePages - first);
    world_.arena.fail_from(step.fail_from);
    switch (step.action) {
      case Action::map:
        map(actor, first, count, step.flag ? Sharing::private_copy : Sharing::shared);
        break;
      case Action::unmap:
        on_range(actor, step, [&](std::uint64_t address, std::uint64_t length) {
          if (actor.process->munmap(address, length).ok()) {
            actor.pages.erase(actor.pages.lower_bound(address), actor.pages.lower_bound(address + length));
          }
        });
        break;
      case Action::protect:
        on_range(actor, step, [&](std::uint64_t address, std::uint64_t length) {
          const Prot prot = step.flag ? Prot::read : Prot::read_write;
          const bool done = actor.process->mprotect(address, length, prot).ok();
          world_.arena.fail_from(0);
          for_pages(actor, address, length, [&](std::uint64_t at, ModelPage& page) {
            // A call that failed may have changed areas: each page of what it was about is asked for again.
            if (!done) {
              must(actor.process->mprotect(at, kPageSize, prot));
            }
            page.writable = !step.flag;
          });
        });
        break;
      case Action::dont_need:
        on_range(actor, step, [&](std::uint64_t address, std::uint64_t length) {
          const Result<void> done = actor.process->dont_need(address, length);
          RC_ASSERT((done.ok() || done.error() == Errno::enomem));
          for_pages(actor, address, length, [](std::uint64_t, ModelPage& page) { page.copy.reset(); });
        });
        break;
      case Action::populate:
        on_range(actor, step,
                 [&](std::uint64_t address, std::uint64_t length) { populate(actor, step, address, length); });
        break;
      case Action::load:
        on_range(actor, step, [&](std::uint64_t address, std::uint64_t) { load(actor, address); });
        break;
      case Action::store:
        on_range(actor, step, [&](std::uint64_t address, std::uint64_t) { store(actor, address); });
        break;
      case Action::punch:
      case Action::truncate: {
        const EvenCows even_cows = step.action == Action::truncate ? EvenCows::yes : EvenCows::no;
        inode_.punch(first, count, even_cows);
        std::fill_n(file_.begin() + static_cast<std::ptrdiff_t>(first), count, 0);
        if (even_cows == EvenCows::yes) {
          for (Actor& each : actors_) {
            for (auto& [address, page] : each.pages) {
              if (page.pgoff >= first && page.pgoff < first + count) {
                page.copy.reset();
              }
            }
          }
        }
        break;
      }
      case Action::write_back:
        inode_.write_back(first, count);
        break;
      case Action::toggle_pmds:
        inode_.use_pmds = !inode_.use_pmds;
        break;
    }
    world_.arena.fail_from(0);
    check_page_tables();
  }

  void finish() {
    for (Actor& actor : actors_) {
      for (const std::uint64_t base : actor.mappings) {
        for (const std::uint64_t place : kPlaces) {
          load(actor, base + (place << kPageShift));
        }
      }
    }
    check_page_tables();
    for (Actor& actor : actors_) {
      actor.process.reset();
    }
    RC_ASSERT(world_.arena.usage().in_use == 0U);
  }

 private:
  struct ModelPage {
    std::uint64_t pgoff = 0;
    bool shared = true;
    bool writable = true;
    std::optional<std::uint64_t> copy;
  };
  struct Actor {
    std::unique_ptr<Process> process;
    std::map<std::uint64_t, ModelPage> pages;  // by address
    std::vector<std::uint64_t> mappings;       // where page 0 of the file would be
  };

  void map(Actor& actor, std::uint64_t first, std::uint64_t count, Sharing sharing) {
    const Result<std::uint64_t> mapped = actor.process->mmap(
        file_handle_, {.sharing = sharing, .offset = first << kPageShift, .length = count << kPageShift});
    if (!mapped.ok()) {
      RC_ASSERT(mapped.error() == Errno::enomem);
      return;
    }
    actor.mappings.push_back(*mapped - (first << kPageShift));
    for (std::uint64_t page = 0; page < count; ++page) {
      actor.pages[*mapped + (page << kPageShift)] = {first + page, sharing == Sharing::shared, true, {}};
    }
  }

  // The step's range of file pages, in the mapping it names.
  template <class Call>
  void on_range(Actor& actor, const Step& step, Call call) {
    if (actor.mappings.empty()) {
      return;
    }
    const std::uint64_t base = actor.mappings[step.mapping % actor.mappings.size()];
    const std::uint64_t first = kPlaces[step.place];
    call(base + (first << kPageShift), std::min<std::uint64_t>(step.pages, kFilePages - first) << kPageShift);
  }

  template <class Call>
  void for_pages(Actor& actor, std::uint64_t address, std::uint64_t length, Call call) {
    for (auto at = actor.pages.lower_bound(address); at != actor.pages.end() && at->first < address + length; ++at) {
      call(at->first, at->second);
    }
  }

  // Up to the first page that cannot be populated, all are in core; a private page for stores is a copy from now on.
  void populate(Actor& actor, const Step& step, std::uint64_t address, std::uint64_t length) {
    const Access access = step.flag ? Access::write : Access::read;
    const Result<void> done = actor.process->populate(address, length, access);
    world_.arena.fail_from(0);
    std::uint64_t at = address;
    for (; at < address + length; at += kPageSize) {
      const auto page = actor.pages.find(at);
      if (page == actor.pages.end()) {
        break;
      }
      const PteState pte = actor.process->pte(at);
      if (access == Access::write && !pte.writable) {
        break;
      }
      if (pte.kind == PteState::Kind::none) {
        break;
      }
      if (pte.kind == PteState::Kind::private_copy && !page->second.copy) {
        page->second.copy = file_[page->second.pgoff];
      }
    }
    const auto stopped = actor.pages.find(at);
    if (at == address + length) {
      RC_ASSERT(must(actor.process->mincore(address, length)) == std::vector<bool>(length >> kPageShift, true));
      RC_ASSERT(done.ok());
    } else if (stopped != actor.pages.end() && !stopped->second.writable && access == Access::write) {
      RC_ASSERT((done.error() == Errno::einval || done.error() == Errno::enomem));
    } else {
      RC_ASSERT(done.error() == Errno::enomem);
    }
  }

  void load(Actor& actor, std::uint64_t address) {
    const AccessResult<std::uint64_t> loaded = actor.process->load<std::uint64_t>(address + 8);
    const auto page = actor.pages.find(address);
    if (page == actor.pages.end()) {
      RC_ASSERT(!loaded.ok());
      RC_ASSERT(loaded.error().code == SEGV_MAPERR);
    } else if (loaded.ok()) {
      RC_ASSERT(*loaded == page->second.copy.value_or(file_[page->second.pgoff]));
    } else {
      RC_ASSERT(loaded.error().number == SIGKILL);
    }
  }

  void store(Actor& actor, std::uint64_t address) {
    const std::uint64_t value = ++last_value_;
    const AccessResult<void> stored = actor.process->store(address + 8, value);
    const auto page = actor.pages.find(address);
    if (page == actor.pages.end()) {
      RC_ASSERT(!stored.ok());
      RC_ASSERT(stored.error().code == SEGV_MAPERR);
    } else if (!page->second.writable) {
      RC_ASSERT(!stored.ok());
      RC_ASSERT(stored.error().code == SEGV_ACCERR);
    } else if (!stored.ok()) {
      RC_ASSERT(stored.error().number == SIGKILL);
    } else if (page->second.shared) {
      file_[page->second.pgoff] = value;
    } else {
      page->second.copy = value;
    }
  }

  // The promises of Vma, for every area and every place.
  void check_page_tables() {
    struct Seen {
      PteState pte;
      std::uint64_t place;
      VmFlags flags;
      PageRange area;
    };
    std::vector<Seen> seen;
    inode_.mapping().for_each_vma(kAllPages, [&](Vma& vma) {
      for (const std::uint64_t place : kPlaces) {
        seen.push_back({vma.pte({place}), place, vma.flags(), vma.pages()});
      }
    });
    for (const auto& [pte, place, flags, area] : seen) {
      switch (pte.kind) {
        case PteState::Kind::none:
          break;
        case PteState::Kind::zero_page:
          RC_ASSERT(!inode_.allocated(place));
          RC_ASSERT(!pte.writable);
          break;
        case PteState::Kind::memory:
          RC_ASSERT(inode_.allocated(place));
          RC_ASSERT(pte.pfn == inode_.pfn(place));
          RC_ASSERT((!pte.writable || (flags.shared && flags.write && inode_.dirty(place))));
          break;
        case PteState::Kind::private_copy:
          RC_ASSERT(!flags.shared);
          RC_ASSERT(pte.writable == flags.write);
          break;
      }
      if (pte.order == kPmdOrder) {
        const Pgoff first = pmd_start({place});
        RC_ASSERT(area.contains(first) && area.contains(first + (kPagesPerPmd - 1)));
      }
    }
  }

  SoftWorld world_{kFilePages};
  SoftInode& inode_ = *world_.inode;
  std::shared_ptr<OpenFile> file_handle_ = world_.open();
  std::vector<std::uint64_t> file_ = std::vector<std::uint64_t>(kFilePages, 0);
  std::array<Actor, 2> actors_;
  std::uint64_t last_value_ = 0;
};

// Many short steps find more than few long ones; rapidcheck's size only says how many.
RC_GTEST_PROP(ProcessModel, EveryLoadSeesTheLastStore, ()) {
  // Values, signals, page tables and memory agree with the model after every step.
  const auto steps = *rc::gen::scale(3, rc::gen::arbitrary<std::vector<Step>>());
  Verifier verifier;
  for (const Step& step : steps) {
    verifier.apply(step);
  }
  verifier.finish();
}

}  // namespace
}  // namespace daxsim::test
