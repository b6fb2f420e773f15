#include "completion.h"

#include <limits>
#include <utility>

namespace hoshikage {
namespace {

// Always n pairs, so that the arrays keep their shape: -1 where fewer tokens are possible.
void Append(const TokenLogprobs& logprobs, int32_t n, std::vector<float>* values,
            std::vector<Token>* tokens) {
  values->push_back(logprobs.own);
  for (size_t i = 0; i < static_cast<size_t>(n); i++) {
    const bool there = i < logprobs.top.size();
    tokens->push_back(there ? logprobs.top[i].first : -1);
    values->push_back(there ? logprobs.top[i].second : -std::numeric_limits<float>::infinity());
  }
}

}  // namespace

void Completion::Cancel(int32_t keep_tokens) {
  keep_tokens_.store(keep_tokens, std::memory_order_relaxed);
  cancelled_.store(true, std::memory_order_release);
}

void Completion::AddToken(const Choice& choice, const std::string& piece, uint8_t flags) {
  std::lock_guard<std::mutex> lock(mutex_);
  mail_.tokens.push_back(choice.token);
  mail_.bytes += piece;
  mail_.ends.push_back(static_cast<int32_t>(mail_.bytes.size()));
  mail_.flags.push_back(flags);
  if (request_.sampling.logprobs >= 0) {
    Append(choice.logprobs, request_.sampling.logprobs, &mail_.logprobs, &mail_.top_tokens);
  }
  news_ = true;
}

void Completion::AddPromptToken(const TokenLogprobs& logprobs) {
  std::lock_guard<std::mutex> lock(mutex_);
  Append(logprobs, request_.prompt_logprobs, &mail_.prompt_logprobs, &mail_.prompt_top_tokens);
  news_ = true;
}

void Completion::SetPrefilled(int32_t tokens) {
  std::lock_guard<std::mutex> lock(mutex_);
  mail_.prefilled_tokens = tokens;
  news_ = true;
}

void Completion::Finish(Done done) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (mail_.done || taken_done_) return;
  mail_.done = true;
  mail_.result = std::move(done);
  news_ = true;
}

bool Completion::Take(Mail* mail) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!news_ || taken_done_) return false;
  const int32_t prefilled = mail_.prefilled_tokens;
  *mail = std::exchange(mail_, Mail{});
  mail_.prefilled_tokens = prefilled;
  news_ = false;
  taken_done_ = mail->done;
  return true;
}

}  // namespace hoshikage
