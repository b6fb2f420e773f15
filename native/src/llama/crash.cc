#include "crash.h"

#include <atomic>
#include <cstdio>
#include <exception>
#include <mutex>

namespace hoshikage {
namespace {

thread_local int calls_of_thread = 0;
std::atomic<bool> g_crashed{false};

struct Record {
  std::mutex mutex;
  std::string reason;
};
Record& TheRecord() {
  static auto* record = new Record;  // outlives static destruction: backends may give up at exit
  return *record;
}

}  // namespace

InsideCall::InsideCall() { calls_of_thread++; }
InsideCall::~InsideCall() { calls_of_thread--; }

bool Crashed() { return g_crashed.load(std::memory_order_acquire); }

std::string CrashReason() {
  std::lock_guard<std::mutex> lock(TheRecord().mutex);
  return TheRecord().reason;
}

void OnGgmlAbort(const char* message) {
  const char* text = message ? message : "ggml gave up without a word";
  // Also where it is thrown: should a frame on the way not let it through, this is the evidence.
  std::fprintf(stderr, "%s\n", text);
  std::fflush(stderr);
  {
    std::lock_guard<std::mutex> lock(TheRecord().mutex);
    if (TheRecord().reason.empty()) TheRecord().reason = text;
  }
  g_crashed.store(true, std::memory_order_release);
#ifndef _WIN32
  // On Windows ggml's C code is compiled so that nothing may be thrown through it.
  if (calls_of_thread > 0 && std::uncaught_exceptions() == 0) throw Crash{};
#endif
}

}  // namespace hoshikage
