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

}  // namespace

LogQueue::LogQueue(Napi::Env env, Napi::Function callback)
    : callback_(Napi::Persistent(callback)),
      bell_(std::make_unique<Doorbell>(env, "hoshikage:log",
                                       [this](Napi::Env e) { Deliver(e); })) {}

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
  napi_add_env_cleanup_hook(env, Cleanup, data);
}

AddonData& AddonData::Of(Napi::Env env) { return *env.GetInstanceData<AddonData>(); }

void AddonData::AddWorker(const std::shared_ptr<Worker>& worker) {
  workers.erase(std::remove_if(workers.begin(), workers.end(),
                               [](const std::weak_ptr<Worker>& w) { return w.expired(); }),
                workers.end());
  workers.push_back(worker);
}

void AddonData::Warn(const std::string& line) {
  if (log) log->Push(kLogWarn, line);
}

// Runs before the environment's objects go: ends loads, cancels completions, joins every thread
// (at most one decode step long).
void AddonData::Cleanup(void* pointer) {
  auto* data = static_cast<AddonData*>(pointer);
  data->closing->store(true);
  for (const std::weak_ptr<Worker>& weak : data->workers) {
    if (const std::shared_ptr<Worker> worker = weak.lock()) worker->Close();
  }
  for (const std::shared_ptr<TaskBase>& task : data->tasks) task->Join();
  data->tasks.clear();
  if (data->log) {
    SetLogSink(nullptr);
    data->log->Close();
    data->log.reset();
  }
}

}  // namespace hoshikage
