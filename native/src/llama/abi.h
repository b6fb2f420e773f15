// Which struct layouts a loaded libllama uses: known layouts as data (native/abi/llama.json), found
// by calling its own default functions into poisoned buffers and by the symbols it exports. Any
// thread. Nothing here calls a function whose signature depends on the answer.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "types.h"

namespace hoshikage {

struct AbiField {
  std::string name;
  int offset;
  int size;
  std::vector<uint64_t> defaults;  // unsigned bit patterns seen in history
};

struct AbiLayout {
  std::string id;
  int size;
  int from;  // build numbers it was in use: [from, to]
  int to;
  std::vector<AbiField> fields;

  const AbiField* Find(const char* name) const;
};

struct AbiSymbol {
  std::string name;
  int from;  // build it appeared in
  int gone;  // build it was gone in
};

// Builds in which samplers changed without a change of name or layout.
struct SamplerHistory {
  int names_tell = 0;  // one that does nothing is called "?name" since
  int penalties5 = 0;  // llama_sampler_init_penalties takes n_vocab, five arguments, since
  int dry7 = 0;        // llama_sampler_init_dry lacks n_ctx_train, seven arguments, since
};

struct AbiTable {
  int floor = 0;
  SamplerHistory samplers;
  std::vector<AbiLayout> model_params;
  std::vector<AbiLayout> context_params;
  std::vector<AbiSymbol> symbols;
};

// The layouts of one library, and its bracket of build numbers [first, last).
struct AbiVerdict {
  AbiLayout model_params;
  AbiLayout context_params;
  int bracket_from = 0;
  int bracket_to = 0;
  bool minimal = false;          // the layouts are unknown, only their oldest fields are in them
  bool padding_written = false;  // main_gpu may have moved without a trace
};

// Identifies the library behind `handle`. A layout newer than the table is refused, or, where
// `allow_unknown`, reduced to the fields that have never moved, if they hold what they always held.
// Throws library_incompatible with the evidence.
AbiVerdict IdentifyAbi(void* handle, const AbiTable& table, bool allow_unknown);

// Writes a field where the layout has it; false where it has not.
bool PokeBytes(const AbiLayout& layout, ParamBlock* block, const char* field, const void* value,
               size_t size);
template <class T>
bool Poke(const AbiLayout& layout, ParamBlock* block, const char* field, T value) {
  return PokeBytes(layout, block, field, &value, sizeof value);
}
// Reads a 4-byte field; `fallback` where the layout has it not.
int32_t PeekInt(const AbiLayout& layout, const ParamBlock& block, const char* field,
                int32_t fallback);

}  // namespace hoshikage
