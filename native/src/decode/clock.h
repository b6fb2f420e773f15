// The clock by which steps and waits are measured, and how long something took. Any thread.
#pragma once

#include <chrono>

namespace hoshikage {

using Clock = std::chrono::steady_clock;

inline double Milliseconds(Clock::duration duration) {
  return std::chrono::duration<double, std::milli>(duration).count();
}

inline double MsSince(Clock::time_point begun) { return Milliseconds(Clock::now() - begun); }

}  // namespace hoshikage
