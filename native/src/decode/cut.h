// Where logits are to be cut, so that the nearest ones to some point hold a share of the
// probability: found by masses per bucket of distances, never by sorting them all. One per
// Candidates, one thread at a time.
#pragma once

#include <cmath>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hoshikage {

// Distances are measured from what is `below` the best; from the best itself where that is 0.
struct Point {
  float best;
  float below;
  float DistanceOf(float value) const { return std::fabs((best - value) - below); }
};

// The last one that stays. What is nearer stays too; of equally near ones what is larger, where the
// point is the best, and of equal ones what comes before it.
struct Cut {
  float distance;
  float value;
  size_t index;
};

class CutFinder {
 public:
  // The fewest whose probabilities are `share` together, or more than that; one at least. Without
  // NaN and minus infinity, of which there must not be nothing else.
  Cut ByShare(const float* values, size_t count, const Point& point, double share);
  Cut BeyondShare(const float* values, size_t count, const Point& point, double share);
  // So many; all where there are fewer.
  Cut ByNumber(const float* values, size_t count, const Point& point, size_t most);

 private:
  enum class Measure { kShare, kBeyondShare, kNumber };
  static constexpr size_t kBuckets = 1024;
  // Buckets of equal width from a distance on.
  struct Ruler {
    float from;
    float scale;
  };
  Cut Find(const float* values, size_t count);
  Ruler RulerOf(const float* values, size_t count) const;
  void BucketsOf(const float* block, const Ruler& ruler, int32_t* buckets) const;
  void WeightsOf(const float* block, float* weights) const;
  void Fill(const float* values, size_t count, const Ruler& ruler);
  double Total() const;
  int32_t Cross();
  void Collect(const float* values, size_t count, const Ruler& ruler, int32_t bucket, bool all);
  bool Enough(double mass) const;
  Cut Walk();

  Point point_{};
  Measure measure_ = Measure::kShare;
  double wanted_ = 0.0;  // the mass that is enough
  double above_ = 0.0;   // of what is nearer than those in question
  // Each bucket twice: sums that follow each other into one would wait for each other.
  double masses_[2][kBuckets];
  // Those in question, in their order, and where they are.
  std::vector<float> values_;
  std::vector<uint32_t> indices_;
  size_t count_ = 0;
  std::vector<Cut> cuts_;  // each of them, to be sorted
};

}  // namespace hoshikage
