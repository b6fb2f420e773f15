#include "completion.h"

#include <limits>
#include <utility>

namespace hoshikage {

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
    mail_.logprobs.push_back(choice.logprob);
    // Always n pairs, so that the arrays keep their shape: -1 where fewer tokens are possible.
    const size_t wanted = static_cast<size_t>(request_.sampling.logprobs);
    for (size_t i = 0; i < wanted; i++) {
      const bool there = i < choice.top.size();
      mail_.top_tokens.push_back(there ? choice.top[i].first : -1);
      mail_.logprobs.push_back(there ? choice.top[i].second
                                     : -std::numeric_limits<float>::infinity());
    }
  }
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
