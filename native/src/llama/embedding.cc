#include "embedding.h"

#include <algorithm>
#include <cmath>

#include "error.h"
#include "probe.h"
#include "progress.h"

namespace hoshikage {
namespace {

// Tokens per step where a model looks only backwards: its cost in memory grows with them times the
// vocabulary, since the library computes logits for every token that gives a vector.
constexpr uint32_t kStepTokens = 256;
// libllama rounds contexts up to this.
constexpr uint32_t kContextRounding = 256;

uint32_t RoundUp(uint32_t tokens) {
  return (tokens + kContextRounding - 1) / kContextRounding * kContextRounding;
}

}  // namespace

EmbeddingContext::EmbeddingContext(std::shared_ptr<Model> model, const ContextOptions& options,
                                   uint32_t tokens, AbortCallback abort, void* abort_data)
    : model_(std::move(model)) {
  const Api& api = model_->library()->api();
  const std::optional<PoolingType> own = model_->Pooling();
  bool encodes = false;
  bool decodes = false;
  Guard("model_load_failed", "kind of model", [&] {
    encodes = api.llama_model_has_encoder(model_->handle());
    // Where it cannot be asked, an encoder may be half of such a model.
    decodes = !api.llama_model_has_decoder || api.llama_model_has_decoder(model_->handle());
  });
  if (!api.llama_get_embeddings_ith || !api.llama_get_embeddings_seq || !api.llama_pooling_type) {
    throw Error("model_not_embedding", "this libllama has no functions for embeddings");
  }
  if (encodes && (!api.llama_encode || decodes)) {
    throw Error("model_not_embedding", "encoder-decoder models are not supported");
  }
  const bool ranks = own == PoolingType::kRank;
  const int32_t length = ranks ? model_->ScoreCount() : model_->EmbeddingLength();
  if (length <= 0) throw Error("model_not_embedding", "its vectors have no values");
  length_ = static_cast<size_t>(length);
  last_only_ = own == PoolingType::kLast;
  // A model that looks only backwards may be fed in steps, and its tokens' vectors are summed up
  // here; all others want the whole text at once, and pool it as they were made to.
  const bool stepwise = !encodes && model_->Causal() && own != PoolingType::kCls && !ranks;
  const LongCall long_call(Lane::kEmbeds);
  try {
    Open(options, tokens, !stepwise);
    if (stepwise && (!memory_ || pooled_)) {
      Close();
      Open(options, tokens, true);
    }
    // Any other pooling gives vectors of another length than that of the scores.
    if (ranks && Pooling() != PoolingType::kRank) {
      throw Error("model_not_embedding", "the library gives no scores");
    }
    Guard("internal_error", "llama_set_abort_callback",
          [&] { api.llama_set_abort_callback(context_, abort, abort_data); });
  } catch (...) {
    Close();
    throw;
  }
}

EmbeddingContext::~EmbeddingContext() { Close(); }

void EmbeddingContext::Close() {
  if (!context_) return;
  try {
    Guard("internal_error", "llama_free", [&] { model_->library()->api().llama_free(context_); });
  } catch (...) {
    // Nothing to do about a failed free.
  }
  context_ = nullptr;
  memory_ = nullptr;
}

void EmbeddingContext::Open(const ContextOptions& options, uint32_t tokens, bool whole) {
  const Library& library = *model_->library();
  const Api& api = library.api();
  const AbiLayout& layout = library.abi().context_params;
  const uint32_t size = RoundUp(tokens);
  const uint32_t batch = whole ? size : std::min(kStepTokens, size);
  ParamBlock params = Guard("model_load_failed", "llama_context_default_params",
                            [&] { return DefaultParams(api.llama_context_default_params); });
  Poke(layout, &params, "n_ctx", size);
  Poke(layout, &params, "n_batch", batch);
  Poke(layout, &params, "n_ubatch", batch);
  Poke(layout, &params, "n_seq_max", static_cast<uint32_t>(1));
  // A layout that is not wholly known has only the sizes.
  const bool known = Poke(layout, &params, "embeddings", true);
  const bool own_pooling =
      !whole && Poke(layout, &params, "pooling_type", static_cast<int32_t>(PoolingType::kNone));
  WriteComputeParams(layout, options, &params);
  const ErrorLines errors;
  context_ = Guard("model_load_failed", "llama_init_from_model",
                   [&] { return api.llama_init_from_model(model_->handle(), params); });
  if (!context_) {
    throw Error("model_load_failed", "libllama could not make a context for embeddings of " +
                                         std::to_string(tokens) + " tokens" + errors.Said());
  }
  SetThreads(library, options, context_);
  Guard("library_incompatible", "context for embeddings", [&] {
    if (!known && api.llama_set_embeddings) api.llama_set_embeddings(context_, true);
    Verify(size, batch, own_pooling);
  });
}

// What was written at our offsets must come back by the getters.
void EmbeddingContext::Verify(uint32_t tokens, uint32_t batch, bool own_pooling) {
  const Api& api = model_->library()->api();
  const uint32_t context_tokens = api.llama_n_ctx(context_);
  const uint32_t step = std::min(api.llama_n_ubatch(context_), api.llama_n_batch(context_));
  const auto pooling = static_cast<int>(Pooling());
  const bool same = context_tokens >= tokens && context_tokens - tokens < kContextRounding &&
                    step == batch && (!own_pooling || pooling == 0);
  if (!same) {
    throw Error("library_incompatible",
                "the context for embeddings does not have the values written: n_ctx " +
                    std::to_string(context_tokens) + ", n_ubatch " + std::to_string(step) +
                    ", pooling " + std::to_string(pooling));
  }
  memory_ = api.llama_get_memory(context_);
  pooled_ = Pooling() != PoolingType::kNone;
  batch_tokens_ = step;
  const bool stepwise = !pooled_ && memory_ && model_->Causal();
  capacity_ = stepwise ? context_tokens : std::min(context_tokens, step);
}

PoolingType EmbeddingContext::Pooling() const {
  return static_cast<PoolingType>(Guard("library_incompatible", "llama_pooling_type", [&] {
    return model_->library()->api().llama_pooling_type(context_);
  }));
}

std::vector<float> EmbeddingContext::Embed(const std::vector<Token>& input) {
  const Api& api = model_->library()->api();
  if (input.empty() || input.size() > capacity_) {
    throw Error("invalid_argument", "an input is empty or longer than the context");
  }
  if (memory_) {
    // Which tokens are in it, not the buffers: zeroing gigabytes takes longer than a short text.
    Guard("decode_failed", "llama_memory_clear", [&] { api.llama_memory_clear(memory_, false); });
  }
  std::vector<double> sum(length_, 0.0);
  const auto add = [&](const float* row) {
    for (size_t i = 0; i < length_; i++) sum[i] += row[i];
  };
  Batch batch(std::min<size_t>(batch_tokens_, input.size()));
  size_t summed = 0;
  for (size_t from = 0; from < input.size();) {
    batch.Clear();
    const size_t count = std::min(batch.capacity(), input.size() - from);
    for (size_t i = from; i < from + count; i++) {
      batch.Add(input[i], static_cast<int32_t>(i), 0, true);
    }
    Decode(&batch);
    const bool last = from + count == input.size();
    if (pooled_) {
      add(Pooled());
      summed = 1;
    } else if (!last_only_) {
      for (size_t i = 0; i < count; i++) add(Row(static_cast<int32_t>(i)));
      summed += count;
    } else if (last) {
      add(Row(static_cast<int32_t>(count) - 1));
      summed = 1;
    }
    from += count;
  }
  std::vector<float> vector(length_);
  for (size_t i = 0; i < length_; i++) {
    vector[i] = static_cast<float>(sum[i] / static_cast<double>(summed));
    if (!std::isfinite(vector[i])) {
      throw Error("decode_failed", "an embedding holds a value that is not finite");
    }
  }
  return vector;
}

void EmbeddingContext::Decode(Batch* batch) {
  const Api& api = model_->library()->api();
  std::optional<LongCall> first;
  if (!decoded_) first.emplace(Lane::kEmbeds);
  decoded_ = true;
  const int32_t code = Guard("decode_failed", "embedding", [&] {
    const bool encodes = api.llama_model_has_encoder(model_->handle());
    return encodes ? api.llama_encode(context_, batch->View())
                   : api.llama_decode(context_, batch->View());
  });
  Advance(Lane::kEmbeds);
  if (code == 2) throw Error("cancelled", "the embedding was cancelled");
  if (code == -2) throw Error("engine_out_of_memory", "llama_decode returned -2");
  if (code != 0) throw Error("decode_failed", "llama_decode returned " + std::to_string(code));
}

const float* EmbeddingContext::Row(int32_t index) {
  const float* row = Guard("decode_failed", "llama_get_embeddings_ith", [&] {
    return model_->library()->api().llama_get_embeddings_ith(context_, index);
  });
  if (!row) throw Error("decode_failed", "no embedding for a batch index");
  return row;
}

const float* EmbeddingContext::Pooled() {
  const float* row = Guard("decode_failed", "llama_get_embeddings_seq", [&] {
    return model_->library()->api().llama_get_embeddings_seq(context_, 0);
  });
  if (!row) throw Error("decode_failed", "no pooled embedding");
  return row;
}

}  // namespace hoshikage
