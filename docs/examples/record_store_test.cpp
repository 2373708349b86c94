// SPDX-License-Identifier: BSD-3-Clause
// A small log-structured store that knows the flash by its C interface only, and an exhaustive power cut run over it: every
// operation of a workload, every way in which it may be torn. The same store with a mistake shows that the run finds it.
#include <gtest/gtest.h>

#include <array>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <map>
#include <string>
#include <vector>

#include "daxsim/sim_devices/mtd.h"
#include "daxsim/sim_devices/nor_power_cuts.hpp"
#include "daxsim/test_support/must.hpp"

using namespace daxsim;

// The store

// What the store may do wrong, for the run to find.
enum class Mistake {
  none,
  no_checksum,   // takes every slot that is not free for a record
  header_first,  // says that a block is the log before all records are in it
  looks_free,    // takes a slot for free by its first word
};

using Value = std::array<char, 24>;

// The log is one of two blocks; its first slot is a header with a generation, the others are records, the newest last.
// When it is full, the newest record of each key goes to the other block, which becomes the log by its header.
class RecordStore {
 public:
  explicit RecordStore(daxsim_mtd* flash, Mistake mistake = Mistake::none) : flash_(flash), mistake_(mistake) {}

  // Makes an empty log when there is none.
  int mount() {
    for (const std::uint32_t block : {0U, 1U}) {
      Slot header;
      if (const int error = read(block, 0, header); error != 0) {
        return error;
      }
      if (header.checksum == checksum_of(header) && header.key > generation_) {
        generation_ = header.key;
        block_ = block;
      }
    }
    return generation_ == 0 ? move_to(0) : scan();
  }

  // The record is safe when this has answered 0.
  int put(std::uint32_t key, const Value& value) {
    if (next_ == slots()) {
      if (const int error = move_to(1 - block_); error != 0) {
        return error;
      }
    }
    newest_[key] = value;
    return program(block_, next_++, key, value);
  }

  [[nodiscard]] const std::map<std::uint32_t, Value>& records() const { return newest_; }

 private:
  struct Slot {
    std::uint32_t checksum;
    std::uint32_t key;  // of a header: the generation
    Value value;
  };

  static std::uint32_t checksum_of(const Slot& slot) {
    std::uint32_t crc = 0xffffffff;
    std::array<unsigned char, sizeof slot.key + sizeof slot.value> bytes;
    std::memcpy(bytes.data(), &slot.key, bytes.size());
    for (const unsigned char byte : bytes) {
      crc ^= byte;
      for (int bit = 0; bit < 8; ++bit) {
        crc = crc >> 1 ^ (crc % 2 != 0 ? 0xedb88320 : 0);
      }
    }
    return crc;
  }

  [[nodiscard]] std::uint32_t slots() const { return daxsim_mtd_block_size(flash_) / sizeof(Slot); }
  [[nodiscard]] bool is_free(const Slot& slot) const {
    Slot erased;
    std::memset(&erased, 0xff, sizeof erased);
    return std::memcmp(&slot, &erased, mistake_ == Mistake::looks_free ? sizeof slot.checksum : sizeof slot) == 0;
  }
  [[nodiscard]] bool is_record(const Slot& slot) const {
    return mistake_ == Mistake::no_checksum ? !is_free(slot) : slot.checksum == checksum_of(slot);
  }

  int read(std::uint32_t block, std::uint32_t number, Slot& slot) {
    return daxsim_mtd_read_block(flash_, block, number * sizeof(Slot), &slot, sizeof slot);
  }
  int program(std::uint32_t block, std::uint32_t number, std::uint32_t key, const Value& value) {
    Slot slot{.checksum = 0, .key = key, .value = value};
    slot.checksum = checksum_of(slot);
    return daxsim_mtd_program_block(flash_, block, number * sizeof(Slot), &slot, sizeof slot);
  }

  // What is torn is neither free nor a record: the log goes on behind it.
  int scan() {
    next_ = 1;
    for (std::uint32_t number = 1; number < slots(); ++number) {
      Slot slot;
      if (const int error = read(block_, number, slot); error != 0) {
        return error;
      }
      next_ = is_free(slot) ? next_ : number + 1;
      if (is_record(slot)) {
        newest_[slot.key] = slot.value;
      }
    }
    return 0;
  }

  // The erase comes first, always: a block may look erased and not be.
  int move_to(std::uint32_t block) {
    int error = daxsim_mtd_erase_block(flash_, block);
    const auto write_header = [&] { return program(block, 0, generation_ + 1, {"the log"}); };
    if (error == 0 && mistake_ == Mistake::header_first) {
      error = write_header();
    }
    std::uint32_t number = 1;
    for (const auto& [key, value] : newest_) {
      error = error == 0 ? program(block, number++, key, value) : error;
    }
    if (error == 0 && mistake_ != Mistake::header_first) {
      error = write_header();
    }
    block_ = block;
    next_ = number;
    ++generation_;
    return error;
  }

  daxsim_mtd* const flash_;
  const Mistake mistake_;
  std::uint32_t block_ = 0;
  std::uint32_t generation_ = 0;  // 0: no log
  std::uint32_t next_ = 1;        // slot
  std::map<std::uint32_t, Value> newest_;
};

// The run

// A P30 with two blocks of 1 KiB.
constexpr sim::NorPart small_part() {
  sim::NorPart part = sim::parts::p30;
  part.regions = {{{.blocks = 2, .block_bytes = 1 << 10, .erase = std::chrono::milliseconds(400)}}};
  return part;
}

constexpr std::uint32_t kKeys = 6;

// As often as it fits, so that no two values share a half.
Value text(const std::string& words) {
  Value value;
  for (std::size_t i = 0; i < value.size(); ++i) {
    value[i] = words[i % words.size()];
  }
  return value;
}

struct Put {
  std::uint32_t key;
  Value value;
  std::uint64_t begun;  // Mtd::operations() before and after it
  std::uint64_t done;
};

class PowerCutRun {
 public:
  explicit PowerCutRun(Mistake mistake)
      : mistake_(mistake), cuts_(must(sim::open(sim::NorFlash{.part = small_part()}))) {
    VirtualClock clock;
    const auto mtd = must(cuts_.record(clock));
    must(mtd->unlock({0, mtd->size()}));
    daxsim_mtd flash{.mtd = mtd.get()};
    RecordStore store(&flash, mistake_);
    EXPECT_EQ(store.mount(), 0);
    for (std::uint32_t i = 0; mtd->operations() < 200; ++i) {
      Put put{.key = i % kKeys, .value = text("value " + std::to_string(i)), .begun = mtd->operations(), .done = 0};
      EXPECT_EQ(store.put(put.key, put.value), 0);
      put.done = mtd->operations();
      puts_.push_back(put);
    }
  }

  std::vector<sim::NorCutId> ids() { return must(cuts_.ids()); }

  // What is wrong after this cut; empty: nothing.
  std::string check(sim::NorCutId id) {
    VirtualClock clock;
    const auto mtd = must(cuts_.power_on(id, clock));
    must(mtd->unlock({0, mtd->size()}));
    daxsim_mtd flash{.mtd = mtd.get()};
    RecordStore store(&flash, mistake_);
    if (store.mount() != 0) {
      return "it does not mount";
    }
    if (!holds_what_it_must(store, id.operation)) {
      return "an acknowledged record is lost, or one is there that nobody put";
    }
    return goes_on(store, flash) ? "" : "it takes new records and loses them";
  }

 private:
  // Every record that was acknowledged, or the one in flight in its place.
  [[nodiscard]] bool holds_what_it_must(const RecordStore& store, std::uint64_t operation) const {
    std::map<std::uint32_t, Value> wanted;
    for (const Put& put : puts_) {
      if (put.done <= operation) {
        wanted[put.key] = put.value;
      } else if (put.begun <= operation && store.records().contains(put.key) &&
                 store.records().at(put.key) == put.value) {
        wanted[put.key] = put.value;
      }
    }
    return store.records() == wanted;
  }

  // Another mount finds the same, after the first put and when the log has moved.
  [[nodiscard]] bool goes_on(RecordStore& store, daxsim_mtd& flash) const {
    constexpr std::uint32_t kPuts = 32;
    for (std::uint32_t i = 0; i < kPuts; ++i) {
      if (store.put(i % 2, text("later " + std::to_string(i))) != 0) {
        return false;
      }
      RecordStore again(&flash, mistake_);
      if ((i == 0 || i + 1 == kPuts) && (again.mount() != 0 || again.records() != store.records())) {
        return false;
      }
    }
    return true;
  }

  const Mistake mistake_;
  sim::NorPowerCuts cuts_;
  std::vector<Put> puts_;
};

struct Found {
  std::size_t states = 0;
  std::vector<sim::NorCutId> bad;
  std::string first;
};

Found run(Mistake mistake) {
  PowerCutRun run(mistake);
  Found found;
  for (const sim::NorCutId id : run.ids()) {
    ++found.states;
    if (const std::string wrong = run.check(id); !wrong.empty()) {
      found.first = found.bad.empty() ? std::to_string(id.operation) + "." + std::to_string(id.outcome) + ": " + wrong
                                      : found.first;
      found.bad.push_back(id);
    }
  }
  return found;
}

TEST(RecordStore, SurvivesEveryPowerCut) {
  const Found found = run(Mistake::none);
  EXPECT_GT(found.states, 1500U);
  EXPECT_EQ(found.first, "");
}

class RecordStoreWith : public testing::TestWithParam<Mistake> {};
INSTANTIATE_TEST_SUITE_P(Mistakes, RecordStoreWith,
                         testing::Values(Mistake::no_checksum, Mistake::header_first, Mistake::looks_free));

TEST_P(RecordStoreWith, AMistakeIsFoundAndItsIdFindsItAgain) {
  const Found found = run(GetParam());
  ASSERT_FALSE(found.bad.empty());
  std::printf("%zu of %zu states are bad, the first %s\n", found.bad.size(), found.states, found.first.c_str());
  PowerCutRun again(GetParam());
  EXPECT_NE(again.check(found.bad.back()), "");
}
