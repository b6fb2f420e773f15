// The JavaScript face of an embedder. JavaScript thread; what takes time runs as a task.
#pragma once

#include <napi.h>

#include <memory>

#include "../decode/embedder.h"

namespace hoshikage {

class EmbedderWrap : public Napi::ObjectWrap<EmbedderWrap> {
 public:
  static void Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, std::shared_ptr<Embedder> embedder);
  explicit EmbedderWrap(const Napi::CallbackInfo& info);
  ~EmbedderWrap() override;

 private:
  Napi::Value Embed(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);

  std::shared_ptr<Embedder> embedder_;
  bool closed_ = false;
};

}  // namespace hoshikage
