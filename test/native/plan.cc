// native/src/decode/plan.cc, pace.cc and share-out.cc as lines: whose prompt is computed next, how
// much fits into a step, and how many generations take part in one. Test code only.
#include "plan.h"

#include <iostream>
#include <sstream>
#include <string>

#include "pace.h"
#include "share-out.h"

using namespace hoshikage;

// plan HANDICAP FIRST ALL then per prompt: slot admitted left passed background cached shared...
static void Plan(std::istream& words) {
  size_t handicap, count;
  StepRoom room;
  words >> handicap >> room.first >> room.all >> count;
  std::vector<std::vector<size_t>> shared(count, std::vector<size_t>(count));
  std::vector<PromptPlace> places(count);
  for (size_t i = 0; i < count; i++) {
    PromptPlace& place = places[i];
    words >> place.slot >> place.admitted >> place.left >> place.passed >> place.background >>
        place.cached >> place.most;
    for (size_t& common : shared[i]) words >> common;
    place.shared = &shared[i];
  }
  for (const PromptPiece& piece : PlanPrompts(places, handicap, room)) {
    std::cout << piece.slot << ":" << piece.tokens << " ";
  }
}

// cores PROMPT STEPS then ms per token on some and on all cores: how those steps were computed
static void Cores(std::istream& words) {
  size_t prompt, steps;
  double ms[2];
  words >> prompt >> steps >> ms[0] >> ms[1];
  Pace pace(100);
  for (size_t i = 0; i < steps; i++) {
    const bool all = pace.AllCores(prompt);
    pace.Took(0, prompt, ms[all] * static_cast<double>(prompt), all);
    std::cout << (all ? "a" : "s");
  }
}

// pace MOST_MS then steps: generated prompt ms; then what fits beside as many as in the last one.
static void Learn(std::istream& words) {
  double most_ms, ms;
  size_t generated = 0, prompt;
  words >> most_ms;
  Pace pace(most_ms);
  while (words >> generated >> prompt >> ms) pace.Took(generated, prompt, ms);
  std::cout << pace.Beside(generated) << " " << pace.Alone();
}

// share MOST GENERATING STEPS then what a step of 1, 2, ... tokens takes: the sizes of those steps.
static void Share(std::istream& words) {
  size_t most, generating, steps;
  words >> most >> generating >> steps;
  std::vector<double> ms(most + 1);
  for (size_t i = 1; i <= most; i++) words >> ms[i];
  ShareOut share(most);
  for (size_t i = 0; i < steps; i++) {
    const size_t size = share.Size(generating);
    share.Took(size, ms[size]);
    std::cout << size << " ";
  }
}

int main() {
  for (std::string line; std::getline(std::cin, line);) {
    std::istringstream words(line);
    std::string question;
    words >> question;
    if (question == "plan") Plan(words);
    if (question == "pace") Learn(words);
    if (question == "share") Share(words);
    if (question == "cores") Cores(words);
    std::cout << "\n";
  }
}
