#include "logprobs.h"

#include <cmath>
#include <limits>

#include "../llama/error.h"
#include "blocks.h"
#include "candidates.h"

namespace hoshikage {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// The logarithm of what all probabilities are divided by; from the largest, so that none overflows.
double LogSum(const float* logits, size_t count) {
  const float best = LargestOf(logits, count);
  double sum = 0.0;
  EachBlock(logits, count, [&](const float* block, size_t) {
    float weights[kBlock];
    Weights(block, best, 1.0f, weights);
    sum += SumOf(weights);
  });
  return best + std::log(sum);
}

}  // namespace

TokenLogprobs LogprobsOf(const float* logits, int32_t count, Token token, size_t best) {
  const double log_sum = LogSum(logits, static_cast<size_t>(count));
  if (!std::isfinite(log_sum)) throw Error("decode_failed", "no finite logit");
  const auto logprob = [log_sum](float logit) {
    return std::isnan(logit) ? kNever : static_cast<float>(logit - log_sum);
  };
  TokenLogprobs found;
  found.own = logprob(logits[token]);
  for (const Candidate& c : LargestLogits(logits, count, best)) {
    found.top.emplace_back(c.token, logprob(c.logit));
  }
  return found;
}

}  // namespace hoshikage
