#include "grammar-automaton.h"

#include <algorithm>

#include "../llama/error.h"

namespace hoshikage {
namespace {

// Frames of one set; who needs more of them says the same in too many ways.
constexpr size_t kMostFrames = 1 << 14;
// Steps for one token: some ten milliseconds, which all other completions have to wait.
constexpr size_t kMostSteps = 500'000;
// Beyond the first, what is not needed now is forgotten; beyond the second, it was one token's.
constexpr size_t kEnoughBytes = 8u << 20;
constexpr size_t kMostBytes = 64u << 20;
// Frames from one to the end of the text: how deep a text may nest. All of them are copied when the
// tables are made anew.
constexpr int32_t kMostDepth = 20'000;

constexpr int32_t kLastCodePoint = 0x10FFFF;
constexpr int32_t kFirstSurrogate = 0xD800;
constexpr int32_t kLastSurrogate = 0xDFFF;
// The least code point that takes so many bytes.
constexpr int32_t kLeast[] = {0, 0, 0x80, 0x800, 0x10000};

uint64_t Mix(uint64_t hash, uint64_t value) {
  // The finaliser of splitmix64 (Steele, Lea and Flood 2014).
  hash += value + 0x9E3779B97F4A7C15ull;
  hash = (hash ^ (hash >> 30)) * 0xBF58476D1CE4E5B9ull;
  hash = (hash ^ (hash >> 27)) * 0x94D049BB133111EBull;
  return hash ^ (hash >> 31);
}

// Nothing is left of a range where the bytes would say in more of them what fewer can.
bool NoCharacter(int32_t first, int32_t last) {
  return first > last || (first >= kFirstSurrogate && last <= kLastSurrogate);
}

void Ambiguous() { throw Error("grammar_invalid", "the grammar is too ambiguous"); }

}  // namespace

size_t GrammarAutomaton::FrameHash::operator()(const Frame& frame) const {
  const uint64_t high = static_cast<uint32_t>(frame.place);
  const uint64_t low = static_cast<uint32_t>(frame.count);
  return static_cast<size_t>(Mix(high << 32 | low, static_cast<uint32_t>(frame.parent)));
}

GrammarAutomaton::GrammarAutomaton(std::shared_ptr<const GrammarProgram> program)
    : program_(std::move(program)) {
  Clear();
  round_++;
  Call(0, kNone);
  Close();
  current_ = MakeNode(InternSet(), {});
}

void GrammarAutomaton::Clear() {
  frames_.clear();
  frame_ids_.clear();
  sets_.assign(1, {});
  set_ids_.clear();
  consumed_.clear();
  closures_.clear();
  nodes_.assign(1, {0, {}, {-1, -1, -1, -1}});
  node_ids_.clear();
  cells_.clear();
  alike_.clear();
  depths_.clear();
  seen_.clear();
  repeated_.clear();
  pending_.clear();
  repeats_.clear();
  round_ = 0;
  bytes_ = 0;
  renew_at_ = kEnoughBytes;
}

void GrammarAutomaton::Spend(size_t steps) {
  steps_ += steps;
  if (steps_ > kMostSteps) Ambiguous();
}

void GrammarAutomaton::Grow(size_t bytes) {
  bytes_ += bytes;
  if (bytes_ > kMostBytes) Ambiguous();
}

bool GrammarAutomaton::Renew() {
  steps_ = 0;
  if (bytes_ < renew_at_) return false;
  const std::vector<Frame> old = std::move(frames_);
  const NodeState node = nodes_[static_cast<size_t>(current_)];
  const Set set = std::move(sets_[static_cast<size_t>(node.set)]);
  Clear();
  // A frame is younger than its parent, so parents come first.
  std::vector<FrameId> renewed(old.size(), kNone);
  std::vector<bool> needed(old.size(), false);
  for (const FrameId id : set.frames) needed[static_cast<size_t>(id)] = true;
  for (size_t id = old.size(); id-- > 0;) {
    if (needed[id] && old[id].parent != kNone) needed[static_cast<size_t>(old[id].parent)] = true;
  }
  for (size_t id = 0; id < old.size(); id++) {
    if (!needed[id]) continue;
    const FrameId parent = old[id].parent;
    renewed[id] = Intern({old[id].place, old[id].count,
                          parent == kNone ? kNone : renewed[static_cast<size_t>(parent)]});
  }
  found_.clear();
  for (const FrameId id : set.frames) found_.push_back(renewed[static_cast<size_t>(id)]);
  accepts_ = set.accepts;
  current_ = MakeNode(InternSet(), node.partial);
  renew_at_ = std::max(kEnoughBytes, 2 * bytes_);
  return true;
}

bool GrammarAutomaton::Accepts(Node node) const {
  const NodeState& state = nodes_[static_cast<size_t>(node)];
  return state.partial.left == 0 && sets_[static_cast<size_t>(state.set)].accepts;
}

bool GrammarAutomaton::Complete(Node node) const {
  const SetId set = nodes_[static_cast<size_t>(node)].set;
  return Accepts(node) && sets_[static_cast<size_t>(set)].frames.empty();
}

GrammarAutomaton::Node GrammarAutomaton::Literal(Node node) {
  const NodeState& state = nodes_[static_cast<size_t>(node)];
  if (state.partial.left != 0) return kDead;
  Partial partial;
  partial.literal = true;
  return MakeNode(state.set, partial);
}

GrammarAutomaton::Node GrammarAutomaton::Plain(Node node) {
  const NodeState& state = nodes_[static_cast<size_t>(node)];
  Partial partial = state.partial;
  partial.literal = false;
  return MakeNode(state.set, partial);
}

GrammarAutomaton::Node GrammarAutomaton::Alike(Node node, int32_t characters) {
  const NodeState state = nodes_[static_cast<size_t>(node)];
  const size_t count = sets_[static_cast<size_t>(state.set)].frames.size();
  found_.clear();
  for (size_t i = 0; i < count; i++) {
    const FrameId id = sets_[static_cast<size_t>(state.set)].frames[i];
    found_.push_back(AlikeFrame(id, characters));
  }
  std::sort(found_.begin(), found_.end());
  found_.erase(std::unique(found_.begin(), found_.end()), found_.end());
  accepts_ = sets_[static_cast<size_t>(state.set)].accepts;
  return MakeNode(InternSet(), state.partial);
}

// Every time a repeat counts on, a character has been taken.
GrammarAutomaton::FrameId GrammarAutomaton::AlikeFrame(FrameId id, int32_t characters) {
  // From the oldest parent that is not known yet: chains may be as long as the text.
  std::vector<FrameId> chain;
  FrameId parent = kNone;
  for (FrameId at = id; at != kNone; at = frames_[static_cast<size_t>(at)].parent) {
    const auto known = alike_.find(at);
    if (known != alike_.end()) {
      parent = known->second;
      break;
    }
    chain.push_back(at);
  }
  for (size_t i = chain.size(); i-- > 0;) {
    Spend(1);
    const Frame frame = frames_[static_cast<size_t>(chain[i])];
    const Instruction& instruction = program_->at(frame.place);
    int32_t count = frame.count;
    if (instruction.op == Op::kRepeat) {
      const int64_t reach = int64_t{count} + characters;
      const bool enough = count >= instruction.b;
      if (enough && (instruction.c < 0 || reach < instruction.c)) count = instruction.b;
      if (!enough && reach < instruction.b) count = 0;
    }
    parent = Intern({frame.place, count, parent});
    Grow(48);
    alike_.emplace(chain[i], parent);
  }
  return parent;
}

GrammarAutomaton::Node GrammarAutomaton::Find(Node node, uint8_t byte) {
  const auto at = static_cast<size_t>(node);
  const NodeState state = nodes_[at];  // a copy: the vector may move
  const Node next = Compute(state, byte);
  int32_t& block = nodes_[at].blocks[byte >> 6];
  if (block < 0) {
    block = static_cast<int32_t>(cells_.size() / kBlock);
    Grow(kBlock * sizeof(Node));
    cells_.resize(cells_.size() + kBlock, -1);
  }
  cells_[static_cast<size_t>(block) * kBlock + (byte & 63)] = next;
  return next;
}

GrammarAutomaton::Node GrammarAutomaton::Compute(const NodeState& node, uint8_t byte) {
  Spend(1);
  if (node.partial.left > 0) return Continue(node, byte);
  if (byte >= 0x80) return Begin(node, byte);
  Partial partial;
  partial.literal = node.partial.literal;
  return MakeNode(Consume(node.set, byte, partial.literal), partial);
}

// The first byte of several (RFC 3629).
GrammarAutomaton::Node GrammarAutomaton::Begin(const NodeState& node, uint8_t byte) {
  Partial partial;
  partial.literal = node.partial.literal;
  if (byte >= 0xC2 && byte <= 0xDF) {
    partial.length = 2;
    partial.value = byte & 0x1F;
  } else if (byte >= 0xE0 && byte <= 0xEF) {
    partial.length = 3;
    partial.value = byte & 0x0F;
  } else if (byte >= 0xF0 && byte <= 0xF4) {
    partial.length = 4;
    partial.value = byte & 0x07;
  } else {
    return kDead;
  }
  partial.left = static_cast<int8_t>(partial.length - 1);
  const int shift = 6 * partial.left;
  const int32_t first = partial.value << shift;
  return TakesOne(node.set, std::max(first, kLeast[partial.length]),
                  std::min(first | ((1 << shift) - 1), kLastCodePoint), partial.literal)
             ? MakeNode(node.set, partial)
             : kDead;
}

GrammarAutomaton::Node GrammarAutomaton::Continue(const NodeState& node, uint8_t byte) {
  if ((byte & 0xC0) != 0x80) return kDead;
  Partial partial = node.partial;
  partial.value = partial.value << 6 | (byte & 0x3F);
  partial.left--;
  const int shift = 6 * partial.left;
  const int32_t first = std::max(partial.value << shift, kLeast[partial.length]);
  const int32_t last = std::min((partial.value << shift) | ((1 << shift) - 1), kLastCodePoint);
  if (partial.left > 0) {
    const bool takes = TakesOne(node.set, first, last, partial.literal);
    return takes ? MakeNode(node.set, partial) : kDead;
  }
  // Whether it is taken, Consume knows for all characters of its kind.
  if (NoCharacter(first, last)) return kDead;
  Partial none;
  none.literal = partial.literal;
  return MakeNode(Consume(node.set, partial.value, partial.literal), none);
}

GrammarAutomaton::Node GrammarAutomaton::MakeNode(SetId set, const Partial& partial) {
  const Set& state = sets_[static_cast<size_t>(set)];
  if (state.frames.empty() && !state.accepts) return kDead;
  const uint64_t shape = static_cast<uint64_t>(static_cast<uint32_t>(partial.value)) << 16 |
                         static_cast<uint64_t>(partial.left) << 8 |
                         static_cast<uint64_t>(partial.length) << 1 | (partial.literal ? 1 : 0);
  std::vector<Node>& alike = node_ids_[Mix(shape, static_cast<uint32_t>(set))];
  for (const Node id : alike) {
    const NodeState& known = nodes_[static_cast<size_t>(id)];
    const Partial& p = known.partial;
    if (known.set == set && p.value == partial.value && p.left == partial.left &&
        p.length == partial.length && p.literal == partial.literal) {
      return id;
    }
  }
  const auto id = static_cast<Node>(nodes_.size());
  Grow(sizeof(NodeState) + 96);
  nodes_.push_back({set, partial, {-1, -1, -1, -1}});
  alike.push_back(id);
  return id;
}

bool GrammarAutomaton::TakesOne(SetId set, int32_t first, int32_t last, bool literal) {
  if (NoCharacter(first, last)) return false;
  const std::vector<FrameId>& frames = sets_[static_cast<size_t>(set)].frames;
  Spend(frames.size() / 8);
  return std::any_of(frames.begin(), frames.end(), [&](FrameId id) {
    return Takes(frames_[static_cast<size_t>(id)], first, last, literal);
  });
}

bool GrammarAutomaton::Takes(const Frame& frame, int32_t first, int32_t last, bool literal) const {
  const Instruction& instruction = program_->at(frame.place);
  switch (instruction.op) {
    case Op::kChar: return instruction.a >= first && instruction.a <= last;
    case Op::kClass: return !literal && program_->InClass(instruction, first, last);
    case Op::kUntil: return true;
    case Op::kFree: return program_->matcher(instruction.a).MayGoOn(frame.count, first, last);
    default: return false;
  }
}

GrammarAutomaton::SetId GrammarAutomaton::Consume(SetId set, int32_t code_point, bool literal) {
  const uint64_t kind = static_cast<uint32_t>(program_->KindOf(code_point));
  const uint64_t key =
      static_cast<uint64_t>(static_cast<uint32_t>(set)) << 32 | kind << 1 | (literal ? 1 : 0);
  const auto known = consumed_.find(key);
  if (known != consumed_.end()) return known->second;
  round_++;
  Spend(sets_[static_cast<size_t>(set)].frames.size() / 8);
  for (size_t i = 0; i < sets_[static_cast<size_t>(set)].frames.size(); i++) {
    const FrameId id = sets_[static_cast<size_t>(set)].frames[i];
    const Frame frame = frames_[static_cast<size_t>(id)];
    if (Takes(frame, code_point, code_point, literal)) Step(frame, code_point);
  }
  const SetId next = Closure();
  Grow(48);
  consumed_.emplace(key, next);
  return next;
}

// Of the pending frames: kinds of characters are many, and most of them lead to the same frames.
GrammarAutomaton::SetId GrammarAutomaton::Closure() {
  found_.swap(pending_);
  const SetId begun = InternSet();
  const auto known = closures_.find(begun);
  if (known != closures_.end()) return known->second;
  pending_ = sets_[static_cast<size_t>(begun)].frames;
  accepts_ = sets_[static_cast<size_t>(begun)].accepts;
  Close();
  const SetId closed = InternSet();
  Grow(48);
  closures_.emplace(begun, closed);
  return closed;
}

// A frame that takes a code point, after it.
void GrammarAutomaton::Step(const Frame& frame, int32_t code_point) {
  const Instruction& instruction = program_->at(frame.place);
  if (instruction.op == Op::kUntil || instruction.op == Op::kFree) {
    const TextMatcher& matcher = program_->matcher(instruction.a);
    const int32_t place = matcher.Next(frame.count, code_point);
    if (instruction.op == Op::kFree || !matcher.Found(place)) {
      Push({frame.place, place, frame.parent});
      return;
    }
  }
  Return(After(frame));
}

GrammarAutomaton::FrameId GrammarAutomaton::Intern(const Frame& frame) {
  const auto [found, added] = frame_ids_.emplace(frame, static_cast<FrameId>(frames_.size()));
  if (added) {
    const int32_t depth =
        frame.parent == kNone ? 1 : depths_[static_cast<size_t>(frame.parent)] + 1;
    if (depth > kMostDepth) throw Error("grammar_invalid", "the text nests too deep");
    Grow(sizeof(Frame) + 64);
    frames_.push_back(frame);
    depths_.push_back(depth);
    seen_.push_back(0);
    repeated_.push_back(0);
  }
  return found->second;
}

// Of what has been found.
GrammarAutomaton::SetId GrammarAutomaton::InternSet() {
  std::sort(found_.begin(), found_.end());
  if (found_.size() > kMostFrames) Ambiguous();
  uint64_t hash = accepts_ ? 1 : 0;
  for (const FrameId id : found_) hash = Mix(hash, static_cast<uint32_t>(id));
  SetId set = -1;
  const auto [from, to] = set_ids_.equal_range(hash);
  for (auto known = from; known != to && set < 0; ++known) {
    const Set& other = sets_[static_cast<size_t>(known->second)];
    if (other.accepts == accepts_ && other.frames == found_) set = known->second;
  }
  if (set < 0) {
    set = static_cast<SetId>(sets_.size());
    Grow(sizeof(Set) + found_.size() * sizeof(FrameId) + 64);
    sets_.push_back({found_, accepts_});
    set_ids_.emplace(hash, set);
  }
  found_.clear();
  accepts_ = false;
  return set;
}

void GrammarAutomaton::Push(const Frame& frame) {
  const FrameId id = Intern(frame);
  uint32_t& seen = seen_[static_cast<size_t>(id)];
  if (seen == round_) return;
  seen = round_;
  pending_.push_back(id);
}

void GrammarAutomaton::Return(FrameId parent) {
  if (parent == kNone) {
    accepts_ = true;
  } else {
    Push(Frame(frames_[static_cast<size_t>(parent)]));
  }
}

GrammarAutomaton::FrameId GrammarAutomaton::After(const Frame& frame) {
  if (program_->at(frame.place + 1).op == Op::kEnd) return frame.parent;
  return Intern({frame.place + 1, 0, frame.parent});
}

void GrammarAutomaton::Call(int32_t rule, FrameId back) {
  for (const int32_t place : program_->Alternatives(rule)) {
    Spend(1);
    if (program_->at(place).op == Op::kEnd) {
      Return(back);
    } else {
      Push({place, 0, back});
    }
  }
}

void GrammarAutomaton::Close() {
  for (;;) {
    FrameId id;
    if (!pending_.empty()) {
      id = pending_.back();
      pending_.pop_back();
      if (program_->at(frames_[static_cast<size_t>(id)].place).op == Op::kRepeat) {
        AddRepeat(id);
        continue;
      }
    } else if (!repeats_.empty()) {
      std::pop_heap(repeats_.begin(), repeats_.end());
      id = repeats_.back().frame;
      repeats_.pop_back();
    } else {
      return;
    }
    Spend(1);
    Visit(id);
    if (found_.size() > kMostFrames) Ambiguous();
  }
}

// A repeat waits until all its counts are known, as far as that can be: what is inside another
// comes before it, what is behind another after it, and of its counts the best one first.
void GrammarAutomaton::AddRepeat(FrameId id) {
  const Frame& frame = frames_[static_cast<size_t>(id)];
  const Instruction& instruction = program_->at(frame.place);
  const bool endless = instruction.c < 0;
  int64_t rank = frame.count;
  if (!endless) rank = frame.count >= instruction.b ? -rank : rank - (int64_t{1} << 40);
  repeats_.push_back({depths_[static_cast<size_t>(id)], frame.place, rank, id});
  std::push_heap(repeats_.begin(), repeats_.end());
}

bool GrammarAutomaton::WaitingRepeat::operator<(const WaitingRepeat& other) const {
  if (depth != other.depth) return depth < other.depth;
  if (place != other.place) return place > other.place;
  return rank < other.rank;
}

void GrammarAutomaton::Visit(FrameId id) {
  const Frame frame = frames_[static_cast<size_t>(id)];
  const Instruction& instruction = program_->at(frame.place);
  switch (instruction.op) {
    case Op::kEnd: Return(frame.parent); break;
    case Op::kChar:
    case Op::kUntil: found_.push_back(id); break;
    case Op::kClass:
      if (instruction.b > 0) found_.push_back(id);
      break;
    case Op::kFree:
      found_.push_back(id);
      Return(After(frame));
      break;
    case Op::kRule: Call(instruction.a, After(frame)); break;
    case Op::kRepeat: VisitRepeat(frame, instruction); break;
  }
}

void GrammarAutomaton::VisitRepeat(const Frame& frame, const Instruction& instruction) {
  const auto [least, most] = std::pair(instruction.b, instruction.c);
  const bool endless = most < 0;
  // Two counts of the same repeat: one of them often allows all that the other does. With an end,
  // the lower one once there are enough; without, the higher one. So a part that takes nothing is
  // not repeated for ever either.
  const auto head = static_cast<size_t>(Intern({frame.place, -1, frame.parent}));
  int32_t& best = repeated_[head];
  if (seen_[head] == round_) {
    const bool worse = endless ? frame.count <= best : best >= least && best <= frame.count;
    if (worse) return;
  }
  if (seen_[head] != round_ || endless || frame.count >= least) best = frame.count;
  seen_[head] = round_;
  const int32_t next = endless ? std::min(frame.count + 1, least) : frame.count + 1;
  if (frame.count >= least) Return(After(frame));
  if (!endless && frame.count >= most) return;
  const bool last = !endless && next == most;
  Call(instruction.a, last ? After(frame) : Intern({frame.place, next, frame.parent}));
}

}  // namespace hoshikage
