#include "gain.h"

#include <algorithm>

namespace hoshikage {
namespace {

// A gain below this is not told from chance.
constexpr double kMargin = 1.15;
// What a probe must promise.
constexpr double kPromise = 1.25;
// Steps after which a measurement is made again.
constexpr uint64_t kFreshSteps = 64;
// Steps after which it is as if it had never been made.
constexpr uint64_t kKnownSteps = 512;
// Measurements that all others are compared with.
constexpr size_t kEnough = 3;
// A step may be this much longer than one without drafts, whatever a stall may be; a probe of more
// than one token, no longer than that.
constexpr double kLongerThanPlain = 2.0;
constexpr double kLongestProbe = 4.0;
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

// A larger step takes no less than a smaller one, whatever chance says.
double CostOf(size_t rows, size_t rounds, double plain, const StepCosts& costs,
              const DraftLimits& limits) {
  return std::max(costs.Of(rows), plain) + static_cast<double>(rounds) * limits.round_ms;
}

// Steps grow by and by: beyond what is known, one is at most twice as large.
bool Allowed(size_t rows, double ms, double plain, const StepCosts& costs,
             const DraftLimits& limits) {
  const size_t largest = std::min(2 * costs.Largest(), kMostRows);
  return rows <= largest && ms <= std::max(limits.most_ms, kLongerThanPlain * plain);
}

}  // namespace

void StepCosts::Took(size_t rows, double ms) {
  if (rows == 0 || rows > kMostRows || ms <= 0.0) return;
  Known& known = known_[rows];
  known.last[known.count++ % known.last.size()] = ms;
  known.at = ++steps_;
  const size_t count = std::min(known.count, known.last.size());
  std::array<double, 5> sorted = known.last;
  std::sort(sorted.begin(), sorted.begin() + static_cast<ptrdiff_t>(count));
  known.ms = sorted[(count - 1) / 2];
}

bool StepCosts::Fresh(size_t rows) const {
  if (rows == 0 || rows > kMostRows) return false;
  return known_[rows].count >= kEnough && steps_ - known_[rows].at < kFreshSteps;
}

double StepCosts::Ms(size_t rows) const {
  const Known& known = known_[rows];
  return steps_ - known.at < kKnownSteps ? known.ms : 0.0;
}

size_t StepCosts::Largest() const {
  size_t rows = kMostRows;
  while (rows > 0 && Ms(rows) == 0.0) rows--;
  return rows;
}

double StepCosts::Of(size_t rows) const {
  rows = std::min(rows, kMostRows);
  size_t below = rows;
  while (below > 0 && Ms(below) == 0.0) below--;
  if (below == rows && rows > 0) return Ms(rows);
  size_t above = rows;
  while (above <= kMostRows && Ms(above) == 0.0) above++;
  if (below == 0) return above <= kMostRows ? Ms(above) : 0.0;
  size_t from = below;
  size_t to = above;
  if (above > kMostRows) {
    // Beyond all that is known: as the last two rise.
    to = below;
    from = below - 1;
    while (from > 0 && Ms(from) == 0.0) from--;
    if (from == 0) return Ms(below);
  }
  const double slope = (Ms(to) - Ms(from)) / static_cast<double>(to - from);
  return Ms(below) + std::max(slope, 0.0) * static_cast<double>(rows - below);
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
  if (!costs.Fresh(limits.together)) return best;
  const double plain = costs.Of(slots);
  double best_rate = kMargin * static_cast<double>(limits.together) / costs.Of(limits.together);
  Grow(places, limits, [&](const auto& counts, size_t tried, double told, size_t rounds) {
    const double ms = CostOf(slots + tried, rounds, plain, costs, limits);
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
  double most_told = 0.0;
  Grow(places, limits, [&](const auto&, size_t, double told, size_t) {
    most_told = told;
    return true;
  });
  if (plain <= 0.0 || most_told < kPromise * static_cast<double>(slots)) return probe;
  Grow(places, limits, [&](const auto& counts, size_t tried, double, size_t rounds) {
    const double ms = CostOf(slots + tried, rounds, plain, costs, limits);
    const bool short_enough =
        ms <= kLongestProbe * plain && Allowed(slots + tried, ms, plain, costs, limits);
    // One at least: what is known may have been chance.
    if (tried > 1 && !short_enough) return false;
    probe = counts;
    return true;
  });
  return probe;
}

}  // namespace hoshikage
