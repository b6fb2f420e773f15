// Runs a grammar over bytes. A frame is a place in the program, a number (of repeats, or a
// matcher's place) and the frame to go back to; a set of frames is all that may come next; a node
// is a set and what has come of a character. Frames, sets and nodes are each kept once, and where a
// byte leads is looked up once: an automaton made as far as it is walked. One per completion, one
// thread at a time.
#pragma once

#include <cstdint>
#include <memory>
#include <unordered_map>
#include <vector>

#include "grammar-program.h"

namespace hoshikage {

class GrammarAutomaton {
 public:
  using Node = int32_t;
  static constexpr Node kDead = 0;

  // Every call may throw grammar_invalid: too ambiguous, or nested too deep.
  explicit GrammarAutomaton(std::shared_ptr<const GrammarProgram> program);

  // Where the grammar is; changed by Enter.
  Node current() const { return current_; }
  void Enter(Node node) { current_ = node; }
  // The node to walk a control token from: no class takes its characters. kDead where a character
  // is half said.
  Node Literal(Node node);
  // The same place for all other tokens again.
  Node Plain(Node node);
  Node Next(Node node, uint8_t byte) {
    const int32_t block = nodes_[static_cast<size_t>(node)].blocks[byte >> 6];
    if (block >= 0) {
      const Node next = cells_[static_cast<size_t>(block) * kBlock + (byte & 63)];
      if (next >= 0) return next;
    }
    return Find(node, byte);
  }
  // A node from which texts of up to so many characters lead as far as from this one: the counts of
  // repeats that are far from their bounds are the same in it.
  Node Alike(Node node, int32_t characters);
  // Whether the text may end here.
  bool Accepts(Node node) const;
  // Whether it may end here and nothing may follow.
  bool Complete(Node node) const;

  // A new token begins: what was spent on the last one is forgotten, and where the tables have
  // grown large, all but the current node. True where that was so: other nodes' numbers are void.
  bool Renew();

 private:
  using FrameId = int32_t;
  using SetId = int32_t;
  struct Frame {
    int32_t place;
    int32_t count;
    FrameId parent;  // kNone: the end of the text
    bool operator==(const Frame& other) const {
      return place == other.place && count == other.count && parent == other.parent;
    }
  };
  struct FrameHash {
    size_t operator()(const Frame& frame) const;
  };
  // The greatest of them is visited next.
  struct WaitingRepeat {
    int32_t depth;
    int32_t place;
    int64_t rank;  // the higher, the better its count
    FrameId frame;
    bool operator<(const WaitingRepeat& other) const;
  };
  // What is known of a character whose bytes have begun.
  struct Partial {
    int32_t value = 0;
    int8_t left = 0;    // bytes to come
    int8_t length = 0;  // bytes in all
    bool literal = false;
  };
  struct NodeState {
    SetId set;
    Partial partial;
    int32_t blocks[4];  // of 64 cells each; -1 = none yet
  };
  struct Set {
    std::vector<FrameId> frames;  // ascending; those that take a character
    bool accepts = false;
  };

  Node Find(Node node, uint8_t byte);
  Node Compute(const NodeState& node, uint8_t byte);
  Node Begin(const NodeState& node, uint8_t byte);
  Node Continue(const NodeState& node, uint8_t byte);
  Node MakeNode(SetId set, const Partial& partial);
  SetId Consume(SetId set, int32_t code_point, bool literal);
  bool TakesOne(SetId set, int32_t first, int32_t last, bool literal);
  bool Takes(const Frame& frame, int32_t first, int32_t last, bool literal) const;
  void Step(const Frame& frame, int32_t code_point);
  FrameId Intern(const Frame& frame);
  SetId InternSet();
  FrameId AlikeFrame(FrameId id, int32_t characters);
  // Follows what takes no character from the pending frames, into `found_`.
  void Close();
  SetId Closure();
  void AddRepeat(FrameId id);
  void Visit(FrameId id);
  void VisitRepeat(const Frame& frame, const Instruction& instruction);
  void Call(int32_t rule, FrameId back);
  void Return(FrameId parent);
  // The frame after an instruction; its parent itself where nothing comes after it.
  FrameId After(const Frame& frame);
  void Push(const Frame& frame);
  void Spend(size_t steps);
  void Grow(size_t bytes);
  void Clear();

  static constexpr FrameId kNone = -1;
  static constexpr size_t kBlock = 64;

  std::shared_ptr<const GrammarProgram> program_;
  Node current_ = kDead;

  std::vector<Frame> frames_;
  std::vector<int32_t> depths_;  // by frame: how many frames there are from it to the end
  std::unordered_map<Frame, FrameId, FrameHash> frame_ids_;
  std::vector<Set> sets_;
  std::unordered_multimap<uint64_t, SetId> set_ids_;  // by hash
  std::unordered_map<uint64_t, SetId> consumed_;      // by set, kind and literal
  std::unordered_map<SetId, SetId> closures_;         // by the set of what they begin with
  std::vector<NodeState> nodes_;
  std::unordered_map<uint64_t, std::vector<Node>> node_ids_;  // by hash
  std::vector<Node> cells_;
  std::unordered_map<FrameId, FrameId> alike_;  // what AlikeFrame said

  // Of the closure that is being made.
  uint32_t round_ = 0;
  std::vector<uint32_t> seen_;     // by frame: the round it was seen in
  std::vector<int32_t> repeated_;  // by frame: of a repeat, the best count of the round
  std::vector<FrameId> pending_;
  std::vector<WaitingRepeat> repeats_;  // a heap
  std::vector<FrameId> found_;
  bool accepts_ = false;

  size_t steps_ = 0;  // for this token
  size_t bytes_ = 0;  // of all tables, about
  size_t renew_at_ = 0;
};

}  // namespace hoshikage
