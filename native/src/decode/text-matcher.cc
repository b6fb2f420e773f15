#include "text-matcher.h"

#include <algorithm>

namespace hoshikage {
namespace {

uint64_t Key(int32_t place, int32_t code_point) {
  return static_cast<uint64_t>(static_cast<uint32_t>(place)) << 32 |
         static_cast<uint32_t>(code_point);
}

}  // namespace

TextMatcher::TextMatcher(const std::vector<std::vector<int32_t>>& texts) {
  for (const std::vector<int32_t>& text : texts) {
    int32_t place = kStart;
    for (const int32_t code_point : text) {
      place = Insert(place, code_point);
      alphabet_.push_back(code_point);
    }
    nodes_[static_cast<size_t>(place)].found = true;
  }
  std::sort(alphabet_.begin(), alphabet_.end());
  alphabet_.erase(std::unique(alphabet_.begin(), alphabet_.end()), alphabet_.end());
  LinkFallbacks(texts);
}

int32_t TextMatcher::Insert(int32_t place, int32_t code_point) {
  const auto [found, added] =
      children_.emplace(Key(place, code_point), static_cast<int32_t>(nodes_.size()));
  if (added) nodes_.emplace_back();
  return found->second;
}

// Level by level: a node's fallback is shorter than the node, so it is known by then.
void TextMatcher::LinkFallbacks(const std::vector<std::vector<int32_t>>& texts) {
  std::vector<int32_t> places(texts.size(), kStart);
  std::vector<size_t> open(texts.size());
  for (size_t i = 0; i < texts.size(); i++) open[i] = i;
  for (size_t depth = 0; !open.empty(); depth++) {
    std::vector<size_t> longer;
    for (const size_t i : open) {
      if (depth >= texts[i].size()) continue;
      const int32_t code_point = texts[i][depth];
      const int32_t parent = places[i];
      const int32_t place = *Child(parent, code_point);
      places[i] = place;
      if (depth > 0) {
        Node& node = nodes_[static_cast<size_t>(place)];
        node.fallback = Next(nodes_[static_cast<size_t>(parent)].fallback, code_point);
        node.found = node.found || nodes_[static_cast<size_t>(node.fallback)].found;
      }
      longer.push_back(i);
    }
    open = std::move(longer);
  }
}

const int32_t* TextMatcher::Child(int32_t place, int32_t code_point) const {
  const auto found = children_.find(Key(place, code_point));
  return found == children_.end() ? nullptr : &found->second;
}

int32_t TextMatcher::Next(int32_t place, int32_t code_point) const {
  for (;;) {
    if (const int32_t* child = Child(place, code_point)) return *child;
    if (place == kStart) return kStart;
    place = nodes_[static_cast<size_t>(place)].fallback;
  }
}

bool TextMatcher::MayGoOn(int32_t place, int32_t first, int32_t last) const {
  const auto from = std::lower_bound(alphabet_.begin(), alphabet_.end(), first);
  const auto to = std::upper_bound(from, alphabet_.end(), last);
  if (to - from < static_cast<int64_t>(last) - first + 1) return true;
  return std::any_of(from, to, [&](int32_t code_point) { return !Found(Next(place, code_point)); });
}

}  // namespace hoshikage
