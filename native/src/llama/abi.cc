#include "abi.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <new>

#include "error.h"
#include "shared-object.h"

namespace hoshikage {
namespace {

constexpr size_t kProbeBytes = 4096;

// A function that returns a big struct by value gets a hidden pointer to the result. Receiving it
// through an ordinary assignment copies stack garbage, so the pointer is passed by hand.
#if defined(__x86_64__) || defined(_M_X64)
// SysV and Win64: the first integer argument, and the function returns it.
template <class... Args>
bool CallReturningStruct(void* function, void* result, Args... args) {
  auto* typed = reinterpret_cast<void* (*)(void*, Args...)>(function);
  return typed(result, args...) == result;
}
#else
// AArch64 passes the pointer in x8, which only a real return type reaches. The destructor makes the
// type non-trivial, so that guaranteed elision hands over the buffer itself.
struct BigResult {
  unsigned char bytes[kProbeBytes];
  BigResult() = delete;
  BigResult(const BigResult&) = delete;
  ~BigResult() {}
};
template <class... Args>
bool CallReturningStruct(void* function, void* result, Args... args) {
  auto* typed = reinterpret_cast<BigResult (*)(Args...)>(function);
  ::new (result) BigResult(typed(args...));
  return true;
}
#endif

// What a default function wrote into buffers filled with different bytes.
struct Probe {
  alignas(16) unsigned char bytes[kProbeBytes];
  bool written[kProbeBytes];
  int last = -1;
};

Probe RunProbe(void* function, const char* name) {
  Probe probe;
  alignas(16) static thread_local unsigned char other[kProbeBytes];
  alignas(16) static thread_local unsigned char again[kProbeBytes];
  std::memset(probe.bytes, 0xA5, kProbeBytes);
  std::memset(other, 0x5A, kProbeBytes);
  std::memset(again, 0xA5, kProbeBytes);
  const bool by_pointer = CallReturningStruct(function, probe.bytes) &&
                          CallReturningStruct(function, other) &&
                          CallReturningStruct(function, again);
  if (!by_pointer) {
    throw Error("library_incompatible", std::string(name) + " does not return a struct by pointer");
  }
  if (std::memcmp(probe.bytes, again, kProbeBytes) != 0) {
    throw Error("library_incompatible", std::string(name) + " gives different values each time");
  }
  for (size_t i = 0; i < kProbeBytes; i++) {
    probe.written[i] = probe.bytes[i] == other[i];
    if (probe.written[i]) probe.last = static_cast<int>(i);
  }
  return probe;
}

uint64_t ReadBits(const unsigned char* bytes, int size) {
  uint64_t value = 0;
  std::memcpy(&value, bytes, static_cast<size_t>(size));  // little endian
  return value;
}

// Pointers that a build may legitimately preset.
bool MayBePreset(const std::string& field) { return field == "tensor_split" || field == "devices"; }

// Whether a layout explains every written byte; the first contradiction otherwise.
bool Fits(const AbiLayout& layout, const Probe& probe, std::string* why) {
  std::vector<bool> covered(kProbeBytes, false);
  for (const AbiField& field : layout.fields) {
    for (int k = 0; k < field.size; k++) {
      covered[static_cast<size_t>(field.offset + k)] = true;
      if (!probe.written[field.offset + k]) {
        *why = field.name + " is not written";
        return false;
      }
    }
    const uint64_t value = ReadBits(probe.bytes + field.offset, field.size);
    const bool known =
        std::find(field.defaults.begin(), field.defaults.end(), value) != field.defaults.end();
    if (!known && !MayBePreset(field.name)) {
      *why = field.name + " = " + std::to_string(value);
      return false;
    }
  }
  for (int i = 0; i < static_cast<int>(kProbeBytes); i++) {
    if (!probe.written[i] || covered[static_cast<size_t>(i)]) continue;
    if (i >= layout.size) {
      *why = "byte " + std::to_string(i) + " is past its " + std::to_string(layout.size) + " bytes";
      return false;
    }
    if (probe.bytes[i] != 0) {
      *why = "padding byte " + std::to_string(i) + " is set";
      return false;
    }
  }
  return true;
}

// Same place and size for every common field: the larger one may stand for both.
bool Interchangeable(const AbiLayout& a, const AbiLayout& b) {
  if (a.size != b.size) return false;
  const AbiLayout& small = a.fields.size() < b.fields.size() ? a : b;
  const AbiLayout& large = &small == &a ? b : a;
  return std::all_of(small.fields.begin(), small.fields.end(), [&](const AbiField& field) {
    const AbiField* other = large.Find(field.name.c_str());
    return other && other->offset == field.offset && other->size == field.size;
  });
}

AbiLayout Match(const std::vector<AbiLayout>& known, const Probe& probe, int from, int to,
                const char* name) {
  const AbiLayout* best = nullptr;
  std::string evidence;
  for (const AbiLayout& layout : known) {
    if (layout.to < from || layout.from >= to) continue;
    std::string why;
    if (!Fits(layout, probe, &why)) {
      evidence += (evidence.empty() ? "" : ", ") + layout.id + ": " + why;
      continue;
    }
    if (best && !Interchangeable(*best, layout)) {
      throw Error("library_incompatible",
                  std::string(name) + " is ambiguous between " + best->id + " and " + layout.id);
    }
    if (!best || layout.fields.size() >= best->fields.size()) best = &layout;
  }
  if (!best) {
    throw Error("library_incompatible",
                std::string(name) + " has an unknown layout (" + std::to_string(probe.last + 1) +
                    " bytes written; builds b" + std::to_string(from) + "..b" + std::to_string(to) +
                    "; " + (evidence.empty() ? "no candidate" : evidence) + ")");
  }
  return *best;
}

// The builds in which exactly the exported symbols existed.
void Bracket(void* handle, const AbiTable& table, AbiVerdict* verdict) {
  constexpr int kForever = 9999999;
  int from = 0;
  int to = std::numeric_limits<int>::max();
  std::string from_symbol, to_symbol;
  const auto raise = [&](int value, const std::string& name) {
    if (value > from) from = value, from_symbol = name;
  };
  const auto lower = [&](int value, const std::string& name) {
    if (value < to) to = value, to_symbol = name;
  };
  for (const AbiSymbol& symbol : table.symbols) {
    if (FindSymbol(handle, symbol.name.c_str())) {
      raise(symbol.from, symbol.name);
      if (symbol.gone < kForever) lower(symbol.gone, symbol.name);
    } else if (symbol.gone >= kForever) {
      lower(symbol.from, "no " + symbol.name);
    }
  }
  if (from >= to) {
    throw Error("library_incompatible",
                "its symbols contradict each other, a fork of llama.cpp? (" + from_symbol +
                    " since b" + std::to_string(from) + ", " + to_symbol + " before b" +
                    std::to_string(to) + ")");
  }
  if (to <= table.floor) {
    throw Error("library_incompatible", "too old: between b" + std::to_string(from) + " and b" +
                                            std::to_string(to) + ", b" +
                                            std::to_string(table.floor) + " or newer is needed");
  }
  verdict->bracket_from = from;
  verdict->bracket_to = to;
}

// llama_batch must be the 56-byte struct of types.h.
void CheckBatch(void* handle) {
  void* init = FindSymbol(handle, "llama_batch_init");
  void* free_symbol = FindSymbol(handle, "llama_batch_free");
  if (!init || !free_symbol)
    throw Error("library_incompatible", "missing symbols: llama_batch_init");
  // One buffer past the largest known form; AArch64's result type is kProbeBytes long.
  alignas(16) static thread_local unsigned char a[kProbeBytes];
  alignas(16) static thread_local unsigned char b[kProbeBytes];
  std::memset(a, 0xA5, kProbeBytes);
  std::memset(b, 0x5A, kProbeBytes);
  const bool by_pointer = CallReturningStruct(init, a, int32_t{4}, int32_t{0}, int32_t{1}) &&
                          CallReturningStruct(init, b, int32_t{4}, int32_t{0}, int32_t{1});
  size_t size = 0;
  for (size_t i = 0; i + 8 <= kProbeBytes; i += 8) {
    const bool untouched =
        ReadBits(a + i, 8) == 0xA5A5A5A5A5A5A5A5ull && ReadBits(b + i, 8) == 0x5A5A5A5A5A5A5A5Aull;
    if (!untouched) size = i + 8;
  }
  LlamaBatch first, second;
  std::memcpy(&first, a, sizeof first);
  std::memcpy(&second, b, sizeof second);
  const bool shape = by_pointer && size == sizeof(LlamaBatch) && first.n_tokens == 0 &&
                     first.token && !first.embd && first.pos && first.n_seq_id && first.seq_id &&
                     first.logits;
  // Where the shape is unknown the two small batches leak rather than being freed by a guess.
  if (!shape) {
    throw Error("library_incompatible",
                "llama_batch has " + std::to_string(size) + " bytes or another shape, 56 expected");
  }
  auto* free_batch = reinterpret_cast<void (*)(LlamaBatch)>(free_symbol);
  free_batch(first);
  free_batch(second);
}

}  // namespace

const AbiField* AbiLayout::Find(const char* name) const {
  for (const AbiField& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

AbiVerdict IdentifyAbi(void* handle, const AbiTable& table) {
  void* model_defaults = FindSymbol(handle, "llama_model_default_params");
  void* context_defaults = FindSymbol(handle, "llama_context_default_params");
  if (!model_defaults || !context_defaults) {
    throw Error("library_incompatible",
                "missing symbols: llama_model_default_params, llama_context_default_params");
  }
  return Guard("library_incompatible", "identify", [&] {
    AbiVerdict verdict;
    Bracket(handle, table, &verdict);
    const Probe model = RunProbe(model_defaults, "llama_model_default_params");
    const Probe context = RunProbe(context_defaults, "llama_context_default_params");
    verdict.model_params = Match(table.model_params, model, verdict.bracket_from,
                                 verdict.bracket_to, "llama_model_params");
    verdict.context_params = Match(table.context_params, context, verdict.bracket_from,
                                   verdict.bracket_to, "llama_context_params");
    const int from = std::max(verdict.model_params.from, verdict.context_params.from);
    const int to = std::min(verdict.model_params.to, verdict.context_params.to);
    if (from > to) {
      throw Error("library_incompatible", "layouts " + verdict.model_params.id + " and " +
                                              verdict.context_params.id + " never went together");
    }
    CheckBatch(handle);
    return verdict;
  });
}

ParamBlock DefaultParams(void* function) {
  alignas(16) unsigned char bytes[kProbeBytes] = {};
  CallReturningStruct(function, bytes);
  ParamBlock block;
  std::memcpy(block.bytes, bytes, sizeof block.bytes);
  return block;
}

bool PokeBytes(const AbiLayout& layout, ParamBlock* block, const char* field, const void* value,
               size_t size) {
  const AbiField* found = layout.Find(field);
  if (!found) return false;
  if (static_cast<size_t>(found->size) != size ||
      static_cast<size_t>(found->offset) + size > sizeof block->bytes) {
    throw Error("library_incompatible",
                std::string("field ") + field + " has " + std::to_string(found->size) + " bytes");
  }
  std::memcpy(block->bytes + found->offset, value, size);
  return true;
}

int32_t PeekInt(const AbiLayout& layout, const ParamBlock& block, const char* field,
                int32_t fallback) {
  const AbiField* found = layout.Find(field);
  if (!found || found->size != 4) return fallback;
  int32_t value;
  std::memcpy(&value, block.bytes + found->offset, sizeof value);
  return value;
}

}  // namespace hoshikage
