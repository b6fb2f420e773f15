#include "convert.h"

#include <cmath>
#include <cstring>

#include "values.h"

namespace hoshikage {
namespace {

constexpr int32_t kMostSequences = 64;  // of a context

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
  object.Set("draftedTokens", done.drafted_tokens);
  object.Set("acceptedTokens", done.accepted_tokens);
  object.Set("prefillMs", done.prefill_ms);
  object.Set("generationMs", done.generation_ms);
  object.Set("slot", done.slot);
  return object;
}

// What the library says of a model in plain numbers.
struct PlainFacts {
  Token bos, eos, eot, sep;
  Token fim_pre, fim_suf, fim_mid, fim_rep, fim_sep;
  uint64_t size_bytes, parameters;
  int32_t trained_tokens, layers;
  bool add_bos, has_encoder, recurrent, diffusion;
};

PlainFacts ReadPlainFacts(const Model& model) {
  const Api& api = model.library()->api();
  const llama_vocab* vocab = model.vocab();
  llama_model* handle = model.handle();
  return Guard("model_load_failed", "facts of the model", [&] {
    // Where the library cannot be asked, the model has no such token.
    const auto optional = [&](Token (*function)(const llama_vocab*)) {
      return function ? function(vocab) : -1;
    };
    PlainFacts facts{};
    facts.sep = optional(api.llama_vocab_sep);
    facts.fim_pre = optional(api.llama_vocab_fim_pre);
    facts.fim_suf = optional(api.llama_vocab_fim_suf);
    facts.fim_mid = optional(api.llama_vocab_fim_mid);
    facts.fim_rep = optional(api.llama_vocab_fim_rep);
    facts.fim_sep = optional(api.llama_vocab_fim_sep);
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

std::vector<uint32_t> ArgCounts(const Napi::CallbackInfo& info, size_t index, const char* name) {
  const Napi::Array array = ToArray(info[index], name);
  std::vector<uint32_t> counts;
  for (uint32_t i = 0; i < array.Length(); i++) {
    const double least = counts.empty() ? 1 : counts.back() + 1.0;
    const double count = ToNumber(array.Get(i), name, least, kMostSequences);
    if (count != std::floor(count)) Refuse(name, "whole numbers");
    counts.push_back(static_cast<uint32_t>(count));
  }
  if (counts.empty()) Refuse(name, "at least one number");
  return counts;
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
  options.sequences = static_cast<uint32_t>(GetInt(object, "slots", 1, kMostSequences));
  options.batch_tokens = static_cast<uint32_t>(GetInt(object, "batchTokens", 1, 1 << 20));
  options.threads = OptionalInt(object, "threads", 1, 512);
  options.long_step_threads = OptionalInt(object, "longStepThreads", 1, 512);
  options.flash_attention = OptionalInt(object, "flashAttention", -1, 1);
  options.type_k = OptionalInt(object, "typeK", 0, 1024);
  options.type_v = OptionalInt(object, "typeV", 0, 1024);
  options.rope_scaling = OptionalInt(object, "ropeScaling", -1, 3);
  options.rope_freq_base = OptionalFloat(object, "ropeFreqBase");
  options.rope_freq_scale = OptionalFloat(object, "ropeFreqScale");
  return options;
}

WorkerOptions ToWorkerOptions(const Napi::Object& object) {
  WorkerOptions options;
  options.most_stall_ms = OptionalInt(object, "maxStallMs", 1, 1 << 20).value_or(100);
  if (!IsAbsent(object.Get("storeBytes"))) {
    options.store_bytes = static_cast<size_t>(GetInt(object, "storeBytes", 0, 1LL << 50));
  }
  return options;
}

SpeculationOptions ToSpeculationOptions(const Napi::Object& object) {
  SpeculationOptions options;
  const int32_t most = OptionalInt(object, "draftTokens", 0, kMostRows).value_or(0);
  options.most_tokens = static_cast<uint32_t>(most);
  options.lookup = OptionalBool(object, "draftLookup").value_or(false);
  options.most_stall_ms = ToWorkerOptions(object).most_stall_ms;
  return options;
}

Napi::Object FromModel(Napi::Env env, const Model& model) {
  constexpr size_t kMostControlTexts = 8192;
  const PlainFacts facts = ReadPlainFacts(model);
  Napi::Object object = Napi::Object::New(env);
  const auto set_token = [&](Napi::Object& target, const char* name, Token id) {
    target.Set(name, model.IsToken(id) ? Napi::Number::New(env, id) : env.Null());
  };
  const auto token = [&](const char* name, Token id) { set_token(object, name, id); };
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
  const auto text = [&](const char* name, const std::optional<std::string>& value) {
    object.Set(name, value ? Napi::Value(Napi::String::New(env, *value)) : env.Null());
  };
  text("chatTemplate", model.ChatTemplate());
  text("toolTemplate", model.ChatTemplate("tool_use"));
  text("rerankTemplate", model.ChatTemplate("rerank"));
  token("bosToken", facts.bos);
  token("eosToken", facts.eos);
  token("eotToken", facts.eot);
  token("sepToken", facts.sep);
  Napi::Object fim = Napi::Object::New(env);
  set_token(fim, "prefix", facts.fim_pre);
  set_token(fim, "suffix", facts.fim_suf);
  set_token(fim, "middle", facts.fim_mid);
  set_token(fim, "repository", facts.fim_rep);
  set_token(fim, "separator", facts.fim_sep);
  object.Set("fim", fim);
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

Napi::Object FromMail(Napi::Env env, const Mail& mail, const CompletionRequest& request) {
  Napi::Object object = Napi::Object::New(env);
  object.Set("tokens", FromVector<Napi::Int32Array>(env, mail.tokens));
  Napi::Uint8Array bytes = Napi::Uint8Array::New(env, mail.bytes.size());
  if (!mail.bytes.empty()) std::memcpy(bytes.Data(), mail.bytes.data(), mail.bytes.size());
  object.Set("bytes", bytes);
  object.Set("ends", FromVector<Napi::Int32Array>(env, mail.ends));
  object.Set("flags", FromVector<Napi::Uint8Array>(env, mail.flags));
  const auto set = [&](const char* values_name, const char* tokens_name, bool asked,
                       const std::vector<float>& values, const std::vector<Token>& tokens) {
    object.Set(values_name,
               asked ? Napi::Value(FromVector<Napi::Float32Array>(env, values)) : env.Null());
    object.Set(tokens_name,
               asked ? Napi::Value(FromVector<Napi::Int32Array>(env, tokens)) : env.Null());
  };
  set("logprobs", "topTokens", request.sampling.logprobs >= 0, mail.logprobs, mail.top_tokens);
  set("promptLogprobs", "promptTopTokens", request.prompt_logprobs >= 0, mail.prompt_logprobs,
      mail.prompt_top_tokens);
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

Napi::Value FromTimes(Napi::Env env, const std::vector<std::optional<double>>& times) {
  Napi::Array list = Napi::Array::New(env, times.size());
  for (uint32_t i = 0; i < times.size(); i++) {
    list.Set(i, times[i] ? Napi::Value(Napi::Number::New(env, *times[i])) : env.Null());
  }
  return list;
}

Napi::Value FromTokens(Napi::Env env, const std::vector<Token>& tokens) {
  return FromVector<Napi::Int32Array>(env, tokens);
}

}  // namespace hoshikage
