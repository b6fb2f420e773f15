#include "deep-stack.h"

#include <algorithm>
#include <exception>

#ifdef _WIN32
#include <process.h>
#include <windows.h>
#else
#include <pthread.h>
#endif

namespace hoshikage {
namespace {

constexpr size_t kLeast = size_t{8} << 20;
constexpr size_t kMost = size_t{1} << 30;
constexpr size_t kPerByte = 512;
// Of any system's pages.
constexpr size_t kUnit = size_t{1} << 16;

struct Job {
  const std::function<void()>& work;
  std::exception_ptr thrown;
};

void Carry(void* data) noexcept {
  Job* job = static_cast<Job*>(data);
  try {
    job->work();
  } catch (...) {
    job->thrown = std::current_exception();
  }
}

#ifdef _WIN32

unsigned __stdcall Entry(void* data) {
  Carry(data);
  return 0;
}

bool RunOn(size_t bytes, Job* job) {
  const uintptr_t thread = _beginthreadex(nullptr, static_cast<unsigned>(bytes), Entry, job,
                                          STACK_SIZE_PARAM_IS_A_RESERVATION, nullptr);
  if (thread == 0) return false;
  const HANDLE handle = reinterpret_cast<HANDLE>(thread);
  WaitForSingleObject(handle, INFINITE);
  CloseHandle(handle);
  return true;
}

#else

void* Entry(void* data) {
  Carry(data);
  return nullptr;
}

bool RunOn(size_t bytes, Job* job) {
  pthread_attr_t attributes;
  if (pthread_attr_init(&attributes) != 0) return false;
  pthread_t thread;
  const bool started = pthread_attr_setstacksize(&attributes, bytes) == 0 &&
                       pthread_create(&thread, &attributes, Entry, job) == 0;
  pthread_attr_destroy(&attributes);
  if (started) pthread_join(thread, nullptr);
  return started;
}

#endif

}  // namespace

size_t StackFor(size_t input_bytes) {
  const size_t wanted = kLeast + std::min(input_bytes, kMost / kPerByte) * kPerByte;
  return std::min(wanted, kMost) / kUnit * kUnit;
}

void WithStack(size_t bytes, const std::function<void()>& work) {
  Job job{work, nullptr};
  for (size_t size = bytes; !RunOn(size, &job); size = size / 2 / kUnit * kUnit) {
    if (size > kLeast) continue;
    // A system out of threads: this one has to do.
    Carry(&job);
    break;
  }
  if (job.thrown) std::rethrow_exception(job.thrown);
}

}  // namespace hoshikage
