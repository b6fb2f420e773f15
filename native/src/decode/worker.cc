#include "worker.h"

#include <algorithm>

#include "../llama/error.h"
#include "../llama/progress.h"

namespace hoshikage {
namespace {

// Prompt tokens of one step whose logits the library keeps: 40 MB with a large vocabulary.
constexpr size_t kMostPromptLogits = 64;

// What fails here is one completion's own, such as the tables of its grammar: no other ends for it.
template <class Function>
void OrEnd(Slot* slot, Function&& function) {
  try {
    function();
  } catch (const Error& e) {
    slot->End(DoneReason::kError, e.code(), e.what());
  } catch (const std::bad_alloc& e) {
    slot->End(DoneReason::kError, "engine_out_of_memory", e.what());
  } catch (const std::exception& e) {
    slot->End(DoneReason::kError, "decode_failed", e.what());
  }
}

}  // namespace

Worker::Worker(std::unique_ptr<Context> context, std::shared_ptr<Model> model,
               std::function<void()> ring)
    : model_(std::move(model)),
      context_(std::move(context)),
      ring_(std::move(ring)),
      context_tokens_(context_->context_tokens()),
      tokens_per_sequence_(context_->tokens_per_sequence()),
      sequences_(context_->sequences()),
      batch_tokens_(context_->batch_tokens()),
      threads_(context_->threads()),
      vocabulary_size_(model_->VocabularySize()),
      batch_(context_->batch_tokens()) {
  for (uint32_t i = 0; i < sequences_; i++) {
    slots_.emplace_back(static_cast<int32_t>(i), context_.get());
  }
  Publish();
  context_->SetAbortCallback(ShouldAbort, this);
  thread_ = std::thread([this] { Run(); });
}

Worker::~Worker() { Close(); }

bool Worker::Submit(std::shared_ptr<Completion> completion) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) return false;
    inbox_.push_back(std::move(completion));
  }
  wake_.notify_one();
  return true;
}

void Worker::Wake() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    woken_ = true;
  }
  wake_.notify_one();
}

void Worker::Await(std::function<void()> work) {
  const auto errand = std::make_shared<Errand>(std::move(work));
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (stopping_) throw Error("closed", "the context is closed");
    errands_.push_back(errand);
  }
  wake_.notify_one();
  errand->Wait();
}

std::optional<SavedState> Worker::SaveState(int32_t slot, size_t most_bytes) {
  if (slot < 0 || static_cast<uint32_t>(slot) >= sequences_) {
    throw Error("invalid_argument", "no such slot");
  }
  std::optional<SavedState> saved;
  Await([&] {
    const Slot& wanted = slots_[static_cast<size_t>(slot)];
    if (!wanted.idle() || wanted.cached().empty()) return;
    std::optional<Bytes> bytes = context_->ReadState(slot, most_bytes);
    if (bytes) saved = SavedState{wanted.cached(), std::move(*bytes)};
  });
  return saved;
}

std::optional<int32_t> Worker::RestoreState(const std::vector<Token>& tokens, const uint8_t* data,
                                            size_t size) {
  if (tokens.empty() || tokens.size() > tokens_per_sequence_) {
    throw Error("invalid_argument", "a state without tokens or with more than a slot holds");
  }
  for (const Token token : tokens) {
    if (token < 0 || token >= vocabulary_size_) {
      throw Error("invalid_argument", "a state holds a token id out of range");
    }
  }
  std::optional<int32_t> restored;
  Await([&] {
    Slot* oldest = nullptr;
    for (Slot& slot : slots_) {
      if (slot.idle() && (!oldest || slot.last_used() < oldest->last_used())) oldest = &slot;
    }
    if (oldest && oldest->Restore(tokens, data, size)) restored = oldest->id();
  });
  return restored;
}

void Worker::Close() {
  std::lock_guard<std::mutex> closing(close_mutex_);
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  aborting_all_.store(true, std::memory_order_release);
  wake_.notify_one();
  if (thread_.joinable()) thread_.join();
  slots_.clear();
  context_.reset();
  model_.reset();
}

std::vector<SlotStatus> Worker::Status() {
  std::lock_guard<std::mutex> lock(mutex_);
  return status_;
}

Counters Worker::counters() {
  std::lock_guard<std::mutex> lock(mutex_);
  return counters_;
}

void Worker::Run() {
  for (;;) {
    std::deque<std::shared_ptr<Errand>> errands;
    {
      std::unique_lock<std::mutex> lock(mutex_);
      const bool busy = !waiting_.empty() || std::any_of(slots_.begin(), slots_.end(),
                                                         [](const Slot& s) { return !s.idle(); });
      if (!busy) {
        wake_.wait(lock,
                   [&] { return stopping_ || woken_ || !inbox_.empty() || !errands_.empty(); });
      }
      woken_ = false;
      if (stopping_) break;
      errands.swap(errands_);
      std::move(inbox_.begin(), inbox_.end(), std::back_inserter(waiting_));
      inbox_.clear();
    }
    for (const auto& errand : errands) errand->Run();
    try {
      EndCancelled();
      Admit();
      Step();
    } catch (const Error& e) {
      FailBatch(e.code(), e.what());
    } catch (const std::exception& e) {
      // Nothing leaves the thread: whatever runs fails, the next request starts on empty caches.
      FailBatch("decode_failed", e.what());
    } catch (...) {
      FailBatch("decode_failed", "unknown exception");
    }
    local_.rings++;
    Publish();
    ring_();
  }
  for (Slot& slot : slots_) {
    if (!slot.idle()) slot.End(DoneReason::kCancelled);
  }
  std::deque<std::shared_ptr<Errand>> refused;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    std::move(inbox_.begin(), inbox_.end(), std::back_inserter(waiting_));
    inbox_.clear();
    refused.swap(errands_);
  }
  for (const auto& errand : refused) errand->Refuse("closed", "the context is closed");
  for (const auto& completion : waiting_) {
    FinishUnstarted(completion, DoneReason::kCancelled, "", "");
  }
  waiting_.clear();
  Publish();
  ring_();
}

void Worker::EndCancelled() {
  for (Slot& slot : slots_) {
    if (!slot.idle() && slot.completion()->cancelled()) slot.End(DoneReason::kCancelled);
  }
  for (auto it = waiting_.begin(); it != waiting_.end();) {
    if ((*it)->cancelled()) {
      FinishUnstarted(*it, DoneReason::kCancelled, "", "");
      it = waiting_.erase(it);
    } else {
      ++it;
    }
  }
}

void Worker::Admit() {
  while (!waiting_.empty()) {
    Slot* slot = ChooseSlot(*waiting_.front());
    if (!slot) return;
    std::shared_ptr<Completion> completion = std::move(waiting_.front());
    waiting_.pop_front();
    OrEnd(slot, [&] { slot->Begin(completion, model_); });
  }
}

// The idle slot with the longest common prefix; among equals the one unused for longest, so that
// the caches of other conversations live on.
Slot* Worker::ChooseSlot(const Completion& completion) {
  Slot* best = nullptr;
  size_t best_prefix = 0;
  for (Slot& slot : slots_) {
    if (!slot.idle()) continue;
    const size_t prefix = slot.ReusablePrefix(completion.request());
    const bool better = !best || prefix > best_prefix ||
                        (prefix == best_prefix && slot.last_used() < best->last_used());
    if (better) best = &slot, best_prefix = prefix;
  }
  return best;
}

void Worker::Step() {
  FillBatch();
  if (batch_.size() == 0) return;
  if (DecodeBatch()) SampleBatch();
}

// Running generations first, one token each, then prompts in slot order with what room is left. Of
// those whose every token's logits are wanted, only so many tokens together.
void Worker::FillBatch() {
  batch_.Clear();
  for (Slot& slot : slots_) {
    if (slot.generating() && batch_.size() < batch_.capacity()) slot.AddTo(&batch_, 1);
  }
  size_t logits_room = kMostPromptLogits;
  for (Slot& slot : slots_) {
    const bool wants_logits = slot.wants_prompt_logits();
    size_t room = batch_.capacity() - batch_.size();
    if (wants_logits) room = std::min(room, logits_room);
    if (room == 0 || slot.PromptLeft() == 0) continue;
    const size_t before = batch_.size();
    slot.AddTo(&batch_, room);
    if (wants_logits) logits_room -= batch_.size() - before;
  }
}

bool Worker::DecodeBatch() {
  std::string reason;
  DecodeStatus status = context_->Decode(&batch_, &reason);
  if (status == DecodeStatus::kNoRoom) {
    // Caches of idle slots are only memories: give them up and try once more.
    for (Slot& slot : slots_) {
      if (slot.idle()) slot.ForgetCache();
    }
    status = context_->Decode(&batch_, &reason);
  }
  local_.steps++;
  switch (status) {
    case DecodeStatus::kOk:
      for (Slot& slot : slots_) {
        if (slot.in_batch()) local_.prompt_tokens += slot.Decoded();
      }
      return true;
    case DecodeStatus::kAborted:
      if (!NobodyWants()) {
        FailBatch("decode_failed", reason);
        return false;
      }
      // Every owner was cancelled. Parts of the batch may be in the cache.
      for (Slot& slot : slots_) {
        if (slot.in_batch()) slot.Undo();
      }
      // Now: should taking them out have made libllama give up, this process ends with the next
      // ring.
      EndCancelled();
      return false;
    case DecodeStatus::kNoRoom:
      FailBatch("decode_failed", "no room in the cache: " + reason);
      return false;
    case DecodeStatus::kNoMemory: FailBatch("engine_out_of_memory", reason); return false;
    case DecodeStatus::kInvalid:
    case DecodeStatus::kFatal: FailBatch("decode_failed", reason); return false;
  }
  return false;
}

void Worker::FailBatch(const char* code, const std::string& reason) {
  const Error error = WhileRunning(code, reason);
  for (Slot& slot : slots_) {
    if (slot.idle()) continue;
    try {
      slot.ForgetCache();
    } catch (...) {
      // The library refuses even that; the completion still ends.
    }
    slot.End(DoneReason::kError, error.code(), error.what());
  }
}

void Worker::SampleBatch() {
  for (Slot& slot : slots_) {
    if (slot.idle()) continue;
    OrEnd(&slot, [&] {
      slot.TellPromptTokens();
      if (slot.expects_logits() && slot.Sample()) local_.generated_tokens++;
    });
  }
}

void Worker::Publish() {
  std::lock_guard<std::mutex> lock(mutex_);
  counters_ = local_;
  status_.clear();
  for (const Slot& slot : slots_) {
    const SlotPhase phase = slot.idle()         ? SlotPhase::kIdle
                            : slot.generating() ? SlotPhase::kGeneration
                                                : SlotPhase::kPrefill;
    status_.push_back({slot.id(), phase, slot.cached_tokens(),
                       slot.idle() ? 0 : slot.completion()->request().prompt.size(),
                       slot.generated_tokens()});
  }
}

void Worker::FinishUnstarted(const std::shared_ptr<Completion>& completion, DoneReason reason,
                             const char* code, const std::string& message) {
  Done done;
  done.reason = reason;
  done.code = code;
  done.message = message;
  done.prompt_tokens = static_cast<int32_t>(completion->request().prompt.size());
  completion->Finish(std::move(done));
}

// Called by libllama within a decode, on any of its threads: true ends it. Only when nobody is left
// who wants the batch. Slots do not change during a decode, so reading them is safe.
bool Worker::ShouldAbort(void* user_data) {
  Advance(Lane::kSteps);
  return static_cast<Worker*>(user_data)->NobodyWants();
}

bool Worker::NobodyWants() const {
  if (aborting_all_.load(std::memory_order_acquire)) return true;
  bool any = false;
  for (const Slot& slot : slots_) {
    if (!slot.in_batch()) continue;
    any = true;
    if (!slot.completion()->cancelled()) return false;
  }
  return any;
}

}  // namespace hoshikage
