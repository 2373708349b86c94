// SPDX-License-Identifier: BSD-3-Clause
#include <charconv>
#include <optional>

#include "daxsim/adapters/xip.hpp"

DAXSIM_BEGIN
namespace {

// Takes a number and the space behind it.
std::optional<std::uint64_t> take_number(std::string_view& line) noexcept {
  std::uint64_t number = 0;
  const char* const begin = line.begin();
  const auto [behind, error] = std::from_chars(begin, line.end(), number);
  if (error != std::errc() || behind == line.end() || *behind != ' ') {
    return {};
  }
  line.remove_prefix(static_cast<std::size_t>(behind - begin) + 1);
  return number;
}

}  // namespace

std::string XipProfile::text() const {
  std::string text;
  for (const auto& [name, pages] : faults) {
    for (const auto& [page, count] : pages) {
      text += std::to_string(page) + ' ' + std::to_string(count) + ' ' + name + '\n';
    }
  }
  return text;
}

Result<XipProfile> XipProfile::parse(std::string_view text) {
  XipProfile profile;
  while (!text.empty()) {
    const std::size_t end = text.find('\n');
    std::string_view line = text.substr(0, end);
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
    const std::optional<std::uint64_t> page = take_number(line);
    const std::optional<std::uint64_t> count = page ? take_number(line) : std::nullopt;
    if (!count || line.empty() || !profile.faults[std::string(line)].emplace(*page, *count).second) {
      return Errno::einval;
    }
  }
  return profile;
}

DAXSIM_END
