// What a Crew does with the pieces it is given. Built and run by crew.test.ts.
//   crew CHECK
// Prints what was wrong; nothing where nothing was.
#include "decode/crew.h"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <set>
#include <thread>
#include <vector>

#include "llama/error.h"

using namespace hoshikage;

namespace {

void Check(bool good, const char* what) {
  if (!good) std::printf("%s\n", what);
}

void Once() {
  Crew crew(3);
  for (size_t round = 0; round < 2000; round++) {
    const size_t count = round % 10;
    std::vector<int> times(count, 0);  // not atomic: they are done when Run returns
    crew.Run(count, [&](size_t piece) { times[piece]++; });
    const bool once = std::all_of(times.begin(), times.end(), [](int n) { return n == 1; });
    Check(once, "a piece was not done once");
  }
}

// Pieces that wait for each other: only threads of their own can end them.
void Together() {
  Crew crew(2);
  std::atomic<int> arrived{0};
  const auto deadline = std::chrono::steady_clock::now() + std::chrono::seconds(30);
  std::vector<std::thread::id> threads(3);
  crew.Run(3, [&](size_t piece) {
    threads[piece] = std::this_thread::get_id();
    arrived++;
    while (arrived < 3 && std::chrono::steady_clock::now() < deadline) std::this_thread::yield();
  });
  Check(arrived == 3, "not all have arrived");
  Check(std::set<std::thread::id>(threads.begin(), threads.end()).size() == 3,
        "not on own threads");
}

void Alone() {
  Crew none(0);
  Crew some(3);
  const std::thread::id here = std::this_thread::get_id();
  size_t elsewhere = 0;
  const auto look = [&](size_t) { elsewhere += std::this_thread::get_id() != here ? 1 : 0; };
  none.Run(5, look);
  for (int i = 0; i < 100; i++) some.Run(1, look);
  Check(elsewhere == 0, "a piece was done elsewhere");
}

void Throwing() {
  Crew crew(2);
  for (int round = 0; round < 200; round++) {
    std::atomic<int> done{0};
    bool thrown = false;
    try {
      crew.Run(6, [&](size_t piece) {
        done++;
        if (piece % 2 == 0) throw Error("grammar_invalid", "of a piece");
      });
    } catch (const Error& e) {
      thrown = !std::strcmp(e.code(), "decode_failed");
    }
    Check(thrown && done == 6, "the others were not done, or nothing was thrown");
    crew.Run(6, [&](size_t) { done++; });
    Check(done == 12, "nothing can be done after that");
  }
}

void Ending() {
  for (size_t round = 0; round < 200; round++) {
    Crew crew(round % 4);
    std::atomic<size_t> done{0};
    if (round % 3 > 0) crew.Run(round % 7, [&](size_t) { done++; });
    Check(done == (round % 3 > 0 ? round % 7 : 0), "a crew that ends early");
  }
}

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return 2;
  const std::pair<const char*, void (*)()> checks[] = {{"once", Once},
                                                       {"together", Together},
                                                       {"alone", Alone},
                                                       {"throwing", Throwing},
                                                       {"ending", Ending}};
  for (const auto& [name, check] : checks) {
    if (std::strcmp(name, argv[1])) continue;
    check();
    return 0;
  }
  return 2;
}
