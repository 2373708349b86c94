// SPDX-License-Identifier: BSD-3-Clause
#include "actors.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <charconv>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <thread>
#include <utility>

namespace oracle {
namespace {

using Clock = std::chrono::steady_clock;
using daxsim::lab::Verb;

constexpr std::chrono::seconds kLongestStep{60};

[[noreturn]] void give_up(const char* what) {
  std::perror(what);
  std::exit(2);
}

// --- messages: a number there, an outcome back ---

bool write_all(int socket, const void* from, std::size_t size) {
  const char* at = static_cast<const char*>(from);
  while (size > 0) {
    const ssize_t count = ::send(socket, at, size, MSG_NOSIGNAL);
    if (count < 0 && errno != EINTR) {
      return false;
    }
    at += std::max<ssize_t>(count, 0);
    size -= static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
  return true;
}

bool read_all(int socket, void* to, std::size_t size) {
  char* at = static_cast<char*>(to);
  while (size > 0) {
    const ssize_t count = ::read(socket, at, size);
    if (count == 0 || (count < 0 && errno != EINTR)) {
      return false;
    }
    at += std::max<ssize_t>(count, 0);
    size -= static_cast<std::size_t>(std::max<ssize_t>(count, 0));
  }
  return true;
}

template <class Bytes>
bool write_bytes(int socket, const Bytes& bytes) {
  const std::uint64_t size = bytes.size();
  return write_all(socket, &size, sizeof size) && write_all(socket, bytes.data(), size);
}

template <class Bytes>
bool read_bytes(int socket, Bytes& bytes) {
  std::uint64_t size = 0;
  if (!read_all(socket, &size, sizeof size)) {
    return false;
  }
  bytes.resize(size);
  return read_all(socket, bytes.data(), size);
}

// What of an outcome has a fixed size.
struct Head {
  Outcome::Kind kind;
  std::int64_t value;
  daxsim::Errno error;
  daxsim::FaultSignal signal;
};

bool write_outcome(int socket, const Outcome& outcome) {
  const Head head{outcome.kind, outcome.value, outcome.error, outcome.signal};
  return write_all(socket, &head, sizeof head) && write_bytes(socket, outcome.answer) &&
         write_bytes(socket, outcome.bytes) && write_bytes(socket, outcome.recorded);
}

std::optional<Outcome> read_outcome(int socket) {
  Head head{};
  Outcome outcome;
  if (!read_all(socket, &head, sizeof head) || !read_bytes(socket, outcome.answer) ||
      !read_bytes(socket, outcome.bytes) || !read_bytes(socket, outcome.recorded)) {
    return std::nullopt;
  }
  outcome.kind = head.kind;
  outcome.value = head.value;
  outcome.error = head.error;
  outcome.signal = head.signal;
  return outcome;
}

// --- what a new process does ---

// The pages that the fork left shared are copied now, and no thread gets a heap of its own, since the tracer would see either
// in the middle of a step.
void copy_own_pages() {
  mallopt(M_ARENA_MAX, 1);
  if (mlockall(MCL_CURRENT) != 0) {
    give_up("mlockall");
  }
}

void play_steps(int socket, std::span<const Step> steps, const Actors::Player& player) {
  const pid_t thread = gettid();
  write_all(socket, &thread, sizeof thread);
  std::uint64_t number = 0;
  while (read_all(socket, &number, sizeof number)) {
    write_outcome(socket, player(steps[number]));
  }
}

[[noreturn]] void be_process(const std::vector<int>& sockets, std::span<const Step> steps,
                             const std::function<Actors::Player()>& make_player) {
  const Actors::Player player = make_player();
  copy_own_pages();
  for (const int socket : std::span(sockets).subspan(1)) {
    std::thread([socket, steps, &player] { play_steps(socket, steps, player); }).detach();
  }
  play_steps(sockets.front(), steps, player);
  _exit(0);
}

// The N of "t2" or "p2", from 1.
std::size_t number_of(std::string_view actor) {
  std::size_t number = 1;
  std::from_chars(actor.data() + 1, actor.data() + actor.size(), number);
  return std::max<std::size_t>(number, 1);
}

// Does the thread sleep, for whatever reason?
bool is_asleep(pid_t process, pid_t thread) {
  std::ifstream status(fmt::format("/proc/{}/task/{}/stat", process, thread));
  std::string text;
  std::getline(status, text);
  const std::size_t name_end = text.rfind(") ");
  return name_end != std::string::npos && (text[name_end + 2] == 'S' || text[name_end + 2] == 'D');
}

bool has_answered(int socket, std::chrono::milliseconds patience) {
  struct pollfd ready{socket, POLLIN, 0};
  return poll(&ready, 1, static_cast<int>(patience.count())) == 1;
}

}  // namespace

Actors::Actors(std::span<const Step> steps, const std::function<Player()>& make_player) : steps_(steps) {
  std::map<std::string, std::size_t, std::less<>> threads{{"p1", 1}};
  std::string process = "p1";
  for (const Step& step : steps) {
    if (step.actor.starts_with('p')) {
      process = step.actor;
      threads.try_emplace(process, 1);
    } else {
      threads[process] = std::max(threads[process], number_of(step.actor));
    }
  }
  std::fflush(nullptr);
  for (const auto& [name, count] : threads) {
    fork_process(name, count, make_player);
  }
  copy_own_pages();
}

void Actors::fork_process(const std::string& name, std::size_t threads, const std::function<Player()>& make_player) {
  std::vector<int> theirs;
  std::vector<Actor>& ours = processes_[name];
  for (std::size_t thread = 0; thread < threads; ++thread) {
    int sockets[2];
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, sockets) != 0) {
      give_up("socketpair");
    }
    theirs.push_back(sockets[1]);
    ours.emplace_back().socket = sockets[0];
  }
  const pid_t process = fork();
  if (process < 0) {
    give_up("fork");
  }
  if (process == 0) {
    // A socket that another process kept open would not end with the one that conducts.
    for (const auto& [other, actors] : processes_) {
      std::ranges::for_each(actors, [](const Actor& actor) { close(actor.socket); });
    }
    be_process(theirs, steps_, make_player);
  }
  for (std::size_t thread = 0; thread < threads; ++thread) {
    close(theirs[thread]);
    ours[thread].process = process;
    if (!read_all(ours[thread].socket, &ours[thread].thread, sizeof(pid_t))) {
      give_up("a process of the scenario");
    }
  }
}

Actors::~Actors() {
  for (const auto& [name, actors] : processes_) {
    ::kill(actors.front().process, SIGKILL);
    std::ranges::for_each(actors, [](const Actor& actor) { close(actor.socket); });
  }
  // One that the kernel does not let go is left to it.
  const Clock::time_point end = Clock::now() + std::chrono::seconds(10);
  for (const auto& [name, actors] : processes_) {
    while (waitpid(actors.front().process, nullptr, WNOHANG) == 0 && Clock::now() < end) {
      std::this_thread::sleep_for(std::chrono::milliseconds(10));
    }
  }
}

Actors::Actor& Actors::actor_of(const Step& step) {
  if (step.actor.starts_with('p')) {
    process_ = step.actor;
    return processes_[process_].front();
  }
  return processes_[process_][number_of(step.actor) - 1];
}

bool Actors::send(Actor& actor, std::size_t number) {
  const std::uint64_t message = number;
  return write_all(actor.socket, &message, sizeof message);
}

// Until it is done, or sleeps and goes on sleeping. False: it died.
bool Actors::settle(Actor& actor) {
  constexpr int kLooks = 20;
  constexpr std::chrono::milliseconds kBetween{10};
  const Clock::time_point end = Clock::now() + kLongestStep;
  for (int asleep = 0; asleep < kLooks && Clock::now() < end;) {
    if (has_answered(actor.socket, kBetween)) {
      actor.done = read_outcome(actor.socket);
      return actor.done.has_value();
    }
    asleep = is_asleep(actor.process, actor.thread) ? asleep + 1 : 0;
  }
  return true;
}

std::optional<Outcome> Actors::begin(Actor& actor, std::size_t number) {
  const std::string& command = steps_[number].command;
  actor.is_busy = true;
  if (!send(actor, number) || !settle(actor)) {
    return std::nullopt;
  }
  if (actor.done) {
    return answered(command + " is done");
  }
  Outcome outcome;
  outcome.kind = Outcome::Kind::waits;
  outcome.recorded = command + " waits";
  return outcome;
}

std::optional<Outcome> Actors::wait(Actor& actor) {
  if (!actor.is_busy) {
    errno = EINVAL;
    return called("wait", -1);
  }
  // A removal waits for seconds.
  if (!actor.done && has_answered(actor.socket, std::chrono::seconds(10))) {
    actor.done = read_outcome(actor.socket);
    if (!actor.done) {
      return std::nullopt;
    }
  }
  if (!actor.done) {
    Outcome outcome;
    outcome.kind = Outcome::Kind::waits;
    outcome.recorded = "wait: nothing wakes it";
    return outcome;
  }
  actor.is_busy = false;
  return std::exchange(actor.done, std::nullopt);
}

Outcome Actors::kill(Actor& actor) {
  if (!actor.is_busy) {
    errno = EINVAL;
    return called("kill", -1);
  }
  return called("kill", actor.thread == actor.process ? ::kill(actor.process, SIGTERM)
                                                      : tgkill(actor.process, actor.thread, SIGTERM));
}

std::optional<Outcome> Actors::play(std::size_t number) {
  const Step& step = steps_[number];
  Actor& actor = actor_of(step);
  std::optional<Outcome> outcome;
  if (step.verb == Verb::wait) {
    outcome = wait(actor);
  } else if (step.verb == Verb::kill) {
    outcome = kill(actor);
  } else if (actor.is_busy) {
    errno = EBUSY;
    outcome = called(step.actor + " has begun something, and can only wait or be killed", -1);
  } else if (step.in_background) {
    return begin(actor, number);
  } else if (send(actor, number) && has_answered(actor.socket, kLongestStep)) {
    outcome = read_outcome(actor.socket);
  }
  for (auto& [name, actors] : processes_) {
    for (Actor& other : actors) {
      if (other.is_busy && !other.done && !settle(other)) {
        return std::nullopt;
      }
    }
  }
  return outcome;
}

}  // namespace oracle
