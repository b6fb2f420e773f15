// Chooses the next token from logits: logit bias, then the steps in their order. The grammar is
// tried on the chosen token first; only where it forbids that one, it takes its tokens out before
// the first step. All of it our own code. One per completion, one thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "../llama/model.h"
#include "candidates.h"
#include "grammar.h"
#include "logprobs.h"
#include "sampling-options.h"

namespace hoshikage {

// A chosen token with what was asked about it.
struct Choice {
  Token token = 0;
  TokenLogprobs logprobs;  // where they were asked for
};

class Sampler {
 public:
  // Throws grammar_invalid.
  Sampler(std::shared_ptr<const Model> model, SamplingOptions options,
          const std::vector<Token>& prompt);

  // `logits` holds one value per vocabulary entry and is changed. Throws decode_failed,
  // grammar_invalid.
  Choice Sample(float* logits);
  // Whether the grammar allows no more text, so that there is nothing to choose.
  bool complete() const { return grammar_ && grammar_->complete(); }

 private:
  void PlanSteps();
  bool Wanted(Step step) const;
  void Bias(float* logits) const;
  Token Choose(float* logits);
  void Take(Step step);
  double Temperature() const;
  Token ChooseAllowed(float* logits);
  void Accept(Token token);
  double Uniform();

  std::shared_ptr<const Model> model_;
  SamplingOptions options_;
  std::vector<Step> steps_;        // those that do something
  bool temperature_last_ = false;  // then the draw divides by it, and no logit is rounded
  std::unique_ptr<Grammar> grammar_;
  std::unique_ptr<Dry> dry_;  // null = off
  std::unique_ptr<Penalties> penalties_;
  Candidates candidates_;
  std::vector<float> raw_;  // the logits as they came, where they may be needed
  std::mt19937 random_;
  double most_surprise_ = 0.0;  // Mirostat's mu, in bits
  double surprise_ = 0.0;       // of the token chosen last
};

}  // namespace hoshikage
