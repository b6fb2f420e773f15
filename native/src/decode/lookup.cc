#include "lookup.h"

#include <algorithm>

namespace hoshikage {
namespace {

// Entries: 64 KB to 1 MB.
constexpr size_t kFewestPlaces = size_t{1} << 14;
constexpr size_t kMostPlaces = size_t{1} << 18;

size_t PlacesFor(size_t expected) {
  const size_t wanted = expected * 2 * (Lookup::kLongest - Lookup::kShortest + 1);
  size_t places = kFewestPlaces;
  while (places < wanted && places < kMostPlaces) places *= 2;
  return places;
}

}  // namespace

Lookup::Lookup(size_t expected) : places_(PlacesFor(expected)) {}

uint32_t* Lookup::PlaceOf(size_t length) {
  uint64_t hash = length * 0xD1B54A32D192ED03u;
  for (size_t i = tokens_.size() - length; i < tokens_.size(); i++) {
    hash = (hash ^ static_cast<uint32_t>(tokens_[i])) * 0x9E3779B97F4A7C15u;
    hash ^= hash >> 29;
  }
  return &places_[hash & (places_.size() - 1)];
}

void Lookup::Append(Token token) {
  tokens_.push_back(token);
  next_ = 0;
  matched_ = 0;
  const size_t size = tokens_.size();
  for (size_t length = std::min(kLongest, size); length >= kShortest; length--) {
    uint32_t* place = PlaceOf(length);
    const auto end = tokens_.end() - static_cast<ptrdiff_t>(length);
    // A longer end of the same text may have been put there just now.
    if (matched_ == 0 && *place >= length && *place < size &&
        std::equal(end, tokens_.end(),
                   tokens_.begin() + (*place - static_cast<ptrdiff_t>(length)))) {
      next_ = *place;
      matched_ = length;
    }
    *place = static_cast<uint32_t>(size);
  }
}

std::vector<Token> Lookup::Guess(size_t most) const {
  std::vector<Token> guess;
  if (matched_ == 0) return guess;
  for (size_t at = next_; guess.size() < most; at++) {
    guess.push_back(at < tokens_.size() ? tokens_[at] : guess[at - tokens_.size()]);
  }
  return guess;
}

}  // namespace hoshikage
