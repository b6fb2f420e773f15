#include "candidates.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "../llama/error.h"

namespace hoshikage {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();

bool Better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

// Sorts only as far as it must: how many of the first make up the mass. `enough` is asked after
// each.
template <class Item, class Less, class Enough>
size_t SortUntil(std::vector<Item>* items, Less less, Enough enough) {
  size_t sorted = 0;
  for (size_t chunk = 256;; chunk *= 4) {
    const size_t end = std::min(items->size(), sorted + chunk);
    const auto from = items->begin() + static_cast<ptrdiff_t>(sorted);
    const auto to = items->begin() + static_cast<ptrdiff_t>(end);
    if (end < items->size()) std::nth_element(from, to, items->end(), less);
    std::sort(from, to, less);
    for (; sorted < end; sorted++) {
      if (enough((*items)[sorted])) return sorted + 1;
    }
    if (end == items->size()) return end;
  }
}

}  // namespace

// No sort of the vocabulary: a small heap whose smallest member is the bar that the next logit must
// clear.
std::vector<Candidate> LargestLogits(const float* logits, int32_t count, size_t k) {
  std::vector<Candidate> heap;
  if (k == 0) return heap;
  heap.reserve(k);
  for (Token token = 0; token < count; token++) {
    const float logit = logits[token];
    if (heap.size() == k) {
      if (!(logit > heap.front().logit)) continue;
      std::pop_heap(heap.begin(), heap.end(), Better);
      heap.back() = {token, logit};
    } else if (logit > kForbidden) {
      heap.push_back({token, logit});
    } else {
      continue;
    }
    std::push_heap(heap.begin(), heap.end(), Better);
  }
  std::sort_heap(heap.begin(), heap.end(), Better);
  return heap;
}

Token ArgMax(const float* logits, int32_t count) {
  Token token = 0;
  float best = kForbidden;
  for (int32_t i = 0; i < count; i++) {
    if (logits[i] > best) best = logits[i], token = i;
  }
  return token;
}

float* Candidates::Find(Token token) {
  if (whole_) return logits_ + token;
  if (places_.empty()) {
    for (size_t i = 0; i < list_.size(); i++) places_[list_[i].token] = i;
  }
  const auto found = places_.find(token);
  return found == places_.end() ? nullptr : &list_[found->second].logit;
}

void Candidates::Changed() {
  sorted_ = false;
  best_.reset();
}

template <class Visit>
void Candidates::Each(Visit&& visit) const {
  if (!whole_) {
    for (const Candidate& c : list_) visit(c.logit);
    return;
  }
  for (Token token = 0; token < count_; token++) visit(logits_[token]);
}

float Candidates::Best() const {
  if (!whole_ && sorted_) return list_.front().logit;
  if (best_) return *best_;
  float best = kForbidden;
  Each([&](float logit) { best = logit > best ? logit : best; });
  if (!(best > kForbidden)) throw Error("decode_failed", "no finite logit");
  best_ = best;
  return best;
}

void Candidates::KeepOnly(Token token, float logit) {
  whole_ = false;
  sorted_ = true;
  list_.assign(1, {token, logit});
  places_.clear();
}

bool Candidates::Several() {
  if (!whole_ && list_.size() < 2) {
    certain_ = std::isinf(list_.front().logit);
    return false;
  }
  const float best = Best();
  if (!std::isinf(best)) return true;
  // A bias or an overflow made it certain, and its distance to the others is no number.
  certain_ = true;
  const Token token = whole_ ? ArgMax(logits_, count_)
                             : std::min_element(list_.begin(), list_.end(), Better)->token;
  KeepOnly(token, best);
  return false;
}

void Candidates::List(float bar) {
  if (!whole_) return;
  for (Token token = 0; token < count_; token++) {
    if (logits_[token] >= bar) list_.push_back({token, logits_[token]});
  }
  whole_ = false;
  sorted_ = false;
}

void Candidates::KeepFrom(float bar) {
  if (whole_) {
    List(std::max(bar, Best() - kRange * reach_));
    return;
  }
  const auto below = [bar](const Candidate& c) { return !(c.logit >= bar); };
  list_.erase(std::remove_if(list_.begin(), list_.end(), below), list_.end());
  places_.clear();
}

void Candidates::TopNSigma(float n) {
  if (!Several()) return;
  double sum = 0.0;
  double squares = 0.0;
  double count = 0.0;
  // Distances to the best: squares of large numbers would swallow the small ones.
  const float best = Best();
  Each([&](float logit) {
    if (!(logit > kForbidden)) return;
    const double distance = static_cast<double>(logit) - best;
    sum += distance;
    squares += distance * distance;
    count += 1.0;
  });
  const double mean = sum / count;
  const double deviation = std::sqrt(std::max(0.0, squares / count - mean * mean));
  KeepFrom(static_cast<float>(best - n * deviation));
}

void Candidates::TopK(size_t k) {
  if (whole_) {
    if (k >= static_cast<size_t>(count_)) return;
    list_ = LargestLogits(logits_, count_, k);
    if (list_.empty()) throw Error("decode_failed", "no finite logit");
    whole_ = false;
    sorted_ = true;
    Several();
    return;
  }
  if (!Several() || k >= list_.size()) return;
  const auto end = list_.begin() + static_cast<ptrdiff_t>(k);
  if (!sorted_) std::partial_sort(list_.begin(), end, list_.end(), Better);
  list_.erase(end, list_.end());
  sorted_ = true;
  places_.clear();
}

void Candidates::TypicalP(float p) {
  if (!Several()) return;
  ListReachable();
  const float best = Best();
  double total = 0.0;
  double weighted = 0.0;
  for (const Candidate& c : list_) {
    const double distance = static_cast<double>(c.logit) - best;
    total += std::exp(distance);
    weighted += std::exp(distance) * distance;
  }
  // Surprise is log(total) - distance, and the entropy its mean.
  const double mean = weighted / total;
  struct Shifted {
    double shift;
    Candidate candidate;
  };
  std::vector<Shifted> items;
  items.reserve(list_.size());
  for (const Candidate& c : list_) {
    items.push_back({std::fabs(static_cast<double>(c.logit) - best - mean), c});
  }
  double mass = 0.0;
  const size_t keep = SortUntil(
      &items,
      [](const Shifted& a, const Shifted& b) {
        return a.shift < b.shift || (a.shift == b.shift && Better(a.candidate, b.candidate));
      },
      [&](const Shifted& item) {
        mass += std::exp(static_cast<double>(item.candidate.logit) - best);
        return mass > p * total;
      });
  list_.clear();
  for (size_t i = 0; i < keep; i++) list_.push_back(items[i].candidate);
  Changed();
  places_.clear();
}

void Candidates::TopP(float p) {
  if (!Several()) return;
  if (whole_) {
    TopPOfWhole(p);
    return;
  }
  const float best = Best();
  double total = 0.0;
  for (const Candidate& c : list_) total += std::exp(static_cast<double>(c.logit - best));
  double mass = 0.0;
  const auto enough = [&](const Candidate& c) {
    mass += std::exp(static_cast<double>(c.logit - best));
    return mass >= p * total;
  };
  size_t keep = 0;
  if (sorted_) {
    while (keep < list_.size() && !enough(list_[keep])) keep++;
    keep = std::min(keep + 1, list_.size());
  } else {
    keep = SortUntil(&list_, Better, enough);
  }
  list_.resize(keep);
  sorted_ = true;
  places_.clear();
}

// Without sorting the vocabulary: probability mass per bucket of logits, and a sort of the one
// bucket in which the mass crosses p. In order of id or logit.
void Candidates::TopPOfWhole(float p) {
  constexpr int kBuckets = 1024;
  const float best = Best();
  const float bar = best - kRange;
  const auto bucket_of = [&](float logit) {
    return std::min(kBuckets - 1, static_cast<int>((best - logit) * (kBuckets / kRange)));
  };
  std::vector<double> mass(kBuckets, 0.0);
  double total = 0.0;
  for (Token token = 0; token < count_; token++) {
    if (!(logits_[token] >= bar)) continue;
    const double weight = std::exp(logits_[token] - best);
    mass[static_cast<size_t>(bucket_of(logits_[token]))] += weight;
    total += weight;
  }
  const double wanted = p * total;
  int crossing = 0;
  double above = 0.0;
  while (crossing < kBuckets - 1 && above + mass[static_cast<size_t>(crossing)] < wanted) {
    above += mass[static_cast<size_t>(crossing++)];
  }
  std::vector<Candidate> edge;
  for (Token token = 0; token < count_; token++) {
    const float logit = logits_[token];
    if (!(logit >= bar)) continue;
    const int bucket = bucket_of(logit);
    if (bucket < crossing) list_.push_back({token, logit});
    if (bucket == crossing) edge.push_back({token, logit});
  }
  std::sort(edge.begin(), edge.end(), Better);
  for (const Candidate& c : edge) {
    if (above >= wanted && !list_.empty()) break;
    list_.push_back(c);
    above += std::exp(static_cast<double>(c.logit - best));
  }
  whole_ = false;
  sorted_ = false;
}

void Candidates::MinP(float p) {
  if (!Several()) return;
  KeepFrom(Best() + std::log(p));
}

void Candidates::ExcludeTopChoices(float threshold) {
  if (!Several()) return;
  ListReachable();
  const float best = Best();
  double total = 0.0;
  for (const Candidate& c : list_) total += std::exp(static_cast<double>(c.logit) - best);
  const auto above = [&](const Candidate& c) {
    return std::exp(static_cast<double>(c.logit) - best) >= threshold * total;
  };
  const Candidate* last = nullptr;
  for (const Candidate& c : list_) {
    if (above(c) && (!last || Better(*last, c))) last = &c;
  }
  if (!last) return;
  const Token stays = last->token;
  const auto excluded = [&](const Candidate& c) { return c.token != stays && above(c); };
  list_.erase(std::remove_if(list_.begin(), list_.end(), excluded), list_.end());
  best_.reset();
  places_.clear();
}

void Candidates::LimitSurprise(double bits) {
  if (!Several()) return;
  const float best = Best();
  double total = 0.0;
  Each([&](float logit) {
    if (logit >= best - kRange) total += std::exp(static_cast<double>(logit - best));
  });
  // -log2(e^(logit - best) / total) <= bits
  const double bar = best + std::log(total) - bits * std::log(2.0);
  KeepFrom(static_cast<float>(std::min<double>(bar, best)));
}

double Candidates::DynamicTemperature(double low, double high, double exponent,
                                      double otherwise) const {
  const float best = Best();
  if (std::isinf(best)) return otherwise;
  double total = 0.0;
  double weighted = 0.0;
  double count = 0.0;
  Each([&](float logit) {
    if (!(logit > kForbidden)) return;
    count += 1.0;
    const double distance = static_cast<double>(logit) - best;
    if (distance < -kRange) return;
    const double weight = std::exp(distance);
    total += weight;
    weighted += weight * distance;
  });
  if (count < 2.0) return otherwise;
  const double entropy = std::log(total) - weighted / total;
  const double share = std::min(1.0, std::max(0.0, entropy / std::log(count)));
  return low + (high - low) * std::pow(share, exponent);
}

void Candidates::Scale(double temperature) {
  if (!Several()) return;
  const float best = Best();
  // Where the division leaves what a float holds, nothing but the best has a chance.
  const float scaled = static_cast<float>(best / temperature);
  if (!(temperature > 0.0) || !std::isfinite(scaled)) {
    KeepOnly(whole_ ? ArgMax(logits_, count_)
                    : std::min_element(list_.begin(), list_.end(), Better)->token,
             best);
    return;
  }
  if (whole_) {
    for (Token token = 0; token < count_; token++) {
      logits_[token] = static_cast<float>(logits_[token] / temperature);
    }
  } else {
    for (Candidate& c : list_) c.logit = static_cast<float>(c.logit / temperature);
  }
  best_.reset();
}

void Candidates::PrepareDraw() {
  if (certain_) return;
  Several();
  if (whole_) ListReachable();
}

Candidates::Drawn Candidates::DrawAt(double temperature, double uniform) const {
  const float best = Best();
  std::vector<double> weights(list_.size());
  double total = 0.0;
  for (size_t i = 0; i < list_.size(); i++) {
    weights[i] = std::exp(static_cast<double>(list_[i].logit - best) / temperature);
    total += weights[i];
  }
  double left = uniform * total;
  size_t chosen = list_.size() - 1;
  for (size_t i = 0; i < list_.size(); i++) {
    left -= weights[i];
    if (left < 0.0) {
      chosen = i;
      break;
    }
  }
  return {list_[chosen].token, weights[chosen] / total};
}

}  // namespace hoshikage
