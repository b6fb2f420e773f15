// Wakes the JavaScript thread from any other. It carries no data: what there is to tell waits where
// the answering function looks. One bell in the queue is enough, however often it was rung.
#pragma once

#include <napi.h>

#include <functional>
#include <memory>
#include <mutex>

namespace hoshikage {

// Shared by a bell and its thread-safe function, which may outlive each other either way: while an
// environment is torn down its functions go first and the wraps that own bells later.
struct DoorbellState {
  std::mutex mutex;
  napi_threadsafe_function function = nullptr;  // null once closed or gone
  std::function<void(Napi::Env)> answer;
};

class Doorbell {
 public:
  // `answer` runs on the JavaScript thread, in a handle scope. JavaScript thread.
  Doorbell(Napi::Env env, const char* name, std::function<void(Napi::Env)> answer);
  ~Doorbell();
  Doorbell(const Doorbell&) = delete;
  Doorbell& operator=(const Doorbell&) = delete;

  // Any thread; never blocks, does nothing once the environment goes.
  void Ring();
  // JavaScript thread: whether a bell that may ring keeps the event loop alive.
  void KeepAlive(Napi::Env env, bool alive);
  // Any thread. No Ring() after it has any effect; on the JavaScript thread, no ring before it is
  // answered after it. Idempotent.
  void Close();

 private:
  std::shared_ptr<DoorbellState> state_;
};

// Calls a JavaScript function, ignoring how it ends: the C++ wrapper would rethrow, and abort the
// process while an environment is being torn down.
void CallQuietly(Napi::Env env, napi_value function, size_t count = 0,
                 const napi_value* arguments = nullptr);

}  // namespace hoshikage
