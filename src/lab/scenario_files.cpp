// SPDX-License-Identifier: BSD-3-Clause
// The verbs of files.
#include <fmt/format.h>

#include <algorithm>

#include "daxsim/adapters/realtime.hpp"
#include "daxsim/adapters/tiered.hpp"
#include "lab/scenario_player.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

constexpr std::uint8_t kWritten = 0xcd;

Fallocate mode_of(const Step& step) noexcept {
  switch (step.verb) {
    case Verb::fpunch:
      return Fallocate::punch_hole;
    case Verb::fzero:
      return Fallocate::zero_range;
    case Verb::fcollapse:
      return Fallocate::collapse_range;
    case Verb::finsert:
      return Fallocate::insert_range;
    case Verb::funshare:
      return Fallocate::unshare_range;
    default:
      return step.flag('k') != nullptr ? Fallocate::allocate_keep_size : Fallocate::allocate;
  }
}

}  // namespace

Outcome failed(std::string_view call, Errno error) {
  return {
      .kind = Outcome::Kind::failed, .error = error, .recorded = fmt::format("{} = -1 {}", call, errno_name(error))};
}

Outcome outcome_of(std::string_view call, const Result<void>& result) {
  return result.ok() ? answered(fmt::format("{} = 0", call)) : failed(call, result.error());
}

Outcome outcome_of(std::string_view call, const Result<std::uint64_t>& result) {
  return result.ok() ? answered(fmt::format("{} = {}", call, *result), static_cast<std::int64_t>(*result))
                     : failed(call, result.error());
}

Outcome ScenarioPlayer::open(const Step& step, FileSystem& fs, ScenarioProcess& process) {
  const std::string& path = step.words[0];
  const OpenMode mode = step.flag('r') != nullptr ? OpenMode::read_only : OpenMode::read_write;
  Result<File> file = fs.open(path, mode);
  if (!file.ok() && file.error() == Errno::enoent && step.flag('f') != nullptr) {
    file = fs.create(path);
  }
  if (!file.ok()) {
    return failed("open", file.error());
  }
  if (step.flag('t') != nullptr) {
    if (const Result<void> done = file->truncate(0); !done.ok()) {
      return failed("open", done.error());
    }
  }
  const MutexLock guard(lock_);
  process.file = process.files.size();
  process.files.push_back(std::make_shared<File>(std::move(*file)));
  return answered(fmt::format("open = {}", process.file), static_cast<std::int64_t>(process.file));
}

Outcome ScenarioPlayer::choose_file(const Step& step, ScenarioProcess& process) {
  const MutexLock guard(lock_);
  if (step.numbers[0] >= process.files.size() || process.files[step.numbers[0]] == nullptr) {
    return failed("file", Errno::ebadf);
  }
  process.file = step.numbers[0];
  return answered("file = 0");
}

Outcome ScenarioPlayer::close(ScenarioProcess& process) {
  std::shared_ptr<File> closed;  // dies when the lock is free
  const MutexLock guard(lock_);
  closed = std::move(process.files[process.file]);
  for (std::size_t which = process.files.size(); which-- > 0;) {
    if (process.files[which] != nullptr) {
      process.file = which;
      break;
    }
  }
  return answered("close = 0");
}

Outcome ScenarioPlayer::pread(const Step& step, File& file) {
  Outcome outcome;
  outcome.bytes.resize(std::min(step.numbers[1], kMostTransfer));
  const Result<std::uint64_t> read = file.pread(step.numbers[0], outcome.bytes);
  if (!read.ok()) {
    return failed(fmt::format("pread +{:#x}", step.numbers[0]), read.error());
  }
  outcome.bytes.resize(*read);
  outcome.value = static_cast<std::int64_t>(*read);
  // What the recorder's buffer had in it.
  const auto first = outcome.bytes.empty() ? std::uint8_t{0xee} : std::to_integer<std::uint8_t>(outcome.bytes.front());
  outcome.recorded = fmt::format("pread +{:#x} = {} val={:#04x}", step.numbers[0], *read, first);
  return outcome;
}

Outcome ScenarioPlayer::pwrite(const Step& step, File& file) {
  const Flag* const seed = step.flag('S');
  const std::vector<std::byte> bytes(std::min(step.numbers[1], kMostTransfer),
                                     static_cast<std::byte>(seed == nullptr ? kWritten : seed->number));
  return outcome_of(fmt::format("pwrite +{:#x} len {}", step.numbers[0], step.numbers[1]),
                    file.pwrite(step.numbers[0], bytes));
}

Outcome ScenarioPlayer::fallocate(const Step& step, File& file) {
  return outcome_of("fallocate", file.fallocate(mode_of(step), {step.numbers[0], step.numbers[1]}));
}

Outcome ScenarioPlayer::sync_range(const Step& step, File& file) {
  return outcome_of("sync_file_range",
                    file.open_file()->fsync_range({step.numbers[0], step.numbers[1]}, Datasync::yes));
}

Outcome ScenarioPlayer::reflink(const Step& step, FileSystem& fs, File& file) {
  const Result<File> source = fs.open(step.words[0], OpenMode::read_only);
  if (!source.ok()) {
    return failed("ioctl", source.error());
  }
  const bool is_range = !step.numbers.empty();
  const ByteRange bytes = is_range ? ByteRange{step.numbers[0], step.numbers[2]} : ByteRange{0, 0};
  return outcome_of("ioctl", file.reflink(*source, bytes, is_range ? step.numbers[1] : 0));
}

Outcome ScenarioPlayer::chattr(const Step& step, FileSystem& fs, ScenarioProcess& process) {
  const std::string& change = step.words[0];
  if (change.size() != 2 || (change[0] != '+' && change[0] != '-') || (change[1] != 'x' && change[1] != 'r')) {
    return failed("ioctl", Errno::einval);
  }
  const bool set = change[0] == '+';
  const XflagDax flag = set ? XflagDax::set : XflagDax::clear;
  if (step.words.size() == 2) {
    return change[1] == 'x' && step.words[1] == "/" ? outcome_of("ioctl", fs.super_block()->set_xflag_dax(flag))
                                                    : failed("ioctl", Errno::einval);
  }
  const std::shared_ptr<File> file = current_file(process);
  if (file == nullptr) {
    return failed("ioctl", Errno::ebadf);
  }
  Inode& inode = file->open_file()->inode();
  return outcome_of("ioctl", change[1] == 'x' ? inode.set_xflag_dax(flag)
                                              : RealtimeFs::set_realtime(inode, set ? Realtime::yes : Realtime::no));
}

Outcome ScenarioPlayer::move_tiers(const Step& step, File& file) {
  const PageRange pages = pages_of({step.numbers[0], step.numbers[1]});
  Inode& inode = file.open_file()->inode();
  return outcome_of(kind_of(step.verb).name,
                    step.verb == Verb::promote ? TieredFs::promote(inode, pages) : TieredFs::demote(inode, pages));
}

Outcome ScenarioPlayer::with_fs(const Step& step, ScenarioProcess& process) {
  std::optional<FileSystem> fs;
  {
    const MutexLock guard(lock_);
    fs = fs_;
  }
  if (!fs) {
    return failed(fmt::format("{}: nothing is mounted", kind_of(step.verb).name), Errno::enodev);
  }
  switch (step.verb) {
    case Verb::open:
      return open(step, *fs, process);
    case Verb::sync:
    case Verb::syncfs:
      return outcome_of(kind_of(step.verb).name, fs->sync());
    case Verb::unlink:
      return outcome_of("unlink", fs->unlink(step.words[0]));
    case Verb::rename:
      return outcome_of("rename", fs->rename(step.words[0], step.words[1]));
    case Verb::umount:
      return umount(*fs);
    case Verb::balance:
      return balance(*fs);
    case Verb::chattr:
      return chattr(step, *fs, process);
    default:
      return with_file(step, *fs, process);
  }
}

std::shared_ptr<File> ScenarioPlayer::current_file(const ScenarioProcess& process) const {
  const MutexLock guard(lock_);
  return process.file < process.files.size() ? process.files[process.file] : nullptr;
}

Outcome ScenarioPlayer::with_file(const Step& step, FileSystem& fs, ScenarioProcess& process) {
  const std::shared_ptr<File> file = current_file(process);
  if (file == nullptr) {
    return failed(kind_of(step.verb).name, Errno::ebadf);
  }
  if (step.flag('m') != nullptr) {
    return transfer_mapped(step, *file, process);
  }
  switch (step.verb) {
    case Verb::close:
      return close(process);
    case Verb::truncate:
      return outcome_of("ftruncate", file->truncate(step.numbers[0]));
    case Verb::pread:
      return pread(step, *file);
    case Verb::pwrite:
      return pwrite(step, *file);
    case Verb::fsync:
      return outcome_of("fsync", file->fsync());
    case Verb::fdatasync:
      return outcome_of("fdatasync", file->fdatasync());
    case Verb::sync_range:
      return sync_range(step, *file);
    case Verb::fadvise:
      return answered("posix_fadvise = 0");
    case Verb::fiemap:
      return fiemap(step, *file);
    case Verb::seek:
      return seek(step, *file);
    case Verb::stat:
      return stat(*file);
    case Verb::statx: {
      const bool is_dax = (file->open_file()->statx().attributes & kStatxAttrDax) != 0;
      return answered(fmt::format("statx DAX attr={:d}", is_dax), is_dax ? 1 : 0);
    }
    case Verb::reflink:
      return reflink(step, fs, *file);
    case Verb::promote:
    case Verb::demote:
      return move_tiers(step, *file);
    default:
      return fallocate(step, *file);
  }
}

Outcome ScenarioPlayer::fiemap(const Step& step, File& file) {
  const ByteRange bytes =
      step.numbers.empty() ? ByteRange{0, ~std::uint64_t{0}} : ByteRange{step.numbers[0], step.numbers[1]};
  const Result<std::vector<FiemapExtent>> extents = file.open_file()->fiemap(bytes);
  if (!extents.ok()) {
    return failed("fiemap", extents.error());
  }
  Outcome outcome = answered(fmt::format("fiemap n={}", extents->size()), static_cast<std::int64_t>(extents->size()));
  for (const FiemapExtent& extent : *extents) {
    outcome.recorded += fmt::format(" [log {:#x} phys {:#x} len {:#x} fl {:#x}]", extent.logical, extent.physical,
                                    extent.length, extent.flags);
    outcome.answer += fmt::format("{}{}+{}{}{}", outcome.answer.empty() ? "" : " ", extent.logical, extent.length,
                                  (extent.flags & kFiemapExtentUnwritten) != 0 ? ":unwritten" : "",
                                  (extent.flags & kFiemapExtentShared) != 0 ? ":shared" : "");
  }
  return outcome;
}

Outcome ScenarioPlayer::seek(const Step& step, File& file) {
  const bool is_data = step.flag('d') != nullptr;
  if (is_data == (step.flag('h') != nullptr)) {
    return failed("seek", Errno::einval);
  }
  const Result<std::uint64_t> found = file.open_file()->seek(step.numbers[0], is_data ? Seek::data : Seek::hole);
  const std::string call = fmt::format("SEEK_{}({})", is_data ? "DATA" : "HOLE", step.numbers[0]);
  if (!found.ok()) {
    Outcome outcome = failed(call, found.error());
    outcome.recorded = fmt::format("{}=-1", call);
    return outcome;
  }
  return answered(fmt::format("{}={}", call, *found), static_cast<std::int64_t>(*found));
}

Outcome ScenarioPlayer::stat(File& file) {
  const Statx statx = file.open_file()->statx();
  Outcome outcome = answered(fmt::format("stat size={} blocks512={}", statx.size, statx.blocks));
  outcome.answer = fmt::format("size={} blocks={}", statx.size, statx.blocks);
  return outcome;
}

}  // namespace lab
DAXSIM_END
