#include "pieces.h"

#include <algorithm>
#include <string_view>

#include "model.h"

namespace hoshikage {
namespace {

// No text that anybody would write is longer.
constexpr size_t kLongest = 0xFFFF;

}  // namespace

void PieceList::Add(Token token, const std::string& piece) {
  if (piece.empty() || piece.size() > kLongest) return;
  entries_.push_back(
      {static_cast<uint32_t>(bytes_.size()), token, static_cast<uint16_t>(piece.size()), 0});
  bytes_ += piece;
  longest_ = std::max(longest_, piece.size());
  const auto begins = [](char byte) { return (static_cast<uint8_t>(byte) & 0xC0) != 0x80; };
  const auto characters = 1 + std::count_if(piece.begin(), piece.end(), begins);
  characters_ = std::max(characters_, static_cast<int32_t>(characters));
}

void PieceList::Sort() {
  const auto text = [this](const Entry& entry) {
    return std::string_view(bytes_).substr(entry.begin, entry.length);
  };
  // Most texts differ in their first eight bytes, which compare as one number.
  struct Keyed {
    uint64_t head;
    Entry entry;
  };
  std::vector<Keyed> keyed;
  keyed.reserve(entries_.size());
  for (const Entry& entry : entries_) {
    uint64_t head = 0;
    for (size_t i = 0; i < 8; i++) {
      const bool there = i < entry.length;
      head = head << 8 | (there ? static_cast<uint8_t>(bytes_[entry.begin + i]) : 0);
    }
    keyed.push_back({head, entry});
  }
  std::sort(keyed.begin(), keyed.end(), [&](const Keyed& a, const Keyed& b) {
    if (a.head != b.head) return a.head < b.head;
    const int order = text(a.entry).compare(text(b.entry));
    return order < 0 || (order == 0 && a.entry.token < b.entry.token);
  });
  for (size_t i = 0; i < keyed.size(); i++) entries_[i] = keyed[i].entry;
  // In the order in which they are walked, which is the order in which memory is fetched.
  std::string sorted;
  sorted.reserve(bytes_.size());
  std::string_view before;
  for (Entry& entry : entries_) {
    const std::string_view piece = text(entry);
    const auto differ =
        std::mismatch(piece.begin(),
                      piece.begin() + static_cast<ptrdiff_t>(std::min(piece.size(), before.size())),
                      before.begin());
    entry.shared = static_cast<uint16_t>(differ.first - piece.begin());
    before = piece;
    sorted += piece;
  }
  uint32_t begin = 0;
  for (Entry& entry : entries_) {
    entry.begin = begin;
    begin += entry.length;
  }
  bytes_ = std::move(sorted);
}

Pieces::Pieces(const Model& model) {
  std::string piece;
  for (Token token = 0; token < model.VocabularySize(); token++) {
    piece.clear();
    model.AppendPiece(token, &piece);
    (model.IsControl(token) || model.IsEog(token) ? marks_ : texts_).Add(token, piece);
  }
  texts_.Sort();
  marks_.Sort();
}

}  // namespace hoshikage
