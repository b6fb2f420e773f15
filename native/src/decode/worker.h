// The thread that owns a context: it alone decodes, samples and moves the cache. It takes
// completions from an inbox, drives all slots one batch per step and rings once per step. It never
// calls JavaScript and never waits for anything but its inbox.
#pragma once

#include <atomic>
#include <deque>
#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "../llama/context.h"
#include "completion.h"
#include "condition.h"
#include "crew.h"
#include "errand.h"
#include "pace.h"
#include "plan.h"
#include "prefix-store.h"
#include "share-out.h"
#include "slot.h"
#include "speculation.h"

namespace hoshikage {

enum class SlotPhase { kIdle, kPrefill, kGeneration };

struct SlotStatus {
  int32_t id;
  SlotPhase phase;
  size_t cached_tokens;
  size_t prompt_tokens;
  size_t generated_tokens;
};

// Work since the start; counted in tokens and events.
struct Counters {
  uint64_t steps = 0;
  uint64_t prompt_tokens = 0;  // computed
  uint64_t reused_tokens = 0;  // of prompts, found in the cache of the slot that took them
  uint64_t shared_tokens = 0;  // of prompts, taken from the cache of another slot
  uint64_t stored_tokens = 0;  // brought back from the store
  uint64_t generated_tokens = 0;
  uint64_t drafted_tokens = 0;   // tried ahead
  uint64_t accepted_tokens = 0;  // of those, the ones that were right
  uint64_t rings = 0;
  double longest_step_ms = 0.0;  // of those in which somebody generated
};

// A part of a state that is given back, in memory of whoever gives it.
struct StatePart {
  size_t end;
  const uint8_t* data;
  size_t size;
};

struct WorkerOptions {
  double most_stall_ms = 100.0;  // how long a step may take while anybody generates
  size_t store_bytes = 0;        // for conversations that lost their slot; 0 = they are forgotten
};

class Worker {
 public:
  // `ring` is called on the worker's thread when some completion has news; it must not block.
  // `speculation`: of this context; null = every token by itself.
  Worker(std::unique_ptr<Context> context, std::shared_ptr<Model> model, WorkerOptions options,
         std::function<void()> ring, std::unique_ptr<Speculation> speculation = nullptr);
  ~Worker();
  Worker(const Worker&) = delete;
  Worker& operator=(const Worker&) = delete;

  // Any thread. False once closed.
  bool Submit(std::shared_ptr<Completion> completion);
  // Any thread: a cancelled completion is looked at even when nothing else goes on.
  void Wake();
  // Any thread but the worker's own: waits until it has been done, part by part between steps, each
  // so short that no stream stalls for it. Nothing where the slot is busy, nothing is cached, the
  // library cannot, or it takes more than `most_bytes`. Throws closed, invalid_argument (no such
  // slot), decode_failed.
  std::optional<SavedState> SaveState(int32_t slot, size_t most_bytes);
  // The same: fills the idle slot that was unused for longest. Nothing where none is idle or the
  // state does not fit. `tokens` must be ids of the vocabulary and not more than a slot holds, and
  // the parts must end where they do.
  std::optional<int32_t> RestoreState(const std::vector<Token>& tokens,
                                      const std::vector<StatePart>& parts);
  // Any thread but the worker's own. Cancels all, joins, frees the context. Idempotent.
  void Close();

  // Any thread.
  std::vector<SlotStatus> Status();
  Counters counters();
  // Fixed at construction.
  uint32_t context_tokens() const { return context_tokens_; }
  uint32_t tokens_per_sequence() const { return tokens_per_sequence_; }
  uint32_t sequences() const { return sequences_; }
  uint32_t batch_tokens() const { return batch_tokens_; }
  int32_t threads() const { return threads_; }
  int32_t vocabulary_size() const { return vocabulary_size_; }

 private:
  // Has something done on the worker's thread between two steps, and waits for it.
  void Await(std::function<void()> work);
  void Run();
  void Admit();
  void Begin(Slot* slot, const std::shared_ptr<Completion>& completion);
  Slot* ChooseSlot(const Completion& completion);
  void NoteShared(const Slot& slot);
  void Lend();
  void EndCancelled();
  void Step();
  size_t Together();
  void FillBatch(size_t together);
  bool AnyGenerating() const;
  bool DecodeBatch();
  void FailBatch(const char* code, const std::string& reason);
  void SampleBatch();
  void Publish();
  void FinishUnstarted(const std::shared_ptr<Completion>& completion, DoneReason reason,
                       const char* code, const std::string& message);
  class Holding;
  // A slot that changes conversations: what it holds goes to the store, what the prompt begins with
  // comes from there, part by part; then its completion begins.
  struct Move {
    std::shared_ptr<Completion> completion;
    uint64_t order = 0;  // in which moves began
    bool leaves = false;
    SavedState leaving;
    std::shared_ptr<const SavedState> coming;
    size_t wanted = 0;  // tokens of it
    size_t parts = 0;   // of it that are there
  };
  bool StartMove(Slot* slot, const std::shared_ptr<Completion>& completion);
  std::shared_ptr<const SavedState> Stored(const Slot& slot, const CompletionRequest& request,
                                           size_t* wanted);
  Slot* OldestMoving();
  void MovePart();
  void MoveOut(const Slot& slot, Move* move);
  void MoveIn(Slot* slot, Move* move);
  Slot* OldestIdle();
  size_t PartEnd(const Slot& slot, size_t begin) const;
  size_t StateLeft(const Slot& slot, size_t begin) const;
  size_t MostAtOnce(const Slot& slot) const;
  std::optional<Bytes> ReadPart(const Slot& slot, size_t begin, size_t end, size_t most);
  static bool ShouldAbort(void* worker);
  bool NobodyWants() const;

  std::shared_ptr<Model> model_;
  std::unique_ptr<Context> context_;
  std::unique_ptr<Speculation> speculation_;
  std::function<void()> ring_;
  const uint32_t context_tokens_;
  const uint32_t tokens_per_sequence_;
  const uint32_t sequences_;
  const uint32_t batch_tokens_;
  const int32_t threads_;
  const int32_t vocabulary_size_;

  std::mutex mutex_;  // guards what follows, up to the thread's own state
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Completion>> inbox_;
  std::deque<std::shared_ptr<Errand>> errands_;
  bool stopping_ = false;
  bool woken_ = false;
  std::vector<SlotStatus> status_;
  Counters counters_;

  std::mutex close_mutex_;
  std::thread thread_;

  // When a slot's completion came, and what had been computed by then; what it shares of the rest
  // is added.
  struct Turn {
    uint64_t admitted = 0;
    uint64_t prompt_tokens = 0;
  };

  // The worker thread's own.
  std::vector<Slot> slots_;
  std::vector<Turn> turns_;                  // by slot
  std::vector<std::vector<size_t>> shared_;  // by slots: tokens that two prompts begin alike with
  std::deque<std::shared_ptr<Completion>> waiting_;
  Batch batch_;
  Pace pace_;
  ShareOut share_out_;
  Crew crew_;
  double choosing_ms_ = 0.0;     // for all slots of a step, one after the other
  size_t first_generating_ = 0;  // the slot that is the first to take part in the next step
  uint64_t admitted_ = 0;
  size_t batch_generated_ = 0;  // tokens of the batch by what they are
  size_t batch_prompt_ = 0;
  bool batch_drafts_ = false;  // whether anything is tried ahead in it
  bool all_cores_ = false;     // how it is computed
  const double most_stall_ms_;
  PrefixStore store_;
  std::vector<std::unique_ptr<Move>> moves_;  // by slot
  uint64_t moves_begun_ = 0;
  double state_bytes_per_ms_ = 0.0;  // 0 = not known yet
  double state_bytes_per_token_ = 0.0;
  Counters local_;
  std::atomic<bool> aborting_all_{false};
};

}  // namespace hoshikage
