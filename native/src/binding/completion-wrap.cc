#include "completion-wrap.h"

#include "addon-data.h"
#include "convert.h"

namespace hoshikage {

void CompletionWrap::Define(Napi::Env env) {
  AddonData::Of(env).completion_class =
      Napi::Persistent(DefineClass(env, "NativeCompletion",
                                   {InstanceMethod<&CompletionWrap::Take>("take"),
                                    InstanceMethod<&CompletionWrap::Cancel>("cancel")}));
}

Napi::Object CompletionWrap::Make(Napi::Env env, Parts parts) {
  return AddonData::Of(env).completion_class.New({Napi::External<Parts>::New(env, &parts)});
}

CompletionWrap::CompletionWrap(const Napi::CallbackInfo& info)
    : Napi::ObjectWrap<CompletionWrap>(info), parts_(TakeParts<Parts>(info)) {}

void CompletionWrap::Await(Napi::Env env) {
  parts_.bell->Await(env);
  awaited_ = true;
}

// Collected while it runs: nobody can want its tokens any more.
CompletionWrap::~CompletionWrap() {
  if (!parts_.completion) return;
  parts_.completion->Cancel(-1);
  if (awaited_) {
    parts_.worker->Wake();
    Release(Env());
  }
}

void CompletionWrap::Release(Napi::Env env) {
  if (!awaited_) return;
  awaited_ = false;
  parts_.bell->Release(env);
}

Napi::Value CompletionWrap::Take(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    Mail mail;
    if (!parts_.completion->Take(&mail)) return env.Null();
    if (mail.done) Release(env);
    return FromMail(env, mail, parts_.completion->request());
  });
}

Napi::Value CompletionWrap::Cancel(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    parts_.completion->Cancel(ArgInt(info, 0, "keepTokens"));
    parts_.worker->Wake();
    return env.Undefined();
  });
}

}  // namespace hoshikage
