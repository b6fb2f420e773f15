#include "samplers.h"

#include <algorithm>
#include <cstring>
#include <string>

#include "error.h"
#include "shared-object.h"

namespace hoshikage {
namespace {

using NameOf = const char* (*)(const llama_sampler*);
using FreeSampler = void (*)(llama_sampler*);

// The sampler's name, which begins with `?` where it does nothing; empty where there is no sampler.
std::string TakeName(llama_sampler* sampler, NameOf name_of, FreeSampler free_sampler) {
  if (!sampler) return "";
  const char* text = name_of(sampler);
  const std::string name = text ? text : "";
  free_sampler(sampler);
  return name;
}

// Called as the five-argument function with a window of 0 tokens. The one with four reads a window
// of 1000 and a penalty of 2, wherever the platform passes floats: it would do something.
std::optional<int> Penalties(void* function, NameOf name_of, FreeSampler free_sampler) {
  using FiveArguments = llama_sampler* (*)(int32_t, int32_t, float, float, float);
  llama_sampler* sampler = reinterpret_cast<FiveArguments>(function)(1000, 0, 2.0f, 0.0f, 0.0f);
  const std::string name = TakeName(sampler, name_of, free_sampler);
  if (name == "?penalties") return 5;
  if (name == "penalties") return 4;
  return std::nullopt;
}

// Called as the seven-argument function with a window of 64 tokens. The one with eight reads the
// null breakers as a window of 0, so it does nothing and looks at nothing else. The other way round
// (eight arguments for seven) is a crash.
std::optional<int> Dry(void* function, NameOf name_of, FreeSampler free_sampler) {
  using SevenArguments =
      llama_sampler* (*)(const llama_vocab*, float, float, int32_t, int32_t, const char**, size_t);
  llama_sampler* sampler =
      reinterpret_cast<SevenArguments>(function)(nullptr, 2.0f, 2.0f, 2, 64, nullptr, 0);
  const std::string name = TakeName(sampler, name_of, free_sampler);
  if (name == "dry") return 7;
  if (name == "?dry") return 8;
  return std::nullopt;
}

// The builds that both the symbols and the context's layout allow: [from, to).
struct Builds {
  int from, to;

  // What a sampler's arity says: `changed` is the build that it changed in.
  void Narrow(bool is_new, int changed, const char* name) {
    if (is_new ? to <= changed : from >= changed) {
      throw Error("library_incompatible",
                  std::string("its samplers and its symbols contradict each other, a fork of "
                              "llama.cpp? (") +
                      name + " is the one of " + (is_new ? "since" : "before") + " b" +
                      std::to_string(changed) + ", the rest of b" + std::to_string(from) + "..b" +
                      std::to_string(to) + ")");
    }
    if (is_new) {
      from = std::max(from, changed);
    } else {
      to = std::min(to, changed);
    }
  }
};

}  // namespace

SamplerArities ProveSamplers(void* handle, const AbiTable& table, AbiVerdict* verdict) {
  SamplerArities arities;
  void* penalties = FindSymbol(handle, "llama_sampler_init_penalties");
  void* dry = FindSymbol(handle, "llama_sampler_init_dry");
  auto name_of = reinterpret_cast<NameOf>(FindSymbol(handle, "llama_sampler_name"));
  auto free_sampler = reinterpret_cast<FreeSampler>(FindSymbol(handle, "llama_sampler_free"));
  const SamplerHistory& history = table.samplers;
  const AbiLayout& context = verdict->context_params;
  Builds builds{std::max(verdict->bracket_from, context.from),
                std::min(verdict->bracket_to - 1, context.to) + 1};
  if (builds.to <= history.names_tell) {
    if (penalties) arities.penalties = 4;
    if (dry) arities.dry = 8;
    return arities;
  }
  if (!name_of || !free_sampler || builds.from < history.names_tell) return arities;
  Guard("library_incompatible", "samplers", [&] {
    if (penalties) arities.penalties = Penalties(penalties, name_of, free_sampler);
    if (dry) arities.dry = Dry(dry, name_of, free_sampler);
  });
  if (arities.penalties) {
    builds.Narrow(*arities.penalties == 5, history.penalties5, "llama_sampler_init_penalties");
  }
  if (arities.dry) builds.Narrow(*arities.dry == 7, history.dry7, "llama_sampler_init_dry");
  if (arities.penalties == 5)
    verdict->bracket_from = std::max(verdict->bracket_from, history.penalties5);
  if (arities.dry == 7) verdict->bracket_from = std::max(verdict->bracket_from, history.dry7);
  if (arities.penalties == 4)
    verdict->bracket_to = std::min(verdict->bracket_to, history.penalties5);
  if (arities.dry == 8) verdict->bracket_to = std::min(verdict->bracket_to, history.dry7);
  return arities;
}

}  // namespace hoshikage
