// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/sim_devices/nor_power_cuts.hpp"

#include <algorithm>
#include <chrono>
#include <optional>
#include <span>
#include <utility>

#include "nor_chip.hpp"
#include "nor_media.hpp"

DAXSIM_BEGIN
namespace sim {
namespace {

constexpr std::uint64_t kMostOutcomes = std::uint64_t{1} << 20;

struct WriteCycle {
  std::chrono::nanoseconds at;
  std::uint64_t address;
  std::uint16_t word;
};

// Notes which blocks change, by an address in each; the same more than once.
class ChangedBlocks final : public NorObserver {
 public:
  void on_write(std::uint64_t /*address*/, std::uint16_t /*word*/) override {}
  void on_begin() override {}
  void on_change(std::uint64_t address) override {
    if (addresses_.empty() || addresses_.back() != address) {
      addresses_.push_back(address);
    }
  }

  // Those since the last call, each address once.
  std::vector<std::uint64_t> take() {
    std::ranges::sort(addresses_);
    const auto rest = std::ranges::unique(addresses_);
    addresses_.erase(rest.begin(), rest.end());
    return std::exchange(addresses_, {});
  }

 private:
  std::vector<std::uint64_t> addresses_;
};

// Copies the blocks that hold `addresses`, and their marks, from one whole content of such media to another.
void copy_blocks(const NorMediaFile& media, std::span<const std::uint64_t> addresses, std::span<std::byte> from,
                 std::span<std::byte> to) {
  const NorPart& part = media.config().part;
  for (const std::uint64_t address : addresses) {
    const auto chip = static_cast<std::uint32_t>(address / part.size());
    const NorCells source = media.cells(chip, from);
    const NorCells target = media.cells(chip, to);
    const ByteRange block = nor_block(part, address % part.size());
    const std::uint32_t index = nor_block_index(part, block.offset);
    std::ranges::copy(source.bytes.subspan(block.offset, block.length), target.bytes.subspan(block.offset).begin());
    target.marks[index] = source.marks[index];
  }
}

Result<std::shared_ptr<NorMediaFile>> open_in_memory(NorFlash config) {
  config.media.clear();
  DAXSIM_TRY(auto media, open(config));
  return std::static_pointer_cast<NorMediaFile>(std::move(media));
}

}  // namespace

class NorPowerCuts::Recorder final : public NorObserver {
 public:
  Recorder(NorContents before, const VirtualClock& clock) : initial(std::move(before)), clock_(clock) {}
  void on_write(std::uint64_t address, std::uint16_t word) override {
    cycles.push_back({.at = clock_.now(), .address = address, .word = word});
  }
  void on_begin() override { begins.push_back(cycles.size()); }
  void on_change(std::uint64_t /*address*/) override {}

  NorContents initial;
  std::vector<WriteCycle> cycles;
  std::vector<std::size_t> begins;  // of each operation, how many cycles it took until then

 private:
  const VirtualClock& clock_;
};

// *origin* follows the workload and never sees a cut; *after* is origin with the outcomes of one cut, and whatever a client
// then does to it.
//
// I1 Outside the blocks in origin_changes_ and after_changes_ the two are equal.
// I2 Outside the blocks in moved_ the origin holds what the recording began with.
class NorPowerCuts::Replay {
 public:
  static Result<std::unique_ptr<Replay>> of(const NorFlash& config, Recorder& recorded) {
    DAXSIM_TRY(auto origin, open_in_memory(config));
    DAXSIM_TRY(auto after, open_in_memory(config));
    DAXSIM_TRY_VOID(origin->restore(recorded.initial));
    DAXSIM_TRY_VOID(after->restore(recorded.initial));
    auto replay = std::unique_ptr<Replay>(new Replay(recorded, std::move(origin), std::move(after)));
    DAXSIM_TRY_VOID(replay->count_outcomes());
    return replay;
  }

  // By operation, and 1 for the end.
  [[nodiscard]] std::span<const std::uint32_t> outcomes() const noexcept { return outcomes_; }
  [[nodiscard]] const std::shared_ptr<NorMediaFile>& after() const noexcept { return after_; }
  [[nodiscard]] NorObserver& after_changes() noexcept { return after_changes_; }
  [[nodiscard]] std::chrono::nanoseconds now() const noexcept { return clock_->now(); }

  // The origin is where the power goes; what the id says of it.
  Result<PowerCut> seek(NorCutId id);
  // The same for the contents of `after`, which has no power.
  Result<void> cut(NorCutId id);

 private:
  Replay(Recorder& recorded, std::shared_ptr<NorMediaFile> origin, std::shared_ptr<NorMediaFile> after)
      : recorded_(recorded), origin_(std::move(origin)), after_(std::move(after)) {}
  Result<void> count_outcomes();
  Result<void> advance_to(std::uint32_t operation);
  Result<void> begin_anew();
  void pass_on_origin_changes();

  Recorder& recorded_;
  const std::shared_ptr<NorMediaFile> origin_;
  const std::shared_ptr<NorMediaFile> after_;
  std::vector<std::uint32_t> outcomes_;

  ChangedBlocks origin_changes_;
  ChangedBlocks after_changes_;
  ChangedBlocks moved_;
  std::size_t cycle_ = 0;  // the next one
  std::optional<VirtualClock> clock_;
  std::unique_ptr<Mtd> mtd_;  // of the origin; null: before the begin, or after the end
};

void NorPowerCuts::Replay::pass_on_origin_changes() {
  for (const std::uint64_t address : origin_changes_.take()) {
    moved_.on_change(address);
    after_changes_.on_change(address);
  }
}

Result<void> NorPowerCuts::Replay::begin_anew() {
  mtd_.reset();
  pass_on_origin_changes();
  const std::vector<std::uint64_t> moved = moved_.take();
  copy_blocks(*origin_, moved, recorded_.initial.bytes, origin_->bytes());
  std::ranges::for_each(moved, [this](std::uint64_t address) { after_changes_.on_change(address); });
  cycle_ = 0;
  clock_.emplace();
  DAXSIM_TRY(mtd_, Mtd::power_on(origin_, *clock_, &origin_changes_));
  return {};
}

Result<void> NorPowerCuts::Replay::advance_to(std::uint32_t operation) {
  const bool is_end = operation == recorded_.begins.size();
  const std::size_t until = is_end ? recorded_.cycles.size() : recorded_.begins[operation];
  if (mtd_ == nullptr || cycle_ > until) {
    DAXSIM_TRY_VOID(begin_anew());
  }
  for (; cycle_ < until; ++cycle_) {
    const WriteCycle& cycle = recorded_.cycles[cycle_];
    clock_->advance_to(cycle.at);
    mtd_->store(cycle.address, cycle.word);
  }
  if (is_end) {
    mtd_.reset();
  }
  return {};
}

Result<void> NorPowerCuts::Replay::count_outcomes() {
  for (std::uint32_t operation = 0; operation < recorded_.begins.size(); ++operation) {
    DAXSIM_TRY_VOID(advance_to(operation));
    std::uint64_t count = 1;
    for (const LineHistory& line : mtd_->pending_operations()) {
      count *= line.outcomes;
      if (count > kMostOutcomes) {
        return Errno::eoverflow;
      }
    }
    outcomes_.push_back(static_cast<std::uint32_t>(count));
  }
  outcomes_.push_back(1);
  return {};
}

Result<PowerCut> NorPowerCuts::Replay::seek(NorCutId id) {
  if (id.operation >= outcomes_.size() || id.outcome >= outcomes_[id.operation]) {
    return Errno::einval;
  }
  DAXSIM_TRY_VOID(advance_to(id.operation));
  PowerCut choice{.kind = PowerCut::Kind::listed};
  if (mtd_ != nullptr) {
    for (const LineHistory& line : mtd_->pending_operations()) {
      choice.lines.push_back({.offset = line.offset, .outcome = id.outcome % line.outcomes});
      id.outcome /= line.outcomes;
    }
  }
  return choice;
}

Result<void> NorPowerCuts::Replay::cut(NorCutId id) {
  DAXSIM_TRY(const PowerCut choice, seek(id));
  pass_on_origin_changes();
  copy_blocks(*origin_, after_changes_.take(), origin_->bytes(), after_->bytes());
  if (mtd_ == nullptr) {
    return {};
  }
  for (const LineOutcome& line : choice.lines) {
    after_changes_.on_change(line.offset);
  }
  return mtd_->cut(choice, after_->bytes());
}

NorPowerCuts::NorPowerCuts(std::shared_ptr<NorMedia> media) noexcept : media_(std::move(media)) {}
NorPowerCuts::~NorPowerCuts() = default;

Result<std::unique_ptr<Mtd>> NorPowerCuts::record(VirtualClock& clock) {
  if (replay_ != nullptr) {
    DAXSIM_TRY_VOID(replay_->after()->take_view());
    replay_.reset();
  }
  DAXSIM_TRY(NorContents before, media_->contents());
  recorder_ = std::make_unique<Recorder>(std::move(before), clock);
  return Mtd::power_on(media_, clock, recorder_.get());
}

Result<void> NorPowerCuts::finish_recording() {
  if (recorder_ == nullptr) {
    return Errno::einval;
  }
  if (replay_ == nullptr) {
    auto& file = static_cast<NorMediaFile&>(*media_);
    DAXSIM_TRY_VOID(file.take_view());
    auto replay = Replay::of(file.config(), *recorder_);
    file.return_view();
    DAXSIM_TRY(replay_, std::move(replay));
  }
  return {};
}

Result<std::vector<NorCutId>> NorPowerCuts::ids() {
  DAXSIM_TRY_VOID(finish_recording());
  std::vector<NorCutId> ids;
  std::uint32_t operation = 0;
  for (const std::uint32_t outcomes : replay_->outcomes()) {
    for (std::uint32_t outcome = 0; outcome < outcomes; ++outcome) {
      ids.push_back({.operation = operation, .outcome = outcome});
    }
    ++operation;
  }
  return ids;
}

Result<PowerCut> NorPowerCuts::choice(NorCutId id) {
  DAXSIM_TRY_VOID(finish_recording());
  return replay_->seek(id);
}

// Afterwards the view of `after` is taken.
Result<void> NorPowerCuts::go_to(NorCutId id) {
  DAXSIM_TRY_VOID(finish_recording());
  NorMediaFile& after = *replay_->after();
  DAXSIM_TRY_VOID(after.take_view());
  const Result<void> cut = replay_->cut(id);
  after.return_view();
  return cut;
}

Result<std::unique_ptr<Mtd>> NorPowerCuts::power_on(NorCutId id, VirtualClock& clock) {
  DAXSIM_TRY_VOID(go_to(id));
  clock.advance_to(replay_->now());
  return Mtd::power_on(replay_->after(), clock, &replay_->after_changes());
}

Result<NorContents> NorPowerCuts::contents(NorCutId id) {
  DAXSIM_TRY_VOID(go_to(id));
  return replay_->after()->contents();
}

}  // namespace sim
DAXSIM_END
