// The worker's part that decides whose turn it is: which slot takes a completion, and what the next
// step computes of whom. Worker thread only; it never decodes.
#include <algorithm>

#include "worker.h"

namespace hoshikage {
namespace {

// Prompt tokens of one step whose logits the library keeps: 40 MB with a large vocabulary.
constexpr size_t kMostPromptLogits = 64;

}  // namespace

// Where a slot can take from others what they hold, an idle one whose own cache is no loss: it goes
// on with all of it, has none, or was unused for longest. Else the one with the longest common
// prefix; among equals the one unused for longest, so that the caches of other conversations live
// on.
Slot* Worker::ChooseSlot(const Completion& completion) {
  const bool lends = context_->shares() && !context_->has_tail_state();
  Slot* best = nullptr;
  size_t best_gain = 0;
  for (Slot& slot : slots_) {
    if (!slot.idle() || slot.held()) continue;
    const size_t prefix = slot.ReusablePrefix(completion.request());
    // 0 = its cache would be lost, though another slot can lend what is needed of it.
    size_t gain = prefix + 1;
    if (lends && gain < slot.cached_tokens()) gain = 0;
    const bool older = gain == best_gain && best && slot.last_used() < best->last_used();
    if (!best || gain > best_gain || older) best = &slot, best_gain = gain;
  }
  return best;
}

// What the prompts of running completions have in common.
void Worker::NoteShared(const Slot& slot) {
  const std::vector<Token>& prompt = slot.completion()->request().prompt;
  const size_t id = static_cast<size_t>(slot.id());
  for (const Slot& other : slots_) {
    const bool runs = &other != &slot && !other.idle();
    const size_t common = runs ? CommonPrefixOf(prompt, other.completion()->request().prompt) : 0;
    const size_t their_id = static_cast<size_t>(other.id());
    shared_[id][their_id] = shared_[their_id][id] = common;
  }
}

bool Worker::AnyGenerating() const {
  return std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.generating(); });
}

// Of those that generate, how many take part in the next step unless something is tried ahead.
size_t Worker::Together() {
  const auto has_prompt = [](const Slot& s) { return s.PromptLeft() > 0; };
  const size_t generating = static_cast<size_t>(
      std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) { return s.generating(); }));
  // Beside a prompt's piece one token more is little; alone they may be quicker in parts, in turn.
  const bool all = std::any_of(slots_.begin(), slots_.end(), has_prompt);
  return all ? generating : share_out_.Size(generating);
}

// Running generations first, one token each and what it tries behind that, then prompts in the
// order of their turns with what room is left. Of those whose every token's logits are wanted, only
// so many tokens together.
void Worker::FillBatch(size_t together) {
  batch_.Clear();
  batch_drafts_ =
      std::any_of(slots_.begin(), slots_.end(), [](const Slot& s) { return s.has_draft(); });
  // Drafts were planned for a step of all.
  size_t left = batch_drafts_ ? slots_.size() : together;
  const size_t first = first_generating_;
  for (size_t i = 0; i < slots_.size() && left > 0; i++) {
    Slot& slot = slots_[(first + i) % slots_.size()];
    if (!slot.generating() || batch_.size() == batch_.capacity()) continue;
    slot.AddTo(&batch_, batch_.capacity() - batch_.size());
    first_generating_ = static_cast<size_t>(slot.id()) + 1;
    left--;
  }
  batch_generated_ = batch_.size();
  const size_t free = batch_.capacity() - batch_.size();
  const size_t beside = std::min(pace_.Beside(batch_generated_), free);
  const StepRoom room{batch_generated_ > 0 ? beside : std::min(pace_.Alone(), free), beside};
  const auto wants_all = std::count_if(slots_.begin(), slots_.end(), [](const Slot& s) {
    return s.wants_prompt_logits() && s.PromptLeft() > 0;
  });
  std::vector<PromptPlace> places;
  for (const Slot& slot : slots_) {
    if (slot.PromptLeft() == 0) continue;
    const size_t id = static_cast<size_t>(slot.id());
    PromptPlace place;
    place.slot = id;
    place.admitted = turns_[id].admitted;
    place.left = slot.PromptLeft();
    const uint64_t own = turns_[id].prompt_tokens + slot.computed_tokens();
    place.passed = static_cast<size_t>(std::max(local_.prompt_tokens, own) - own);
    place.background = slot.completion()->request().background;
    place.cached = slot.cached_tokens();
    if (slot.borrows() && !context_->has_tail_state()) place.shared = &shared_[id];
    if (slot.wants_prompt_logits()) {
      place.most = std::max<size_t>(kMostPromptLogits / static_cast<size_t>(wants_all), 1);
    }
    places.push_back(place);
  }
  for (const PromptPiece& piece : PlanPrompts(std::move(places), tokens_per_sequence_, room)) {
    slots_[piece.slot].AddTo(&batch_, piece.tokens);
  }
  batch_prompt_ = batch_.size() - batch_generated_;
}

}  // namespace hoshikage
