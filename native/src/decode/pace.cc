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
// libllama computes attention in tiles of so many tokens of a step, and steps with less one by one:
// deep in a prompt a tile takes little longer than a few of them. It may take this many budgets
// then.
constexpr size_t kTile = 64;
constexpr double kMostForTile = 4.0;
// What a tile takes is half forgotten after some 200 pieces without one: the machine may be idle
// now.
constexpr double kForget = 0.997;
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
  if (least_token_ms_ == 0.0 || token_ms < least_token_ms_) least_token_ms_ = token_ms;
  if (generated + prompt >= kTile) {
    tile_token_ms_ = Learned(tile_token_ms_, token_ms);
  } else {
    tile_token_ms_ *= kForget;
  }
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

// Half the pace for keeping to the budget, but not a tenth.
bool Pace::TilePays(double token_ms) const {
  const double tile_token_ms = tile_token_ms_ > 0.0 ? tile_token_ms_ : least_token_ms_;
  const double step_ms = static_cast<double>(kTile) * tile_token_ms + generation_ms_;
  return tile_token_ms > 0.0 && 2.0 * tile_token_ms < token_ms &&
         step_ms <= kMostForTile * most_stall_ms_;
}

size_t Pace::Fitting(double ms, size_t generated) const {
  // A token of a prompt takes no longer than a step of its own would.
  const double token = prompt_token_ms_ > 0.0 ? prompt_token_ms_ : generation_ms_;
  if (token <= 0.0) return kFirstPiece;
  const size_t fitting = static_cast<size_t>(std::min(ms / token, 1e6));
  if (generated + fitting < kTile && TilePays(token)) return kTile - generated;
  // One lucky step is not believed at once.
  const size_t most = std::max(2 * last_piece_, kFirstPiece);
  const size_t size = std::min(fitting, most);
  // A few tokens more than whole tiles take as long as one more.
  const size_t over = generated + size < kTile ? 0 : (generated + size) % kTile;
  return std::max<size_t>(over < kTile / 2 && over < size ? size - over : size, 1);
}

size_t Pace::Beside(size_t generated) const {
  const double left =
      std::max(kMargin * most_stall_ms_ - generation_ms_, kLeastShare * most_stall_ms_);
  return Fitting(left, generated);
}

size_t Pace::Alone() const {
  return std::max(Fitting(kStallsAlone * most_stall_ms_, 0), kLeastAlone);
}

}  // namespace hoshikage
