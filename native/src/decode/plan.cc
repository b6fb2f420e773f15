#include "plan.h"

#include <algorithm>

namespace hoshikage {
namespace {

// Waiting for fewer tokens than this takes longer than computing them along with the rest.
constexpr size_t kLeastGain = 8;

// A prompt of n tokens goes before one of m that came earlier while that one has let less than
// m - n tokens of others pass: nobody waits for more than his own length of others' work.
bool Before(const PromptPlace& one, const PromptPlace& other, size_t handicap) {
  const auto rank = [&](const PromptPlace& place) {
    return static_cast<int64_t>(place.left + (place.background ? handicap : 0)) -
           static_cast<int64_t>(place.passed);
  };
  if (rank(one) != rank(other)) return rank(one) < rank(other);
  return one.admitted < other.admitted;
}

// Whether somebody whose turn is earlier computes what this one needs next.
bool Follows(const PromptPlace& place, const std::vector<PromptPlace>& earlier) {
  return place.shared && std::any_of(earlier.begin(), earlier.end(), [&](const PromptPlace& other) {
           return (*place.shared)[other.slot] >= place.cached + kLeastGain;
         });
}

}  // namespace

std::vector<PromptPiece> PlanPrompts(std::vector<PromptPlace> places, size_t handicap,
                                     const StepRoom& room) {
  std::sort(places.begin(), places.end(), [&](const PromptPlace& one, const PromptPlace& other) {
    return Before(one, other, handicap);
  });
  std::vector<PromptPlace> earlier;
  std::vector<PromptPiece> pieces;
  size_t used = 0;
  for (const PromptPlace& place : places) {
    const bool follows = Follows(place, earlier);
    earlier.push_back(place);
    const size_t limit = pieces.empty() ? std::max(room.first, room.all) : room.all;
    if (follows || used >= limit) continue;
    const size_t tokens = std::min({place.left, place.most, limit - used});
    if (tokens == 0) continue;
    pieces.push_back({place.slot, tokens});
    used += tokens;
  }
  return pieces;
}

}  // namespace hoshikage
