// A smaller model that guesses what another one will say: a context with one sequence per slot of
// that one's worker, on whose thread it is used. It never decides what is said, and when it fails,
// generating goes on without it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "../llama/context.h"
#include "pace.h"
#include "slot.h"

namespace hoshikage {

// Why a model cannot guess for another one: its vocabulary is another, or its memory cannot take
// tokens back. Empty where it can. Takes some ten milliseconds; any thread.
std::string WhyNotDraft(const Model& drafter, const Model& target);

class DraftModel {
 public:
  // A slot whose next tokens are wanted.
  struct Wish {
    const Slot* slot = nullptr;
    size_t most = 0;
    std::vector<Token> draft;  // out; shorter where it is not sure
  };

  // `most_stall_ms`: of its own time it takes a part of that to catch up with a text.
  DraftModel(std::unique_ptr<Context> context, int32_t target_vocabulary, double most_stall_ms);

  void SetAbortCallback(AbortCallback callback, void* user_data);
  // Guesses for all wishes together. A slot whose text it has not read yet gets nothing: it reads a
  // part of it, and is asked again in the next step. Throws engine_crashed.
  void Draft(std::vector<Wish>* wishes);
  // What one token for every slot takes, ms; 0 = not known yet.
  double round_ms() const { return round_ms_; }
  bool failed() const { return failed_; }

 private:
  struct Reading {
    Wish* wish;
    int32_t index;  // where its logits are in the batch
  };

  // Adds what it has not read of a text; false where that is not all of it.
  bool Read(const Slot& slot, size_t* room, int32_t* index);
  void Guess(std::vector<Wish>* wishes);
  bool Decode();
  void Fail(const std::string& reason);
  // The most likely token, or -1 where it is not likely enough or ends the text.
  Token Best(int32_t index) const;

  std::unique_ptr<Context> context_;
  Batch batch_;
  Pace pace_;
  const int32_t vocabulary_size_;         // of what both know
  std::vector<std::vector<Token>> read_;  // what each sequence holds
  double round_ms_ = 0.0;
  bool failed_ = false;
};

}  // namespace hoshikage
