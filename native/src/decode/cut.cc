#include "cut.h"

#include <algorithm>
#include <limits>

#include "blocks.h"

namespace hoshikage {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();
// So few are sorted.
constexpr size_t kFew = 64;

}  // namespace

Cut CutFinder::ByShare(const float* values, size_t count, const Point& point, double share) {
  point_ = point;
  measure_ = Measure::kShare;
  wanted_ = share;
  return Find(values, count);
}

Cut CutFinder::BeyondShare(const float* values, size_t count, const Point& point, double share) {
  point_ = point;
  measure_ = Measure::kBeyondShare;
  wanted_ = share;
  return Find(values, count);
}

Cut CutFinder::ByNumber(const float* values, size_t count, const Point& point, size_t most) {
  point_ = point;
  measure_ = Measure::kNumber;
  wanted_ = static_cast<double>(most);
  return Find(values, count);
}

// What is in question goes into buckets, and what lies in one of them is in question then, until
// that is little.
Cut CutFinder::Find(const float* values, size_t count) {
  above_ = 0.0;
  for (bool all = true; all || count > kFew; all = false, values = values_.data()) {
    const Ruler ruler = RulerOf(values, count);
    Fill(values, count, ruler);
    if (all && measure_ != Measure::kNumber) wanted_ *= Total();
    Collect(values, count, ruler, Cross(), all);
    if (!all && count_ == count) break;
    count = count_;
  }
  return Walk();
}

// From the nearest to the farthest, of those that have a weight.
CutFinder::Ruler CutFinder::RulerOf(const float* values, size_t count) const {
  float nearest = kFarthest;
  float farthest = 0.0f;
  const Point point = point_;
  EachBlock(values, count, [&](const float* block, size_t) {
    float distances[kBlock];
    float opposites[kBlock];
    for (size_t i = 0; i < kBlock; i++) {
      const float distance = point.DistanceOf(block[i]);
      distances[i] = distance < kFarthest ? distance : 0.0f;
    }
    for (size_t i = 0; i < kBlock; i++) opposites[i] = -point.DistanceOf(block[i]);
    farthest = std::max(farthest, LargestOf(distances));
    nearest = std::min(nearest, -LargestOf(opposites));
  });
  return {nearest, nearest < farthest ? kBuckets / (farthest - nearest) : 0.0f};
}

// Loops that a compiler can turn into vector instructions: two, since it would make a branch of
// what the limit leads to.
void CutFinder::BucketsOf(const float* block, const Ruler& ruler, int32_t* buckets) const {
  constexpr float kLast = kBuckets - 1;
  const Point point = point_;
  const float from = ruler.from;
  const float scale = ruler.scale;
  float places[kBlock];
  for (size_t i = 0; i < kBlock; i++) {
    const float place = (point.DistanceOf(block[i]) - from) * scale;
    places[i] = place < kLast ? place : kLast;
  }
  for (size_t i = 0; i < kBlock; i++) buckets[i] = static_cast<int32_t>(places[i]);
}

void CutFinder::WeightsOf(const float* block, float* weights) const {
  if (measure_ == Measure::kNumber) {
    for (size_t i = 0; i < kBlock; i++) weights[i] = block[i] > kNothing ? 1.0f : 0.0f;
  } else {
    Weights(block, point_.best, 1.0f, weights);
  }
}

void CutFinder::Fill(const float* values, size_t count, const Ruler& ruler) {
  std::fill(masses_[0], masses_[0] + kBuckets, 0.0);
  std::fill(masses_[1], masses_[1] + kBuckets, 0.0);
  EachBlock(values, count, [&](const float* block, size_t) {
    int32_t buckets[kBlock];
    float weights[kBlock];
    BucketsOf(block, ruler, buckets);
    WeightsOf(block, weights);
    for (size_t i = 0; i < kBlock; i += 2) {
      masses_[0][buckets[i]] += static_cast<double>(weights[i]);
      masses_[1][buckets[i + 1]] += static_cast<double>(weights[i + 1]);
    }
  });
}

double CutFinder::Total() const {
  double total = 0.0;
  for (size_t i = 0; i < kBuckets; i++) total += masses_[0][i] + masses_[1][i];
  return total;
}

bool CutFinder::Enough(double mass) const {
  return measure_ == Measure::kBeyondShare ? mass > wanted_ : mass >= wanted_;
}

// The bucket that brings what is enough, `above_` being what the nearer ones hold; the last that
// holds anything where rounding, or a number that there is not, leaves it at less.
int32_t CutFinder::Cross() {
  size_t last = 0;
  double before_last = above_;
  for (size_t i = 0; i < kBuckets; i++) {
    const double mass = masses_[0][i] + masses_[1][i];
    if (!(mass > 0.0)) continue;
    last = i;
    before_last = above_;
    if (Enough(above_ + mass)) break;
    above_ += mass;
  }
  above_ = before_last;
  return static_cast<int32_t>(last);
}

void CutFinder::Collect(const float* values, size_t count, const Ruler& ruler, int32_t bucket,
                        bool all) {
  size_t kept = 0;
  EachBlock(values, count, [&](const float* block, size_t at) {
    const size_t length = std::min(kBlock, count - at);
    if (values_.size() < kept + length) {
      values_.resize(2 * (kept + length));
      indices_.resize(values_.size());
    }
    int32_t buckets[kBlock];
    BucketsOf(block, ruler, buckets);
    for (size_t part = 0; part < length; part += kPart) {
      int32_t wanted = 0;
      for (size_t i = part; i < part + kPart; i++) wanted += buckets[i] == bucket ? 1 : 0;
      if (wanted == 0) continue;
      // Every one is written and the next overwrites it where it was not wanted: no branch to
      // guess.
      for (size_t i = part; i < std::min(length, part + kPart); i++) {
        const float value = block[i];
        values_[kept] = value;
        indices_[kept] = all ? static_cast<uint32_t>(at + i) : indices_[at + i];
        kept += static_cast<size_t>(buckets[i] == bucket) & static_cast<size_t>(value > kNothing);
      }
    }
  });
  count_ = kept;
}

Cut CutFinder::Walk() {
  cuts_.clear();
  for (size_t i = 0; i < count_; i++) {
    cuts_.push_back({point_.DistanceOf(values_[i]), values_[i], indices_[i]});
  }
  const bool from_best = point_.below == 0.0f;
  const auto nearer = [from_best](const Cut& a, const Cut& b) {
    if (a.distance != b.distance) return a.distance < b.distance;
    if (from_best && a.value != b.value) return a.value > b.value;
    return a.index < b.index;
  };
  // Equal ones may be many, and are in their order already.
  if (!std::is_sorted(cuts_.begin(), cuts_.end(), nearer)) {
    std::sort(cuts_.begin(), cuts_.end(), nearer);
  }
  double mass = above_;
  double weight = 1.0;
  float value = kNothing;
  for (const Cut& cut : cuts_) {
    if (measure_ != Measure::kNumber && cut.value != value) {
      value = cut.value;
      weight = std::exp(static_cast<double>(value) - point_.best);
    }
    mass += weight;
    if (Enough(mass)) return cut;
  }
  return cuts_.back();
}

}  // namespace hoshikage
