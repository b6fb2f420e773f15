#include "logprobs.h"

#include <cmath>
#include <limits>

#include "../llama/error.h"
#include "candidates.h"

namespace hoshikage {
namespace {

constexpr float kNever = -std::numeric_limits<float>::infinity();

// The logarithm of what all probabilities are divided by; from the largest, so that none overflows.
double LogSum(const float* logits, int32_t count) {
  float best = kNever;
  for (int32_t i = 0; i < count; i++) best = logits[i] > best ? logits[i] : best;
  double sum = 0.0;
  for (int32_t i = 0; i < count; i++) {
    if (logits[i] > kNever) sum += std::exp(static_cast<double>(logits[i] - best));
  }
  return best + std::log(sum);
}

}  // namespace

TokenLogprobs LogprobsOf(const float* logits, int32_t count, Token token, size_t best) {
  const double log_sum = LogSum(logits, count);
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
