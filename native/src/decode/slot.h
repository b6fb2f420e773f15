// The place of one running completion: one sequence of the cache and what is known to be in it.
// Worker thread only.
#pragma once

#include <chrono>
#include <memory>
#include <vector>

#include "../llama/context.h"
#include "completion.h"

namespace hoshikage {

using Clock = std::chrono::steady_clock;

class Slot {
 public:
  Slot(int32_t id, Context* context) : id_(id), context_(context) {}

  int32_t id() const { return id_; }
  bool idle() const { return !completion_; }
  const std::shared_ptr<Completion>& completion() const { return completion_; }
  Clock::time_point last_used() const { return last_used_; }

  // Length of the common prefix of the cache and a prompt.
  size_t CommonPrefix(const std::vector<Token>& prompt) const;
  // The same as far as a request may make use of it.
  size_t ReusablePrefix(const CompletionRequest& request) const;
  // Takes a completion: trims the cache to the common prefix. Throws grammar_invalid.
  void Begin(std::shared_ptr<Completion> completion, std::shared_ptr<const Model> model);
  // Frees the slot and tells the completion. Never throws what the library throws.
  void End(DoneReason reason, const char* code = "", const std::string& message = "");

  bool generating() const { return completion_ && has_pending_; }
  // Tokens of the prompt that are not in the cache yet.
  size_t PromptLeft() const;
  // Whether logits of every prompt token are asked for, which take memory: one value per entry of
  // the vocabulary and token.
  bool wants_prompt_logits() const {
    return completion_ && completion_->request().prompt_logprobs >= 0;
  }
  // Adds the pending token, or up to `limit` tokens of the prompt, to a batch.
  void AddTo(Batch* batch, size_t limit);
  // What AddTo added has been decoded; gives how many of it were prompt tokens.
  size_t Decoded();
  // What AddTo added has not been decoded, or only in part: the cache goes back to before.
  void Undo();
  // Whether the last AddTo asked for logits, so that Sample() may be called.
  bool expects_logits() const { return logits_index_ >= 0; }
  bool in_batch() const { return added_ > 0; }
  // Tells how likely the prompt's tokens were behind those that were decoded, where that is asked
  // for. Before Sample(), which may end the completion. Throws decode_failed.
  void TellPromptTokens();
  // Chooses the next token from the decoded batch; ends the completion where that is the end. False
  // where the grammar allowed no token at all, which is an end too.
  bool Sample();
  void ForgetCache();
  const std::vector<Token>& cached() const { return cached_; }
  // Idle slots: replaces the cache by a saved one. False where it does not fit; it is empty then.
  // Throws decode_failed.
  bool Restore(const std::vector<Token>& tokens, const uint8_t* data, size_t size);

  // For status, read under the worker's mutex by publishing copies.
  size_t cached_tokens() const { return cached_.size(); }
  size_t generated_tokens() const { return generated_; }

 private:
  // Leaves the first `tokens` in the cache; none where the memory cannot do that.
  void Shorten(size_t tokens);
  // The same where nothing may be thrown.
  void TryShorten(size_t tokens);

  int32_t id_;
  Context* context_;
  std::vector<Token> cached_;  // what the sequence holds
  std::shared_ptr<Completion> completion_;
  std::shared_ptr<const Model> model_;
  std::unique_ptr<Sampler> sampler_;
  bool has_pending_ = false;
  Token pending_ = 0;  // chosen, not yet in the cache
  size_t added_ = 0;
  int32_t logits_index_ = -1;
  // Decoded prompt tokens whose logits have not been looked at: where they are in the prompt and in
  // the batch.
  struct Untold {
    size_t from = 0;
    size_t count = 0;
    int32_t index = 0;
  };
  Untold untold_;
  size_t reused_ = 0;
  size_t generated_ = 0;
  Clock::time_point begun_;
  Clock::time_point first_token_;
  Clock::time_point last_used_;
  std::string piece_;
};

}  // namespace hoshikage
