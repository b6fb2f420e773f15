// Holds Candidates and LogprobsOf against their definitions, computed plainly: every step sorts in
// double precision. Built and run by candidates.test.ts.
//   candidates CHECK SEED ROUNDS
// Prints what was wrong; nothing where nothing was.
#include "decode/candidates.h"

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "decode/blocks.h"
#include "decode/logprobs.h"
#include "llama/error.h"

using namespace hoshikage;

namespace {

constexpr float kInfinity = std::numeric_limits<float>::infinity();
constexpr float kNan = std::numeric_limits<float>::quiet_NaN();
// What sums of floats may be off by, as a share of the whole.
constexpr double kRounding = 1e-6;

int g_failures = 0;
std::string g_case;

void Check(bool good, const char* what) {
  if (good) return;
  if (g_failures++ < 20) std::printf("%s: %s\n", g_case.c_str(), what);
}

struct Random {
  std::mt19937_64 engine;
  double Uniform() { return static_cast<double>(engine() >> 11) / 9007199254740992.0; }
  size_t Below(size_t limit) { return engine() % limit; }
  float Normal(float deviation) { return std::normal_distribution<float>(0.0f, deviation)(engine); }
};

// Logits of many kinds, none of them infinite upwards.
std::vector<float> Logits(Random* random) {
  static const size_t kSizes[] = {1, 2, 5, 63, 64, 65, 255, 256, 257, 600, 3000, 20000};
  std::vector<float> logits(kSizes[random->Below(12)]);
  const size_t kind = random->Below(9);
  const float middle = random->Normal(30.0f);
  for (float& logit : logits) {
    switch (kind) {
      case 0: logit = middle + random->Normal(0.05f); break;
      case 1: logit = middle + random->Normal(1.0f); break;
      case 2: logit = random->Normal(3.0f); break;
      case 3: logit = std::round(random->Normal(1.0f)); break;  // many are equal
      case 4: logit = middle; break;
      case 5: logit = random->Normal(0.001f) + (random->Below(2) ? 9.0f : 8.0f); break;
      case 6: logit = random->Normal(60.0f); break;
      case 7: logit = random->Normal(1e-30f); break;  // their distances are all the same
      default: logit = random->Normal(1.0f) * (random->Below(50) ? 1.0f : 1e30f); break;
    }
  }
  if (random->Below(3) == 0) {
    for (float& logit : logits) {
      if (random->Below(4) == 0) logit = random->Below(2) ? -kInfinity : kNan;
    }
    logits[random->Below(logits.size())] = 1.0f;
  }
  if (random->Below(4) == 0) {
    for (int i = 0; i < 3; i++) logits[random->Below(logits.size())] = 20.0f + random->Normal(2.0f);
  }
  return logits;
}

// What is among the candidates, in the order of ids.
std::vector<Candidate> Left(Candidates* candidates, size_t count) {
  std::vector<Candidate> left;
  for (size_t i = 0; i < count; i++) {
    const float* logit = candidates->Find(static_cast<Token>(i));
    if (logit && *logit > -kInfinity) left.push_back({static_cast<Token>(i), *logit});
  }
  return left;
}

bool Better(const Candidate& a, const Candidate& b) {
  return a.logit > b.logit || (a.logit == b.logit && a.token < b.token);
}

std::vector<Candidate> Sorted(std::vector<Candidate> left) {
  std::sort(left.begin(), left.end(), Better);
  return left;
}

double BestOf(const std::vector<Candidate>& left) {
  return std::min_element(left.begin(), left.end(), Better)->logit;
}

// Probabilities at a temperature, in the order given.
std::vector<double> Probabilities(const std::vector<Candidate>& left, double temperature = 1.0) {
  const double best = BestOf(left);
  std::vector<double> weights;
  double total = 0.0;
  for (const Candidate& c : left) {
    weights.push_back(std::exp((static_cast<double>(c.logit) - best) / temperature));
    total += weights.back();
  }
  for (double& weight : weights) weight /= total;
  return weights;
}

double MassOf(const std::vector<Candidate>& some, const std::vector<Candidate>& all) {
  const std::vector<double> probabilities = Probabilities(all);
  double mass = 0.0;
  size_t at = 0;
  for (const Candidate& c : some) {
    while (all[at].token != c.token) at++;
    mass += probabilities[at];
  }
  return mass;
}

bool Same(const std::vector<Candidate>& a, const std::vector<Candidate>& b) {
  return std::equal(a.begin(), a.end(), b.begin(), b.end(), [](const auto& one, const auto& other) {
    return one.token == other.token && one.logit == other.logit;
  });
}

using Set = std::vector<Candidate>;

// The first of `order` until their probabilities are p: fewer by one would not be enough, up to
// rounding.
void CheckMass(const Set& order, size_t kept, const Set& all, double p, const char* what) {
  const auto mass = [&](size_t count) {
    Set some(order.begin(), order.begin() + static_cast<ptrdiff_t>(count));
    std::sort(some.begin(), some.end(), [](auto& a, auto& b) { return a.token < b.token; });
    return MassOf(some, all);
  };
  Check(kept > 0, what);
  if (kept == 0) return;
  Check(mass(kept) >= p - kRounding, what);
  Check(kept == 1 || mass(kept - 1) <= p + kRounding, what);
}

void TopP(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double p = random->Below(5) ? random->Uniform() : random->Below(2) ? 0.0 : 0.9999;
  candidates->TopP(static_cast<float>(p));
  const Set after = Left(candidates, count);
  const Set order = Sorted(before);
  const Set first(order.begin(), order.begin() + static_cast<ptrdiff_t>(after.size()));
  const Set kept = Sorted(after);
  Check(Same(kept, first), "top_p keeps the best, of equal ones the first");
  if (std::fabs(BestOf(before)) < 100.0) CheckMass(order, after.size(), before, p, "top_p's mass");
}

void TopK(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const size_t k = 1 + random->Below(random->Below(2) ? 200 : before.size() + 3);
  candidates->TopK(k);
  Set wanted = Sorted(before);
  if (wanted.size() > k) wanted.resize(k);
  const Set after = Sorted(Left(candidates, count));
  Check(Same(after, wanted), "top_k keeps the best, of equal ones the first");
}

// All that are clearly above a bar, and none that is clearly below.
void CheckBar(const Set& before, const Set& after, double bar, const char* what) {
  const double slack = 1e-4 * (1.0 + std::fabs(BestOf(before)) * 1e-2);
  size_t at = 0;
  for (const Candidate& c : before) {
    const bool kept = at < after.size() && after[at].token == c.token;
    if (kept) at++;
    Check(!kept || c.logit >= bar - slack, what);
    Check(kept || c.logit <= bar + slack, what);
  }
  Check(!after.empty() && BestOf(after) == BestOf(before), what);
}

void MinP(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double p = 0.001 + 0.999 * random->Uniform();
  candidates->MinP(static_cast<float>(p));
  CheckBar(before, Left(candidates, count), BestOf(before) + std::log(p), "min_p");
}

void TopNSigma(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double n = 0.1 + 3.0 * random->Uniform();
  candidates->TopNSigma(static_cast<float>(n));
  double mean = 0.0;
  double variance = 0.0;
  const double size = static_cast<double>(before.size());
  for (const Candidate& c : before) mean += c.logit / size;
  for (const Candidate& c : before) variance += (c.logit - mean) * (c.logit - mean) / size;
  const double deviation = std::sqrt(variance);
  if (deviation > 1e6) return;  // where floats cannot tell
  CheckBar(before, Left(candidates, count), BestOf(before) - n * deviation, "top_n_sigma");
}

void LimitSurprise(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double bits = 12.0 * random->Uniform();
  candidates->LimitSurprise(bits);
  const double best = Probabilities(Sorted(before)).front();
  const double bar = BestOf(before) - std::log(best) - bits * std::log(2.0);
  CheckBar(before, Left(candidates, count), std::min(bar, BestOf(before)), "mirostat");
}

void Typical(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double p = 0.02 + 0.97 * random->Uniform();
  candidates->TypicalP(static_cast<float>(p));
  const Set after = Left(candidates, count);
  if (std::fabs(BestOf(before)) > 100.0) return;
  const std::vector<double> probabilities = Probabilities(before);
  double entropy = 0.0;
  for (const double q : probabilities) entropy -= q > 0.0 ? q * std::log(q) : 0.0;
  const double best = *std::max_element(probabilities.begin(), probabilities.end());
  struct Shifted {
    Candidate candidate;
    double shift;
  };
  std::vector<Shifted> order;
  const double top = BestOf(before);
  for (const Candidate& c : before) {
    const double surprise = top - c.logit - std::log(best);
    order.push_back({c, std::fabs(surprise - entropy)});
  }
  double farthest = 0.0;
  double nearest = 1e30;
  size_t at = 0;
  double mass = 0.0;
  for (size_t i = 0; i < order.size(); i++) {
    const bool kept = at < after.size() && after[at].token == order[i].candidate.token;
    if (kept) at++, mass += probabilities[i], farthest = std::max(farthest, order[i].shift);
    if (!kept) nearest = std::min(nearest, order[i].shift);
  }
  Check(farthest <= nearest + 1e-4, "typical_p keeps the nearest");
  Check(mass > p - kRounding, "typical_p's mass");
  // Without those that are about as far as the last it is not enough.
  double sure = 0.0;
  for (size_t i = 0; i < order.size(); i++) {
    if (order[i].shift < farthest - 1e-4) sure += probabilities[i];
  }
  Check(sure <= p + kRounding, "typical_p keeps no more than it must");
}

void Exclude(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double threshold = 0.5 * random->Uniform() * (random->Below(2) ? 1.0 : 0.01);
  candidates->ExcludeTopChoices(static_cast<float>(threshold));
  const Set after = Left(candidates, count);
  const Set order = Sorted(before);
  const std::vector<double> probabilities = Probabilities(order);
  size_t above = 0;
  for (const double p : probabilities) {
    if (std::fabs(p / threshold - 1.0) < 1e-4) return;  // a matter of rounding
    if (p >= threshold) above++;
  }
  Set wanted(order.begin() + static_cast<ptrdiff_t>(above > 0 ? above - 1 : 0), order.end());
  Check(Same(Sorted(after), wanted), "xtc leaves the last of the top");
}

void Scale(Candidates* candidates, const Set& before, size_t count, Random* random) {
  const double temperature = 0.05 + 3.0 * random->Uniform();
  candidates->Scale(temperature);
  const Set after = Left(candidates, count);
  if (after.size() == 1) return;  // nothing else would be a number
  Check(after.size() == before.size(), "a temperature takes none away");
  for (size_t i = 0; i < std::min(after.size(), before.size()); i++) {
    Check(after[i].logit == static_cast<float>(before[i].logit / temperature), "a division");
  }
}

// The draw falls on the token whose share of the line it is, in the order of the candidates: of
// ids, or best first after a small top_k.
void Draw(Candidates* candidates, Set before, bool best_first, Random* random) {
  const double temperature = random->Below(8) ? 0.1 + 2.0 * random->Uniform() : 1e-9;
  if (best_first) before = Sorted(before);
  const std::vector<double> probabilities = Probabilities(before, temperature);
  static const double kUniforms[] = {0.0, 1.0 - 1e-16};
  for (int i = 0; i < 6; i++) {
    const double uniform = i < 2 ? kUniforms[i] : random->Uniform();
    const Candidates::Drawn drawn = candidates->Draw(temperature, [uniform] { return uniform; });
    double until = 0.0;
    bool found = false;
    for (size_t k = 0; k < before.size() && !found; k++) {
      found = before[k].token == drawn.token;
      if (!found) {
        until += probabilities[k];
        continue;
      }
      Check(uniform >= until - 1e-5, "the draw is not before its token");
      Check(uniform <= until + probabilities[k] + 1e-5, "the draw is not after its token");
      Check(std::fabs(drawn.probability - probabilities[k]) < 1e-5, "the probability of the draw");
      Check(drawn.probability > 0.0, "what is drawn was possible");
    }
    Check(found, "what is drawn was among the candidates");
  }
}

void DynamicTemperature(const Candidates& candidates, const Set& before) {
  const double got = candidates.DynamicTemperature(0.5, 1.5, 1.0, 7.0);
  if (before.size() < 2) {
    Check(got == 7.0, "one candidate has no entropy");
    return;
  }
  double entropy = 0.0;
  for (const double p : Probabilities(before)) entropy -= p > 0.0 ? p * std::log(p) : 0.0;
  const double wanted = 0.5 + entropy / std::log(static_cast<double>(before.size()));
  Check(std::fabs(got - wanted) < 1e-4, "the dynamic temperature");
}

// Up to four steps after one another, each held against what the one before it left.
void Chains(Random* random) {
  using Step = void (*)(Candidates*, const Set&, size_t, Random*);
  static const std::pair<const char*, Step> kSteps[] = {{"top_p", TopP},
                                                        {"top_k", TopK},
                                                        {"min_p", MinP},
                                                        {"top_n_sigma", TopNSigma},
                                                        {"typical", Typical},
                                                        {"xtc", Exclude},
                                                        {"mirostat", LimitSurprise},
                                                        {"scale", Scale}};
  static Candidates candidates;  // as a sampler keeps it: nothing of the last token must be left
  std::vector<float> logits = Logits(random);
  candidates.Begin(logits.data(), static_cast<int32_t>(logits.size()));
  const std::string name = g_case;
  const size_t steps = random->Below(5);
  bool best_first = false;
  for (size_t i = 0; i < steps; i++) {
    const Set before = Left(&candidates, logits.size());
    const auto& [step, run] = kSteps[random->Below(8)];
    g_case += std::string(" ") + step;
    run(&candidates, before, logits.size(), random);
    // Whether it went that way shows in nothing else.
    const size_t left = Left(&candidates, logits.size()).size();
    if (!std::strcmp(step, "top_k")) best_first = best_first || left <= 128;
  }
  const Set left = Left(&candidates, logits.size());
  DynamicTemperature(candidates, left);
  const bool told = steps == 0 || (!best_first && g_case.find("top_k") == std::string::npos);
  if (told) Draw(&candidates, left, false, random);
  g_case = name;
}

void SmallTopK(Random* random) {
  Candidates candidates;
  std::vector<float> logits = Logits(random);
  candidates.Begin(logits.data(), static_cast<int32_t>(logits.size()));
  const size_t k = 1 + random->Below(128);
  if (k >= logits.size()) return;
  candidates.TopK(k);
  Draw(&candidates, Left(&candidates, logits.size()), true, random);
}

void Infinite(Random* random) {
  std::vector<float> logits = Logits(random);
  const size_t at = random->Below(logits.size());
  logits[at] = kInfinity;
  if (at + 1 < logits.size() && random->Below(2)) logits.back() = kInfinity;
  Candidates candidates;
  candidates.Begin(logits.data(), static_cast<int32_t>(logits.size()));
  switch (random->Below(7)) {
    case 0: candidates.TopP(0.5f); break;
    case 1: candidates.TopK(1 + random->Below(300)); break;
    case 2: candidates.MinP(0.1f); break;
    case 3: candidates.TypicalP(0.5f); break;
    case 4: candidates.ExcludeTopChoices(0.1f); break;
    case 5: candidates.Scale(0.7); break;
    default: break;
  }
  bool asked = false;
  const Candidates::Drawn drawn = candidates.Draw(1.0, [&asked] {
    asked = true;
    return 0.5;
  });
  Check(drawn.token == static_cast<Token>(at) && drawn.probability == 1.0, "infinity is certain");
  Check(!asked, "what is certain is not drawn");

  std::fill(logits.begin(), logits.end(), -kInfinity);
  logits[at] = kNan;
  candidates.Begin(logits.data(), static_cast<int32_t>(logits.size()));
  bool refused = false;
  try {
    if (random->Below(2)) candidates.TopK(1);
    candidates.Draw(1.0, [] { return 0.5; });
  } catch (const Error& e) {
    refused = !std::strcmp(e.code(), "decode_failed");
  }
  Check(refused, "nothing can be drawn where there is no finite logit");
}

void Largest(Random* random) {
  std::vector<float> logits = Logits(random);
  if (random->Below(5) == 0) logits[random->Below(logits.size())] = kInfinity;
  const int32_t count = static_cast<int32_t>(logits.size());
  Set all;
  for (Token token = 0; token < count; token++) {
    const float logit = logits[static_cast<size_t>(token)];
    if (logit > -kInfinity) all.push_back({token, logit});
  }
  Set wanted = Sorted(all);
  Check(ArgMax(logits.data(), count) == wanted.front().token, "the lowest id of the largest logit");
  const size_t k = random->Below(50);
  if (wanted.size() > k) wanted.resize(k);
  Check(Same(LargestLogits(logits.data(), count, k), wanted), "the largest logits, best first");
}

void Logprobs(Random* random) {
  const std::vector<float> logits = Logits(random);
  const int32_t count = static_cast<int32_t>(logits.size());
  double best = -kInfinity;
  for (const float logit : logits) best = logit > best ? logit : best;
  double total = 0.0;
  for (const float logit : logits) total += std::isnan(logit) ? 0.0 : std::exp(logit - best);
  const Token token = static_cast<Token>(random->Below(logits.size()));
  const TokenLogprobs found = LogprobsOf(logits.data(), count, token, 5);
  const double own = logits[static_cast<size_t>(token)];
  const double wanted = std::isnan(own) ? -kInfinity : own - best - std::log(total);
  const double slack = 1e-5 + std::fabs(wanted) * 1e-6;
  Check(found.own == wanted || std::fabs(found.own - wanted) < slack, "a log-probability");
  for (const auto& [id, logprob] : found.top) {
    const double right = logits[static_cast<size_t>(id)] - best - std::log(total);
    Check(std::fabs(logprob - right) < 1e-5 + std::fabs(right) * 1e-6, "the best ones'");
  }
}

void Powers(Random* random) {
  float values[kBlock];
  float weights[kBlock];
  for (float& value : values) value = -static_cast<float>(100.0 * random->Uniform());
  const float best = values[random->Below(kBlock)] = 0.0f;
  values[random->Below(kBlock)] = -0.0f;
  const size_t nan = random->Below(kBlock);
  values[nan] = kNan;
  const size_t none = random->Below(kBlock);
  values[none] = -kInfinity;
  const float scale = random->Below(2) ? 1.0f : 1.0f / 3.0f;
  Weights(values, best, scale, weights);
  for (size_t i = 0; i < kBlock; i++) {
    const float distance = -values[i] * scale;
    const double wanted = distance < kFarthest ? std::exp(-static_cast<double>(distance)) : 0.0;
    Check(std::fabs(weights[i] - wanted) <= 1e-7 * wanted, "a power of e");
  }
  Check(weights[nan] == 0.0f && weights[none] == 0.0f, "what is absent has no weight");
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 4) return 2;
  const std::pair<const char*, void (*)(Random*)> checks[] = {
      {"chains", Chains},   {"small_top_k", SmallTopK}, {"infinite", Infinite},
      {"largest", Largest}, {"logprobs", Logprobs},     {"powers", Powers}};
  for (const auto& [name, check] : checks) {
    if (std::strcmp(name, argv[1])) continue;
    const int rounds = std::atoi(argv[3]);
    for (int i = 0; i < rounds; i++) {
      const unsigned seed = static_cast<unsigned>(std::atoi(argv[2]) + i);
      g_case = std::string(name) + ' ' + std::to_string(seed);
      Random random{std::mt19937_64(seed)};
      check(&random);
    }
    if (g_failures > 20) std::printf("and %d more\n", g_failures - 20);
    return 0;
  }
  return 2;
}
