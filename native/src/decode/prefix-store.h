// Caches of conversations that have lost their slot, in main memory and within a hard budget, until
// they are asked for again. Data only; worker thread only. It never reads or writes a cache itself.
#pragma once

#include <cstddef>
#include <cstdint>
#include <list>
#include <memory>
#include <vector>

#include "../llama/context.h"

namespace hoshikage {

// A slot's cache, as it can be given back later: in parts, each of the tokens from the end of the
// one before.
struct SavedState {
  struct Part {
    size_t end;  // tokens
    Bytes bytes;
  };
  std::vector<Token> tokens;
  std::vector<Part> parts;

  size_t bytes() const;
};

class PrefixStore {
 public:
  explicit PrefixStore(size_t limit_bytes) : limit_(limit_bytes) {}

  // What begins with most of a prompt's tokens; null where nothing does. It is not dropped while
  // somebody holds it.
  std::shared_ptr<const SavedState> Find(const std::vector<Token>& prompt);
  // Whether something here begins with all of these tokens; then it counts as used.
  bool Covers(const std::vector<Token>& tokens);
  // Drops what was unused for longest until so many bytes fit beside `others`, which are being
  // gathered for it; false where they never do.
  bool MakeRoom(size_t bytes, size_t others);
  // Takes a whole one, for which there is room; what it covers goes, unless somebody holds it.
  void Put(SavedState state);

  size_t bytes() const { return bytes_; }
  size_t limit() const { return limit_; }

 private:
  std::list<std::shared_ptr<const SavedState>> states_;  // the one used last first
  size_t limit_;
  size_t bytes_ = 0;
};

// Tokens that two rows begin with in common.
size_t CommonPrefixOf(const std::vector<Token>& one, const std::vector<Token>& other);

}  // namespace hoshikage
