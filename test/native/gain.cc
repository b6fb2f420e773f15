// native/src/decode/gain.cc and lookup.cc as lines: how many tokens are tried, and which. Test code
// only.
#include "gain.h"

#include <iostream>
#include <sstream>
#include <string>

#include "lookup.h"

using namespace hoshikage;

static void Print(const std::vector<size_t>& counts) {
  for (const size_t count : counts) std::cout << count << " ";
}

// plan|probe MOST_MS MOST_TOKENS ROUND_MS STEPS then per step: rows ms, then per slot: likely most
// by_model
static void Plan(std::istream& words, bool probe) {
  DraftLimits limits;
  size_t steps;
  words >> limits.most_ms >> limits.most_tokens >> limits.round_ms >> steps;
  StepCosts costs;
  for (size_t i = 0; i < steps; i++) {
    size_t rows;
    double ms;
    words >> rows >> ms;
    costs.Took(rows, ms);
  }
  std::vector<DraftPlace> places;
  DraftPlace place;
  while (words >> place.likely >> place.most >> place.by_model) places.push_back(place);
  Print(probe ? PlanProbe(places, costs, limits) : PlanDrafts(places, costs, limits));
}

// likely then words: `r` right, `w` wrong, `f` fade
static void Learn(std::istream& words) {
  Likelihood likelihood(0.5);
  std::string what;
  while (words >> what) {
    if (what == "f") likelihood.Fade();
    if (what != "f") likelihood.Saw(what == "r" ? 1 : 0, what == "w");
  }
  std::cout << likelihood.value();
}

// guess EXPECTED MOST then tokens: how many matched, and what comes next
static void Guess(std::istream& words) {
  size_t expected, most;
  words >> expected >> most;
  Lookup lookup(expected);
  Token token;
  while (words >> token) lookup.Append(token);
  std::cout << lookup.matched() << ":";
  for (const Token next : lookup.Guess(most)) std::cout << " " << next;
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string question;
    words >> question;
    if (question == "plan" || question == "probe") Plan(words, question == "probe");
    if (question == "likely") Learn(words);
    if (question == "guess") Guess(words);
    std::cout << "\n";
  }
}
