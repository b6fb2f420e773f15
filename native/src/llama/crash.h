// What becomes of ggml's own giving up (GGML_ASSERT, GGML_ABORT), which would end the process: on a
// thread that is inside one of our calls it is thrown out of that call, elsewhere it is only put on
// record. Any thread. Afterwards this process must not call libllama again, not even to free: locks
// and threads may be left as they were.
#pragma once

#include <string>

namespace hoshikage {

// Thrown through libllama. No std::exception: those it catches itself and goes on.
struct Crash {};

// Marks the calling thread as one that catches Crash, for as long as it lives.
class InsideCall {
 public:
  InsideCall();
  ~InsideCall();
  InsideCall(const InsideCall&) = delete;
  InsideCall& operator=(const InsideCall&) = delete;
};

// Whether ggml has given up in this process.
bool Crashed();
// Its words; empty before.
std::string CrashReason();

// For ggml_set_abort_callback. Returning from it ends the process.
void OnGgmlAbort(const char* message);

}  // namespace hoshikage
