#include "doorbell.h"

#include <memory>

namespace hoshikage {
namespace {

void OnRing(napi_env env, napi_value, void* context, void*) {
  if (!env) return;  // the environment is going
  const auto state = *static_cast<std::shared_ptr<DoorbellState>*>(context);
  {
    std::lock_guard<std::mutex> lock(state->mutex);
    if (!state->function) return;  // closed while a ring was in the queue: who answered may be gone
  }
  try {
    state->answer(Napi::Env(env));
  } catch (...) {
    // Answers report their own failures; nothing may be thrown into C.
  }
}

// The last that is heard of the function; a wrap that is finalized later must not touch it again.
void OnFinalize(napi_env, void*, void* context) {
  const std::unique_ptr<std::shared_ptr<DoorbellState>> state(
      static_cast<std::shared_ptr<DoorbellState>*>(context));
  // Answers hold references to JavaScript functions: they go here, on its thread, not with the
  // bell.
  const std::function<void(Napi::Env)> answer = std::move((*state)->answer);
  std::lock_guard<std::mutex> lock((*state)->mutex);
  (*state)->function = nullptr;
}

}  // namespace

Doorbell::Doorbell(Napi::Env env, const char* name, std::function<void(Napi::Env)> answer)
    : state_(std::make_shared<DoorbellState>()) {
  state_->answer = std::move(answer);
  auto held = std::make_unique<std::shared_ptr<DoorbellState>>(state_);
  const napi_status status =
      napi_create_threadsafe_function(env, nullptr, nullptr, Napi::String::New(env, name), 1, 1,
                                      nullptr, OnFinalize, held.get(), OnRing, &state_->function);
  if (status != napi_ok) throw Napi::Error::New(env, "cannot create a thread-safe function");
  held.release();  // freed in OnFinalize, after the last possible OnRing
  napi_unref_threadsafe_function(env, state_->function);
}

Doorbell::~Doorbell() { Close(); }

void Doorbell::Ring() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (!state_->function) return;
  // Queue size 1: napi_queue_full means that the bell has already been rung.
  const napi_status status =
      napi_call_threadsafe_function(state_->function, nullptr, napi_tsfn_nonblocking);
  if (status == napi_closing) state_->function = nullptr;  // it must never be touched again
}

void Doorbell::KeepAlive(Napi::Env env, bool alive) {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (!state_->function) return;
  if (alive) {
    napi_ref_threadsafe_function(env, state_->function);
  } else {
    napi_unref_threadsafe_function(env, state_->function);
  }
}

void Doorbell::Close() {
  std::lock_guard<std::mutex> lock(state_->mutex);
  if (!state_->function) return;
  napi_release_threadsafe_function(state_->function, napi_tsfn_release);
  state_->function = nullptr;
}

void CallQuietly(Napi::Env env, napi_value function, size_t count, const napi_value* arguments) {
  napi_value undefined;
  if (napi_get_undefined(env, &undefined) != napi_ok) return;
  napi_call_function(env, undefined, function, count, arguments, nullptr);
}

}  // namespace hoshikage
