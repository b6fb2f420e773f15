// Something that one thread asks another to do while it waits. How it ended crosses as plain data,
// never as an exception object. Shared by both, since neither knows who is done with it last.
#pragma once

#include <functional>
#include <future>
#include <string>

namespace hoshikage {

class Errand {
 public:
  explicit Errand(std::function<void()> work) : work_(std::move(work)) {}

  // The thread that works: does it, whatever it throws, or says why not. One of them, once.
  void Run();
  void Refuse(const char* code, const std::string& message);
  // The thread that asked. Throws what the work threw, as an Error.
  void Wait();

 private:
  std::function<void()> work_;
  std::promise<void> done_;
  const char* code_ = nullptr;  // null = it went well
  std::string message_;
};

}  // namespace hoshikage
