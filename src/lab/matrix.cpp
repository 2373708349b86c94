// SPDX-License-Identifier: BSD-3-Clause
#include "daxsim/lab/matrix.hpp"

#include <algorithm>
#include <array>

#include "lab/trial.hpp"

DAXSIM_BEGIN
namespace lab {

std::string_view verdict_name(Verdict verdict) noexcept {
  static constexpr std::array<std::string_view, 4> kNames{"holds", "refused", "not applicable", "harm"};
  return kNames[static_cast<unsigned>(verdict)];
}

std::string Cell::text() const {
  if (verdict == Verdict::holds) {
    return std::string(verdict_name(verdict));
  }
  return verdict == Verdict::harm ? what : std::string(verdict_name(verdict)) + ": " + what;
}

const Question* find_question(std::string_view name) noexcept {
  const std::span<const Question> all = questions();
  const auto found = std::ranges::find(all, name, &Question::name);
  return found == all.end() ? nullptr : &*found;
}

Result<Cell> ask(const Question& question, const IndexDesign& design, Telling telling) {
  Trial trial(design, telling);
  DAXSIM_TRY_VOID(question.put(trial));
  return trial.take_cell();
}

}  // namespace lab
DAXSIM_END
