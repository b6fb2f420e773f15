#include "penalties.h"

#include <algorithm>

namespace hoshikage {

Penalties::Penalties(const PenaltyOptions& options, const std::vector<Token>& prompt)
    : options_(options) {
  if (!options_.repeats()) return;
  const size_t last = options_.last_n < 0
                          ? prompt.size()
                          : std::min(prompt.size(), static_cast<size_t>(options_.last_n));
  for (size_t i = prompt.size() - last; i < prompt.size(); i++) Remember(prompt[i]);
}

void Penalties::Apply(Candidates* candidates) const {
  for (const auto& [token, unused] : window_counts_) {
    float* logit = candidates->Find(token);
    if (logit) *logit = *logit <= 0.0f ? *logit * options_.repeat : *logit / options_.repeat;
  }
  if (options_.counts()) {
    for (const auto& [token, times] : output_counts_) {
      float* logit = candidates->Find(token);
      if (!logit) continue;
      *logit -= options_.presence + options_.frequency * static_cast<float>(times);
    }
  }
  candidates->Changed();
}

void Penalties::Accept(Token token) {
  if (options_.counts()) output_counts_[token]++;
  if (options_.repeats()) Remember(token);
}

void Penalties::Remember(Token token) {
  window_.push_back(token);
  window_counts_[token]++;
  if (options_.last_n > 0 && window_.size() > static_cast<size_t>(options_.last_n)) {
    const Token oldest = window_.front();
    window_.pop_front();
    if (--window_counts_[oldest] == 0) window_counts_.erase(oldest);
  }
}

}  // namespace hoshikage
