// How the next token is to be chosen, in numbers that are already checked. Plain data, any thread.
#pragma once

#include <array>
#include <cstdint>
#include <memory>
#include <utility>
#include <vector>

#include "dry.h"
#include "grammar-program.h"
#include "penalties.h"

namespace hoshikage {

// The steps that choose a token; the order of SAMPLERS in engine.ts.
enum class Step {
  kPenalties,
  kDry,
  kTopNSigma,
  kTopK,
  kTypicalP,
  kTopP,
  kMinP,
  kXtc,
  kTemperature
};
constexpr std::array<Step, 9> kAllSteps = {Step::kPenalties, Step::kDry,      Step::kTopNSigma,
                                           Step::kTopK,      Step::kTypicalP, Step::kTopP,
                                           Step::kMinP,      Step::kXtc,      Step::kTemperature};

struct MirostatOptions {
  bool on = false;
  double tau = 5.0;  // bits
  double eta = 0.1;
};

struct SamplingOptions {
  float temperature = 0.0f;  // 0 = greedy
  float dynatemp_range = 0.0f;
  float dynatemp_exponent = 1.0f;
  float top_n_sigma = 0.0f;  // 0 = off
  int32_t top_k = 0;         // 0 = off
  float typical_p = 1.0f;    // 1 = off
  float top_p = 1.0f;        // 1 = off
  float min_p = 0.0f;        // 0 = off
  float xtc_probability = 0.0f;
  float xtc_threshold = 0.1f;  // above 0.5 = off
  MirostatOptions mirostat;
  uint32_t seed = 0;
  PenaltyOptions penalties;
  DryOptions dry;
  std::vector<Step> steps{kAllSteps.begin(), kAllSteps.end()};  // each once at most
  std::vector<std::pair<Token, float>> logit_bias;
  std::shared_ptr<const GrammarProgram> grammar;  // null = none
  bool ignore_eos = false;
  int32_t logprobs = -1;  // -1 = none, n = of the chosen token and the n best
};

}  // namespace hoshikage
