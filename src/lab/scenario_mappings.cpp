// SPDX-License-Identifier: BSD-3-Clause
// The verbs of mappings.
#include <fmt/format.h>

#include <algorithm>
#include <array>

#include "lab/guarded_access.hpp"
#include "lab/scenario_player.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint8_t kStored = 0x58;
// MapOptions::address of `mmap -a 0`.
constexpr std::uint64_t kBase = 0x300000000000;

std::uint64_t address_of(const ScenarioProcess::Mapped& mapped, std::uint64_t offset) noexcept {
  return mapped.address + (offset - mapped.bytes.offset);
}

std::string pte_text(const PteState& pte) {
  return pte.kind == PteState::Kind::none ? "pte=none" : fmt::format("pte=pfn:{:#x}", pte.pfn.value);
}

// Nothing before the mapping has an address here; what is behind a live one is somebody else's memory.
bool may_address(const Step& step, const ScenarioProcess::Mapped& mapped) noexcept {
  if (step.numbers[0] < mapped.bytes.offset) {
    return false;
  }
  if (mapped.live == nullptr || (step.verb != Verb::mread && step.verb != Verb::mwrite)) {
    return true;
  }
  const std::uint64_t at = step.numbers[0] - mapped.bytes.offset;
  return at <= mapped.live->size() && step.numbers[1] <= mapped.live->size() - at;
}

Outcome signalled(std::string_view access, std::uint64_t at, std::uint64_t base, const FaultSignal& signal) {
  const std::string text = signal_text(signal.number, signal.code);
  const std::size_t space = text.find(' ');
  return {.kind = Outcome::Kind::signalled,
          .signal = signal,
          .recorded =
              fmt::format("{} +{:#x} {} si_code={}({}) si_addr=BASE+{:#x} lsb={}", access, at, text.substr(0, space),
                          text.substr(space + 1), signal.code, signal.address - base, signal.address_lsb)};
}

}  // namespace

Outcome ScenarioPlayer::mmap(const Step& step, ScenarioProcess& process) {
  if (step.numbers.size() == 1) {
    const MutexLock guard(lock_);
    if (step.numbers[0] >= process.mappings.size()) {
      return failed("mmap", Errno::einval);
    }
    process.mapping = step.numbers[0];
    return answered("mmap = 0");
  }
  const std::shared_ptr<File> file = current_file(process);
  if (file == nullptr) {
    return failed("mmap", Errno::ebadf);
  }
  const Flag* const address = step.flag('a');
  const MapOptions options{
      .prot = step.flag('r') != nullptr && step.flag('w') == nullptr ? Prot::read : Prot::read_write,
      .sharing = step.flag('p') != nullptr ? Sharing::private_copy : Sharing::shared,
      .sync = step.flag('S') != nullptr ? MapSync::yes : MapSync::no,
      .offset = step.numbers[0],
      .length = step.numbers[1],
      .address = address == nullptr ? 0 : kBase + address->number};
  Mapped mapped;
  mapped.bytes = {step.numbers[0], step.numbers[1]};
  if (kind_.mmu == Mmu::soft) {
    const Result<std::uint64_t> at = process.soft->mmap(file->open_file(), options);
    if (!at.ok()) {
      return failed("mmap", at.error());
    }
    mapped.address = *at;
  } else {
    if (address != nullptr) {
      return cannot("a live mapping is where the host puts it");
    }
    guard_accesses();
    Result<Mapping> mapping =
        file->map(options, kind_.mmu == Mmu::segv ? LiveBackend::sigsegv : LiveBackend::automatic);
    if (!mapping.ok()) {
      return failed("mmap", mapping.error());
    }
    mapped.live = std::make_shared<Mapping>(std::move(*mapping));
    mapped.address = reinterpret_cast<std::uintptr_t>(mapped.live->data());
  }
  const MutexLock guard(lock_);
  process.mapping = process.mappings.size();
  process.mappings.push_back(std::move(mapped));
  return answered(fmt::format("mmap = {}", process.mapping), static_cast<std::int64_t>(process.mapping));
}

Outcome ScenarioPlayer::munmap(const Step& step, ScenarioProcess& process, Mapped& mapped) const {
  const ByteRange bytes = step.numbers.empty() ? mapped.bytes : ByteRange{step.numbers[0], step.numbers[1]};
  if (kind_.mmu == Mmu::soft) {
    return outcome_of("munmap", process.soft->munmap(address_of(mapped, bytes.offset), bytes.length));
  }
  if (!step.numbers.empty()) {
    return cannot("a live mapping is unmapped as a whole");
  }
  mapped.live->unmap();
  return answered("munmap = 0");
}

Outcome ScenarioPlayer::mread(const Step& step, ScenarioProcess& process, Mapped& mapped) {
  const std::uint64_t at = step.numbers[0] - mapped.bytes.offset;
  const std::uint64_t address = address_of(mapped, step.numbers[0]);
  Outcome outcome;
  outcome.bytes.resize(std::min(step.numbers[1], kMostTransfer));
  std::optional<FaultSignal> signal;
  if (mapped.live != nullptr) {
    signal = guarded_load(mapped.live->data() + at, outcome.bytes);
  } else if (const AccessResult<void> read = process.soft->read(address, outcome.bytes); !read.ok()) {
    signal = read.error();
  }
  if (signal) {
    return signalled("load", at, mapped.address, *signal);
  }
  outcome.value = static_cast<std::int64_t>(outcome.bytes.size());
  const auto first = outcome.bytes.empty() ? std::byte{} : outcome.bytes.front();
  outcome.recorded = fmt::format("load +{:#x} ok val={:#04x} {}", at, std::to_integer<unsigned>(first),
                                 mapped.live != nullptr ? "pte=notread" : pte_text(process.soft->pte(address)));
  return outcome;
}

Outcome ScenarioPlayer::mwrite(const Step& step, ScenarioProcess& process, Mapped& mapped) {
  const std::uint64_t at = step.numbers[0] - mapped.bytes.offset;
  const std::uint64_t address = address_of(mapped, step.numbers[0]);
  const Flag* const seed = step.flag('S');
  const std::vector<std::byte> bytes(std::min(step.numbers[1], kMostTransfer),
                                     static_cast<std::byte>(seed == nullptr ? kStored : seed->number));
  std::optional<FaultSignal> signal;
  if (mapped.live != nullptr) {
    signal = guarded_store(mapped.live->data() + at, bytes);
  } else if (const AccessResult<void> written = process.soft->write(address, bytes); !written.ok()) {
    signal = written.error();
  }
  if (signal) {
    return signalled("store", at, mapped.address, *signal);
  }
  return answered(fmt::format("store +{:#x} ok {}", at,
                              mapped.live != nullptr ? "pte=notread" : pte_text(process.soft->pte(address))),
                  static_cast<std::int64_t>(bytes.size()));
}

Outcome ScenarioPlayer::msync(const Step& step, ScenarioProcess& process, Mapped& mapped) {
  const std::uint32_t flags = (step.flag('a') != nullptr ? msync_flag::kAsync : 0) |
                              (step.flag('i') != nullptr ? msync_flag::kInvalidate : 0) |
                              (step.flag('s') != nullptr || step.flag('a') == nullptr ? msync_flag::kSync : 0);
  if (mapped.live == nullptr) {
    return outcome_of("msync", process.soft->msync(address_of(mapped, step.numbers[0]), step.numbers[1], flags));
  }
  if ((flags & msync_flag::kSync) == 0) {
    return answered("msync = 0");
  }
  return outcome_of("msync", mapped.live->msync({step.numbers[0] - mapped.bytes.offset, step.numbers[1]}));
}

Outcome ScenarioPlayer::madvise(const Step& step, ScenarioProcess& process, Mapped& mapped) {
  const std::string& advice = step.words[0];
  const std::uint64_t address = address_of(mapped, step.numbers[0]);
  const ByteRange bytes{step.numbers[0] - mapped.bytes.offset, step.numbers[1]};
  const auto done = [&](const auto& soft, const auto& live) {
    return outcome_of("madvise",
                      mapped.live == nullptr ? soft(*process.soft, address, bytes.length) : live(*mapped.live, bytes));
  };
  if (advice == "dontneed") {
    return done([](Process& soft, std::uint64_t at, std::uint64_t length) { return soft.dont_need(at, length); },
                [](Mapping& live, ByteRange range) { return live.dont_need(range); });
  }
  if (advice == "populate_read") {
    return done(
        [](Process& soft, std::uint64_t at, std::uint64_t length) { return soft.populate(at, length, Access::read); },
        [](Mapping& live, ByteRange range) { return live.prefault(range, Access::read); });
  }
  if (advice == "populate_write") {
    return done(
        [](Process& soft, std::uint64_t at, std::uint64_t length) { return soft.populate(at, length, Access::write); },
        [](Mapping& live, ByteRange range) { return live.prefault(range, Access::write); });
  }
  // Pages of a direct file are not the page cache's.
  return advice == "pageout" ? answered("madvise = 0") : failed("madvise", Errno::einval);
}

Outcome ScenarioPlayer::soft_only(const Step& step, ScenarioProcess& process, Mapped& mapped) {
  if (mapped.live != nullptr) {
    return cannot(fmt::format("live mappings have no {}", kind_of(step.verb).name));
  }
  Process& soft = *process.soft;
  const std::uint64_t address = address_of(mapped, step.numbers[0]);
  switch (step.verb) {
    case Verb::mprotect:
      return outcome_of("mprotect", soft.mprotect(address, step.numbers[1],
                                                  step.flag('w') != nullptr ? Prot::read_write : Prot::read));
    case Verb::mlock:
      return outcome_of("mlock", soft.mlock(address, step.numbers[1]));
    case Verb::munlock:
      return outcome_of("munlock", soft.munlock(address, step.numbers[1]));
    case Verb::mincore: {
      const Result<std::vector<bool>> pages = soft.mincore(address, step.numbers[1]);
      if (!pages.ok()) {
        return failed("mincore", pages.error());
      }
      Outcome outcome = answered("mincore = 0 ");
      for (const bool in_core : *pages) {
        outcome.answer += outcome.answer.empty() ? "" : " ";
        outcome.answer += in_core ? "1" : "0";
        outcome.recorded += in_core ? "1" : "0";
      }
      return outcome;
    }
    case Verb::pagemap: {
      const PteState pte = soft.pte(address);
      Outcome outcome =
          answered(fmt::format("pagemap +{:#x} {}", step.numbers[0] - mapped.bytes.offset, pte_text(pte)));
      outcome.answer = pte.kind == PteState::Kind::none ? "none" : pte.writable ? "rw" : "ro";
      return outcome;
    }
    case Verb::pin: {
      const Result<Pin> pin = soft.pin(address, step.flag('w') != nullptr ? Access::write : Access::read,
                                       step.flag('l') != nullptr ? Longterm::yes : Longterm::no);
      if (!pin.ok()) {
        return failed("pin", pin.error());
      }
      const MutexLock guard(lock_);
      pins_.push_back({&soft, address, *pin});
      return answered("pin = 1", 1);
    }
    case Verb::unpin: {
      const MutexLock guard(lock_);
      const auto pin = std::ranges::find_if(
          pins_, [&](const Pinned& pinned) { return pinned.process == &soft && pinned.address == address; });
      if (pin == pins_.end()) {
        return failed("unpin", Errno::einval);
      }
      Process::unpin(pin->pin);
      pins_.erase(pin);
      return answered("unpin = 0");
    }
    default:
      return direct_io(step, process, address);
  }
}

// The pages are pinned one by one while the other file's blocks are read into them, or written from them.
Outcome ScenarioPlayer::direct_io(const Step& step, ScenarioProcess& process, std::uint64_t address) {
  const bool is_into = step.words[0] == "into";
  const std::string_view call = is_into ? "pread" : "pwrite";
  if (!is_into && step.words[0] != "from") {
    return failed(call, Errno::einval);
  }
  std::vector<Pin> pins;
  Result<void> pinned;
  for (std::uint64_t at = 0; at < step.numbers[1] && pinned.ok(); at += kPageSize) {
    Result<Pin> pin = process.soft->pin(address + at, is_into ? Access::write : Access::read);
    if (pin.ok()) {
      pins.push_back(*pin);
    } else {
      pinned = pin.error();
    }
  }
  if (pinned.ok()) {
    std::vector<std::byte> bytes(std::min(step.numbers[1], kMostTransfer));
    if (is_into) {
      const MutexLock guard(lock_);
      std::ranges::copy(std::span(other_file_).first(std::min(bytes.size(), other_file_.size())), bytes.begin());
    }
    const AccessResult<void> moved = is_into ? process.soft->write(address, bytes) : process.soft->read(address, bytes);
    if (!is_into) {
      const MutexLock guard(lock_);
      other_file_ = bytes;
    }
    pinned = moved.ok() ? pinned : Errno::efault;
  }
  std::ranges::for_each(pins, &Process::unpin);
  return pinned.ok()
             ? answered(fmt::format("{} = {}", call, step.numbers[1]), static_cast<std::int64_t>(step.numbers[1]))
             : failed(call, pinned.error());
}

// A system call whose buffer is mapped memory. The kernel would fault pages in while it copies; here they are there before.
Outcome ScenarioPlayer::transfer_mapped(const Step& step, File& file, ScenarioProcess& process) {
  const std::uint64_t buffer = step.flag('m')->number;
  const bool is_read = step.verb == Verb::pread;
  const std::string_view call = is_read ? "pread" : "pwrite";
  Mapped mapped;
  {
    const MutexLock guard(lock_);
    if (process.mapping >= process.mappings.size() || buffer < process.mappings[process.mapping].bytes.offset) {
      return failed(call, Errno::efault);
    }
    mapped = process.mappings[process.mapping];
  }
  if (mapped.live != nullptr) {
    return cannot("system calls are given simulated memory only");
  }
  const std::uint64_t address = address_of(mapped, buffer);
  const std::uint64_t first_page = address & ~(kPageSize - 1);
  const std::uint64_t length = std::min(step.numbers[1], kMostTransfer);
  if (!process.soft->populate(first_page, address + length - first_page, is_read ? Access::write : Access::read).ok()) {
    return failed(call, Errno::efault);
  }
  std::vector<std::byte> bytes(length);
  if (!is_read && !process.soft->read(address, bytes).ok()) {
    return failed(call, Errno::efault);
  }
  const Result<std::uint64_t> done = is_read ? file.pread(step.numbers[0], bytes) : file.pwrite(step.numbers[0], bytes);
  if (done.ok() && is_read && !process.soft->write(address, std::span(bytes).first(*done)).ok()) {
    return failed(call, Errno::efault);
  }
  return outcome_of(call, done);
}

Outcome ScenarioPlayer::with_mapping(const Step& step, ScenarioProcess& process) {
  Mapped mapped;
  {
    const MutexLock guard(lock_);
    if (process.mapping >= process.mappings.size()) {
      return failed(kind_of(step.verb).name, Errno::einval);
    }
    mapped = process.mappings[process.mapping];
  }
  if (!step.numbers.empty() && !may_address(step, mapped)) {
    return failed(kind_of(step.verb).name, Errno::einval);
  }
  switch (step.verb) {
    case Verb::munmap:
      return munmap(step, process, mapped);
    case Verb::mread:
      return mread(step, process, mapped);
    case Verb::mwrite:
      return mwrite(step, process, mapped);
    case Verb::msync:
      return msync(step, process, mapped);
    case Verb::madvise:
      return madvise(step, process, mapped);
    default:
      return soft_only(step, process, mapped);
  }
}

}  // namespace lab
DAXSIM_END
