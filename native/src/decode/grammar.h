// What a grammar allows of a vocabulary: whether a token may come next, and which of all. A control
// token may come only where the grammar writes its text out or lets any text pass; one that ends
// the generation only where the text may end. One per completion, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "../llama/model.h"
#include "grammar-automaton.h"

namespace hoshikage {

class Grammar {
 public:
  // Every call may throw grammar_invalid: too ambiguous, or nested too deep.
  Grammar(std::shared_ptr<const Model> model, std::shared_ptr<const GrammarProgram> program);

  // Before anything is asked about the next token.
  void Begin();
  bool Allows(Token token);
  // Sets the logits of forbidden tokens to -infinity; false where none is left.
  bool Mask(float* logits);
  // A token that is allowed; throws grammar_invalid for any other.
  void Accept(Token token);
  // Whether the text is whole and nothing may follow.
  bool complete() const { return automaton_.Complete(automaton_.current()); }

 private:
  using Node = GrammarAutomaton::Node;
  struct AllowedSet {
    Node node;
    uint64_t used;
    std::vector<uint64_t> bits;  // by token
  };
  // Where a token leads; dead where it is forbidden.
  Node After(Token token);
  const std::vector<uint64_t>& AllowedNow();
  void Collect(Node current, std::vector<uint64_t>* bits);

  std::shared_ptr<const Model> model_;
  GrammarAutomaton automaton_;
  std::vector<AllowedSet> sets_;  // the last few that were needed
  uint64_t clock_ = 0;
  std::string piece_;
};

}  // namespace hoshikage
