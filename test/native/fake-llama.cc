// A fake libllama with the C interface of v0.5.0: no model, no arithmetic, but the library's
// manners. It keeps a KV cache per sequence and refuses what the real one refuses (gaps, overlaps,
// no room), so a caller that mixes up its slots fails here. A test steers and watches it through a
// file of 64-bit cells (HK_FAKE_CONTROL) that both map; test/native/fake.ts names the same cells.
// Any thread, as libllama: log and progress callbacks come on the caller's thread.
#include <fcntl.h>
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <limits>
#include <memory>
#include <new>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

namespace {

enum Cell {
  kDecodeCalls,     // out
  kFailAt,          // the call, counted from 1, from which on decode fails; 0 = none
  kFailCount,       // how many calls fail; 0 = 1
  kFailCode,        // what it returns; kThrow and kThrowInt throw
  kHoldDecode,      // 1: decode waits here, asking the abort callback
  kInDecode,        // out
  kTokenSleepUs,    // per token of a batch
  kLiveModels,      // out
  kLiveContexts,    // out
  kLiveSamplers,    // out
  kLoadFail,        // 1: null, kThrow: throws
  kHoldLoad,        // 1: loading waits here, reporting progress
  kInLoad,          // out
  kContextFail,     // 1: null, kThrow: throws
  kTrimFail,        // 1: only whole sequences can be removed (recurrent models), kThrow: throws
  kNoLogits,        // 1: llama_get_logits_ith gives null
  kLargestBatch,    // out: tokens of the largest batch
  kMostSequences,   // out: most sequences seen in one batch
  kViolations,      // out: what a caller must never do
  kLyingContext,    // 1: getters don't give what was written
  kNoProgress,      // 1: the progress callback is never called
  kAbortPolls,      // out
  kTokenizeThrow,   // 1: llama_tokenize throws
  kTokensDecoded,   // out
  kBackendsLoaded,  // out: calls of ggml_backend_load_all_from_path
  kGpuLayers,       // out: n_gpu_layers as it arrived
  kDeafDecode,      // 1: a held decode doesn't ask the abort callback
  kStateFail,       // 1: states cannot be written, 2: nor read, 3: one reads less, kThrow: throws
  kInState,         // out: states being written or read
  kPooling,         // 1 + the model's own pooling type; 0 = its file says nothing
  kEncoder,         // 1: models have no memory and see a text at once
  kEmbedCalls,      // out: decodes of contexts for embeddings
  kNotFinite,       // 1: embeddings hold a NaN
  kHoldEmbed,       // 1: an embedding waits here, asking the abort callback
  kInEmbed,         // out
  kTokenizeDeep,    // 1: llama_tokenize takes a frame of the stack for every byte
  kMostLogits,      // out: most tokens of one batch whose logits were asked for
  kContextPooling,  // 1 + the pooling type contexts come up with; 0 = the model's own
  kRecurrent,       // 1: a sequence is one state, that of its last token
  kCopies,          // out: calls of llama_memory_seq_cp
  kShareFail,       // 1: llama_memory_seq_cp does nothing
  kLargestState,    // out: bytes of the largest state written at once
  kCallSleepUs,     // per decode, whatever its tokens
  kRowSleepUs,      // per token but the first whose logits are asked for
  kDraftCalls,      // out: decodes of draft models
  kDraftFail,       // what those return, from the next one on
  kStateBytes,      // of one state, however many tokens it is of; 0 = as many as they take
  kCells
};
constexpr int64_t kThrow = 100;
constexpr int64_t kThrowInt = 101;
constexpr int64_t kAssert = 102;           // gives up as GGML_ASSERT does
constexpr int64_t kAssertElsewhere = 103;  // so does another thread
constexpr int64_t kBadAlloc = 104;

std::atomic<int64_t>* MapCells() {
  static std::atomic<int64_t> own[kCells];
  const char* path = std::getenv("HK_FAKE_CONTROL");
  if (!path) return own;
  const int file = open(path, O_RDWR);
  if (file < 0) return own;
  void* mapped = mmap(nullptr, kCells * 8, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
  close(file);
  return mapped == MAP_FAILED ? own : static_cast<std::atomic<int64_t>*>(mapped);
}

std::atomic<int64_t>& At(Cell cell) {
  static std::atomic<int64_t>* cells = MapCells();
  return cells[cell];
}

void Raise(Cell cell, int64_t value) {
  int64_t known = At(cell).load();
  while (known < value && !At(cell).compare_exchange_weak(known, value)) {
  }
}

void Nap() { std::this_thread::sleep_for(std::chrono::microseconds(500)); }

// The vocabulary: one token per byte, then the special ones.
constexpr int32_t kBos = 256;
constexpr int32_t kEos = 257;
constexpr int32_t kEot = 258;
constexpr int32_t kStart = 259;
constexpr int32_t kLong = 260;
constexpr int32_t kSun = 261;
constexpr int32_t kFirstWord = 262;
constexpr int32_t kFimPrefix = 274;
constexpr int32_t kSeparator = 277;
constexpr int32_t kVocabulary = 320;

struct Piece {
  std::string text;
  bool control = false;
};

const Piece& PieceOf(int32_t token) {
  static const std::vector<Piece>* pieces = [] {
    auto* list = new std::vector<Piece>(kVocabulary);
    for (int32_t i = 0; i < 256; i++) (*list)[i].text = std::string(1, static_cast<char>(i));
    (*list)[kBos] = {"<s>", true};
    (*list)[kEos] = {"</s>", true};
    (*list)[kEot] = {"<|im_end|>", true};
    (*list)[kStart] = {"<|im_start|>", true};
    (*list)[kLong] = {std::string(300, 'x'), false};
    (*list)[kSun] = {"\xE6\x97\xA5", false};
    // Pieces that a grammar has to deal with: several characters, parts of them, and marks.
    const Piece words[] = {{"{\"", false},
                           {"\":", false},
                           {"ab", false},
                           {"\xE6\x97\xA5\xE6\x9C\xAC", false},
                           {"\xE6\x97", false},
                           {"\xA5\xE6", false},
                           {"<think>", true},
                           {"</think>", true},
                           {"12", false},
                           {"", false},
                           {"true", false},
                           {"<call>", false},
                           {"<fim_prefix>", true},
                           {"<fim_suffix>", true},
                           {"<fim_middle>", true},
                           {"<sep>", true},
                           {std::string(310, '<'), true}};
    int32_t next = kFirstWord;
    for (const Piece& word : words) (*list)[next++] = word;
    for (; next < kVocabulary; next++) {
      (*list)[next].text = "<unused" + std::to_string(next) + ">";
    }
    return list;
  }();
  return pieces->at(static_cast<size_t>(token));  // throws for a bad id, as libllama does
}

// What follows a token: a..z then the end, digits for ever, and a few pieces with a purpose.
int32_t After(int32_t last) {
  if (last >= 'a' && last < 'z') return last + 1;
  if (last == 'z') return kEos;
  if (last >= '0' && last <= '9') return '0' + (last - '0' + 1) % 10;
  switch (last) {
    case 'L': return kLong;
    case 'S': return kSun;
    case 'B': return 0xE6;  // the same character in three tokens
    case 0xE6: return 0x97;
    case 0x97: return 0xA5;
    case 'T': return kEot;
    case 'C': return kStart;
    case kLong:
    case kSun:
    case 0xA5:
    case kStart: return kEos;
    default: return 'a';
  }
}

void (*g_abort)(const char*) = nullptr;

// ggml_abort: whatever the callback does, the process ends where it returns.
void GiveUp() {
  if (g_abort) g_abort("fake-llama.cc:1: GGML_ASSERT(n_tokens <= n_batch) failed");
  std::abort();
}

void GiveUpWhere(int64_t how) {
  if (how == kAssert) GiveUp();
  if (how == kAssertElsewhere) std::thread(GiveUp).join();
}

void (*g_log)(int, const char*, void*) = nullptr;
void* g_log_data = nullptr;

void Log(int level, const char* text) {
  if (g_log) g_log(level, text, g_log_data);
}

}  // namespace

#define EXPORT extern "C" __attribute__((visibility("default")))

struct llama_vocab {
  int32_t size = kVocabulary;
  int32_t other = -1;  // a token whose piece is another one
};
// By words in the name of its file: `draft`: takes no time, and has counters of its own; `wrong`:
// says what the others do not; `padded`, `smaller`, `foreign`: another vocabulary; `state`: keeps
// only one.
struct llama_model {
  explicit llama_model(const std::string& name)
      : draft(name.find("draft") != std::string::npos),
        wrong(name.find("wrong") != std::string::npos),
        state(name.find("state") != std::string::npos) {
    if (name.find("padded") != std::string::npos) vocab.size = kVocabulary - 8;
    if (name.find("smaller") != std::string::npos) vocab.size = kVocabulary - 200;
    if (name.find("foreign") != std::string::npos) vocab.other = 'q';
  }
  const bool draft, wrong, state;
  llama_vocab vocab;
  std::atomic<int> contexts{0};
};

// M10: 80 bytes.
struct llama_model_params {
  void* devices;
  void* tensor_buft_overrides;
  int32_t n_gpu_layers;
  int32_t split_mode;
  int32_t load_mode;
  int32_t lazy_mode;
  int32_t main_gpu;
  void* tensor_split;
  bool (*progress_callback)(float, void*);
  void* progress_callback_user_data;
  void* kv_overrides;
  bool vocab_only;
  bool check_tensors;
  bool use_extra_bufts;
  bool no_host;
  bool no_alloc;
  bool load_mtp;
};
static_assert(sizeof(llama_model_params) == 80, "M10");

// C11: 160 bytes.
struct llama_context_params {
  uint32_t n_ctx, n_batch, n_ubatch, n_seq_max, n_rs_seq, n_outputs_max, n_outputs_max_per_seq;
  int32_t n_threads, n_threads_batch;
  int32_t ctx_type, rope_scaling_type, pooling_type, attention_type, flash_attn_type;
  float rope_freq_base, rope_freq_scale;
  float yarn_ext_factor, yarn_attn_factor, yarn_beta_fast, yarn_beta_slow;
  uint32_t yarn_orig_ctx;
  float defrag_thold;
  void* cb_eval;
  void* cb_eval_user_data;
  int32_t type_k, type_v;
  bool (*abort_callback)(void*);
  void* abort_callback_data;
  bool embeddings, offload_kqv, no_perf, op_offload, swa_full, kv_unified;
  void* samplers;
  size_t n_samplers;
  void* ctx_other;
};
static_assert(sizeof(llama_context_params) == 160, "C11");

struct llama_batch {
  int32_t n_tokens;
  int32_t* token;
  float* embd;
  int32_t* pos;
  int32_t* n_seq_id;
  int32_t** seq_id;
  int8_t* logits;
};
static_assert(sizeof(llama_batch) == 56, "since b3943");

// A token of a sequence: a cell, which several sequences may have in common.
using Entry = std::shared_ptr<const int32_t>;

struct Sequence {
  size_t first = 0;  // position of the first one
  std::vector<Entry> entries;
  size_t End() const { return first + entries.size(); }
};

struct llama_context {
  llama_model* model;
  llama_context_params params;
  // Freed after the sequences, whose cells count themselves here.
  std::shared_ptr<std::atomic<int64_t>> cells = std::make_shared<std::atomic<int64_t>>(0);
  std::vector<Sequence> sequences;
  std::vector<int32_t> asked;              // per batch index: the sequence's last token, or -1
  std::vector<std::vector<float>> logits;  // by batch index
  std::vector<int32_t> batch;              // contexts for embeddings: the tokens of the last batch
  std::vector<float> embedding;
  std::atomic<std::thread::id> owner{};
  std::atomic<bool> busy{false};

  size_t PerSequence() const {
    return params.kv_unified ? params.n_ctx : params.n_ctx / params.n_seq_max;
  }
  Entry NewCell(int32_t token) {
    (*cells)++;
    return Entry(new int32_t(token), [counter = cells](const int32_t* cell) {
      (*counter)--;
      delete cell;
    });
  }
  bool Aborted() {
    if (!params.abort_callback) return false;
    At(kAbortPolls)++;
    return params.abort_callback(params.abort_callback_data);
  }
  // Only the thread that decoded first may touch the context until it is freed.
  void CheckThread() {
    std::thread::id nobody{};
    const std::thread::id self = std::this_thread::get_id();
    if (!owner.compare_exchange_strong(nobody, self) && nobody != self) At(kViolations)++;
  }
};

// A real library's static destructors free what a decode works on: none may be running by then.
struct AtExit {
  ~AtExit() {
    if (At(kInDecode) != 0) At(kViolations)++;
  }
} at_exit;

EXPORT llama_model_params llama_model_default_params() {
  llama_model_params p;
  p.devices = p.tensor_buft_overrides = p.tensor_split = p.kv_overrides = nullptr;
  p.n_gpu_layers = -1;
  p.split_mode = 1;
  p.load_mode = -1;
  p.lazy_mode = 1;
  p.main_gpu = 0;
  p.progress_callback = nullptr;
  p.progress_callback_user_data = nullptr;
  p.vocab_only = p.check_tensors = p.no_host = p.no_alloc = p.load_mtp = false;
  p.use_extra_bufts = true;
  return p;
}

EXPORT llama_context_params llama_context_default_params() {
  llama_context_params p;
  p.n_ctx = 512, p.n_batch = 2048, p.n_ubatch = 512, p.n_seq_max = 1;
  p.n_rs_seq = p.n_outputs_max = 0;
  p.n_outputs_max_per_seq = 1;
  p.n_threads = p.n_threads_batch = 4;
  p.ctx_type = 0;
  p.rope_scaling_type = p.pooling_type = p.attention_type = p.flash_attn_type = -1;
  p.rope_freq_base = p.rope_freq_scale = 0.0f;
  p.yarn_ext_factor = p.yarn_attn_factor = p.yarn_beta_fast = p.yarn_beta_slow = -1.0f;
  p.yarn_orig_ctx = 0;
  p.defrag_thold = -1.0f;
  p.cb_eval = p.cb_eval_user_data = p.abort_callback_data = nullptr;
  p.type_k = p.type_v = 1;
  p.abort_callback = nullptr;
  p.embeddings = p.kv_unified = false;
  p.offload_kqv = p.no_perf = p.op_offload = p.swa_full = true;
  p.samplers = p.ctx_other = nullptr;
  p.n_samplers = 0;
  return p;
}

EXPORT llama_batch llama_batch_init(int32_t n_tokens, int32_t, int32_t n_seq_max) {
  const size_t count = static_cast<size_t>(n_tokens);
  llama_batch batch;
  batch.n_tokens = 0;
  batch.token = static_cast<int32_t*>(std::malloc(count * 4));
  batch.embd = nullptr;
  batch.pos = static_cast<int32_t*>(std::malloc(count * 4));
  batch.n_seq_id = static_cast<int32_t*>(std::malloc(count * 4));
  batch.seq_id = static_cast<int32_t**>(std::calloc(count + 1, sizeof(int32_t*)));
  for (size_t i = 0; i < count; i++) {
    batch.seq_id[i] = static_cast<int32_t*>(std::malloc(4 * static_cast<size_t>(n_seq_max)));
  }
  batch.logits = static_cast<int8_t*>(std::malloc(count));
  return batch;
}

EXPORT void llama_batch_free(llama_batch batch) {
  std::free(batch.token);
  std::free(batch.pos);
  std::free(batch.n_seq_id);
  for (size_t i = 0; batch.seq_id && batch.seq_id[i]; i++) std::free(batch.seq_id[i]);
  std::free(batch.seq_id);
  std::free(batch.logits);
}

EXPORT void llama_backend_init() {}
EXPORT void llama_log_set(void (*callback)(int, const char*, void*), void* data) {
  g_log = callback;
  g_log_data = data;
}
EXPORT const char* llama_version() { return "0.5.0-dev"; }

EXPORT llama_model* llama_model_load_from_file(const char* path, llama_model_params params) {
  At(kGpuLayers) = params.n_gpu_layers;
  Log(2, "fake: loading ");
  Log(5, path);
  Log(5, "\n");
  GiveUpWhere(At(kLoadFail));
  if (At(kLoadFail) == kBadAlloc) throw std::bad_alloc();
  if (At(kLoadFail) == kThrow) throw std::runtime_error("the fake refuses to load");
  if (At(kLoadFail) != 0 || access(path, R_OK) != 0) {
    Log(4, "fake: cannot load the file\n");
    return nullptr;
  }
  At(kInLoad) = 1;
  bool go_on = true;
  for (int i = 0; i <= 10 && go_on; i++) {
    do {
      if (At(kNoProgress) == 0 && params.progress_callback) {
        go_on = params.progress_callback(static_cast<float>(i) / 10.0f,
                                         params.progress_callback_user_data);
      }
      if (At(kHoldLoad) != 0) Nap();
    } while (go_on && At(kHoldLoad) != 0);
  }
  At(kInLoad) = 0;
  if (!go_on) return nullptr;
  At(kLiveModels)++;
  return new llama_model(std::string(path).substr(std::string(path).rfind('/') + 1));
}

EXPORT void llama_model_free(llama_model* model) {
  if (model->contexts > 0) At(kViolations)++;
  At(kLiveModels)--;
  delete model;
}

EXPORT const llama_vocab* llama_model_get_vocab(const llama_model* m) { return &m->vocab; }
EXPORT int32_t llama_model_n_ctx_train(const llama_model*) { return 8192; }
EXPORT int32_t llama_model_n_embd(const llama_model*) { return 64; }
EXPORT int32_t llama_model_n_layer(const llama_model*) { return 2; }
EXPORT uint64_t llama_model_n_params(const llama_model*) { return 12345; }
EXPORT uint64_t llama_model_size(const llama_model*) { return 67890; }
EXPORT int32_t llama_model_desc(const llama_model*, char* text, size_t size) {
  return std::snprintf(text, size, "fake 12K F16");
}
EXPORT const char* llama_model_chat_template(const llama_model*, const char* name) {
  if (!name) return "{{ messages }}";
  if (std::string(name) == "tool_use") return "{{ tools }}{{ messages }}";
  return std::string(name) == "rerank" ? "{query} {document}" : nullptr;
}
EXPORT bool llama_model_has_encoder(const llama_model*) { return false; }
EXPORT bool llama_model_is_recurrent(const llama_model* m) {
  return m->state || At(kRecurrent) != 0;
}
EXPORT bool llama_model_is_hybrid(const llama_model*) { return false; }
EXPORT bool llama_model_has_decoder(const llama_model*) { return true; }
EXPORT int32_t llama_model_n_embd_out(const llama_model*) { return 64; }
EXPORT uint32_t llama_model_n_cls_out(const llama_model*) { return 2; }
EXPORT int32_t llama_model_meta_val_str(const llama_model*, const char* key, char* text,
                                        size_t size) {
  const std::string name(key);
  const int64_t pooling = At(kPooling);
  if (name == "general.architecture") return std::snprintf(text, size, "fake");
  if (name == "fake.attention.causal" && At(kEncoder) != 0) {
    return std::snprintf(text, size, "false");
  }
  if (name == "fake.pooling_type" && pooling > 0) {
    return std::snprintf(text, size, "%d", static_cast<int>(pooling) - 1);
  }
  return -1;
}
EXPORT bool llama_model_is_diffusion(const llama_model*) { return false; }

EXPORT int32_t llama_vocab_n_tokens(const llama_vocab* v) { return v->size; }
EXPORT const char* llama_vocab_get_text(const llama_vocab*, int32_t token) {
  return PieceOf(token).text.c_str();
}
EXPORT int32_t llama_vocab_get_attr(const llama_vocab*, int32_t token) {
  return PieceOf(token).control ? 1 << 3 : 1 << 2;
}
EXPORT bool llama_vocab_is_eog(const llama_vocab*, int32_t token) {
  return token == kEos || token == kEot;
}
EXPORT bool llama_vocab_is_control(const llama_vocab*, int32_t token) {
  return PieceOf(token).control;
}
EXPORT int32_t llama_vocab_bos(const llama_vocab*) { return kBos; }
EXPORT int32_t llama_vocab_eos(const llama_vocab*) { return kEos; }
EXPORT int32_t llama_vocab_eot(const llama_vocab*) { return kEot; }
EXPORT int32_t llama_vocab_sep(const llama_vocab*) { return kSeparator; }
EXPORT int32_t llama_vocab_fim_pre(const llama_vocab*) { return kFimPrefix; }
EXPORT int32_t llama_vocab_fim_suf(const llama_vocab*) { return kFimPrefix + 1; }
EXPORT int32_t llama_vocab_fim_mid(const llama_vocab*) { return kFimPrefix + 2; }
EXPORT int32_t llama_vocab_fim_rep(const llama_vocab*) { return -1; }
EXPORT int32_t llama_vocab_fim_sep(const llama_vocab*) { return -1; }
EXPORT bool llama_vocab_get_add_bos(const llama_vocab*) { return true; }

// As std::regex does on a run of letters.
__attribute__((noinline)) int32_t Descend(size_t depth) {
  volatile char frame[200];
  frame[0] = static_cast<char>(depth);
  return depth == 0 ? frame[0] : Descend(depth - 1) + frame[0];
}

EXPORT int32_t llama_tokenize(const llama_vocab*, const char* text, int32_t length, int32_t* out,
                              int32_t room, bool add_special, bool parse_special) {
  if (At(kTokenizeThrow) != 0) throw std::runtime_error("the fake refuses to tokenise");
  if (At(kTokenizeDeep) != 0) Descend(static_cast<size_t>(length));
  std::vector<int32_t> tokens;
  if (add_special) tokens.push_back(kBos);
  const std::string all(text, static_cast<size_t>(length));
  for (size_t at = 0; at < all.size();) {
    int32_t found = static_cast<unsigned char>(all[at]);
    size_t size = 1;
    for (int32_t token = kBos; parse_special && token <= kStart; token++) {
      const std::string& special = PieceOf(token).text;
      if (all.compare(at, special.size(), special) != 0) continue;
      found = token;
      size = special.size();
    }
    tokens.push_back(found);
    at += size;
  }
  const auto count = static_cast<int32_t>(tokens.size());
  if (count > room) return -count;
  std::memcpy(out, tokens.data(), tokens.size() * 4);
  return count;
}

EXPORT int32_t llama_token_to_piece(const llama_vocab* v, int32_t token, char* out, int32_t room,
                                    int32_t, bool special) {
  const Piece& piece = PieceOf(token == v->other ? token + 1 : token);
  if (piece.control && !special) return 0;
  const auto size = static_cast<int32_t>(piece.text.size());
  if (size > room) return -size;
  std::memcpy(out, piece.text.data(), piece.text.size());
  return size;
}

EXPORT llama_context* llama_init_from_model(llama_model* model, llama_context_params params) {
  GiveUpWhere(At(kContextFail));
  if (At(kContextFail) == kBadAlloc) throw std::bad_alloc();
  if (At(kContextFail) == kThrow) throw std::runtime_error("the fake has no memory");
  if (At(kContextFail) != 0) {
    Log(4, "llama_init_from_model: failed to initialize the context: no cache\n");
    return nullptr;
  }
  auto* context = new llama_context;
  context->model = model;
  context->params = params;
  context->params.abort_callback = nullptr;
  context->sequences.resize(params.n_seq_max);
  model->contexts++;
  At(kLiveContexts)++;
  return context;
}

EXPORT void llama_free(llama_context* context) {
  if (context->busy) At(kViolations)++;
  context->model->contexts--;
  At(kLiveContexts)--;
  delete context;
}

EXPORT uint32_t llama_n_ctx(const llama_context* c) {
  return At(kLyingContext) != 0 ? 512 : c->params.n_ctx;
}
EXPORT uint32_t llama_n_ctx_seq(const llama_context* c) {
  return static_cast<uint32_t>(c->PerSequence());
}
EXPORT uint32_t llama_n_batch(const llama_context* c) { return c->params.n_batch; }
EXPORT uint32_t llama_n_ubatch(const llama_context* c) { return c->params.n_ubatch; }
EXPORT uint32_t llama_n_seq_max(const llama_context* c) { return c->params.n_seq_max; }
EXPORT void llama_set_n_threads(llama_context* c, int32_t threads, int32_t threads_batch) {
  c->params.n_threads = threads;
  c->params.n_threads_batch = threads_batch;
}
EXPORT int32_t llama_n_threads(llama_context* c) { return c->params.n_threads; }
EXPORT int32_t llama_n_threads_batch(llama_context* c) { return c->params.n_threads_batch; }
EXPORT void* llama_get_memory(const llama_context* c) {
  return At(kEncoder) != 0 ? nullptr : const_cast<llama_context*>(c);
}
EXPORT int llama_pooling_type(const llama_context* c) {
  if (At(kContextPooling) > 0) return static_cast<int>(At(kContextPooling)) - 1;
  const int own = At(kPooling) > 0 ? static_cast<int>(At(kPooling)) - 1 : 0;
  return c->params.pooling_type < 0 ? own : c->params.pooling_type;
}
EXPORT void llama_set_embeddings(llama_context* c, bool on) { c->params.embeddings = on; }
EXPORT void llama_set_abort_callback(llama_context* c, bool (*callback)(void*), void* data) {
  c->params.abort_callback = callback;
  c->params.abort_callback_data = data;
}

EXPORT void llama_memory_clear(void* memory, bool) {
  auto* context = static_cast<llama_context*>(memory);
  context->CheckThread();
  for (auto& sequence : context->sequences) sequence = {};
}

EXPORT bool llama_memory_seq_rm(void* memory, int32_t id, int32_t from, int32_t to) {
  auto* context = static_cast<llama_context*>(memory);
  context->CheckThread();
  if (to >= 0) At(kViolations)++;  // a hole in the middle: nobody here asks for one
  if (id < 0 || static_cast<size_t>(id) >= context->sequences.size()) return false;
  auto& sequence = context->sequences[static_cast<size_t>(id)];
  const size_t keep = from < 0 ? 0 : static_cast<size_t>(from);
  GiveUpWhere(At(kTrimFail));
  if (At(kTrimFail) == kThrow) throw std::runtime_error("the fake throws from seq_rm");
  if (keep > 0 && At(kTrimFail) != 0) return false;
  if (keep > 0 && At(kRecurrent) != 0) return keep >= sequence.End();
  if (keep <= sequence.first) {
    sequence = {};
  } else if (keep < sequence.End()) {
    sequence.entries.resize(keep - sequence.first);
  }
  return true;
}

EXPORT void llama_memory_seq_cp(void* memory, int32_t from, int32_t to, int32_t begin,
                                int32_t end) {
  auto* context = static_cast<llama_context*>(memory);
  context->CheckThread();
  if (context->busy) At(kViolations)++;
  At(kCopies)++;
  if (At(kShareFail) != 0) return;
  const Sequence& source = context->sequences.at(static_cast<size_t>(from));
  Sequence& target = context->sequences.at(static_cast<size_t>(to));
  if (At(kRecurrent) != 0) {
    target = source;  // whatever part was asked for
    return;
  }
  // Without a common pool only whole sequences can be copied; a gap or an overlap is a mistake.
  if (!context->params.kv_unified || from == to || begin < 0 || end <= begin) At(kViolations)++;
  const size_t first = std::max(static_cast<size_t>(begin), source.first);
  const size_t last = std::min(static_cast<size_t>(end), source.End());
  if (first >= last) return;
  if (target.entries.empty()) target.first = first;
  if (target.End() != first) At(kViolations)++;
  for (size_t at = first; at < last; at++) {
    target.entries.push_back(source.entries[at - source.first]);
  }
}

namespace {

// The checks that libllama makes before it computes: 0, or what decode returns.
int32_t CheckBatch(llama_context* context, const llama_batch& batch) {
  if (batch.n_tokens <= 0 || static_cast<uint32_t>(batch.n_tokens) > context->params.n_batch) {
    At(kViolations)++;
    return -1;
  }
  std::vector<size_t> lengths;
  for (const auto& sequence : context->sequences) lengths.push_back(sequence.End());
  std::vector<bool> seen(lengths.size());
  for (int32_t i = 0; i < batch.n_tokens; i++) {
    const int32_t id = batch.seq_id[i][0];
    const bool bad = batch.n_seq_id[i] != 1 || id < 0 ||
                     static_cast<size_t>(id) >= lengths.size() || batch.token[i] < 0 ||
                     batch.token[i] >= context->model->vocab.size;
    if (bad || static_cast<size_t>(batch.pos[i]) != lengths[static_cast<size_t>(id)]) {
      At(kViolations)++;
      return -1;
    }
    seen[static_cast<size_t>(id)] = true;
    if (++lengths[static_cast<size_t>(id)] > context->PerSequence()) return 1;
  }
  if (context->params.kv_unified && *context->cells + batch.n_tokens > context->params.n_ctx) {
    return 1;
  }
  int64_t count = 0;
  for (const bool one : seen) count += one ? 1 : 0;
  if (context->model->draft) return 0;
  Raise(kMostSequences, count);
  Raise(kLargestBatch, batch.n_tokens);
  if (batch.logits) Raise(kMostLogits, std::count(batch.logits, batch.logits + batch.n_tokens, 1));
  return 0;
}

void Store(llama_context* context, const llama_batch& batch, int32_t count) {
  context->asked.assign(static_cast<size_t>(batch.n_tokens), -1);
  context->logits.resize(std::max(context->logits.size(), context->asked.size()));
  for (int32_t i = 0; i < count; i++) {
    Sequence& sequence = context->sequences[static_cast<size_t>(batch.seq_id[i][0])];
    sequence.entries.push_back(context->NewCell(batch.token[i]));
    if (batch.logits && batch.logits[i]) context->asked[static_cast<size_t>(i)] = batch.token[i];
  }
  if (!context->model->draft) At(kTokensDecoded) += count;
}

// A context for embeddings keeps what it was given last; its vectors are made of that.
int32_t Embed(llama_context* context, const llama_batch& batch) {
  At(kEmbedCalls)++;
  At(kInEmbed) = 1;
  bool aborted = false;
  while (At(kHoldEmbed) != 0 && !aborted) {
    aborted = context->Aborted();
    Nap();
  }
  At(kInEmbed) = 0;
  if (aborted) return 2;
  // What sees a text at once needs it in one micro batch: an assertion in libllama.
  if (At(kEncoder) != 0 && batch.n_tokens > static_cast<int32_t>(context->params.n_ubatch)) {
    At(kViolations)++;
    return -1;
  }
  if (At(kEncoder) != 0) context->sequences[0] = {};
  if (const int32_t refused = CheckBatch(context, batch)) return refused;
  Store(context, batch, batch.n_tokens);
  context->batch.assign(batch.token, batch.token + batch.n_tokens);
  return 0;
}

// True once aborted. Waits while held, then as long as the tokens take.
bool Compute(llama_context* context, const llama_batch& batch) {
  while (At(kHoldDecode) != 0) {
    if (At(kDeafDecode) == 0 && context->Aborted()) return true;
    Nap();
  }
  if (context->model->draft) return context->Aborted();
  const int64_t rows = std::count(batch.logits, batch.logits + batch.n_tokens, 1);
  const int64_t total = At(kTokenSleepUs) * batch.n_tokens + At(kCallSleepUs) +
                        At(kRowSleepUs) * std::max<int64_t>(rows - 1, 0);
  const auto end = std::chrono::steady_clock::now() + std::chrono::microseconds(total);
  while (total > 0 && std::chrono::steady_clock::now() < end) {
    if (context->Aborted()) return true;
    Nap();
  }
  return false;
}

int32_t Decode(llama_context* context, const llama_batch& batch) {
  const bool draft = context->model->draft;
  const int64_t call = ++At(draft ? kDraftCalls : kDecodeCalls);
  if (const int32_t refused = CheckBatch(context, batch)) return refused;
  if (draft && At(kDraftFail) != 0) {
    Store(context, batch, batch.n_tokens / 2);
    return static_cast<int32_t>(At(kDraftFail));
  }
  const int64_t fail_at = At(kFailAt);
  const int64_t fails = At(kFailCount) > 0 ? At(kFailCount).load() : 1;
  const bool failing = !draft && fail_at > 0 && call >= fail_at && call < fail_at + fails;
  const int64_t code = At(kFailCode);
  if (failing) GiveUpWhere(code);
  if (failing && (code == 1 || code == -1)) return static_cast<int32_t>(code);
  // What was computed before an abort or a failure stays in the cache.
  if (failing || Compute(context, batch)) {
    Store(context, batch, batch.n_tokens / 2);
    if (failing && code == kThrow) throw std::runtime_error("the fake throws from decode");
    if (failing && code == kBadAlloc) throw std::bad_alloc();
    if (failing && code == kThrowInt) throw 42;
    return failing ? static_cast<int32_t>(code) : 2;
  }
  Store(context, batch, batch.n_tokens);
  return 0;
}

}  // namespace

EXPORT int32_t llama_decode(llama_context* context, llama_batch batch) {
  context->CheckThread();
  if (context->busy.exchange(true)) At(kViolations)++;
  At(kInDecode) = 1;
  struct Leave {
    llama_context* context;
    ~Leave() {
      At(kInDecode) = 0;
      context->busy = false;
    }
  } leave{context};
  return context->params.embeddings ? Embed(context, batch) : Decode(context, batch);
}

// The vector of token t: t, its square, and the number 1 at t % 62 + 2.
EXPORT float* llama_get_embeddings_ith(llama_context* context, int32_t index) {
  context->CheckThread();
  if (!context->params.embeddings || llama_pooling_type(context) != 0) return nullptr;
  if (index < 0 || static_cast<size_t>(index) >= context->batch.size()) return nullptr;
  const int32_t token = context->batch[static_cast<size_t>(index)];
  context->embedding.assign(64, 0.0f);
  context->embedding[0] = static_cast<float>(token);
  context->embedding[1] = static_cast<float>(token * token);
  context->embedding[static_cast<size_t>(token % 62 + 2)] = 1.0f;
  if (At(kNotFinite) != 0) context->embedding[5] = std::numeric_limits<float>::quiet_NaN();
  return context->embedding.data();
}

// The library's own pooling gives the first token's vector, negated, so that a test can tell.
EXPORT float* llama_get_embeddings_seq(llama_context* context, int32_t id) {
  context->CheckThread();
  if (id != 0 || context->batch.empty() || llama_pooling_type(context) == 0) return nullptr;
  context->embedding.assign(64, 0.0f);
  context->embedding[0] = -static_cast<float>(context->batch[0]);
  return context->embedding.data();
}

EXPORT int32_t llama_memory_seq_pos_max(void* memory, int32_t id) {
  auto* context = static_cast<llama_context*>(memory);
  context->CheckThread();
  return static_cast<int32_t>(context->sequences.at(static_cast<size_t>(id)).End()) - 1;
}

EXPORT int32_t llama_memory_seq_pos_min(void* memory, int32_t id) {
  auto* context = static_cast<llama_context*>(memory);
  context->CheckThread();
  const Sequence& sequence = context->sequences.at(static_cast<size_t>(id));
  if (sequence.entries.empty()) return -1;
  return static_cast<int32_t>(At(kRecurrent) != 0 ? sequence.End() - 1 : sequence.first);
}

// A state is a magic, the first position, the number of tokens and the tokens.
constexpr uint32_t kStateMagic = 0x45544154;
constexpr size_t kStateHead = 12;

// Behind the tokens there may be bytes of no meaning, and without content.
size_t StateSize(size_t tokens) {
  const size_t fixed = At(kRecurrent) != 0 ? static_cast<size_t>(At(kStateBytes)) : 0;
  return std::max(kStateHead + 4 * tokens, fixed);
}

EXPORT size_t llama_state_seq_get_size(llama_context* context, int32_t id) {
  context->CheckThread();
  if (At(kStateFail) == 1) return 0;
  return StateSize(context->sequences.at(static_cast<size_t>(id)).entries.size());
}

EXPORT size_t llama_state_seq_get_data(llama_context* context, uint8_t* out, size_t size,
                                       int32_t id) {
  context->CheckThread();
  if (context->busy) At(kViolations)++;
  if (At(kStateFail) == kThrow) throw std::runtime_error("the fake throws from get_data");
  At(kInState)++;
  const Sequence& sequence = context->sequences.at(static_cast<size_t>(id));
  const size_t count = sequence.entries.size();
  const uint32_t head[] = {kStateMagic, static_cast<uint32_t>(sequence.first),
                           static_cast<uint32_t>(count)};
  const size_t wanted = StateSize(count);
  if (size < wanted) return 0;
  Raise(kLargestState, static_cast<int64_t>(wanted));
  std::memcpy(out, head, kStateHead);
  for (size_t i = 0; i < count; i++) {
    std::memcpy(out + kStateHead + 4 * i, sequence.entries[i].get(), 4);
  }
  return wanted;
}

EXPORT size_t llama_state_seq_set_data(llama_context* context, const uint8_t* data, size_t size,
                                       int32_t id) {
  context->CheckThread();
  if (context->busy) At(kViolations)++;
  At(kInState)++;
  uint32_t head[3];
  if (size < kStateHead) return 0;
  std::memcpy(head, data, kStateHead);
  Sequence& sequence = context->sequences.at(static_cast<size_t>(id));
  if (head[0] != kStateMagic || size != StateSize(head[2])) return 0;
  sequence = {};
  sequence.first = head[1];
  const size_t count = At(kStateFail) == 3 ? head[2] / 2 : head[2];
  for (size_t i = 0; i < count; i++) {
    int32_t token;
    std::memcpy(&token, data + kStateHead + 4 * i, 4);
    sequence.entries.push_back(context->NewCell(token));
  }
  if (At(kStateFail) == kThrow) throw std::runtime_error("the fake throws from set_data");
  if (At(kStateFail) == 2) return 0;
  return size;
}

// Only a memory that keeps one state per sequence is asked for these.
EXPORT size_t llama_state_seq_get_size_ext(llama_context* context, int32_t id, uint32_t flags) {
  if (flags != 1 || At(kRecurrent) == 0) At(kViolations)++;
  return llama_state_seq_get_size(context, id);
}
EXPORT size_t llama_state_seq_get_data_ext(llama_context* context, uint8_t* out, size_t size,
                                           int32_t id, uint32_t flags) {
  if (flags != 1 || At(kRecurrent) == 0) At(kViolations)++;
  return llama_state_seq_get_data(context, out, size, id);
}
EXPORT size_t llama_state_seq_set_data_ext(llama_context* context, const uint8_t* data, size_t size,
                                           int32_t id, uint32_t flags) {
  if (flags != 1 || At(kRecurrent) == 0) At(kViolations)++;
  return llama_state_seq_set_data(context, data, size, id);
}

EXPORT float* llama_get_logits_ith(llama_context* context, int32_t index) {
  context->CheckThread();
  const bool known = index >= 0 && static_cast<size_t>(index) < context->asked.size();
  if (At(kNoLogits) != 0 || !known || context->asked[static_cast<size_t>(index)] < 0)
    return nullptr;
  const int32_t right = After(context->asked[static_cast<size_t>(index)]);
  const int32_t next = context->model->wrong ? 'X' : right;
  std::vector<float>& logits = context->logits[static_cast<size_t>(index)];
  logits.assign(kVocabulary, 0.0f);
  for (int32_t i = 0; i < kVocabulary; i++) {
    logits[static_cast<size_t>(i)] = -static_cast<float>((i * 7) % 31) / 10.0f;
  }
  logits[static_cast<size_t>(next)] = 20.0f;
  return logits.data();
}

struct llama_sampler {
  const char* name;
};

EXPORT void llama_sampler_free(llama_sampler* sampler) {
  At(kLiveSamplers)--;
  delete sampler;
}
EXPORT const char* llama_sampler_name(const llama_sampler* sampler) { return sampler->name; }
EXPORT llama_sampler* llama_sampler_init_penalties(int32_t vocabulary, int32_t last_n, float repeat,
                                                   float frequency, float presence) {
  if (vocabulary <= 0) At(kViolations)++;
  const bool on = last_n != 0 && (repeat != 1.0f || frequency != 0.0f || presence != 0.0f);
  At(kLiveSamplers)++;
  return new llama_sampler{on ? "penalties" : "?penalties"};
}
EXPORT llama_sampler* llama_sampler_init_dry(const llama_vocab*, float multiplier, float base,
                                             int32_t, int32_t last_n, const char**, size_t) {
  const bool on = multiplier != 0.0f && base >= 1.0f && last_n > 0;
  At(kLiveSamplers)++;
  return new llama_sampler{on ? "dry" : "?dry"};
}
EXPORT int llama_load_mode_from_str(const char* text) {
  const std::string name(text);
  if (name == "none") return 0;
  if (name == "mmap") return 1;
  if (name == "mlock") return 2;
  if (name == "mmap+mlock") return 3;
  throw std::invalid_argument("unknown load mode");
}

EXPORT const char* ggml_version() { return "0.25.1"; }
EXPORT const char* ggml_commit() { return "fake"; }
EXPORT void* ggml_set_abort_callback(void (*callback)(const char*)) {
  g_abort = callback;
  return nullptr;
}
EXPORT void ggml_backend_load_all_from_path(const char*) { At(kBackendsLoaded)++; }
EXPORT size_t ggml_backend_dev_count() { return 1; }
EXPORT void* ggml_backend_dev_get(size_t) {
  static int device;
  return &device;
}
EXPORT void* ggml_backend_dev_by_type(int type) {
  return type == 0 ? ggml_backend_dev_get(0) : nullptr;
}
EXPORT void* ggml_backend_dev_buffer_type(void* device) { return device; }
EXPORT const char* ggml_backend_dev_name(void*) { return "CPU"; }
EXPORT const char* ggml_backend_dev_description(void*) { return "a fake processor"; }
EXPORT int ggml_backend_dev_type(void*) { return 0; }
EXPORT void ggml_backend_dev_memory(void*, size_t* free_bytes, size_t* total_bytes) {
  *free_bytes = 1000;
  *total_bytes = 2000;
}

// What the real library also exports, by name only: the addon finds its age by that.
#ifdef HK_FAKE_STUBS
#include HK_FAKE_STUBS
#endif
