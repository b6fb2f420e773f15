// Stands in for llama/model.cc in programs that sample without a library: a vocabulary of as many
// tokens as ModelOptions::gpu_layers says. Token n is written "<n>" and the last one ends a
// generation.
#include <string>

#include "llama/error.h"
#include "llama/model.h"

namespace hoshikage {

Model::Model(std::shared_ptr<Library> library, llama_model* model)
    : library_(std::move(library)), model_(model) {}

Model::~Model() = default;

std::shared_ptr<Model> Model::Load(std::shared_ptr<Library> library, const ModelOptions& options,
                                   const std::function<bool(float)>&) {
  std::shared_ptr<Model> model(new Model(std::move(library), nullptr));
  model->flags_.resize(static_cast<size_t>(options.gpu_layers.value_or(1)));
  model->flags_.back() = kEog;
  model->eog_tokens_.push_back(model->VocabularySize() - 1);
  return model;
}

void Model::AppendPiece(Token token, std::string* bytes) const {
  *bytes += '<' + std::to_string(token) + '>';
}

const Pieces& Model::pieces() const {
  std::call_once(pieces_made_, [this] { pieces_ = std::make_unique<const Pieces>(*this); });
  return *pieces_;
}

}  // namespace hoshikage
