#include "blocks.h"

#include <cmath>
#include <cstdint>
#include <cstring>

namespace hoshikage {
namespace {

constexpr float kNothing = -std::numeric_limits<float>::infinity();

// Adding it to a small number rounds that to an integer, which the lowest bits then hold.
constexpr float kRounder = 12582912.0f;  // 1.5 * 2^23
// ln 2 in two parts: products of the first with small integers are exact.
constexpr float kLn2High = 355.0f / 512.0f;
constexpr float kLn2Low = static_cast<float>(0.693147180559945309417 - 355.0 / 512.0);
constexpr float kLog2E = 1.44269504088896340736f;

int32_t BitsOf(float number) {
  int32_t bits;
  std::memcpy(&bits, &number, sizeof bits);
  return bits;
}

float FromBits(int32_t bits) {
  float number;
  std::memcpy(&number, &bits, sizeof number);
  return number;
}

}  // namespace

void Distances(const float* __restrict values, float best, float scale,
               float* __restrict distances) {
  for (size_t i = 0; i < kBlock; i++) {
    const float distance = (best - values[i]) * scale;
    distances[i] = distance < kFarthest ? distance : kFarthest;
  }
}

// e^-x = 2^k * e^r with |r| <= ln 2 / 2, where eight terms of the series are more than a float can
// tell.
void Exponentials(const float* __restrict distances, float* __restrict weights) {
  const int32_t farthest = BitsOf(kFarthest);
  const int32_t rounder = BitsOf(kRounder);
  for (size_t i = 0; i < kBlock; i++) {
    const float distance = distances[i];
    const float rounded = kRounder - distance * kLog2E;
    const float k = rounded - kRounder;
    const float r = -(distance + k * kLn2High) - k * kLn2Low;
    float sum = 1.0f / 5040.0f;
    sum = sum * r + 1.0f / 720.0f;
    sum = sum * r + 1.0f / 120.0f;
    sum = sum * r + 1.0f / 24.0f;
    sum = sum * r + 1.0f / 6.0f;
    sum = sum * r + 0.5f;
    sum = sum * r * r + r + 1.0f;
    const int32_t power = (BitsOf(rounded) - rounder) * (1 << 23);
    // All ones where the distance, which may be minus zero, is less than the farthest.
    const int32_t there = ((BitsOf(distance) & 0x7FFFFFFF) - farthest) >> 31;
    weights[i] = FromBits((BitsOf(sum) + power) & there);
  }
}

float LargestOf(const float* values) {
  float lanes[16];
  std::fill(lanes, lanes + 16, kNothing);
  for (size_t i = 0; i < kBlock; i += 16) {
    for (size_t j = 0; j < 16; j++) lanes[j] = values[i + j] > lanes[j] ? values[i + j] : lanes[j];
  }
  return *std::max_element(lanes, lanes + 16);
}

double SumOf(const float* values) {
  double lanes[8] = {};
  for (size_t i = 0; i < kBlock; i += 8) {
    for (size_t j = 0; j < 8; j++) lanes[j] += static_cast<double>(values[i + j]);
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

double SumOfProducts(const float* values, const float* others) {
  double lanes[8] = {};
  for (size_t i = 0; i < kBlock; i += 8) {
    for (size_t j = 0; j < 8; j++) {
      lanes[j] += static_cast<double>(values[i + j]) * static_cast<double>(others[i + j]);
    }
  }
  double sum = 0.0;
  for (const double lane : lanes) sum += lane;
  return sum;
}

float LargestOf(const float* values, size_t count) {
  float largest = kNothing;
  EachBlock(values, count,
            [&](const float* block, size_t) { largest = std::max(largest, LargestOf(block)); });
  return largest;
}

}  // namespace hoshikage
