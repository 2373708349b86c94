// SPDX-License-Identifier: BSD-3-Clause
// live_malloc <backend>: real faults on the whole stack (pmem, LinearFs and XipFs, dax, live mappings) of every kind, in a process
// whose malloc and free abort when the fault path calls them. Exits 0, or says what called malloc where.
#include <sys/mman.h>
#include <unistd.h>

#include <cerrno>
#include <csetjmp>
#include <csignal>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <list>
#include <map>
#include <memory_resource>
#include <string>
#include <string_view>
#include <vector>

#include "daxsim/adapters/xip.hpp"
#include "daxsim/test_support/builders.hpp"
#include "daxsim/test_support/must.hpp"
#include "support/flash_world.hpp"

namespace {

// What is being done while nobody may allocate; null: everybody may.
thread_local constinit const char* forbidden_in = nullptr;

void check_allowed(const char* call) noexcept {
  if (forbidden_in != nullptr) {
    const char* const what = std::exchange(forbidden_in, nullptr);
    for (const char* text : {call, " in the fault path: ", what, "\n"}) {
      [[maybe_unused]] const ssize_t written = ::write(STDERR_FILENO, text, std::strlen(text));
    }
    std::abort();
  }
}

}  // namespace

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define DAXSIM_MALLOC_HOOKS
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define DAXSIM_MALLOC_HOOKS
#endif
#endif

#if defined(DAXSIM_MALLOC_HOOKS)

// The sanitizers own malloc, and call these.
extern "C" int __sanitizer_install_malloc_and_free_hooks(void (*)(const volatile void*, std::size_t),
                                                         void (*)(const volatile void*));
namespace {
void watch_allocator() {
  __sanitizer_install_malloc_and_free_hooks([](const volatile void*, std::size_t) { check_allowed("malloc"); },
                                            [](const volatile void*) { check_allowed("free"); });
}
}  // namespace

#else

extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);
void __libc_free(void*);

void* malloc(std::size_t bytes) noexcept {
  check_allowed("malloc");
  return __libc_malloc(bytes);
}
void* calloc(std::size_t count, std::size_t bytes) noexcept {
  check_allowed("calloc");
  return __libc_calloc(count, bytes);
}
void* realloc(void* memory, std::size_t bytes) noexcept {
  check_allowed("realloc");
  return __libc_realloc(memory, bytes);
}
void* aligned_alloc(std::size_t alignment, std::size_t bytes) noexcept {
  check_allowed("aligned_alloc");
  return __libc_memalign(alignment, bytes);
}
int posix_memalign(void** memory, std::size_t alignment, std::size_t bytes) noexcept {
  check_allowed("posix_memalign");
  *memory = __libc_memalign(alignment, bytes);
  return *memory == nullptr ? ENOMEM : 0;
}
void free(void* memory) noexcept {
  check_allowed("free");
  __libc_free(memory);
}
}

namespace {
void watch_allocator() {}
}  // namespace

#endif

namespace {

using namespace daxsim;
using namespace daxsim::literals;

void expect(bool holds, const char* what) {
  if (!holds) {
    std::fprintf(stderr, "live_malloc: %s\n", what);
    std::exit(1);
  }
}

std::byte load(const char* what, const Mapping& map, std::uint64_t at) {
  forbidden_in = what;
  const std::byte value = *const_cast<const volatile std::byte*>(map.data() + at);
  forbidden_in = nullptr;
  return value;
}
void store(const char* what, const Mapping& map, std::uint64_t at, int value) {
  forbidden_in = what;
  *const_cast<volatile std::byte*>(map.data() + at) = static_cast<std::byte>(value);
  forbidden_in = nullptr;
}

sigjmp_buf escape;

// Here the fault path has ended; AddressSanitizer allocates when a handler jumps.
void on_bus_error(int /*number*/) {
  forbidden_in = nullptr;
  siglongjmp(escape, 1);
}

// Every kind of fault there is.
void fault_in_every_way(test::MountedWorld& world, LiveBackend backend) {
  File file = must(world.fs.create("/sparse", 0));
  must(file.truncate(32_MiB));
  const Mapping map = must(file.map({}, backend));
  expect(load("a load of a hole", map, 0) == std::byte{0}, "a hole is not zeros");
  store("a store to a hole that was read", map, 0, 1);
  store("a store to a hole", map, kPageSize, 2);
  load("a load of memory", map, kPageSize);
  for (std::uint64_t page = 0; page < 1500; page += 3) {
    store("stores to many holes", map, 4_MiB + page * kPageSize, 3);
  }
  must(file.fsync());
  store("a store after write-back", map, 0, 4);

  const Mapping copy = must(file.map({.sharing = Sharing::private_copy}, backend));
  load("a private load", copy, 0);
  store("a private store after a load", copy, 0, 5);
  store("a private store", copy, kPageSize, 6);
  load("a private load of a hole", copy, 3 * kPageSize);
  store("a private store to a hole", copy, 3 * kPageSize, 7);
  expect(load("a load", map, 0) == std::byte{4}, "a private store reached the file");

  File solid = must(world.fs.create("/solid", 8_MiB));
  const Mapping large = must(solid.map({}, backend));
  load("a load of an unwritten 2 MiB page", large, 0);
  store("a store to an unwritten 2 MiB page", large, 2_MiB, 8);
  must(solid.fsync());
  store("a store to a 2 MiB page after write-back", large, 2_MiB + 5, 9);

  File safe = must(world.fs.create("/safe", 0));
  must(safe.truncate(4_MiB));
  const Mapping sync = must(safe.map({.sync = MapSync::yes}, backend));
  for (std::uint64_t page = 0; page < 200; ++page) {
    store("MAP_SYNC stores to holes", sync, page * kPageSize, 10);
  }

  must(file.fallocate(Fallocate::punch_hole, {4_MiB, 1_MiB}));
  load("a load of a punched page", map, 4_MiB);
  store("a store to a punched page", map, 4_MiB, 11);

  must(file.truncate(kPageSize));
  if (sigsetjmp(escape, 1) == 0) {
    store("a bus error", map, 1_MiB, 12);
    expect(false, "no bus error beyond the end");
  }
}

// MAP_SYNC stores into holes, so many that the log fills several times, and into space that only checkpoints free.
void commit_and_checkpoint(LiveBackend backend) {
  test::MountedWorld world = test::mounted(4_MiB);
  const std::uint64_t pages = must(world.fs.space()).free_pages - 8;
  File file = must(world.fs.create("/f", 0));
  must(file.truncate(pages * kPageSize));
  const Mapping map = must(file.map({.sync = MapSync::yes}, backend));
  for (int round = 0; round < 3; ++round) {
    for (std::uint64_t page = 0; page < pages; ++page) {
      // Scattered: each is an extent of its own for a while.
      store("MAP_SYNC stores that fill the log", map, page * 7 % pages * kPageSize, 13);
    }
    must(file.fallocate(Fallocate::punch_hole, {0, pages * kPageSize}));
  }
}

// Loads from a NOR flash, in memory and in a file, that suspend an erase and a program, wait for the end, or get a status.
void fetch_from_a_busy_flash(LiveBackend backend) {
  for (const sim::Busy busy : {sim::Busy::suspend, sim::Busy::refault, sim::Busy::raw}) {
    for (const bool in_file : {false, true}) {
      const test::TemporaryFile media;
      test::FlashWorld world(
          {.media = in_file ? media.path() : std::filesystem::path(), .part = test::paged_p30(), .while_busy = busy});
      const Mapping map = must(world.file->map({.prot = Prot::read}, backend));
      load("a load of a flash", map, 0);
      must(world.mtd().start_erase(test::FlashWorld::block(3)));
      load("a load of a flash that is erased", map, 0);
      load("a load of a block that is erased", map, test::FlashWorld::block(3));
      must(world.mtd().wait(0));
      must(world.mtd().start_program(test::FlashWorld::block(2), std::vector<std::byte>(64)));
      load("a load of a flash that is programmed", map, 0);
      must(world.mtd().wait(0));
      load("a load after all that", map, 0);
    }
  }
}

// Loads of direct and of compressed pages, more of them than the page cache holds, and stores to a private mapping.
void execute_in_place(LiveBackend backend) {
  constexpr std::uint64_t kPages = 5000;
  XipFile code{"code", std::vector<std::byte>(kPages * kPageSize)};
  XipProfile profile;
  for (std::uint64_t page = 0; page < kPages; ++page) {
    code.bytes[page * kPageSize] = static_cast<std::byte>(page % 251 + 1);
    if (page % 100 == 0) {
      profile.faults["code"][page] = 1;
    }
  }
  const std::vector<std::byte> image = must(XipFs::build({&code, 1}, profile));
  const test::TemporaryFile media;
  Machine machine;
  const DeviceHandle device = must(machine.attach(sim::Pmem{.path = media.path(), .size = 16_MiB}));
  must(device.attachment().write(0, image));
  FileSystem fs = must(machine.mount<XipFs>(device));
  File file = must(fs.open("code", OpenMode::read_only));
  const Mapping map = must(file.map({.prot = Prot::read}, backend));
  for (std::uint64_t page = 0; page < kPages; ++page) {
    expect(load("a load of a page to be executed in place", map, page * kPageSize) == code.bytes[page * kPageSize],
           "a page is not the file's");
  }
  const Mapping data = must(file.map({.sharing = Sharing::private_copy}, backend));
  load("a private load of a page to be executed in place", data, 0);
  store("a private store after a load", data, 0, 1);
  store("a private store to a compressed page", data, kPageSize, 2);
}

// Memory from a mapping. Its allocator touches the mapping with its own lock held: as malloc would, if the program had
// put its heap there.
class HeapInMapping final : public std::pmr::memory_resource {
 public:
  explicit HeapInMapping(std::span<std::byte> memory) : memory_(memory) {}

 private:
  struct Block {
    Block* next;
    std::size_t bytes;
  };

  void* do_allocate(std::size_t bytes, std::size_t) override {
    const std::size_t whole = (bytes + 15) / 16 * 16 + sizeof(Block);
    forbidden_in = "malloc itself";
    for (Block** link = &free_; *link != nullptr; link = &(*link)->next) {
      if (Block* const found = *link; found->bytes == whole) {
        *link = found->next;
        forbidden_in = nullptr;
        return found + 1;
      }
    }
    auto* const block = reinterpret_cast<Block*>(memory_.data() + used_);
    *block = {nullptr, whole};
    forbidden_in = nullptr;
    used_ += whole;
    expect(used_ <= memory_.size(), "the heap is full");
    return block + 1;
  }
  void do_deallocate(void* memory, std::size_t, std::size_t) override {
    auto* const block = static_cast<Block*>(memory) - 1;
    forbidden_in = "free itself";
    block->next = free_;
    free_ = block;
    forbidden_in = nullptr;
  }
  [[nodiscard]] bool do_is_equal(const memory_resource& other) const noexcept override { return this == &other; }

  const std::span<std::byte> memory_;
  std::size_t used_ = 0;
  Block* free_ = nullptr;
};

void live_on_a_mapping(test::MountedWorld& world, LiveBackend backend) {
  File file = must(world.fs.create("/heap", 0));
  must(file.truncate(24_MiB));
  const Mapping map = must(file.map({}, backend));
  HeapInMapping heap(map.bytes());
  std::pmr::map<int, std::pmr::string> words(&heap);
  std::pmr::list<std::pmr::vector<int>> lists(&heap);
  for (int i = 0; i < 2000; ++i) {
    words.emplace(i, std::string(static_cast<std::size_t>(100 + i % 700), static_cast<char>('a' + i % 26)));
    lists.emplace_back(static_cast<std::size_t>(i % 300), i);
    if (i % 7 == 0) {
      lists.pop_front();
    }
    if (i % 100 == 0) {
      must(file.fsync());
    }
  }
  for (const auto& [i, word] : words) {
    expect(word == std::pmr::string(static_cast<std::size_t>(100 + i % 700), static_cast<char>('a' + i % 26), &heap),
           "a word changed");
  }
}

}  // namespace

int main(int argc, char** argv) {
  watch_allocator();
  std::signal(SIGBUS, &on_bus_error);
  const LiveBackend backend =
      argc == 2 && std::string_view(argv[1]) == "sigsegv" ? LiveBackend::sigsegv : LiveBackend::userfaultfd;
  test::MountedWorld world = test::mounted(128_MiB);
  fault_in_every_way(world, backend);
  commit_and_checkpoint(backend);
  fetch_from_a_busy_flash(backend);
  execute_in_place(backend);
  live_on_a_mapping(world, backend);
  return 0;
}
