// What gets done in this process, as counters that only grow, so that whoever watches it can tell
// slow from stuck. Any thread; it never locks, and never decides what is too long.
#pragma once

#include <cstdint>

namespace hoshikage {

// Who gets on: the thread of a generating context, that of an embedding one, everything else.
enum class Lane { kSteps, kEmbeds, kOther };
constexpr int kLanes = 3;

// Something got done: a step, a node of a step (its abort callback was called), a part of a load.
void Advance(Lane lane);

// Marks one call into libllama that may rightly take long and tells nothing meanwhile: opening,
// loading, a whole state, the first step (some backends compile their kernels in it). Only work
// that the system sees can tell then whether it gets on. It has advanced once it is over.
class LongCall {
 public:
  explicit LongCall(Lane lane);
  ~LongCall();
  LongCall(const LongCall&) = delete;
  LongCall& operator=(const LongCall&) = delete;

 private:
  Lane lane_;
};

struct LaneProgress {
  uint64_t count = 0;
  bool in_long_call = false;
};
LaneProgress ProgressOf(Lane lane);

}  // namespace hoshikage
