// What one JavaScript environment owns: its running tasks, its workers, its constructors, its log
// queue. JavaScript thread. Nothing in the addon is static but the process's one library and its
// log.
#pragma once

#include <napi.h>

#include <atomic>
#include <deque>
#include <memory>
#include <mutex>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "../decode/embedder.h"
#include "../decode/worker.h"
#include "doorbell.h"

namespace hoshikage {

class TaskBase;

// Log lines on their way to JavaScript, from any thread; bounded, the oldest go first.
class LogQueue {
 public:
  LogQueue(Napi::Env env, Napi::Function callback);
  void Push(LogLevel level, const std::string& line);
  void Close() { bell_->Close(); }

 private:
  void Deliver(Napi::Env env);

  std::mutex mutex_;
  std::deque<std::pair<LogLevel, std::string>> lines_;
  size_t dropped_ = 0;
  Napi::FunctionReference callback_;
  std::unique_ptr<Doorbell> bell_;
};

class AddonData {
 public:
  // Registers what ends everything before the environment goes.
  static void Install(Napi::Env env);
  static AddonData& Of(Napi::Env env);

  // Loads look at it: true once the environment is going.
  const std::shared_ptr<std::atomic<bool>> closing = std::make_shared<std::atomic<bool>>(false);
  std::set<std::shared_ptr<TaskBase>> tasks;
  std::vector<std::weak_ptr<Worker>> workers;
  std::vector<std::weak_ptr<Embedder>> embedders;
  std::shared_ptr<LogQueue> log;
  Napi::FunctionReference model_class;
  Napi::FunctionReference context_class;
  Napi::FunctionReference completion_class;
  Napi::FunctionReference embedder_class;

  void AddWorker(const std::shared_ptr<Worker>& worker);
  void AddEmbedder(const std::shared_ptr<Embedder>& embedder);
  void Warn(const std::string& line);
  // Ends loads, cancels completions, joins every thread: at most one decode step long. Idempotent.
  void EndAll();
};

}  // namespace hoshikage
