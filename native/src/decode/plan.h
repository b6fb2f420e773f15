// Whose prompt is computed in the next step, and how much of it: short ones first, but each grows
// older while others are served. Pure, by counting tokens; any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hoshikage {

// A prompt that is not wholly in the cache yet; sizes are tokens.
struct PromptPlace {
  size_t slot = 0;
  uint64_t admitted = 0;    // the order in which they came
  size_t left = 0;          // of it
  size_t passed = 0;        // computed for others since it came
  bool background = false;  // of a request that can wait
  // What each other slot's prompt has in common with it, by slot: it is not computed by both.
  const std::vector<size_t>* shared = nullptr;
  size_t cached = 0;
  size_t most = SIZE_MAX;  // of it in one step
};

struct PromptPiece {
  size_t slot = 0;
  size_t tokens = 0;
};

// Room of one step, in tokens.
struct StepRoom {
  size_t first = 0;  // for the first prompt alone
  size_t all = 0;    // for all together, unless the first has more
};

// In the order of their turns. `handicap`: by how much a background prompt counts as longer. A
// prompt of which another one computes more than it has itself waits for that.
std::vector<PromptPiece> PlanPrompts(std::vector<PromptPlace> places, size_t handicap,
                                     const StepRoom& room);

}  // namespace hoshikage
