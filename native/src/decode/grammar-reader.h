// Makes a GrammarProgram of numbers from outside: nothing in them is believed. Any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "grammar-program.h"

namespace hoshikage {

class ProgramReader {
 public:
  ProgramReader(GrammarProgram* program, const int32_t* numbers, size_t count)
      : program_(program), numbers_(numbers), count_(count) {}

  // Throws grammar_invalid.
  void Read();

 private:
  [[noreturn]] static void Refuse(const std::string& why);
  void Spend() const;
  int32_t At(size_t place) const;
  int32_t CodePoint(size_t place) const;
  size_t Count(size_t place) const;
  void ReadRule(size_t place);
  int32_t ReadAlternative(size_t place);
  // The place after the instruction.
  size_t ReadInstruction(size_t place);
  size_t ReadClass(size_t place, Instruction* instruction);
  size_t ReadTexts(size_t place, Instruction* instruction);
  int32_t RuleNumber(size_t place) const;
  void FindNullable();
  bool MayBeNothing(const Instruction& instruction) const;
  void RefuseLeftRecursion() const;
  std::vector<int32_t> BegunBy(int32_t rule) const;
  void FindBounds();

  GrammarProgram* program_;
  const int32_t* numbers_;
  size_t count_;
  size_t rule_count_ = 0;
  mutable size_t steps_ = 0;
  size_t text_length_ = 0;      // of all texts to look for
  std::vector<int32_t> read_;   // by place in the numbers: the instruction it became, or -1
  std::vector<bool> nullable_;  // by rule
};

}  // namespace hoshikage
