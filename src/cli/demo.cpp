// SPDX-License-Identifier: BSD-3-Clause
#include "cli/demo.hpp"

#include <fmt/color.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <atomic>
#include <csetjmp>
#include <csignal>
#include <cstring>
#include <nlohmann/json.hpp>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "daxsim/adapters/linear.hpp"
#include "daxsim/machine/machine.hpp"
#include "daxsim/mm/persist.hpp"
#include "daxsim/sim_devices/pmem.hpp"

namespace daxsim::cli {
namespace {

using namespace daxsim::literals;
using Json = nlohmann::ordered_json;

// A call that the demo cannot go on without failed.
struct Failed : std::runtime_error {
  Failed(std::string_view what, Errno error)
      : std::runtime_error(fmt::format("{}: {} ({})", what, errno_name(error), errno_text(error))) {}
};

template <class T>
T need(std::string_view what, Result<T> result) {
  if (!result.ok()) {
    throw Failed(what, result.error());
  }
  if constexpr (!std::is_void_v<T>) {
    return std::move(*result);
  }
}

// Prints as it goes, or collects for --json.
class Report {
 public:
  explicit Report(bool json) : json_(json), colour_(!json && ::isatty(STDOUT_FILENO) == 1) {}

  void step(std::string_view title) {
    steps_.push_back({{"step", title}, {"ok", true}});
    if (!json_) {
      fmt::print("\n{}\n", styled(fmt::format("{}. {}", steps_.size(), title), fmt::emphasis::bold));
    }
  }
  template <class Value>
  void number(std::string_view key, const Value& value, std::string_view text) {
    steps_.back()[std::string(key)] = value;
    if (!json_) {
      fmt::print("   {:<46} {}\n", text, value);
    }
  }
  void check(bool ok, std::string_view text) {
    steps_.back()["checks"].push_back({{"what", text}, {"ok", ok}});
    if (!ok) {
      steps_.back()["ok"] = false;
      all_ok_ = false;
    }
    if (!json_) {
      const auto mark = ok ? styled("ok", fmt::fg(fmt::terminal_color::green))
                           : styled("NO", fmt::fg(fmt::terminal_color::red) | fmt::emphasis::bold);
      fmt::print("   {} {}\n", mark, text);
    }
  }
  void picture(std::string_view key, const std::vector<std::string>& rows) {
    steps_.back()[std::string(key)] = rows;
    if (!json_) {
      for (const std::string& row : rows) {
        fmt::print("   {}\n", row);
      }
    }
  }
  void failed(std::string_view why) {
    all_ok_ = false;
    if (steps_.empty()) {
      step("start");
    }
    steps_.back()["ok"] = false;
    steps_.back()["error"] = why;
    if (!json_) {
      fmt::print("   {} {}\n", styled("failed:", fmt::fg(fmt::terminal_color::red)), why);
    }
  }
  int finish() {
    if (json_) {
      fmt::print("{}\n", Json{{"schema", "daxsim-demo-1"}, {"ok", all_ok_}, {"steps", steps_}}.dump(2));
    } else {
      fmt::print("\n{}\n", all_ok_ ? styled("Every step behaved.", fmt::fg(fmt::terminal_color::green))
                                   : styled("A step did not behave.", fmt::fg(fmt::terminal_color::red)));
    }
    return all_ok_ ? 0 : 1;
  }

 private:
  [[nodiscard]] std::string styled(std::string_view text, const fmt::text_style& style) const {
    return colour_ ? fmt::format("{}", fmt::styled(text, style)) : std::string(text);
  }
  const bool json_;
  const bool colour_;
  bool all_ok_ = true;
  Json steps_ = Json::array();
};

// What any program does that wants to live on after a bus error: a handler and a way back, per thread.
struct WayBack {
  sigjmp_buf resume;
  volatile int code = 0;
};
thread_local WayBack* way_back = nullptr;

void on_sigbus(int /*number*/, siginfo_t* info, void* /*context*/) {
  if (way_back == nullptr) {
    constexpr std::string_view kMessage = "daxsim demo: unexpected SIGBUS\n";
    [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, kMessage.data(), kMessage.size());
    ::_exit(1);
  }
  way_back->code = info->si_code;
  siglongjmp(way_back->resume, 1);
}

std::string code_name(int code) {
  return code == BUS_ADRERR ? "BUS_ADRERR" : code == BUS_MCEERR_AR ? "BUS_MCEERR_AR" : fmt::format("code {}", code);
}

// The media file, removed at the end unless the user named it.
class Media {
 public:
  explicit Media(std::filesystem::path named) : keep_(!named.empty()), path_(std::move(named)) {
    if (!keep_) {
      path_ = std::filesystem::temp_directory_path() / fmt::format("daxsim-demo-{}.pmem", ::getpid());
    }
  }
  ~Media() {
    if (!keep_) {
      std::error_code ignored;
      std::filesystem::remove(path_, ignored);
    }
  }
  Media(const Media&) = delete;
  Media& operator=(const Media&) = delete;
  [[nodiscard]] const std::filesystem::path& path() const { return path_; }

 private:
  const bool keep_;
  std::filesystem::path path_;
};

constexpr std::uint64_t kDeviceSize = 64_MiB;
constexpr std::uint64_t kFileSize = 16_MiB;
constexpr std::uint64_t kPagesToSync = 1000;
constexpr std::uint64_t kLinesPerPage = kPageSize / kCacheLine;
constexpr std::string_view kFileName = "/store";

class Demo {
 public:
  explicit Demo(const DemoOptions& options) : options_(options), report_(options.json), media_(options.media) {}

  int run() {
    struct sigaction action{};
    action.sa_sigaction = &on_sigbus;
    action.sa_flags = SA_SIGINFO;
    sigemptyset(&action.sa_mask);
    sigaction(SIGBUS, &action, nullptr);
    try {
      make();
      store_one();
      sync_many();
      cut_power();
      pull_out();
    } catch (const std::exception& error) {
      report_.failed(error.what());
    }
    return report_.finish();
  }

 private:
  [[nodiscard]] std::uint64_t count(EventType type) const { return machine_.events().count(type); }

  void findings_clean() {
    const std::vector<Finding> findings = machine_.findings();
    report_.number("findings", findings.size(), "findings of the detectors");
    report_.check(findings.empty(), "no detector found anything");
  }

  void make() {
    report_.step("A pmem device in a file, a file system on it");
    DeviceHandle device = need("attach", machine_.attach(sim::Pmem{.path = media_.path(), .size = kDeviceSize}));
    FileSystem fs = need("mkfs", machine_.mkfs<LinearFs>(device));
    report_.number("media", media_.path().string(), "media file");
    report_.number("device_bytes", device.size(), "device, bytes");
    const SpaceUsage space = need("statfs", fs.space());
    report_.number("free_pages", space.free_pages, "free pages after mkfs and mount");
    report_.check(device.state() == LifeState::alive, "the device is ALIVE and mounted");
    {
      [[maybe_unused]] const File file = need("create", fs.create(kFileName, kFileSize));
    }
    need("sync", fs.sync());
    fs_.emplace(std::move(fs));
    device_.emplace(std::move(device));
  }

  void store_one() {
    report_.step("Map the file, store through a plain pointer");
    file_.emplace(need("open", fs_->open(kFileName)));
    map_.emplace(need("map", file_->map()));
    report_.number("backend", live_backend_name(map_->backend()), "how this host takes page faults");
    const std::uint64_t first_event = machine_.events().next_id();

    auto* const p = reinterpret_cast<volatile unsigned char*>(map_->data());
    *p = 1;

    const FaultCounts after_store = map_->faults();
    report_.number("pte_faults", after_store.pte, "PTE faults after *p = 1");
    report_.number("pmd_faults", after_store.pmd, "PMD faults after *p = 1");
    report_.check(after_store.pte + after_store.pmd == 1, "one store, one fault");
    if (options_.trace || options_.json) {
      std::vector<std::string> lines;
      for (const Event& event : machine_.events().since(first_event)) {
        lines.push_back(fs_dax_text(event));
      }
      report_.picture("events", lines);
    }
    for (int again = 0; again < 1000; ++again) {
      *p = static_cast<unsigned char>(again);
    }
    report_.check(map_->faults() == after_store, "a thousand more stores to the page, no fault");
  }

  void sync_many() {
    report_.step("Store to 1,000 pages, fsync");
    const std::uint64_t flushes = count(EventType::dax_flush);
    const std::uint64_t entries = count(EventType::dax_writeback_one);
    std::byte* const base = map_->data();
    for (std::uint64_t page = 0; page < kPagesToSync; ++page) {
      base[page * kPageSize] = std::byte{0x11};
    }
    const FaultCounts faults = map_->faults();
    const std::uint64_t dirty = device_->attachment().view().dirty_lines({0, device_->size()});
    report_.number("pte_faults", faults.pte, "PTE faults so far");
    report_.number("pmd_faults", faults.pmd, "PMD faults so far");
    report_.number("dirty_lines_before", dirty, "lines that only the CPU cache has");
    need("fsync", file_->fsync());
    report_.number("entries", count(EventType::dax_writeback_one) - entries, "index entries written back");
    report_.number("dax_flushes", count(EventType::dax_flush) - flushes, "dax_flush calls");
    const std::uint64_t left = device_->attachment().view().dirty_lines({0, device_->size()});
    report_.number("lines_flushed", dirty - left, "lines flushed");
    report_.check(left == 0, "after fsync no line differs from the media");
  }

  void cut_power() {
    report_.step("Store more, cut the power without fsync, reboot");
    constexpr std::uint64_t kRows = 8;
    for (std::uint64_t line = 0; line < kRows * kLinesPerPage; ++line) {
      map_->data()[line * kCacheLine] = std::byte{0x22};
    }
    persist(map_->data(), kPageSize);            // page 0: flushed and fenced
    flush(map_->data() + kPageSize, kPageSize);  // page 1: flushed, no fence
    const PowerCutReport cut =
        need("power cut", machine_.power_cut({.kind = PowerCut::Kind::seeded, .seed = options_.seed}));
    report_.number("dirty_lines", cut.dirty_lines, "lines that were in the CPU cache only");
    report_.number("unfenced_lines", cut.unfenced_lines, "lines flushed but not fenced");
    report_.number("lost_lines", cut.lost_lines, "lines lost in the cut");
    report_.check(file_->fsync() == Result<void>(Errno::eshutdown), "handles of the dead machine answer ESHUTDOWN");
    findings_clean();

    map_.reset();
    file_.reset();
    fs_.reset();
    device_.reset();
    machine_ = need("reboot", machine_.reboot());
    device_.emplace(machine_.devices().front());
    fs_.emplace(need("mount", machine_.mount<LinearFs>(*device_)));
    file_.emplace(need("open", fs_->open(kFileName)));

    std::vector<std::byte> pages(kPagesToSync * kPageSize);
    const std::uint64_t got = need("pread", file_->pread(0, pages));
    report_.check(got == pages.size(), "the file is there after the reboot, whole");
    std::vector<std::string> rows;
    std::uint64_t survived = 0;
    bool fenced = true;
    bool only_known_values = true;
    for (std::uint64_t row = 0; row < kRows; ++row) {
      std::string text;
      for (std::uint64_t line = 0; line < kLinesPerPage; ++line) {
        const std::byte value = pages[row * kPageSize + line * kCacheLine];
        const bool is_new = value == std::byte{0x22};
        survived += is_new ? 1 : 0;
        fenced = fenced && (row != 0 || is_new);
        // Line 0 of each page had its fsynced value; the others were zero.
        const std::byte before = line == 0 ? std::byte{0x11} : std::byte{0};
        only_known_values = only_known_values && (is_new || value == before);
        text += is_new ? "#" : ".";
      }
      rows.push_back(fmt::format("page {} {}  {}", row, text,
                                 row == 0   ? "flushed + fenced"
                                 : row == 1 ? "flushed"
                                            : "stored"));
    }
    report_.picture("survived", rows);
    report_.number("survived_lines", survived, "lines with the new value (#)");
    report_.check(fenced, "everything flushed and fenced survived");
    report_.check(only_known_values, "every other line has its old or its new value, nothing else");
    bool synced = true;
    for (std::uint64_t page = kRows; page < kPagesToSync; ++page) {
      synced = synced && pages[page * kPageSize] == std::byte{0x11};
    }
    report_.check(synced, "everything fsynced survived");
  }

  void pull_out() {
    report_.step("Pull the device out under a running writer");
    map_.emplace(need("map", file_->map()));
    std::atomic<std::uint64_t> stores{0};
    std::atomic<int> code{0};
    std::thread writer([&] {
      WayBack back;
      if (sigsetjmp(back.resume, 1) == 0) {
        way_back = &back;
        for (std::uint64_t at = 0;; at = (at + kCacheLine) % kFileSize) {
          *reinterpret_cast<volatile unsigned char*>(map_->data() + at) = 0x33;
          stores.fetch_add(1, std::memory_order_relaxed);
        }
      }
      way_back = nullptr;
      code = back.code;
    });
    while (stores.load(std::memory_order_relaxed) < 100'000) {
      std::this_thread::yield();
    }
    const Result<RemovalReport> removed = machine_.remove(*device_, Removal::surprise);
    writer.join();
    report_.number("stores", stores.load(), "stores of the writer before the end");
    report_.number("signal", "SIGBUS " + code_name(code), "what ended the writer");
    report_.check(removed.ok(), "the removal finished");
    report_.check(device_->state() == LifeState::unmapped, "the device is UNMAPPED");
    report_.check(code == BUS_ADRERR, "the writer got SIGBUS BUS_ADRERR");
    report_.check(file_->fsync() == Result<void>(Errno::eio), "fsync answers EIO");
    report_.check(fs_->open(kFileName).ok() == false, "open is refused");
    findings_clean();
  }

  const DemoOptions& options_;
  Report report_;
  Media media_;
  Machine machine_;
  std::optional<DeviceHandle> device_;
  std::optional<FileSystem> fs_;
  std::optional<File> file_;
  std::optional<Mapping> map_;
};

}  // namespace

int demo(const DemoOptions& options) { return Demo(options).run(); }

}  // namespace daxsim::cli
