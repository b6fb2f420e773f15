// The JavaScript face of a model. JavaScript thread; what takes time runs as a task.
#pragma once

#include <napi.h>

#include <memory>
#include <vector>

#include "../decode/embedder.h"
#include "../decode/worker.h"
#include "../llama/model.h"

namespace hoshikage {

class ModelWrap : public Napi::ObjectWrap<ModelWrap> {
 public:
  static void Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, std::shared_ptr<Model> model);
  // addon.loadModel(options, onProgress?)
  static Napi::Value Load(const Napi::CallbackInfo& info);

  explicit ModelWrap(const Napi::CallbackInfo& info);
  ~ModelWrap() override;

 private:
  Napi::Value Facts(const Napi::CallbackInfo& info);
  Napi::Value Tokenize(const Napi::CallbackInfo& info);
  Napi::Value Detokenize(const Napi::CallbackInfo& info);
  Napi::Value CreateContext(const Napi::CallbackInfo& info);
  Napi::Value CreateEmbedder(const Napi::CallbackInfo& info);
  Napi::Value MeasureSteps(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  const std::shared_ptr<Model>& OpenModel() const;
  // The wrap of a model that is handed over in JavaScript; null where none is. Throws
  // invalid_argument.
  static ModelWrap* Given(const Napi::Value& value);

  std::shared_ptr<Model> model_;
  std::shared_ptr<std::vector<std::weak_ptr<Worker>>> workers_;
  std::vector<std::weak_ptr<Embedder>> embedders_;
  bool closed_ = false;
};

}  // namespace hoshikage
