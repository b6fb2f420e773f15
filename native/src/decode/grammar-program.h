// A grammar as the automaton runs it: made of the numbers of src/grammar/program.ts, every one of
// them checked. Immutable once made, any thread; it knows nothing of tokens.
#pragma once

#include <cstddef>
#include <cstdint>
#include <utility>
#include <vector>

#include "text-matcher.h"

namespace hoshikage {

enum class Op : int32_t { kEnd, kChar, kClass, kRule, kRepeat, kUntil, kFree };

// What the numbers mean by the operation: kChar: the code point. kClass: first of its ranges and
// their number. kRule: the rule. kRepeat: rule, least and most, -1 = without end. kUntil and kFree:
// the matcher.
struct Instruction {
  Op op = Op::kEnd;
  int32_t a = 0;
  int32_t b = 0;
  int32_t c = 0;
};

class GrammarProgram {
 public:
  // Throws grammar_invalid. In one pass; linear in the length.
  GrammarProgram(const int32_t* numbers, size_t count);

  const Instruction& at(int32_t place) const { return code_[static_cast<size_t>(place)]; }
  // Places of the rule's alternatives; rule 0 is where the grammar begins.
  struct Places {
    const int32_t* first;
    const int32_t* last;
    const int32_t* begin() const { return first; }
    const int32_t* end() const { return last; }
  };
  Places Alternatives(int32_t rule) const;
  const TextMatcher& matcher(int32_t index) const { return matchers_[static_cast<size_t>(index)]; }
  // Whether a class has one of [first, last].
  bool InClass(const Instruction& instruction, int32_t first, int32_t last) const;
  // Code points of one kind are alike everywhere in this grammar.
  int32_t KindOf(int32_t code_point) const;

 private:
  friend class ProgramReader;
  using Range = std::pair<int32_t, int32_t>;

  std::vector<Instruction> code_;
  std::vector<int32_t> alternatives_;               // places, rule after rule
  std::vector<std::pair<int32_t, int32_t>> rules_;  // first and end in `alternatives_`
  std::vector<Range> ranges_;  // of each class ascending, apart from each other
  std::vector<TextMatcher> matchers_;
  std::vector<int32_t> bounds_;  // where a new kind of code points begins, ascending
};

}  // namespace hoshikage
