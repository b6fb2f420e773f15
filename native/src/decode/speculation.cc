#include "speculation.h"

#include <algorithm>

namespace hoshikage {
namespace {

// Steps in which drafts did not pay, until they are tried all the same; twice as many after every
// time that they did not pay then either.
constexpr uint64_t kFirstProbe = 8;
constexpr uint64_t kLastProbe = 1024;

}  // namespace

std::unique_ptr<Speculation> Speculation::For(const Context& target,
                                              const SpeculationOptions& options,
                                              std::unique_ptr<Context> drafter) {
  const bool wanted = options.most_tokens > 0 && (options.lookup || drafter);
  if (wanted && target.has_tail_state()) {
    LogLine(kLogWarn, "nothing is drafted: this model's memory cannot take tokens back");
  }
  if (!wanted || target.has_tail_state()) return nullptr;
  std::unique_ptr<DraftModel> model;
  if (drafter) {
    model = std::make_unique<DraftModel>(std::move(drafter), target.model().VocabularySize(),
                                         options.most_stall_ms);
  }
  return std::make_unique<Speculation>(options, std::move(model), target.sequences());
}

Speculation::Speculation(const SpeculationOptions& options, std::unique_ptr<DraftModel> model,
                         size_t slots)
    : options_(options), model_(std::move(model)), lines_(slots), steps_to_probe_(kFirstProbe) {}

void Speculation::SetAbortCallback(AbortCallback callback, void* user_data) {
  if (model_) model_->SetAbortCallback(callback, user_data);
}

void Speculation::Began(const Slot& slot) {
  LineOf(slot) = Line();
  if (!options_.lookup) return;
  const CompletionRequest& request = slot.completion()->request();
  const size_t answer = request.max_tokens >= 0 ? static_cast<size_t>(request.max_tokens) : 0;
  LineOf(slot).lookup = std::make_unique<Lookup>(request.prompt.size() + answer);
}

void Speculation::Look(const Slot& slot, size_t most) {
  Line& line = LineOf(slot);
  line.guess.clear();
  line.tried = Source::kNone;
  if (!line.lookup) return;
  while (line.lookup->size() < slot.text_size()) {
    line.lookup->Append(slot.TextAt(line.lookup->size()));
  }
  line.matched = line.lookup->matched();
  line.guess = line.lookup->Guess(most);
}

DraftPlace Speculation::PlaceOf(const Slot& slot, size_t most, Source* source) {
  const Line& line = LineOf(slot);
  const double looked = line.guess.empty() ? 0.0 : line.by_match[line.matched].value();
  const bool modelled = HasModel() && by_model_.value() > looked;
  *source = modelled ? Source::kModel : Source::kLookup;
  if (modelled) return {by_model_.value(), most, true};
  return {looked, line.guess.size(), false};
}

void Speculation::Draft(std::vector<Slot>* slots, size_t together, size_t rows) {
  std::vector<Choice> choices;
  std::vector<DraftPlace> places;
  bool prompts = false;
  for (Slot& slot : *slots) {
    if (slot.PromptLeft() > 0) prompts = true;
    if (!slot.generating()) continue;
    const size_t most = std::min<size_t>(options_.most_tokens, slot.RoomForDraft());
    Look(slot, most);
    Choice choice{&slot, Source::kNone};
    places.push_back(PlaceOf(slot, most, &choice.source));
    choices.push_back(choice);
  }
  // Beside a prompt every token costs the same, so that none is won; nor is that step measured.
  if (prompts || places.empty()) return;
  const std::vector<size_t> counts = Plan(places, together, rows);
  std::vector<DraftModel::Wish> wishes;
  for (size_t i = 0; i < choices.size(); i++) {
    const auto [slot, source] = choices[i];
    if (counts[i] == 0) continue;
    Line& line = LineOf(*slot);
    line.tried = source;
    if (source == Source::kModel) {
      wishes.push_back({slot, counts[i], {}});
    } else {
      slot->SetDraft({line.guess.begin(), line.guess.begin() + static_cast<ptrdiff_t>(counts[i])});
    }
  }
  if (wishes.empty()) return;
  model_->Draft(&wishes);
  for (DraftModel::Wish& wish : wishes) {
    (*slots)[static_cast<size_t>(wish.slot->id())].SetDraft(std::move(wish.draft));
  }
}

std::vector<size_t> Speculation::Plan(const std::vector<DraftPlace>& places, size_t together,
                                      size_t rows) {
  const size_t most = std::min(rows, kMostRows);
  DraftLimits limits;
  limits.together = together;
  limits.round_ms = HasModel() ? model_->round_ms() : 0.0;
  limits.most_ms = options_.most_stall_ms;
  limits.most_tokens = most > places.size() ? most - places.size() : 0;
  const auto any = [](const std::vector<size_t>& counts) {
    return std::any_of(counts.begin(), counts.end(), [](size_t count) { return count > 0; });
  };
  std::vector<size_t> counts = PlanDrafts(places, costs_, limits);
  const bool pays = any(counts);
  if (pays) {
    steps_to_probe_ = kFirstProbe;
    steps_since_probe_ = 0;
  } else if (++steps_since_probe_ >= steps_to_probe_) {
    counts = PlanProbe(places, costs_, limits);
    if (any(counts)) {
      steps_since_probe_ = 0;
      steps_to_probe_ = std::min(2 * steps_to_probe_, kLastProbe);
    }
  }
  return counts;
}

void Speculation::Learn(const std::vector<Slot>& slots, size_t rows, double ms) {
  costs_.Took(rows, ms);
  bool modelled = false;
  for (const Slot& slot : slots) {
    Line& line = LineOf(slot);
    // Counters that went back: the slot took a completion that failed before it began.
    if (slot.drafted_tokens() < line.drafted) line = Line();
    const size_t drafted = slot.drafted_tokens() - line.drafted;
    const size_t right = slot.accepted_tokens() - line.accepted;
    line.drafted += drafted;
    line.accepted += right;
    if (drafted > 0 && line.tried == Source::kLookup) {
      line.by_match[line.matched].Saw(right, right < drafted);
    } else if (!line.guess.empty() && slot.generating() && slot.text_size() > line.lookup->size()) {
      // Not tried, but it would have been right or wrong; one that had no part in the step does not
      // know yet.
      const bool same = slot.TextAt(line.lookup->size()) == line.guess.front();
      line.by_match[line.matched].Saw(same ? 1 : 0, !same);
    }
    if (drafted > 0 && line.tried == Source::kModel) {
      by_model_.Saw(right, right < drafted);
      modelled = true;
    }
    line.guess.clear();
  }
  if (HasModel() && !modelled) by_model_.Fade();
}

}  // namespace hoshikage
