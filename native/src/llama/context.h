// One llama_context: a KV cache with its sequences. After construction it is touched by one thread
// only, the worker that owns it. It never chooses tokens and never waits.
#pragma once

#include <memory>
#include <optional>
#include <vector>

#include "model.h"

namespace hoshikage {

struct ContextOptions {
  uint32_t context_tokens = 0;  // all sequences together
  uint32_t sequences = 1;
  uint32_t batch_tokens = 512;
  std::optional<int32_t> threads;
  std::optional<int32_t> long_step_threads;  // of steps on all cores; as the others where absent
  std::optional<int32_t> flash_attention;    // -1 auto, 0 off, 1 on
  std::optional<int32_t> type_k;             // ggml type numbers
  std::optional<int32_t> type_v;
  std::optional<int32_t> rope_scaling;
  std::optional<float> rope_freq_base;
  std::optional<float> rope_freq_scale;
};

// What our options say of a cache and of how to compute, written where the layout has it: threads,
// flash attention, cache types, rope. Sizes are the caller's. What has no known place is named in
// the log.
void WriteComputeParams(const AbiLayout& layout, const ContextOptions& options, ParamBlock* params);
// Threads by their setter, where the layout has no known place for them.
void SetThreads(const Library& library, const ContextOptions& options, llama_context* context);

// Bytes of unknown length without the cost of zeroing them first.
struct Bytes {
  std::unique_ptr<uint8_t[]> data;
  size_t size = 0;
};

// What llama_decode answered; exceptions count as kFatal.
enum class DecodeStatus { kOk, kNoRoom, kNoMemory, kAborted, kInvalid, kFatal };

// The tokens of one decode step, in our own arrays.
class Batch {
 public:
  explicit Batch(size_t capacity);
  void Clear() { size_ = 0; }
  // Returns the index under which the token's logits will be found.
  int32_t Add(Token token, int32_t position, int32_t sequence, bool logits);
  size_t size() const { return size_; }
  size_t capacity() const { return tokens_.size(); }
  LlamaBatch View();

 private:
  size_t size_ = 0;
  std::vector<Token> tokens_;
  std::vector<int32_t> positions_;
  std::vector<int32_t> sequence_counts_;
  std::vector<int32_t> sequences_;
  std::vector<int32_t*> sequence_pointers_;
  std::vector<int8_t> logits_;
};

class Context {
 public:
  // Throws model_load_failed, library_incompatible (the getters don't give back what was written).
  Context(std::shared_ptr<Model> model, const ContextOptions& options);
  ~Context();
  Context(const Context&) = delete;
  Context& operator=(const Context&) = delete;

  const Model& model() const { return *model_; }
  uint32_t context_tokens() const { return context_tokens_; }
  uint32_t tokens_per_sequence() const { return tokens_per_sequence_; }
  uint32_t sequences() const { return sequences_; }
  uint32_t batch_tokens() const { return batch_tokens_; }
  int32_t threads() const { return threads_; }
  // Whether one sequence's beginning can be given to another without a copy: all sequences lie in
  // one pool of cells, and the library has the function.
  bool shares() const { return unified_ && model_->library()->api().llama_memory_seq_cp; }
  // Whether a sequence is remembered as what its tokens have made of a state, at least in part:
  // nothing can be taken off its end, and the state itself is kept instead (checkpoints).
  bool has_tail_state() const { return tail_state_; }

  DecodeStatus Decode(Batch* batch, std::string* reason, bool all_cores = false);
  // Logits of a batch index, one per vocabulary entry, ours to change until the next Decode.
  float* Logits(int32_t index);
  // Removes [from, end) of a sequence; false where the memory cannot do that, or no longer holds
  // all that is to stay. Throws decode_failed, as all that follow do.
  bool Trim(int32_t sequence, int32_t from);
  void Forget(int32_t sequence);
  // The same of what the last step added, where a window may have lost tokens far behind it: going
  // on does not need them. False where the memory could not, and then anything may be in the
  // sequence.
  bool TakeBack(int32_t sequence, int32_t from);
  // Whether a sequence has [begin, end) to give to one that holds exactly what comes before: a
  // state is only of all that it has read, and what has left a window may be gone. Changes nothing.
  bool Lends(int32_t sequence, int32_t begin, int32_t end) const;
  // Gives [begin, end) of one sequence to another that holds exactly what comes before; only where
  // shares() and Lends(). False where the memory could not, and then anything may be in the other.
  bool Share(int32_t from, int32_t to, int32_t begin, int32_t end);
  // [begin, end) of a sequence as the library writes it; nothing where it cannot, or where that has
  // more than `most` bytes. Of all of a sequence, or of a part that MostOfState() allows.
  std::optional<Bytes> ReadState(int32_t sequence, int32_t begin, int32_t end, size_t most);
  // Bytes of all of a sequence as ReadState() would give it, or somewhat more; 0 = it cannot.
  size_t StateSize(int32_t sequence) const;
  // How many tokens of a sequence ReadState() can be asked for at once; 0 = only for all of it.
  size_t MostOfState(int32_t sequence) const;
  // Adds [begin, end) to a sequence that holds exactly what comes before; false where that does not
  // fit, and then anything may be in the sequence.
  bool WriteState(int32_t sequence, int32_t begin, int32_t end, const uint8_t* data, size_t size);
  // What a sequence of a memory with has_tail_state() needs to come back to where it is now;
  // nothing where the library cannot or that has more than `most` bytes.
  std::optional<Bytes> ReadCheckpoint(int32_t sequence, size_t most);
  // Takes a sequence back to the checkpoint made of its first `tokens` tokens; false where that
  // failed, and then anything may be in the sequence.
  bool WriteCheckpoint(int32_t sequence, const Bytes& checkpoint, int32_t tokens);
  void SetAbortCallback(AbortCallback callback, void* user_data);

 private:
  void Verify(const ContextOptions& written, uint32_t micro_batch);
  bool Holds(int32_t sequence, int32_t tokens) const;
  bool WindowFrom(int32_t first, int32_t tokens) const;
  int32_t First(int32_t sequence) const;
  bool Copy(int32_t from, int32_t to, int32_t begin, int32_t end);
  std::optional<Bytes> Read(int32_t sequence, size_t most, uint32_t flags);
  bool Write(int32_t sequence, const uint8_t* data, size_t size, uint32_t flags);
  void Free();

  std::shared_ptr<Model> model_;
  llama_context* context_ = nullptr;
  llama_memory_i* memory_ = nullptr;
  uint32_t context_tokens_ = 0;
  uint32_t tokens_per_sequence_ = 0;
  uint32_t sequences_ = 0;
  uint32_t batch_tokens_ = 0;
  int32_t threads_ = 0;
  int32_t long_step_threads_ = 0;
  bool all_cores_ = false;  // how the library's threads are set
  bool unified_ = false;
  bool tail_state_ = false;
  int32_t window_ = 0;  // see Model::Window
  int32_t spare_ = -1;  // a sequence of ours, empty but while a part of another is read or written
  bool decoded_ = false;  // at least once
};

}  // namespace hoshikage
