#include "crew.h"

#include <algorithm>
#include <utility>

#include "../llama/error.h"

namespace hoshikage {

Crew::~Crew() {
  {
    std::lock_guard<std::mutex> lock(mutex_);
    stopping_ = true;
  }
  begin_.notify_all();
  for (std::thread& helper : helpers_) helper.join();
}

void Crew::Hire(size_t wanted) {
  try {
    if (helpers_.capacity() < most_) helpers_.reserve(most_);
    while (helpers_.size() < wanted) helpers_.emplace_back([this] { Wait(); });
  } catch (const std::exception&) {
    // The system gives no more threads: fewer help.
  }
}

void Crew::Run(size_t count, const std::function<void(size_t)>& work) {
  const size_t wanted = std::min(most_, count > 0 ? count - 1 : 0);
  if (helpers_.size() < wanted) Hire(wanted);
  std::unique_lock<std::mutex> lock(mutex_);
  work_ = &work;
  count_ = count;
  next_ = 0;
  for (size_t i = 0; i < std::min(wanted, helpers_.size()); i++) begin_.notify_one();
  Help(&lock);
  done_.wait(lock, [this] { return running_ == 0; });
  work_ = nullptr;
  count_ = next_ = 0;
  if (std::exchange(thrown_, false)) throw Error("decode_failed", "a piece of a step threw");
}

void Crew::Wait() {
  std::unique_lock<std::mutex> lock(mutex_);
  for (;;) {
    begin_.wait(lock, [this] { return stopping_ || next_ < count_; });
    if (stopping_) return;
    Help(&lock);
  }
}

void Crew::Help(std::unique_lock<std::mutex>* lock) {
  while (next_ < count_) {
    const size_t piece = next_++;
    running_++;
    lock->unlock();
    bool thrown = false;
    try {
      (*work_)(piece);
    } catch (...) {
      thrown = true;
    }
    lock->lock();
    running_--;
    thrown_ = thrown_ || thrown;
  }
  if (running_ == 0) done_.notify_one();
}

}  // namespace hoshikage
