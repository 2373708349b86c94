// SPDX-License-Identifier: BSD-3-Clause
#include "lab/recording.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstddef>
#include <optional>
#include <utility>

DAXSIM_BEGIN
namespace lab {
namespace {

using std::string_view_literals::operator""sv;

struct Named {
  std::string_view name;
  std::string_view why;
};

// The events that are compared: those of the DAX code, of the page tables of its mappings, and of what it answers.
constexpr std::array kCompared{
    "#PF"sv,
    "dax_pmd_fault"sv,
    "pmd_done"sv,
    "dax_pmd_load_hole"sv,
    "dax_pte_fault"sv,
    "pte_done"sv,
    "dax_load_hole"sv,
    "dax_insert_entry"sv,
    "dax_insert_pfn_mkwrite"sv,
    "dax_insert_pfn_mkwrite_no_entry"sv,
    "dax_finish_sync_fault"sv,
    "vmf_insert_mixed"sv,
    "vmf_insert_mixed_mkwrite"sv,
    "vmf_insert_page_mkwrite"sv,
    "vmf_insert_pfn_pmd"sv,
    "vmf_insert_folio_pmd"sv,
    "dax_writeback_range"sv,
    "dax_writeback_one"sv,
    "wb_range_done"sv,
    "wb_mapping"sv,
    "pfn_mkclean_range"sv,
    "dax_flush"sv,
    "direct_access"sv,
    "unmap_pages"sv,
    "unmap_range"sv,
    "inval_pages2"sv,
    "entry_sync"sv,
    "dax_delete_entry"sv,
    "busy_page"sv,
    "dax_break_layout"sv,
    "dax_break_layout_final"sv,
    "dax_zero_range"sv,
    "dax_truncate_page"sv,
    "dax_copy_to_iter"sv,
    "dax_copy_from_iter"sv,
    "iomap_rw"sv,
    "dax_iomap_cow_copy"sv,
    "dax_iomap_copy_around"sv,
    "__split_huge_pmd"sv,
    "signal"sv,
    // Poison and removal.
    "dax_holder_notify_failure"sv,
    "notify_failure"sv,
    "dax_lock_page"sv,
    "dax_lock_folio"sv,
    "dax_lock_mapping_entry"sv,
    "mf_dax_kill_procs"sv,
    "memory_failure"sv,
};

// And those that are not, although they were recorded.
constexpr std::string_view kBlockLayer = "the block layer under the file system's own data: journals, zeroing, inodes";
constexpr std::string_view kMetadata = "how a file system changes or commits its own metadata";
constexpr std::string_view kPinning =
    "get_user_pages itself, on whatever memory; the faults that come of it are compared";
constexpr std::string_view kPoison = "how a report of poisoned memory is passed on; its steps are of a later issue";
constexpr std::array kNotCompared{
    Named{"bio", kBlockLayer},
    Named{"nvdimm_flush", kBlockLayer},
    Named{"blkdev_issue_flush", kBlockLayer},
    Named{"jbd2_complete_transaction", kMetadata},
    Named{"xfs_log_force_seq", kMetadata},
    Named{"ext4_issue_zeroout", kMetadata},
    Named{"xfs_iomap_write_direct", kMetadata},
    Named{"xfs_iomap_write_unwritten", kMetadata},
    Named{"xfs_reflink_allocate_cow", kMetadata},
    Named{"xfs_reflink_end_cow", kMetadata},
    Named{"xfs_wait_dax_page", "XFS's own function that the wait for a pin calls: busy_page says that it waits"},
    Named{"wp_page_copy", "copies of anonymous and private pages; in 6.12 it is inlined and cannot be traced"},
    Named{"get_user_pages_fast", kPinning},
    Named{"pin_user_pages_fast", kPinning},
    Named{"check_vma_flags", kPinning},
    Named{"xfs_dax_notify_failure", kPoison},
    Named{"xfs_dax_failure_fn", kPoison},
    Named{"mf_event", kPoison},
};

std::vector<std::string_view> split(std::string_view text, std::string_view separator) {
  std::vector<std::string_view> parts;
  while (true) {
    const std::size_t at = text.find(separator);
    parts.push_back(text.substr(0, at));
    if (at == std::string_view::npos) {
      return parts;
    }
    text.remove_prefix(at + separator.size());
  }
}

std::optional<std::uint64_t> number_in(std::string_view digits, int base = 10) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), value, base);
  return error == std::errc() && end == digits.data() + digits.size() ? std::optional(value) : std::nullopt;
}

// "dax_flush(4096)x2" is {"dax_flush(4096)", 2}.
std::pair<std::string_view, std::uint64_t> without_repetition(std::string_view event) {
  const std::size_t x = event.rfind('x');
  if (x == std::string_view::npos || x == 0 || x + 1 == event.size()) {
    return {event, 1};
  }
  const std::optional<std::uint64_t> times = number_in(event.substr(x + 1));
  return times ? std::pair{event.substr(0, x), *times} : std::pair{event, std::uint64_t{1}};
}

constexpr std::uint64_t kMostRepetitions = 100'000;

std::expected<std::vector<std::string>, std::string> read_events(std::string_view text) {
  std::vector<std::string> events;
  if (text.empty()) {
    return events;
  }
  for (const std::string_view written : split(text, " > ")) {
    const auto [event, times] = without_repetition(written);
    if (name_of_event(event).empty() || times == 0 || times > kMostRepetitions) {
      return std::unexpected(fmt::format("\"{}\" is no event", written));
    }
    events.insert(events.end(), times, std::string(event));
  }
  return events;
}

// The lines that are two calls, as the recorder printed them.
std::vector<std::string> read_results(std::string_view text) {
  if (text.starts_with("SEEK_DATA(")) {
    std::vector<std::string> both;
    for (const std::string_view part : split(text, " ")) {
      both.emplace_back(part);
    }
    return both;
  }
  if (text == "(unlink(path), close(fd)) = 0") {
    return {"unlink = 0", "close = 0"};
  }
  return {std::string(text)};
}

// Labels of scenarios have no spaces.
std::string label_of(std::string_view step) {
  std::string label(step);
  std::ranges::replace(label, ' ', '-');
  return label;
}

std::string joined_flags(std::uint32_t flags) {
  struct Bit {
    std::uint32_t value;
    std::string_view name;
  };
  constexpr std::array kBits{Bit{0x1, "WRITE"}, Bit{0x2, "MKWRITE"}, Bit{0x1000, "VMA_LOCK"}};
  std::vector<std::string_view> names;
  for (const Bit& bit : kBits) {
    if ((flags & bit.value) != 0) {
      names.push_back(bit.name);
    }
  }
  return names.empty() ? "READ" : fmt::format("{}", fmt::join(names, "/"));
}

std::string fault_text(std::string_view name, const Event& event) {
  return fmt::format("{}[{}{}]", name, joined_flags(event.fault_flags), event.is_private ? ",private" : "");
}

std::string outcome_text(std::string_view name, const Event& event) {
  std::string text = fs_dax_text(event);
  text = text.substr(text.rfind(' ') + 1);
  std::ranges::replace(text, '|', '/');
  return fmt::format("{}={}", name, text);
}

// The kernel's last page offset is that of LLONG_MAX.
constexpr std::uint64_t kEndPage = 0x7ffffffffffff;

std::string page_text(std::uint64_t page) { return page == kEndPage ? "END" : fmt::format("{:#x}", page); }

std::string range_text(std::string_view name, const Event& event) {
  return fmt::format("{}({:#x}-{})", name, event.pgoff.value, page_text(event.last));
}

}  // namespace

std::string_view name_of_event(std::string_view event) noexcept {
  const std::size_t after_actor = event.starts_with('[') ? event.find(']') + 1 : 0;
  return event.substr(0, event.find_first_of("=([", after_actor));
}

std::expected<std::string_view, std::string> why_not_compared(std::string_view event) {
  std::string_view name = name_of_event(event);
  if (name.starts_with('[')) {
    name.remove_prefix(name.find(']') + 1);
  }
  if (std::ranges::find(kCompared, name) != kCompared.end()) {
    return ""sv;
  }
  const auto* const found = std::ranges::find(kNotCompared, name, &Named::name);
  if (found == kNotCompared.end()) {
    return std::unexpected(fmt::format("no table of recording.cpp knows the event \"{}\"", event));
  }
  return found->why;
}

std::expected<std::vector<std::string>, std::string> compared_events(std::span<const std::string> events) {
  std::vector<std::string> compared;
  for (const std::string& event : events) {
    const auto why = why_not_compared(event);
    if (!why) {
      return std::unexpected(why.error());
    }
    if (why->empty()) {
      compared.push_back(event);
    }
  }
  return compared;
}

std::vector<std::string> notation_of(const Event& e) {
  switch (e.type) {
    case EventType::page_fault_user:
      return {fmt::format("#PF({:#x})", e.flags)};
    case EventType::dax_pmd_fault:
    case EventType::dax_pte_fault:
      return {fault_text(event_name(e.type), e)};
    case EventType::dax_pmd_fault_done:
      return {outcome_text("pmd_done", e)};
    case EventType::dax_pte_fault_done:
      return {outcome_text("pte_done", e)};
    case EventType::dax_pmd_load_hole:
    case EventType::dax_load_hole:
    case EventType::dax_insert_entry:
    case EventType::dax_insert_pfn_mkwrite:
    case EventType::dax_insert_pfn_mkwrite_no_entry:
    case EventType::vmf_insert_mixed:
    case EventType::vmf_insert_mixed_mkwrite:
    case EventType::vmf_insert_page_mkwrite:
    case EventType::vmf_insert_pfn_pmd:
    case EventType::vmf_insert_folio_pmd:
    case EventType::split_huge_pmd:
    case EventType::wp_page_copy:
    case EventType::pfn_mkclean_range:
    case EventType::dax_zero_range:
    case EventType::dax_truncate_page:
    case EventType::dax_iomap_cow_copy:
    case EventType::dax_iomap_copy_around:
    case EventType::dax_break_layout:
    case EventType::dax_break_layout_final:
      return {std::string(event_name(e.type))};
    case EventType::dax_finish_sync_fault:
      return {fmt::format("dax_finish_sync_fault(order {})", e.last == 1 ? 0 : kPmdOrder)};
    case EventType::dax_writeback_range:
      return {range_text("dax_writeback_range", e)};
    case EventType::dax_writeback_range_done:
      return {"wb_range_done", fmt::format("wb_mapping={}", e.ret)};
    case EventType::dax_writeback_one:
      return {fmt::format("dax_writeback_one({:#x},{:#x})", e.pgoff.value, e.last)};
    case EventType::dax_flush:
      return {fmt::format("dax_flush({})", e.length)};
    case EventType::dax_direct_access:
      return {fmt::format("direct_access={}", e.ret)};
    case EventType::unmap_mapping_pages:
      return {fmt::format("unmap_pages({},{})", e.pgoff.value, e.last)};
    case EventType::unmap_mapping_range:
      return {fmt::format("unmap_range({:#x},{},cows={})", e.address,
                          e.length == 0 ? "END" : fmt::format("{:#x}", e.length), e.flags)};
    case EventType::invalidate_inode_pages2_range:
      return {fmt::format("inval_pages2({}..{})", e.pgoff.value, e.last)};
    case EventType::dax_iomap_rw:
      return {fmt::format("iomap_rw={}", e.ret)};
    case EventType::dax_invalidate_mapping_entry_sync:
      return {fmt::format("entry_sync={}", e.ret)};
    case EventType::dax_delete_mapping_entry:
      return {fmt::format("dax_delete_entry({})", e.pgoff.value)};
    case EventType::dax_layout_busy_page:
      return {e.ret == 0 ? "busy_page=none" : "busy_page=FOUND"};
    case EventType::dax_copy_from_iter:
      return {fmt::format("dax_copy_from_iter={}", e.length)};
    case EventType::dax_copy_to_iter:
      return {fmt::format("dax_copy_to_iter={}", e.length)};
    case EventType::signal_generate:
      return {fmt::format("signal({},code {})", e.flags, e.ret)};
    default:
      return {};
  }
}

// --- results ---

namespace {

// Calls of the recorder, and what the same is called in a scenario. The rest of the call, its arguments, is in the
// scenario; a call that is not here is called as in the recording.
struct Renamed {
  std::string_view recorded;  // what the text before " = " begins with
  std::string_view scenario;
};
constexpr std::array kRenamed{
    Renamed{"wfile(\"/proc/sys/vm/drop_caches\"", "drop_caches"},
    Renamed{"syscall(SYS_io_uring_register", "pin"},
    Renamed{"process_vm_writev(", "pin"},
    Renamed{"vmsplice(", "pin"},
    Renamed{"({ struct iovec v5", "pin"},
    Renamed{"read(pp[0]", "unpin"},
    Renamed{"(sync()", "sync"},
    Renamed{"mlock2(", "mlock"},
};
// What these calls answer is a count of bytes of the recorder's own, or nothing that a scenario's call has.
constexpr std::array kOnlyWhether{"drop_caches"sv, "pin"sv, "unpin"sv, "mmap"sv};

// Whole results.
struct Reworded {
  std::string_view recorded;
  std::string_view scenario;
};
constexpr std::array kReworded{
    Reworded{"MAP_SYNC mmap ok", "mmap = 0"},
    Reworded{"MAP_SYNC ok", "mmap = 0"},
    Reworded{"mmap = MAP_FAILED EOPNOTSUPP", "mmap = -1 EOPNOTSUPP"},
    // O_DIRECT, on the DAX file with a buffer of the recorder, and on another file with the mapping as the buffer.
    Reworded{"pwrite(od, ab, 4096, 4 * PG) = 4096", "pwrite +0x4000 len 4096 = 4096"},
    Reworded{"pread(od, ab, 4096, 4 * PG) = 4096", "pread +0x4000 = 4096 val=0xb8"},  // as the next line says, i21
    Reworded{"pwrite(od, m, PG, 0) = 4096", "pwrite = 4096"},
    Reworded{"pread(od, m + PG, PG, 0) = 4096", "pread = 4096"},
    Reworded{"clone byte0=0x91", "pread +0x0 = 1 val=0x91"},
    // A second process that waits for a pin.
    Reworded{"after 1.5s child finished=0", "waits"},
    Reworded{"reaped=1 status=0xf", "ftruncate = -1 EINTR"},
};

// "ret=0  took_ms=1501", of the process that punched.
constexpr std::string_view kPunched = "ret=0 ";
// "mincore = 0 10010" is "mincore 10010".
constexpr std::string_view kMincore = "mincore = 0 ";
// "fpunch 24k 4k waits"
constexpr std::string_view kWaits = " waits";

bool is_access(std::string_view result) noexcept {
  return result.starts_with("load ") || result.starts_with("store ") || result.starts_with("pagemap ");
}

struct Extent {
  std::uint64_t logical = 0;
  std::uint64_t length = 0;
  std::uint64_t flags = 0;
};

// Extents that follow each other and are alike are one: how allocations are batched is not compared.
std::string merged_extents(std::string_view fiemap) {
  constexpr std::uint64_t kLast = 0x1;
  std::vector<Extent> merged;
  bool ends = false;
  for (std::size_t at = fiemap.find('['); at != std::string_view::npos; at = fiemap.find('[', at + 1)) {
    const std::vector<std::string_view> words = split(fiemap.substr(at + 1, fiemap.find(']', at) - at - 1), " ");
    if (words.size() != 8) {
      return std::string(fiemap);
    }
    const auto value = [&words](std::size_t word) { return number_in(words[word].substr(2), 16).value_or(0); };
    const Extent extent{.logical = value(1), .length = value(5), .flags = value(7) & ~kLast};
    ends |= (value(7) & kLast) != 0;
    if (!merged.empty() && merged.back().flags == extent.flags &&
        merged.back().logical + merged.back().length == extent.logical) {
      merged.back().length += extent.length;
    } else {
      merged.push_back(extent);
    }
  }
  std::string text = fmt::format("fiemap n={}", merged.size());
  for (const Extent& extent : merged) {
    const bool is_last = ends && &extent == &merged.back();
    text += fmt::format(" [log {:#x} len {:#x} fl {:#x}]", extent.logical, extent.length,
                        extent.flags | (is_last ? kLast : 0));
  }
  return text;
}

// "fsync(fd) = 0" is "fsync = 0".
std::string compared_call(std::string_view result) {
  const std::size_t equals = result.rfind(" = ");
  if (equals == std::string_view::npos) {
    return std::string(result);
  }
  std::string_view call = result.substr(0, equals);
  std::string_view answer = result.substr(equals + 3);
  const auto* const renamed =
      std::ranges::find_if(kRenamed, [call](const Renamed& each) { return call.starts_with(each.recorded); });
  call = renamed != kRenamed.end() ? renamed->scenario : call.substr(0, call.find('('));
  if (std::ranges::find(kOnlyWhether, call) != kOnlyWhether.end() && !answer.starts_with("-1")) {
    answer = "0";
  }
  return fmt::format("{} = {}", call, answer);
}

}  // namespace

std::string compared_result(std::string_view result) {
  while (result.ends_with(' ')) {
    result.remove_suffix(1);
  }
  const auto* const reworded = std::ranges::find(kReworded, result, &Reworded::recorded);
  if (reworded != kReworded.end()) {
    return std::string(reworded->scenario);
  }
  if (is_access(result)) {
    // The page frame, and the bits of the page-map word behind it.
    const std::size_t pfn = result.find("pte=pfn");
    return std::string(pfn == std::string_view::npos ? result : result.substr(0, pfn + 7));
  }
  if (result.starts_with("statx ")) {
    return std::string(result.substr(0, result.find(" (")));
  }
  if (result.starts_with("fiemap n=")) {
    return merged_extents(result);
  }
  if (result.starts_with(kPunched)) {
    return "fallocate = 0";
  }
  if (result.starts_with(kMincore)) {
    return fmt::format("mincore {}", result.substr(kMincore.size()));
  }
  if (result.ends_with(kWaits)) {
    return "waits";
  }
  if (result.starts_with("pread +") || result.starts_with("pwrite +") || result.starts_with("stat ")) {
    return std::string(result);
  }
  return compared_call(result);
}

std::expected<Recording, std::string> read_recording(std::string_view text, const std::string& file,
                                                     std::string kernel) {
  constexpr std::string_view kHead = "fs\tworkload\tstep\tevents\tresult";
  Recording recording{.kernel = std::move(kernel), .steps = {}};
  std::uint32_t number = 0;
  const auto bad = [&file, &number](const std::string& what) {
    return std::unexpected(fmt::format("{}:{}: {}", file, number, what));
  };
  while (!text.empty()) {
    ++number;
    const std::size_t end = text.find('\n');
    if (end == std::string_view::npos) {
      return bad("the last line has no end");
    }
    const std::string_view line = text.substr(0, end);
    text.remove_prefix(end + 1);
    if (number == 1) {
      if (line != kHead) {
        return bad("the first line does not name the columns fs, workload, step, events, result");
      }
      continue;
    }
    const std::vector<std::string_view> columns = split(line, "\t");
    if (columns.size() != 5) {
      return bad(fmt::format("{} columns instead of 5", columns.size()));
    }
    if (columns[0].empty() || columns[1].empty() || columns[2].empty()) {
      return bad("a line without a file system, a workload or a step");
    }
    auto events = read_events(columns[3]);
    if (!events) {
      return bad(events.error());
    }
    const std::vector<std::string> results = read_results(columns[4]);
    for (const std::string& result : results) {
      recording.steps.push_back({.line = number,
                                 .file_system = std::string(columns[0]),
                                 .workload = std::string(columns[1]),
                                 .label = label_of(columns[2]),
                                 .events = {},
                                 .result = result});
    }
    recording.steps.back().events = std::move(*events);
  }
  if (number == 0) {
    number = 1;
    return bad("an empty file");
  }
  return recording;
}

}  // namespace lab
DAXSIM_END
