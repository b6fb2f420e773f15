#include "doorbell.h"

#include <memory>

namespace hoshikage {
namespace {

using Answer = std::function<void(Napi::Env)>;

void OnRing(napi_env env, napi_value, void* context, void*) {
  if (!env) return;  // the environment is going
  try {
    (*static_cast<Answer*>(context))(Napi::Env(env));
  } catch (...) {
    // Answers report their own failures; nothing may be thrown into C.
  }
}

void OnFinalize(napi_env, void*, void* context) { delete static_cast<Answer*>(context); }

}  // namespace

Doorbell::Doorbell(Napi::Env env, const char* name, Answer answer) {
  // Owned by the thread-safe function: freed in OnFinalize, after the last possible OnRing.
  auto owned = std::make_unique<Answer>(std::move(answer));
  const napi_status status = napi_create_threadsafe_function(
      env, nullptr, nullptr, Napi::String::New(env, name), 1, 1, nullptr, OnFinalize, owned.get(),
      OnRing, &function_);
  if (status != napi_ok) throw Napi::Error::New(env, "cannot create a thread-safe function");
  owned.release();
  napi_unref_threadsafe_function(env, function_);
}

Doorbell::~Doorbell() { Close(); }

void Doorbell::Ring() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!function_) return;
  // Queue size 1: napi_queue_full means that the bell has already been rung.
  const napi_status status = napi_call_threadsafe_function(function_, nullptr, napi_tsfn_nonblocking);
  if (status == napi_closing) function_ = nullptr;  // it must never be touched again
}

void Doorbell::KeepAlive(Napi::Env env, bool alive) {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!function_) return;
  if (alive) {
    napi_ref_threadsafe_function(env, function_);
  } else {
    napi_unref_threadsafe_function(env, function_);
  }
}

void Doorbell::Close() {
  std::lock_guard<std::mutex> lock(mutex_);
  if (!function_) return;
  napi_release_threadsafe_function(function_, napi_tsfn_release);
  function_ = nullptr;
}

void CallQuietly(Napi::Env env, napi_value function, size_t count, const napi_value* arguments) {
  napi_value undefined;
  if (napi_get_undefined(env, &undefined) != napi_ok) return;
  napi_call_function(env, undefined, function, count, arguments, nullptr);
}

}  // namespace hoshikage
