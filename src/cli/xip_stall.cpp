// SPDX-License-Identifier: BSD-3-Clause
#include "cli/xip_stall.hpp"

#include <algorithm>
#include <utility>

#include "cli/busy_names.hpp"
#include "daxsim/adapters/xip.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/base/units.hpp"
#include "daxsim/machine/machine.hpp"

namespace daxsim::cli {
namespace {

constexpr std::uint32_t kMostChips = 16;
constexpr std::uint64_t kChipBytes = sim::parts::p30.size();

struct Word {
  std::uint64_t address = 0;
  std::uint64_t value = 0;
};

// A machine that executes an image in place.
class Board {
 public:
  static Result<Board> make(std::span<const std::byte> image, std::uint32_t chips, sim::Busy busy) {
    DAXSIM_TRY(const std::shared_ptr<sim::NorMedia> media,
               sim::open(sim::NorFlash{.part = sim::parts::p30, .chips = chips, .while_busy = busy}));
    DAXSIM_TRY(sim::NorContents contents, media->contents());
    std::ranges::copy(image, contents.bytes.begin());
    DAXSIM_TRY_VOID(media->restore(contents));
    Machine machine;
    DAXSIM_TRY(DeviceHandle nor, machine.attach(media));
    DAXSIM_TRY_VOID(sim::mtd(nor.attachment()).unlock({0, nor.size()}));
    DAXSIM_TRY(FileSystem fs, machine.mount<XipFs>(nor));
    Board board(std::move(machine), std::move(nor), std::move(fs));
    DAXSIM_TRY_VOID(board.map_direct_pages());
    return board;
  }
  [[nodiscard]] bool has_direct_pages() const noexcept { return !words_.empty(); }

  Result<Stall> update(sim::Busy busy, const UpdateLoad& load) {
    Stall stall{.busy = busy};
    const std::chrono::nanoseconds begin = clock().now();
    next_fetch_ = begin + load.fetch_every;
    for (std::uint64_t left = load.bytes, end = nor_.size(); left != 0;) {
      const ByteRange block = mtd().erase_block(end - 1);
      if (const Result<void> erasing = mtd().start_erase(block.offset); !erasing.ok()) {
        stall.refused = erasing.error();
        return stall;
      }
      DAXSIM_TRY_VOID(fetch_until_done(block.offset, erase_time(block.length), load, stall));
      const std::vector<std::byte> buffer(mtd().part().buffer_bytes);
      for (std::uint64_t at = block.offset; at < block.end(); at += buffer.size()) {
        DAXSIM_TRY_VOID(mtd().start_program(at, buffer));
        DAXSIM_TRY_VOID(fetch_until_done(at, mtd().part().program_byte * buffer.size(), load, stall));
      }
      left -= std::min(left, block.length);
      end = block.offset;
    }
    stall.update = clock().now() - begin;
    return stall;
  }

 private:
  Board(Machine machine, DeviceHandle nor, FileSystem fs)
      : machine_(std::move(machine)), nor_(std::move(nor)), fs_(std::move(fs)), process_(&machine_.spawn()) {}
  [[nodiscard]] sim::Mtd& mtd() const { return sim::mtd(nor_.attachment()); }
  [[nodiscard]] VirtualClock& clock() const { return machine_.clock(); }

  Result<void> map_direct_pages() {
    DAXSIM_TRY(const std::vector<DirectoryEntry> entries, fs_.list());
    for (const DirectoryEntry& entry : entries) {
      if (entry.size == 0) {
        continue;
      }
      DAXSIM_TRY(const File file, fs_.open(entry.name, OpenMode::read_only));
      DAXSIM_TRY(const std::uint64_t address, process_->mmap(file.open_file(), {.prot = Prot::read}));
      for (Pgoff page{0}; page.value < pages_for(entry.size); page = page + 1) {
        DAXSIM_TRY(const FileExtent here, file.open_file()->inode().direct_access({page, 1}, Access::read));
        if (here.kind != FileExtent::Kind::memory) {
          continue;
        }
        const std::uint64_t first_word = address + byte_of(page);
        const AccessResult<std::uint64_t> loaded = process_->load<std::uint64_t>(first_word);
        if (!loaded.has_value()) {
          return Errno::eio;
        }
        words_.push_back({.address = first_word, .value = *loaded});
      }
    }
    return {};
  }

  [[nodiscard]] std::chrono::nanoseconds erase_time(std::uint64_t block_bytes) const {
    return std::ranges::find(mtd().part().regions, block_bytes, &sim::EraseRegion::block_bytes)->erase;
  }

  // Until the operation at `offset`, which began now, is done. Who was suspended by a fetch goes on right after it.
  Result<void> fetch_until_done(std::uint64_t offset, std::chrono::nanoseconds typical, const UpdateLoad& load,
                                Stall& stall) {
    std::chrono::nanoseconds end = clock().now() + typical;
    while (next_fetch_ < end) {
      clock().advance_to(next_fetch_);
      if (mtd().pending_operations().empty()) {
        break;
      }
      const std::chrono::nanoseconds before = clock().now();
      fetch(stall);
      DAXSIM_TRY_VOID(mtd().resume(offset));
      if (stall.busy == sim::Busy::suspend) {
        end += clock().now() - before;
      }
      next_fetch_ = clock().now() + load.fetch_every;
    }
    return mtd().wait(offset);
  }

  void fetch(Stall& stall) {
    const Word& word = words_[random_.below(words_.size())];
    const std::chrono::nanoseconds begin = clock().now();
    const AccessResult<std::uint64_t> loaded = process_->load<std::uint64_t>(word.address);
    const std::chrono::nanoseconds taken = clock().now() - begin;
    ++stall.fetches;
    stall.wrong += loaded.has_value() && *loaded == word.value ? 0 : 1;
    stall.total += taken;
    stall.longest = std::max(stall.longest, taken);
  }

  Machine machine_;
  DeviceHandle nor_;
  FileSystem fs_;
  Process* process_;
  std::vector<Word> words_;  // the first of each direct page
  Random random_{1};
  std::chrono::nanoseconds next_fetch_{};
};

}  // namespace

Result<std::vector<Stall>> stalls_of(std::span<const std::byte> image, const UpdateLoad& load) {
  if (load.bytes == 0 || load.fetch_every <= std::chrono::microseconds{0}) {
    return Errno::einval;
  }
  const std::uint64_t chips = (image.size() + load.bytes + kChipBytes - 1) / kChipBytes;
  if (load.bytes > kMostChips * kChipBytes || chips > kMostChips) {
    return Errno::efbig;
  }
  std::vector<Stall> stalls;
  for (const sim::Busy busy : kBusyWays) {
    DAXSIM_TRY(Board board, Board::make(image, static_cast<std::uint32_t>(chips), busy));
    if (!board.has_direct_pages()) {
      return stalls;
    }
    DAXSIM_TRY(const Stall stall, board.update(busy, load));
    stalls.push_back(stall);
  }
  return stalls;
}

}  // namespace daxsim::cli
