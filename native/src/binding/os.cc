#include "os.h"

#include <cerrno>
#include <cstring>

#include "../llama/progress.h"
#include "convert.h"

#ifdef _WIN32
#include <windows.h>
#else
#include <sys/file.h>
#include <time.h>
#include <unistd.h>
#endif
#ifdef __linux__
#include <signal.h>
#include <sys/prctl.h>
#endif

namespace hoshikage {
namespace {

// Processor time of all threads of this process but the calling one, in ms; what Node's own
// helpers take is next to nothing.
double OthersCpuMs() {
#ifdef _WIN32
  const auto ms = [](const FILETIME& kernel, const FILETIME& user) {
    const auto ticks = [](const FILETIME& time) {  // of 100 ns
      return (static_cast<uint64_t>(time.dwHighDateTime) << 32) | time.dwLowDateTime;
    };
    return static_cast<double>(ticks(kernel) + ticks(user)) / 1e4;
  };
  FILETIME begin, end, kernel, user;
  if (!GetProcessTimes(GetCurrentProcess(), &begin, &end, &kernel, &user)) return 0.0;
  const double all = ms(kernel, user);
  if (!GetThreadTimes(GetCurrentThread(), &begin, &end, &kernel, &user)) return 0.0;
  return all - ms(kernel, user);
#else
  const auto ms = [](clockid_t clock) {
    timespec time{};
    clock_gettime(clock, &time);
    return static_cast<double>(time.tv_sec) * 1e3 + static_cast<double>(time.tv_nsec) / 1e6;
  };
  return ms(CLOCK_PROCESS_CPUTIME_ID) - ms(CLOCK_THREAD_CPUTIME_ID);
#endif
}

}  // namespace

Napi::Value ReadProgress(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    Napi::Object progress = Napi::Object::New(env);
    const auto set = [&](const char* name, Lane lane) {
      const LaneProgress of = ProgressOf(lane);
      Napi::Object value = Napi::Object::New(env);
      value.Set("count", static_cast<double>(of.count));
      value.Set("inLongCall", of.in_long_call);
      progress.Set(name, value);
    };
    set("steps", Lane::kSteps);
    set("embeds", Lane::kEmbeds);
    set("other", Lane::kOther);
    progress.Set("othersCpuMs", OthersCpuMs());
    return progress;
  });
}

Napi::Value TryLock(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    [[maybe_unused]] const int32_t fd = ArgInt(info, 0, "fd");
#ifdef _WIN32
    // The addon's C runtime does not know Node's descriptors; the caller has another way.
    throw Error("invalid_argument", "flock is not available on Windows");
#else
    int result;
    do {
      result = flock(fd, LOCK_EX | LOCK_NB);
    } while (result == -1 && errno == EINTR);
    if (result == 0) return Napi::Boolean::New(env, true);
    if (errno == EWOULDBLOCK) return Napi::Boolean::New(env, false);
    throw Error("invalid_argument", std::string("flock: ") + std::strerror(errno));
#endif
  });
}

Napi::Value EndNow(const Napi::CallbackInfo& info) {
  const Napi::Env env = info.Env();
  return Bound(env, [&]() -> Napi::Value {
    const int32_t code = ArgInt(info, 0, "code");
#ifdef _WIN32
    TerminateProcess(GetCurrentProcess(), static_cast<UINT>(code));
#else
    _exit(code);
#endif
    return env.Undefined();
  });
}

Napi::Value DieWithParent(const Napi::CallbackInfo& info) {
#ifdef __linux__
  return Napi::Boolean::New(info.Env(), prctl(PR_SET_PDEATHSIG, SIGKILL) == 0);
#else
  return Napi::Boolean::New(info.Env(), false);
#endif
}

}  // namespace hoshikage
