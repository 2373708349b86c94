// SPDX-License-Identifier: BSD-3-Clause
#include "process.hpp"

#include <fcntl.h>
#include <linux/falloc.h>
#include <linux/fiemap.h>
#include <linux/fs.h>
#include <linux/io_uring.h>
#include <sys/ioctl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <cstdlib>
#include <memory>
#include <span>
#include <string_view>
#include <utility>

#include "lab/guarded_access.hpp"

namespace oracle {
namespace {

using daxsim::FaultSignal;
using daxsim::lab::Verb;

constexpr std::uint64_t kPage = 4096;
constexpr std::uint64_t kHugePage = std::uint64_t{2} << 20;
// As simulated processes have it (mm/process.hpp), and where the tracer looks for faults.
constexpr std::uint64_t kFirstAddress = 0x200000000000;
constexpr std::uint64_t kAskedAddress = 0x208000000000;  // of `mmap -a 0`
constexpr std::uint8_t kWritten = 0xcd;
constexpr std::uint8_t kStored = 0x58;
constexpr std::uint64_t kMostTransfer = std::uint64_t{1} << 28;
constexpr std::uint32_t kMostExtents = 512;

// Of linux/mman.h, which not every libc passes on.
constexpr int kAdvisePopulateRead = 22;
constexpr int kAdvisePopulateWrite = 23;

void* pointer(std::uint64_t address) {
  return reinterpret_cast<void*>(address);  // NOLINT(performance-no-int-to-ptr): where a mapping was put
}

// Memory for O_DIRECT.
struct Buffer {
  explicit Buffer(std::uint64_t size)
      : bytes(static_cast<std::byte*>(std::aligned_alloc(kPage, (size + kPage - 1) / kPage * kPage))) {}
  std::unique_ptr<std::byte, decltype([](std::byte* memory) { std::free(memory); })> bytes;
};

std::uint8_t seed_of(const Step& step, std::uint8_t otherwise) {
  const auto* const flag = step.flag('S');
  return flag == nullptr ? otherwise : static_cast<std::uint8_t>(flag->number);
}

// "SIGBUS si_code=BUS_ADRERR(2) si_addr=BASE+0x3000 lsb=0", behind "load +0x3000".
Outcome signalled(const std::string& access, const FaultSignal& signal, std::uint64_t base) {
  const std::string name = daxsim::lab::signal_text(signal.number, signal.code);
  const std::size_t space = name.find(' ');
  Outcome outcome;
  outcome.kind = Outcome::Kind::signalled;
  outcome.signal = signal;
  outcome.recorded = fmt::format("{} {} si_code={}({}) si_addr=BASE+{:#x} lsb={}", access, name.substr(0, space),
                                 name.substr(space + 1), signal.code, signal.address - base, signal.address_lsb);
  return outcome;
}

Outcome refused(const std::string& call, int error) {
  errno = error;
  return called(call, -1);
}

void wake(int /*signal*/) {}

// Signals that came without an access: the kernel tells who maps memory that it takes away.
struct Notice {
  std::atomic<int> count{0};
  siginfo_t last{};
};
Notice notice;

void note(int number, siginfo_t* info, void* /*context*/) {
  if (number != SIGBUS || (info->si_code != BUS_MCEERR_AR && info->si_code != BUS_MCEERR_AO)) {
    // A fault of this program's own, which comes again.
    std::signal(number, SIG_DFL);
    return;
  }
  notice.last = *info;
  ++notice.count;
}

std::string notice_text(int count) {
  const FaultSignal signal{.number = SIGBUS,
                           .code = notice.last.si_code,
                           .address = reinterpret_cast<std::uintptr_t>(notice.last.si_addr),
                           .address_lsb = static_cast<unsigned>(notice.last.si_addr_lsb)};
  return fmt::format(", {} (n={})", signalled("async", signal, kFirstAddress).recorded, count);
}

}  // namespace

void install_signal_handlers() {
  struct sigaction noting{};
  noting.sa_sigaction = &note;
  noting.sa_flags = SA_SIGINFO;
  sigaction(SIGBUS, &noting, nullptr);
  sigaction(SIGSEGV, &noting, nullptr);
  // It passes on what is not its own.
  daxsim::lab::guard_accesses();
  struct sigaction action{};
  action.sa_handler = &wake;
  sigaction(SIGTERM, &action, nullptr);
}

Process::Process(std::filesystem::path folder, std::string direct_file)
    : folder_(std::move(folder)), direct_file_(std::move(direct_file)), next_address_(kFirstAddress) {}

std::optional<Process::File> Process::current_file() {
  const std::scoped_lock lock(mutex_);
  return file_ < files_.size() && files_[file_].descriptor >= 0 ? std::optional(files_[file_]) : std::nullopt;
}

std::optional<Process::Mapping> Process::current_mapping() {
  const std::scoped_lock lock(mutex_);
  return mapping_ < mappings_.size() ? std::optional(mappings_[mapping_]) : std::nullopt;
}

std::string take_notice() {
  const int count = notice.count.exchange(0);
  return count == 0 ? std::string() : notice_text(count);
}

Outcome Process::play(const Step& step) {
  switch (step.verb) {
    case Verb::open:
      return open(step);
    case Verb::file:
      return choose_file(step);
    case Verb::close:
      return close();
    case Verb::sync:
      sync();
      return called("sync", 0);
    case Verb::syncfs:
      return sync_file_system();
    case Verb::unlink:
      return called("unlink", ::unlink(path_of(step.words[0]).c_str()));
    case Verb::rename:
      return called("rename", ::rename(path_of(step.words[0]).c_str(), path_of(step.words[1]).c_str()));
    case Verb::mmap:
      return step.numbers.size() == 1 ? choose_mapping(step) : map(step);
    default:
      break;
  }
  const std::string name(daxsim::lab::kind_of(step.verb).name);
  if (step.verb < Verb::mmap) {
    const std::optional<File> file = current_file();
    return file ? file_call(step, *file) : refused(name, EBADF);
  }
  const std::optional<Mapping> mapping = current_mapping();
  return mapping ? mapping_call(step, *mapping) : refused(name, EINVAL);
}

// --- files ---

Outcome Process::open(const Step& step) {
  const int flags = (step.flag('r') != nullptr ? O_RDONLY : O_RDWR) | (step.flag('f') != nullptr ? O_CREAT : 0) |
                    (step.flag('t') != nullptr ? O_TRUNC : 0) | (step.flag('d') != nullptr ? O_DIRECT : 0) | O_CLOEXEC;
  const int descriptor = ::open(path_of(step.words[0]).c_str(), flags, 0644);
  if (descriptor < 0) {
    return called("open", descriptor);
  }
  const std::scoped_lock lock(mutex_);
  file_ = files_.size();
  files_.push_back({descriptor, path_of(step.words[0])});
  return called("open", static_cast<std::int64_t>(file_));
}

Outcome Process::sync_file_system() const {
  const int folder = ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  const Outcome outcome = called("syncfs", folder < 0 ? -1 : syncfs(folder));
  ::close(folder);
  return outcome;
}

Outcome Process::choose_file(const Step& step) {
  const std::scoped_lock lock(mutex_);
  if (step.numbers[0] >= files_.size() || files_[step.numbers[0]].descriptor < 0) {
    return refused("file", EBADF);
  }
  file_ = step.numbers[0];
  return called("file", 0);
}

// The one opened last of those that are still open is the current one then.
Outcome Process::close() {
  const std::scoped_lock lock(mutex_);
  if (file_ >= files_.size() || files_[file_].descriptor < 0) {
    return refused("close", EBADF);
  }
  const Outcome outcome = called("close", ::close(std::exchange(files_[file_].descriptor, -1)));
  for (std::size_t which = files_.size(); which-- > 0;) {
    if (files_[which].descriptor >= 0) {
      file_ = which;
      break;
    }
  }
  return outcome;
}

Outcome Process::file_call(const Step& step, const File& file) {
  if (step.flag('m') != nullptr) {
    return transfer_mapped(step, file);
  }
  switch (step.verb) {
    case Verb::truncate:
      return called("ftruncate", ftruncate(file.descriptor, static_cast<off_t>(step.numbers[0])));
    case Verb::pread:
      return read(step, file);
    case Verb::pwrite:
      return write(step, file);
    case Verb::fsync:
      return called("fsync", fsync(file.descriptor));
    case Verb::fdatasync:
      return called("fdatasync", fdatasync(file.descriptor));
    case Verb::sync_range:
      return called(
          "sync_file_range",
          sync_file_range(file.descriptor, static_cast<off_t>(step.numbers[0]), static_cast<off_t>(step.numbers[1]),
                          SYNC_FILE_RANGE_WAIT_BEFORE | SYNC_FILE_RANGE_WRITE | SYNC_FILE_RANGE_WAIT_AFTER));
    case Verb::fadvise:
      errno = posix_fadvise(file.descriptor, 0, 0, POSIX_FADV_DONTNEED);
      return called("posix_fadvise", errno == 0 ? 0 : -1);
    case Verb::fiemap:
      return extents(step, file);
    case Verb::seek:
      return seek(step, file);
    case Verb::stat: {
      struct stat status{};
      if (fstat(file.descriptor, &status) != 0) {
        return called("fstat", -1);
      }
      Outcome outcome = answered(fmt::format("stat size={} blocks512={}", status.st_size, status.st_blocks));
      outcome.answer = fmt::format("size={} blocks={}", status.st_size, status.st_blocks);
      return outcome;
    }
    case Verb::statx: {
      struct statx status{};
      if (statx(file.descriptor, "", AT_EMPTY_PATH, STATX_BASIC_STATS, &status) != 0) {
        return called("statx", -1);
      }
      const int is_dax = (status.stx_attributes & STATX_ATTR_DAX) != 0 ? 1 : 0;
      return answered(fmt::format("statx DAX attr={}", is_dax), is_dax);
    }
    case Verb::reflink:
      return reflink(step, file);
    case Verb::chattr:
      return change_attribute(step, file);
    default:
      return fallocate(step, file);
  }
}

Outcome Process::fallocate(const Step& step, const File& file) {
  int mode = step.flag('k') != nullptr ? FALLOC_FL_KEEP_SIZE : 0;
  switch (step.verb) {
    case Verb::fpunch:
      mode = FALLOC_FL_PUNCH_HOLE | FALLOC_FL_KEEP_SIZE;
      break;
    case Verb::fzero:
      mode |= FALLOC_FL_ZERO_RANGE;
      break;
    case Verb::fcollapse:
      mode = FALLOC_FL_COLLAPSE_RANGE;
      break;
    case Verb::finsert:
      mode = FALLOC_FL_INSERT_RANGE;
      break;
    case Verb::funshare:
      mode = FALLOC_FL_UNSHARE_RANGE;
      break;
    default:
      break;
  }
  return called("fallocate", ::fallocate(file.descriptor, mode, static_cast<off_t>(step.numbers[0]),
                                         static_cast<off_t>(step.numbers[1])));
}

Outcome Process::read(const Step& step, const File& file) {
  constexpr auto kUntouched = std::byte{0xee};
  const std::uint64_t length = std::min(step.numbers[1], kMostTransfer);
  const Buffer buffer(length);
  std::fill_n(buffer.bytes.get(), length, kUntouched);
  const std::string call = fmt::format("pread +{:#x}", step.numbers[0]);
  const ssize_t count = pread(file.descriptor, buffer.bytes.get(), length, static_cast<off_t>(step.numbers[0]));
  if (count < 0) {
    return called(call, count);
  }
  const std::byte first = length == 0 ? kUntouched : *buffer.bytes;
  Outcome outcome = answered(fmt::format("{} = {} val={:#04x}", call, count, std::to_integer<unsigned>(first)), count);
  outcome.bytes.assign(buffer.bytes.get(), buffer.bytes.get() + count);
  return outcome;
}

Outcome Process::write(const Step& step, const File& file) {
  const std::uint64_t length = std::min(step.numbers[1], kMostTransfer);
  const Buffer buffer(length);
  std::fill_n(buffer.bytes.get(), length, static_cast<std::byte>(seed_of(step, kWritten)));
  return called(fmt::format("pwrite +{:#x} len {}", step.numbers[0], step.numbers[1]),
                pwrite(file.descriptor, buffer.bytes.get(), length, static_cast<off_t>(step.numbers[0])));
}

// With mapped memory as the buffer.
Outcome Process::transfer_mapped(const Step& step, const File& file) {
  const bool is_read = step.verb == Verb::pread;
  const std::string call = is_read ? "pread" : "pwrite";
  const std::optional<Mapping> mapping = current_mapping();
  if (!mapping) {
    return refused(call, EFAULT);
  }
  void* const memory = pointer(mapping->address + (step.flag('m')->number - mapping->offset));
  const auto offset = static_cast<off_t>(step.numbers[0]);
  return called(call, is_read ? ::pread(file.descriptor, memory, step.numbers[1], offset)
                              : ::pwrite(file.descriptor, memory, step.numbers[1], offset));
}

Outcome Process::extents(const Step& step, const File& file) {
  std::vector<std::uint64_t> memory((sizeof(struct fiemap) + kMostExtents * sizeof(struct fiemap_extent)) /
                                    sizeof(std::uint64_t));
  auto& request = *reinterpret_cast<struct fiemap*>(memory.data());
  request.fm_start = step.numbers.empty() ? 0 : step.numbers[0];
  request.fm_length = step.numbers.empty() ? FIEMAP_MAX_OFFSET : step.numbers[1];
  request.fm_extent_count = kMostExtents;
  if (ioctl(file.descriptor, FS_IOC_FIEMAP, &request) != 0) {
    return called("fiemap", -1);
  }
  Outcome outcome = answered(fmt::format("fiemap n={} ", request.fm_mapped_extents), request.fm_mapped_extents);
  for (const struct fiemap_extent& extent : std::span(request.fm_extents, request.fm_mapped_extents)) {
    outcome.recorded += fmt::format("[log {:#x} phys {:#x} len {:#x} fl {:#x}] ", extent.fe_logical, extent.fe_physical,
                                    extent.fe_length, extent.fe_flags);
    outcome.answer += fmt::format("{}{}+{}", outcome.answer.empty() ? "" : " ", extent.fe_logical, extent.fe_length);
    char separator = ':';
    for (const auto& [flag, name] :
         {std::pair{FIEMAP_EXTENT_UNWRITTEN, "unwritten"}, {FIEMAP_EXTENT_SHARED, "shared"}}) {
      if ((extent.fe_flags & flag) != 0) {
        outcome.answer += std::exchange(separator, ',');
        outcome.answer += name;
      }
    }
  }
  return outcome;
}

Outcome Process::seek(const Step& step, const File& file) {
  const bool data = step.flag('h') == nullptr;
  const off_t found = lseek(file.descriptor, static_cast<off_t>(step.numbers[0]), data ? SEEK_DATA : SEEK_HOLE);
  Outcome outcome = called("lseek", found);
  outcome.recorded = fmt::format("{}({})={}", data ? "SEEK_DATA" : "SEEK_HOLE", step.numbers[0], found);
  return outcome;
}

Outcome Process::reflink(const Step& step, const File& file) {
  const int source = ::open(path_of(step.words[0]).c_str(), O_RDONLY | O_CLOEXEC);
  if (source < 0) {
    return called("ioctl", -1);
  }
  struct file_clone_range range{};
  range.src_fd = source;
  if (!step.numbers.empty()) {
    range.src_offset = step.numbers[0];
    range.dest_offset = step.numbers[1];
    range.src_length = step.numbers[2];
  }
  const Outcome outcome = called("ioctl", ioctl(file.descriptor, FICLONERANGE, &range));
  ::close(source);
  return outcome;
}

// `chattr +x /` is about the folder that all files are in.
Outcome Process::change_attribute(const Step& step, const File& file) {
  const std::string& change = step.words[0];
  if (change.size() != 2 || (change[0] != '+' && change[0] != '-') || (change[1] != 'x' && change[1] != 'r')) {
    return refused("ioctl", EINVAL);
  }
  const bool of_folder = step.words.size() > 1;
  const int descriptor = of_folder ? ::open(folder_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC) : file.descriptor;
  struct fsxattr attributes{};
  int result = ioctl(descriptor, FS_IOC_FSGETXATTR, &attributes);
  if (result == 0) {
    const std::uint32_t flag = change[1] == 'x' ? FS_XFLAG_DAX : FS_XFLAG_REALTIME;
    attributes.fsx_xflags = change[0] == '+' ? attributes.fsx_xflags | flag : attributes.fsx_xflags & ~flag;
    result = ioctl(descriptor, FS_IOC_FSSETXATTR, &attributes);
  }
  const Outcome outcome = called("ioctl", result);
  if (of_folder) {
    ::close(descriptor);
  }
  return outcome;
}

// --- mappings ---

Outcome Process::map(const Step& step) {
  const std::optional<File> file = current_file();
  if (!file) {
    return refused("mmap", EBADF);
  }
  const bool reads = step.flag('r') != nullptr || step.flag('w') == nullptr;
  const bool writes = step.flag('w') != nullptr || step.flag('r') == nullptr;
  const bool is_private = step.flag('p') != nullptr;
  const bool synchronous = step.flag('S') != nullptr;
  const std::uint64_t offset = step.numbers[0];
  const std::uint64_t length = step.numbers[1];
  const auto* const asked = step.flag('a');

  const std::scoped_lock lock(mutex_);
  const std::uint64_t address = asked != nullptr ? kAskedAddress + asked->number : next_address_ + offset % kHugePage;
  const int protection = (reads ? PROT_READ : 0) | (writes ? PROT_WRITE : 0);
  const int sharing = is_private ? MAP_PRIVATE : (synchronous ? MAP_SHARED_VALIDATE : MAP_SHARED);
  void* memory = MAP_FAILED;
  if (!synchronous) {
    memory = ::mmap(pointer(address), length, protection, sharing | MAP_FIXED_NOREPLACE, file->descriptor,
                    static_cast<off_t>(offset));
  } else if (::mmap(pointer(address), length, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_FIXED_NOREPLACE, -1, 0) !=
             MAP_FAILED) {
    // MAP_SYNC and MAP_FIXED_NOREPLACE cannot be had together; the place is ours now.
    memory = ::mmap(pointer(address), length, protection, sharing | MAP_SYNC | MAP_FIXED, file->descriptor,
                    static_cast<off_t>(offset));
    if (memory == MAP_FAILED) {
      const int error = errno;
      ::munmap(pointer(address), length);
      errno = error;
    }
  }
  if (memory == MAP_FAILED) {
    return called("mmap", -1);
  }
  next_address_ = std::max(next_address_, (address + length + kPage + kHugePage - 1) / kHugePage * kHugePage);
  mapping_ = mappings_.size();
  mappings_.push_back({address, offset, length});
  return called("mmap", static_cast<std::int64_t>(mapping_));
}

Outcome Process::choose_mapping(const Step& step) {
  const std::scoped_lock lock(mutex_);
  if (step.numbers[0] >= mappings_.size()) {
    return refused("mmap", EINVAL);
  }
  mapping_ = step.numbers[0];
  return called("mmap", 0);
}

Outcome Process::mapping_call(const Step& step, const Mapping& mapping) {
  if (step.verb == Verb::munmap) {
    return unmap(step, mapping);
  }
  const std::uint64_t address = mapping.address + (step.numbers[0] - mapping.offset);
  void* const memory = pointer(address);
  const std::uint64_t length = step.numbers.size() > 1 ? step.numbers[1] : kPage;
  switch (step.verb) {
    case Verb::mread:
      return load(step, mapping);
    case Verb::mwrite:
      return store(step, mapping);
    case Verb::msync: {
      const int flags = (step.flag('a') != nullptr ? MS_ASYNC : 0) | (step.flag('i') != nullptr ? MS_INVALIDATE : 0) |
                        (step.flag('s') != nullptr || step.flag('a') == nullptr ? MS_SYNC : 0);
      return called("msync", msync(memory, length, flags));
    }
    case Verb::mprotect: {
      const int protection = (step.flag('r') != nullptr ? PROT_READ : 0) | (step.flag('w') != nullptr ? PROT_WRITE : 0);
      return called("mprotect", mprotect(memory, length, protection));
    }
    case Verb::madvise:
      return advise(step, address);
    case Verb::mlock:
      return step.flag('f') != nullptr ? called("mlock", mlock2(memory, length, MLOCK_ONFAULT))
                                       : called("mlock", mlock(memory, length));
    case Verb::munlock:
      return called("munlock", munlock(memory, length));
    case Verb::mincore:
      return resident_pages(step, address);
    case Verb::pagemap:
      return page_table_entry(step, mapping);
    case Verb::pin:
      return pin(step, address);
    case Verb::unpin:
      return unpin(address);
    case Verb::direct_io:
      return direct_io(step, address);
    default:
      return cannot(fmt::format("{} cannot be done on a real machine", daxsim::lab::kind_of(step.verb).name));
  }
}

Outcome Process::unmap(const Step& step, const Mapping& mapping) {
  const bool whole = step.numbers.empty();
  const std::uint64_t address = whole ? mapping.address : mapping.address + (step.numbers[0] - mapping.offset);
  return called("munmap", munmap(pointer(address), whole ? mapping.length : step.numbers[1]));
}

// "pte=none", "pte=pfn:0x48200,softdirty".
std::string Process::entry_text(std::uint64_t address) const {
  constexpr std::uint64_t kPresent = std::uint64_t{1} << 63;
  constexpr std::uint64_t kSwapped = std::uint64_t{1} << 62;
  constexpr std::uint64_t kFile = std::uint64_t{1} << 61;
  constexpr std::uint64_t kExclusive = std::uint64_t{1} << 56;
  constexpr std::uint64_t kSoftDirty = std::uint64_t{1} << 55;
  if (!may_read_page_tables_) {
    return "pte=notread";
  }
  std::uint64_t entry = 0;
  const int pagemap = ::open("/proc/self/pagemap", O_RDONLY | O_CLOEXEC);
  if (pread(pagemap, &entry, sizeof entry, static_cast<off_t>(address / kPage * sizeof entry)) != sizeof entry) {
    entry = 0;
  }
  ::close(pagemap);
  if ((entry & kPresent) == 0) {
    return (entry & kSwapped) != 0 ? "pte=none(swap/hwpoison entry)" : "pte=none";
  }
  return fmt::format("pte=pfn:{:#x}{}{}{}", entry & (kSoftDirty - 1), (entry & kFile) != 0 ? ",file" : "",
                     (entry & kExclusive) != 0 ? ",excl" : "", (entry & kSoftDirty) != 0 ? ",softdirty" : "");
}

Outcome Process::load(const Step& step, const Mapping& mapping) {
  const std::uint64_t at = step.numbers[0] - mapping.offset;
  const std::uint64_t address = mapping.address + at;
  const std::string access = fmt::format("load +{:#x}", at);
  Outcome outcome;
  outcome.bytes.resize(std::min(step.numbers[1], kMostTransfer));
  if (const auto signal = daxsim::lab::guarded_load(static_cast<std::byte*>(pointer(address)), outcome.bytes)) {
    return signalled(access, *signal, mapping.address);
  }
  outcome.value = static_cast<std::int64_t>(outcome.bytes.size());
  outcome.recorded =
      fmt::format("{} ok val={:#04x} {}", access,
                  outcome.bytes.empty() ? 0 : std::to_integer<unsigned>(outcome.bytes.front()), entry_text(address));
  return outcome;
}

Outcome Process::store(const Step& step, const Mapping& mapping) {
  const std::uint64_t at = step.numbers[0] - mapping.offset;
  const std::uint64_t address = mapping.address + at;
  const std::string access = fmt::format("store +{:#x}", at);
  const std::vector<std::byte> bytes(std::min(step.numbers[1], kMostTransfer),
                                     static_cast<std::byte>(seed_of(step, kStored)));
  if (const auto signal = daxsim::lab::guarded_store(static_cast<std::byte*>(pointer(address)), bytes)) {
    return signalled(access, *signal, mapping.address);
  }
  return answered(fmt::format("{} ok {}", access, entry_text(address)), static_cast<std::int64_t>(bytes.size()));
}

Outcome Process::advise(const Step& step, std::uint64_t address) {
  constexpr std::pair<std::string_view, int> kAdvice[] = {{"dontneed", MADV_DONTNEED},
                                                          {"populate_read", kAdvisePopulateRead},
                                                          {"populate_write", kAdvisePopulateWrite},
                                                          {"pageout", MADV_PAGEOUT}};
  const auto* const advice =
      std::ranges::find(kAdvice, std::string_view(step.words[0]), &std::pair<std::string_view, int>::first);
  if (advice == std::end(kAdvice)) {
    return refused("madvise", EINVAL);
  }
  return called("madvise", madvise(pointer(address), step.numbers[1], advice->second));
}

Outcome Process::resident_pages(const Step& step, std::uint64_t address) {
  std::vector<unsigned char> pages((step.numbers[1] + kPage - 1) / kPage);
  if (mincore(pointer(address), step.numbers[1], pages.data()) != 0) {
    return called("mincore", -1);
  }
  Outcome outcome = answered("mincore = 0 ");
  for (const unsigned char page : pages) {
    const char figure = (page & 1) != 0 ? '1' : '0';
    outcome.recorded += figure;
    outcome.answer += outcome.answer.empty() ? "" : " ";
    outcome.answer += figure;
  }
  return outcome;
}

// Linux tells a program whether there is an entry, and not whether it may be written through: either is what was expected.
Outcome Process::page_table_entry(const Step& step, const Mapping& mapping) {
  const std::uint64_t at = step.numbers[0] - mapping.offset;
  const std::string entry = entry_text(mapping.address + at);
  Outcome outcome = answered(fmt::format("pagemap +{:#x} {}", at, entry));
  const bool expects_writable =
      std::ranges::any_of(step.expectations, [](const auto& expectation) { return expectation.text == "rw"; });
  outcome.answer = entry.starts_with("pte=none") ? "none" : (expects_writable ? "rw" : "ro");
  return outcome;
}

// A page in a pipe is one that somebody has a reference to. -l is what io_uring asks for; nobody else does for so long.
Outcome Process::pin(const Step& step, std::uint64_t address) {
  if (step.flag('l') != nullptr) {
    struct io_uring_params parameters{};
    const int ring = static_cast<int>(syscall(SYS_io_uring_setup, 4, &parameters));
    if (ring < 0) {
      return called("pin", ring);
    }
    struct iovec buffer{pointer(address), kPage};
    const Outcome outcome = called("pin", syscall(SYS_io_uring_register, ring, IORING_REGISTER_BUFFERS, &buffer, 1));
    ::close(ring);
    return outcome;
  }
  if (step.flag('w') != nullptr && madvise(pointer(address), kPage, kAdvisePopulateWrite) != 0) {
    return called("pin", -1);
  }
  Pin pinned{.address = address / kPage * kPage};
  if (pipe2(pinned.pipe, O_CLOEXEC) != 0) {
    return called("pin", -1);
  }
  struct iovec page{pointer(pinned.address), kPage};
  const ssize_t moved = vmsplice(pinned.pipe[1], &page, 1, 0);
  if (moved == static_cast<ssize_t>(kPage)) {
    const std::scoped_lock lock(mutex_);
    pins_.push_back(pinned);
  } else {
    const int error = errno;
    ::close(pinned.pipe[0]);
    ::close(pinned.pipe[1]);
    errno = error;
  }
  return called("pin", moved < 0 ? -1 : 1);
}

Outcome Process::unpin(std::uint64_t address) {
  Pin pinned;
  {
    const std::scoped_lock lock(mutex_);
    const auto found = std::ranges::find(pins_, address / kPage * kPage, &Pin::address);
    if (found == pins_.end()) {
      return refused("unpin", EINVAL);
    }
    pinned = *found;
    pins_.erase(found);
  }
  std::array<std::byte, kPage> bytes{};
  const Outcome outcome = called("unpin", ::read(pinned.pipe[0], bytes.data(), bytes.size()) < 0 ? -1 : 0);
  ::close(pinned.pipe[0]);
  ::close(pinned.pipe[1]);
  return outcome;
}

Outcome Process::direct_io(const Step& step, std::uint64_t address) {
  const int other = ::open(direct_file_.c_str(), O_RDWR | O_DIRECT | O_CLOEXEC);
  if (other < 0) {
    return called("open", other);
  }
  void* const memory = pointer(address);
  const Outcome outcome = step.words[0] == "from" ? called("pwrite", pwrite(other, memory, step.numbers[1], 0))
                                                  : called("pread", pread(other, memory, step.numbers[1], 0));
  const int error = errno;
  ::close(other);
  errno = error;
  return outcome;
}

}  // namespace oracle
