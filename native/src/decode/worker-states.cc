// The worker's part that saves the caches of idle slots and fills slots with saved ones: asked for
// on other threads, done on the worker's, one part between two steps.
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
      if (!whole) return;
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
  begin = 0;
  for (size_t i = 0; fits && i < parts.size(); i++) {
    Await([&] {
      if (i == 0) holding.slot()->ForgetCache();
      const StatePart& part = parts[i];
      fits = holding.slot()->Restore(tokens.data() + begin, part.end - begin, part.data, part.size);
      begin = part.end;
    });
  }
  if (!fits) return std::nullopt;
  return holding.slot()->id();
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

std::optional<Bytes> Worker::ReadPart(const Slot& slot, size_t begin, size_t end, size_t most) {
  size_t allowed = most;
  if (context_->MostOfState(slot.id()) == 0 && AnyGenerating()) {
    // It cannot be read in parts, and nobody's stream is to stall for it.
    const double pace = state_bytes_per_ms_ > 0.0 ? state_bytes_per_ms_ : kFirstBytesPerMs;
    allowed = std::min(most, static_cast<size_t>(pace * most_stall_ms_));
  }
  const Clock::time_point begun = Clock::now();
  std::optional<Bytes> bytes = context_->ReadState(slot.id(), static_cast<int32_t>(begin),
                                                   static_cast<int32_t>(end), allowed);
  const double ms = std::chrono::duration<double, std::milli>(Clock::now() - begun).count();
  if (!bytes) {
    LogLine(kLogWarn, "a state of " + std::to_string(slot.cached_tokens()) +
                          " tokens is not saved: the library cannot, or it is too large");
    return std::nullopt;
  }
  state_bytes_per_ms_ = static_cast<double>(bytes->size) / std::max(ms, 0.01);
  state_bytes_per_token_ = static_cast<double>(bytes->size) / static_cast<double>(end - begin);
  return bytes;
}

}  // namespace hoshikage
