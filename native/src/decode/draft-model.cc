#include "draft-model.h"

#include <algorithm>
#include <cmath>

#include "../llama/error.h"
#include "candidates.h"

namespace hoshikage {
namespace {

// Vocabularies of one family are padded to different sizes; what is beyond the smaller one is never
// guessed.
constexpr int32_t kMostPadding = 128;
// A token that is less likely than this is not worth trying.
constexpr float kLeastLikely = 0.4f;
// Of what a step may take, for reading texts.
constexpr double kReadingShare = 0.25;
// What is this far below the best logit adds nothing that matters: e^-16.
constexpr float kNegligible = 16.0f;
constexpr double kLearn = 0.2;

std::string Quoted(const std::string& text) { return "\"" + text.substr(0, 32) + "\""; }

}  // namespace

std::string WhyNotDraft(const Model& drafter, const Model& target) {
  if (drafter.HasTailState()) {
    return "it remembers what it has read as a state, which cannot be taken back";
  }
  const int32_t ours = drafter.VocabularySize();
  const int32_t theirs = target.VocabularySize();
  if (std::abs(ours - theirs) > kMostPadding) {
    return "its vocabulary has " + std::to_string(ours) + " tokens, the model's " +
           std::to_string(theirs);
  }
  const Api& api = target.library()->api();
  const auto special = [&](const Model& model) {
    return Guard("model_load_failed", "special tokens", [&] {
      const llama_vocab* vocab = model.vocab();
      return std::vector<Token>{api.llama_vocab_bos(vocab), api.llama_vocab_eos(vocab),
                                api.llama_vocab_eot(vocab)};
    });
  };
  if (special(drafter) != special(target)) return "its special tokens have other ids";
  std::string one;
  std::string other;
  for (Token token = 0; token < std::min(ours, theirs); token++) {
    one.clear();
    other.clear();
    drafter.AppendPiece(token, &one);
    target.AppendPiece(token, &other);
    if (one != other || drafter.Flags(token) != target.Flags(token)) {
      return "its token " + std::to_string(token) + " is " + Quoted(one) + ", the model's " +
             Quoted(other);
    }
  }
  return {};
}

DraftModel::DraftModel(std::unique_ptr<Context> context, int32_t target_vocabulary,
                       double most_stall_ms)
    : context_(std::move(context)),
      batch_(context_->batch_tokens()),
      pace_(kReadingShare * most_stall_ms),
      vocabulary_size_(std::min(context_->model().VocabularySize(), target_vocabulary)),
      read_(context_->sequences()) {}

void DraftModel::SetAbortCallback(AbortCallback callback, void* user_data) {
  context_->SetAbortCallback(callback, user_data);
}

bool DraftModel::Read(const Slot& slot, size_t* room, int32_t* index) {
  const size_t id = static_cast<size_t>(slot.id());
  std::vector<Token>& read = read_[id];
  size_t same = 0;
  // The last token is always read: what comes behind it is asked for.
  const size_t limit = std::min(read.size(), slot.text_size() - 1);
  while (same < limit && read[same] == slot.TextAt(same)) same++;
  if (same < read.size()) {
    if (!context_->TakeBack(slot.id(), static_cast<int32_t>(same))) {
      context_->Forget(slot.id());
      same = 0;
    }
    read.resize(same);
  }
  for (; *room > 0 && read.size() < slot.text_size(); (*room)--) {
    const Token token = slot.TextAt(read.size());
    if (token >= vocabulary_size_) return false;
    const bool last = read.size() + 1 == slot.text_size();
    const int32_t at = batch_.Add(token, static_cast<int32_t>(read.size()), slot.id(), last);
    read.push_back(token);
    if (last) *index = at;
  }
  return read.size() == slot.text_size();
}

void DraftModel::Draft(std::vector<Wish>* wishes) {
  if (failed_) return;
  try {
    Guess(wishes);
  } catch (const Error& e) {
    if (Crashed()) throw;
    Fail(e.what());
  }
}

void DraftModel::Guess(std::vector<Wish>* wishes) {
  const Clock::time_point begun = Clock::now();
  std::vector<Reading> readings;
  batch_.Clear();
  size_t room = std::min(std::max(pace_.Beside(0), wishes->size()), batch_.capacity());
  for (Wish& wish : *wishes) {
    if (wish.slot->text_size() + wish.most > context_->tokens_per_sequence()) continue;
    int32_t index = -1;
    if (Read(*wish.slot, &room, &index)) readings.push_back({&wish, index});
  }
  if (batch_.size() == 0) return;
  const size_t tokens = batch_.size();
  if (!Decode()) return;
  // What was guessed and what came behind that: one round. More: a piece of a text.
  const bool piece = tokens > 2 * wishes->size();
  if (piece) pace_.Took(0, tokens, MsSince(begun));
  size_t rounds = 1;
  for (;;) {
    batch_.Clear();
    std::vector<Reading> next;
    for (const Reading& reading : readings) {
      Wish& wish = *reading.wish;
      const Token token = Best(reading.index);
      if (token < 0) continue;
      wish.draft.push_back(token);
      if (wish.draft.size() >= wish.most) continue;
      std::vector<Token>& read = read_[static_cast<size_t>(wish.slot->id())];
      const auto position = static_cast<int32_t>(read.size());
      next.push_back({&wish, batch_.Add(token, position, wish.slot->id(), true)});
      read.push_back(token);
    }
    readings = std::move(next);
    if (readings.empty()) break;
    if (!Decode()) break;
    rounds++;
  }
  if (piece) return;
  const double ms = MsSince(begun) / static_cast<double>(rounds);
  round_ms_ = round_ms_ == 0.0 ? ms : round_ms_ + kLearn * (ms - round_ms_);
}

bool DraftModel::Decode() {
  std::string reason;
  const DecodeStatus status = context_->Decode(&batch_, &reason);
  if (status == DecodeStatus::kOk) return true;
  // Of an aborted step a part may have been read.
  for (size_t id = 0; id < read_.size(); id++) {
    read_[id].clear();
    context_->Forget(static_cast<int32_t>(id));
  }
  if (status != DecodeStatus::kAborted) Fail(reason);
  return false;
}

void DraftModel::Fail(const std::string& reason) {
  failed_ = true;
  LogLine(kLogWarn, "the draft model is not used any more: " + reason);
}

Token DraftModel::Best(int32_t index) const {
  const float* logits = context_->Logits(index);
  const Token best = ArgMax(logits, vocabulary_size_);
  float sum = 0.0f;
  for (Token i = 0; i < vocabulary_size_; i++) {
    const float below = logits[i] - logits[best];
    if (below > -kNegligible) sum += std::exp(below);
  }
  const bool likely = sum > 0.0f && 1.0f / sum >= kLeastLikely;
  return likely && !context_->model().IsEog(best) ? best : -1;
}

}  // namespace hoshikage
