// The place of one running completion: one sequence of the cache and what is known to be in it.
// Worker thread only.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "../llama/context.h"
#include "clock.h"
#include "completion.h"

namespace hoshikage {

class Slot {
 public:
  Slot(int32_t id, Context* context) : id_(id), context_(context) {}

  int32_t id() const { return id_; }
  bool idle() const { return !completion_; }
  const std::shared_ptr<Completion>& completion() const { return completion_; }
  Clock::time_point last_used() const { return last_used_; }

  // Length of the common prefix of the cache and a prompt.
  size_t CommonPrefix(const std::vector<Token>& prompt) const;
  // The same as far as the memory can come back to it and the request may make use of it.
  size_t ReusablePrefix(const CompletionRequest& request) const;
  // Takes a completion: trims the cache to the common prefix. Throws grammar_invalid.
  void Begin(std::shared_ptr<Completion> completion, std::shared_ptr<const Model> model);
  // Takes from another slot's cache what the prompt has in common with it beyond what is here;
  // gives how many tokens that were, and 0 where the memory could not. Throws decode_failed.
  size_t Borrow(const Slot& other);
  // Whether Borrow() may be asked at all.
  bool borrows() const { return borrows_; }
  // Frees the slot and tells the completion. Never throws what the library throws.
  void End(DoneReason reason, const char* code = "", const std::string& message = "");

  bool generating() const { return completion_ && has_pending_ && again_.empty(); }
  // Tokens of the prompt, or of what had to be forgotten (see Rewind), that are not in the cache
  // yet.
  size_t PromptLeft() const;
  // Where it generates, its text: the cache and the token that comes next.
  size_t text_size() const { return cached_.size() + 1; }
  Token TextAt(size_t index) const { return index < cached_.size() ? cached_[index] : pending_; }
  // How many tokens may be tried behind the pending one: what the request and the context leave.
  size_t RoomForDraft() const;
  // What may follow the pending token is tried in the coming step, as far as there is room and up
  // to what would end the text.
  void SetDraft(std::vector<Token> draft);
  bool has_draft() const { return !draft_.empty(); }
  // Whether its memory has failed to take tokens back, since the start: then nothing is to be
  // tried.
  bool cannot_rewind() const { return cannot_rewind_; }
  // Whether logits of every prompt token are asked for, which take memory: one value per entry of
  // the vocabulary and token.
  bool wants_prompt_logits() const {
    return completion_ && again_.empty() && completion_->request().prompt_logprobs >= 0;
  }
  // Adds the pending token with its draft, or up to `limit` tokens of the prompt, to a batch.
  void AddTo(Batch* batch, size_t limit);
  // What AddTo added has been decoded, and a prompt token took so long, ms; gives how many of it
  // were prompt tokens.
  size_t Decoded(double prompt_token_ms);
  // What AddTo added has not been decoded, or only in part: the cache goes back to before.
  void Undo();
  bool in_batch() const { return added_ > 0; }
  // Looks for what was computed: false where no logits were asked for. Then Choose() and Take().
  // Throws decode_failed.
  bool FetchLogits();
  // Tells how likely the prompt's tokens were behind those that were decoded, where that is asked
  // for. Throws decode_failed.
  void TellPromptTokens();
  // Chooses what comes next, and what comes behind that as long as it is what the draft says.
  // Touches nothing but what is this completion's own, so that several slots may do it at once,
  // each on a thread; what it throws is kept for Take().
  void Choose();
  // Tells what was chosen, and takes back what was drafted and not chosen; ends the completion
  // where that is the end. Throws what Choose() met, decode_failed.
  void Take();
  void ForgetCache();
  const std::vector<Token>& cached() const { return cached_; }
  // Idle slots that nobody may take meanwhile: what a saved state is read from, or written to.
  bool held() const { return held_; }
  void Hold(bool held) { held_ = held; }
  // Such slots: adds a part of a saved state behind what is there. False where it does not fit; the
  // cache is empty then. Throws decode_failed.
  bool Restore(const Token* tokens, size_t count, const uint8_t* data, size_t size);

  // For status, read under the worker's mutex by publishing copies.
  size_t cached_tokens() const { return cached_.size(); }
  size_t generated_tokens() const { return generated_; }
  // Of this completion, or the last one: tokens that were tried, and that were right.
  size_t drafted_tokens() const { return drafted_; }
  size_t accepted_tokens() const { return accepted_; }
  // Prompt tokens that were in this slot's cache, and that came from another's.
  size_t reused_tokens() const { return reused_; }
  size_t borrowed_tokens() const { return borrowed_; }
  // Prompt tokens that were computed here.
  size_t computed_tokens() const { return computed_; }

 private:
  // What a memory that cannot take back anything needs to come back to a place in the past.
  struct Checkpoint {
    size_t tokens;
    Bytes bytes;
  };

  // Leaves the first `tokens` in the cache, or fewer where the memory cannot do that.
  void Shorten(size_t tokens);
  // The same where nothing may be thrown.
  void TryShorten(size_t tokens);
  // Takes the last tokens off while the completion goes on. Where the memory cannot do that, all is
  // computed again, like a prompt.
  void Rewind(size_t tokens);
  void Tell(const Choice& choice);
  // Why a chosen token ends the completion, if it does; it is the `count`th one.
  std::optional<DoneReason> EndBehind(Token token, size_t count) const;
  // What the cache is to hold before anything is generated.
  const std::vector<Token>& Wanted() const {
    return again_.empty() ? completion_->request().prompt : again_;
  }
  const Checkpoint* CheckpointBefore(size_t tokens) const;
  void KeepCheckpoint();

  int32_t id_;
  Context* context_;
  std::vector<Token> cached_;            // what the sequence holds
  std::vector<Checkpoint> checkpoints_;  // in the order of their tokens
  bool held_ = false;
  std::shared_ptr<Completion> completion_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Sampler> sampler_;
  bool borrows_ = false;
  bool has_pending_ = false;
  Token pending_ = 0;  // chosen, not yet in the cache
  size_t added_ = 0;
  std::vector<Token> draft_;  // what is tried behind the pending one
  std::vector<Token> again_;  // what was forgotten and is computed again; mostly empty
  bool cannot_rewind_ = false;
  int32_t logits_index_ = -1;    // of the first one; those of the draft follow it
  std::vector<float*> logits_;   // of the pending token, then of the draft's
  std::vector<Choice> choices_;  // all but the last are what the draft says
  std::exception_ptr failure_;
  // Decoded prompt tokens whose logits have not been looked at: where they are in the prompt and in
  // the batch.
  struct Untold {
    size_t from = 0;
    size_t count = 0;
    int32_t index = 0;
  };
  Untold untold_;
  size_t reused_ = 0;
  size_t borrowed_ = 0;
  size_t computed_ = 0;
  size_t generated_ = 0;
  size_t drafted_ = 0;
  size_t accepted_ = 0;
  double prefill_ms_ = 0.0;
  Clock::time_point first_token_;
  Clock::time_point last_used_;
  std::string piece_;
};

}  // namespace hoshikage
