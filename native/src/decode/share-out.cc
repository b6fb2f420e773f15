#include "share-out.h"

#include <algorithm>

namespace hoshikage {
namespace {

// The first steps of a size may be slower than those that follow.
constexpr double kWeight = 0.2;
// A part of them must be this much quicker than all together: news come together then.
constexpr double kMargin = 0.95;
// What was slow once is tried again some time: the machine may have been busy.
constexpr uint64_t kRetry = 512;

}  // namespace

void ShareOut::Took(size_t generated, double ms) {
  if (generated == 0 || generated >= ms_.size()) return;
  steps_++;
  double& known = ms_[generated];
  // One step that was held up says nothing; the quicker of the two is nearer to the truth.
  known = known == 0.0 ? ms : known + (ms < known ? 0.5 : kWeight) * (ms - known);
  tried_[generated] = steps_;
}

// Sizes are halves of halves, so that the parts are alike and each is seen often.
size_t ShareOut::Size(size_t generating) {
  if (generating < 2 || generating >= ms_.size()) return std::max<size_t>(generating, 1);
  size_t best = generating;
  double least = 0.0;
  for (size_t size = generating;; size = (size + 1) / 2) {
    const bool stale = steps_ - tried_[size] >= kRetry;
    if (ms_[size] == 0.0 || stale) {
      tried_[size] = steps_;
      return size;
    }
    const size_t parts = (generating + size - 1) / size;
    const double all = static_cast<double>(parts) * ms_[size];
    if (least == 0.0 || all < least * kMargin) best = size, least = all;
    if (size == 1) break;
  }
  return best;
}

}  // namespace hoshikage
