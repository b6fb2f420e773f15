#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../llama/error.h"

namespace hoshikage {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

// The largest logit, ignoring NaN.
float Best(const float* logits, int32_t count) {
  float best = kForbidden;
  for (int32_t i = 0; i < count; i++) best = logits[i] > best ? logits[i] : best;
  return best;
}

Token ArgMax(const float* logits, int32_t count) {
  Token token = 0;
  float best = kForbidden;
  for (int32_t i = 0; i < count; i++) {
    if (logits[i] > best) best = logits[i], token = i;
  }
  return token;
}

}  // namespace

Sampler::Sampler(std::shared_ptr<const Model> model, SamplingOptions options,
                 const std::vector<Token>& prompt)
    : model_(std::move(model)), options_(std::move(options)), random_(options_.seed) {
  if (options_.grammar) grammar_ = std::make_unique<Grammar>(model_, *options_.grammar);
  if (options_.dry.on()) dry_ = std::make_unique<Dry>(model_, options_.dry, prompt);
  if (options_.repeat_penalty != 1.0f && options_.repeat_last_n != 0) {
    const size_t last = options_.repeat_last_n < 0
                            ? prompt.size()
                            : std::min(prompt.size(), static_cast<size_t>(options_.repeat_last_n));
    for (size_t i = prompt.size() - last; i < prompt.size(); i++) Remember(prompt[i]);
  }
}

Choice Sampler::Sample(float* logits) {
  const int32_t count = model_->VocabularySize();
  Choice choice;
  double log_sum = 0.0;
  if (options_.logprobs >= 0) {
    const float best = Best(logits, count);
    double sum = 0.0;
    for (int32_t i = 0; i < count; i++) {
      if (logits[i] > kForbidden) sum += std::exp(static_cast<double>(logits[i] - best));
    }
    log_sum = best + std::log(sum);
    for (const Candidate& c : TopK(logits, static_cast<size_t>(options_.logprobs))) {
      choice.top.emplace_back(c.token, static_cast<float>(c.logit - log_sum));
    }
  }
  // The raw value of whichever token wins is needed after Adjust has changed the array.
  std::vector<float> raw;
  if (options_.logprobs >= 0) raw.assign(logits, logits + count);

  Adjust(logits);
  choice.token = Choose(logits);
  if (grammar_ && !grammar_->Allows(choice.token)) {
    choice.token = ChooseByGrammar(logits, choice.token);
  }
  if (options_.logprobs >= 0) {
    choice.logprob = static_cast<float>(raw[static_cast<size_t>(choice.token)] - log_sum);
  }
  Accept(choice.token);
  return choice;
}

void Sampler::Adjust(float* logits) {
  for (const auto& [token, bias] : options_.logit_bias) logits[token] += bias;
  if (options_.ignore_eos) {
    for (const Token token : model_->EogTokens()) logits[token] = kForbidden;
  }
  if (options_.repeat_penalty != 1.0f) {
    for (const auto& [token, unused] : window_counts_) {
      float& logit = logits[token];
      logit = logit <= 0.0f ? logit * options_.repeat_penalty : logit / options_.repeat_penalty;
    }
  }
  if (options_.presence_penalty != 0.0f || options_.frequency_penalty != 0.0f) {
    for (const auto& [token, times] : output_counts_) {
      logits[token] -=
          options_.presence_penalty + options_.frequency_penalty * static_cast<float>(times);
    }
  }
  if (dry_) dry_->Apply(logits);
}

Token Sampler::Choose(const float* logits) {
  const int32_t count = model_->VocabularySize();
  if (options_.temperature <= 0.0f) {
    const Token token = ArgMax(logits, count);
    if (!(logits[token] > kForbidden)) throw Error("decode_failed", "no finite logit");
    return token;
  }
  if (options_.top_k > 0 && options_.top_k < count) {
    std::vector<Candidate> candidates = TopK(logits, static_cast<size_t>(options_.top_k));
    if (candidates.empty()) throw Error("decode_failed", "no finite logit");
    const float best = candidates.front().logit;
    if (std::isinf(best)) return candidates.front().token;
    KeepNucleus(&candidates);
    return Draw(candidates, best);
  }
  const float best = Best(logits, count);
  if (!(best > kForbidden)) throw Error("decode_failed", "no finite logit");
  // A bias or an overflow made it certain, and its distance to the others is no number.
  if (std::isinf(best)) return ArgMax(logits, count);
  return Draw(Nucleus(logits, best), best);
}

// The k largest, best first; ties go to the lower id. No sort of the vocabulary: a small heap whose
// smallest member is the bar that the next logit must clear.
std::vector<Sampler::Candidate> Sampler::TopK(const float* logits, size_t k) const {
  const auto better = [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  };
  std::vector<Candidate> heap;
  if (k == 0) return heap;
  heap.reserve(k);
  const int32_t count = model_->VocabularySize();
  for (Token token = 0; token < count; token++) {
    const float logit = logits[token];
    if (heap.size() == k) {
      if (!(logit > heap.front().logit)) continue;
      std::pop_heap(heap.begin(), heap.end(), better);
      heap.back() = {token, logit};
    } else if (logit > kForbidden) {
      heap.push_back({token, logit});
    } else {
      continue;
    }
    std::push_heap(heap.begin(), heap.end(), better);
  }
  std::sort_heap(heap.begin(), heap.end(), better);
  return heap;
}

// Top-p and min-p over a short list, best first.
void Sampler::KeepNucleus(std::vector<Candidate>* sorted) const {
  const float best = sorted->front().logit;
  if (options_.top_p < 1.0f) {
    double total = 0.0;
    for (const Candidate& c : *sorted) total += std::exp(static_cast<double>(c.logit - best));
    double mass = 0.0;
    size_t keep = 0;
    while (keep < sorted->size()) {
      mass += std::exp(static_cast<double>((*sorted)[keep].logit - best));
      keep++;
      if (mass >= options_.top_p * total) break;
    }
    sorted->resize(keep);
  }
  if (options_.min_p > 0.0f) {
    const float bar = best + std::log(options_.min_p);
    size_t keep = 1;
    while (keep < sorted->size() && (*sorted)[keep].logit >= bar) keep++;
    sorted->resize(keep);
  }
}

// Top-p and min-p over the whole vocabulary without sorting it: probability mass per bucket of
// logits, and a sort of the one bucket in which the mass crosses top-p. In order of id or logit.
std::vector<Sampler::Candidate> Sampler::Nucleus(const float* logits, float best) const {
  const int32_t count = model_->VocabularySize();
  // Below this distance a token's share is under e^-32: no float draw reaches it, unless a high
  // temperature brings it near.
  constexpr float kRange = 32.0f;
  constexpr int kBuckets = 1024;
  float bar = best - kRange * (options_.top_p < 1.0f ? 1.0f : std::max(1.0f, options_.temperature));
  if (options_.min_p > 0.0f) bar = std::max(bar, best + std::log(options_.min_p));

  std::vector<Candidate> kept;
  if (options_.top_p >= 1.0f) {
    for (Token token = 0; token < count; token++) {
      if (logits[token] >= bar) kept.push_back({token, logits[token]});
    }
    return kept;
  }
  const auto bucket_of = [&](float logit) {
    return std::min(kBuckets - 1, static_cast<int>((best - logit) * (kBuckets / kRange)));
  };
  std::vector<double> mass(kBuckets, 0.0);
  double total = 0.0;
  for (Token token = 0; token < count; token++) {
    if (!(logits[token] >= best - kRange)) continue;
    const double weight = std::exp(logits[token] - best);
    mass[static_cast<size_t>(bucket_of(logits[token]))] += weight;
    total += weight;
  }
  const double wanted = options_.top_p * total;
  int crossing = 0;
  double above = 0.0;
  while (crossing < kBuckets - 1 && above + mass[static_cast<size_t>(crossing)] < wanted) {
    above += mass[static_cast<size_t>(crossing++)];
  }
  std::vector<Candidate> edge;
  for (Token token = 0; token < count; token++) {
    const float logit = logits[token];
    if (!(logit >= bar)) continue;
    const int bucket = bucket_of(logit);
    if (bucket < crossing) kept.push_back({token, logit});
    if (bucket == crossing) edge.push_back({token, logit});
  }
  std::sort(edge.begin(), edge.end(), [](const Candidate& a, const Candidate& b) {
    return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
  });
  for (const Candidate& c : edge) {
    if (above >= wanted && !kept.empty()) break;
    kept.push_back(c);
    above += std::exp(static_cast<double>(c.logit - best));
  }
  return kept;
}

Token Sampler::Draw(const std::vector<Candidate>& candidates, float best) {
  std::vector<double> weights(candidates.size());
  double total = 0.0;
  for (size_t i = 0; i < candidates.size(); i++) {
    weights[i] = std::exp(static_cast<double>(candidates[i].logit - best) / options_.temperature);
    total += weights[i];
  }
  double left = Uniform() * total;
  for (size_t i = 0; i < candidates.size(); i++) {
    left -= weights[i];
    if (left < 0.0) return candidates[i].token;
  }
  return candidates.back().token;
}

Token Sampler::ChooseByGrammar(float* logits, Token first) {
  logits[first] = kForbidden;
  const int32_t count = model_->VocabularySize();
  std::vector<LlamaTokenData> candidates;
  candidates.reserve(static_cast<size_t>(count));
  for (Token token = 0; token < count; token++) {
    if (logits[token] > kForbidden) candidates.push_back({token, logits[token], 0.0f});
  }
  grammar_->Apply(&candidates);
  bool any = false;
  for (const LlamaTokenData& candidate : candidates) {
    logits[candidate.id] = candidate.logit;
    any = any || candidate.logit > kForbidden;
  }
  if (!any) throw Error("decode_failed", "the grammar allows no token of this vocabulary");
  return Choose(logits);
}

void Sampler::Accept(Token token) {
  if (grammar_ && !model_->IsEog(token)) grammar_->Accept(token);
  output_counts_[token]++;
  if (dry_) dry_->Accept(token);
  if (options_.repeat_penalty != 1.0f && options_.repeat_last_n != 0) Remember(token);
}

void Sampler::Remember(Token token) {
  window_.push_back(token);
  window_counts_[token]++;
  if (options_.repeat_last_n > 0 && window_.size() > static_cast<size_t>(options_.repeat_last_n)) {
    const Token oldest = window_.front();
    window_.pop_front();
    if (--window_counts_[oldest] == 0) window_counts_.erase(oldest);
  }
}

// 53 random bits in [0, 1): the same on every platform, unlike std::uniform_real_distribution.
double Sampler::Uniform() {
  const uint64_t high = random_() >> 5;
  const uint64_t low = random_() >> 6;
  return static_cast<double>(high * 67108864u + low) / 9007199254740992.0;
}

}  // namespace hoshikage
