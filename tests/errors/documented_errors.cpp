// SPDX-License-Identifier: BSD-3-Clause
#include "errors/documented_errors.hpp"

#include <algorithm>
#include <array>
#include <cctype>
#include <fstream>
#include <iterator>
#include <optional>
#include <regex>
#include <stdexcept>
#include <utility>

namespace daxsim::test {
namespace {

// Names in comments that stand for what a template is given.
constexpr std::array<std::pair<std::string_view, std::string_view>, 1> kStandIns{{{"Fs", "LinearFs"}}};

// In a reference: the name of the call that refers.
constexpr std::string_view kNamesake = "=";

std::string trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\n");
  if (first == std::string_view::npos) {
    return {};
  }
  return std::string(text.substr(first, text.find_last_not_of(" \t\n") - first + 1));
}

bool is_word(char c) { return std::isalnum(static_cast<unsigned char>(c)) != 0 || c == '_'; }

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts{""};
  for (const char c : text) {
    if (c == at) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

// Up to the full stop, without what is in parentheses.
std::string sentence(std::string_view text) {
  std::string plain;
  unsigned depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const char c = text[at];
    if (c == '(') {
      ++depth;
    } else if (c == ')' && depth != 0) {
      --depth;
    } else if (depth == 0) {
      if (c == '.' && (at + 1 == text.size() || text[at + 1] == ' ')) {
        break;
      }
      plain += c;
    }
  }
  return plain;
}

struct Comment {
  std::string text;
  unsigned first_line = 0;
  unsigned last_line = 0;
  friend bool operator==(const Comment&, const Comment&) = default;
};

// What a list names; what is in no known form goes to `strange`.
ErrorStatement parse_list(const std::string& list, std::vector<std::string>& strange) {
  static const std::regex errnos("Errno::[a-z0-9_]+(?: (?:or|and) Errno::[a-z0-9_]+)*");
  static const std::regex errno_name_("Errno::([a-z0-9_]+)");
  static const std::regex references(
      "(?:those of|of|as) [A-Za-z_][A-Za-z_:]*(?: (?:and|or)(?: of)? [A-Za-z_][A-Za-z_:]*)*");
  static const std::regex reference_word("[A-Za-z_][A-Za-z_:]*");
  static const std::regex namesakes("those of the ([A-Za-z_][A-Za-z_:]*) call of the same name");
  static const std::set<std::string> connectives{"those", "of", "as", "and", "or"};

  ErrorStatement found;
  bool first = true;
  for (const std::string& clause : split(list, ';')) {
    // "...; after an error nothing was changed" is prose.
    const bool prose =
        !first && clause.find("Errno::") == std::string::npos && clause.find("those of") == std::string::npos;
    first = false;
    if (prose) {
      continue;
    }
    for (const std::string& item : split(clause, ',')) {
      std::string words = trimmed(std::regex_replace(item, std::regex("\\s+"), " "));
      if (words.starts_with("and ") || words.starts_with("or ")) {
        words = words.substr(words.find(' ') + 1);
      }
      if (std::smatch match; std::regex_match(words, match, namesakes)) {
        found.references.push_back(match[1].str() + "::" + std::string(kNamesake));
      } else if (std::regex_match(words, errnos)) {
        for (std::sregex_iterator at(words.begin(), words.end(), errno_name_); at != std::sregex_iterator(); ++at) {
          found.errnos.insert((*at)[1]);
        }
      } else if (std::regex_match(words, references)) {
        for (std::sregex_iterator at(words.begin(), words.end(), reference_word); at != std::sregex_iterator(); ++at) {
          if (!connectives.contains(at->str())) {
            found.references.push_back(at->str());
          }
        }
      } else if (words == "any" || words.starts_with("any ")) {
        found.any = true;
      } else if (words != "none" && !words.starts_with("none ")) {
        strange.push_back(words);
      }
    }
  }
  return found;
}

void merge(ErrorStatement& into, const ErrorStatement& from) {
  into.errnos.insert(from.errnos.begin(), from.errnos.end());
  into.references.insert(into.references.end(), from.references.begin(), from.references.end());
  into.any = into.any || from.any;
}

// All lists in the comment that follow `lead` ("Errors:"); nothing when there is none.
std::optional<ErrorStatement> statement_in(const std::string& comment, std::string_view lead,
                                           std::vector<std::string>& strange) {
  std::optional<ErrorStatement> found;
  for (auto at = comment.find(lead); at != std::string::npos; at = comment.find(lead, at + 1)) {
    if (!found) {
      found.emplace();
    }
    merge(*found, parse_list(sentence(std::string_view(comment).substr(at + lead.size())), strange));
  }
  return found;
}

// What a declaration answers with, and its name, when that is a Result.
std::optional<std::string> result_call(std::string text) {
  static const std::regex prefix(
      "^\\s*(?:\\[\\[[^\\]]*\\]\\]|\\b(?:virtual|static|inline|constexpr|explicit|extern|friend)\\b)\\s*");
  for (text = trimmed(text); text.starts_with("template");) {
    std::size_t end = text.find('<');
    for (unsigned depth = 0; end < text.size(); ++end) {
      depth += text[end] == '<' ? 1U : 0U;
      if (text[end] == '>' && --depth == 0) {
        break;
      }
    }
    if (end >= text.size()) {
      return {};
    }
    text = trimmed(text.substr(end + 1));
  }
  for (std::smatch match; std::regex_search(text, match, prefix);) {
    text = match.suffix();
  }
  if (!text.starts_with("Result<")) {
    return {};
  }
  std::size_t end = text.find('<');
  for (unsigned depth = 0; end < text.size(); ++end) {
    depth += text[end] == '<' ? 1U : 0U;
    if (text[end] == '>' && --depth == 0) {
      break;
    }
  }
  static const std::regex named("^\\s*([A-Za-z_]\\w*)\\s*\\(");
  std::smatch match;
  const std::string rest = text.substr(std::min(end + 1, text.size()));
  return std::regex_search(rest, match, named) ? std::optional<std::string>(match[1]) : std::nullopt;
}

}  // namespace

// Reads one header: enough of the language to know scopes, access and where a declaration ends.
class HeaderReader {
 public:
  HeaderReader(DocumentedErrors& into, std::string_view file, std::string_view text)
      : into_(into), file_(file), text_(text) {}

  void run() {
    scopes_.push_back({});
    while (at_ < text_.size()) {
      step();
    }
    if (scopes_.size() != 1 || braces_ != 0) {
      problem(line_, "the end of the file is inside a scope: this reader does not understand the header");
    }
  }

 private:
  struct Scope {
    std::string name;  // empty: adds nothing to names
    bool visible = true;
    bool is_public = true;
    std::optional<ErrorStatement> of_all;   // from the class's own comment
    std::optional<ErrorStatement> section;  // from a comment inside, up to the next one
  };

  void problem(unsigned line, const std::string& what) {
    into_.problems_.push_back(file_ + ":" + std::to_string(line) + ": " + what);
  }

  [[nodiscard]] char peek(std::size_t ahead = 0) const {
    return at_ + ahead < text_.size() ? text_[at_ + ahead] : '\0';
  }
  char take() {
    const char c = text_[at_++];
    if (c == '\n') {
      ++line_;
      line_has_code_ = false;
    }
    return c;
  }
  std::string take_line() {
    std::string line;
    while (at_ < text_.size() && peek() != '\n') {
      line += take();
    }
    return line;
  }

  void step() {
    if (peek() == '/' && peek(1) == '/') {
      comment();
    } else if (peek() == '#' && !line_has_code_) {
      while (take_line().ends_with('\\') && at_ < text_.size()) {
        take();
      }
    } else if (peek() == '"' || (peek() == '\'' && (at_ == 0 || !is_word(text_[at_ - 1])))) {
      literal();
    } else {
      code(take());
    }
  }

  void comment() {
    const unsigned line = line_;
    const bool trailing = line_has_code_;
    const std::string words = trimmed(take_line().substr(2));
    if (trailing || braces_ != 0 || parentheses_ != 0) {
      return;
    }
    if (line != comment_.last_line + 1 || comment_.text.empty()) {
      if (!comment_.text.empty() && !comment_used_) {
        begin_section(comment_);
      }
      comment_ = {.text = "", .first_line = line, .last_line = line};
      comment_used_ = false;
    }
    comment_.text += (comment_.text.empty() ? "" : " ") + words;
    comment_.last_line = line;
  }

  void literal() {
    const char quote = peek();
    code(take());
    while (at_ < text_.size() && peek() != quote) {
      if (peek() == '\\') {
        take();
      }
      take();
    }
    take();
  }

  void code(char c) {
    if (std::isspace(static_cast<unsigned char>(c)) != 0) {
      if (!statement_.empty()) {
        statement_ += ' ';
      }
      return;
    }
    line_has_code_ = true;
    if (braces_ != 0) {
      body(c);
      return;
    }
    if (statement_.empty()) {
      begin_statement();
    }
    if (c == '(' || c == '[') {
      ++parentheses_;
    } else if (c == ')' || c == ']') {
      --parentheses_;
    } else if (parentheses_ == 0) {
      if (c == ';') {
        end_declaration();
        return;
      }
      if (c == '{') {
        open_brace();
        return;
      }
      if (c == '}') {
        close_scope();
        return;
      }
      if (c == ':' && peek() != ':' && access_specifier(statement_)) {
        statement_.clear();
        return;
      }
    }
    statement_ += c;
    if (statement_ == "DAXSIM_BEGIN" || statement_ == "DAXSIM_END") {
      statement_.clear();
    }
  }

  // Inside a function body, an initialiser or an enumeration.
  void body(char c) {
    if (c == '{') {
      ++braces_;
    } else if (c == '}' && --braces_ == 0 && body_ends_declaration_) {
      end_declaration();
    }
  }

  void begin_statement() {
    statement_line_ = line_;
    statement_comment_.reset();
    if (!comment_.text.empty() && !comment_used_) {
      comment_used_ = true;
      if (comment_.last_line + 1 == line_) {
        statement_comment_ = comment_;
      } else {
        begin_section(comment_);
      }
    }
    if (!statement_comment_ && previous_comment_ && line_ <= previous_end_ + 1) {
      statement_comment_ = previous_comment_;
    }
  }

  bool access_specifier(const std::string& words) {
    const std::string word = trimmed(words);
    if (word != "public" && word != "private" && word != "protected") {
      return false;
    }
    scopes_.back().is_public = word == "public";
    previous_comment_.reset();
    return true;
  }

  void open_brace() {
    static const std::regex requirement("\\brequires\\s*(?:\\([^()]*\\))?\\s*$");
    static const std::regex is_namespace("^(?:inline )?namespace\\b\\s*([A-Za-z_]\\w*)?");
    static const std::regex is_class("^(?:class|struct|union)\\b");
    static const std::regex is_enum("^enum\\b");
    std::smatch match;
    if (std::regex_search(statement_, match, requirement)) {
      statement_ = statement_.substr(0, statement_.find("requires"));
      skip_body(false);
      return;
    }
    const std::string head = without_template(trimmed(statement_));
    if (std::regex_search(head, match, is_namespace)) {
      Scope scope{.name = match[1], .visible = scopes_.back().visible, .of_all = {}, .section = {}};
      push(std::move(scope));
    } else if (std::regex_search(head, is_class)) {
      Scope scope{.name = class_name(head),
                  .visible = scopes_.back().visible && scopes_.back().is_public,
                  .is_public = !head.starts_with("class"),
                  .of_all = {},
                  .section = {}};
      if (statement_comment_) {
        scope.of_all = of_all(*statement_comment_);
      }
      push(std::move(scope));
    } else {
      skip_body(!std::regex_search(head, is_enum) && head.find('(') != std::string::npos);
    }
  }

  void push(Scope scope) {
    scopes_.push_back(std::move(scope));
    statement_.clear();
    previous_comment_.reset();
  }

  void skip_body(bool ends_declaration) {
    braces_ = 1;
    body_ends_declaration_ = ends_declaration;
  }

  void close_scope() {
    statement_.clear();
    previous_comment_.reset();
    if (scopes_.size() == 1) {
      problem(line_, "a brace too many: this reader does not understand the header");
      return;
    }
    scopes_.pop_back();
  }

  static std::string without_template(std::string head) {
    static const std::regex parameters("^template\\s*<[^{]*>\\s*(?=class|struct|union)");
    return std::regex_replace(head, parameters, "");
  }

  static std::string class_name(std::string head) {
    static const std::regex macros("DAXSIM_[A-Z_]+(?:\\([^()]*\\))?|\\[\\[[^\\]]*\\]\\]|\\bfinal\\b");
    static const std::regex named("^(?:class|struct|union)\\s+([A-Za-z_]\\w*)");
    head = std::regex_replace(head, macros, "");
    std::smatch match;
    return std::regex_search(head, match, named) ? std::string(match[1]) : std::string();
  }

  std::optional<ErrorStatement> of_all(const Comment& comment) {
    std::vector<std::string> strange;
    const std::optional<ErrorStatement> found = statement_in(comment.text, "Errors of all:", strange);
    for (const std::string& words : strange) {
      problem(comment.first_line, "not the form of docs/errors.md: \"" + words + "\"");
    }
    return found;
  }

  void begin_section(const Comment& comment) {
    if (std::optional<ErrorStatement> found = of_all(comment)) {
      scopes_.back().section = std::move(found);
    }
  }

  void end_declaration() {
    const Scope& scope = scopes_.back();
    const std::optional<std::string> name = result_call(statement_);
    if (name && scope.visible && scope.is_public) {
      declare(*name);
    } else if (statement_comment_ && statement_comment_ != previous_comment_) {
      begin_section(*statement_comment_);
    }
    previous_comment_ = statement_comment_;
    previous_end_ = line_;
    statement_.clear();
  }

  void declare(const std::string& name) {
    if (statement_comment_ && statement_comment_ != previous_comment_) {
      begin_section(*statement_comment_);
    }
    std::optional<ErrorStatement> stated;
    const auto also = [&](const std::optional<ErrorStatement>& statement) {
      if (statement) {
        if (!stated) {
          stated.emplace();
        }
        merge(*stated, *statement);
      }
    };
    if (statement_comment_) {
      std::vector<std::string> strange;
      also(statement_in(statement_comment_->text, "Errors:", strange));
      for (const std::string& words : strange) {
        problem(statement_comment_->first_line, "not the form of docs/errors.md: \"" + words + "\"");
      }
    }
    std::string qualified;
    for (const Scope& scope : scopes_) {
      also(scope.of_all);
      if (!scope.name.empty() && scope.name != "daxsim" && scope.name != "v0") {
        qualified += scope.name + "::";
      }
    }
    also(scopes_.back().section);
    qualified += name;
    if (!stated) {
      problem(statement_line_, qualified + " answers a Result, and no comment says \"Errors:\"");
      stated.emplace();
    }
    for (std::string& reference : stated->references) {
      if (reference.ends_with(kNamesake)) {
        reference.replace(reference.size() - kNamesake.size(), kNamesake.size(), name);
      }
    }
    into_.add(qualified, file_ + ":" + std::to_string(statement_line_), *stated);
  }

  DocumentedErrors& into_;
  const std::string file_;
  const std::string_view text_;
  std::size_t at_ = 0;
  unsigned line_ = 1;
  bool line_has_code_ = false;

  std::vector<Scope> scopes_;
  std::string statement_;
  unsigned statement_line_ = 0;
  std::optional<Comment> statement_comment_;
  int parentheses_ = 0;
  unsigned braces_ = 0;  // open ones of a body that is skipped
  bool body_ends_declaration_ = false;

  Comment comment_;
  bool comment_used_ = false;
  std::optional<Comment> previous_comment_;  // of the declaration before, for those that follow without a gap
  unsigned previous_end_ = 0;
};

DocumentedErrors DocumentedErrors::of_headers(const std::filesystem::path& include_folder) {
  std::vector<std::filesystem::path> headers;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(include_folder)) {
    if (entry.path().extension() == ".hpp") {
      headers.push_back(entry.path());
    }
  }
  std::ranges::sort(headers);
  DocumentedErrors documented;
  for (const std::filesystem::path& header : headers) {
    std::ifstream stream(header);
    const std::string text{std::istreambuf_iterator<char>(stream), {}};
    if (!stream || text.empty()) {
      throw std::runtime_error("cannot read " + header.string());
    }
    documented.read(header.lexically_relative(include_folder).string(), text);
  }
  documented.resolve();
  return documented;
}

void DocumentedErrors::read(std::string_view file, std::string_view text) { HeaderReader(*this, file, text).run(); }

void DocumentedErrors::add(const std::string& call, const std::string& place, const ErrorStatement& statement) {
  const auto [at, is_new] = written_.try_emplace(call, Written{place, {}});
  merge(at->second.statement, statement);
}

// A reference is looked up as a name would be: in the class, then in the namespace, then everywhere.
std::string DocumentedErrors::find(const std::string& from, const std::string& reference) const {
  std::string name = reference;
  for (const auto& [alias, real] : kStandIns) {
    if (name.starts_with(std::string(alias) + "::")) {
      name = std::string(real) + name.substr(alias.size());
    }
  }
  for (std::string scope = from;;) {
    const auto colon = scope.rfind("::");
    scope = colon == std::string::npos ? "" : scope.substr(0, colon);
    const std::string candidate = scope.empty() ? name : scope + "::" + name;
    if (written_.contains(candidate)) {
      return candidate;
    }
    if (scope.empty()) {
      return {};
    }
  }
}

const DocumentedErrors::Call& DocumentedErrors::resolve(const std::string& call, std::set<std::string>& open) {
  if (const auto done = calls_.find(call); done != calls_.end()) {
    return done->second;
  }
  const Written& written = written_.at(call);
  Call resolved{.place = written.place, .errnos = {}, .any = written.statement.any};
  open.insert(call);
  for (const std::string& name : written.statement.errnos) {
    if (const Errno error = errno_of(name); error != Errno{}) {
      resolved.errnos.insert(error);
    } else {
      problems_.push_back(written.place + ": " + call + ": there is no Errno::" + name);
    }
  }
  for (const std::string& reference : written.statement.references) {
    const std::string target = find(call, reference);
    if (target.empty()) {
      problems_.push_back(written.place + ": " + call + " has the errors of " + reference +
                          ", which is no documented call");
    } else if (target == call) {
      continue;  // the other overload, which has the same name here
    } else if (open.contains(target)) {
      problems_.push_back(written.place + ": " + call + " has the errors of " + reference + ", which has those of it");
    } else {
      const Call& other = resolve(target, open);
      resolved.errnos.insert(other.errnos.begin(), other.errnos.end());
      resolved.any = resolved.any || other.any;
    }
  }
  open.erase(call);
  return calls_.emplace(call, std::move(resolved)).first->second;
}

void DocumentedErrors::resolve() {
  for (const auto& [call, written] : written_) {
    std::set<std::string> open;
    resolve(call, open);
  }
}

bool DocumentedErrors::allows(const std::string& call, Errno error) const {
  const auto found = calls_.find(call);
  return found != calls_.end() && (found->second.any || found->second.errnos.contains(error));
}

Errno errno_of(std::string_view name) {
  std::string upper;
  for (const char c : name) {
    upper += static_cast<char>(std::toupper(static_cast<unsigned char>(c)));
  }
  // Errno has no list of itself, but every value of it is a small errno of the host.
  for (int value = 1; value < 256; ++value) {
    if (errno_name(static_cast<Errno>(value)) == upper) {
      return static_cast<Errno>(value);
    }
  }
  return Errno{};
}

}  // namespace daxsim::test
