// Finds the first of several texts in a stream of code points (Aho and Corasick 1975): a place is
// how much of them the stream's end may be the beginning of. Immutable once built, any thread.
#pragma once

#include <cstddef>
#include <cstdint>
#include <unordered_map>
#include <vector>

namespace hoshikage {

class TextMatcher {
 public:
  // At least one code point per text.
  explicit TextMatcher(const std::vector<std::vector<int32_t>>& texts);

  static constexpr int32_t kStart = 0;
  // The place after one more code point.
  int32_t Next(int32_t place, int32_t code_point) const;
  // Whether one of the texts ends here.
  bool Found(int32_t place) const { return nodes_[static_cast<size_t>(place)].found; }
  // Whether some code point of [first, last] leads from here to a place where none has ended.
  bool MayGoOn(int32_t place, int32_t first, int32_t last) const;
  // Each once, ascending: all other code points are alike.
  const std::vector<int32_t>& alphabet() const { return alphabet_; }

 private:
  struct Node {
    int32_t fallback = kStart;  // the longest proper suffix that is a place too
    bool found = false;
  };
  const int32_t* Child(int32_t place, int32_t code_point) const;
  int32_t Insert(int32_t place, int32_t code_point);
  void LinkFallbacks(const std::vector<std::vector<int32_t>>& texts);

  std::vector<Node> nodes_{1};
  std::unordered_map<uint64_t, int32_t> children_;  // by place and code point
  std::vector<int32_t> alphabet_;
};

}  // namespace hoshikage
