// libllama's C types as far as we use them, declared by hand: opaque handles and the few structs
// whose layout has not changed since the floor build. Parameter structs are not here: their layouts
// are data (abi.h). No code, any thread.
#pragma once

#include <cstddef>
#include <cstdint>

struct llama_model;
struct llama_context;
struct llama_vocab;
struct llama_sampler;
struct llama_memory_i;

namespace hoshikage {

using Token = int32_t;

// struct llama_batch since b3943; verified at run time by the probe (abi.cc).
struct LlamaBatch {
  int32_t n_tokens;
  Token* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};
static_assert(sizeof(LlamaBatch) == 56, "llama_batch is 56 bytes on LP64 and LLP64");

// struct llama_model_tensor_buft_override since b5028; a list ends with a null pattern.
struct LlamaTensorOverride {
  const char* pattern;
  void* buffer_type;
};

// A parameter struct of unknown size, passed by value: larger than any known layout. The callee
// reads only its own size (SysV copies to the stack; AArch64 and Win64 pass a pointer to a copy).
struct ParamBlock {
  alignas(8) unsigned char bytes[1024];
};

// enum llama_token_attr (bits), stable since b3681.
constexpr int32_t kTokenAttrControl = 1 << 3;

// enum ggml_log_level.
enum LogLevel : int {
  kLogNone = 0,
  kLogDebug = 1,
  kLogInfo = 2,
  kLogWarn = 3,
  kLogError = 4,
  kLogCont = 5
};

using ProgressCallback = bool (*)(float progress, void* user_data);
using AbortCallback = bool (*)(void* user_data);
using GgmlAbortCallback = void (*)(const char* message);
using LogCallback = void (*)(int level, const char* text, void* user_data);

}  // namespace hoshikage
