// How many generations take part in one step, learned from what steps took: some machines compute
// two tokens of a step far slower than two steps of one. Pure arithmetic; worker thread only.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace hoshikage {

class ShareOut {
 public:
  explicit ShareOut(size_t most) : ms_(most + 1, 0.0), tried_(most + 1, 0) {}

  // A step of so many tokens of generations, and nothing else, took `ms`.
  void Took(size_t generated, double ms);
  // Of so many that generate, how many are to take part in the next step.
  size_t Size(size_t generating);

 private:
  std::vector<double> ms_;       // by tokens of a step; 0 = never seen
  std::vector<uint64_t> tried_;  // which step it was seen in last
  uint64_t steps_ = 0;
};

}  // namespace hoshikage
