// A few threads that help with the independent pieces of one step, such as the samplers of its
// slots. They begin when there is first something to share, sleep while there is not, and end with
// their crew. It must not allocate per step, and never spin: what the caller can do alone in the
// time of a wake-up, it has done by then.
#pragma once

#include <cstddef>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>

#include "condition.h"

namespace hoshikage {

class Crew {
 public:
  // At most so many threads beside the caller's.
  explicit Crew(size_t helpers) : most_(helpers) {}
  ~Crew();
  Crew(const Crew&) = delete;
  Crew& operator=(const Crew&) = delete;

  // Calls work(0) to work(count - 1), each once, here and on the helpers, and returns when all of
  // them have returned. One thread at a time, and not out of `work`. That should not throw: what it
  // threw is not known here, and comes out as decode_failed when all are done.
  void Run(size_t count, const std::function<void(size_t)>& work);

 private:
  void Hire(size_t wanted);
  void Wait();
  // Takes pieces until none is left.
  void Help(std::unique_lock<std::mutex>* lock);

  const size_t most_;
  std::vector<std::thread> helpers_;  // the caller's own

  std::mutex mutex_;  // guards what follows
  std::condition_variable begin_;
  std::condition_variable done_;
  const std::function<void(size_t)>* work_ = nullptr;
  size_t count_ = 0;
  size_t next_ = 0;
  size_t running_ = 0;
  bool thrown_ = false;
  bool stopping_ = false;
};

}  // namespace hoshikage
