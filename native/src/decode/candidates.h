// The tokens that may come next: the whole vocabulary as its logits, or a list of what truncations
// left of it. Never sorted beyond a few, never copied as a whole. One per sampler, which keeps its
// memory from token to token; one thread at a time.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <vector>

#include "../llama/types.h"
#include "cut.h"

namespace hoshikage {

struct Candidate {
  Token token;
  float logit;
};

// The k largest logits, best first; ties go to the lower id.
std::vector<Candidate> LargestLogits(const float* logits, int32_t count, size_t k);
// The lowest id of the largest logit, NaN ignored; 0 where there is none.
Token ArgMax(const float* logits, int32_t count);

// Every step may throw decode_failed: no finite logit.
class Candidates {
 public:
  // All of a vocabulary. The array is changed by what changes logits, and must stay.
  void Begin(float* logits, int32_t count);

  // The logit of a token, to be changed, or null where it is not among them; Changed() afterwards.
  float* Find(Token token);
  void Changed() { best_.reset(); }

  // As llama.cpp's sampler of the same name; Tang et al. 2024, "Top-n-sigma: not all logits are
  // you need": those within n standard deviations of the best.
  void TopNSigma(float n);
  void TopK(size_t k);
  // Meister et al. 2022, "Locally typical sampling": those whose surprise is nearest to the
  // entropy, until their probabilities are more than p.
  void TypicalP(float p);
  // The most probable ones until their probabilities are p.
  void TopP(float p);
  // Those with at least p times the probability of the best.
  void MinP(float p);
  // "Exclude top choices", by p-e-w for text-generation-webui: of those with a probability of at
  // least the threshold only the last one stays. It never takes the last candidate.
  void ExcludeTopChoices(float threshold);
  // Mirostat 2 (Basu et al. 2021): those with at most this surprise, in bits; the best always.
  void LimitSurprise(double bits);

  // The temperature for the entropy of what is left: between `low` and `high`, as llama.cpp's
  // dynamic temperature; `otherwise` where there is only one candidate.
  double DynamicTemperature(double low, double high, double exponent, double otherwise) const;
  // Divides the logits; 0 leaves the best one.
  void Scale(double temperature);

  struct Drawn {
    Token token;
    double probability;  // among what is left
  };
  // A token by its probability at a temperature; `uniform` gives a number in [0, 1), and is not
  // asked where an infinite logit makes one token certain.
  template <class Uniform>
  Drawn Draw(double temperature, Uniform&& uniform) {
    Several();
    if (certain_) return {TokenAt(0), 1.0};
    return DrawAt(temperature, uniform());
  }

 private:
  // What the probabilities at temperature 1 are made of, the best one's being 1.
  struct Masses {
    double total;
    double weighted;  // by the distances to the best, which are not negative
  };

  Token TokenAt(size_t index) const { return whole_ ? static_cast<Token>(index) : tokens_[index]; }
  float Best() const;
  Masses Weigh() const;
  // False where nothing can be taken away: one is certain, or there is only one.
  bool Several();
  void Reserve(size_t count);
  void KeepOnly(size_t index);
  void KeepFrom(float bar);
  void KeepBest(const Cut& cut);
  void KeepNear(const Point& point, const Cut& cut);
  template <class Keep>
  size_t Append(size_t kept, size_t begin, size_t end, Keep keep);
  template <class Before, class After>
  void Filter(size_t place, Before before, After after);
  void Become(size_t kept);
  Drawn DrawAt(double temperature, double uniform);

  // One value per candidate, the best being anywhere: the caller's, or those of the list.
  float* values_ = nullptr;
  size_t size_ = 0;
  bool whole_ = true;
  bool certain_ = false;
  mutable std::optional<float> best_;  // once somebody has asked; until logits change

  // The list. More than a few are in the order of their ids.
  std::vector<float> logits_;
  std::vector<Token> tokens_;
  CutFinder cut_finder_;
  std::vector<double> sums_;  // of a draw's blocks
};

}  // namespace hoshikage
