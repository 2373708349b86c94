// SPDX-License-Identifier: BSD-3-Clause
#include "lab/scenario_steps.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>
#include <csignal>
#include <iterator>
#include <map>
#include <utility>

#include "lab/nearest.hpp"
#include "lab/scenario_lines.hpp"

DAXSIM_BEGIN
namespace lab {
namespace {

using Error = std::unexpected<ScenarioError>;
template <class T>
using Or = std::expected<T, ScenarioError>;

// --- numbers ---

std::uint64_t unit_of(char letter) noexcept {
  switch (letter) {
    case 'k':
      return std::uint64_t{1} << 10;
    case 'm':
      return std::uint64_t{1} << 20;
    case 'g':
      return std::uint64_t{1} << 30;
    case 't':
      return std::uint64_t{1} << 40;
    case 's':
      return 512;
    case 'b':
      return kPageSize;
    default:
      return 0;
  }
}

// Takes FACTOR from the front of `text`.
std::optional<std::uint64_t> take_factor(std::string_view& text) noexcept {
  const bool is_hex = text.starts_with("0x");
  const char* const first = text.data() + (is_hex ? 2 : 0);
  std::uint64_t value = 0;
  const auto [after, problem] = std::from_chars(first, text.data() + text.size(), value, is_hex ? 16 : 10);
  if (problem != std::errc()) {
    return std::nullopt;
  }
  text.remove_prefix(static_cast<std::size_t>(after - text.data()));
  const std::uint64_t unit = is_hex || text.empty() ? 0 : unit_of(text.front());
  if (unit == 0) {
    return value;
  }
  text.remove_prefix(1);
  return __builtin_mul_overflow(value, unit, &value) ? std::nullopt : std::optional(value);
}

std::optional<std::uint64_t> take_term(std::string_view& text) noexcept {
  std::optional<std::uint64_t> value = take_factor(text);
  while (value && text.starts_with('*')) {
    text.remove_prefix(1);
    const std::optional<std::uint64_t> factor = take_factor(text);
    if (!factor || __builtin_mul_overflow(*value, *factor, &*value)) {
      return std::nullopt;
    }
  }
  return value;
}

// --- names ---

template <class Names>
std::string perhaps(std::string_view name, const Names& names) {
  return nearest(name, std::vector<std::string>(std::begin(names), std::end(names)));
}

std::optional<Errno> errno_of(std::string_view name) noexcept {
  constexpr int kMostErrno = 133;
  for (int number = 1; number <= kMostErrno; ++number) {
    if (errno_name(static_cast<Errno>(number)) == name) {
      return static_cast<Errno>(number);
    }
  }
  return std::nullopt;
}

struct SignalName {
  std::string_view number_name;
  std::string_view code_name;
  int number;
  int code;
};
constexpr SignalName kSignals[] = {
    {"SIGBUS", "BUS_ADRERR", SIGBUS, BUS_ADRERR},       {"SIGBUS", "BUS_MCEERR_AR", SIGBUS, BUS_MCEERR_AR},
    {"SIGBUS", "BUS_MCEERR_AO", SIGBUS, BUS_MCEERR_AO}, {"SIGBUS", "BUS_OBJERR", SIGBUS, BUS_OBJERR},
    {"SIGSEGV", "SEGV_MAPERR", SIGSEGV, SEGV_MAPERR},   {"SIGSEGV", "SEGV_ACCERR", SIGSEGV, SEGV_ACCERR},
    {"SIGKILL", "SI_KERNEL", SIGKILL, SI_KERNEL},
};

std::optional<EventType> event_of(std::string_view name) noexcept {
  for (unsigned type = 0; type < kEventTypes; ++type) {
    if (event_name(static_cast<EventType>(type)) == name) {
      return static_cast<EventType>(type);
    }
  }
  return std::nullopt;
}

std::vector<std::string> event_names() {
  std::vector<std::string> names;
  names.reserve(kEventTypes);
  for (unsigned type = 0; type < kEventTypes; ++type) {
    names.emplace_back(event_name(static_cast<EventType>(type)));
  }
  return names;
}

// --- expansion ---

// One word of a line, its variables replaced.
struct Text {
  std::uint32_t column = 0;
  bool quoted = false;
  std::string text;
};

class Expansion {
 public:
  explicit Expansion(const SimulatedMachine& machine) : variables_(machine.parameters) {
    variables_.insert_or_assign("era", std::string(machine.era.name));
    variables_.insert_or_assign("design", std::string(machine.index_design().name()));
    variables_.insert_or_assign("adapter", std::string(adapter_name(machine.adapter_kind())));
    variables_.insert_or_assign("mmu", std::string(mmu_name(machine.mmu)));
  }

  Or<void> run(const ScenarioLines& lines) { return run(lines.file, lines.statements); }
  std::vector<Step> take() { return std::move(steps_); }

 private:
  Or<void> run(const std::string& file, const std::vector<Statement>& statements);
  Or<void> run(const std::string& file, const Statement& statement);
  Or<void> assign(const Statement& statement, const std::vector<Text>& words);
  Or<void> repeat(const Statement& statement, const std::vector<Text>& words);
  Or<void> when(const Statement& statement, const std::vector<Text>& words);
  Or<void> include(const Statement& statement, const std::vector<Text>& words);
  Or<void> command(const Line& line, const std::vector<Text>& words);
  Or<void> arguments(const VerbKind& kind, const Line& line, std::span<const Text> all, Step& step);
  Or<std::size_t> flags(const VerbKind& kind, const Line& line, std::span<const Text> words, std::size_t at,
                        Step& step);
  Or<Expectation> expectation(const Line& line, const std::vector<Word>& words, Verb verb);
  Or<Expectation> event_expectation(const Line& line, const std::vector<Text>& texts);
  Or<Expectation> finding_expectation(const Line& line, const std::vector<Text>& texts);

  Or<std::vector<Text>> texts_of(const Line& line, const std::vector<Word>& words) const;
  [[nodiscard]] Error bad(const Line& line, std::uint32_t column, std::string message) const {
    return Error(ScenarioError{*file_, line.number, column, std::move(message)});
  }

  const std::string* file_ = nullptr;
  std::map<std::string, std::string, std::less<>> variables_;
  std::vector<Step> steps_;
  std::size_t expanded_ = 0;
};

Or<std::vector<Text>> Expansion::texts_of(const Line& line, const std::vector<Word>& words) const {
  std::vector<Text> texts;
  texts.reserve(words.size());
  for (const Word& word : words) {
    Text& text = texts.emplace_back(Text{word.column, word.quoted, {}});
    for (const Piece& piece : word.pieces) {
      if (!piece.is_variable) {
        text.text += piece.text;
        continue;
      }
      const auto found = variables_.find(piece.text);
      if (found == variables_.end()) {
        std::vector<std::string> names;
        std::ranges::transform(variables_, std::back_inserter(names), [](const auto& entry) { return entry.first; });
        return bad(line, word.column,
                   fmt::format("no variable named {}; did you mean {}?", piece.text, perhaps(piece.text, names)));
      }
      text.text += found->second;
    }
  }
  return texts;
}

Or<void> Expansion::run(const std::string& file, const std::vector<Statement>& statements) {
  const std::string* const outer = std::exchange(file_, &file);
  for (const Statement& statement : statements) {
    if (auto done = run(file, statement); !done) {
      return done;
    }
  }
  file_ = outer;
  return {};
}

Or<void> Expansion::run(const std::string& file, const Statement& statement) {
  if (++expanded_ > kMostSteps) {
    return bad(statement.line, statement.line.words.front().column,
               fmt::format("more than {} lines, repeated ones counted each time", kMostSteps));
  }
  const auto words = texts_of(statement.line, statement.line.words);
  if (!words) {
    return Error(words.error());
  }
  const Text& first = words->front();
  const bool is_word = !first.quoted;
  if (is_word && first.text == "for") {
    return {};  // machines_for()
  }
  if (is_word && (first.text == "set" || first.text == "param")) {
    return assign(statement, *words);
  }
  if (!statement.body.empty() || (is_word && (first.text == "repeat" || first.text == "when"))) {
    const std::string* const outer = std::exchange(file_, &file);
    auto done = first.text == "repeat" ? repeat(statement, *words) : when(statement, *words);
    file_ = outer;
    return done;
  }
  if (statement.included != nullptr) {
    return include(statement, *words);
  }
  return command(statement.line, *words);
}

Or<void> Expansion::assign(const Statement& statement, const std::vector<Text>& words) {
  const Line& line = statement.line;
  if (words.size() != 4 || words[2].text != "=") {
    return bad(line, words.front().column, fmt::format("expected {} NAME = VALUE", words.front().text));
  }
  if (words.front().text == "set") {
    variables_.insert_or_assign(words[1].text, words[3].text);
  } else {
    variables_.try_emplace(words[1].text, words[3].text);
  }
  return {};
}

Or<void> Expansion::repeat(const Statement& statement, const std::vector<Text>& words) {
  const Line& line = statement.line;
  const std::optional<std::uint64_t> times = words.size() < 2 ? std::nullopt : number_of(words[1].text);
  const bool is_named = words.size() == 4 && words[2].text == "as";
  if (!times || (words.size() != 2 && !is_named)) {
    return bad(line, words.front().column, "expected repeat NUMBER, or repeat NUMBER as NAME");
  }
  if (*times > kMostSteps) {
    return bad(line, words[1].column, fmt::format("more than {} times", kMostSteps));
  }
  for (std::uint64_t time = 0; time < *times; ++time) {
    if (is_named) {
      variables_.insert_or_assign(words[3].text, std::to_string(time));
    }
    if (auto done = run(*file_, statement.body); !done) {
      return done;
    }
  }
  return {};
}

Or<void> Expansion::when(const Statement& statement, const std::vector<Text>& words) {
  const Line& line = statement.line;
  const std::size_t equals = words.size() == 2 ? words[1].text.find('=') : std::string::npos;
  if (equals == std::string::npos) {
    return bad(line, words.front().column, "expected when KEY=VALUE[,VALUE...]");
  }
  const auto found = variables_.find(std::string_view(words[1].text).substr(0, equals));
  if (found == variables_.end()) {
    return bad(
        line, words[1].column,
        fmt::format("{} is neither era, design, adapter or mmu nor a variable", words[1].text.substr(0, equals)));
  }
  std::string_view values = std::string_view(words[1].text).substr(equals + 1);
  while (true) {
    const std::size_t comma = values.find(',');
    if (values.substr(0, comma) == found->second) {
      return run(*file_, statement.body);
    }
    if (comma == std::string_view::npos) {
      return {};
    }
    values.remove_prefix(comma + 1);
  }
}

Or<void> Expansion::include(const Statement& statement, const std::vector<Text>& words) {
  for (const Text& word : std::span(words).subspan(2)) {
    const std::size_t equals = word.text.find('=');
    if (equals == std::string::npos) {
      return bad(statement.line, word.column, "expected NAME=VALUE");
    }
    variables_.insert_or_assign(word.text.substr(0, equals), word.text.substr(equals + 1));
  }
  return run(*statement.included);
}

// --- commands ---

Or<void> Expansion::command(const Line& line, const std::vector<Text>& words) {
  std::string name = words.front().text;
  std::size_t first_argument = 1;
  if (name == "device" && words.size() > 1) {
    name += ' ' + words[1].text;
    first_argument = 2;
  }
  const auto kinds = verb_kinds();
  const auto kind = std::ranges::find(kinds, name, &VerbKind::name);
  if (kind == kinds.end()) {
    std::vector<std::string> names{"repeat", "when", "end", "set", "param", "include", "for"};
    std::ranges::transform(kinds, std::back_inserter(names),
                           [](const VerbKind& verb) { return std::string(verb.name); });
    return bad(line, words.front().column, fmt::format("no verb {}; did you mean {}?", name, nearest(name, names)));
  }
  Step step;
  step.file = *file_;
  step.line = line.number;
  step.written = line.text;
  step.label = line.label;
  step.actor = line.actor.empty() ? "p1" : line.actor;
  step.verb = kind->verb;
  step.in_background = line.in_background;
  step.command = name;
  for (const Text& word : std::span(words).subspan(first_argument)) {
    step.command += ' ' + word.text;
  }
  if (auto done = arguments(*kind, line, std::span(words).subspan(first_argument), step); !done) {
    return done;
  }
  for (const std::vector<Word>& expected : line.expectations) {
    auto made = expectation(line, expected, step.verb);
    if (!made) {
      return Error(made.error());
    }
    // The extents of a file are one answer.
    if (made->kind == Expectation::Kind::answer && !step.expectations.empty() &&
        step.expectations.back().kind == Expectation::Kind::answer) {
      step.expectations.back().text += ' ' + made->text;
      step.expectations.back().written += ", " + made->written;
    } else {
      step.expectations.push_back(std::move(*made));
    }
  }
  steps_.push_back(std::move(step));
  return {};
}

// The flags in words[at]; answers how many words they take.
Or<std::size_t> Expansion::flags(const VerbKind& kind, const Line& line, std::span<const Text> words, std::size_t at,
                                 Step& step) {
  const Text& word = words[at];
  for (std::size_t letter = 1; letter < word.text.size(); ++letter) {
    const char name = word.text[letter];
    const std::size_t known = name == ':' || name == '=' ? std::string::npos : kind.flags.find(name);
    if (known == std::string_view::npos) {
      return bad(line, word.column, fmt::format("{} has no flag -{}: {} {}", kind.name, name, kind.name, kind.usage));
    }
    Flag& flag = step.flags.emplace_back();
    flag.name = name;
    const char takes = known + 1 < kind.flags.size() ? kind.flags[known + 1] : '\0';
    if (takes != ':' && takes != '=') {
      continue;
    }
    if (letter + 1 != word.text.size() || at + 1 == words.size()) {
      return bad(line, word.column, fmt::format("expected a value after -{}: {} {}", name, kind.name, kind.usage));
    }
    const Text& value = words[at + 1];
    const std::optional<std::uint64_t> number = takes == ':' ? number_of(value.text) : 0;
    if (!number) {
      return bad(line, value.column, fmt::format("expected a number after -{}, not {}", name, value.text));
    }
    flag.number = *number;
    flag.word = value.text;
    return 2;
  }
  return 1;
}

Or<void> Expansion::arguments(const VerbKind& kind, const Line& line, std::span<const Text> all, Step& step) {
  std::vector<Text> words;
  for (std::size_t at = 0; at < all.size();) {
    const Text& word = all[at];
    if (kind.flags.empty() || word.quoted || word.text.size() < 2 || word.text.front() != '-') {
      words.push_back(word);
      ++at;
    } else if (const auto taken = flags(kind, line, all, at, step); taken) {
      at += *taken;
    } else {
      return Error(taken.error());
    }
  }
  std::size_t at = 0;
  const auto wrong_number = [&] {
    const std::uint32_t column = at < words.size() ? words[at].column : line.words.front().column;
    return bad(line, column,
               kind.usage.empty() ? fmt::format("{} takes no arguments", kind.name)
                                  : fmt::format("expected {} {}", kind.name, kind.usage));
  };
  bool may_end = kind.arguments.empty();
  for (const char what : kind.arguments) {
    if (what == '|') {
      if (at == words.size()) {
        return {};
      }
      continue;
    }
    if (what == '*') {
      std::ranges::transform(std::span(words).subspan(at), std::back_inserter(step.words), &Text::text);
      return {};
    }
    if (at == words.size()) {
      return wrong_number();
    }
    const Text& word = words[at++];
    if (what == 'W') {
      step.words.push_back(word.text);
    } else if (const std::optional<std::uint64_t> number = number_of(word.text); number) {
      step.numbers.push_back(*number);
    } else {
      return bad(line, word.column, fmt::format("expected a number (4k, 0x10, 3*4k+100), not {}", word.text));
    }
    may_end = true;
  }
  return at == words.size() && may_end ? Or<void>() : wrong_number();
}

// --- what must come back ---

Or<Expectation> Expansion::event_expectation(const Line& line, const std::vector<Text>& texts) {
  Expectation made{.kind = texts.front().text == "no" ? Expectation::Kind::no_event : Expectation::Kind::events};
  const std::size_t first = made.kind == Expectation::Kind::no_event ? 2 : 1;
  for (std::size_t at = first; at < texts.size(); at += 2) {
    const std::optional<EventType> type = event_of(texts[at].text);
    if (!type) {
      return bad(line, texts[at].column,
                 fmt::format("no event {}; did you mean {}?", texts[at].text, perhaps(texts[at].text, event_names())));
    }
    made.events.push_back(*type);
    if (at + 1 < texts.size() && (texts[at + 1].text != ">" || at + 2 == texts.size())) {
      return bad(line, texts[at + 1].column, "expected > and another event");
    }
  }
  if (made.events.empty() || (first == 2 && made.events.size() != 1)) {
    return bad(line, texts.front().column, "expected events A > B > C, or no event A");
  }
  return made;
}

Or<Expectation> Expansion::finding_expectation(const Line& line, const std::vector<Text>& texts) {
  std::string name;
  for (const Text& text : std::span(texts).subspan(1)) {
    name += (name.empty() ? "" : " ") + text.text;
  }
  std::vector<std::string> names;
  for (unsigned kind = 0; kind < kFindingKinds; ++kind) {
    names.emplace_back(finding_name(static_cast<FindingKind>(kind)));
    if (names.back() == name) {
      return Expectation{.kind = Expectation::Kind::finding, .finding = static_cast<FindingKind>(kind)};
    }
  }
  return bad(line, texts.front().column, fmt::format("no finding {}; did you mean {}?", name, nearest(name, names)));
}

// "32k+8k:unwritten" as "32768+8192:unwritten".
std::optional<std::string> extent_text(std::string_view text) {
  const std::size_t plus = text.find('+');
  if (plus == std::string_view::npos) {
    return std::nullopt;
  }
  const std::size_t colon = text.find(':');
  const std::optional<std::uint64_t> offset = number_of(text.substr(0, plus));
  const std::optional<std::uint64_t> length =
      number_of(text.substr(plus + 1, colon == std::string_view::npos ? colon : colon - plus - 1));
  if (!offset || !length) {
    return std::nullopt;
  }
  return fmt::format("{}+{}{}", *offset, *length, colon == std::string_view::npos ? "" : text.substr(colon));
}

Or<Expectation> Expansion::expectation(const Line& line, const std::vector<Word>& words, Verb verb) {
  const auto texts = texts_of(line, words);
  if (!texts) {
    return Error(texts.error());
  }
  const Text& first = texts->front();
  const bool is_two = texts->size() == 2;
  std::string written;
  for (const Text& text : *texts) {
    written += (written.empty() ? "" : " ") + text.text;
  }
  const auto made = [&](Expectation expectation) {
    expectation.written = written;
    return expectation;
  };
  const auto wanted = [&] {
    return bad(line, first.column,
               fmt::format("expected a value, an errno (EIO), a signal and its code (SIGBUS BUS_ADRERR), ok, waits, "
                           "\"bytes\", finding, no finding, events or no event, not {}",
                           written));
  };
  using Kind = Expectation::Kind;
  if (first.quoted) {
    return made({.kind = Kind::bytes, .text = first.text});
  }
  if (first.text == "ok" && texts->size() == 1) {
    return made({.kind = Kind::ok});
  }
  if (first.text == "waits" && texts->size() == 1) {
    return made({.kind = Kind::waits});
  }
  if (first.text == "no" && is_two && (*texts)[1].text == "finding") {
    return made({.kind = Kind::no_finding});
  }
  if (first.text == "finding" || first.text == "events" || (first.text == "no" && texts->size() > 1)) {
    auto seen = first.text == "finding" ? finding_expectation(line, *texts) : event_expectation(line, *texts);
    return seen ? Or<Expectation>(made(std::move(*seen))) : seen;
  }
  if (verb == Verb::fiemap) {
    const std::optional<std::string> extent = first.text == "none" ? "" : extent_text(first.text);
    return extent ? Or<Expectation>(made({.kind = Kind::answer, .text = *extent})) : wanted();
  }
  if (verb == Verb::pagemap || verb == Verb::mincore) {
    return made({.kind = Kind::answer, .text = written});
  }
  if (const std::size_t equals = first.text.find('='); equals != std::string::npos) {
    const std::optional<std::uint64_t> number = number_of(std::string_view(first.text).substr(equals + 1));
    return number ? Or<Expectation>(made(
                        {.kind = Kind::field, .text = fmt::format("{}={}", first.text.substr(0, equals), *number)}))
                  : wanted();
  }
  if (is_two) {
    const auto* const found = std::ranges::find_if(kSignals, [&](const SignalName& name) {
      return name.number_name == first.text && name.code_name == (*texts)[1].text;
    });
    return found != std::end(kSignals)
               ? Or<Expectation>(made({.kind = Kind::signal, .signal = {.number = found->number, .code = found->code}}))
               : wanted();
  }
  if (texts->size() > 1) {
    return wanted();
  }
  if (const std::optional<Errno> error = errno_of(first.text); error) {
    return made({.kind = Kind::error, .error = *error});
  }
  if (const std::optional<std::uint64_t> number = number_of(first.text); number) {
    return made({.kind = Kind::value, .value = *number});
  }
  return wanted();
}

}  // namespace

std::optional<std::uint64_t> number_of(std::string_view text) noexcept {
  std::optional<std::uint64_t> value = take_term(text);
  while (value && !text.empty()) {
    const char sign = text.front();
    text.remove_prefix(1);
    const std::optional<std::uint64_t> term = take_term(text);
    if (!term || (sign != '+' && sign != '-') ||
        (sign == '+' ? __builtin_add_overflow(*value, *term, &*value)
                     : __builtin_sub_overflow(*value, *term, &*value))) {
      return std::nullopt;
    }
  }
  return value;
}

const Flag* Step::flag(char name) const noexcept {
  const auto found = std::ranges::find(flags, name, &Flag::name);
  return found == flags.end() ? nullptr : &*found;
}

Or<std::vector<Step>> steps_of(const Scenario& scenario, const SimulatedMachine& machine) {
  Expansion expansion(machine);
  if (auto done = expansion.run(*scenario.lines); !done) {
    return Error(std::move(done.error()));
  }
  return expansion.take();
}

std::string signal_text(int number, int code) {
  const auto* const found = std::ranges::find_if(
      kSignals, [&](const SignalName& name) { return name.number == number && name.code == code; });
  return found == std::end(kSignals) ? fmt::format("signal {} code {}", number, code)
                                     : fmt::format("{} {}", found->number_name, found->code_name);
}

std::string text_of(const Outcome& outcome) {
  switch (outcome.kind) {
    case Outcome::Kind::failed:
      return fmt::format("{} ({})", errno_name(outcome.error), errno_text(outcome.error));
    case Outcome::Kind::signalled:
      return signal_text(outcome.signal.number, outcome.signal.code);
    case Outcome::Kind::waits:
      return "waits";
    case Outcome::Kind::cannot:
      return outcome.recorded;
    case Outcome::Kind::answered:
      break;
  }
  if (!outcome.answer.empty()) {
    return outcome.answer;
  }
  if (outcome.bytes.empty()) {
    return fmt::format("{}", outcome.value);
  }
  constexpr std::size_t kShown = 16;
  return fmt::format(
      "{} byte{}:{}{}", outcome.bytes.size(), outcome.bytes.size() == 1 ? "" : "s",
      fmt::format(" {:02x}", fmt::join(std::span(outcome.bytes).first(std::min(kShown, outcome.bytes.size())), " ")),
      outcome.bytes.size() > kShown ? " ..." : "");
}

namespace {

bool value_is(std::uint64_t value, const Outcome& outcome) {
  if (outcome.kind != Outcome::Kind::answered) {
    return false;
  }
  if (outcome.bytes.empty()) {
    return static_cast<std::uint64_t>(outcome.value) == value;
  }
  return std::ranges::all_of(outcome.bytes,
                             [value](std::byte byte) { return std::to_integer<std::uint64_t>(byte) == value; });
}

bool in_order(const std::vector<EventType>& wanted, std::span<const Event> events) {
  std::size_t next = 0;
  for (const Event& event : events) {
    next += next < wanted.size() && event.type == wanted[next] ? 1 : 0;
  }
  return next == wanted.size();
}

bool is_word_of(std::string_view word, std::string_view text) {
  const std::string padded = fmt::format(" {} ", text);
  return padded.find(fmt::format(" {} ", word)) != std::string::npos;
}

}  // namespace

bool is_met(const Expectation& expectation, const Outcome& outcome, const Seen& seen) {
  using Kind = Expectation::Kind;
  const bool answered = outcome.kind == Outcome::Kind::answered;
  switch (expectation.kind) {
    case Kind::ok:
      return answered;
    case Kind::waits:
      return outcome.kind == Outcome::Kind::waits;
    case Kind::value:
      return value_is(expectation.value, outcome);
    case Kind::error:
      return outcome.kind == Outcome::Kind::failed && outcome.error == expectation.error;
    case Kind::signal:
      return outcome.kind == Outcome::Kind::signalled && outcome.signal.number == expectation.signal.number &&
             outcome.signal.code == expectation.signal.code;
    case Kind::bytes:
      return answered && std::ranges::equal(outcome.bytes, expectation.text, {}, {},
                                            [](char letter) { return static_cast<std::byte>(letter); });
    case Kind::answer:
      return answered && outcome.answer == expectation.text;
    case Kind::field:
      return answered && is_word_of(expectation.text, outcome.answer);
    case Kind::finding:
      return std::ranges::find(seen.findings, expectation.finding, &Finding::kind) != seen.findings.end();
    case Kind::no_finding:
      return seen.findings.empty();
    case Kind::events:
      return in_order(expectation.events, seen.events);
    case Kind::no_event:
      return std::ranges::find(seen.events, expectation.events.front(), &Event::type) == seen.events.end();
  }
  return false;
}

bool wants_success(const Step& step) noexcept {
  using Kind = Expectation::Kind;
  return std::ranges::none_of(step.expectations,
                              [](const Expectation& expectation) { return expectation.kind <= Kind::field; });
}

}  // namespace lab
DAXSIM_END
