// JavaScript values to C++ values and back. Conversion and checking only, no computation.
// JavaScript thread. A bad argument throws invalid_argument naming it.
#pragma once

#include <napi.h>

#include <optional>
#include <string>
#include <vector>

#include "../decode/completion.h"
#include "../decode/speculation.h"
#include "../decode/worker.h"
#include "../llama/abi.h"
#include "../llama/context.h"
#include "../llama/error.h"
#include "../llama/library.h"
#include "../llama/model.h"

namespace hoshikage {

// A JavaScript Error with our code in `code`.
Napi::Error MakeError(Napi::Env env, const char* code, const std::string& message);
// Runs a binding function; an Error becomes a JavaScript exception with its code.
template <class Function>
auto Bound(Napi::Env env, Function&& function) -> decltype(function()) {
  try {
    return function();
  } catch (const Napi::Error&) {
    throw;
  } catch (const Error& e) {
    throw MakeError(env, e.code(), e.what());
  } catch (const std::exception& e) {
    throw MakeError(env, "internal_error", e.what());
  } catch (...) {
    throw MakeError(env, "internal_error", "unknown exception");
  }
}

Napi::Object ArgObject(const Napi::CallbackInfo& info, size_t index, const char* name);
Napi::Function ArgFunction(const Napi::CallbackInfo& info, size_t index, const char* name);
int32_t ArgInt(const Napi::CallbackInfo& info, size_t index, const char* name);
bool ArgBool(const Napi::CallbackInfo& info, size_t index, const char* name);
std::vector<Token> ArgTokens(const Napi::CallbackInfo& info, size_t index, const char* name);

// Ascending whole numbers from 1 on.
std::vector<uint32_t> ArgCounts(const Napi::CallbackInfo& info, size_t index, const char* name);

std::vector<TextSegment> ToSegments(const Napi::Value& value);
LibraryOptions ToLibraryOptions(const Napi::Object& object);
ModelOptions ToModelOptions(const Napi::Object& object);
ContextOptions ToContextOptions(const Napi::Object& object);
WorkerOptions ToWorkerOptions(const Napi::Object& object);
// What createContext is told of drafts, the draft model apart.
SpeculationOptions ToSpeculationOptions(const Napi::Object& object);
// Every number checked against the vocabulary and the context. Throws grammar_invalid too.
CompletionRequest ToRequest(const Napi::Object& object, int32_t vocabulary_size,
                            uint32_t context_tokens);

Napi::Object FromLibrary(Napi::Env env, const Library& library);
Napi::Object FromModel(Napi::Env env, const Model& model);
Napi::Object FromMail(Napi::Env env, const Mail& mail, const CompletionRequest& request);
Napi::Value FromVectors(Napi::Env env, const std::vector<std::vector<float>>& vectors);
// Milliseconds; null where there are none.
Napi::Value FromTimes(Napi::Env env, const std::vector<std::optional<double>>& times);
Napi::Value FromTokens(Napi::Env env, const std::vector<Token>& tokens);

}  // namespace hoshikage
