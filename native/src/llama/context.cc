#include "context.h"

#include <algorithm>
#include <cstring>
#include <limits>

#include "error.h"
#include "probe.h"
#include "progress.h"

namespace hoshikage {
namespace {

// libllama rounds the context up to a multiple of 256 per sequence (older builds: 32 or 64).
constexpr uint32_t kContextRounding = 256;
// Older builds raise a smaller n_batch to this (GGML_KQ_MASK_PAD).
constexpr uint32_t kSmallestBatch = 64;
// What the library does where nothing is written.
constexpr int32_t kFlashAttentionAuto = -1;
constexpr int32_t kTypeF16 = 1;
// LLAMA_STATE_SEQ_FLAGS_PARTIAL_ONLY: what cannot be taken off the end of a sequence. Builds before
// b6685 know it as SWA_ONLY, and give all of a state then, which serves as well.
constexpr uint32_t kPartialOnly = 1;

}  // namespace

Batch::Batch(size_t capacity)
    : tokens_(capacity),
      positions_(capacity),
      sequence_counts_(capacity, 1),
      sequences_(capacity),
      sequence_pointers_(capacity),
      logits_(capacity) {
  for (size_t i = 0; i < capacity; i++) sequence_pointers_[i] = &sequences_[i];
}

int32_t Batch::Add(Token token, int32_t position, int32_t sequence, bool logits) {
  tokens_[size_] = token;
  positions_[size_] = position;
  sequences_[size_] = sequence;
  logits_[size_] = logits ? 1 : 0;
  return static_cast<int32_t>(size_++);
}

LlamaBatch Batch::View() {
  return {static_cast<int32_t>(size_),
          tokens_.data(),
          nullptr,
          positions_.data(),
          sequence_counts_.data(),
          sequence_pointers_.data(),
          logits_.data()};
}

void WriteComputeParams(const AbiLayout& layout, const ContextOptions& options,
                        ParamBlock* params) {
  std::string dropped;
  const auto drop = [&](const char* setting) {
    dropped += (dropped.empty() ? "" : ", ") + std::string(setting);
  };
  if (options.threads) {
    Poke(layout, params, "n_threads", *options.threads);
    Poke(layout, params, "n_threads_batch", *options.threads);
  }
  if (options.flash_attention &&
      !Poke(layout, params, "flash_attn_type", *options.flash_attention) &&
      *options.flash_attention != kFlashAttentionAuto) {
    drop("FLASH_ATTN");
  }
  if (options.type_k && !Poke(layout, params, "type_k", *options.type_k) &&
      *options.type_k != kTypeF16) {
    drop("CACHE_TYPE_K");
  }
  if (options.type_v && !Poke(layout, params, "type_v", *options.type_v) &&
      *options.type_v != kTypeF16) {
    drop("CACHE_TYPE_V");
  }
  if (options.rope_scaling && !Poke(layout, params, "rope_scaling_type", *options.rope_scaling)) {
    drop("ROPE_SCALING");
  }
  if (options.rope_freq_base && !Poke(layout, params, "rope_freq_base", *options.rope_freq_base)) {
    drop("ROPE_FREQ_BASE");
  }
  if (options.rope_freq_scale &&
      !Poke(layout, params, "rope_freq_scale", *options.rope_freq_scale)) {
    drop("ROPE_FREQ_SCALE");
  }
  WarnOfDropped(dropped);
}

void SetThreads(const Library& library, const ContextOptions& options, llama_context* context) {
  if (!options.threads || library.abi().context_params.Find("n_threads")) return;
  Guard("model_load_failed", "llama_set_n_threads",
        [&] { library.api().llama_set_n_threads(context, *options.threads, *options.threads); });
}

Context::Context(std::shared_ptr<Model> model, const ContextOptions& options)
    : model_(std::move(model)) {
  const Library& library = *model_->library();
  const Api& api = library.api();
  const AbiLayout& layout = library.abi().context_params;
  Guard("model_load_failed", "kind of model", [&] {
    if (api.llama_model_has_encoder(model_->handle())) {
      throw Error("model_load_failed", "encoder-decoder models are not supported");
    }
    if (api.llama_model_is_diffusion && api.llama_model_is_diffusion(model_->handle())) {
      throw Error("model_load_failed", "diffusion models are not supported");
    }
  });
  // A smaller cache could not hold the smallest batch; what a sequence may use stays as asked.
  const uint32_t cache_tokens =
      std::max(options.context_tokens, kContextRounding * options.sequences);
  const uint32_t batch = std::min(std::max(options.batch_tokens, kSmallestBatch), cache_tokens);

  ParamBlock params = Guard("model_load_failed", "llama_context_default_params",
                            [&] { return DefaultParams(api.llama_context_default_params); });
  const uint32_t micro_batch =
      std::min(batch, static_cast<uint32_t>(PeekInt(layout, params, "n_ubatch", 512)));
  Poke(layout, &params, "n_ctx", cache_tokens);
  Poke(layout, &params, "n_batch", batch);
  Poke(layout, &params, "n_ubatch", micro_batch);
  tail_state_ = model_->HasTailState();
  window_ = model_->Window();
  // A bool that may have moved without a trace is written only where nothing speaks for that.
  const bool pool = library.Doubt().empty() && layout.Find("kv_unified");
  // Another sequence costs nothing where all share the cells, but a whole state where they have
  // one.
  const bool spare = pool && !tail_state_ && api.llama_memory_seq_cp;
  const uint32_t sequences = options.sequences + (spare ? 1 : 0);
  if (spare) spare_ = static_cast<int32_t>(options.sequences);
  unified_ = pool && sequences > 1 && Poke(layout, &params, "kv_unified", true);
  Poke(layout, &params, "n_seq_max", sequences);
  WriteComputeParams(layout, options, &params);
  const ErrorLines errors;
  const LongCall long_call(Lane::kOther);
  context_ = Guard("model_load_failed", "llama_init_from_model",
                   [&] { return api.llama_init_from_model(model_->handle(), params); });
  if (!context_) {
    throw Error("model_load_failed", "libllama could not make a context of " +
                                         std::to_string(options.context_tokens) + " tokens" +
                                         errors.Said());
  }
  ContextOptions written = options;
  written.context_tokens = cache_tokens;
  written.sequences = sequences;
  written.batch_tokens = batch;
  try {
    SetThreads(library, options, context_);
    Verify(written, micro_batch);
    sequences_ = options.sequences;
    long_step_threads_ = options.long_step_threads.value_or(threads_);
    tokens_per_sequence_ =
        std::min(tokens_per_sequence_, options.context_tokens / options.sequences);
  } catch (...) {
    Free();
    throw;
  }
}

// Stage 7 of the identification: what was written at our offsets must come back by the getters.
void Context::Verify(const ContextOptions& written, uint32_t micro_batch) {
  const Api& api = model_->library()->api();
  Guard("library_incompatible", "context", [&] {
    context_tokens_ = api.llama_n_ctx(context_);
    sequences_ = api.llama_n_seq_max(context_);
    batch_tokens_ = api.llama_n_batch(context_);
    threads_ = api.llama_n_threads(context_);
    memory_ = api.llama_get_memory(context_);
    const uint32_t rounding = kContextRounding * written.sequences;
    const bool same =
        context_tokens_ >= written.context_tokens &&
        context_tokens_ - written.context_tokens < rounding && sequences_ == written.sequences &&
        batch_tokens_ == written.batch_tokens && api.llama_n_ubatch(context_) == micro_batch &&
        (!written.threads ||
         (threads_ == *written.threads && api.llama_n_threads_batch(context_) == *written.threads));
    // A library whose sequences share the cells gives each of them all.
    const bool shares =
        !unified_ || !api.llama_n_ctx_seq || api.llama_n_ctx_seq(context_) == context_tokens_;
    if (!shares) {
      throw Error("library_incompatible", "the context does not share its cells: n_ctx_seq " +
                                              std::to_string(api.llama_n_ctx_seq(context_)));
    }
    if (!same) {
      throw Error("library_incompatible", "the context does not have the values written: n_ctx " +
                                              std::to_string(context_tokens_) + ", n_seq_max " +
                                              std::to_string(sequences_) + ", n_batch " +
                                              std::to_string(batch_tokens_) + ", n_ubatch " +
                                              std::to_string(api.llama_n_ubatch(context_)) +
                                              ", n_threads " + std::to_string(threads_));
    }
    if (!memory_) throw Error("model_not_generative", "this model has no memory to generate with");
    tokens_per_sequence_ =
        unified_ ? written.context_tokens : written.context_tokens / written.sequences;
    if (api.llama_n_ctx_seq) {
      tokens_per_sequence_ = std::min(tokens_per_sequence_, api.llama_n_ctx_seq(context_));
    }
  });
}

Context::~Context() { Free(); }

void Context::Free() {
  try {
    Guard("internal_error", "llama_free", [&] { model_->library()->api().llama_free(context_); });
  } catch (...) {
    // Nothing to do about a failed free.
  }
}

DecodeStatus Context::Decode(Batch* batch, std::string* reason, bool all_cores) {
  int32_t code;
  std::optional<LongCall> first;
  if (!decoded_) first.emplace(Lane::kSteps);
  decoded_ = true;
  try {
    code = Guard("decode_failed", "llama_decode", [&] {
      const Api& api = model_->library()->api();
      if (all_cores != all_cores_) {
        const int32_t threads = all_cores ? long_step_threads_ : threads_;
        api.llama_set_n_threads(context_, threads, threads);
        all_cores_ = all_cores;
      }
      const int32_t answer = api.llama_decode(context_, batch->View());
      // Devices may still be computing: who measures a step must not measure how fast it is asked.
      if (answer == 0 && api.llama_synchronize) api.llama_synchronize(context_);
      return answer;
    });
  } catch (const Error& e) {
    if (Crashed()) throw;
    *reason = e.what();
    const bool memory = !std::strcmp(e.code(), "engine_out_of_memory");
    return memory ? DecodeStatus::kNoMemory : DecodeStatus::kFatal;
  }
  Advance(Lane::kSteps);
  if (code == 0) return DecodeStatus::kOk;
  *reason = "llama_decode returned " + std::to_string(code);
  if (code == 1) return DecodeStatus::kNoRoom;
  if (code == 2) return DecodeStatus::kAborted;
  if (code == -2) return DecodeStatus::kNoMemory;
  return code == -1 ? DecodeStatus::kInvalid : DecodeStatus::kFatal;
}

float* Context::Logits(int32_t index) {
  float* logits = Guard("decode_failed", "llama_get_logits_ith", [&] {
    return model_->library()->api().llama_get_logits_ith(context_, index);
  });
  if (!logits) throw Error("decode_failed", "no logits for a batch index");
  return logits;
}

bool Context::Trim(int32_t sequence, int32_t from) {
  return Guard("decode_failed", "llama_memory_seq_rm", [&] {
    if (!model_->library()->api().llama_memory_seq_rm(memory_, sequence, from, -1)) return false;
    return from <= 0 || Holds(sequence, from);
  });
}

bool Context::TakeBack(int32_t sequence, int32_t from) {
  return Guard("decode_failed", "llama_memory_seq_rm", [&] {
    const Api& api = model_->library()->api();
    if (!api.llama_memory_seq_rm(memory_, sequence, from, -1)) return false;
    return !api.llama_memory_seq_pos_max ||
           api.llama_memory_seq_pos_max(memory_, sequence) == from - 1;
  });
}

void Context::Forget(int32_t sequence) { Trim(sequence, -1); }

// Whether a sequence can be gone on with behind so many tokens, as far as the library tells: a
// window that has slid on has lost the first ones, a state stands where its last token was.
bool Context::Holds(int32_t sequence, int32_t tokens) const {
  const Api& api = model_->library()->api();
  if (!api.llama_memory_seq_pos_max) return true;
  if (api.llama_memory_seq_pos_max(memory_, sequence) != tokens - 1) return false;
  const int32_t first = First(sequence);
  return first == 0 || (tail_state_ && first == tokens - 1) || WindowFrom(first, tokens);
}

// Whether what is held from `first` on is all that layers with a window see behind so many tokens.
bool Context::WindowFrom(int32_t first, int32_t tokens) const {
  return window_ > 0 && first >= 0 && first <= tokens - window_ + 1;
}

// Where what is held of a sequence begins; -1 = nothing is.
int32_t Context::First(int32_t sequence) const {
  const Api& api = model_->library()->api();
  return api.llama_memory_seq_pos_min ? api.llama_memory_seq_pos_min(memory_, sequence) : 0;
}

bool Context::Copy(int32_t from, int32_t to, int32_t begin, int32_t end) {
  return Guard("decode_failed", "llama_memory_seq_cp", [&] {
    model_->library()->api().llama_memory_seq_cp(memory_, from, to, begin, end);
    return true;
  });
}

bool Context::Lends(int32_t sequence, int32_t begin, int32_t end) const {
  return Guard("decode_failed", "llama_memory_seq_pos_min", [&] {
    if (tail_state_) return begin == 0 && Holds(sequence, end);
    // Behind what is there already, a hole would stay, and nothing would tell of it later.
    const int32_t first = First(sequence);
    return first >= 0 && (first <= begin || (begin == 0 && WindowFrom(first, end)));
  });
}

bool Context::Share(int32_t from, int32_t to, int32_t begin, int32_t end) {
  return Copy(from, to, begin, end) &&
         Guard("decode_failed", "llama_memory_seq_pos_max", [&] { return Holds(to, end); });
}

std::optional<Bytes> Context::ReadState(int32_t sequence, int32_t begin, int32_t end, size_t most) {
  if (MostOfState(sequence) == 0) {
    // Also where a window has slid on since the part before this one.
    if (begin > 0) return std::nullopt;
    return Read(sequence, most, 0);
  }
  Forget(spare_);
  Copy(sequence, spare_, begin, end);
  std::optional<Bytes> bytes = Read(spare_, most, 0);
  Forget(spare_);
  return bytes;
}

size_t Context::StateSize(int32_t sequence) const {
  const Api& api = model_->library()->api();
  if (!api.llama_state_seq_get_size) return 0;
  return Guard("decode_failed", "llama_state_seq_get_size",
               [&] { return api.llama_state_seq_get_size(context_, sequence); });
}

size_t Context::MostOfState(int32_t sequence) const {
  if (spare_ < 0) return 0;
  const int32_t first =
      Guard("decode_failed", "llama_memory_seq_pos_min", [&] { return First(sequence); });
  if (first > 0) return 0;
  // The library leaves out what the last token of a part cannot see.
  return window_ > 0 ? static_cast<size_t>(window_) : std::numeric_limits<size_t>::max();
}

bool Context::WriteState(int32_t sequence, int32_t begin, int32_t end, const uint8_t* data,
                         size_t size) {
  if (size == 0 || end <= begin) return false;
  const auto holds = [&] {
    return Guard("decode_failed", "llama_memory_seq_pos_max", [&] { return Holds(sequence, end); });
  };
  // The library empties the sequence that it writes.
  if (begin == 0) return Write(sequence, data, size, 0) && holds();
  if (spare_ < 0) return false;
  Forget(spare_);
  const bool written =
      Write(spare_, data, size, 0) && Copy(spare_, sequence, begin, end) && holds();
  Forget(spare_);
  return written;
}

std::optional<Bytes> Context::ReadCheckpoint(int32_t sequence, size_t most) {
  return Read(sequence, most, kPartialOnly);
}

bool Context::WriteCheckpoint(int32_t sequence, const Bytes& checkpoint, int32_t tokens) {
  return Write(sequence, checkpoint.data.get(), checkpoint.size, kPartialOnly) &&
         Trim(sequence, tokens);
}

std::optional<Bytes> Context::Read(int32_t sequence, size_t most, uint32_t flags) {
  const Api& api = model_->library()->api();
  const bool has_flags = api.llama_state_seq_get_size_ext && api.llama_state_seq_get_data_ext;
  if (flags ? !has_flags : !api.llama_state_seq_get_size || !api.llama_state_seq_get_data) {
    return std::nullopt;
  }
  const LongCall long_call(Lane::kSteps);
  return Guard("decode_failed", "llama_state_seq_get_data", [&]() -> std::optional<Bytes> {
    Bytes bytes;
    bytes.size = flags ? api.llama_state_seq_get_size_ext(context_, sequence, flags)
                       : api.llama_state_seq_get_size(context_, sequence);
    if (bytes.size == 0 || bytes.size > most) return std::nullopt;
    bytes.data.reset(new uint8_t[bytes.size]);  // make_unique would zero it
    const size_t written =
        flags ? api.llama_state_seq_get_data_ext(context_, bytes.data.get(), bytes.size, sequence,
                                                 flags)
              : api.llama_state_seq_get_data(context_, bytes.data.get(), bytes.size, sequence);
    if (written == 0 || written > bytes.size) return std::nullopt;
    bytes.size = written;
    return bytes;
  });
}

bool Context::Write(int32_t sequence, const uint8_t* data, size_t size, uint32_t flags) {
  const Api& api = model_->library()->api();
  if (flags ? !api.llama_state_seq_set_data_ext : !api.llama_state_seq_set_data) return false;
  const LongCall long_call(Lane::kSteps);
  return Guard("decode_failed", "llama_state_seq_set_data", [&] {
    return size == (flags ? api.llama_state_seq_set_data_ext(context_, data, size, sequence, flags)
                          : api.llama_state_seq_set_data(context_, data, size, sequence));
  });
}

void Context::SetAbortCallback(AbortCallback callback, void* user_data) {
  Guard("internal_error", "llama_set_abort_callback",
        [&] { model_->library()->api().llama_set_abort_callback(context_, callback, user_data); });
}

}  // namespace hoshikage
