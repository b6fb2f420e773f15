#include "prefix-store.h"

#include <algorithm>

namespace hoshikage {

size_t CommonPrefixOf(const std::vector<Token>& one, const std::vector<Token>& other) {
  const auto end = one.begin() + static_cast<ptrdiff_t>(std::min(one.size(), other.size()));
  return static_cast<size_t>(std::mismatch(one.begin(), end, other.begin()).first - one.begin());
}

size_t SavedState::bytes() const {
  size_t sum = tokens.size() * sizeof(Token);
  for (const Part& part : parts) sum += part.bytes.size;
  return sum;
}

std::shared_ptr<const SavedState> PrefixStore::Find(const std::vector<Token>& prompt) {
  auto best = states_.end();
  size_t longest = 0;
  for (auto it = states_.begin(); it != states_.end(); ++it) {
    const size_t common = CommonPrefixOf((*it)->tokens, prompt);
    if (common > longest) best = it, longest = common;
  }
  if (best == states_.end()) return nullptr;
  states_.splice(states_.begin(), states_, best);
  return states_.front();
}

bool PrefixStore::Covers(const std::vector<Token>& tokens) {
  const std::shared_ptr<const SavedState> found = Find(tokens);
  return found && CommonPrefixOf(found->tokens, tokens) == tokens.size();
}

bool PrefixStore::MakeRoom(size_t bytes, size_t others) {
  if (bytes > limit_ || others > limit_ - bytes) return false;
  for (auto it = states_.end(); bytes_ > limit_ - bytes - others && it != states_.begin();) {
    --it;
    // Held by somebody who reads it: it would stay in memory all the same.
    if (it->use_count() > 1) continue;
    bytes_ -= (*it)->bytes();
    it = states_.erase(it);
  }
  return bytes_ <= limit_ - bytes - others;
}

void PrefixStore::Put(SavedState state) {
  states_.remove_if([&](const std::shared_ptr<const SavedState>& old) {
    const bool covered = CommonPrefixOf(old->tokens, state.tokens) == old->tokens.size();
    if (!covered || old.use_count() > 1) return false;  // see MakeRoom
    bytes_ -= old->bytes();
    return true;
  });
  bytes_ += state.bytes();
  states_.push_front(std::make_shared<const SavedState>(std::move(state)));
}

}  // namespace hoshikage
