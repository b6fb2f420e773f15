#include "sampler.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../llama/error.h"

namespace hoshikage {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

}  // namespace

Sampler::Sampler(std::shared_ptr<const Model> model, SamplingOptions options,
                 const std::vector<Token>& prompt)
    : model_(std::move(model)),
      options_(std::move(options)),
      random_(options_.seed),
      most_surprise_(2.0 * options_.mirostat.tau) {
  if (options_.grammar) grammar_ = std::make_unique<Grammar>(model_, options_.grammar);
  PlanSteps();
  for (const Step step : steps_) {
    if (step == Step::kDry) dry_ = std::make_unique<Dry>(model_, options_.dry, prompt);
    if (step == Step::kPenalties) {
      penalties_ = std::make_unique<Penalties>(options_.penalties, prompt);
    }
  }
}

void Sampler::PlanSteps() {
  for (const Step step : options_.steps) {
    if (Wanted(step)) steps_.push_back(step);
  }
  temperature_last_ =
      !options_.mirostat.on && !steps_.empty() && steps_.back() == Step::kTemperature;
}

bool Sampler::Wanted(Step step) const {
  const SamplingOptions& o = options_;
  const bool greedy = o.temperature <= 0.0f;
  switch (step) {
    case Step::kPenalties: return o.penalties.on();
    case Step::kDry: return o.dry.on();
    case Step::kTemperature: return !greedy;
    default: break;
  }
  // The best token is the best whatever is cut off below it, and Mirostat does its own cutting.
  if (greedy || o.mirostat.on) return false;
  switch (step) {
    case Step::kTopNSigma: return o.top_n_sigma > 0.0f;
    case Step::kTopK: return o.top_k > 0;
    case Step::kTypicalP: return o.typical_p < 1.0f;
    case Step::kTopP: return o.top_p < 1.0f;
    case Step::kMinP: return o.min_p > 0.0f;
    case Step::kXtc: return o.xtc_probability > 0.0f && o.xtc_threshold <= 0.5f;
    default: return false;
  }
}

Choice Sampler::Sample(float* logits) {
  const int32_t count = model_->VocabularySize();
  const bool asked = options_.logprobs >= 0;
  // What the steps have changed by the time it is known that they are needed as they came.
  if (asked || grammar_) raw_.assign(logits, logits + count);

  Choice choice;
  Bias(logits);
  choice.token = grammar_ ? ChooseAllowed(logits) : Choose(logits);
  if (asked) {
    const size_t best = static_cast<size_t>(options_.logprobs);
    choice.logprobs = LogprobsOf(raw_.data(), count, choice.token, best);
  }
  Accept(choice.token);
  return choice;
}

void Sampler::Bias(float* logits) const {
  for (const auto& [token, bias] : options_.logit_bias) logits[token] += bias;
  if (options_.ignore_eos) {
    for (const Token token : model_->EogTokens()) logits[token] = kForbidden;
  }
}

Token Sampler::Choose(float* logits) {
  const int32_t count = model_->VocabularySize();
  const bool greedy = options_.temperature <= 0.0f;
  candidates_.Begin(logits, count);
  double temperature = 1.0;
  for (const Step step : steps_) {
    if (step == Step::kTemperature && temperature_last_) {
      temperature = Temperature();
    } else {
      Take(step);
    }
  }
  if (greedy) {
    const Token token = ArgMax(logits, count);
    if (!(logits[token] > kForbidden)) throw Error("decode_failed", "no finite logit");
    return token;
  }
  if (options_.mirostat.on) candidates_.LimitSurprise(most_surprise_);
  if (!(temperature > 0.0)) {
    candidates_.Scale(0.0);
    temperature = 1.0;
  }
  const Candidates::Drawn drawn = candidates_.Draw(temperature, [this] { return Uniform(); });
  surprise_ = -std::log2(std::max(drawn.probability, 1e-30));
  return drawn.token;
}

void Sampler::Take(Step step) {
  switch (step) {
    case Step::kPenalties: penalties_->Apply(&candidates_); break;
    case Step::kDry: dry_->Apply(&candidates_); break;
    case Step::kTopNSigma: candidates_.TopNSigma(options_.top_n_sigma); break;
    case Step::kTopK: candidates_.TopK(static_cast<size_t>(options_.top_k)); break;
    case Step::kTypicalP: candidates_.TypicalP(options_.typical_p); break;
    case Step::kTopP: candidates_.TopP(options_.top_p); break;
    case Step::kMinP: candidates_.MinP(options_.min_p); break;
    case Step::kXtc:
      if (Uniform() < options_.xtc_probability) {
        candidates_.ExcludeTopChoices(options_.xtc_threshold);
      }
      break;
    case Step::kTemperature: candidates_.Scale(Temperature()); break;
  }
}

double Sampler::Temperature() const {
  const double temperature = options_.temperature;
  const double range = options_.dynatemp_range;
  if (range <= 0.0) return temperature;
  return candidates_.DynamicTemperature(std::max(0.0, temperature - range), temperature + range,
                                        options_.dynatemp_exponent, temperature);
}

Token Sampler::ChooseAllowed(float* logits) {
  grammar_->Begin();
  const Token first = Choose(logits);
  if (grammar_->Allows(first)) return first;
  std::copy(raw_.begin(), raw_.end(), logits);
  Bias(logits);
  if (!grammar_->Mask(logits)) {
    throw Error("grammar_invalid", "the grammar allows no token of this vocabulary");
  }
  return Choose(logits);
}

void Sampler::Accept(Token token) {
  if (grammar_) grammar_->Accept(token);
  if (penalties_) penalties_->Accept(token);
  if (dry_) dry_->Accept(token);
  // Mirostat 2, algorithm 2 of Basu et al. 2021, as llama.cpp's: the surprise among what was left.
  if (options_.mirostat.on) {
    most_surprise_ -= options_.mirostat.eta * (surprise_ - options_.mirostat.tau);
  }
}

// 53 random bits in [0, 1): the same on every platform, unlike std::uniform_real_distribution.
double Sampler::Uniform() {
  const uint64_t high = random_() >> 5;
  const uint64_t low = random_() >> 6;
  return static_cast<double>(high * 67108864u + low) / 9007199254740992.0;
}

}  // namespace hoshikage
