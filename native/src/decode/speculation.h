// Which tokens the slots of a worker try ahead: drafts from the text itself or from a draft model,
// where they pay by what was measured. Worker thread only. What is tried is the slots' own
// to check: nothing here can change what is said.
#pragma once

#include <array>
#include <memory>
#include <optional>
#include <vector>

#include "draft-model.h"
#include "gain.h"
#include "lookup.h"
#include "slot.h"

namespace hoshikage {

struct SpeculationOptions {
  uint32_t most_tokens = 0;  // tried per slot and step; 0 = none
  bool lookup = false;
  double most_stall_ms = 100.0;
};

class Speculation {
 public:
  // What drafts for a context; null where nothing is wanted, or its memory cannot take tokens back,
  // which is said in the log. `drafter`: the draft model's context, or null.
  static std::unique_ptr<Speculation> For(const Context& target, const SpeculationOptions& options,
                                          std::unique_ptr<Context> drafter);
  // `model`: null = none.
  Speculation(const SpeculationOptions& options, std::unique_ptr<DraftModel> model, size_t slots);

  void SetAbortCallback(AbortCallback callback, void* user_data);
  // The slot has taken a completion.
  void Began(const Slot& slot);
  // Gives the slots what they try in the coming step, which holds at most `rows` tokens. Without
  // that only `together` of those that generate would take part in it. Throws engine_crashed.
  void Draft(std::vector<Slot>* slots, size_t together, size_t rows);
  // After a step and what was chosen in it: whether that was right, and what the step took. `rows`:
  // its tokens, 0 where it is not to be measured.
  void Learn(const std::vector<Slot>& slots, size_t rows, double ms);

 private:
  enum class Source { kNone, kLookup, kModel };
  // A slot's completion.
  struct Line {
    std::unique_ptr<Lookup> lookup;
    // That a token is right which followed so many tokens.
    std::array<Likelihood, Lookup::kLongest + 1> by_match{
        Likelihood(0.5), Likelihood(0.5), Likelihood(0.5), Likelihood(0.5), Likelihood(0.5)};
    size_t matched = 0;
    std::vector<Token> guess;  // of the text itself, whether it is tried or not
    Source tried = Source::kNone;
    size_t drafted = 0;  // of the completion, as far as learned from
    size_t accepted = 0;
  };
  struct Choice {
    Slot* slot;
    Source source;
  };

  Line& LineOf(const Slot& slot) { return lines_[static_cast<size_t>(slot.id())]; }
  void Look(const Slot& slot, size_t most);
  DraftPlace PlaceOf(const Slot& slot, size_t most, Source* source);
  std::vector<size_t> Plan(const std::vector<DraftPlace>& places, size_t together, size_t rows);
  bool HasModel() const { return model_ && !model_->failed(); }

  const SpeculationOptions options_;
  std::unique_ptr<DraftModel> model_;
  std::vector<Line> lines_;
  StepCosts costs_;
  Likelihood by_model_{0.7};
  bool probing_ = false;
  uint64_t steps_since_probe_ = 0;
  uint64_t steps_to_probe_;
};

}  // namespace hoshikage
