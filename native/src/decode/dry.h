// DRY ("don't repeat yourself"): a token that would continue a sequence which the end of the text
// already repeats loses more the longer that sequence is. Our own, since the library's changed its
// arguments without changing its name. One per completion, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <string>
#include <unordered_map>
#include <vector>

#include "../llama/model.h"
#include "candidates.h"

namespace hoshikage {

struct DryOptions {
  float multiplier = 0.0f;     // 0 = off
  float base = 1.75f;          // below 1 = off
  int32_t allowed_length = 2;  // repeats shorter than this cost nothing
  int32_t last_n = -1;         // tokens of prompt and output that are searched; 0 = off, -1 = all
  std::vector<std::string> breakers;

  bool on() const { return multiplier != 0.0f && base >= 1.0f && last_n != 0; }
};

class Dry {
 public:
  Dry(std::shared_ptr<const Model> model, DryOptions options, const std::vector<Token>& prompt);

  // Takes what repeats from the logits. Linear in the length of what is searched.
  void Apply(Candidates* candidates);
  void Accept(Token token);

 private:
  size_t CountAfterBreaker(const std::vector<Token>& tokens) const;
  bool Breaks(std::string* tail, Token token) const;
  void FindRepeats(size_t limit);

  std::shared_ptr<const Model> model_;
  DryOptions options_;
  size_t longest_breaker_ = 0;
  std::vector<Token> history_;  // newest last; its end is what is searched
  size_t since_breaker_ = 0;    // tokens after the newest breaker
  std::string tail_;            // the text's last bytes: a breaker may have begun in them
  std::vector<size_t> lengths_;
  std::unordered_map<Token, size_t> longest_;  // by the token that would continue the repeat
};

}  // namespace hoshikage
