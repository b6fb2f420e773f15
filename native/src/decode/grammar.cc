#include "grammar.h"

#include <algorithm>
#include <limits>

#include "../llama/error.h"
#include "../llama/pieces.h"

namespace hoshikage {
namespace {

constexpr float kForbidden = -std::numeric_limits<float>::infinity();
// A text comes back to the same places again and again; beyond these it seldom does.
constexpr size_t kMostSets = 64;

}  // namespace

Grammar::Grammar(std::shared_ptr<const Model> model, std::shared_ptr<const GrammarProgram> program)
    : model_(std::move(model)), automaton_(std::move(program)) {}

void Grammar::Begin() {
  if (automaton_.Renew()) sets_.clear();
}

Grammar::Node Grammar::After(Token token) {
  const Node current = automaton_.current();
  const bool ends = model_->IsEog(token);
  if (ends && automaton_.Accepts(current)) return current;
  piece_.clear();
  model_->AppendPiece(token, &piece_);
  if (piece_.empty()) return GrammarAutomaton::kDead;
  const bool mark = ends || model_->IsControl(token);
  Node node = mark ? automaton_.Literal(current) : current;
  for (const char byte : piece_) node = automaton_.Next(node, static_cast<uint8_t>(byte));
  if (ends && !automaton_.Accepts(node)) return GrammarAutomaton::kDead;
  return mark ? automaton_.Plain(node) : node;
}

bool Grammar::Allows(Token token) { return After(token) != GrammarAutomaton::kDead; }

void Grammar::Accept(Token token) {
  const Node node = After(token);
  if (node == GrammarAutomaton::kDead) {
    throw Error("grammar_invalid", "the grammar does not allow the token that was chosen");
  }
  automaton_.Enter(node);
}

bool Grammar::Mask(float* logits) {
  const std::vector<uint64_t>& bits = AllowedNow();
  const size_t count = static_cast<size_t>(model_->VocabularySize());
  bool any = false;
  // Of most words all tokens are forbidden.
  for (size_t begin = 0; begin < count; begin += 64) {
    const uint64_t word = bits[begin / 64];
    const size_t end = std::min(count, begin + 64);
    if (word == 0) {
      std::fill(logits + begin, logits + end, kForbidden);
      continue;
    }
    for (size_t token = begin; token < end; token++) {
      if ((word >> (token - begin) & 1) == 0) logits[token] = kForbidden;
      any = any || logits[token] > kForbidden;
    }
  }
  return any;
}

const std::vector<uint64_t>& Grammar::AllowedNow() {
  // Inside a text of bounded length each character is another node, and yet all is as before.
  const Pieces& pieces = model_->pieces();
  const int32_t longest = std::max(pieces.texts().longest(), pieces.marks().longest());
  const Node current = automaton_.Alike(automaton_.current(), longest);
  clock_++;
  AllowedSet* oldest = nullptr;
  for (AllowedSet& set : sets_) {
    if (set.node == current) {
      set.used = clock_;
      return set.bits;
    }
    if (!oldest || set.used < oldest->used) oldest = &set;
  }
  if (sets_.size() < kMostSets) {
    sets_.emplace_back();
    oldest = &sets_.back();
  }
  oldest->node = current;
  oldest->used = clock_;
  oldest->bits.assign((static_cast<size_t>(model_->VocabularySize()) + 63) / 64, 0);
  Collect(current, &oldest->bits);
  return oldest->bits;
}

void Grammar::Collect(Node current, std::vector<uint64_t>* bits) {
  const auto allow = [&](Token token) {
    (*bits)[static_cast<size_t>(token) / 64] |= uint64_t{1} << (token % 64);
  };
  const auto next = [this](Node node, uint8_t byte) { return automaton_.Next(node, byte); };
  const Pieces& pieces = model_->pieces();
  pieces.texts().Walk(current, next, [&](Token token, Node) { allow(token); });
  pieces.marks().Walk(automaton_.Literal(current), next, [&](Token token, Node node) {
    if (!model_->IsEog(token) || automaton_.Accepts(node)) allow(token);
  });
  if (automaton_.Accepts(current)) {
    for (const Token token : model_->EogTokens()) allow(token);
  }
}

}  // namespace hoshikage
