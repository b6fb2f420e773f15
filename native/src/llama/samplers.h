// How many arguments the samplers take whose signatures changed under the same name. Any thread,
// no model needed. It must only be asked of a build within the table, and in a process that may
// crash: what an older or a newer one makes of these calls nobody has tried.
#pragma once

#include <optional>

#include "abi.h"

namespace hoshikage {

// Nothing where unproved.
struct SamplerArities {
  std::optional<int> penalties;  // 4, or 5: n_vocab first
  std::optional<int> dry;        // 8, or 7: without n_ctx_train
};

// Proves them by behaviour and narrows the bracket by them.
// Throws library_incompatible where they contradict the symbols, as in a fork.
SamplerArities ProveSamplers(void* handle, const AbiTable& table, AbiVerdict* verdict);

}  // namespace hoshikage
