#include "embedder-wrap.h"

#include "addon-data.h"
#include "completion-wrap.h"
#include "convert.h"
#include "task.h"
#include "values.h"

namespace hoshikage {

void EmbedderWrap::Define(Napi::Env env) {
  AddonData::Of(env).embedder_class =
      Napi::Persistent(DefineClass(env, "NativeEmbedder",
                                   {InstanceMethod<&EmbedderWrap::Embed>("embed"),
                                    InstanceMethod<&EmbedderWrap::Close>("close")}));
}

Napi::Object EmbedderWrap::Make(Napi::Env env, std::shared_ptr<Embedder> embedder) {
  return AddonData::Of(env).embedder_class.New(
      {Napi::External<std::shared_ptr<Embedder>>::New(env, &embedder)});
}

EmbedderWrap::EmbedderWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<EmbedderWrap>(info), embedder_(TakeParts<std::shared_ptr<Embedder>>(info)) {}

EmbedderWrap::~EmbedderWrap() {
  if (embedder_ && !closed_) AddonData::Of(Env()).Warn("an embedder was collected without close()");
}

Napi::Value EmbedderWrap::Embed(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    if (closed_) throw Error("closed", "the embedder is closed");
    const std::shared_ptr<Embedder> embedder = embedder_;
    const auto inputs =
        std::make_shared<std::vector<std::vector<Token>>>(ToTokenLists(info[0], "inputs"));
    const auto cancelled = std::make_shared<std::atomic<bool>>(false);
    Napi::Promise promise = Task<Vectors>::Start(
        env, "hoshikage:embed",
        [embedder, inputs, cancelled] { return embedder->Embed(*inputs, *cancelled); },
        [](Napi::Env e, Vectors& vectors) { return FromVectors(e, vectors); });
    return Cancellable(env, promise, cancelled);
  });
}

Napi::Value EmbedderWrap::Close(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  closed_ = true;
  const std::shared_ptr<Embedder> embedder = embedder_;
  return Bound(env, [&]() -> Napi::Value {
    return Task<bool>::Start(
        env, "hoshikage:close",
        [embedder] {
          embedder->Close();
          return true;
        },
        [](Napi::Env e, bool&) -> Napi::Value { return e.Undefined(); });
  });
}

}  // namespace hoshikage
