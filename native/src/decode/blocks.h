// Arithmetic over many logits at once, in blocks of a fixed length that compilers turn into vector
// instructions by themselves. NaN counts as absent, as minus infinity does. Pure; any thread. It
// must stay free of what keeps a compiler from that: a branch, a call, a sum in one variable.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <limits>

namespace hoshikage {

constexpr size_t kBlock = 256;
// Of so many it is looked at once whether any of them is wanted, where few are.
constexpr size_t kPart = 64;
// A distance at which nothing is left: e^-87 is about the smallest number that a float holds.
constexpr float kFarthest = 87.0f;

// How far each of a block lies below `best`, times `scale`: from 0 to kFarthest.
void Distances(const float* values, float best, float scale, float* distances);
// e to the power of minus each, to 8 parts in 10^8; 0 from kFarthest on.
void Exponentials(const float* distances, float* weights);
// Those two, of one block.
inline void Weights(const float* values, float best, float scale, float* weights) {
  float distances[kBlock];
  Distances(values, best, scale, distances);
  Exponentials(distances, weights);
}
// The largest of a block; minus infinity where there is none.
float LargestOf(const float* values);
// The sum of a block, and of the products of two.
double SumOf(const float* values);
double SumOfProducts(const float* values, const float* others);

// How many of a range are as `wanted` says, which must be no more than comparisons.
template <class Wanted>
size_t CountWhere(const float* begin, const float* end, Wanted&& wanted) {
  int32_t count = 0;
  for (const float* value = begin; value != end; value++) count += wanted(*value) ? 1 : 0;
  return static_cast<size_t>(count);
}

// Calls visit(block, at) for block after block; what the last one lacks is minus infinity.
template <class Visit>
void EachBlock(const float* values, size_t count, Visit&& visit) {
  size_t at = 0;
  for (; at + kBlock <= count; at += kBlock) visit(values + at, at);
  if (at == count) return;
  float rest[kBlock];
  std::fill(std::copy(values + at, values + count, rest), rest + kBlock,
            -std::numeric_limits<float>::infinity());
  visit(static_cast<const float*>(rest), at);
}

// The largest of all; minus infinity where there is none.
float LargestOf(const float* values, size_t count);

}  // namespace hoshikage
