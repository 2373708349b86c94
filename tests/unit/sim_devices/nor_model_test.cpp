// SPDX-License-Identifier: BSD-3-Clause
// Random lives of a NOR flash of each kind against a model: of each byte the bits that must be there and those that may.
// Programs and erases, blocking and not, suspends, time, power cuts, orderly ends.
#include <gtest/gtest.h>

#include <rapidcheck/gtest.h>
#include <algorithm>
#include <optional>
#include <vector>

#include "nor_test.hpp"

namespace daxsim::nor {
namespace {

using sim::NorSource;

// What is known of a byte: bits that are certainly 1, and bits that may be. Equal where all is known.
struct Known {
  std::uint8_t must = 0xff;
  std::uint8_t may = 0xff;
  bool is_unstable = false;  // then nothing is known, whatever is programmed
};

// While an operation is in flight its bytes are known as they were before: nobody gets to read them until it has ended.
class Verifier {
 public:
  explicit Verifier(const sim::NorPart& part) : flash_(part), bytes_(flash_.mtd->size()) {}

  void program(std::uint64_t offset, const std::vector<std::uint8_t>& data) {
    const Result<void> result = flash_.mtd->program(offset, as_bytes(data));
    finish(program_);
    finish_erase_in({offset, data.size()});
    if (result.ok()) {
      clear(offset, data);
    } else {
      RC_ASSERT(result.error() == Errno::eio && may_be_refused(offset, data));
      tear(offset, data);
      learn();
    }
  }

  void erase(std::uint64_t offset) {
    must(flash_.mtd->erase(flash_.mtd->erase_block(offset)));
    finish(program_);
    finish(erase_);
    set(flash_.mtd->erase_block(offset));
  }

  void start_program(std::uint64_t offset, std::vector<std::uint8_t> data) {
    const sim::NorPart& part = flash_.mtd->part();
    data.resize(std::min<std::size_t>(data.size(), part.buffer_bytes - offset % part.buffer_bytes));
    const Result<void> result = flash_.mtd->start_program(offset, as_bytes(data));
    if (check_started(result)) {
      finish(program_);
      finish_erase_in({offset, data.size()});
      program_ = Flight{.bytes = {offset, data.size()}, .data = data};
    }
  }

  void start_erase(std::uint64_t offset) {
    const ByteRange block = flash_.mtd->erase_block(offset);
    if (check_started(flash_.mtd->start_erase(block.offset))) {
      finish(program_);
      finish(erase_);
      erase_ = Flight{.bytes = block};
    }
  }

  void wait() {
    const Result<void> result = flash_.mtd->wait(0);
    RC_ASSERT(result.ok() || flash_.mtd->part().refuses_ones);
    finish(program_);
    finish(erase_);
  }

  void suspend() { must(flash_.mtd->suspend(0)); }
  void resume() { must(flash_.mtd->resume(0)); }
  void advance(std::chrono::nanoseconds by) { flash_.clock.advance(by); }

  // Through the driver: whatever it takes, it is data.
  void read(std::uint64_t offset, std::size_t length) {
    length = std::min<std::size_t>(length, bytes_.size() - offset);
    const Bytes got = flash_.read(offset, length);
    finish_erase_in({offset, length});
    if (program_ && overlap(program_->bytes, {offset, length})) {
      finish(program_);
    }
    for (std::size_t i = 0; i < length; ++i) {
      const Known& known = bytes_[offset + i];
      const auto byte = static_cast<std::uint8_t>(got[i]);
      RC_ASSERT((known.must & ~byte) == 0);
      RC_ASSERT((byte & ~known.may) == 0);
    }
  }

  void power_cut(std::uint64_t seed) {
    const std::vector<LineHistory> pending = flash_.mtd->pending_operations();
    for (std::optional<Flight>* const flight : {&program_, &erase_}) {
      if (*flight && !contains(pending, round_down((*flight)->bytes.offset, flash_.mtd->part().bus_bytes))) {
        finish(*flight);  // it has ended, or changes nothing
      }
    }
    RC_ASSERT(pending.size() == std::size_t{program_.has_value()} + std::size_t{erase_.has_value()});
    const PowerCut choice{.kind = PowerCut::Kind::seeded, .seed = seed};
    const sim::NorContents expected = must(flash_.mtd->contents_after(choice));
    must(flash_.mtd->power_cut(choice));
    flash_.mtd.reset();
    RC_ASSERT(must(flash_.media->contents()) == expected);
    flash_.power_on();
    if (program_) {
      tear(program_->bytes.offset, program_->data);
    }
    if (erase_) {
      for (std::uint64_t at = erase_->bytes.offset; at < erase_->bytes.end(); ++at) {
        bytes_[at] = {.must = 0, .may = 0xff, .is_unstable = false};
      }
    }
    program_.reset();
    erase_.reset();
    learn();
  }

  void restart() {
    flash_.mtd.reset();
    flash_.power_on();
    finish(program_);
    finish(erase_);
  }

  void check_everything() {
    wait();
    read(0, bytes_.size());
  }

 private:
  struct Flight {
    ByteRange bytes;
    std::vector<std::uint8_t> data{};  // of a program
  };

  static Bytes as_bytes(const std::vector<std::uint8_t>& data) {
    Bytes bytes;
    std::ranges::transform(data, std::back_inserter(bytes), [](std::uint8_t byte) { return std::byte{byte}; });
    return bytes;
  }
  static bool overlap(ByteRange left, ByteRange right) {
    return left.offset < right.end() && right.offset < left.end();
  }
  static bool contains(const std::vector<LineHistory>& pending, std::uint64_t offset) {
    return std::ranges::find(pending, offset, &LineHistory::offset) != pending.end();
  }
  // Whether something was started; if not, something was in the way.
  [[nodiscard]] bool check_started(const Result<void>& result) const {
    RC_ASSERT(result.ok() || (result.error() == Errno::eagain && (program_ || erase_)));
    return result.ok();
  }
  // What wants these bytes has waited for the erase.
  void finish_erase_in(ByteRange bytes) {
    if (erase_ && overlap(erase_->bytes, bytes)) {
      finish(erase_);
    }
  }
  void clear(std::uint64_t offset, const std::vector<std::uint8_t>& data) {
    for (std::size_t i = 0; i < data.size(); ++i) {
      if (Known& known = bytes_[offset + i]; !known.is_unstable) {
        known.must &= data[i];
        known.may &= data[i];
      }
    }
  }
  // Of what was to be cleared any bit may be.
  void tear(std::uint64_t offset, const std::vector<std::uint8_t>& data) {
    for (std::size_t i = 0; i < data.size(); ++i) {
      bytes_[offset + i].must &= data[i];
    }
  }
  void set(ByteRange block) {
    std::fill_n(bytes_.begin() + static_cast<std::ptrdiff_t>(block.offset), block.length, Known{});
  }
  // The operation has come to its end.
  void finish(std::optional<Flight>& flight) {
    if (flight && !flight->data.empty()) {
      clear(flight->bytes.offset, flight->data);
    } else if (flight) {
      set(flight->bytes);
    }
    flight.reset();
  }
  [[nodiscard]] bool may_be_refused(std::uint64_t offset, const std::vector<std::uint8_t>& data) const {
    bool has_ones = false;
    for (std::size_t i = 0; i < data.size(); ++i) {
      has_ones |= data[i] != 0xff && (data[i] & ~bytes_[offset + i].must) != 0;
    }
    return has_ones && flash_.mtd->part().refuses_ones;
  }
  // What is readable of what was unknown is known now, unless it is unstable.
  void learn() {
    const Bytes read = flash_.read(0, bytes_.size());
    finish(program_);
    finish(erase_);
    for (std::uint64_t at = 0; at < bytes_.size(); ++at) {
      Known& known = bytes_[at];
      if (known.must == known.may) {
        continue;
      }
      const auto byte = static_cast<std::uint8_t>(read[at]);
      RC_ASSERT((known.must & ~byte) == 0);
      RC_ASSERT((byte & ~known.may) == 0);
      known.is_unstable = flash_.mtd->load(at).source == NorSource::unstable;
      if (!known.is_unstable) {
        known = {.must = byte, .may = byte, .is_unstable = false};
      }
    }
  }

  Flash flash_;
  std::vector<Known> bytes_;
  std::optional<Flight> program_;
  std::optional<Flight> erase_;
};

void live(const sim::NorPart& part) {
  Verifier flash(part);
  const std::uint64_t size = part.size();
  const auto any_offset = [size] {
    // Often in the same few places, so that operations meet.
    return *rc::gen::oneOf(rc::gen::inRange<std::uint64_t>(0, size), rc::gen::inRange<std::uint64_t>(1000, 1100));
  };
  const auto any_data = [&](std::uint64_t offset) {
    const auto length = *rc::gen::inRange<std::size_t>(1, 100);
    return *rc::gen::container<std::vector<std::uint8_t>>(std::min<std::size_t>(length, size - offset),
                                                          rc::gen::arbitrary<std::uint8_t>());
  };
  const auto steps = *rc::gen::inRange(1, 40);
  for (int i = 0; i < steps; ++i) {
    const std::uint64_t offset = any_offset();
    switch (*rc::gen::inRange(0, 12)) {
      case 0:
        flash.program(offset, any_data(offset));
        break;
      case 1:
        flash.erase(offset);
        break;
      case 2:
      case 3:
        flash.start_program(offset, any_data(offset));
        break;
      case 4:
      case 5:
        flash.start_erase(offset);
        break;
      case 6:
        flash.wait();
        break;
      case 7:
        flash.suspend();
        break;
      case 8:
        flash.resume();
        break;
      case 9:
        flash.advance(std::chrono::microseconds(1 << *rc::gen::inRange(0, 21)));
        break;
      case 10:
        flash.read(offset, 200);
        break;
      default:
        *rc::gen::arbitrary<bool>() ? flash.power_cut(*rc::gen::arbitrary<std::uint64_t>()) : flash.restart();
        break;
    }
  }
  flash.check_everything();
}

RC_GTEST_PROP(NorModel, P30, ()) { live(small_p30()); }
RC_GTEST_PROP(NorModel, S29GL, ()) { live(small_s29gl()); }
RC_GTEST_PROP(NorModel, W25Q, ()) { live(small_w25q()); }
RC_GTEST_PROP(NorModel, Partitions, ()) { live(partitioned()); }

}  // namespace
}  // namespace daxsim::nor
