// The JavaScript face of a context and its worker. JavaScript thread.
#pragma once

#include <napi.h>

#include <memory>

#include "completion-wrap.h"

namespace hoshikage {

class ContextWrap : public Napi::ObjectWrap<ContextWrap> {
 public:
  struct Parts {
    std::shared_ptr<Worker> worker;
    std::shared_ptr<ContextBell> bell;
  };

  static void Define(Napi::Env env);
  static Napi::Object Make(Napi::Env env, Parts parts);
  explicit ContextWrap(const Napi::CallbackInfo& info);
  ~ContextWrap() override;

 private:
  Napi::Value Info(const Napi::CallbackInfo& info);
  Napi::Value Start(const Napi::CallbackInfo& info);
  Napi::Value Slots(const Napi::CallbackInfo& info);
  Napi::Value Counters(const Napi::CallbackInfo& info);
  Napi::Value SaveState(const Napi::CallbackInfo& info);
  Napi::Value RestoreState(const Napi::CallbackInfo& info);
  Napi::Value Close(const Napi::CallbackInfo& info);
  Worker& OpenWorker() const;

  Parts parts_;
  bool closed_ = false;
};

}  // namespace hoshikage
