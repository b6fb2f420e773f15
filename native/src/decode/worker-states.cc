// The worker's part that saves the caches of idle slots and fills slots with saved ones: asked for
// on other threads, or where a slot changes conversations; done on the worker's, one part between
// two steps.
#include <algorithm>

#include "../llama/error.h"
#include "worker.h"

namespace hoshikage {
namespace {

// What a part may take of the time that a step may take.
constexpr double kPartShare = 0.25;
constexpr size_t kFirstPart = 128;
constexpr size_t kLeastPart = 16;
// Taken for how fast states are read, before one was; slower than most memories.
constexpr double kFirstBytesPerMs = 1e6;
// A conversation whose loss is less than this is not worth a move.
constexpr size_t kLeastMoved = 32;

}  // namespace

// Keeps an idle slot from being taken, until it goes. Any thread but the worker's own.
class Worker::Holding {
 public:
  // `choose` runs on the worker's thread and gives the slot, or null. Throws closed.
  Holding(Worker* worker, const std::function<Slot*()>& choose) : worker_(worker) {
    worker_->Await([&] {
      Slot* slot = choose();
      if (!slot || !slot->idle() || slot->held()) return;
      slot->Hold(true);
      slot_ = slot;
    });
  }
  ~Holding() {
    if (!slot_) return;
    try {
      worker_->Await([this] { slot_->Hold(false); });
    } catch (...) {
      // The worker has closed, and its slots with it.
    }
  }
  Holding(const Holding&) = delete;
  Holding& operator=(const Holding&) = delete;

  // To be used on the worker's thread only.
  Slot* slot() const { return slot_; }

 private:
  Worker* worker_;
  Slot* slot_ = nullptr;
};

std::optional<SavedState> Worker::SaveState(int32_t slot, size_t most_bytes) {
  if (slot < 0 || static_cast<uint32_t>(slot) >= sequences_) {
    throw Error("invalid_argument", "no such slot");
  }
  const Holding holding(this, [&] {
    Slot* wanted = &slots_[static_cast<size_t>(slot)];
    return wanted->cached().empty() ? nullptr : wanted;
  });
  if (!holding.slot()) return std::nullopt;
  SavedState saved;
  size_t begin = 0;
  size_t bytes = 0;
  bool whole = true;
  do {
    Await([&] {
      const Slot& source = *holding.slot();
      if (begin == 0) saved.tokens = source.cached();
      const size_t end = PartEnd(source, begin);
      std::optional<Bytes> part = ReadPart(source, begin, end, most_bytes - bytes);
      whole = part.has_value();
      if (!whole) {
        LogLine(kLogWarn, "a state of " + std::to_string(source.cached_tokens()) +
                              " tokens is not saved: the library cannot, or it is too large");
        return;
      }
      bytes += part->size;
      saved.parts.push_back({end, std::move(*part)});
      begin = end;
    });
  } while (whole && begin < saved.tokens.size());
  if (!whole) return std::nullopt;
  return saved;
}

std::optional<int32_t> Worker::RestoreState(const std::vector<Token>& tokens,
                                            const std::vector<StatePart>& parts) {
  if (tokens.empty() || tokens.size() > tokens_per_sequence_) {
    throw Error("invalid_argument", "a state without tokens or with more than a slot holds");
  }
  for (const Token token : tokens) {
    if (token < 0 || token >= vocabulary_size_) {
      throw Error("invalid_argument", "a state holds a token id out of range");
    }
  }
  size_t begin = 0;
  for (const StatePart& part : parts) {
    if (part.end <= begin || part.end > tokens.size()) begin = tokens.size() + 1;
    begin = std::max(begin, part.end);
  }
  if (begin != tokens.size()) {
    throw Error("invalid_argument", "the parts of a state do not make up its tokens");
  }
  const Holding holding(this, [this] { return OldestIdle(); });
  if (!holding.slot()) return std::nullopt;
  bool fits = true;
  int32_t id = -1;
  begin = 0;
  for (size_t i = 0; fits && i < parts.size(); i++) {
    Await([&] {
      // Now: behind the last part the slots may be gone.
      id = holding.slot()->id();
      if (i == 0) holding.slot()->ForgetCache();
      const StatePart& part = parts[i];
      fits = holding.slot()->Restore(tokens.data() + begin, part.end - begin, part.data, part.size);
      begin = part.end;
    });
  }
  if (!fits) return std::nullopt;
  return id;
}

Slot* Worker::OldestIdle() {
  Slot* oldest = nullptr;
  for (Slot& slot : slots_) {
    if (!slot.idle() || slot.held()) continue;
    if (!oldest || slot.last_used() < oldest->last_used()) oldest = &slot;
  }
  return oldest;
}

size_t Worker::PartEnd(const Slot& slot, size_t begin) const {
  const size_t tokens = slot.cached_tokens();
  const size_t most = context_->MostOfState(slot.id());
  if (most == 0) return tokens;
  size_t part = kFirstPart;
  if (state_bytes_per_token_ > 0.0) {
    const double bytes = state_bytes_per_ms_ * kPartShare * most_stall_ms_;
    part = std::max(kLeastPart, static_cast<size_t>(bytes / state_bytes_per_token_));
  }
  return std::min(tokens, begin + std::min(part, most));
}

// Bytes of a slot's state behind its first `begin` tokens. What is read whole may have a fixed
// size, whatever its tokens, so that the library is asked.
size_t Worker::StateLeft(const Slot& slot, size_t begin) const {
  if (context_->MostOfState(slot.id()) == 0) return context_->StateSize(slot.id());
  const double tokens = static_cast<double>(slot.cached_tokens() - begin);
  return static_cast<size_t>(tokens * state_bytes_per_token_);
}

// Bytes that may be read at once: of what cannot be read in parts, as many as no stream stalls for.
size_t Worker::MostAtOnce(const Slot& slot) const {
  if (context_->MostOfState(slot.id()) > 0 || !AnyGenerating()) return SIZE_MAX;
  const double pace = state_bytes_per_ms_ > 0.0 ? state_bytes_per_ms_ : kFirstBytesPerMs;
  return static_cast<size_t>(pace * most_stall_ms_);
}

std::optional<Bytes> Worker::ReadPart(const Slot& slot, size_t begin, size_t end, size_t most) {
  const size_t allowed = std::min(most, MostAtOnce(slot));
  const Clock::time_point begun = Clock::now();
  std::optional<Bytes> bytes = context_->ReadState(slot.id(), static_cast<int32_t>(begin),
                                                   static_cast<int32_t>(end), allowed);
  const double ms = MsSince(begun);
  if (!bytes) return std::nullopt;
  state_bytes_per_ms_ = static_cast<double>(bytes->size) / std::max(ms, 0.01);
  state_bytes_per_token_ = static_cast<double>(bytes->size) / static_cast<double>(end - begin);
  return bytes;
}

// Whether the slot has to change conversations first; then that has begun.
bool Worker::StartMove(Slot* slot, const std::shared_ptr<Completion>& completion) {
  if (store_.limit() == 0) return false;
  const CompletionRequest& request = completion->request();
  auto move = std::make_unique<Move>();
  const size_t lost = slot->cached_tokens() - slot->ReusablePrefix(request);
  move->leaves = lost >= kLeastMoved && !store_.Covers(slot->cached());
  move->coming = Stored(*slot, request, &move->wanted);
  if (!move->leaves && !move->coming) return false;
  move->completion = completion;
  move->order = moves_begun_++;
  if (move->leaves) move->leaving.tokens = slot->cached();
  slot->Hold(true);
  moves_[static_cast<size_t>(slot->id())] = std::move(move);
  return true;
}

// What the store has of a prompt, where bringing it back is quicker than computing what no slot
// holds of it; null else.
std::shared_ptr<const SavedState> Worker::Stored(const Slot& slot, const CompletionRequest& request,
                                                 size_t* wanted) {
  if (!request.ReusesCache()) return nullptr;
  std::shared_ptr<const SavedState> found = store_.Find(request.prompt);
  if (!found) return nullptr;
  const size_t common =
      std::min(CommonPrefixOf(found->tokens, request.prompt), request.prompt.size() - 1);
  // A memory that cannot take anything back needs all of it.
  if (context_->has_tail_state() && common < found->tokens.size()) return nullptr;
  size_t held = slot.ReusablePrefix(request);
  if (context_->shares() && !context_->has_tail_state()) {
    for (const Slot& other : slots_) held = std::max(held, other.CommonPrefix(request.prompt));
  }
  if (common < held + kLeastMoved) return nullptr;
  const double share = static_cast<double>(common) / static_cast<double>(found->tokens.size());
  const double ms = share * static_cast<double>(found->bytes()) /
                    (state_bytes_per_ms_ > 0.0 ? state_bytes_per_ms_ : kFirstBytesPerMs);
  const double computing = static_cast<double>(common - held) * pace_.prompt_token_ms();
  if (computing > 0.0 && ms > computing) return nullptr;
  *wanted = common;
  return found;
}

Slot* Worker::OldestMoving() {
  Slot* oldest = nullptr;
  const auto move_of = [this](const Slot& slot) {
    return moves_[static_cast<size_t>(slot.id())].get();
  };
  for (Slot& slot : slots_) {
    const Move* move = move_of(slot);
    if (move && (!oldest || move->order < move_of(*oldest)->order)) oldest = &slot;
  }
  return oldest;
}

// One part of one move, so that no stream stalls for it; of the one that began first, so that only
// one at a time gathers what the store has room for.
void Worker::MovePart() {
  while (Slot* slot = OldestMoving()) {
    std::unique_ptr<Move>& move = moves_[static_cast<size_t>(slot->id())];
    if (move->leaves) return MoveOut(*slot, move.get());
    if (move->coming) return MoveIn(slot, move.get());
    const std::shared_ptr<Completion> completion = std::move(move->completion);
    move.reset();
    slot->Hold(false);
    Begin(slot, completion);
  }
}

void Worker::MoveOut(const Slot& slot, Move* move) {
  SavedState& leaving = move->leaving;
  const size_t total = leaving.tokens.size();
  const size_t begin = leaving.parts.empty() ? 0 : leaving.parts.back().end;
  const size_t gathered = leaving.bytes();
  std::optional<Bytes> part;
  try {
    const size_t end = PartEnd(slot, begin);
    const size_t rest = StateLeft(slot, begin);
    if (rest <= MostAtOnce(slot) && store_.MakeRoom(rest, gathered)) {
      part = ReadPart(slot, begin, end, store_.limit() - store_.bytes() - gathered);
    }
    if (part) leaving.parts.push_back({end, std::move(*part)});
    if (part && end < total) return;
    if (part) {
      store_.Put(std::move(leaving));
    } else {
      LogLine(kLogDebug, "a conversation of " + std::to_string(total) +
                             " tokens is not kept: " + std::to_string(rest) +
                             " bytes have no room, cannot be read at once, or not at all");
    }
  } catch (const Error& e) {
    LogLine(kLogWarn, std::string("a conversation is not kept: ") + e.what());
  }
  move->leaves = false;
  move->leaving = {};
}

void Worker::MoveIn(Slot* slot, Move* move) {
  const SavedState& coming = *move->coming;
  const size_t begin = move->parts == 0 ? 0 : coming.parts[move->parts - 1].end;
  bool goes_on = false;
  try {
    if (move->parts == 0) slot->ForgetCache();
    const SavedState::Part& part = coming.parts[move->parts];
    goes_on = slot->Restore(coming.tokens.data() + begin, part.end - begin, part.bytes.data.get(),
                            part.bytes.size) &&
              part.end < move->wanted;
    local_.stored_tokens += slot->cached_tokens() - std::min(slot->cached_tokens(), begin);
  } catch (const Error& e) {
    // Then it is computed.
    LogLine(kLogWarn, std::string("a conversation could not be brought back: ") + e.what());
  }
  move->parts++;
  if (!goes_on || move->parts == coming.parts.size()) move->coming = nullptr;
}

}  // namespace hoshikage
