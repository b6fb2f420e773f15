#include "abi.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <optional>

#include "error.h"
#include "probe.h"
#include "shared-object.h"

namespace hoshikage {
namespace {

// The end of a bracket that no known change closes.
constexpr int kOpenBracket = std::numeric_limits<int>::max();

// Pointers that a build may legitimately preset.
bool MayBePreset(const std::string& field) { return field == "tensor_split" || field == "devices"; }

// Whether a layout explains every written byte; the first contradiction otherwise.
bool Fits(const AbiLayout& layout, const Probe& probe, std::string* why) {
  std::vector<bool> covered(kProbeBytes, false);
  for (const AbiField& field : layout.fields) {
    for (int k = 0; k < field.size; k++) covered[static_cast<size_t>(field.offset + k)] = true;
    if (!probe.Written(field.offset, field.size)) {
      *why = field.name + " is not written";
      return false;
    }
    const uint64_t value = probe.Value(field.offset, field.size);
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

// The layout that explains the struct; the evidence against each where none does.
struct Finding {
  std::optional<AbiLayout> layout;
  std::string evidence;
};

Finding Match(const std::vector<AbiLayout>& known, const Probe& probe, int from, int to,
              const char* name) {
  const AbiLayout* best = nullptr;
  Finding finding;
  for (const AbiLayout& layout : known) {
    if (layout.to < from || layout.from >= to) continue;
    std::string why;
    if (!Fits(layout, probe, &why)) {
      finding.evidence += (finding.evidence.empty() ? "" : ", ") + layout.id + ": " + why;
      continue;
    }
    if (best && !Interchangeable(*best, layout)) {
      throw Error("library_incompatible",
                  std::string(name) + " is ambiguous between " + best->id + " and " + layout.id);
    }
    if (!best || layout.fields.size() >= best->fields.size()) best = &layout;
  }
  if (best) finding.layout = *best;
  return finding;
}

// The builds in which exactly the exported symbols existed.
void Bracket(void* handle, const AbiTable& table, AbiVerdict* verdict) {
  constexpr int kForever = 9999999;
  int from = 0;
  int to = kOpenBracket;
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

// Both layouts must have been in use at the same time.
void CheckTogether(const AbiVerdict& verdict) {
  const int from = std::max(verdict.model_params.from, verdict.context_params.from);
  const int to = std::min(verdict.model_params.to, verdict.context_params.to);
  if (from <= to) return;
  throw Error("library_incompatible", "layouts " + verdict.model_params.id + " and " +
                                          verdict.context_params.id + " never went together");
}

// A field of zero may have been put into the padding behind main_gpu without another trace, and
// main_gpu itself moved there: a build that clears its padding looks the same.
bool WritesBehindMainGpu(const AbiLayout& layout, const Probe& model) {
  const AbiField* main_gpu = layout.Find("main_gpu");
  if (!main_gpu) return false;
  const int end = main_gpu->offset + main_gpu->size;
  const bool padding =
      std::none_of(layout.fields.begin(), layout.fields.end(), [&](const AbiField& field) {
        return field.offset < end + 4 && field.offset + field.size > end;
      });
  return padding && model.Written(end, 4);
}

std::string UnknownLayout(const char* name, const Probe& probe, const AbiVerdict& verdict,
                          const std::string& evidence) {
  return std::string(name) + " has an unknown layout (" + std::to_string(probe.last + 1) +
         " bytes written; builds b" + std::to_string(verdict.bracket_from) + "..b" +
         std::to_string(verdict.bracket_to) + "; " +
         (evidence.empty() ? "no candidate" : evidence) + ")";
}

// The minimal mode, for a library newer than the table: only fields that have never moved since
// b5028, and only where they hold what they have always held.
struct FixedField {
  const char* name;
  int offset;
  uint64_t value;
};
using FixedFields = std::vector<FixedField>;
const FixedFields kModelAlways = {{"n_gpu_layers", 16, 0xFFFFFFFFu}, {"split_mode", 20, 1}};
const FixedFields kContextAlways = {
    {"n_ctx", 0, 512}, {"n_batch", 4, 2048}, {"n_ubatch", 8, 512}, {"n_seq_max", 12, 1}};
const std::string kHowToAllow =
    "; it is newer than the table of layouts. ALLOW_UNKNOWN_LIBLLAMA=1 drives it in a minimal "
    "mode, "
    "and `hoshikage lib use` offers that after trying it out";

// Bytes up to the end of the last field of the newest known layout.
int KnownExtent(const std::vector<AbiLayout>& known) {
  int extent = 0;
  int newest = -1;
  for (const AbiLayout& layout : known) {
    if (layout.from < newest) continue;
    newest = layout.from;
    extent = 0;
    for (const AbiField& field : layout.fields)
      extent = std::max(extent, field.offset + field.size);
  }
  return extent;
}

std::string FixedProblem(const FixedFields& fields, const Probe& probe) {
  for (const FixedField& field : fields) {
    if (!probe.Written(field.offset, 4)) return std::string(field.name) + " is not written";
    const uint64_t value = probe.Value(field.offset, 4);
    if (value != field.value) return std::string(field.name) + " = " + std::to_string(value);
  }
  return "";
}

std::string SizeProblem(const std::vector<AbiLayout>& known, const Probe& probe) {
  const int bytes = probe.last + 1;
  const bool possible =
      bytes >= KnownExtent(known) && bytes <= static_cast<int>(sizeof(ParamBlock::bytes));
  return possible ? "" : std::to_string(bytes) + " bytes are written";
}

// Why the library cannot even be driven in the minimal mode; empty where it can.
std::string MinimalProblem(const AbiTable& table, const AbiVerdict& verdict, const Probe& model,
                           const Probe& context) {
  if (verdict.bracket_to != kOpenBracket) {
    return "its functions are those of a build before b" + std::to_string(verdict.bracket_to) +
           ", whose layouts are known: a fork of llama.cpp?";
  }
  for (const std::string& problem :
       {SizeProblem(table.model_params, model), FixedProblem(kModelAlways, model),
        SizeProblem(table.context_params, context), FixedProblem(kContextAlways, context)}) {
    if (!problem.empty()) return "the minimal mode is impossible, too: " + problem;
  }
  return "";
}

AbiLayout MinimalLayout(const FixedFields& fields, const Probe& probe, const AbiVerdict& verdict) {
  AbiLayout layout{"minimal", probe.last + 1, verdict.bracket_from, verdict.bracket_to, {}};
  for (const FixedField& field : fields) {
    layout.fields.push_back({field.name, field.offset, 4, {field.value}});
  }
  return layout;
}

}  // namespace

const AbiField* AbiLayout::Find(const char* name) const {
  for (const AbiField& field : fields) {
    if (field.name == name) return &field;
  }
  return nullptr;
}

AbiVerdict IdentifyAbi(void* handle, const AbiTable& table, bool allow_unknown) {
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
    CheckBatch(handle);
    const int from = verdict.bracket_from, to = verdict.bracket_to;
    const Finding models = Match(table.model_params, model, from, to, "llama_model_params");
    const Finding contexts = Match(table.context_params, context, from, to, "llama_context_params");
    if (models.layout && contexts.layout) {
      verdict.model_params = *models.layout;
      verdict.context_params = *contexts.layout;
      CheckTogether(verdict);
      verdict.padding_written = to == kOpenBracket && WritesBehindMainGpu(*models.layout, model);
      return verdict;
    }
    const std::string problem = MinimalProblem(table, verdict, model, context);
    if (!allow_unknown || !problem.empty()) {
      const bool of_model = !models.layout;
      throw Error("library_incompatible",
                  UnknownLayout(of_model ? "llama_model_params" : "llama_context_params",
                                of_model ? model : context, verdict,
                                of_model ? models.evidence : contexts.evidence) +
                      (problem.empty() ? kHowToAllow : "; " + problem));
    }
    verdict.minimal = true;
    verdict.model_params = MinimalLayout(kModelAlways, model, verdict);
    verdict.context_params = MinimalLayout(kContextAlways, context, verdict);
    return verdict;
  });
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
