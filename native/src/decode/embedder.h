// The thread that owns a context for embeddings: inputs one after the other, in the order in which
// they were asked for. It makes its context when the first input comes, and a larger one when a
// longer input does. It never calls JavaScript.
#pragma once

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <thread>
#include <vector>

#include "../llama/embedding.h"
#include "condition.h"
#include "errand.h"

namespace hoshikage {

using Vectors = std::vector<std::vector<float>>;

class Embedder {
 public:
  // Inputs may have up to `options.context_tokens` tokens.
  Embedder(std::shared_ptr<Model> model, const ContextOptions& options);
  ~Embedder();
  Embedder(const Embedder&) = delete;
  Embedder& operator=(const Embedder&) = delete;

  // Any thread but the embedder's own: waits until it is done. `cancelled` ends it soon; where it
  // waits for others, at its turn. Throws closed, invalid_argument (empty input, id out of range),
  // context_length_exceeded, model_load_failed, model_not_embedding, library_incompatible,
  // decode_failed, engine_out_of_memory, cancelled.
  Vectors Embed(const std::vector<std::vector<Token>>& inputs, const std::atomic<bool>& cancelled);
  // Any thread but the embedder's own. Ends what runs, joins, frees. Idempotent.
  void Close();

 private:
  void Check(const std::vector<std::vector<Token>>& inputs) const;
  void Run();
  Vectors Work(const std::vector<std::vector<Token>>& inputs);
  void RefuseUnwanted() const;
  static bool ShouldAbort(void* embedder);
  void MakeRoom(size_t tokens);

  std::shared_ptr<Model> model_;
  const ContextOptions options_;
  const int32_t vocabulary_size_;

  std::mutex mutex_;  // guards the inbox
  std::condition_variable wake_;
  std::deque<std::shared_ptr<Errand>> inbox_;
  bool stopping_ = false;

  std::atomic<bool> aborting_{false};
  std::mutex close_mutex_;
  // The thread's own. The second is of the call that runs and does not change during a decode.
  std::unique_ptr<EmbeddingContext> context_;
  const std::atomic<bool>* cancelled_;
  std::thread thread_;
};

}  // namespace hoshikage
