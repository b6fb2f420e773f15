#include "progress.h"

#include <atomic>
#include <cstddef>

namespace hoshikage {
namespace {

struct LaneState {
  std::atomic<uint64_t> count{0};
  std::atomic<int32_t> long_calls{0};
};
LaneState g_lanes[kLanes];

LaneState& Of(Lane lane) { return g_lanes[static_cast<size_t>(lane)]; }

}  // namespace

void Advance(Lane lane) { Of(lane).count.fetch_add(1, std::memory_order_relaxed); }

LongCall::LongCall(Lane lane) : lane_(lane) {
  Of(lane_).long_calls.fetch_add(1, std::memory_order_relaxed);
}

LongCall::~LongCall() {
  Of(lane_).long_calls.fetch_sub(1, std::memory_order_relaxed);
  Advance(lane_);
}

LaneProgress ProgressOf(Lane lane) {
  const LaneState& state = Of(lane);
  return {state.count.load(std::memory_order_relaxed),
          state.long_calls.load(std::memory_order_relaxed) > 0};
}

}  // namespace hoshikage
