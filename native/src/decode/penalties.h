// Penalties for tokens that were there before: all of prompt and output once (repeat), those of the
// output once or each time (presence, frequency). One per completion, one thread at a time.
#pragma once

#include <cstdint>
#include <deque>
#include <unordered_map>
#include <vector>

#include "candidates.h"

namespace hoshikage {

struct PenaltyOptions {
  float repeat = 1.0f;  // 1 = off
  int32_t last_n = 0;   // tokens that `repeat` looks at; 0 = off, -1 = everything
  float presence = 0.0f;
  float frequency = 0.0f;

  bool repeats() const { return repeat != 1.0f && last_n != 0; }
  bool counts() const { return presence != 0.0f || frequency != 0.0f; }
  bool on() const { return repeats() || counts(); }
};

class Penalties {
 public:
  Penalties(const PenaltyOptions& options, const std::vector<Token>& prompt);

  void Apply(Candidates* candidates) const;
  void Accept(Token token);

 private:
  void Remember(Token token);

  PenaltyOptions options_;
  std::deque<Token> window_;                          // the last N of prompt and output
  std::unordered_map<Token, int32_t> window_counts_;  // each id once
  std::unordered_map<Token, int32_t> output_counts_;
};

}  // namespace hoshikage
