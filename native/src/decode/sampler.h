// Chooses the next token from logits: all of it our own code but the grammar. One per completion,
// worker thread only. Order: logit bias, penalties, DRY, grammar, top-k, top-p, min-p, temperature.
// The grammar is tried on the chosen token first and masks the vocabulary only when it forbids it.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <random>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "../llama/grammar.h"
#include "../llama/model.h"
#include "dry.h"

namespace hoshikage {

struct SamplingOptions {
  float temperature = 0.0f;  // 0 = greedy
  int32_t top_k = 0;         // 0 = off
  float top_p = 1.0f;        // 1 = off
  float min_p = 0.0f;        // 0 = off
  uint32_t seed = 0;
  float repeat_penalty = 1.0f;  // 1 = off
  int32_t repeat_last_n = 0;    // 0 = off, -1 = everything
  float presence_penalty = 0.0f;
  float frequency_penalty = 0.0f;
  DryOptions dry;
  std::vector<std::pair<Token, float>> logit_bias;
  std::optional<std::string> grammar;
  bool ignore_eos = false;
  int32_t logprobs = -1;  // -1 = none, n = of the chosen token and the n best
};

// A chosen token with what was asked about it.
struct Choice {
  Token token = 0;
  float logprob = 0.0f;
  std::vector<std::pair<Token, float>> top;  // id and natural log, best first
};

class Sampler {
 public:
  // Throws grammar_invalid.
  Sampler(std::shared_ptr<const Model> model, SamplingOptions options,
          const std::vector<Token>& prompt);

  // `logits` holds one value per vocabulary entry and is changed. Throws decode_failed.
  Choice Sample(float* logits);

 private:
  struct Candidate {
    Token token;
    float logit;
  };

  void Adjust(float* logits);
  Token Choose(const float* logits);
  std::vector<Candidate> TopK(const float* logits, size_t k) const;
  std::vector<Candidate> Nucleus(const float* logits, float best) const;
  void KeepNucleus(std::vector<Candidate>* sorted) const;
  Token Draw(const std::vector<Candidate>& candidates, float best);
  Token ChooseByGrammar(float* logits, Token first);
  void Accept(Token token);
  void Remember(Token token);
  double Uniform();

  std::shared_ptr<const Model> model_;
  SamplingOptions options_;
  std::unique_ptr<Grammar> grammar_;
  std::unique_ptr<Dry> dry_;  // null = off
  std::mt19937 random_;
  std::deque<Token> window_;                          // the last N of prompt and output
  std::unordered_map<Token, int32_t> window_counts_;  // each id once
  std::unordered_map<Token, int32_t> output_counts_;
};

}  // namespace hoshikage
