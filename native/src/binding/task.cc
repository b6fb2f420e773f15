#include "task.h"

namespace hoshikage {

TaskBase::~TaskBase() { Join(); }

void TaskBase::Join() {
  if (thread_.joinable()) thread_.join();
}

Napi::Promise TaskBase::Start(Napi::Env env, const char* name,
                              const std::shared_ptr<TaskBase>& task) {
  if (*AddonData::Of(env).closing) throw Error("closed", "the process is ending");
  // The raw pointer is safe: the task stays in the set until Settle or until its thread is joined,
  // and its bell goes with it.
  TaskBase* raw = task.get();
  task->bell_ = std::make_unique<Doorbell>(env, name, [raw](Napi::Env e) { raw->Settle(e); });
  // A system out of threads throws here, before anything waits for the task.
  task->thread_ = std::thread([raw] { raw->Run(); });
  AddonData::Of(env).tasks.insert(task);
  task->bell_->KeepAlive(env, true);
  return task->deferred_.Promise();
}

Napi::Object Cancellable(Napi::Env env, Napi::Promise promise,
                         const std::shared_ptr<std::atomic<bool>>& cancelled) {
  Napi::Object both = Napi::Object::New(env);
  both.Set("promise", promise);
  both.Set("cancel",
           Napi::Function::New(
               env, [cancelled](const Napi::CallbackInfo&) { cancelled->store(true); }, "cancel"));
  return both;
}

void TaskBase::Run() {
  try {
    Execute();
  } catch (const Error& e) {
    code_ = e.code();
    message_ = e.what();
  } catch (const std::exception& e) {
    code_ = "internal_error";
    message_ = e.what();
  } catch (...) {
    code_ = "internal_error";
    message_ = "unknown exception";
  }
  bell_->Ring();
}

void TaskBase::Settle(Napi::Env env) {
  const std::shared_ptr<TaskBase> self = shared_from_this();
  Join();
  AddonData::Of(env).tasks.erase(self);
  Napi::HandleScope scope(env);
  if (!code_.empty()) {
    deferred_.Reject(MakeError(env, code_.c_str(), message_).Value());
    return;
  }
  try {
    deferred_.Resolve(Bound(env, [&] { return Result(env); }));
  } catch (const Napi::Error& e) {
    deferred_.Reject(e.Value());
  }
}

}  // namespace hoshikage
