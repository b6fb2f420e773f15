#include "worker.h"

#include <algorithm>

#include "../llama/error.h"
#include "../llama/progress.h"

namespace hoshikage {
namespace {

// Choosing for all slots in turn must take this long, ms, before waking others for it pays.
constexpr double kWorthACrew = 0.5;

// The cores that compute nothing.
size_t HelpersFor(size_t slots, int32_t threads) {
  const size_t cores = std::thread::hardware_concurrency();
  const size_t computing = static_cast<size_t>(std::max(threads, 1));
  return std::min(slots - 1, cores > computing ? cores - computing : 0);
}

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
               WorkerOptions options, std::function<void()> ring,
               std::unique_ptr<Speculation> speculation)
    : model_(std::move(model)),
      context_(std::move(context)),
      speculation_(std::move(speculation)),
      ring_(std::move(ring)),
      context_tokens_(context_->context_tokens()),
      tokens_per_sequence_(context_->tokens_per_sequence()),
      sequences_(context_->sequences()),
      batch_tokens_(context_->batch_tokens()),
      threads_(context_->threads()),
      vocabulary_size_(model_->VocabularySize()),
      turns_(sequences_),
      shared_(sequences_, std::vector<size_t>(sequences_)),
      batch_(context_->batch_tokens()),
      pace_(options.most_stall_ms),
      share_out_(sequences_),
      crew_(HelpersFor(sequences_, threads_)),
      most_stall_ms_(options.most_stall_ms),
      store_(options.store_bytes),
      moves_(sequences_) {
  for (uint32_t i = 0; i < sequences_; i++) {
    slots_.emplace_back(static_cast<int32_t>(i), context_.get());
  }
  Publish();
  context_->SetAbortCallback(ShouldAbort, this);
  if (speculation_) speculation_->SetAbortCallback(ShouldAbort, this);
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
  speculation_.reset();
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
      // Who waits can begin where a slot is free; one that is held is given back by an errand.
      const bool busy = std::any_of(slots_.begin(), slots_.end(), [&](const Slot& s) {
        return !s.idle() || (!waiting_.empty() && !s.held()) || moves_[static_cast<size_t>(s.id())];
      });
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
      MovePart();
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
  for (const std::unique_ptr<Move>& move : moves_) {
    if (move) waiting_.push_back(move->completion);
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
  for (std::unique_ptr<Move>& move : moves_) {
    if (!move || !move->completion->cancelled()) continue;
    FinishUnstarted(move->completion, DoneReason::kCancelled, "", "");
    slots_[static_cast<size_t>(&move - moves_.data())].Hold(false);
    move.reset();
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
    if (!StartMove(slot, completion)) Begin(slot, completion);
  }
}

void Worker::Begin(Slot* slot, const std::shared_ptr<Completion>& completion) {
  OrEnd(slot, [&] {
    slot->Begin(completion, model_);
    if (speculation_) speculation_->Began(*slot);
    local_.reused_tokens += slot->reused_tokens();
    turns_[static_cast<size_t>(slot->id())] = {admitted_++, local_.prompt_tokens};
    NoteShared(*slot);
    if (!slot->borrows()) return;
    const Slot* best = nullptr;
    size_t longest = slot->cached_tokens();
    for (const Slot& other : slots_) {
      const size_t prefix = other.CommonPrefix(slot->completion()->request().prompt);
      if (&other != slot && prefix > longest) best = &other, longest = prefix;
    }
    if (best) local_.shared_tokens += slot->Borrow(*best);
  });
}

// Prompts take what another one with the same beginning has computed since the last step.
void Worker::Lend() {
  if (!context_->shares()) return;
  for (Slot& slot : slots_) {
    if (slot.PromptLeft() == 0 || !slot.borrows()) continue;
    for (const Slot& other : slots_) {
      if (&other == &slot || other.idle()) continue;
      const size_t common =
          shared_[static_cast<size_t>(slot.id())][static_cast<size_t>(other.id())];
      if (std::min(common, other.cached_tokens()) <= slot.cached_tokens()) continue;
      OrEnd(&slot, [&] {
        const size_t borrowed = slot.Borrow(other);
        local_.shared_tokens += borrowed;
        // Those were computed for this one too.
        turns_[static_cast<size_t>(slot.id())].prompt_tokens += borrowed;
      });
      if (slot.idle()) break;
    }
  }
}

void Worker::Step() {
  Lend();
  const Clock::time_point begun = Clock::now();
  const size_t together = Together();
  if (speculation_) speculation_->Draft(&slots_, together, batch_.capacity());
  FillBatch(together);
  if (batch_.size() == 0) return;
  const Clock::time_point filled = Clock::now();
  if (!DecodeBatch()) return;
  const double decode_ms = MsSince(filled);
  const double ms = MsSince(begun);
  pace_.Took(batch_generated_, batch_prompt_, ms, all_cores_);
  if (batch_prompt_ == 0 && !batch_drafts_) share_out_.Took(batch_generated_, decode_ms);
  if (batch_generated_ > 0) local_.longest_step_ms = std::max(local_.longest_step_ms, ms);
  SampleBatch();
  if (speculation_)
    speculation_->Learn(slots_, batch_prompt_ == 0 ? batch_generated_ : 0, decode_ms);
}

bool Worker::DecodeBatch() {
  std::string reason;
  all_cores_ = batch_prompt_ > 0 && pace_.AllCores(batch_prompt_);
  const Clock::time_point begun = Clock::now();
  DecodeStatus status = context_->Decode(&batch_, &reason, all_cores_);
  if (status == DecodeStatus::kNoRoom) {
    // Caches of idle slots are only memories: give them up and try once more.
    for (Slot& slot : slots_) {
      if (slot.idle() && !slot.held()) slot.ForgetCache();
    }
    status = context_->Decode(&batch_, &reason, all_cores_);
  }
  local_.steps++;
  switch (status) {
    case DecodeStatus::kOk: {
      const double prompt_token_ms =
          MsSince(begun) / static_cast<double>(std::max<size_t>(batch_prompt_, 1));
      for (Slot& slot : slots_) {
        if (!slot.in_batch()) continue;
        const size_t drafted = slot.drafted_tokens();
        local_.prompt_tokens += slot.Decoded(prompt_token_ms);
        local_.drafted_tokens += slot.drafted_tokens() - drafted;
      }
      return true;
    }
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
  std::vector<Slot*> choosing;
  for (Slot& slot : slots_) {
    if (slot.idle()) continue;
    OrEnd(&slot, [&] {
      slot.TellPromptTokens();
      if (slot.FetchLogits()) choosing.push_back(&slot);
    });
  }
  const Clock::time_point begun = Clock::now();
  const bool together = choosing.size() > 1 && choosing_ms_ > kWorthACrew;
  if (together) {
    crew_.Run(choosing.size(), [&](size_t i) { choosing[i]->Choose(); });
  } else {
    for (Slot* slot : choosing) slot->Choose();
    choosing_ms_ += 0.1 * (MsSince(begun) - choosing_ms_);
  }
  for (Slot* slot : choosing) {
    const size_t generated = slot->generated_tokens();
    const size_t accepted = slot->accepted_tokens();
    OrEnd(slot, [&] { slot->Take(); });
    local_.generated_tokens += slot->generated_tokens() - generated;
    local_.accepted_tokens += slot->accepted_tokens() - accepted;
  }
}

void Worker::Publish() {
  std::lock_guard<std::mutex> lock(mutex_);
  counters_ = local_;
  status_.clear();
  for (const Slot& slot : slots_) {
    const Move* move = moves_[static_cast<size_t>(slot.id())].get();
    const Completion* completion = move ? move->completion.get() : slot.completion().get();
    const SlotPhase phase = !completion         ? SlotPhase::kIdle
                            : slot.generating() ? SlotPhase::kGeneration
                                                : SlotPhase::kPrefill;
    status_.push_back({slot.id(), phase, slot.cached_tokens(),
                       completion ? completion->request().prompt.size() : 0,
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
