// The table of contents of the addon: what JavaScript sees. src/engine/addon.ts types it.
// JavaScript thread.
#include <napi.h>

#include "binding/addon-data.h"
#include "binding/completion-wrap.h"
#include "binding/context-wrap.h"
#include "binding/convert.h"
#include "binding/embedder-wrap.h"
#include "binding/model-wrap.h"
#include "binding/os.h"
#include "binding/task.h"

#ifndef HK_SANITIZER
#define HK_SANITIZER ""
#endif

namespace hoshikage {
namespace {

Napi::Value OpenLibrary(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const auto options =
        std::make_shared<LibraryOptions>(ToLibraryOptions(ArgObject(info, 0, "options")));
    return Task<std::shared_ptr<Library>>::Start(
        env, "hoshikage:library", [options] { return Library::Open(*options); },
        [](Napi::Env e, std::shared_ptr<Library>& library) -> Napi::Value {
          return FromLibrary(e, *library);
        });
  });
}

Napi::Value OnLog(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const auto queue = std::make_shared<LogQueue>(env, ArgFunction(info, 0, "callback"));
    AddonData& data = AddonData::Of(env);
    if (data.log) data.log->Close();
    data.log = queue;
    SetLogSink([queue](LogLevel level, const std::string& line) { queue->Push(level, line); });
    return env.Undefined();
  });
}

// The words with which ggml gave up in this process, or null.
Napi::Value CrashWords(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    if (!Crashed()) return env.Null();
    return Napi::String::New(env, "libllama gave up: " + CrashReason());
  });
}

Napi::Object Init(Napi::Env env, Napi::Object exports) {
  AddonData::Install(env);
  ModelWrap::Define(env);
  ContextWrap::Define(env);
  CompletionWrap::Define(env);
  EmbedderWrap::Define(env);
  Napi::Object build = Napi::Object::New(env);
  build.Set("napiVersion", NAPI_VERSION);
  build.Set("sanitizer", HK_SANITIZER);
  exports.Set("build", build);
  exports.Set("tryLock", Napi::Function::New<TryLock>(env, "tryLock"));
  exports.Set("endNow", Napi::Function::New<EndNow>(env, "endNow"));
  exports.Set("crashed", Napi::Function::New<CrashWords>(env, "crashed"));
  exports.Set("dieWithParent", Napi::Function::New<DieWithParent>(env, "dieWithParent"));
  exports.Set("progress", Napi::Function::New<ReadProgress>(env, "progress"));
  exports.Set("onLog", Napi::Function::New<OnLog>(env, "onLog"));
  exports.Set("openLibrary", Napi::Function::New<OpenLibrary>(env, "openLibrary"));
  exports.Set("loadModel", Napi::Function::New<ModelWrap::Load>(env, "loadModel"));
  return exports;
}

}  // namespace
}  // namespace hoshikage

static Napi::Object InitAddon(Napi::Env env, Napi::Object exports) {
  return hoshikage::Init(env, exports);
}
NODE_API_MODULE(hoshikage_native, InitAddon)
