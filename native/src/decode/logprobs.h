// How likely a token is by the model's own logits, before anything has changed them. Pure; any
// thread.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

#include "../llama/types.h"

namespace hoshikage {

// Natural logarithms.
struct TokenLogprobs {
  float own = 0.0f;
  std::vector<std::pair<Token, float>> top;  // the likeliest tokens, best first
};

// Of `token`, which must be one of the `count`, and of the `best` likeliest ones, fewer where there
// are not as many. Throws decode_failed: no finite logit.
TokenLogprobs LogprobsOf(const float* logits, int32_t count, Token token, size_t best);

}  // namespace hoshikage
