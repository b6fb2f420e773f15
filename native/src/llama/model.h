// A loaded model: weights and vocabulary. Loading and freeing on any thread; afterwards read-only
// and safe to use from several. Holds its library; contexts hold it.
#pragma once

#include <functional>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

#include "library.h"
#include "pieces.h"

namespace hoshikage {

struct ModelOptions {
  std::string path;
  std::optional<int32_t> gpu_layers;  // -1 = all
  std::optional<int32_t> main_gpu;
  std::vector<float> tensor_split;
  std::optional<bool> mmap;
  std::optional<bool> mlock;
  int32_t cpu_expert_layers = 0;
};

struct TextSegment {
  std::string text;
  bool special;  // control tokens in it are parsed as such
};

// enum llama_pooling_type: how a text's vectors become one.
enum class PoolingType : int32_t { kNone = 0, kMean = 1, kCls = 2, kLast = 3, kRank = 4 };

class Model {
 public:
  // `progress` gets 0..1 on the calling thread and ends the load by returning false.
  // Throws model_load_failed, library_incompatible, cancelled.
  static std::shared_ptr<Model> Load(std::shared_ptr<Library> library, const ModelOptions& options,
                                     const std::function<bool(float)>& progress);
  ~Model();
  Model(const Model&) = delete;
  Model& operator=(const Model&) = delete;

  const std::shared_ptr<Library>& library() const { return library_; }
  llama_model* handle() const { return model_; }
  const llama_vocab* vocab() const { return vocab_; }

  int32_t VocabularySize() const { return static_cast<int32_t>(flags_.size()); }
  bool IsToken(Token token) const { return token >= 0 && token < VocabularySize(); }
  bool IsEog(Token token) const { return flags_[static_cast<size_t>(token)] & kEog; }
  bool IsControl(Token token) const { return flags_[static_cast<size_t>(token)] & kControl; }
  const std::vector<Token>& EogTokens() const { return eog_tokens_; }
  // Appends a token's bytes, special tokens rendered.
  void AppendPiece(Token token, std::string* bytes) const;
  // The vocabulary by its texts; the first call makes it, which takes some ten milliseconds.
  const Pieces& pieces() const;
  // Token ids of the segments, joined. `add_special` asks for BOS/EOS as the model wants them.
  std::vector<Token> Tokenize(const std::vector<TextSegment>& segments, bool add_special) const;

  std::string Description() const;
  // The model's own template, or the one of this name; nothing where it has none.
  std::optional<std::string> ChatTemplate(const char* name = nullptr) const;
  std::vector<std::string> ControlTexts(size_t limit) const;
  // What the model's file says of embeddings; nothing where it says nothing we know.
  std::optional<PoolingType> Pooling() const;
  // Whether a token sees only what is before it, as far as the file says.
  bool Causal() const;
  // Whether what has been read becomes a state, wholly or beside a cache, so that nothing can be
  // taken back (Mamba and its relatives). Throws model_load_failed.
  bool HasTailState() const;
  // How many tokens those layers look back that do not look at all; 0 = none do. Throws
  // model_load_failed.
  int32_t Window() const;
  // Values of one embedding, as the library says.
  int32_t EmbeddingLength() const;
  // Scores that a model which ranks gives for a text.
  int32_t ScoreCount() const;

  // Flag bits of a token, as handed to JavaScript (engine.ts: TOKEN_CONTROL, TOKEN_EOG).
  static constexpr uint8_t kControl = 1;
  static constexpr uint8_t kEog = 2;
  uint8_t Flags(Token token) const { return flags_[static_cast<size_t>(token)]; }

 private:
  Model(std::shared_ptr<Library> library, llama_model* model);
  void ReadVocabulary();
  // A value of the file's metadata under "<architecture>.<name>"; empty where there is none.
  std::string Metadata(const char* name) const;

  std::shared_ptr<Library> library_;
  llama_model* model_;
  std::vector<float> tensor_split_;  // the library keeps its parameters, and the pointer in them
  const llama_vocab* vocab_ = nullptr;
  std::vector<uint8_t> flags_;
  std::vector<Token> eog_tokens_;
  mutable std::once_flag pieces_made_;
  mutable std::unique_ptr<const Pieces> pieces_;
};

}  // namespace hoshikage
