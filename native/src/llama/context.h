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
  std::optional<int32_t> flash_attention;  // -1 auto, 0 off, 1 on
  std::optional<int32_t> type_k;           // ggml type numbers
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

  DecodeStatus Decode(Batch* batch, std::string* reason);
  // Logits of a batch index, one per vocabulary entry, ours to change until the next Decode.
  float* Logits(int32_t index);
  // Removes [from, end) of a sequence; false where the memory cannot do that.
  bool Trim(int32_t sequence, int32_t from);
  void Forget(int32_t sequence);
  // One sequence as the library writes it; nothing where it cannot, or where that has more than
  // `most` bytes, which is said in the log. Throws decode_failed.
  std::optional<Bytes> ReadState(int32_t sequence, size_t most);
  // Fills an empty sequence of `tokens` tokens; false where that does not fit, and then anything
  // may be in the sequence.
  bool WriteState(int32_t sequence, const uint8_t* data, size_t size, size_t tokens);
  void SetAbortCallback(AbortCallback callback, void* user_data);

 private:
  void Verify(const ContextOptions& written, uint32_t micro_batch);
  void Free();

  std::shared_ptr<Model> model_;
  llama_context* context_ = nullptr;
  llama_memory_i* memory_ = nullptr;
  uint32_t context_tokens_ = 0;
  uint32_t tokens_per_sequence_ = 0;
  uint32_t sequences_ = 0;
  uint32_t batch_tokens_ = 0;
  int32_t threads_ = 0;
  bool decoded_ = false;  // at least once
};

}  // namespace hoshikage
