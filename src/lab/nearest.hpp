// SPDX-License-Identifier: BSD-3-Clause
// "Did you mean": which of some names is written most like another.
#pragma once

#include <algorithm>
#include <cstddef>
#include <numeric>
#include <string>
#include <string_view>
#include <vector>

namespace daxsim::lab {

// Letters to insert, delete or replace (Levenshtein).
inline std::size_t letters_between(std::string_view a, std::string_view b) {
  std::vector<std::size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), std::size_t{0});
  for (const char letter : a) {
    std::size_t diagonal = row[0]++;
    for (std::size_t j = 0; j < b.size(); ++j) {
      const std::size_t replaced = diagonal + (letter == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, diagonal + 1});
    }
  }
  return row.back();
}

// `names` is not empty.
inline std::string nearest(std::string_view name, const std::vector<std::string>& names) {
  return *std::ranges::min_element(names, {},
                                   [name](const std::string& candidate) { return letters_between(name, candidate); });
}

}  // namespace daxsim::lab
