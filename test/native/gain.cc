// native/src/decode/gain.cc and lookup.cc as lines: how many tokens are tried,
// and which. Test code only.
#include "gain.h"

#include <iostream>
#include <map>
#include <set>
#include <sstream>
#include <string>

#include "lookup.h"

using namespace hoshikage;

static void Print(const std::vector<size_t>& counts) {
  for (const size_t count : counts) std::cout << count << " ";
}

// plan|probe MOST_MS MOST_TOKENS ROUND_MS TOGETHER STEPS then per step: rows ms,
// then per slot: likely most by_model
static void Plan(std::istream& words, bool probe) {
  DraftLimits limits;
  size_t steps;
  words >> limits.most_ms >> limits.most_tokens >> limits.round_ms >> limits.together >> steps;
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

// scan EXPECTED COUNT KINDS: a long text; how often something was found, and
// how often that had never followed what stands before it
static void Scan(std::istream& words) {
  size_t expected, count;
  uint32_t kinds;
  words >> expected >> count >> kinds;
  Lookup lookup(expected);
  std::map<std::pair<Token, Token>, std::set<Token>> followers;
  std::vector<Token> last{0, 0};
  uint32_t random = 1;
  size_t found = 0, wrong = 0;
  for (size_t i = 0; i < count; i++) {
    random = random * 1664525u + 1013904223u;
    const Token token = static_cast<Token>((random >> 12) % kinds);
    followers[{last[0], last[1]}].insert(token);
    last = {last[1], token};
    lookup.Append(token);
    if (lookup.matched() == 0) continue;
    found++;
    const std::vector<Token> guess = lookup.Guess(1);
    wrong += guess.size() == 1 && followers[{last[0], last[1]}].count(guess[0]) ? 0 : 1;
  }
  std::cout << found << " " << wrong;
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string question;
    words >> question;
    if (question == "plan" || question == "probe") Plan(words, question == "probe");
    if (question == "likely") Learn(words);
    if (question == "guess") Guess(words);
    if (question == "scan") Scan(words);
    std::cout << "\n";
  }
}
