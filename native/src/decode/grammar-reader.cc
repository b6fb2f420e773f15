#include "grammar-reader.h"

#include <algorithm>

#include "../llama/error.h"

namespace hoshikage {
namespace {

// src/grammar/program.ts: PROGRAM_VERSION, MAX_PROGRAM_LENGTH, MAX_RULES.
constexpr int32_t kVersion = 1;
constexpr size_t kMostNumbers = 1 << 20;
constexpr size_t kMostRules = 1 << 16;
// Of all texts to look for, together: a matcher has tables of a node for each of their code points.
constexpr size_t kMostTextLength = 1 << 16;
constexpr int32_t kLastCodePoint = 0x10FFFF;
// Halves of characters in UTF-16: no text of bytes holds one.
constexpr int32_t kFirstSurrogate = 0xD800;
constexpr int32_t kLastSurrogate = 0xDFFF;
// Whoever reads each number once stays far below it; one who points many times at the same does
// not.
constexpr size_t kMostSteps = 8 * kMostNumbers;

bool IsSurrogate(int32_t code_point) {
  return code_point >= kFirstSurrogate && code_point <= kLastSurrogate;
}

}  // namespace

void ProgramReader::Refuse(const std::string& why) { throw Error("grammar_invalid", why); }

void ProgramReader::Spend() const {
  if (++steps_ > kMostSteps) Refuse("the grammar is too entangled");
}

void ProgramReader::Read() {
  if (count_ > kMostNumbers) Refuse("the grammar is too large");
  if (At(0) != kVersion) Refuse("a grammar of another version");
  rule_count_ = Count(1);
  if (rule_count_ == 0 || rule_count_ > kMostRules) Refuse("no rule, or too many");
  read_.assign(count_, -1);
  for (size_t rule = 0; rule < rule_count_; rule++) {
    ReadRule(static_cast<size_t>(At(2 + rule)));
  }
  FindNullable();
  RefuseLeftRecursion();
  FindBounds();
}

int32_t ProgramReader::At(size_t place) const {
  Spend();
  if (place >= count_) Refuse("the grammar points beyond its end");
  return numbers_[place];
}

int32_t ProgramReader::CodePoint(size_t place) const {
  const int32_t code_point = At(place);
  if (code_point < 0 || code_point > kLastCodePoint) Refuse("not a code point");
  return code_point;
}

// How many things follow; each takes a number at least.
size_t ProgramReader::Count(size_t place) const {
  const int32_t count = At(place);
  if (count < 0 || static_cast<size_t>(count) > count_ - place) Refuse("a count is out of range");
  return static_cast<size_t>(count);
}

int32_t ProgramReader::RuleNumber(size_t place) const {
  const int32_t rule = At(place);
  if (rule < 0 || static_cast<size_t>(rule) >= rule_count_) Refuse("no such rule");
  return rule;
}

void ProgramReader::ReadRule(size_t place) {
  const size_t count = Count(place);
  std::vector<int32_t>& alternatives = program_->alternatives_;
  // Many rules at one place would make much of little.
  if (alternatives.size() + count > kMostNumbers) Refuse("too many alternatives");
  const auto first = static_cast<int32_t>(alternatives.size());
  for (size_t i = 0; i < count; i++) {
    alternatives.push_back(ReadAlternative(static_cast<size_t>(At(place + 1 + i))));
  }
  program_->rules_.emplace_back(first, static_cast<int32_t>(alternatives.size()));
}

int32_t ProgramReader::ReadAlternative(size_t place) {
  At(place);
  if (read_[place] >= 0) return read_[place];
  std::vector<Instruction>& code = program_->code_;
  const auto first = static_cast<int32_t>(code.size());
  read_[place] = first;
  for (;;) {
    // Alternatives that begin within one another are read anew each time.
    if (code.size() >= kMostNumbers) Refuse("the grammar is too large");
    const bool last = At(place) == static_cast<int32_t>(Op::kEnd);
    place = ReadInstruction(place);
    if (last) return first;
  }
}

size_t ProgramReader::ReadInstruction(size_t place) {
  Instruction instruction;
  instruction.op = static_cast<Op>(At(place));
  size_t next = place + 1;
  switch (instruction.op) {
    case Op::kEnd: break;
    case Op::kChar:
      instruction.a = CodePoint(place + 1);
      if (IsSurrogate(instruction.a)) {
        instruction = {Op::kClass, 0, 0, 0};  // of nothing
      }
      next = place + 2;
      break;
    case Op::kClass: next = ReadClass(place + 1, &instruction); break;
    case Op::kRule:
      instruction.a = RuleNumber(place + 1);
      next = place + 2;
      break;
    case Op::kRepeat:
      instruction.a = RuleNumber(place + 1);
      instruction.b = At(place + 2);
      instruction.c = At(place + 3);
      if (instruction.b < 0 || instruction.c < -1) Refuse("a repeat is out of range");
      if (instruction.c >= 0 && instruction.c < instruction.b) Refuse("a repeat without a range");
      next = place + 4;
      break;
    case Op::kUntil:
    case Op::kFree: next = ReadTexts(place + 1, &instruction); break;
    default: Refuse("no such instruction");
  }
  program_->code_.push_back(instruction);
  return next;
}

size_t ProgramReader::ReadClass(size_t place, Instruction* instruction) {
  const size_t count = Count(place);
  std::vector<std::pair<int32_t, int32_t>> ranges;
  for (size_t i = 0; i < count; i++) {
    const int32_t first = CodePoint(place + 1 + 2 * i);
    const int32_t last = CodePoint(place + 2 + 2 * i);
    if (first > last) Refuse("a range of code points is empty");
    if (first < kFirstSurrogate) ranges.emplace_back(first, std::min(last, kFirstSurrogate - 1));
    if (last > kLastSurrogate) ranges.emplace_back(std::max(first, kLastSurrogate + 1), last);
  }
  std::sort(ranges.begin(), ranges.end());
  std::vector<std::pair<int32_t, int32_t>>& all = program_->ranges_;
  if (all.size() + ranges.size() > kMostNumbers) Refuse("the grammar is too large");
  const size_t begin = all.size();
  for (const auto& [first, last] : ranges) {
    if (all.size() > begin && first <= all.back().second + 1) {
      all.back().second = std::max(all.back().second, last);
    } else {
      all.emplace_back(first, last);
    }
  }
  instruction->a = static_cast<int32_t>(begin);
  instruction->b = static_cast<int32_t>(all.size() - begin);
  return place + 1 + 2 * count;
}

size_t ProgramReader::ReadTexts(size_t place, Instruction* instruction) {
  const size_t count = Count(place);
  if (count == 0 && instruction->op == Op::kUntil) Refuse("nothing to look for");
  std::vector<std::vector<int32_t>> texts;
  size_t next = place + 1;
  for (size_t i = 0; i < count; i++) {
    const size_t length = Count(next);
    if (length == 0) Refuse("a text to look for is empty");
    text_length_ += length;
    if (text_length_ > kMostTextLength) Refuse("the texts to look for are too long");
    std::vector<int32_t> text;
    for (size_t k = 0; k < length; k++) {
      text.push_back(CodePoint(next + 1 + k));
      // It would never be found, however long the output grows.
      if (IsSurrogate(text.back())) Refuse("a text to look for has half of a surrogate pair");
    }
    texts.push_back(std::move(text));
    next += 1 + length;
  }
  instruction->a = static_cast<int32_t>(program_->matchers_.size());
  program_->matchers_.emplace_back(texts);
  return next;
}

bool ProgramReader::MayBeNothing(const Instruction& instruction) const {
  switch (instruction.op) {
    case Op::kFree: return true;
    case Op::kRule: return nullable_[static_cast<size_t>(instruction.a)];
    case Op::kRepeat: return instruction.b == 0 || nullable_[static_cast<size_t>(instruction.a)];
    default: return false;
  }
}

// Each alternative waits for the first of its parts that is not known to be nullable: linear. Where
// a part that is repeated may be nothing, it may be repeated any number of times for nothing.
void ProgramReader::FindNullable() {
  struct Waiting {
    int32_t rule;
    int32_t place;
  };
  nullable_.assign(rule_count_, false);
  std::vector<std::vector<Waiting>> waiting(rule_count_);
  std::vector<Waiting> ready;
  for (size_t rule = 0; rule < rule_count_; rule++) {
    for (const int32_t place : program_->Alternatives(static_cast<int32_t>(rule))) {
      ready.push_back({static_cast<int32_t>(rule), place});
    }
  }
  while (!ready.empty()) {
    auto [rule, place] = ready.back();
    ready.pop_back();
    for (; MayBeNothing(program_->at(place)); place++) Spend();
    const Instruction& stop = program_->at(place);
    const auto at = static_cast<size_t>(rule);
    if (stop.op == Op::kEnd) {
      if (nullable_[at]) continue;
      nullable_[at] = true;
      ready.insert(ready.end(), waiting[at].begin(), waiting[at].end());
      waiting[at].clear();
    } else if (stop.op == Op::kRule || stop.op == Op::kRepeat) {
      waiting[static_cast<size_t>(stop.a)].push_back({rule, place});
    }
  }
  for (Instruction& instruction : program_->code_) {
    if (instruction.op == Op::kRepeat && nullable_[static_cast<size_t>(instruction.a)]) {
      instruction.b = 0;
    }
  }
}

// The rules that a rule may call before it has taken anything.
std::vector<int32_t> ProgramReader::BegunBy(int32_t rule) const {
  std::vector<int32_t> begun;
  for (int32_t place : program_->Alternatives(rule)) {
    for (;; place++) {
      Spend();
      const Instruction& instruction = program_->at(place);
      const bool calls =
          instruction.op == Op::kRule || (instruction.op == Op::kRepeat && instruction.c != 0);
      if (calls) begun.push_back(instruction.a);
      if (instruction.op == Op::kEnd || !MayBeNothing(instruction)) break;
    }
  }
  return begun;
}

// A rule that begins with itself would be called for ever.
void ProgramReader::RefuseLeftRecursion() const {
  enum : uint8_t { kNew, kOpen, kDone };
  struct Visit {
    int32_t rule;
    std::vector<int32_t> begun;
    size_t next = 0;
  };
  std::vector<uint8_t> state(rule_count_, kNew);
  for (size_t root = 0; root < rule_count_; root++) {
    if (state[root] != kNew) continue;
    std::vector<Visit> path;
    state[root] = kOpen;
    path.push_back({static_cast<int32_t>(root), BegunBy(static_cast<int32_t>(root))});
    while (!path.empty()) {
      Visit& visit = path.back();
      if (visit.next == visit.begun.size()) {
        state[static_cast<size_t>(visit.rule)] = kDone;
        path.pop_back();
        continue;
      }
      const int32_t rule = visit.begun[visit.next++];
      uint8_t& known = state[static_cast<size_t>(rule)];
      if (known == kOpen) Refuse("a rule begins with itself");
      if (known == kDone) continue;
      known = kOpen;
      path.push_back({rule, BegunBy(rule)});
    }
  }
}

void ProgramReader::FindBounds() {
  std::vector<int32_t>& bounds = program_->bounds_;
  const auto add = [&](int32_t first, int32_t last) {
    bounds.push_back(first);
    bounds.push_back(last + 1);
  };
  for (const Instruction& instruction : program_->code_) {
    if (instruction.op == Op::kChar) add(instruction.a, instruction.a);
  }
  for (const auto& [first, last] : program_->ranges_) add(first, last);
  for (const TextMatcher& matcher : program_->matchers_) {
    for (const int32_t code_point : matcher.alphabet()) add(code_point, code_point);
  }
  std::sort(bounds.begin(), bounds.end());
  bounds.erase(std::unique(bounds.begin(), bounds.end()), bounds.end());
}

}  // namespace hoshikage
