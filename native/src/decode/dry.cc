#include "dry.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace hoshikage {
namespace {

// Beyond this no float stays finite; a larger loss makes no difference.
constexpr double kLargestLoss = 1e30;
// Prompt tokens looked through for a breaker at first; most texts have one nearer to their end.
constexpr size_t kFirstLook = 64;

}  // namespace

Dry::Dry(std::shared_ptr<const Model> model, DryOptions options, const std::vector<Token>& prompt)
    : model_(std::move(model)), options_(std::move(options)) {
  for (const std::string& breaker : options_.breakers) {
    longest_breaker_ = std::max(longest_breaker_, breaker.size());
  }
  const size_t last = options_.last_n < 0
                          ? prompt.size()
                          : std::min(prompt.size(), static_cast<size_t>(options_.last_n));
  history_.assign(prompt.end() - static_cast<ptrdiff_t>(last), prompt.end());
  since_breaker_ = CountAfterBreaker(history_);
  // Every byte of a breaker may be a token of its own.
  const size_t from = history_.size() - std::min(history_.size(), longest_breaker_);
  for (size_t i = from; i < history_.size(); i++) Breaks(&tail_, history_[i]);
}

void Dry::Accept(Token token) {
  history_.push_back(token);
  since_breaker_ = Breaks(&tail_, token) ? 0 : since_breaker_ + 1;
  // Trimmed rarely, since it moves the rest.
  const size_t wanted =
      options_.last_n < 0 ? history_.size() : static_cast<size_t>(options_.last_n);
  if (history_.size() > 2 * wanted + 64) {
    history_.erase(history_.begin(), history_.end() - static_cast<ptrdiff_t>(wanted));
  }
}

// How many tokens follow the newest breaker; looks no farther back than it must.
size_t Dry::CountAfterBreaker(const std::vector<Token>& tokens) const {
  for (size_t look = kFirstLook;; look *= 4) {
    const size_t begin = tokens.size() - std::min(tokens.size(), look);
    std::string tail;
    size_t since = 0;
    bool found = false;
    for (size_t i = begin; i < tokens.size(); i++) {
      const bool breaks = Breaks(&tail, tokens[i]);
      since = breaks ? 0 : since + 1;
      found = found || breaks;
    }
    if (found || begin == 0) return since;
  }
}

// Appends a token's bytes to the end of a text; true where a breaker ends within them. A breaker is
// found however the text was cut into tokens.
bool Dry::Breaks(std::string* tail, Token token) const {
  if (longest_breaker_ == 0) return false;
  const size_t before = tail->size();
  model_->AppendPiece(token, tail);
  bool breaks = false;
  for (const std::string& breaker : options_.breakers) {
    const size_t at = tail->rfind(breaker);
    breaks = breaks || (at != std::string::npos && at + breaker.size() > before);
  }
  if (tail->size() >= longest_breaker_) tail->erase(0, tail->size() - (longest_breaker_ - 1));
  return breaks;
}

void Dry::Apply(Candidates* candidates) {
  const size_t count = options_.last_n < 0
                           ? history_.size()
                           : std::min(history_.size(), static_cast<size_t>(options_.last_n));
  const size_t allowed = static_cast<size_t>(options_.allowed_length);
  const size_t limit = std::min(count, since_breaker_);
  if (count <= allowed || limit < allowed) return;
  lengths_.assign(count, 0);
  longest_.clear();
  FindRepeats(limit);
  for (const auto& [token, length] : longest_) {
    float* logit = candidates->Find(token);
    std::string piece;
    if (!logit || Breaks(&piece, token)) continue;  // what ends a repeat continues none
    const double loss = options_.multiplier * std::pow(static_cast<double>(options_.base),
                                                       static_cast<double>(length - allowed));
    *logit -= static_cast<float>(std::min(loss, kLargestLoss));
  }
  candidates->Changed();
}

// The Z algorithm over the text read backwards: lengths_[k] tells how many of its last tokens also
// stand k places before its end. Every token is compared once, then never again.
void Dry::FindRepeats(size_t limit) {
  const size_t count = lengths_.size();
  const size_t allowed = static_cast<size_t>(options_.allowed_length);
  const Token* newest = history_.data() + history_.size() - 1;
  const auto at = [newest](size_t back) { return *(newest - back); };
  size_t left = 0;
  size_t right = 0;  // [left, right) is the known repeat that reaches farthest back
  for (size_t k = 1; k < count; k++) {
    size_t length = k < right ? std::min(right - k, lengths_[k - left]) : 0;
    while (k + length < count && at(length) == at(k + length)) length++;
    lengths_[k] = length;
    if (k + length > right) {
      left = k;
      right = k + length;
    }
    const size_t usable = std::min(length, limit);
    if (usable < allowed) continue;
    size_t& known = longest_[at(k - 1)];
    known = std::max(known, usable);
  }
}

}  // namespace hoshikage
