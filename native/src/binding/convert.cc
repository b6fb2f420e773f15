#include "convert.h"

#include <cmath>
#include <cstring>

#include "values.h"

namespace hoshikage {
namespace {

template <class Array, class Value>
Array FromVector(Napi::Env env, const std::vector<Value>& values) {
  Array array = Array::New(env, values.size());
  if (!values.empty()) std::memcpy(array.Data(), values.data(), values.size() * sizeof(Value));
  return array;
}

// The words of PoolingType in engine.ts.
const char* PoolingName(PoolingType type) {
  switch (type) {
    case PoolingType::kNone: return "none";
    case PoolingType::kMean: return "mean";
    case PoolingType::kCls: return "cls";
    case PoolingType::kLast: return "last";
    case PoolingType::kRank: return "rank";
  }
  return "none";
}

DryOptions ToDryOptions(const Napi::Object& object) {
  constexpr size_t kMostBreakers = 64;
  constexpr size_t kLongestBreaker = 256;
  DryOptions dry;
  dry.multiplier = static_cast<float>(GetNumber(object, "dryMultiplier", 0, 1e3));
  dry.base = static_cast<float>(GetNumber(object, "dryBase", 0, 1e3));
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

const char* ReasonName(DoneReason reason) {
  switch (reason) {
    case DoneReason::kEog: return "eog";
    case DoneReason::kLength: return "length";
    case DoneReason::kContext: return "context";
    case DoneReason::kCancelled: return "cancelled";
    case DoneReason::kError: return "error";
  }
  return "error";
}

Napi::Object FromDone(Napi::Env env, const Done& done) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("reason", ReasonName(done.reason));
  object.Set("code", TextOrNull(env, done.code));
  object.Set("message", TextOrNull(env, done.message));
  object.Set("promptTokens", done.prompt_tokens);
  object.Set("cachedTokens", done.cached_tokens);
  object.Set("generatedTokens", done.generated_tokens);
  object.Set("prefillMs", done.prefill_ms);
  object.Set("generationMs", done.generation_ms);
  object.Set("slot", done.slot);
  return object;
}

// What the library says of a model in plain numbers.
struct PlainFacts {
  Token bos, eos, eot;
  uint64_t size_bytes, parameters;
  int32_t trained_tokens, layers;
  bool add_bos, has_encoder, recurrent, diffusion;
};

PlainFacts ReadPlainFacts(const Model& model) {
  const Api& api = model.library()->api();
  const llama_vocab* vocab = model.vocab();
  llama_model* handle = model.handle();
  return Guard("model_load_failed", "facts of the model", [&] {
    PlainFacts facts{};
    facts.bos = api.llama_vocab_bos(vocab);
    facts.eos = api.llama_vocab_eos(vocab);
    facts.eot = api.llama_vocab_eot(vocab);
    facts.add_bos = api.llama_vocab_get_add_bos(vocab);
    facts.size_bytes = api.llama_model_size(handle);
    facts.parameters = api.llama_model_n_params(handle);
    facts.trained_tokens = api.llama_model_n_ctx_train(handle);
    facts.layers = api.llama_model_n_layer(handle);
    facts.has_encoder = api.llama_model_has_encoder(handle);
    facts.recurrent = api.llama_model_is_recurrent(handle);
    facts.diffusion = api.llama_model_is_diffusion && api.llama_model_is_diffusion(handle);
    return facts;
  });
}

}  // namespace

Napi::Error MakeError(Napi::Env env, const char* code, const std::string& message) {
  Napi::Error error = Napi::Error::New(env, message);
  error.Set("code", Napi::String::New(env, code));
  return error;
}

Napi::Object ArgObject(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Value value = info[index];
  if (!value.IsObject()) Refuse(name, "an object");
  return value.As<Napi::Object>();
}

Napi::Function ArgFunction(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsFunction()) Refuse(name, "a function");
  return info[index].As<Napi::Function>();
}

int32_t ArgInt(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const double number = ToNumber(info[index], name, kInt32Min, kInt32Max);
  if (number != std::floor(number)) Refuse(name, "a whole number");
  return static_cast<int32_t>(number);
}

bool ArgBool(const Napi::CallbackInfo& info, size_t index, const char* name) {
  if (!info[index].IsBoolean()) Refuse(name, "a boolean");
  return info[index].As<Napi::Boolean>().Value();
}

std::vector<Token> ArgTokens(const Napi::CallbackInfo& info, size_t index, const char* name) {
  return ToTokens(info[index], name);
}

std::vector<TextSegment> ToSegments(const Napi::Value& value) {
  const Napi::Array array = ToArray(value, "segments");
  std::vector<TextSegment> segments;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const Napi::Value item = array.Get(i);
    if (!item.IsObject()) Refuse("segment", "an object");
    const auto object = item.As<Napi::Object>();
    segments.push_back({ToText(object.Get("text"), "text"), GetBool(object, "special")});
  }
  return segments;
}

ModelOptions ToModelOptions(const Napi::Object& object) {
  ModelOptions options;
  options.path = ToText(object.Get("path"), "path");
  options.gpu_layers = OptionalInt(object, "gpuLayers", -1, kInt32Max);
  options.main_gpu = OptionalInt(object, "mainGpu", 0, 1024);
  if (!IsAbsent(object.Get("tensorSplit"))) {
    const Napi::Array split = ToArray(object.Get("tensorSplit"), "tensorSplit");
    if (split.Length() > 128) Refuse("tensorSplit", "at most 128 numbers");
    for (uint32_t i = 0; i < split.Length(); i++) {
      options.tensor_split.push_back(
          static_cast<float>(ToNumber(split.Get(i), "tensorSplit", 0, kFloatMax)));
    }
  }
  options.mmap = OptionalBool(object, "mmap");
  options.mlock = OptionalBool(object, "mlock");
  options.cpu_expert_layers = OptionalInt(object, "cpuExpertLayers", 0, 1024).value_or(0);
  return options;
}

ContextOptions ToContextOptions(const Napi::Object& object) {
  ContextOptions options;
  options.context_tokens = static_cast<uint32_t>(GetInt(object, "contextTokens", 1, kInt32Max));
  options.sequences = static_cast<uint32_t>(GetInt(object, "slots", 1, 64));
  options.batch_tokens = static_cast<uint32_t>(GetInt(object, "batchTokens", 1, 1 << 20));
  options.threads = OptionalInt(object, "threads", 1, 512);
  options.flash_attention = OptionalInt(object, "flashAttention", -1, 1);
  options.type_k = OptionalInt(object, "typeK", 0, 1024);
  options.type_v = OptionalInt(object, "typeV", 0, 1024);
  options.rope_scaling = OptionalInt(object, "ropeScaling", -1, 3);
  options.rope_freq_base = OptionalFloat(object, "ropeFreqBase");
  options.rope_freq_scale = OptionalFloat(object, "ropeFreqScale");
  return options;
}

CompletionRequest ToRequest(const Napi::Object& object, int32_t vocabulary_size,
                            uint32_t context_tokens) {
  CompletionRequest request;
  request.prompt = ToTokens(object.Get("prompt"), "prompt");
  if (request.prompt.empty()) throw Error("invalid_argument", "prompt is empty");
  if (request.prompt.size() > context_tokens) {
    throw Error("invalid_argument", "prompt is longer than the context");
  }
  const auto check_token = [&](Token token, const char* name) {
    if (token < 0 || token >= vocabulary_size) {
      throw Error("invalid_argument", std::string(name) + " holds a token id out of range");
    }
  };
  for (const Token token : request.prompt) check_token(token, "prompt");
  request.max_tokens = static_cast<int32_t>(GetInt(object, "maxTokens", -1, kInt32Max));
  if (request.max_tokens == 0) Refuse("maxTokens", "-1 or at least 1");
  request.cache_prompt = GetBool(object, "cachePrompt");

  SamplingOptions& sampling = request.sampling;
  sampling.temperature = static_cast<float>(GetNumber(object, "temperature", 0, 100));
  sampling.top_k = static_cast<int32_t>(GetInt(object, "topK", 0, kInt32Max));
  sampling.top_p = static_cast<float>(GetNumber(object, "topP", 0, 1));
  sampling.min_p = static_cast<float>(GetNumber(object, "minP", 0, 1));
  sampling.seed = static_cast<uint32_t>(GetInt(object, "seed", 0, kUint32Max));
  sampling.repeat_penalty = static_cast<float>(GetNumber(object, "repeatPenalty", 1e-3, 1e3));
  sampling.repeat_last_n = static_cast<int32_t>(GetInt(object, "repeatLastN", -1, kInt32Max));
  sampling.presence_penalty = static_cast<float>(GetNumber(object, "presencePenalty", -1e3, 1e3));
  sampling.frequency_penalty = static_cast<float>(GetNumber(object, "frequencyPenalty", -1e3, 1e3));
  sampling.dry = ToDryOptions(object);
  const std::vector<Token> bias_tokens = ToTokens(object.Get("biasTokens"), "biasTokens");
  const Napi::Value bias_values = object.Get("biasValues");
  if (!bias_values.IsTypedArray() ||
      bias_values.As<Napi::TypedArray>().TypedArrayType() != napi_float32_array ||
      bias_values.As<Napi::Float32Array>().ElementLength() != bias_tokens.size()) {
    Refuse("biasValues", "a Float32Array as long as biasTokens");
  }
  const auto values = bias_values.As<Napi::Float32Array>();
  for (size_t i = 0; i < bias_tokens.size(); i++) {
    check_token(bias_tokens[i], "biasTokens");
    if (std::isnan(values[i])) Refuse("biasValues", "numbers");
    sampling.logit_bias.emplace_back(bias_tokens[i], values[i]);
  }
  if (!IsAbsent(object.Get("grammar"))) {
    sampling.grammar = ToText(object.Get("grammar"), "grammar");
  }
  sampling.ignore_eos = GetBool(object, "ignoreEos");
  sampling.logprobs = static_cast<int32_t>(GetInt(object, "logprobs", -1, 1000));
  if (sampling.logprobs > vocabulary_size) sampling.logprobs = vocabulary_size;
  return request;
}

Napi::Object FromModel(Napi::Env env, const Model& model) {
  constexpr size_t kMostControlTexts = 8192;
  const PlainFacts facts = ReadPlainFacts(model);
  Napi::Object object = Napi::Object::New(env);
  const auto token = [&](const char* name, Token id) {
    object.Set(name, model.IsToken(id) ? Napi::Number::New(env, id) : env.Null());
  };
  const auto piece = [&](Token id) {
    std::string bytes;
    if (model.IsToken(id)) model.AppendPiece(id, &bytes);
    return bytes;
  };
  object.Set("description", model.Description());
  object.Set("sizeBytes", static_cast<double>(facts.size_bytes));
  object.Set("parameters", static_cast<double>(facts.parameters));
  object.Set("trainedContextTokens", facts.trained_tokens);
  object.Set("embeddingLength", model.EmbeddingLength());
  object.Set("layers", facts.layers);
  object.Set("vocabularySize", model.VocabularySize());
  const std::optional<std::string> chat_template = model.ChatTemplate();
  object.Set("chatTemplate",
             chat_template ? Napi::Value(Napi::String::New(env, *chat_template)) : env.Null());
  token("bosToken", facts.bos);
  token("eosToken", facts.eos);
  token("eotToken", facts.eot);
  object.Set("bosText", piece(facts.bos));
  object.Set("eosText", piece(facts.eos));
  object.Set("addBos", facts.add_bos);
  const std::vector<std::string> texts = model.ControlTexts(kMostControlTexts);
  Napi::Array controls = Napi::Array::New(env, texts.size());
  for (uint32_t i = 0; i < texts.size(); i++) controls.Set(i, texts[i]);
  object.Set("controlTexts", controls);
  object.Set("hasEncoder", facts.has_encoder);
  object.Set("isRecurrent", facts.recurrent);
  object.Set("isDiffusion", facts.diffusion);
  if (const auto pooling = model.Pooling()) object.Set("poolingType", PoolingName(*pooling));
  return object;
}

Napi::Object FromMail(Napi::Env env, const Mail& mail, int32_t logprobs) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", FromVector<Napi::Int32Array>(env, mail.tokens));
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, mail.bytes.size());
  if (!mail.bytes.empty()) std::memcpy(bytes.Data(), mail.bytes.data(), mail.bytes.size());
  object.Set("bytes", bytes);
  object.Set("ends", FromVector<Napi::Int32Array>(env, mail.ends));
  object.Set("flags", FromVector<Napi::Uint8Array>(env, mail.flags));
  const bool asked = logprobs >= 0;
  object.Set("logprobs",
             asked ? Napi::Value(FromVector<Napi::Float32Array>(env, mail.logprobs)) : env.Null());
  object.Set("topTokens",
             asked ? Napi::Value(FromVector<Napi::Int32Array>(env, mail.top_tokens)) : env.Null());
  object.Set("prefilledTokens", mail.prefilled_tokens);
  object.Set("done", mail.done ? Napi::Value(FromDone(env, mail.result)) : env.Null());
  return object;
}

Napi::Value FromVectors(Napi::Env env, const std::vector<std::vector<float>>& vectors) {
  Napi::Array list = Napi::Array::New(env, vectors.size());
  for (uint32_t i = 0; i < vectors.size(); i++) {
    list.Set(i, FromVector<Napi::Float32Array>(env, vectors[i]));
  }
  return list;
}

Napi::Value FromTokens(Napi::Env env, const std::vector<Token>& tokens) {
  return FromVector<Napi::Int32Array>(env, tokens);
}

}  // namespace hoshikage
