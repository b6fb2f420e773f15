// A grammar of libllama (GBNF) applied to candidates; the one sampler taken from the library.
// Worker thread only. Holds its model.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "model.h"

namespace hoshikage {

class Grammar {
 public:
  // Throws grammar_invalid. The start symbol is `root`.
  Grammar(std::shared_ptr<const Model> model, const std::string& text);
  ~Grammar();
  Grammar(const Grammar&) = delete;
  Grammar& operator=(const Grammar&) = delete;

  // Sets the logits of forbidden candidates to -infinity.
  void Apply(std::vector<LlamaTokenData>* candidates);
  // Whether this one token may come next; far cheaper than Apply over the vocabulary.
  bool Allows(Token token);
  void Accept(Token token);

 private:
  std::shared_ptr<const Model> model_;
  llama_sampler* sampler_;
};

}  // namespace hoshikage
