#include "addon-data.h"

#include <algorithm>

#include "task.h"

namespace hoshikage {
namespace {

constexpr size_t kMostLogLines = 4096;

const char* LevelName(LogLevel level) {
  switch (level) {
    case kLogDebug: return "debug";
    case kLogWarn: return "warn";
    case kLogError: return "error";
    default: return "info";
  }
}

template <class Thing>
void Add(std::vector<std::weak_ptr<Thing>>* list, const std::shared_ptr<Thing>& thing) {
  list->erase(std::remove_if(list->begin(), list->end(),
                             [](const std::weak_ptr<Thing>& weak) { return weak.expired(); }),
              list->end());
  list->push_back(thing);
}

}  // namespace

LogQueue::LogQueue(Napi::Env env, Napi::Function callback)
    : callback_(Napi::Persistent(callback)),
      bell_(std::make_unique<Doorbell>(env, "hoshikage:log", [this](Napi::Env e) { Deliver(e); })) {
}

void LogQueue::Push(LogLevel level, const std::string& line) {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    if (lines_.size() >= kMostLogLines) {
      lines_.pop_front();
      dropped_++;
    }
    lines_.emplace_back(level, line);
  }
  bell_->Ring();
}

void LogQueue::Deliver(Napi::Env env) {
  std::deque<std::pair<LogLevel, std::string>> lines;
  size_t dropped;
  {
    std::lock_guard<std::mutex> lock(mutex_);
    lines.swap(lines_);
    dropped = std::exchange(dropped_, 0);
  }
  if (dropped > 0) lines.emplace_front(kLogWarn, std::to_string(dropped) + " log lines were lost");
  for (const auto& [level, line] : lines) {
    Napi::HandleScope scope(env);
    const napi_value arguments[] = {Napi::String::New(env, LevelName(level)),
                                    Napi::String::New(env, line)};
    CallQuietly(env, callback_.Value(), 2, arguments);
  }
}

void AddonData::Install(Napi::Env env) {
  auto* data = new AddonData;  // owned by the environment (SetInstanceData)
  env.SetInstanceData<AddonData>(data);
  // The hook serves a worker_threads environment that is terminated; process.exit() and an uncaught
  // exception run no hooks, and the library's static destructors would meet a running decode.
  napi_add_env_cleanup_hook(
      env, [](void* pointer) { static_cast<AddonData*>(pointer)->EndAll(); }, data);
  const auto process = env.Global().Get("process").As<Napi::Object>();
  const auto on_exit = Napi::Function::New(
      env, [data](const Napi::CallbackInfo&) { data->EndAll(); }, "hoshikageExit");
  process.Get("once").As<Napi::Function>().Call(process, {Napi::String::New(env, "exit"), on_exit});
}

AddonData& AddonData::Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

void AddonData::AddWorker(const std::shared_ptr<Worker>& worker) { Add(&workers, worker); }

void AddonData::AddEmbedder(const std::shared_ptr<Embedder>& embedder) {
  Add(&embedders, embedder);
}

void AddonData::Warn(const std::string& line) {
  if (log) log->Push(kLogWarn, line);
}

void AddonData::EndAll() {
  closing->store(true);
  for (const std::weak_ptr<Worker>& weak : workers) {
    if (const std::shared_ptr<Worker> worker = weak.lock()) worker->Close();
  }
  for (const std::weak_ptr<Embedder>& weak : embedders) {
    if (const std::shared_ptr<Embedder> embedder = weak.lock()) embedder->Close();
  }
  for (const std::shared_ptr<TaskBase>& task : tasks) task->Join();
  tasks.clear();
  if (log) {
    SetLogSink(nullptr);
    log->Close();
    log.reset();
  }
}

}  // namespace hoshikage
