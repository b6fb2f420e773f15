#include <algorithm>
#include <cmath>

#include "convert.h"
#include "values.h"

namespace hoshikage {
namespace {

// The words of SamplerName in engine.ts, in the order of kAllSteps.
constexpr const char* kStepNames[] = {"penalties", "dry",       "top_n_sigma",
                                      "top_k",     "typical_p", "top_p",
                                      "min_p",     "xtc",       "temperature"};
static_assert(sizeof kStepNames / sizeof *kStepNames == kAllSteps.size(), "a name for each step");

float GetFloat(const Napi::Object& object, const char* name, double least, double most) {
  return static_cast<float>(GetNumber(object, name, least, most));
}

void CheckToken(Token token, int32_t vocabulary_size, const char* name) {
  if (token < 0 || token >= vocabulary_size) {
    throw Error("invalid_argument", std::string(name) + " holds a token id out of range");
  }
}

DryOptions ToDryOptions(const Napi::Object& object) {
  constexpr size_t kMostBreakers = 64;
  constexpr size_t kLongestBreaker = 256;
  DryOptions dry;
  dry.multiplier = GetFloat(object, "dryMultiplier", 0, 1e3);
  dry.base = GetFloat(object, "dryBase", 0, 1e3);
  dry.allowed_length = static_cast<int32_t>(GetInt(object, "dryAllowedLength", 0, kInt32Max));
  dry.last_n = static_cast<int32_t>(GetInt(object, "dryPenaltyLastN", -1, kInt32Max));
  dry.breakers = ToTexts(object.Get("drySequenceBreakers"), "drySequenceBreakers");
  if (dry.breakers.size() > kMostBreakers) Refuse("drySequenceBreakers", "at most 64 texts");
  for (const std::string& breaker : dry.breakers) {
    if (breaker.empty() || breaker.size() > kLongestBreaker) {
      Refuse("drySequenceBreakers", "texts of 1 to 256 bytes");
    }
  }
  return dry;
}

PenaltyOptions ToPenaltyOptions(const Napi::Object& object) {
  PenaltyOptions penalties;
  penalties.repeat = GetFloat(object, "repeatPenalty", 1e-3, 1e3);
  penalties.last_n = static_cast<int32_t>(GetInt(object, "repeatLastN", -1, kInt32Max));
  penalties.presence = GetFloat(object, "presencePenalty", -1e3, 1e3);
  penalties.frequency = GetFloat(object, "frequencyPenalty", -1e3, 1e3);
  return penalties;
}

MirostatOptions ToMirostatOptions(const Napi::Object& object) {
  MirostatOptions mirostat;
  const int64_t version = GetInt(object, "mirostat", 0, 2);
  if (version == 1) Refuse("mirostat", "0 or 2");
  mirostat.on = version == 2;
  mirostat.tau = GetNumber(object, "mirostatTau", 0, 1e3);
  mirostat.eta = GetNumber(object, "mirostatEta", 0, 1e3);
  return mirostat;
}

std::vector<Step> ToSteps(const Napi::Value& value) {
  std::vector<Step> steps;
  bool seen[kAllSteps.size()] = {};
  for (const std::string& name : ToTexts(value, "samplers")) {
    size_t index = 0;
    while (index < kAllSteps.size() && name != kStepNames[index]) index++;
    if (index == kAllSteps.size()) Refuse("samplers", "names of samplers");
    if (seen[index]) Refuse("samplers", "names that stand there once");
    seen[index] = true;
    steps.push_back(kAllSteps[index]);
  }
  return steps;
}

std::vector<std::pair<Token, float>> ToLogitBias(const Napi::Object& object,
                                                 int32_t vocabulary_size) {
  const std::vector<Token> tokens = ToTokens(object.Get("biasTokens"), "biasTokens");
  const Napi::Value value = object.Get("biasValues");
  if (!value.IsTypedArray() ||
      value.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      value.As<Napi::Float32Array>().ElementLength() != tokens.size()) {
    Refuse("biasValues", "a Float32Array as long as biasTokens");
  }
  const auto values = value.As<Napi::Float32Array>();
  std::vector<std::pair<Token, float>> bias;
  for (size_t i = 0; i < tokens.size(); i++) {
    CheckToken(tokens[i], vocabulary_size, "biasTokens");
    if (std::isnan(values[i])) Refuse("biasValues", "numbers");
    bias.emplace_back(tokens[i], values[i]);
  }
  return bias;
}

int32_t ToLogprobs(const Napi::Object& object, const char* name, int32_t vocabulary_size) {
  return std::min(static_cast<int32_t>(GetInt(object, name, -1, 1000)), vocabulary_size);
}

SamplingOptions ToSampling(const Napi::Object& object, int32_t vocabulary_size) {
  SamplingOptions sampling;
  sampling.temperature = GetFloat(object, "temperature", 0, 100);
  sampling.dynatemp_range = GetFloat(object, "dynatempRange", 0, 100);
  sampling.dynatemp_exponent = GetFloat(object, "dynatempExponent", 0, 100);
  sampling.top_n_sigma = GetFloat(object, "topNSigma", 0, 1e3);
  sampling.top_k = static_cast<int32_t>(GetInt(object, "topK", 0, kInt32Max));
  sampling.typical_p = GetFloat(object, "typicalP", 0, 1);
  sampling.top_p = GetFloat(object, "topP", 0, 1);
  sampling.min_p = GetFloat(object, "minP", 0, 1);
  sampling.xtc_probability = GetFloat(object, "xtcProbability", 0, 1);
  sampling.xtc_threshold = GetFloat(object, "xtcThreshold", 0, 1);
  sampling.mirostat = ToMirostatOptions(object);
  sampling.seed = static_cast<uint32_t>(GetInt(object, "seed", 0, kUint32Max));
  sampling.penalties = ToPenaltyOptions(object);
  sampling.dry = ToDryOptions(object);
  sampling.steps = ToSteps(object.Get("samplers"));
  sampling.logit_bias = ToLogitBias(object, vocabulary_size);
  if (!IsAbsent(object.Get("grammar"))) {
    const std::vector<int32_t> numbers = ToTokens(object.Get("grammar"), "grammar");
    sampling.grammar = std::make_shared<const GrammarProgram>(numbers.data(), numbers.size());
  }
  sampling.ignore_eos = GetBool(object, "ignoreEos");
  sampling.logprobs = ToLogprobs(object, "logprobs", vocabulary_size);
  return sampling;
}

}  // namespace

CompletionRequest ToRequest(const Napi::Object& object, int32_t vocabulary_size,
                            uint32_t context_tokens) {
  CompletionRequest request;
  request.prompt = ToTokens(object.Get("prompt"), "prompt");
  if (request.prompt.empty()) throw Error("invalid_argument", "prompt is empty");
  if (request.prompt.size() > context_tokens) {
    throw Error("invalid_argument", "prompt is longer than the context");
  }
  for (const Token token : request.prompt) CheckToken(token, vocabulary_size, "prompt");
  request.max_tokens = static_cast<int32_t>(GetInt(object, "maxTokens", -1, kInt32Max));
  if (request.max_tokens == 0) Refuse("maxTokens", "-1 or at least 1");
  request.cache_prompt = GetBool(object, "cachePrompt");
  request.prompt_logprobs = ToLogprobs(object, "promptLogprobs", vocabulary_size);
  request.background = OptionalBool(object, "background").value_or(false);
  request.sampling = ToSampling(object, vocabulary_size);
  return request;
}

}  // namespace hoshikage
