// A llama_context that turns texts into vectors, or into scores where the model ranks: one
// sequence, no sampling. It is made and touched by one thread only, the embedder that owns it. It
// never normalises and never waits.
#pragma once

#include <memory>
#include <vector>

#include "context.h"

namespace hoshikage {

class EmbeddingContext {
 public:
  // A context for inputs of up to `tokens` tokens; of `options` only what says how to compute
  // counts. Throws model_load_failed, model_not_embedding, library_incompatible.
  EmbeddingContext(std::shared_ptr<Model> model, const ContextOptions& options, uint32_t tokens,
                   AbortCallback abort, void* abort_data);
  ~EmbeddingContext();
  EmbeddingContext(const EmbeddingContext&) = delete;
  EmbeddingContext& operator=(const EmbeddingContext&) = delete;

  // Tokens of the longest input it takes.
  uint32_t capacity() const { return capacity_; }
  // One vector; all values finite. Throws decode_failed, engine_out_of_memory, cancelled (the abort
  // callback said so).
  std::vector<float> Embed(const std::vector<Token>& input);

 private:
  void Open(const ContextOptions& options, uint32_t tokens, bool whole);
  void Close();
  PoolingType Pooling() const;
  void Verify(uint32_t tokens, uint32_t batch, bool own_pooling);
  void Decode(Batch* batch);
  const float* Row(int32_t index);
  const float* Pooled();

  std::shared_ptr<Model> model_;
  llama_context* context_ = nullptr;
  llama_memory_i* memory_ = nullptr;  // null for encoders
  uint32_t capacity_ = 0;
  uint32_t batch_tokens_ = 0;
  size_t length_ = 0;
  bool pooled_ = false;     // by the library; else it is the mean over the tokens,
  bool last_only_ = false;  // or the last token's vector
  bool decoded_ = false;    // at least once
};

}  // namespace hoshikage
