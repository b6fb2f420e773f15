#include "pace.h"

#include <algorithm>

namespace hoshikage {
namespace {

// A step that is planned as long as it may be would often be longer.
constexpr double kMargin = 0.8;
// Where generating alone takes nearly all the time there is, prompts still get this share of it.
constexpr double kLeastShare = 0.25;
// The first piece, when nothing is known of the pace.
constexpr size_t kFirstPiece = 32;
// libllama computes attention in tiles of so many tokens, and what is less one by one: deep in a
// prompt a tile takes little longer than a few of them. It may take this many budgets then.
constexpr size_t kTile = 64;
constexpr double kMostForTile = 2.0;
// Pieces below this size compute markedly slower per token, and above it hardly faster.
constexpr size_t kLeastAlone = 128;
constexpr double kStallsAlone = 2.0;

// Below this, starting more threads and waiting for each other takes more than it gains.
constexpr double kLongMs = 12.0;
// After so many long steps the way that was slower is tried again: the machine may be idle now.
constexpr size_t kRetry = 64;

// Towards slower at once, towards faster by and by: a stream that stalls is worse than a prompt
// that takes some steps more.
double Learned(double known, double seen) {
  if (known == 0.0) return seen;
  return known + (seen > known ? 0.5 : 0.2) * (seen - known);
}

}  // namespace

void Pace::Took(size_t generated, size_t prompt, double ms, bool all_cores) {
  if (prompt == 0) {
    if (generated > 0) generation_ms_ = Learned(generation_ms_, ms);
    return;
  }
  last_piece_ = prompt;
  const double rest = generated > 0 ? std::max(ms - generation_ms_, ms / 10.0) : ms;
  const double token_ms = rest / static_cast<double>(prompt);
  prompt_token_ms_ = Learned(prompt_token_ms_, token_ms);
  if (prompt >= kTile) tile_token_ms_ = Learned(tile_token_ms_, token_ms);
  if (!all_cores && token_ms * static_cast<double>(prompt) < kLongMs) return;
  by_cores_[all_cores] = Learned(by_cores_[all_cores], token_ms);
  since_[all_cores] = 0;
  since_[!all_cores]++;
}

bool Pace::AllCores(size_t prompt) {
  const double own = by_cores_[0] > 0.0 ? by_cores_[0] : prompt_token_ms_;
  if (own * static_cast<double>(prompt) < kLongMs) return false;
  if (by_cores_[1] == 0.0) return true;
  if (by_cores_[0] == 0.0) return false;
  const bool all = by_cores_[1] < by_cores_[0];
  return since_[!all] >= kRetry ? !all : all;
}

size_t Pace::Fitting(double ms) const {
  // A token of a prompt takes no longer than a step of its own would.
  const double token = prompt_token_ms_ > 0.0 ? prompt_token_ms_ : generation_ms_;
  if (token <= 0.0) return kFirstPiece;
  const size_t fitting = static_cast<size_t>(std::min(ms / token, 1e6));
  const double tile_ms = static_cast<double>(kTile) * tile_token_ms_;
  // Half the pace for keeping to the budget, but not a tenth.
  const bool crawls = fitting < kTile && tile_ms > 0.0 && 2.0 * tile_token_ms_ < token;
  if (crawls && tile_ms + generation_ms_ <= kMostForTile * most_stall_ms_) return kTile;
  // Nor is one lucky step believed at once.
  const size_t most = std::max(2 * last_piece_, kFirstPiece);
  return std::max<size_t>(std::min(fitting, most), 1);
}

size_t Pace::Beside() const {
  return Fitting(std::max(kMargin * most_stall_ms_ - generation_ms_, kLeastShare * most_stall_ms_));
}

size_t Pace::Alone() const { return std::max(Fitting(kStallsAlone * most_stall_ms_), kLeastAlone); }

}  // namespace hoshikage
