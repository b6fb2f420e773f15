// Work that takes a while, on a thread of its own, settling a promise on the JavaScript thread.
// Not the libuv pool: a load of minutes would hold one of its four threads from fs and dns, and at
// exit Node waits for the pool before any cleanup hook could end it.
#pragma once

#include <napi.h>

#include <atomic>
#include <exception>
#include <functional>
#include <memory>
#include <optional>
#include <string>
#include <thread>

#include "../llama/error.h"
#include "addon-data.h"
#include "convert.h"
#include "doorbell.h"

namespace hoshikage {

class TaskBase : public std::enable_shared_from_this<TaskBase> {
 public:
  virtual ~TaskBase();
  // JavaScript thread.
  static Napi::Promise Start(Napi::Env env, const char* name,
                             const std::shared_ptr<TaskBase>& task);
  // Waits for the thread. JavaScript thread.
  void Join();

 protected:
  explicit TaskBase(Napi::Env env) : deferred_(Napi::Promise::Deferred::New(env)) {}
  virtual void Execute() = 0;                     // own thread; may throw
  virtual Napi::Value Result(Napi::Env env) = 0;  // JavaScript thread; may throw

 private:
  void Run();
  void Settle(Napi::Env env);

  Napi::Promise::Deferred deferred_;
  std::unique_ptr<Doorbell> bell_;
  std::thread thread_;
  std::string code_;  // empty = no error
  std::string message_;
};

// What a task that can be given up is to JavaScript: its promise, and what sets the flag.
Napi::Object Cancellable(Napi::Env env, Napi::Promise promise,
                         const std::shared_ptr<std::atomic<bool>>& cancelled);

template <class Value>
class Task : public TaskBase {
 public:
  using Execution = std::function<Value()>;
  using Conversion = std::function<Napi::Value(Napi::Env, Value&)>;

  static Napi::Promise Start(Napi::Env env, const char* name, Execution execute,
                             Conversion convert) {
    return TaskBase::Start(
        env, name, std::shared_ptr<Task>(new Task(env, std::move(execute), std::move(convert))));
  }

 private:
  Task(Napi::Env env, Execution execute, Conversion convert)
      : TaskBase(env), execute_(std::move(execute)), convert_(std::move(convert)) {}
  void Execute() override { value_.emplace(execute_()); }
  Napi::Value Result(Napi::Env env) override { return convert_(env, *value_); }

  Execution execute_;
  Conversion convert_;
  std::optional<Value> value_;
};

}  // namespace hoshikage
