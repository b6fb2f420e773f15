#include "gain.h"

#include <algorithm>

namespace hoshikage {
namespace {

// A gain below this is not told from chance.
constexpr double kMargin = 1.1;
// What a probe must promise.
constexpr double kPromise = 1.25;
// Steps after which a measurement is made again.
constexpr uint64_t kFreshSteps = 64;
// A step may be this much longer than one without drafts, whatever a stall may be.
constexpr double kLongerThanPlain = 2.0;
constexpr double kLearn = 0.2;
constexpr double kFade = 1.0 / 512.0;
constexpr double kUnknown = 0.5;

// Takes one token after the other, the likeliest first, as long as `go_on` says so of the plan with
// it: how many tokens it tries, how many are told then, and how many the draft model computes for
// one slot.
template <class GoOn>
std::vector<size_t> Grow(const std::vector<DraftPlace>& places, const DraftLimits& limits,
                         GoOn&& go_on) {
  std::vector<size_t> counts(places.size());
  std::vector<double> next(places.size());  // how likely each one's next token is right
  for (size_t i = 0; i < places.size(); i++) next[i] = places[i].likely;
  double told = static_cast<double>(places.size());
  size_t tried = 0;
  size_t rounds = 0;
  while (tried < limits.most_tokens) {
    size_t best = places.size();
    for (size_t i = 0; i < places.size(); i++) {
      if (counts[i] < places[i].most && (best == places.size() || next[i] > next[best])) best = i;
    }
    if (best == places.size() || next[best] <= 0.0) break;
    counts[best]++;
    tried++;
    told += next[best];
    next[best] *= places[best].likely;
    if (places[best].by_model) rounds = std::max(rounds, counts[best]);
    if (!go_on(counts, tried, told, rounds)) break;
  }
  return counts;
}

// Steps grow by and by: beyond what is known, one is at most twice as large.
bool Allowed(size_t rows, double ms, double plain, const StepCosts& costs,
             const DraftLimits& limits) {
  const size_t largest = std::min(2 * costs.largest(), kMostRows);
  return rows <= largest && ms <= std::max(limits.most_ms, kLongerThanPlain * plain);
}

}  // namespace

void StepCosts::Took(size_t rows, double ms) {
  if (rows == 0 || rows > kMostRows || ms <= 0.0) return;
  Known& known = known_[rows];
  // One step in which the machine did something else is not believed.
  known.ms = known.ms == 0.0 ? ms : known.ms + kLearn * (std::min(ms, 2.0 * known.ms) - known.ms);
  known.at = ++steps_;
  largest_ = std::max(largest_, rows);
}

bool StepCosts::Fresh(size_t rows) const {
  if (rows == 0 || rows > kMostRows) return false;
  return known_[rows].ms > 0.0 && steps_ - known_[rows].at < kFreshSteps;
}

double StepCosts::Of(size_t rows) const {
  rows = std::min(rows, kMostRows);
  size_t below = rows;
  while (below > 0 && known_[below].ms == 0.0) below--;
  if (below == rows && rows > 0) return known_[rows].ms;
  size_t above = rows;
  while (above <= kMostRows && known_[above].ms == 0.0) above++;
  if (below == 0) return above <= kMostRows ? known_[above].ms : 0.0;
  size_t from = below;
  size_t to = above;
  if (above > kMostRows) {
    // Beyond all that is known: as the last two rise.
    to = below;
    from = below - 1;
    while (from > 0 && known_[from].ms == 0.0) from--;
    if (from == 0) return known_[below].ms;
  }
  const double slope = (known_[to].ms - known_[from].ms) / static_cast<double>(to - from);
  const double ahead = static_cast<double>(rows - below);
  return known_[below].ms + std::max(slope, 0.0) * ahead;
}

void Likelihood::Saw(size_t right, bool wrong) {
  for (size_t i = 0; i < right; i++) value_ += kLearn * (1.0 - value_);
  if (wrong) value_ -= kLearn * value_;
}

void Likelihood::Fade() { value_ += kFade * (kUnknown - value_); }

std::vector<size_t> PlanDrafts(const std::vector<DraftPlace>& places, const StepCosts& costs,
                               const DraftLimits& limits) {
  const size_t slots = places.size();
  std::vector<size_t> best(slots);
  // What is won must be known against what it is compared with.
  if (!costs.Fresh(slots)) return best;
  const double plain = costs.Of(slots);
  double best_rate = kMargin * static_cast<double>(slots) / plain;
  Grow(places, limits, [&](const auto& counts, size_t tried, double told, size_t rounds) {
    const double ms = costs.Of(slots + tried) + static_cast<double>(rounds) * limits.round_ms;
    if (!Allowed(slots + tried, ms, plain, costs, limits)) return false;
    if (told / ms > best_rate) best = counts, best_rate = told / ms;
    return true;
  });
  return best;
}

std::vector<size_t> PlanProbe(const std::vector<DraftPlace>& places, const StepCosts& costs,
                              const DraftLimits& limits) {
  const size_t slots = places.size();
  const double plain = costs.Of(slots);
  std::vector<size_t> probe(slots);
  if (plain <= 0.0) return probe;
  Grow(places, limits, [&](const auto& counts, size_t tried, double told, size_t rounds) {
    const double ms = costs.Of(slots + tried) + static_cast<double>(rounds) * limits.round_ms;
    if (!Allowed(slots + tried, ms, plain, costs, limits)) return false;
    if (told >= kPromise * static_cast<double>(slots)) probe = counts;
    return true;
  });
  return probe;
}

}  // namespace hoshikage
