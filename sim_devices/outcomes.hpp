// SPDX-License-Identifier: BSD-3-Clause
// What a power cut chooses: one outcome for each line that has a choice.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <span>
#include <vector>

#include "daxsim/base/config.hpp"
#include "daxsim/base/random.hpp"
#include "daxsim/base/result.hpp"
#include "daxsim/device/device_view.hpp"

DAXSIM_BEGIN
namespace sim {

// `pending` is ascending. Errors: Errno::einval (a listed line or outcome does not exist, or a line is listed twice).
inline Result<std::vector<std::uint32_t>> choose_outcomes(std::span<const LineHistory> pending,
                                                          const PowerCut& choice) {
  std::vector<std::uint32_t> chosen(pending.size(), 0);
  switch (choice.kind) {
    case PowerCut::Kind::none:
      break;
    case PowerCut::Kind::all:
      std::ranges::transform(pending, chosen.begin(), [](const LineHistory& line) { return line.outcomes - 1; });
      break;
    case PowerCut::Kind::seeded: {
      Random random(choice.seed);
      std::ranges::transform(pending, chosen.begin(), [&random](const LineHistory& line) {
        return static_cast<std::uint32_t>(random.below(line.outcomes));
      });
      break;
    }
    case PowerCut::Kind::listed: {
      std::vector<bool> listed(pending.size(), false);
      for (const LineOutcome& line : choice.lines) {
        const auto found = std::ranges::lower_bound(pending, line.offset, {}, &LineHistory::offset);
        const auto at = static_cast<std::size_t>(found - pending.begin());
        if (found == pending.end() || found->offset != line.offset || line.outcome >= found->outcomes || listed[at]) {
          return Errno::einval;
        }
        listed[at] = true;
        chosen[at] = line.outcome;
      }
      break;
    }
  }
  return chosen;
}

}  // namespace sim
DAXSIM_END
