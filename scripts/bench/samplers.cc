// Times the choice of tokens: Sampler over made-up logits, without library and without Node. Built
// and run by scripts/bench/samplers.ts. One line per case: its name, a tab, the milliseconds of
// each call: of its own thread for a single choice, so that a busy machine shows less; on the clock
// for the slots of a step.
//   samplers [REPEATS [PART_OF_A_NAME]]
#include <time.h>

#include <algorithm>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "decode/crew.h"
#include "decode/sampler.h"

using namespace hoshikage;

namespace {

double MillisecondsOf(clockid_t clock) {
  timespec now;
  clock_gettime(clock, &now);
  return static_cast<double>(now.tv_sec) * 1e3 + static_cast<double>(now.tv_nsec) / 1e6;
}

std::shared_ptr<const Model> ModelOf(int32_t vocabulary) {
  ModelOptions options;
  options.gpu_layers = vocabulary;
  return Model::Load(nullptr, options, [](float) { return true; });
}

std::vector<float> Normal(int32_t count, float deviation, unsigned seed) {
  std::mt19937 random(seed);
  std::normal_distribution<float> normal(0.0f, deviation);
  std::vector<float> logits(static_cast<size_t>(count));
  for (float& logit : logits) logit = normal(random);
  return logits;
}

struct Shape {
  const char* name;
  std::vector<float> (*make)(int32_t count, unsigned seed);
};

const Shape kShapes[] = {
    {"peaked",
     [](int32_t count, unsigned seed) {
       std::vector<float> logits = Normal(count, 3.0f, seed);
       for (unsigned i = 0; i < 5; i++) {
         logits[(seed * 977 + i * 7919) % logits.size()] = 18.0f - static_cast<float>(i);
       }
       return logits;
     }},
    {"flat", [](int32_t count, unsigned seed) { return Normal(count, 0.05f, seed); }},
    {"normal", [](int32_t count, unsigned seed) { return Normal(count, 1.0f, seed); }},
};

struct Case {
  const char* name;
  std::function<void(SamplingOptions*)> set;
};

SamplingOptions Warm(float temperature) {
  SamplingOptions options;
  options.temperature = temperature;
  options.seed = 1;
  return options;
}

const Case kCases[] = {
    {"greedy", [](SamplingOptions* o) { o->temperature = 0.0f; }},
    {"defaults",
     [](SamplingOptions* o) {
       o->temperature = 0.2f, o->top_p = 0.8f, o->top_k = 40;
       o->penalties.repeat = 1.1f, o->penalties.last_n = 64;
     }},
    {"temperature only", [](SamplingOptions*) {}},
    {"top_p 0.8 t 0.2", [](SamplingOptions* o) { o->top_p = 0.8f, o->temperature = 0.2f; }},
    {"top_p 0.8 t 0.8", [](SamplingOptions* o) { o->top_p = 0.8f; }},
    {"top_p 0.95 t 1", [](SamplingOptions* o) { o->top_p = 0.95f, o->temperature = 1.0f; }},
    {"top_k 40", [](SamplingOptions* o) { o->top_k = 40; }},
    {"top_k 2000", [](SamplingOptions* o) { o->top_k = 2000; }},
    {"min_p 0.05", [](SamplingOptions* o) { o->min_p = 0.05f; }},
    {"typical 0.9", [](SamplingOptions* o) { o->typical_p = 0.9f; }},
    {"top_n_sigma 1", [](SamplingOptions* o) { o->top_n_sigma = 1.0f; }},
    {"mirostat", [](SamplingOptions* o) { o->mirostat.on = true; }},
    {"all penalties",
     [](SamplingOptions* o) {
       o->penalties = {1.1f, -1, 0.1f, 0.1f};
       o->dry.multiplier = 0.8f;
       o->dry.breakers = {"\n", ":"};
     }},
    {"greedy logprobs 20",
     [](SamplingOptions* o) {
       o->temperature = 0.0f;
       o->logprobs = 20;
     }},
};

void Time(const Case& wanted, const Shape& shape, int32_t vocabulary, int repeats) {
  SamplingOptions options = Warm(0.8f);
  wanted.set(&options);
  std::vector<Token> prompt;
  for (Token token = 0; token < 500; token++) prompt.push_back(token * 7 % 300);
  Sampler sampler(ModelOf(vocabulary), options, prompt);
  std::vector<std::vector<float>> steps;
  for (unsigned seed = 0; seed < 4; seed++) steps.push_back(shape.make(vocabulary, seed));
  std::vector<float> logits(static_cast<size_t>(vocabulary));
  std::printf("%s, %d, %s\t", wanted.name, vocabulary, shape.name);
  for (int i = -3; i < repeats; i++) {
    const std::vector<float>& step = steps[static_cast<size_t>(i + 4) % steps.size()];
    std::copy(step.begin(), step.end(), logits.begin());
    const double begun = MillisecondsOf(CLOCK_THREAD_CPUTIME_ID);
    sampler.Sample(logits.data());
    const double taken = MillisecondsOf(CLOCK_THREAD_CPUTIME_ID) - begun;
    if (i >= 0) std::printf("%.5f ", taken);  // the first few warm up
  }
  std::printf("\n");
}

// A step's slots, one after another and with one helper: by turns, since machines change their
// mind.
void TimeStep(const Case& wanted, size_t slots, int32_t vocabulary, int repeats) {
  SamplingOptions options = Warm(0.8f);
  wanted.set(&options);
  const std::shared_ptr<const Model> model = ModelOf(vocabulary);
  std::vector<std::unique_ptr<Sampler>> samplers;
  std::vector<std::vector<float>> made;
  std::vector<std::vector<float>> logits(slots);
  for (size_t slot = 0; slot < slots; slot++) {
    samplers.push_back(std::make_unique<Sampler>(model, options, std::vector<Token>{1, 2, 3}));
    made.push_back(Normal(vocabulary, 0.05f, static_cast<unsigned>(slot)));
  }
  Crew alone(0);
  Crew helped(1);
  std::vector<double> times[2];
  for (int i = -3; i < repeats; i++) {
    for (size_t side = 0; side < 2; side++) {
      for (size_t slot = 0; slot < slots; slot++) logits[slot] = made[slot];
      const double begun = MillisecondsOf(CLOCK_MONOTONIC);
      (side == 0 ? alone : helped).Run(slots, [&](size_t slot) {
        samplers[slot]->Sample(logits[slot].data());
      });
      if (i >= 0) times[side].push_back(MillisecondsOf(CLOCK_MONOTONIC) - begun);
    }
  }
  for (size_t side = 0; side < 2; side++) {
    std::printf("%zu slots %s, %d, %s\t", slots, wanted.name, vocabulary,
                side == 0 ? "one by one" : "one helper");
    for (const double taken : times[side]) std::printf("%.5f ", taken);
    std::printf("\n");
  }
}

}  // namespace

int main(int argc, char** argv) {
  const int repeats = argc > 1 ? std::atoi(argv[1]) : 40;
  const char* part = argc > 2 ? argv[2] : "";
  for (const int32_t vocabulary : {32000, 128256, 151936}) {
    for (const Shape& shape : kShapes) {
      for (const Case& wanted : kCases) {
        if (std::strstr(wanted.name, part)) Time(wanted, shape, vocabulary, repeats);
      }
    }
  }
  for (const size_t slots : {2, 4, 8, 16}) {
    for (const Case& wanted : kCases) {
      const std::string name = std::string("slots ") + wanted.name;
      const bool shown =
          !std::strcmp(wanted.name, "defaults") || !std::strcmp(wanted.name, "top_p 0.8 t 0.8");
      if (shown && name.find(part) != std::string::npos) TimeStep(wanted, slots, 32000, repeats);
    }
  }
  return 0;
}
