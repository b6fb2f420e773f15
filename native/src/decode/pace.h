// How long steps take, learned from those that were made, and so how many prompt tokens fit into
// one beside those who generate, and on how many cores they are computed. Pure arithmetic on what
// it is told; worker thread only.
#pragma once

#include <cstddef>

namespace hoshikage {

class Pace {
 public:
  explicit Pace(double most_stall_ms) : most_stall_ms_(most_stall_ms) {}

  // A step took `ms` with so many tokens of generations and of prompts, on all cores or on those
  // that are always ours.
  void Took(size_t generated, size_t prompt, double ms, bool all_cores = false);
  // Whether a step with so many prompt tokens is to be computed on all cores: only where it takes
  // long, and where that was seen to be quicker. Cores that others use too make each other wait.
  bool AllCores(size_t prompt);
  // Prompt tokens for a step in which so many tokens are generated: at least one, so that prompts
  // get on.
  size_t Beside(size_t generated) const;
  // Those for a step with nothing but prompts: larger pieces compute faster, but who comes or goes
  // waits for the end of one.
  size_t Alone() const;
  // What a step of one token per generation takes; 0 = not known yet.
  double generation_ms() const { return generation_ms_; }
  // What a prompt token takes; 0 = not known yet.
  double prompt_token_ms() const { return prompt_token_ms_; }

 private:
  bool TilePays(double token_ms) const;
  size_t Fitting(double ms, size_t generated) const;

  double most_stall_ms_;
  double generation_ms_ = 0.0;
  double prompt_token_ms_ = 0.0;
  double least_token_ms_ = 0.0;      // the quickest ever
  double tile_token_ms_ = 0.0;       // in steps of a tile or more
  double by_cores_[2] = {0.0, 0.0};  // ms per prompt token of long steps; second: on all cores
  size_t since_[2] = {0, 0};         // long steps since one was computed so
  size_t last_piece_ = 0;
};

}  // namespace hoshikage
