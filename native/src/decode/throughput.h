// How long a decode step takes by the number of sequences in it, measured on a context that is made
// for it and thrown away. A thread of its own; it never calls JavaScript and touches no other
// context.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <vector>

#include "../llama/context.h"

namespace hoshikage {

// Milliseconds of the median step of counts[i] tokens, one for each of so many sequences; nothing
// where that could not be measured within `limit_ms`. `counts` ascend from 1 on. What the context
// is computed with is taken from `options`, its sizes are our own. The first step, in which weights
// may have to be read and kernels to be compiled, is not counted and not limited. `wanted` is
// called from several threads and ends it soon by false. Throws cancelled, model_load_failed,
// library_incompatible, decode_failed, engine_out_of_memory, engine_crashed.
std::vector<std::optional<double>> MeasureSteps(const std::shared_ptr<Model>& model,
                                                ContextOptions options,
                                                const std::vector<uint32_t>& counts,
                                                double limit_ms,
                                                const std::function<bool()>& wanted);

}  // namespace hoshikage
