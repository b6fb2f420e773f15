#include "grammar-program.h"

#include <algorithm>

#include "grammar-reader.h"

namespace hoshikage {

GrammarProgram::GrammarProgram(const int32_t* numbers, size_t count) {
  ProgramReader(this, numbers, count).Read();
}

GrammarProgram::Places GrammarProgram::Alternatives(int32_t rule) const {
  const auto& [first, end] = rules_[static_cast<size_t>(rule)];
  return {alternatives_.data() + first, alternatives_.data() + end};
}

bool GrammarProgram::InClass(const Instruction& instruction, int32_t first, int32_t last) const {
  const auto begin = ranges_.begin() + instruction.a;
  const auto end = begin + instruction.b;
  // The first range that does not end before the wanted ones begin.
  const auto found = std::partition_point(
      begin, end, [first](const Range& range) { return range.second < first; });
  return found != end && found->first <= last;
}

int32_t GrammarProgram::KindOf(int32_t code_point) const {
  return static_cast<int32_t>(std::upper_bound(bounds_.begin(), bounds_.end(), code_point) -
                              bounds_.begin());
}

}  // namespace hoshikage
