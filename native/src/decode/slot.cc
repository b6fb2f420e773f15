#include "slot.h"

#include <algorithm>
#include <utility>

#include "../llama/error.h"
#include "prefix-store.h"

namespace hoshikage {
namespace {

// Of one slot.
constexpr size_t kMostCheckpoints = 4;
// Of all slots together, each of which has the same share: hybrid models have some megabytes each.
constexpr size_t kMostCheckpointBytes = size_t{256} << 20;

}  // namespace

size_t Slot::CommonPrefix(const std::vector<Token>& prompt) const {
  return CommonPrefixOf(cached_, prompt);
}

size_t Slot::ReusablePrefix(const CompletionRequest& request) const {
  if (!request.ReusesCache()) return 0;
  // The last prompt token is always decoded: its logits choose the first answer token.
  const size_t prefix = std::min(CommonPrefix(request.prompt), request.prompt.size() - 1);
  if (!context_->has_tail_state() || prefix == cached_.size()) return prefix;
  const Checkpoint* checkpoint = CheckpointBefore(prefix);
  return checkpoint ? checkpoint->tokens : 0;
}

void Slot::Begin(std::shared_ptr<Completion> completion, std::shared_ptr<const Model> model) {
  const CompletionRequest& request = completion->request();
  completion_ = std::move(completion);
  model_ = std::move(model);
  borrows_ = context_->shares() && request.ReusesCache();
  has_pending_ = false;
  reused_ = 0;
  borrowed_ = 0;
  computed_ = 0;
  generated_ = 0;
  drafted_ = 0;
  accepted_ = 0;
  prefill_ms_ = 0.0;
  added_ = 0;
  logits_index_ = -1;
  untold_ = {};

  const size_t keep = ReusablePrefix(request);
  if (keep == 0) {
    ForgetCache();  // also where nothing is known to be in it: an earlier call may have failed
  } else if (keep < cached_.size()) {
    Shorten(keep);
  }
  reused_ = cached_.size();
  sampler_ = std::make_unique<Sampler>(model_, request.sampling, request.prompt);
}

size_t Slot::Borrow(const Slot& other) {
  const std::vector<Token>& prompt = completion_->request().prompt;
  const size_t had = cached_.size();
  const size_t end = std::min(other.CommonPrefix(prompt), prompt.size() - 1);
  if (end <= had || PromptLeft() == 0) return 0;
  const int32_t last = static_cast<int32_t>(end);
  int32_t begin = static_cast<int32_t>(had);
  if (!context_->Lends(other.id_, begin, last)) {
    // It may still take the place of what is here, where that is none of this request's own work.
    if (begin == 0 || computed_ > 0 || !context_->Lends(other.id_, 0, last)) return 0;
    ForgetCache();
    begin = 0;
    reused_ = borrowed_ = 0;
  }
  if (!context_->Share(other.id_, id_, begin, last)) {
    // Not to be tried at every step, whatever made it fail.
    borrows_ = false;
    reused_ = borrowed_ = 0;
    ForgetCache();
    return 0;
  }
  cached_.assign(prompt.begin(), prompt.begin() + static_cast<ptrdiff_t>(end));
  borrowed_ += end - static_cast<size_t>(begin);
  completion_->SetPrefilled(last);
  if (context_->has_tail_state() && PromptLeft() == 1) KeepCheckpoint();
  return end - had;
}

void Slot::End(DoneReason reason, const char* code, const std::string& message) {
  const CompletionRequest& request = completion_->request();
  const Clock::time_point now = Clock::now();
  Done done;
  done.reason = reason;
  done.code = code;
  done.message = message;
  done.prompt_tokens = static_cast<int32_t>(request.prompt.size());
  done.cached_tokens = static_cast<int32_t>(reused_ + borrowed_);
  done.generated_tokens = static_cast<int32_t>(generated_);
  done.drafted_tokens = static_cast<int32_t>(drafted_);
  done.accepted_tokens = static_cast<int32_t>(accepted_);
  done.prefill_ms = prefill_ms_;
  done.generation_ms = generated_ > 0 ? Milliseconds(now - first_token_) : 0.0;
  done.slot = id_;
  const int32_t keep = completion_->keep_tokens();
  if (completion_->cancelled() && keep >= 0) {
    const size_t wanted = request.prompt.size() + static_cast<size_t>(keep);
    if (wanted < cached_.size()) TryShorten(wanted);
  }
  sampler_.reset();
  model_.reset();
  has_pending_ = false;
  added_ = 0;
  logits_index_ = -1;
  draft_.clear();
  again_.clear();
  logits_.clear();
  choices_.clear();
  failure_ = nullptr;
  untold_ = {};
  last_used_ = now;
  std::shared_ptr<Completion> completion = std::move(completion_);
  completion_.reset();
  completion->Finish(std::move(done));
}

size_t Slot::PromptLeft() const {
  if (!completion_ || generating()) return 0;
  return Wanted().size() - cached_.size();
}

size_t Slot::RoomForDraft() const {
  if (!generating() || cannot_rewind_) return 0;
  const size_t held = cached_.size() + 1;  // with the pending one
  const size_t room = context_->tokens_per_sequence();
  size_t most = room > held ? room - held : 0;
  const int32_t limit = completion_->request().max_tokens;
  // A step tells one token more than it tries.
  if (limit >= 0) most = std::min(most, static_cast<size_t>(limit) - generated_ - 1);
  return most;
}

void Slot::SetDraft(std::vector<Token> draft) {
  draft.resize(std::min(draft.size(), RoomForDraft()));
  const auto ends = [this](Token token) { return model_->IsEog(token); };
  draft.erase(std::find_if(draft.begin(), draft.end(), ends), draft.end());
  draft_ = std::move(draft);
}

void Slot::AddTo(Batch* batch, size_t limit) {
  const int32_t position = static_cast<int32_t>(cached_.size());
  if (generating()) {
    logits_index_ = batch->Add(pending_, position, id_, true);
    for (const Token token : draft_) {
      batch->Add(token, position + static_cast<int32_t>(added_ + 1), id_, true);
      added_++;
    }
    added_++;
    return;
  }
  const std::vector<Token>& prompt = Wanted();
  added_ = std::min(PromptLeft(), limit);
  // A step ends before the last token, where a checkpoint is kept.
  if (context_->has_tail_state() && added_ > 1 && added_ == PromptLeft()) added_--;
  logits_index_ = -1;
  const bool all = wants_prompt_logits();
  untold_ = {cached_.size(), 0, static_cast<int32_t>(batch->size())};
  for (size_t i = 0; i < added_; i++) {
    const size_t at = cached_.size() + i;
    const bool last = at + 1 == prompt.size() && again_.empty();
    const int32_t index =
        batch->Add(prompt[at], position + static_cast<int32_t>(i), id_, last || all);
    if (last) logits_index_ = index;
    if (all && !last) untold_.count++;
  }
}

size_t Slot::Decoded(double prompt_token_ms) {
  const size_t prompt_tokens = generating() ? 0 : added_;
  // What is computed again behind the first token is part of the generation.
  if (generated_ == 0) prefill_ms_ += static_cast<double>(prompt_tokens) * prompt_token_ms;
  computed_ += prompt_tokens;
  if (generating()) {
    cached_.push_back(pending_);
    cached_.insert(cached_.end(), draft_.begin(), draft_.end());
    drafted_ += draft_.size();
  } else {
    const auto from = Wanted().begin() + static_cast<ptrdiff_t>(cached_.size());
    cached_.insert(cached_.end(), from, from + static_cast<ptrdiff_t>(added_));
    if (again_.empty()) completion_->SetPrefilled(static_cast<int32_t>(cached_.size()));
    if (cached_.size() == again_.size()) again_.clear();
    if (context_->has_tail_state() && PromptLeft() == 1) KeepCheckpoint();
  }
  added_ = 0;
  return prompt_tokens;
}

void Slot::Undo() {
  if (added_ == 0) return;
  added_ = 0;
  draft_.clear();
  logits_index_ = -1;
  untold_ = {};
  TryShorten(cached_.size());
}

void Slot::Shorten(size_t tokens) {
  if (tokens > 0 && context_->Trim(id_, static_cast<int32_t>(tokens))) {
    cached_.resize(tokens);
  } else if (const Checkpoint* checkpoint = CheckpointBefore(tokens)) {
    const size_t back = checkpoint->tokens;
    if (!context_->WriteCheckpoint(id_, checkpoint->bytes, static_cast<int32_t>(back))) {
      return ForgetCache();
    }
    cached_.resize(back);
  } else {
    ForgetCache();
  }
  while (!checkpoints_.empty() && checkpoints_.back().tokens > cached_.size()) {
    checkpoints_.pop_back();
  }
}

const Slot::Checkpoint* Slot::CheckpointBefore(size_t tokens) const {
  for (auto it = checkpoints_.rbegin(); it != checkpoints_.rend(); ++it) {
    if (it->tokens <= tokens) return &*it;
  }
  return nullptr;
}

void Slot::KeepCheckpoint() {
  if (!checkpoints_.empty() && checkpoints_.back().tokens == cached_.size()) return;
  if (checkpoints_.size() >= kMostCheckpoints) checkpoints_.erase(checkpoints_.begin());
  const size_t most = kMostCheckpointBytes / context_->sequences();
  for (;;) {
    size_t held = 0;
    for (const Checkpoint& checkpoint : checkpoints_) held += checkpoint.bytes.size;
    std::optional<Bytes> bytes = context_->ReadCheckpoint(id_, most - held);
    if (bytes) checkpoints_.push_back({cached_.size(), std::move(*bytes)});
    if (bytes || checkpoints_.empty()) return;
    checkpoints_.erase(checkpoints_.begin());
  }
}

void Slot::TryShorten(size_t tokens) {
  try {
    Shorten(tokens);
  } catch (const Error&) {
    cached_.clear();  // what is being ended ends all the same; Begin empties the sequence
  }
}

void Slot::ForgetCache() {
  cached_.clear();  // first: after a failure nothing may be believed of the sequence
  checkpoints_.clear();
  context_->Forget(id_);
}

bool Slot::Restore(const Token* tokens, size_t count, const uint8_t* data, size_t size) {
  const int32_t begin = static_cast<int32_t>(cached_.size());
  bool fits = false;
  try {
    fits = context_->WriteState(id_, begin, begin + static_cast<int32_t>(count), data, size);
  } catch (const Error&) {
    // What a library cannot read does not fit; it may have read a part of it.
  }
  if (!fits) {
    ForgetCache();
    return false;
  }
  cached_.insert(cached_.end(), tokens, tokens + count);
  last_used_ = Clock::now();
  return true;
}

void Slot::TellPromptTokens() {
  const Untold untold = std::exchange(untold_, Untold{});
  const CompletionRequest& request = completion_->request();
  const size_t best = static_cast<size_t>(std::max(request.prompt_logprobs, 0));
  for (size_t i = 0; i < untold.count; i++) {
    const float* logits = context_->Logits(untold.index + static_cast<int32_t>(i));
    const Token next = request.prompt[untold.from + i + 1];
    completion_->AddPromptToken(LogprobsOf(logits, model_->VocabularySize(), next, best));
  }
}

bool Slot::FetchLogits() {
  if (logits_index_ < 0) return false;
  const int32_t first = std::exchange(logits_index_, -1);
  logits_.clear();
  for (size_t row = 0; row <= draft_.size(); row++) {
    logits_.push_back(context_->Logits(first + static_cast<int32_t>(row)));
  }
  return true;
}

void Slot::Choose() {
  try {
    if (sampler_->complete()) return;
    for (size_t row = 0; row < logits_.size(); row++) {
      choices_.push_back(sampler_->Sample(logits_[row]));
      const Token token = choices_.back().token;
      const bool goes_on = row < draft_.size() && token == draft_[row];
      if (!goes_on || EndBehind(token, generated_ + choices_.size())) return;
    }
  } catch (...) {
    failure_ = std::current_exception();
  }
}

std::optional<DoneReason> Slot::EndBehind(Token token, size_t count) const {
  const int32_t limit = completion_->request().max_tokens;
  if (model_->IsEog(token) || sampler_->complete()) return DoneReason::kEog;
  if (limit >= 0 && count >= static_cast<size_t>(limit)) return DoneReason::kLength;
  return std::nullopt;
}

void Slot::Take() {
  const std::vector<Choice> choices = std::exchange(choices_, {});
  const size_t drafted = std::exchange(draft_, {}).size();
  const size_t accepted = choices.empty() ? 0 : choices.size() - 1;
  accepted_ += accepted;
  // The last one chosen is in no cache yet, whatever the draft said.
  Rewind(cached_.size() - (drafted - accepted));
  for (const Choice& choice : choices) Tell(choice);
  if (failure_) std::rethrow_exception(std::exchange(failure_, nullptr));
  if (choices.empty()) return End(DoneReason::kEog);
  pending_ = choices.back().token;
  has_pending_ = true;
  const size_t held = std::max(cached_.size(), again_.size());
  if (const auto reason = EndBehind(pending_, generated_)) {
    End(*reason);
  } else if (held >= context_->tokens_per_sequence()) {
    End(DoneReason::kContext);
  }
}

void Slot::Tell(const Choice& choice) {
  piece_.clear();
  model_->AppendPiece(choice.token, &piece_);
  if (generated_ == 0) first_token_ = Clock::now();
  generated_++;
  completion_->AddToken(choice, piece_, model_->Flags(choice.token));
}

void Slot::Rewind(size_t tokens) {
  if (tokens == cached_.size()) return;
  std::vector<Token> kept = std::move(cached_);
  cached_.clear();  // should it throw, nothing may be believed of the sequence
  kept.resize(tokens);
  if (context_->TakeBack(id_, static_cast<int32_t>(tokens))) {
    cached_ = std::move(kept);
    return;
  }
  cannot_rewind_ = true;
  borrows_ = false;
  ForgetCache();
  again_ = std::move(kept);
}

}  // namespace hoshikage
