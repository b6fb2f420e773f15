// The JavaScript face of a completion: its mailbox and its cancel. JavaScript thread.
#pragma once

#include <napi.h>

#include <memory>

#include "../decode/worker.h"
#include "doorbell.h"

namespace hoshikage {

// A context's bell, and how many of its completions JavaScript is still waiting for: while there
// are any, the bell keeps the event loop alive.
struct ContextBell {
  std::unique_ptr<Doorbell> bell;
  size_t awaited = 0;  // JavaScript thread

  void Await(Napi::Env env) {
    if (awaited++ == 0) bell->KeepAlive(env, true);
  }
  void Release(Napi::Env env) {
    if (--awaited == 0) bell->KeepAlive(env, false);
  }
};

class CompletionWrap : public Napi::ObjectWrap<CompletionWrap> {
 public:
  struct Parts {
    std::shared_ptr<Worker> worker;
    std::shared_ptr<Completion> completion;
    std::shared_ptr<ContextBell> bell;
  };

  static void Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, Parts parts);
  explicit CompletionWrap(const Napi::CallbackInfo& info);
  ~CompletionWrap() override;
  // Once submitted: the event loop stays alive until the end has been taken.
  void Await(Napi::Env env);

 private:
  Napi::Value Take(const Napi::CallbackInfo& info);
  Napi::Value Cancel(const Napi::CallbackInfo& info);
  void Release(Napi::Env env);

  Parts parts_;
  bool awaited_ = false;
};

// Takes the C++ parts handed to a constructor by Make; scripts cannot make these objects.
template <class Parts>
Parts TakeParts(const Napi::CallbackInfo& info) {
  if (info.Length() != 1 || !info[0].IsExternal()) {
    throw Napi::TypeError::New(info.Env(), "Illegal constructor");
  }
  return std::move(*info[0].As<Napi::External<Parts>>().Data());
}

}  // namespace hoshikage
