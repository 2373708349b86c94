// SPDX-License-Identifier: BSD-3-Clause
// Who acts in a scenario: real processes with real threads, each of which waits for steps from the one that conducts, plays
// them, and says what came of it. All are there before the first step.
#pragma once

#include <sys/types.h>

#include <cstddef>
#include <functional>
#include <map>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "outcome.hpp"

namespace oracle {

class Actors {
 public:
  // Called in each process, for the steps of all of its threads.
  using Player = std::function<Outcome(const Step& step)>;

  // Forks. `make_player` is called in each of the new processes. Errors: the host's, which end the program.
  Actors(std::span<const Step> steps, const std::function<Player()>& make_player);
  // Ends the processes, whatever they are at.
  ~Actors();
  Actors(const Actors&) = delete;
  Actors& operator=(const Actors&) = delete;

  // Plays the step with this number. Nothing: whoever played it died, or did not come back in a minute. A step in the
  // background is left alone when it sleeps; afterwards each of those sleeps or is done.
  std::optional<Outcome> play(std::size_t number);

 private:
  struct Actor {
    pid_t process = 0;
    pid_t thread = 0;
    int socket = -1;
    bool is_busy = false;         // with a step in the background
    std::optional<Outcome> done;  // of that step
  };

  void fork_process(const std::string& name, std::size_t threads, const std::function<Player()>& make_player);
  Actor& actor_of(const Step& step);
  bool send(Actor& actor, std::size_t number);
  bool settle(Actor& actor);
  std::optional<Outcome> begin(Actor& actor, std::size_t number);
  std::optional<Outcome> wait(Actor& actor);
  Outcome kill(Actor& actor);

  std::span<const Step> steps_;
  std::string process_ = "p1";  // the one that was named last
  std::map<std::string, std::vector<Actor>, std::less<>> processes_;
};

}  // namespace oracle
