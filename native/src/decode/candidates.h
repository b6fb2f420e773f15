// The tokens that may come next: the whole vocabulary as its logits, or a list of what truncations
// left of it. The whole is never sorted and never copied. One per chosen token, worker thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <unordered_map>
#include <vector>

#include "../llama/types.h"

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
  // The array is changed by what changes logits.
  Candidates(float* logits, int32_t count) : logits_(logits), count_(count) {}

  // A temperature that is still to come brings tokens within reach that are far below the best.
  void SetReach(float temperature) { reach_ = temperature > 1.0f ? temperature : 1.0f; }

  // The logit of a token, to be changed, or null where it is not among them; Changed() afterwards.
  float* Find(Token token);
  void Changed();

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
    PrepareDraw();
    if (certain_) return {list_.front().token, 1.0};
    return DrawAt(temperature, uniform());
  }

 private:
  float Best() const;
  // Makes the list of what is at least this far up; in the order of ids.
  void List(float bar);
  void ListReachable() { List(Best() - kRange * reach_); }
  // False where nothing can be taken away: one is certain, or there is only one.
  bool Several();
  void KeepOnly(Token token, float logit);
  void KeepFrom(float bar);
  void TopPOfWhole(float p);
  void PrepareDraw();
  Drawn DrawAt(double temperature, double uniform) const;
  template <class Visit>
  void Each(Visit&& visit) const;

  // Below this distance a token's share is under e^-32: no float draw reaches it, unless a high
  // temperature brings it near.
  static constexpr float kRange = 32.0f;

  float* logits_;
  int32_t count_;
  float reach_ = 1.0f;
  bool whole_ = true;
  bool sorted_ = false;  // the list, best first
  bool certain_ = false;
  mutable std::optional<float> best_;  // once somebody has asked; until logits change
  std::vector<Candidate> list_;
  std::unordered_map<Token, size_t> places_;  // in the list; made when somebody looks
};

}  // namespace hoshikage
