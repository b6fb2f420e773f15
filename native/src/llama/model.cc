#include "model.h"

#include <climits>

#include "error.h"
#include "model-params.h"
#include "progress.h"

namespace hoshikage {
namespace {

// One load, as its progress callback finds it: by its thread. Written as user data it would be one
// more pointer among fields whose defaults are all null, where a library with another order would
// take it for its own list of overrides.
struct ProgressState {
  static thread_local ProgressState* current;
  const std::function<bool(float)>* progress;
  bool fired = false;
  bool cancelled = false;

  explicit ProgressState(const std::function<bool(float)>* report) : progress(report) {
    current = this;
  }
  ~ProgressState() { current = nullptr; }
  ProgressState(const ProgressState&) = delete;
  ProgressState& operator=(const ProgressState&) = delete;
};
thread_local ProgressState* ProgressState::current = nullptr;

bool OnProgress(float fraction, void*) {
  ProgressState* state = ProgressState::current;
  if (!state) return true;  // counts as never called
  state->fired = true;
  Advance(Lane::kOther);
  try {
    if ((*state->progress)(fraction)) return true;
  } catch (...) {
    // Treated as a wish to stop; nothing may be thrown into C.
  }
  state->cancelled = true;
  return false;
}

}  // namespace

std::shared_ptr<Model> Model::Load(std::shared_ptr<Library> library, const ModelOptions& options,
                                   const std::function<bool(float)>& progress) {
  const Api& api = library->api();
  const bool minimal = library->abi().minimal;
  ModelParams params(*library, options);
  ProgressState state(&progress);
  // Nobody knows where an unknown layout has it.
  if (!minimal) {
    const AbiLayout& layout = library->abi().model_params;
    Poke(layout, &params.block, "progress_callback", static_cast<ProgressCallback>(OnProgress));
  }
  const ErrorLines errors;
  const LongCall long_call(Lane::kOther);
  llama_model* handle = Guard("model_load_failed", "llama_model_load_from_file", [&] {
    return api.llama_model_load_from_file(options.path.c_str(), params.block);
  });
  if (!handle) {
    if (state.cancelled) throw Error("cancelled", "the load was cancelled");
    throw Error("model_load_failed", "libllama could not load " + options.path + errors.Said());
  }
  std::shared_ptr<Model> model(new Model(std::move(library), handle));  // private constructor
  model->tensor_split_ = std::move(params.tensor_split);
  // The library must have called the callback at the place we wrote it to, or the layout is wrong.
  if (!minimal && !state.fired)
    throw Error("library_incompatible", "the progress callback was never called");
  model->ReadVocabulary();
  return model;
}

Model::Model(std::shared_ptr<Library> library, llama_model* model)
    : library_(std::move(library)), model_(model) {}

Model::~Model() {
  try {
    Guard("internal_error", "llama_model_free", [&] { library_->api().llama_model_free(model_); });
  } catch (...) {
    // Nothing to do about a failed free.
  }
}

void Model::ReadVocabulary() {
  const Api& api = library_->api();
  Guard("model_load_failed", "vocabulary", [&] {
    vocab_ = api.llama_model_get_vocab(model_);
    const int32_t size = vocab_ ? api.llama_vocab_n_tokens(vocab_) : 0;
    if (size <= 0) throw Error("model_load_failed", "the model has no vocabulary");
    flags_.resize(static_cast<size_t>(size));
    for (Token token = 0; token < size; token++) {
      uint8_t flags = 0;
      if (api.llama_vocab_is_control(vocab_, token)) flags |= kControl;
      if (api.llama_vocab_is_eog(vocab_, token)) {
        flags |= kEog;
        eog_tokens_.push_back(token);
      }
      flags_[static_cast<size_t>(token)] = flags;
    }
  });
}

void Model::AppendPiece(Token token, std::string* bytes) const {
  if (!IsToken(token)) throw Error("invalid_argument", "token id out of range");
  const Api& api = library_->api();
  Guard("decode_failed", "llama_token_to_piece", [&] {
    char small[128];
    const int32_t size = api.llama_token_to_piece(vocab_, token, small, sizeof small, 0, true);
    if (size >= 0) {
      bytes->append(small, static_cast<size_t>(size));
      return;
    }
    if (size == INT32_MIN) throw Error("decode_failed", "a token's piece is too long");
    std::string large(static_cast<size_t>(-size), '\0');
    const int32_t written = api.llama_token_to_piece(vocab_, token, large.data(), -size, 0, true);
    if (written > 0) bytes->append(large, 0, static_cast<size_t>(written));
  });
}

const Pieces& Model::pieces() const {
  std::call_once(pieces_made_, [this] { pieces_ = std::make_unique<const Pieces>(*this); });
  return *pieces_;
}

std::vector<Token> Model::Tokenize(const std::vector<TextSegment>& segments,
                                   bool add_special) const {
  const Api& api = library_->api();
  std::vector<Token> tokens;
  bool first = true;
  for (const TextSegment& segment : segments) {
    if (segment.text.size() > INT32_MAX / 2) throw Error("invalid_argument", "text too long");
    const bool special_around = add_special && first;
    first = false;
    const LongCall long_call(Lane::kOther);
    Guard("invalid_argument", "llama_tokenize", [&] {
      const int32_t length = static_cast<int32_t>(segment.text.size());
      std::vector<Token> part(segment.text.size() + 8);
      int32_t count =
          api.llama_tokenize(vocab_, segment.text.data(), length, part.data(),
                             static_cast<int32_t>(part.size()), special_around, segment.special);
      if (count == INT32_MIN) throw Error("invalid_argument", "too many tokens");
      if (count < 0) {
        part.resize(static_cast<size_t>(-count));
        count =
            api.llama_tokenize(vocab_, segment.text.data(), length, part.data(),
                               static_cast<int32_t>(part.size()), special_around, segment.special);
      }
      if (count < 0) throw Error("invalid_argument", "the text cannot be tokenised");
      tokens.insert(tokens.end(), part.begin(), part.begin() + count);
    });
  }
  return tokens;
}

std::string Model::Description() const {
  return Guard("model_load_failed", "llama_model_desc", [&] {
    char text[256] = {};
    library_->api().llama_model_desc(model_, text, sizeof text);
    return std::string(text);
  });
}

std::optional<std::string> Model::ChatTemplate(const char* name) const {
  return Guard("model_load_failed", "llama_model_chat_template",
               [&]() -> std::optional<std::string> {
                 const char* text = library_->api().llama_model_chat_template(model_, name);
                 if (!text) return std::nullopt;
                 return std::string(text);
               });
}

std::string Model::Metadata(const char* name) const {
  const Api& api = library_->api();
  if (!api.llama_model_meta_val_str) return {};
  return Guard("model_load_failed", "llama_model_meta_val_str", [&]() -> std::string {
    char text[128] = {};
    if (api.llama_model_meta_val_str(model_, "general.architecture", text, sizeof text) <= 0) {
      return {};
    }
    const std::string key = std::string(text) + "." + name;
    if (api.llama_model_meta_val_str(model_, key.c_str(), text, sizeof text) <= 0) return {};
    return text;
  });
}

std::optional<PoolingType> Model::Pooling() const {
  const std::string value = Metadata("pooling_type");
  if (value.size() != 1 || value[0] < '0' || value[0] > '4') return std::nullopt;
  return static_cast<PoolingType>(value[0] - '0');
}

bool Model::Causal() const { return Metadata("attention.causal") != "false"; }

bool Model::HasTailState() const {
  const Api& api = library_->api();
  return Guard("model_load_failed", "kind of model", [&] {
    if (api.llama_model_is_recurrent(model_)) return true;
    if (api.llama_model_is_hybrid) return api.llama_model_is_hybrid(model_);
    // Builds from before b6685 do not tell; every hybrid that they know has one of these.
    return !Metadata("ssm.conv_kernel").empty() || !Metadata("shortconv.l_cache").empty();
  });
}

int32_t Model::Window() const {
  const Api& api = library_->api();
  if (!api.llama_model_n_swa) return 0;
  return Guard("model_load_failed", "llama_model_n_swa",
               [&] { return std::max(0, api.llama_model_n_swa(model_)); });
}

int32_t Model::EmbeddingLength() const {
  const Api& api = library_->api();
  return Guard("model_load_failed", "llama_model_n_embd", [&] {
    return api.llama_model_n_embd_out ? api.llama_model_n_embd_out(model_)
                                      : api.llama_model_n_embd(model_);
  });
}

int32_t Model::ScoreCount() const {
  const Api& api = library_->api();
  if (!api.llama_model_n_cls_out) return 1;
  return Guard("model_load_failed", "llama_model_n_cls_out",
               [&] { return static_cast<int32_t>(api.llama_model_n_cls_out(model_)); });
}

std::vector<std::string> Model::ControlTexts(size_t limit) const {
  const Api& api = library_->api();
  std::vector<std::string> texts;
  Guard("model_load_failed", "llama_vocab_get_text", [&] {
    for (Token token = 0; token < VocabularySize() && texts.size() < limit; token++) {
      if (!IsControl(token)) continue;
      const char* text = api.llama_vocab_get_text(vocab_, token);
      if (text && *text) texts.emplace_back(text);
    }
  });
  return texts;
}

}  // namespace hoshikage
