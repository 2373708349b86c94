// SPDX-License-Identifier: BSD-3-Clause
// Actors, and which verb is whose.
#include "lab/scenario_player.hpp"

#include <fmt/format.h>

#include <chrono>
#include <system_error>

#include "base/thread_state.hpp"

DAXSIM_BEGIN
namespace lab {

// --- what was begun ---

BackgroundStep::BackgroundStep(std::function<Outcome()> step)
    : thread_([this, step = std::move(step)] {
        thread_id_.store(this_thread_id(), std::memory_order_release);
        const InterruptScope scope(interruption_);
        outcome_ = step();
        done_.store(true, std::memory_order_release);
      }) {}

BackgroundStep::~BackgroundStep() {
  interruption_.raise();
  thread_.join();
}

void BackgroundStep::settle() const {
  // Many looks in a row, since it may doze for other reasons.
  constexpr int kLooks = 100;
  for (int asleep = 0; !done() && asleep < kLooks; std::this_thread::yield()) {
    const int id = thread_id_.load(std::memory_order_acquire);
    asleep = id != 0 && is_asleep(id) ? asleep + 1 : 0;
  }
}

bool BackgroundStep::finish() const {
  using Clock = std::chrono::steady_clock;
  constexpr std::chrono::seconds kLongest{5};  // a removal waits a second for pins
  const Clock::time_point end = Clock::now() + kLongest;
  while (!done() && Clock::now() < end) {
    std::this_thread::sleep_for(std::chrono::microseconds{50});
  }
  return done();
}

// --- the player ---

ScenarioPlayer::ScenarioPlayer(const SimulatedMachine& kind, std::size_t ring_events)
    : kind_(kind),
      default_adapter_(kind.adapter_kind()),
      machine_(MachineOptions{.era = kind.era, .design = kind.design, .ring_events = ring_events}),
      adapter_(&default_adapter_) {}

ScenarioPlayer::~ScenarioPlayer() {
  unpin_all();
  background_.clear();
  end_processes();
  fs_.reset();
  machine_.reset();
  media_.clear();
  for (const std::filesystem::path& file : files_) {
    std::error_code ignored;
    std::filesystem::remove(file, ignored);
  }
}

std::vector<Finding> ScenarioPlayer::findings() const {
  std::vector<Finding> all = earlier_findings_;
  const std::vector<Finding> now = machine_->findings();
  all.insert(all.end(), now.begin(), now.end());
  return all;
}

ScenarioProcess& ScenarioPlayer::process_of(const Step& step) {
  if (step.actor.front() == 'p') {
    current_process_ = step.actor;
  }
  ScenarioProcess& process = processes_[current_process_];
  if (process.soft == nullptr && kind_.mmu == Mmu::soft) {
    process.soft = &machine_->spawn();
  }
  return process;
}

void ScenarioPlayer::unpin_all() {
  for (const Pinned& pinned : pins_) {
    Process::unpin(pinned.pin);
  }
  pins_.clear();
}

void ScenarioPlayer::end_processes() {
  unpin_all();
  // A simulated process ends with its machine; its areas go now, and with them the files they keep open.
  for (auto& [name, process] : processes_) {
    for (const Mapped& mapped : process.mappings) {
      if (mapped.live == nullptr) {
        static_cast<void>(process.soft->munmap(mapped.address, mapped.bytes.length));
      }
    }
  }
  processes_.clear();
}

void ScenarioPlayer::settle() {
  for (const auto& [actor, step] : background_) {
    step->settle();
  }
}

Outcome ScenarioPlayer::begin(const Step& step, ScenarioProcess& process) {
  auto& begun = background_[step.actor];
  begun = std::make_unique<BackgroundStep>([this, &step, &process] { return perform(step, process); });
  settle();
  if (begun->done()) {
    return answered(fmt::format("{} is done", step.command));
  }
  return {.kind = Outcome::Kind::waits, .recorded = fmt::format("{} waits", step.command)};
}

Outcome ScenarioPlayer::wait(const Step& step) {
  const auto begun = background_.find(step.actor);
  if (begun == background_.end()) {
    return failed("wait", Errno::einval);
  }
  if (!begun->second->finish()) {
    return {.kind = Outcome::Kind::waits, .recorded = "wait: nothing wakes it"};
  }
  Outcome outcome = begun->second->take();
  background_.erase(begun);
  return outcome;
}

Outcome ScenarioPlayer::kill(const Step& step) {
  const auto begun = background_.find(step.actor);
  if (begun == background_.end()) {
    return failed("kill", Errno::einval);
  }
  begun->second->interrupt();
  return answered("kill = 0");
}

Outcome ScenarioPlayer::play(const Step& step) {
  if (step.verb == Verb::wait) {
    return wait(step);
  }
  if (step.verb == Verb::kill) {
    const Outcome outcome = kill(step);
    settle();
    return outcome;
  }
  if (background_.contains(step.actor)) {
    return failed(fmt::format("{} has begun something, and can only wait or be killed", step.actor), Errno::ebusy);
  }
  ScenarioProcess& process = process_of(step);
  if (step.in_background) {
    return begin(step, process);
  }
  Outcome outcome = perform(step, process);
  settle();
  return outcome;
}

Outcome ScenarioPlayer::perform(const Step& step, ScenarioProcess& process) {
  switch (step.verb) {
    case Verb::device_create:
      return device_create(step);
    case Verb::device_remove:
      return device_remove(step);
    case Verb::device_attach:
      return device_attach(step);
    case Verb::mkfs:
      return mkfs(step);
    case Verb::mount:
      return mount(step);
    case Verb::power_cut:
      return power_cut(step);
    case Verb::reboot:
      return reboot();
    case Verb::drop_caches:
      return answered("drop_caches = 0");  // what nobody has open is not in core
    case Verb::echo:
      return answered(step.command);
    case Verb::file:
      return choose_file(step, process);
    case Verb::mmap:
      return mmap(step, process);
    case Verb::munmap:
    case Verb::mread:
    case Verb::mwrite:
    case Verb::msync:
    case Verb::mprotect:
    case Verb::madvise:
    case Verb::mlock:
    case Verb::munlock:
    case Verb::mincore:
    case Verb::pagemap:
    case Verb::pin:
    case Verb::unpin:
    case Verb::direct_io:
      return with_mapping(step, process);
    default:
      return with_fs(step, process);
  }
}

}  // namespace lab
DAXSIM_END
