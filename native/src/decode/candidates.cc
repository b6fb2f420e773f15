#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../llama/error.h"
#include "blocks.h"

namespace hoshikage {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
// So many are kept in a heap, which leaves them best first; more are left in the order of ids.
constexpr size_t kFew = 128;

bool Better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// The first index of the largest value; 0 where there is none.
size_t IndexOfLargest(const float* values, size_t count) {
  float best = kForbidden;
  size_t block_of_best = 0;
  EachBlock(values, count, [&](const float* block, size_t at) {
    const float largest = LargestOf(block);
    if (largest > best) best = largest, block_of_best = at;
  });
  for (size_t i = block_of_best; i < count; i++) {
    if (values[i] == best && best > kForbidden) return i;
  }
  return 0;
}

template <class Keep>
void ForbidOthers(float* begin, float* end, Keep keep) {
  for (float* value = begin; value != end; value++) *value = keep(*value) ? *value : kForbidden;
}

}  // namespace

// A small heap whose smallest member is the bar that the next logit must clear; most parts have
// none that does.
std::vector<Candidate> LargestLogits(const float* logits, int32_t count, size_t k) {
  std::vector<Candidate> heap;
  if (k == 0) return heap;
  heap.reserve(k + 1);
  float bar = kForbidden;
  const auto clears = [&bar](float logit) { return logit > bar; };
  const float* const end = logits + count;
  for (const float* part = logits; part < end; part += std::min<ptrdiff_t>(kPart, end - part)) {
    const float* const stop = part + std::min<ptrdiff_t>(kPart, end - part);
    if (CountWhere(part, stop, clears) == 0) continue;
    for (const float* logit = part; logit != stop; logit++) {
      if (!clears(*logit)) continue;
      heap.push_back({static_cast<Token>(logit - logits), *logit});
      std::push_heap(heap.begin(), heap.end(), Better);
      if (heap.size() > k) {
        std::pop_heap(heap.begin(), heap.end(), Better);
        heap.pop_back();
      }
      if (heap.size() == k) bar = heap.front().logit;
    }
  }
  std::sort_heap(heap.begin(), heap.end(), Better);
  return heap;
}

Token ArgMax(const float* logits, int32_t count) {
  return static_cast<Token>(IndexOfLargest(logits, static_cast<size_t>(count)));
}

void Candidates::Begin(float* logits, int32_t count) {
  values_ = logits;
  size_ = static_cast<size_t>(count);
  whole_ = true;
  certain_ = false;
  best_.reset();
}

float* Candidates::Find(Token token) {
  if (whole_) return values_ + token;
  const auto begin = tokens_.begin();
  const auto end = begin + static_cast<ptrdiff_t>(size_);
  const auto found =
      size_ > kFew ? std::lower_bound(begin, end, token) : std::find(begin, end, token);
  return found == end || *found != token ? nullptr : values_ + (found - begin);
}

float Candidates::Best() const {
  if (best_) return *best_;
  const float best = LargestOf(values_, size_);
  if (!(best > kForbidden)) throw Error("decode_failed", "no finite logit");
  best_ = best;
  return best;
}

Candidates::Masses Candidates::Weigh() const {
  const float best = Best();
  Masses masses{0.0, 0.0};
  EachBlock(values_, size_, [&](const float* block, size_t) {
    float distances[kBlock];
    float weights[kBlock];
    Distances(block, best, 1.0f, distances);
    Exponentials(distances, weights);
    masses.total += SumOf(weights);
    masses.weighted += SumOfProducts(weights, distances);
  });
  return masses;
}

void Candidates::Reserve(size_t count) {
  if (logits_.size() >= count) return;
  logits_.resize(count);
  tokens_.resize(count);
}

void Candidates::KeepOnly(size_t index) {
  const Candidate kept{TokenAt(index), values_[index]};
  Reserve(1);
  logits_[0] = kept.logit;
  tokens_[0] = kept.token;
  Become(1);
  best_ = kept.logit;
}

bool Candidates::Several() {
  if (size_ < 2) {
    certain_ = std::isinf(Best());
    return false;
  }
  if (!std::isinf(Best())) return true;
  // A bias or an overflow made it certain, and its distance to the others is no number.
  certain_ = true;
  KeepOnly(IndexOfLargest(values_, size_));
  return false;
}

// Adds those of a range that are to be kept to the first `kept` of the list; gives their number.
// What is a list already only moves to its front.
template <class Keep>
size_t Candidates::Append(size_t kept, size_t begin, size_t end, Keep keep) {
  for (size_t at = begin; at < end; at += kPart) {
    const size_t stop = std::min(end, at + kPart);
    if (CountWhere(values_ + at, values_ + stop, keep) == 0) continue;
    if (logits_.size() < kept + (stop - at)) Reserve(2 * (kept + kPart));
    // Every one is written and the next overwrites it where it was not wanted: no branch to guess.
    for (size_t i = at; i < stop; i++) {
      const float value = values_[i];
      logits_[kept] = value;
      tokens_[kept] = TokenAt(i);
      kept += static_cast<size_t>(keep(value));
    }
  }
  return kept;
}

void Candidates::Become(size_t kept) {
  whole_ = false;
  values_ = logits_.data();
  size_ = kept;
}

// Leaves what `before` wants of those before a place, and `after` of the others. Where most of a
// vocabulary stays, the rest is forbidden in its place; else what stays is listed.
template <class Before, class After>
void Candidates::Filter(size_t place, Before before, After after) {
  if (whole_) {
    float* const middle = values_ + place;
    float* const end = values_ + size_;
    if (2 * (CountWhere(values_, middle, before) + CountWhere(middle, end, after)) > size_) {
      ForbidOthers(values_, middle, before);
      ForbidOthers(middle, end, after);
      return;
    }
  }
  const size_t kept = Append(0, 0, place, before);
  Become(Append(kept, place, size_, after));
}

void Candidates::KeepFrom(float bar) {
  const auto keep = [bar](float value) { return value >= bar; };
  Filter(size_, keep, keep);
}

void Candidates::KeepBest(const Cut& cut) {
  const float least = cut.value;
  Filter(
      cut.index + 1, [least](float value) { return value >= least; },
      [least](float value) { return value > least; });
}

void Candidates::KeepNear(const Point& point, const Cut& cut) {
  const float most = cut.distance;
  Filter(
      cut.index + 1, [point, most](float value) { return point.DistanceOf(value) <= most; },
      [point, most](float value) { return point.DistanceOf(value) < most; });
}

void Candidates::TopNSigma(float n) {
  if (!Several()) return;
  double sum = 0.0;
  double squares = 0.0;
  double count = 0.0;
  // Distances to the best: squares of large numbers would swallow the small ones.
  const float best = Best();
  EachBlock(values_, size_, [&](const float* block, size_t) {
    float distances[kBlock];
    float there[kBlock];
    for (size_t i = 0; i < kBlock; i++)
      distances[i] = block[i] > kForbidden ? best - block[i] : 0.0f;
    for (size_t i = 0; i < kBlock; i++) there[i] = block[i] > kForbidden ? 1.0f : 0.0f;
    sum += SumOf(distances);
    squares += SumOfProducts(distances, distances);
    count += SumOf(there);
  });
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  KeepFrom(static_cast<float>(best - n * deviation));
}

void Candidates::TopK(size_t k) {
  if (k >= size_) return;
  if (whole_ && k <= kFew) {
    const std::vector<Candidate> largest = LargestLogits(values_, static_cast<int32_t>(size_), k);
    if (largest.empty()) throw Error("decode_failed", "no finite logit");
    Reserve(largest.size());
    for (size_t i = 0; i < largest.size(); i++) {
      logits_[i] = largest[i].logit;
      tokens_[i] = largest[i].token;
    }
    Become(largest.size());
    best_ = largest.front().logit;
    Several();
    return;
  }
  if (!Several()) return;
  const Point best{Best(), 0.0f};
  KeepBest(cut_finder_.ByNumber(values_, size_, best, k));
}

void Candidates::TypicalP(float p) {
  if (!Several()) return;
  // Surprise is log(total) + distance, and the entropy its mean.
  const Masses masses = Weigh();
  const Point mean{Best(), static_cast<float>(masses.weighted / masses.total)};
  KeepNear(mean, cut_finder_.BeyondShare(values_, size_, mean, p));
  Changed();
}

void Candidates::TopP(float p) {
  if (!Several()) return;
  const Point best{Best(), 0.0f};
  KeepBest(cut_finder_.ByShare(values_, size_, best, p));
}

void Candidates::MinP(float p) {
  if (!Several()) return;
  KeepFrom(Best() + std::log(p));
}

void Candidates::ExcludeTopChoices(float threshold) {
  if (!Several()) return;
  // e^(logit - best) / total >= threshold
  const double bar = Best() + std::log(threshold * Weigh().total);
  const auto above = [&](size_t i) { return values_[i] > kForbidden && values_[i] >= bar; };
  size_t last = size_;
  for (size_t i = 0; i < size_; i++) {
    if (above(i) && (last == size_ || values_[i] <= values_[last])) last = i;
  }
  for (size_t i = 0; i < size_; i++) {
    if (i != last && above(i)) values_[i] = kForbidden;
  }
  Changed();
}

void Candidates::LimitSurprise(double bits) {
  if (!Several()) return;
  const float best = Best();
  // -log2(e^(logit - best) / total) <= bits
  const double bar = best + std::log(Weigh().total) - bits * std::log(2.0);
  KeepFrom(static_cast<float>(std::min<double>(bar, best)));
}

double Candidates::DynamicTemperature(double low, double high, double exponent,
                                      double otherwise) const {
  if (std::isinf(Best())) return otherwise;
  size_t count = 0;
  for (size_t i = 0; i < size_; i++) count += static_cast<size_t>(values_[i] > kForbidden);
  if (count < 2) return otherwise;
  const Masses masses = Weigh();
  const double entropy = std::log(masses.total) + masses.weighted / masses.total;
  const double share = std::min(1.0, std::max(0.0, entropy / std::log(static_cast<double>(count))));
  return low + (high - low) * std::pow(share, exponent);
}

void Candidates::Scale(double temperature) {
  if (!Several()) return;
  // Where the division leaves what a float holds, nothing but the best has a chance.
  const float scaled = static_cast<float>(Best() / temperature);
  if (!(temperature > 0.0) || !std::isfinite(scaled)) {
    KeepOnly(IndexOfLargest(values_, size_));
    return;
  }
  for (size_t i = 0; i < size_; i++) {
    values_[i] = static_cast<float>(values_[i] / temperature);
  }
  Changed();
}

// Sums of blocks, and then a walk through the one in which the draw falls.
Candidates::Drawn Candidates::DrawAt(double temperature, double uniform) {
  const float best = Best();
  // Below that the others' distances are no numbers, and their weights are nothing all the same.
  const float scale = static_cast<float>(std::min(1.0 / temperature, 1e30));
  double total = 0.0;
  sums_.clear();
  float weights[kBlock];
  EachBlock(values_, size_, [&](const float* block, size_t) {
    Weights(block, best, scale, weights);
    sums_.push_back(SumOf(weights));
    total += sums_.back();
  });
  // The last block that holds anything, should rounding have left the draw beyond all of them.
  double left = uniform * total;
  double passed = 0.0;
  size_t chosen_block = 0;
  for (size_t i = 0; i < sums_.size() && passed <= left; i++) {
    if (!(sums_[i] > 0.0)) continue;
    chosen_block = i;
    passed += sums_[i];
  }
  left -= passed - sums_[chosen_block];
  const size_t begin = chosen_block * kBlock;
  EachBlock(values_ + begin, std::min(kBlock, size_ - begin),
            [&](const float* block, size_t) { Weights(block, best, scale, weights); });
  size_t chosen = 0;
  for (size_t i = 0; i < kBlock; i++) {
    if (!(weights[i] > 0.0f)) continue;
    chosen = i;
    left -= static_cast<double>(weights[i]);
    if (left < 0.0) break;
  }
  return {TokenAt(begin + chosen), static_cast<double>(weights[chosen]) / total};
}

}  // namespace hoshikage
