// SPDX-License-Identifier: BSD-3-Clause
#include "trace.hpp"

#include <algorithm>
#include <array>
#include <charconv>
#include <cstdint>
#include <istream>
#include <iterator>
#include <optional>
#include <utility>

namespace oracle {
namespace {

// One line of the trace: "oracle_guest-216  [000] .....  19.156529: dax_pte_fault: dev 259:0 ino 0xe ...".
struct Line {
  std::string_view task;
  std::string_view event;  // "dax_pte_fault"; of a traced function, its name
  std::string_view rest;   // behind "dax_pte_fault: "; of a traced function, who called it
  bool function = false;
};

constexpr std::string_view kMarker = "tracing_mark_write";

std::string_view trimmed(std::string_view text) {
  const std::size_t first = text.find_first_not_of(' ');
  if (first == std::string_view::npos) {
    return {};
  }
  return text.substr(first, text.find_last_not_of(' ') - first + 1);
}

// Nothing for comments, and for what the tracer has to say about itself.
std::optional<Line> parse(std::string_view text) {
  const std::size_t cpu = text.find(" [");
  const std::size_t time_end = text.find(": ", cpu == std::string_view::npos ? text.size() : cpu);
  if (text.starts_with('#') || time_end == std::string_view::npos) {
    return std::nullopt;
  }
  const std::string_view task_and_pid = trimmed(text.substr(0, cpu));
  Line line;
  line.task = task_and_pid.substr(0, task_and_pid.rfind('-'));
  const std::string_view body = text.substr(time_end + 2);
  const std::size_t caller = body.find(" <-");
  const std::size_t colon = body.find(": ");
  line.function = caller != std::string_view::npos && caller < colon;
  const std::size_t end = line.function ? caller : colon;
  if (end == std::string_view::npos) {
    return std::nullopt;
  }
  line.event = body.substr(0, end);
  line.rest = body.substr(end + (line.function ? 3 : 2));
  return line;
}

// The word behind `name`, "0x4" of "error_code=0x4" or of "pgoff 0x4"; empty when there is none.
std::string_view word_after(std::string_view text, std::string_view name) {
  const std::size_t at = text.find(name);
  if (at == std::string_view::npos) {
    return {};
  }
  const std::string_view word = text.substr(at + name.size());
  return word.substr(0, word.find(' '));
}

std::uint64_t number(std::string_view word) {
  const bool hex = word.starts_with("0x");
  std::uint64_t value = 0;
  std::from_chars(word.data() + (hex ? 2 : 0), word.data() + word.size(), value, hex ? 16 : 10);
  return value;
}

std::string hex(std::uint64_t value) {
  std::array<char, 16> digits{};
  const auto [end, error] = std::to_chars(digits.data(), digits.data() + digits.size(), value, 16);
  return "0x" + std::string(digits.data(), end);
}

std::string joined(std::initializer_list<std::string_view> parts) {
  std::string text;
  for (const std::string_view part : parts) {
    text += part;
  }
  return text;
}

// "WRITE|MKWRITE|ALLOW_RETRY|..." -> "WRITE/MKWRITE".
std::string fault_flags(std::string_view flags) {
  std::string kept;
  while (!flags.empty()) {
    const std::string_view flag = flags.substr(0, flags.find('|'));
    flags.remove_prefix(std::min(flags.size(), flag.size() + 1));
    if (flag == "WRITE" || flag == "MKWRITE" || flag == "VMA_LOCK") {
      kept += (kept.empty() ? "" : "/") + std::string(flag);
    }
  }
  return kept.empty() ? "READ" : kept;
}

std::string fault_result(std::string_view rest) {
  std::string result(rest.substr(rest.rfind(' ', rest.find_last_not_of(' ')) + 1));
  result.erase(result.find_last_not_of(' ') + 1);
  std::ranges::replace(result, '|', '/');
  return result;
}

std::string fault_event(const Line& line) {
  const std::string_view rest = trimmed(line.rest);
  if (line.event.ends_with("_done")) {
    return joined({line.event.substr(4, 3), "_done=", fault_result(rest)});
  }
  const bool is_private = rest.find(" private ") != std::string_view::npos;
  const std::string_view flags = word_after(rest, is_private ? " private " : " shared ");
  return joined({line.event, "[", fault_flags(flags), is_private ? ",private]" : "]"});
}

std::string event_name(const Line& line) { return std::string(line.event); }

// "r_dax_iomap_rw: ... ret=4096" -> "NAME=4096".
std::string answer(std::string_view name, const Line& line) {
  return joined({name, "=", word_after(line.rest, "ret=")});
}

std::string writeback_range(const Line& line) {
  std::string range(word_after(line.rest, "pgoff "));
  if (const std::size_t end = range.find("0x7ffffffffffff"); end != std::string::npos) {
    range.replace(end, std::string::npos, "END");
  }
  return "dax_writeback_range(" + range + ")";
}

std::string writeback_one(const Line& line) {
  return joined({"dax_writeback_one(", word_after(line.rest, "pgoff "), ",", word_after(line.rest, "pglen "), ")"});
}

std::string unmap_pages(const Line& line) {
  const std::string_view pages = word_after(line.rest, "nr=");
  const bool all = number(pages) > std::uint64_t{1} << 40;
  return joined({"unmap_pages(", word_after(line.rest, "start="), ",", all ? "ALL" : pages, ")"});
}

std::string unmap_range(const Line& line) {
  const std::uint64_t length = number(word_after(line.rest, "len="));
  const bool to_end = length == 0 || length > std::uint64_t{1} << 60;
  return joined({"unmap_range(", hex(number(word_after(line.rest, "begin="))), ",", to_end ? "END" : hex(length),
                 ",cows=", word_after(line.rest, "even_cows="), ")"});
}

std::string bio(const Line& line) {  // "259,0 WS 786432 + 8 [oracle_guest]"
  const std::string_view kind = word_after(line.rest, " ");
  return joined({"bio(", kind, ",", word_after(line.rest, " + "), ")"});
}

std::string signal_event(const Line& line) {
  return joined({"signal(", word_after(line.rest, "sig="), ",code ", word_after(line.rest, "code="), ")"});
}

std::string notify_failure(const Line& line) {
  return joined({"notify_failure(off ", word_after(line.rest, "off="), ",len ", word_after(line.rest, "len="), ",fl ",
                 word_after(line.rest, "flags="), ")"});
}

std::string memory_failure_event(const Line& line) {  // "pfn 0x40200: recovery action for dax page: Recovered"
  const std::size_t what = line.rest.find(": ");
  return joined({"mf_event[", what == std::string_view::npos ? line.rest : line.rest.substr(what + 2), "]"});
}

std::string busy_page(const Line& line) {
  return number(word_after(line.rest, "ret=")) == 0 ? "busy_page=none" : "busy_page=FOUND";
}

// How an event of the kernel, or a probe (tests/oracle/probes), is written.
struct Notation {
  std::string_view event;
  std::string (*text)(const Line&);
};

constexpr auto kEvents = std::to_array<Notation>({
    {"page_fault_user", [](const Line& line) { return joined({"#PF(", word_after(line.rest, "error_code="), ")"}); }},
    {"dax_pmd_fault", fault_event},
    {"dax_pmd_fault_done", fault_event},
    {"dax_pte_fault", fault_event},
    {"dax_pte_fault_done", fault_event},
    {"dax_load_hole", event_name},
    {"dax_pmd_load_hole", event_name},
    {"dax_pmd_load_hole_fallback", event_name},
    {"dax_insert_pfn_mkwrite", event_name},
    {"dax_insert_pfn_mkwrite_no_entry", event_name},
    {"dax_insert_mapping", event_name},
    {"dax_pmd_insert_mapping", event_name},
    {"dax_writeback_range", writeback_range},
    {"dax_writeback_one", writeback_one},
    {"dax_writeback_range_done", [](const Line&) { return std::string("wb_range_done"); }},
    {"dax_flush", [](const Line& line) { return joined({"dax_flush(", word_after(line.rest, "size="), ")"}); }},
    {"unmap_mapping_pages", unmap_pages},
    {"unmap_mapping_range", unmap_range},
    {"invalidate_inode_pages2_range",
     [](const Line& line) {
       return joined({"inval_pages2(", word_after(line.rest, "start="), "..", word_after(line.rest, "end="), ")"});
     }},
    {"r_dax_invalidate_mapping_entry_sync", [](const Line& line) { return answer("entry_sync", line); }},
    {"dax_delete_mapping_entry",
     [](const Line& line) { return joined({"dax_delete_entry(", word_after(line.rest, "index="), ")"}); }},
    {"r_dax_direct_access", [](const Line& line) { return answer("direct_access", line); }},
    {"r_dax_layout_busy_page_range", busy_page},
    {"r_dax_zero_page_range", [](const Line& line) { return answer("dax_zero_page_range", line); }},
    {"r_dax_copy_to_iter", [](const Line& line) { return answer("dax_copy_to_iter", line); }},
    {"r_dax_copy_from_iter", [](const Line& line) { return answer("dax_copy_from_iter", line); }},
    {"r_dax_recovery_write", [](const Line& line) { return answer("dax_recovery_write", line); }},
    {"r_dax_iomap_rw", [](const Line& line) { return answer("iomap_rw", line); }},
    {"r_dax_writeback_mapping_range", [](const Line& line) { return answer("wb_mapping", line); }},
    {"r_blkdev_issue_flush", [](const Line& line) { return answer("blkdev_issue_flush", line); }},
    {"r_file_write_and_wait_range",
     [](const Line& line) {
       return word_after(line.rest, "ret=") == "0" ? std::string() : answer("write_and_wait", line);
     }},
    {"dax_finish_sync_fault",
     [](const Line& line) { return joined({"dax_finish_sync_fault(order ", word_after(line.rest, "order="), ")"}); }},
    {"r_memory_failure", [](const Line& line) { return answer("memory_failure", line); }},
    {"r_dax_holder_notify_failure", [](const Line& line) { return answer("dax_holder_notify_failure", line); }},
    {"r_xfs_dax_notify_failure", [](const Line& line) { return answer("xfs_dax_notify_failure", line); }},
    {"dax_holder_notify_failure", notify_failure},
    {"signal_generate", signal_event},
    {"block_bio_queue", bio},
    {"xfs_force_shutdown", [](const Line&) { return std::string("XFS_SHUTDOWN"); }},
    {"memory_failure_event", memory_failure_event},
});

// Of the functions that are traced (tests/oracle/functions), those whose call is an event of a recording.
constexpr auto kFunctions = std::to_array<std::string_view>({
    "dax_insert_entry",
    "vmf_insert_mixed",
    "vmf_insert_mixed_mkwrite",
    "vmf_insert_page_mkwrite",
    "vmf_insert_pfn_pmd",
    "vmf_insert_folio_pmd",
    "pfn_mkclean_range",
    "dax_iomap_cow_copy",
    "dax_iomap_copy_around",
    "xfs_reflink_allocate_cow",
    "xfs_reflink_end_cow",
    "nvdimm_flush",
    "kill_dax",
    "del_gendisk",
    "pmem_release_disk",
    "nd_pmem_remove",
    "memunmap_pages",
    "bdev_mark_dead",
    "fs_bdev_mark_dead",
    "blk_mark_disk_dead",
    "__blk_mark_disk_dead",
    "dax_remove_host",
    "xfs_log_force_seq",
    "jbd2_complete_transaction",
    "ext4_issue_zeroout",
    "dax_lock_page",
    "dax_lock_folio",
    "dax_lock_mapping_entry",
    "mf_dax_kill_procs",
    "mf_generic_kill_procs",
    "badblocks_set",
    "badblocks_clear",
    "pmem_clear_poison",
    "nvdimm_clear_poison",
    "set_huge_zero_page",
    "set_huge_zero_folio",
    "__split_huge_pmd",
    "wp_page_copy",
    "xfs_wait_dax_page",
    "dax_break_layout",
    "dax_break_layout_final",
    "ext4_shutdown",
    "ext4_force_shutdown",
    "dax_zap_mappings",
    "xfs_dax_failure_fn",
    "dax_zero_range",
    "dax_truncate_page",
    "generic_shutdown_super",
    "invalidate_inodes",
    "dax_folio_put",
    "check_vma_flags",
    "get_user_pages_fast",
    "pin_user_pages_fast",
    "xfs_iomap_write_direct",
    "xfs_iomap_write_unwritten",
});

// Empty for what is no event of a recording.
std::string event_of(const Line& line) {
  if (line.function) {
    if (line.event == "xfs_do_force_shutdown") {
      return "XFS_SHUTDOWN";
    }
    return std::ranges::find(kFunctions, line.event) == kFunctions.end() ? std::string() : std::string(line.event);
  }
  const auto* const notation = std::ranges::find(kEvents, line.event, &Notation::event);
  return notation == kEvents.end() ? std::string() : notation->text(line);
}

// "kworker/u4:0" -> "[kworker]".
std::string whose(std::string_view task) { return joined({"[", task.substr(0, task.find_first_of("/:-")), "]"}); }

}  // namespace

std::vector<Step> steps_of_trace(std::istream& trace, std::string_view guest_name) {
  std::vector<Step> steps;
  std::optional<Step> open;
  std::optional<Step> begun;  // that goes on in a later line
  std::string text;
  while (std::getline(trace, text)) {
    const std::optional<Line> line = parse(text);
    if (!line) {
      continue;
    }
    if (line->event != kMarker) {
      std::string event = event_of(*line);
      if (open && !event.empty()) {
        open->events.push_back((line->task == guest_name ? "" : whose(line->task)) + std::move(event));
      }
    } else if (line->rest.starts_with(">> ")) {
      const std::string_view begin = line->rest.substr(3);
      open = Step{std::string(begin.substr(0, begin.find(": "))), {}, "(no result: process died or hung here)"};
    } else if (line->rest.starts_with("<< ")) {
      const std::string_view end = line->rest.substr(3);
      const std::size_t arrow = end.find(" => ");
      Step step = std::exchange(open, std::nullopt).value_or(Step{});
      step.label = end.substr(0, arrow);
      step.result = arrow == std::string_view::npos ? "" : trimmed(end.substr(arrow + 4));
      const bool goes_on = step.label.ends_with('+');
      if (goes_on) {
        step.label.pop_back();
      }
      if (begun && step.label == begun->label) {
        step.events.insert(step.events.begin(), begun->events.begin(), begun->events.end());
        begun.reset();
      }
      if (goes_on) {
        begun = std::move(step);
      } else {
        steps.push_back(std::move(step));
      }
    }
  }
  if (open) {
    steps.push_back(std::move(*open));
  }
  return steps;
}

std::string event_text(const std::vector<std::string>& events) {
  std::string text;
  for (auto at = events.begin(); at != events.end();) {
    const auto next = std::find_if(at, events.end(), [at](const std::string& event) { return event != *at; });
    const auto times = std::distance(at, next);
    text += (text.empty() ? "" : " > ") + *at + (times > 1 ? "x" + std::to_string(times) : "");
    at = next;
  }
  return text;
}

}  // namespace oracle
