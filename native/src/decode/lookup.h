// What followed the last time the text went as it goes now: a draft that costs nothing. One per
// completion, worker thread only. It looks for nothing that it cannot find at once.
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

#include "../llama/types.h"

namespace hoshikage {

class Lookup {
 public:
  // Tokens that must be as they were.
  static constexpr size_t kShortest = 2;
  static constexpr size_t kLongest = 4;

  // `expected`: tokens that the text may have; with more, what is far back is forgotten.
  explicit Lookup(size_t expected);

  void Append(Token token);
  size_t size() const { return tokens_.size(); }
  // How many tokens at the end of the text stood there before, as far as that was looked for: 0, or
  // kShortest to kLongest.
  size_t matched() const { return matched_; }
  // What followed there; where that is the end of the text itself, it goes on with its own guess.
  std::vector<Token> Guess(size_t most) const;

 private:
  uint32_t* PlaceOf(size_t length);

  std::vector<Token> tokens_;
  // By what the tokens before it hash to: the place behind their last occurrence; 0 = none. Others
  // may hash to the same, so what is found is compared.
  std::vector<uint32_t> places_;
  size_t next_ = 0;  // place of the token that followed
  size_t matched_ = 0;
};

}  // namespace hoshikage
