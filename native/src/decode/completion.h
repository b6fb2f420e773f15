// One running generation and its mailbox. Shared by the JavaScript side and the worker thread and
// points at nothing above it, so that neither can drop the other's last reference.
// Any thread; the mailbox is behind its mutex.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>
#include <vector>

#include "sampler.h"

namespace hoshikage {

struct CompletionRequest {
  std::vector<Token> prompt;
  int32_t max_tokens = -1;  // -1 = until the context is full
  bool cache_prompt = true;
  // Of every prompt token but the first, and of the n best in its place; -1 = none. With them the
  // cache is not used: they take a computation of the whole prompt.
  int32_t prompt_logprobs = -1;
  bool background = false;  // its prompt may wait for those of others
  SamplingOptions sampling;

  // Whether what is computed already of the prompt may be used.
  bool ReusesCache() const { return cache_prompt && prompt_logprobs < 0; }
};

enum class DoneReason { kEog, kLength, kContext, kCancelled, kError };

struct Done {
  DoneReason reason = DoneReason::kCancelled;
  std::string code;  // with kError: a code of src/errors.ts
  std::string message;
  int32_t prompt_tokens = 0;
  int32_t cached_tokens = 0;
  int32_t generated_tokens = 0;
  int32_t drafted_tokens = 0;   // tried ahead
  int32_t accepted_tokens = 0;  // of those, the ones that were right
  // Steps with tokens of its prompt, of each as much as its share of their prompt tokens: without
  // waiting for others, or for what they compute for it.
  double prefill_ms = 0.0;
  double generation_ms = 0.0;
  int32_t slot = -1;
};

// What arrived since the last Take().
struct Mail {
  std::vector<Token> tokens;
  std::string bytes;
  std::vector<int32_t> ends;  // end offset in `bytes` of each token's piece
  std::vector<uint8_t> flags;
  std::vector<float> logprobs;    // per token 1 + n
  std::vector<Token> top_tokens;  // per token n
  // The same of the prompt's tokens, from the second one on.
  std::vector<float> prompt_logprobs;
  std::vector<Token> prompt_top_tokens;
  int32_t prefilled_tokens = 0;
  bool done = false;
  Done result;
};

class Completion {
 public:
  explicit Completion(CompletionRequest request) : request_(std::move(request)) {}

  const CompletionRequest& request() const { return request_; }

  // Any thread. `keep_tokens`: generated tokens that stay in the slot's cache, -1 = all.
  void Cancel(int32_t keep_tokens);
  bool cancelled() const { return cancelled_.load(std::memory_order_acquire); }
  int32_t keep_tokens() const { return keep_tokens_.load(std::memory_order_relaxed); }

  // Worker thread.
  void AddToken(const Choice& choice, const std::string& piece, uint8_t flags);
  // Of the prompt's next token, the second one first.
  void AddPromptToken(const TokenLogprobs& logprobs);
  void SetPrefilled(int32_t tokens);
  void Finish(Done done);

  // JavaScript thread. False when there is nothing new.
  bool Take(Mail* mail);

 private:
  const CompletionRequest request_;
  std::atomic<bool> cancelled_{false};
  std::atomic<int32_t> keep_tokens_{-1};
  std::mutex mutex_;
  Mail mail_;
  bool news_ = false;
  bool taken_done_ = false;
};

}  // namespace hoshikage
