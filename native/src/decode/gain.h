// Whether trying tokens ahead pays, and how many: learned from what steps take and from how often
// what was tried was right. Pure arithmetic on what it is told; worker thread only.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <vector>

namespace hoshikage {

// Rows (tokens whose logits are asked for) of a step with drafts, at most.
constexpr size_t kMostRows = 64;

// What steps that only generate take, by their rows, ms. A machine that does something else in
// between makes some of them longer, so none is believed alone.
class StepCosts {
 public:
  void Took(size_t rows, double ms);
  // What such a step would take; between known ones on a line, beyond them as the last ones rise.
  // 0 = nothing is known.
  double Of(size_t rows) const;
  // Whether it is well known, and was measured lately.
  bool Fresh(size_t rows) const;
  // Rows of the largest step that is known.
  size_t Largest() const;

 private:
  struct Known {
    std::array<double, 5> last{};  // ms
    size_t count = 0;              // of those, and beyond
    uint64_t at = 0;               // the number of the step
    double ms = 0.0;               // what they say; 0 = none yet
  };
  // What it said once is forgotten.
  double Ms(size_t rows) const;

  std::array<Known, kMostRows + 1> known_;
  uint64_t steps_ = 0;
};

// How likely a tried token is right, after so many that were and one that was not.
class Likelihood {
 public:
  explicit Likelihood(double first) : value_(first) {}
  double value() const { return value_; }
  void Saw(size_t right, bool wrong);
  // Nothing was tried: what was known slowly becomes as good as unknown.
  void Fade();

 private:
  double value_;
};

// A slot that generates.
struct DraftPlace {
  double likely = 0.0;    // that a tried token is right, those before it being so
  size_t most = 0;        // tokens that may be tried
  bool by_model = false;  // they have to be computed first, one after the other
};

struct DraftLimits {
  double round_ms = 0.0;   // what the draft model takes for one token of every slot; 0 = not known
  double most_ms = 0.0;    // that a step may take
  size_t most_tokens = 0;  // to be tried, by all together
  size_t together = 0;     // slots of a step in which nothing is tried: of more, they take turns
};

// How many tokens each slot tries: as many as bring the most tokens per ms, and none where that is
// hardly more than without, in steps of `together` slots.
std::vector<size_t> PlanDrafts(const std::vector<DraftPlace>& places, const StepCosts& costs,
                               const DraftLimits& limits);
// A few that are tried to find out what that costs; none where even at no cost little were won.
std::vector<size_t> PlanProbe(const std::vector<DraftPlace>& places, const StepCosts& costs,
                              const DraftLimits& limits);

}  // namespace hoshikage
