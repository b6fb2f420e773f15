// A vocabulary by its texts: sorted, so that all tokens that begin alike are walked as one. Made
// once per model; afterwards read-only, any thread. It never calls the library after it is made.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <vector>

#include "types.h"

namespace hoshikage {

class Model;

// Tokens in the order of their bytes; none has an empty text.
class PieceList {
 public:
  void Add(Token token, const std::string& piece);
  // After the last Add.
  void Sort();

  // Characters of the longest one, a part of one counted as one.
  int32_t longest() const { return characters_; }

  // Calls take(token, node) for every token whose bytes lead from `from` to a node that is not
  // dead. `next(node, byte)` gives the node after a byte, 0 = dead.
  template <class Node, class Next, class Take>
  void Walk(Node from, Next&& next, Take&& take) const {
    std::vector<Node> path(longest_ + 1, from);
    for (size_t i = 0; i < entries_.size();) {
      const Entry& entry = entries_[i];
      size_t depth = entry.shared;
      for (; depth < entry.length; depth++) {
        const auto byte = static_cast<uint8_t>(bytes_[entry.begin + depth]);
        path[depth + 1] = next(path[depth], byte);
        if (path[depth + 1] == 0) break;
      }
      if (depth == entry.length) {
        take(entry.token, path[depth]);
        i++;
      } else {
        do i++;
        while (i < entries_.size() && entries_[i].shared > depth);
      }
    }
  }

 private:
  struct Entry {
    uint32_t begin;  // in `bytes_`
    Token token;
    uint16_t length;
    uint16_t shared;  // how many bytes are those of the entry before
  };
  std::string bytes_;
  std::vector<Entry> entries_;
  size_t longest_ = 0;  // bytes
  int32_t characters_ = 0;
};

class Pieces {
 public:
  // Throws what Model::AppendPiece throws.
  explicit Pieces(const Model& model);

  // All tokens but those in `marks`.
  const PieceList& texts() const { return texts_; }
  // Control tokens and those that end a generation.
  const PieceList& marks() const { return marks_; }

 private:
  PieceList texts_;
  PieceList marks_;
};

}  // namespace hoshikage
